"""What was found in a scene, in scene pixels, and how much of the scene was looked at."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.geometry import Floats, Window
from pithead.tiling import Grid

EDGE_PX = 2.0
"""Nearer to the edge of what was looked at than this (pixels of the model) an object counts as cut: boxes
stop short."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which tiles of the grid were run, and why the others were not: together they are the grid."""

    run: int
    empty: int = 0
    """Tiles without a valid pixel."""
    plain: int = 0
    """Tiles without texture, where the user asked to skip them."""
    outside: int = 0
    """Tiles outside of the area of interest."""


@dataclass(frozen=True, slots=True)
class SceneLine:
    """A perimeter in scene pixels; the first point of a ring is not repeated."""

    points_scene: Floats
    closed: bool
    score: float
    class_id: int
    spans: int
    """Of how many spans it was linked."""
    tiles: tuple[int, ...] = ()
    """The numbers of the tiles that saw a part of it."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in a scene, each object once, surest first.

    Spans of line classes are among the boxes, for measuring them; what a map shows of them is `lines`.
    """

    corners_scene: Floats
    """(N, 4, 2) scene pixels: x right, y down, 0 at the outer edge of the first pixel."""
    scores: npt.NDArray[np.float32]
    """(N,)"""
    classes: npt.NDArray[np.int64]
    """(N,)"""
    tiles: tuple[tuple[int, ...], ...]
    """(N,) The numbers of the tiles that saw each: row times columns of the grid, plus column, from 0."""
    lines: tuple[SceneLine, ...]
    grid: Grid
    coverage: Coverage
    valid_px: int
    """Valid pixels of the grid among the tiles' own ground: the ground that was looked at."""
    area_grid: BaseGeometry | None = None
    """The ground that tiles looked at, in grid pixels; None for the whole grid."""
    area_scene: BaseGeometry | None = None
    """The area of interest, in scene pixels, that detections were held to."""

    def cut(self, points_scene: Floats) -> bool:
        """Whether an outline or line (M, 2) reaches the edge of what was looked at: part may lie beyond."""
        points = self.grid.to_grid(points_scene)
        if self.area_grid is None:
            size = np.array([self.grid.width, self.grid.height])
            return bool((points < EDGE_PX).any() or (points > size - EDGE_PX).any())
        inner = shapely.buffer(self.area_grid, -EDGE_PX, join_style="mitre")
        return not bool(shapely.covers(inner, shapely.points(points)).all())

    def within(self, area_scene: BaseGeometry) -> "Detections":
        """Only what meets an area in scene pixels; a ring also where it runs around the area."""
        shapes = np.asarray(shapely.polygons(self.corners_scene), np.object_)
        meets = np.array([_shape(line).intersects(area_scene) for line in self.lines], np.bool_)
        kept = self._kept(np.asarray(shapely.intersects(shapes, area_scene), np.bool_), meets)
        return replace(kept, area_scene=area_scene)

    def surest(self, limit: int, line_classes: frozenset[int]) -> "Detections":
        """At most `limit` of what a map shows, by score: lines, and boxes that are no spans of lines."""
        whole = ~np.isin(self.classes, list(line_classes))
        scores = np.concatenate([self.scores[whole], [line.score for line in self.lines]])
        kept = np.zeros(len(scores), np.bool_)
        kept[np.argsort(-scores, kind="stable")[:limit]] = True
        boxes = ~whole
        boxes[whole] = kept[: whole.sum()]
        return self._kept(boxes, kept[whole.sum() :])

    def _kept(self, boxes: Bools, lines: Bools) -> "Detections":
        return replace(
            self,
            corners_scene=self.corners_scene[boxes],
            scores=self.scores[boxes],
            classes=self.classes[boxes],
            tiles=tuple(self.tiles[i] for i in np.flatnonzero(boxes)),
            lines=tuple(self.lines[i] for i in np.flatnonzero(lines)),
        )


def _shape(line: SceneLine) -> BaseGeometry:
    if line.closed and len(line.points_scene) >= 3:
        return shapely.make_valid(shapely.Polygon(line.points_scene))
    return shapely.LineString(line.points_scene)


def ground_of(grid: Grid, windows: list[Window]) -> BaseGeometry:
    """The part of the grid that windows show, in grid pixels."""
    frames = [shapely.box(w.x, w.y, w.x + w.width, w.y + w.height) for w in windows]
    ground: BaseGeometry = shapely.intersection(
        shapely.union_all(np.array(frames, dtype=object)), shapely.box(0, 0, grid.width, grid.height)
    )
    return ground


def tile_number(grid: Grid, window: Window) -> int:
    """The number of a window in its grid, row by row from 0."""
    stride = grid.tile_px - grid.overlap_px
    return window.y // stride * grid.columns + window.x // stride
