"""The main path: a scene goes in, detections come out.

Tiles are read in a thread ahead of the model, tiles without a valid pixel are not run, what each tile saw is
merged at the seams, pieces of strips are joined, and spans of perimeters are linked into lines.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.errors import OptionError
from pithead.geometry import Window, boxes_to_corners
from pithead.imagery import Pixels, Scene
from pithead.lines import MAX_GAP_M, MIN_LINE_M, Line, link
from pithead.seams import Merged, merge
from pithead.strips import join
from pithead.tiling import Grid, read_tile

EDGE_PX = 2.0
"""Nearer to the scene's edge than this (pixels of the model) an object counts as cut: boxes stop short."""

STRIP_BRIDGE_M = 24.0
"""One missed piece of a strip is bridged; groups of wagons stand 40 m apart (labeling/guide.md)."""

Progress = Callable[[int, int], None]


class DetectorLike(Protocol):
    """Whatever finds objects in tiles: `pithead.detector.Detector`, or a perfect one in tests."""

    @property
    def card(self) -> Card:
        """Classes, tile size and ground resolution."""

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """One (k, 7) array per tile of (N, H, W, 3): cx, cy, w, h in tile pixels, angle, score, class."""


@dataclass(frozen=True, slots=True)
class SceneLine:
    """A perimeter in scene pixels; the first point of a ring is not repeated."""

    points_scene: npt.NDArray[np.float64]
    closed: bool
    score: float
    class_id: int
    spans: int
    """Of how many spans it was linked."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in a scene, each object once, surest first.

    Spans of line classes are among the boxes, for measuring them; what a map shows of them is `lines`.
    """

    corners_scene: npt.NDArray[np.float64]
    """(N, 4, 2) scene pixels: x right, y down, 0 at the outer edge of the first pixel."""
    scores: npt.NDArray[np.float32]
    """(N,)"""
    classes: npt.NDArray[np.int64]
    """(N,)"""
    lines: tuple[SceneLine, ...]
    grid: Grid
    tiles_run: int
    tiles_skipped: int
    """Tiles without a valid pixel."""
    valid_px: int
    """Valid pixels of the grid: the ground that was looked at."""

    def cut(self, points_scene: npt.NDArray[np.float64]) -> bool:
        """Whether an outline or line (M, 2) reaches the scene's edge, so that part of it may lie beyond."""
        points, size = self.grid.to_grid(points_scene), np.array([self.grid.width, self.grid.height])
        return bool((points < EDGE_PX).any() or (points > size - EDGE_PX).any())

    def surest(self, limit: int, line_classes: frozenset[int]) -> "Detections":
        """At most `limit` of what a map shows, by score: lines, and boxes that are no spans of lines."""
        whole = ~np.isin(self.classes, list(line_classes))
        scores = np.concatenate([self.scores[whole], [line.score for line in self.lines]])
        kept = np.zeros(len(scores), bool)
        kept[np.argsort(-scores, kind="stable")[:limit]] = True
        boxes = ~whole
        boxes[whole] = kept[: whole.sum()]
        lines = tuple(line for line, wanted in zip(self.lines, kept[whole.sum() :], strict=True) if wanted)
        return replace(
            self,
            corners_scene=self.corners_scene[boxes],
            scores=self.scores[boxes],
            classes=self.classes[boxes],
            lines=lines,
        )


@dataclass(frozen=True, slots=True)
class TileDetections:
    """What each tile saw by itself: nothing merged yet."""

    grid: Grid
    windows: tuple[Window, ...]
    """The tiles that were run."""
    rows: tuple[npt.NDArray[np.float32], ...]
    """(k, 7) of each: cx, cy, w, h in tile pixels, angle, score, class."""
    valid_px: int

    def above(self, thresholds: npt.ArrayLike) -> "TileDetections":
        """Only the rows that reach the threshold of their class, one a class or one for all."""
        least = np.asarray(thresholds, np.float64)

        def kept(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            wanted = least[rows[:, 6].astype(np.intp)] if least.ndim else least
            return rows[rows[:, 5] >= wanted]

        return replace(self, rows=tuple(kept(rows) for rows in self.rows))


def scan(
    scene: Scene,
    detector: DetectorLike,
    *,
    overlap_px: int = 128,
    batch: int = 4,
    progress: Progress | None = None,
    readers: int = 1,
) -> Detections:
    """Find what the detector knows in the whole scene.

    Args:
        scene: An open scene.
        detector: Anything with `.card` and `.detect`.
        overlap_px: How far neighbouring tiles overlap, a multiple of 32 and at most half a tile.
        batch: How many tiles go through the model at once.
        progress: Called with the number of tiles done and of all tiles.
        readers: Threads that read tiles ahead of the model; the result is the same for any number.

    Raises:
        OptionError: An overlap or a batch that cannot be.
        SceneError: The scene cannot be read any further.
    """
    return assemble(detect_tiles(scene, detector, overlap_px, batch, progress, readers), detector.card)


def detect_tiles(
    scene: Scene,
    detector: DetectorLike,
    overlap_px: int = 128,
    batch: int = 4,
    progress: Progress | None = None,
    readers: int = 1,
) -> TileDetections:
    """Read every tile that has a valid pixel and run the detector on it; arguments as for `scan`."""
    card = detector.card
    check_options(card, overlap_px, batch, readers)
    grid = Grid.of(scene, card.gsd_m, card.tile_px, overlap_px)
    windows: list[Window] = []
    rows: list[npt.NDArray[np.float32]] = []
    pending: list[tuple[Window, Pixels]] = []
    valid_px = 0
    for done, (window, pixels) in enumerate(
        _read_ahead(scene, grid, 2 * max(batch, readers), readers), start=1
    ):
        valid_px += int(pixels.valid[grid.own(window)].sum())
        if pixels.valid.any():
            pending.append((window, pixels))
        if len(pending) == batch or (pending and done == len(grid)):
            windows += [waiting for waiting, _ in pending]
            rows += detector.detect(np.stack([tile.data for _, tile in pending]))
            pending.clear()
        if progress is not None:
            progress(done, len(grid))
    return TileDetections(grid, tuple(windows), tuple(rows), valid_px)


def assemble(seen: TileDetections, card: Card) -> Detections:
    """Merge what the tiles saw at their seams, join pieces of strips, link spans into lines."""
    grid = seen.grid
    merged = merge(seen.windows, seen.rows, card.line_classes | card.strip_classes)
    for class_id in sorted(card.strip_classes):
        merged = _strips_joined(merged, class_id, card)
    return Detections(
        corners_scene=grid.to_scene(boxes_to_corners(merged.boxes)),
        scores=merged.scores,
        classes=merged.classes,
        lines=lines_of(merged, grid, card),
        grid=grid,
        tiles_run=len(seen.windows),
        tiles_skipped=len(grid) - len(seen.windows),
        valid_px=seen.valid_px,
    )


def _strips_joined(merged: Merged, class_id: int, card: Card) -> Merged:
    """The same detections with the pieces of one class joined, best score first again."""
    mine = merged.classes == class_id
    strips = join(
        merged.boxes[mine],
        merged.scores[mine],
        pad_px=card.strip_pad_m / card.gsd_m,
        bridge_px=STRIP_BRIDGE_M / card.gsd_m,
    )
    boxes = np.concatenate([merged.boxes[~mine], strips.boxes])
    scores = np.concatenate([merged.scores[~mine], strips.scores])
    classes = np.concatenate([merged.classes[~mine], np.full(len(strips.boxes), class_id, np.int64)])
    order = np.lexsort((*boxes.T[::-1], classes, -scores))
    return Merged(boxes[order], scores[order], classes[order])


def check_options(card: Card, overlap_px: int, batch: int = 1, readers: int = 1) -> None:
    """Refuse, before any work, an overlap, a batch or a number of readers that cannot be.

    Raises:
        OptionError: The overlap is no multiple of the cell from 0 to half a tile, the batch is empty, or
            nobody reads.
    """
    if overlap_px % card.cell_px or not 0 <= overlap_px <= card.tile_px // 2:
        most = card.tile_px // 2
        raise OptionError(
            f"expected an overlap of a multiple of {card.cell_px} px from 0 to half a tile ({most} px), "
            f"got {overlap_px}"
        )
    if batch < 1:
        raise OptionError(f"expected a batch of at least 1 tile, got {batch}")
    if readers < 1:
        raise OptionError(f"expected at least 1 reader, got {readers}")


def _read_ahead(scene: Scene, grid: Grid, ahead: int, readers: int) -> Iterator[tuple[Window, Pixels]]:
    """Every window with its pixels, in order, read some windows ahead by threads of one open file each."""
    with ExitStack() as files:
        free: SimpleQueue[Scene] = SimpleQueue()
        free.put(scene)
        for _ in range(readers - 1):
            free.put(files.enter_context(scene.again()))

        def read(window: Window) -> Pixels:
            mine = free.get()
            try:
                return read_tile(mine, grid, window)
            finally:
                free.put(mine)

        pool = files.enter_context(ThreadPoolExecutor(readers, thread_name_prefix="read"))
        files.callback(pool.shutdown, cancel_futures=True)
        queue: deque[tuple[Window, Future[Pixels]]] = deque()
        for window in grid.windows():
            queue.append((window, pool.submit(read, window)))
            if len(queue) > ahead:
                first, pixels = queue.popleft()
                yield first, pixels.result()
        while queue:
            first, pixels = queue.popleft()
            yield first, pixels.result()


def lines_of(merged: Merged, grid: Grid, card: Card) -> tuple[SceneLine, ...]:
    """Link the spans among merged boxes (grid px) into perimeters in scene pixels."""
    found = []
    for class_id in sorted(card.line_classes):
        mine = merged.classes == class_id
        linked: tuple[Line, ...] = link(
            merged.boxes[mine],
            merged.scores[mine],
            max_gap_px=MAX_GAP_M / card.gsd_m,
            min_length_px=MIN_LINE_M / card.gsd_m,
            width_px=card.span_width_m / card.gsd_m,
        )
        found += [
            SceneLine(grid.to_scene(line.points), line.closed, line.score, class_id, len(line.members))
            for line in linked
        ]
    return tuple(found)
