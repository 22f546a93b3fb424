"""The main path: a scene goes in, detections come out.

Tiles are read in a thread ahead of the model; tiles without a valid pixel, outside of the area of interest or
(if asked for) without texture are not run. What each tile saw is merged at the seams, pieces of strips are
joined, and spans of perimeters are linked into lines.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from pithead.aoi import touched
from pithead.card import Card
from pithead.detections import Coverage, Detections, SceneLine, ground_of, tile_number
from pithead.errors import OptionError
from pithead.geometry import Window, boxes_to_corners
from pithead.imagery import Pixels, Scene
from pithead.lines import MAX_GAP_M, MIN_LINE_M, Line, link
from pithead.seams import Merged, merge
from pithead.strips import join
from pithead.tiling import Grid, is_plain, read_tile

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
class TileDetections:
    """What each tile saw by itself: nothing merged yet."""

    grid: Grid
    windows: tuple[Window, ...]
    """The tiles that were run."""
    rows: tuple[npt.NDArray[np.float32], ...]
    """(k, 7) of each: cx, cy, w, h in tile pixels, angle, score, class."""
    coverage: Coverage
    valid_px: int
    area_grid: BaseGeometry | None = None
    """The ground that tiles looked at, in grid pixels; None for the whole grid."""

    def above(self, thresholds: npt.ArrayLike) -> "TileDetections":
        """Only the rows that reach the threshold of their class, one a class or one for all."""
        least = np.asarray(thresholds, np.float64)

        def kept(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            wanted = least[rows[:, 6].astype(np.intp)] if least.ndim else least
            return rows[rows[:, 5] >= wanted]

        return replace(self, rows=tuple(kept(rows) for rows in self.rows))


@dataclass(frozen=True, slots=True)
class Way:
    """How a scene is gone through: what the tiles are, which are run, and who reads them.

    Nothing of it but `overlap_px`, `area_scene` and `skip_plain` changes what is found.
    """

    overlap_px: int = 128
    """How far neighbouring tiles overlap: a multiple of 32, at most half a tile."""
    batch: int = 4
    """How many tiles go through the model at once."""
    readers: int = 1
    """Threads that read tiles ahead of the model."""
    area_scene: BaseGeometry | None = None
    """Only tiles whose own ground meets this area (scene pixels) are read, and only what meets it is told."""
    skip_plain: bool = False
    """Whether tiles without texture are left out (`pithead.tiling.is_plain`)."""

    def check(self, card: Card) -> None:
        """Refuse, before any work, what cannot be.

        Raises:
            OptionError: The overlap is no multiple of the cell from 0 to half a tile, the batch is empty, or
                nobody reads.
        """
        most = card.tile_px // 2
        if self.overlap_px % card.cell_px or not 0 <= self.overlap_px <= most:
            raise OptionError(
                f"expected an overlap of a multiple of {card.cell_px} px from 0 to half a tile ({most} px), "
                f"got {self.overlap_px}"
            )
        if self.batch < 1:
            raise OptionError(f"expected a batch of at least 1 tile, got {self.batch}")
        if self.readers < 1:
            raise OptionError(f"expected at least 1 reader, got {self.readers}")


def scan(
    scene: Scene, detector: DetectorLike, way: Way | None = None, progress: Progress | None = None
) -> Detections:
    """Find what the detector knows in the scene.

    Args:
        scene: An open scene.
        detector: Anything with `.card` and `.detect`.
        way: Overlap, batch, readers, area; without it those of `Way`.
        progress: Called with the number of tiles done and of all tiles to be read.

    Raises:
        OptionError: An overlap, a batch or a number of readers that cannot be.
        SceneError: The scene cannot be read any further.
    """
    way = way or Way()
    found = assemble(detect_tiles(scene, detector, way, progress), detector.card)
    return found if way.area_scene is None else found.within(way.area_scene)


def detect_tiles(
    scene: Scene,
    detector: DetectorLike,
    way: Way,
    progress: Progress | None = None,
    part: slice = slice(None),
) -> TileDetections:
    """Read every tile that has a valid pixel and run the detector on it; arguments as for `scan`.

    With a part, only those of the tiles that `wanted` gives, by their place among them; the parts of a scene
    together (`joined`) are the scene.
    """
    card = detector.card
    way.check(card)
    grid = Grid.of(scene, card.gsd_m, card.tile_px, way.overlap_px)
    looked = wanted(grid, way.area_scene)[part]
    windows: list[Window] = []
    rows: list[npt.NDArray[np.float32]] = []
    pending: list[_Tile] = []
    valid_px = empty = plain = 0
    for done, tile in enumerate(_read_ahead(scene, grid, looked, way), start=1):
        own = int(tile.pixels.valid[grid.own(tile.window)].sum())
        valid_px += own
        if not tile.pixels.valid.any():
            empty += 1
        elif tile.plain:
            plain += 1
        else:
            pending.append(tile)
        if len(pending) == way.batch or (pending and done == len(looked)):
            windows += [waiting.window for waiting in pending]
            rows += detector.detect(np.stack([waiting.pixels.data for waiting in pending]))
            pending.clear()
        if progress is not None:
            progress(done, len(looked))
    coverage = Coverage(len(windows), empty, plain, len(grid) - len(looked))
    ground = None if way.area_scene is None else ground_of(grid, looked)
    return TileDetections(grid, tuple(windows), tuple(rows), coverage, valid_px, ground)


def wanted(grid: Grid, area_scene: BaseGeometry | None = None) -> list[Window]:
    """The windows of a grid that a scan looks at, row by row: those of the area (scene pixels), else all."""
    return list(grid.windows() if area_scene is None else touched(grid, area_scene))


def joined(parts: Sequence[TileDetections]) -> TileDetections:
    """The tiles of parts of one scene, scanned without an area, as if they had been gone through at once.

    Raises:
        ValueError: There is no part, parts are of several grids, or together they are not the whole grid.
    """
    if not parts or len({part.grid for part in parts}) != 1:
        raise ValueError(f"expected parts of one grid, got {len({part.grid for part in parts})} grids")
    grid = parts[0].grid
    run, empty, plain = (
        sum(getattr(part.coverage, kind) for part in parts) for kind in ("run", "empty", "plain")
    )
    if run + empty + plain != len(grid):
        raise ValueError(f"expected all {len(grid)} tiles, got {run + empty + plain}")
    return TileDetections(
        grid,
        tuple(window for part in parts for window in part.windows),
        tuple(rows for part in parts for rows in part.rows),
        Coverage(run, empty, plain),
        sum(part.valid_px for part in parts),
    )


def assemble(seen: TileDetections, card: Card) -> Detections:
    """Merge what the tiles saw at their seams, join pieces of strips, link spans into lines."""
    grid = seen.grid
    merged = merge(seen.windows, seen.rows, card.line_classes | card.strip_classes)
    for class_id in sorted(card.strip_classes):
        merged = _strips_joined(merged, class_id, card)
    numbers = [tile_number(grid, window) for window in seen.windows]
    return Detections(
        corners_scene=grid.to_scene(boxes_to_corners(merged.boxes)),
        scores=merged.scores,
        classes=merged.classes,
        tiles=tuple(_numbered(tiles, numbers) for tiles in merged.tiles),
        lines=lines_of(merged, grid, card, numbers),
        grid=grid,
        coverage=seen.coverage,
        valid_px=seen.valid_px,
        area_grid=seen.area_grid,
    )


def _seen_by(merged: Merged, members: npt.NDArray[np.int64]) -> set[int]:
    return set[int]().union(*(merged.tiles[i] for i in members))


def _numbered(tiles: Iterable[int], numbers: list[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers[tile] for tile in tiles))


def _strips_joined(merged: Merged, class_id: int, card: Card) -> Merged:
    """The same detections with the pieces of one class joined, best score first again."""
    mine = np.flatnonzero(merged.classes == class_id)
    others = np.flatnonzero(merged.classes != class_id)
    strips = join(
        merged.boxes[mine],
        merged.scores[mine],
        pad_px=card.strip_pad_m / card.gsd_m,
        bridge_px=STRIP_BRIDGE_M / card.gsd_m,
    )
    boxes = np.concatenate([merged.boxes[others], strips.boxes])
    scores = np.concatenate([merged.scores[others], strips.scores])
    classes = np.concatenate([merged.classes[others], np.full(len(strips.boxes), class_id, np.int64)])
    tiles = [merged.tiles[i] for i in others]
    tiles += [tuple(sorted(_seen_by(merged, mine[members]))) for members in strips.members]
    order = np.lexsort((*boxes.T[::-1], classes, -scores))
    return Merged(boxes[order], scores[order], classes[order], tuple(tiles[i] for i in order))


@dataclass(frozen=True, slots=True)
class _Tile:
    """A window that was read, and whether it may be left out."""

    window: Window
    pixels: Pixels
    plain: bool


def _read_ahead(scene: Scene, grid: Grid, windows: list[Window], way: Way) -> Iterator[_Tile]:
    """Every window with its pixels, in order, read some windows ahead by threads of one open file each."""
    ahead = 2 * max(way.batch, way.readers)
    with ExitStack() as files:
        free: SimpleQueue[Scene] = SimpleQueue()
        free.put(scene)
        for _ in range(way.readers - 1):
            free.put(files.enter_context(scene.again()))

        def read(window: Window) -> _Tile:
            mine = free.get()
            try:
                pixels = read_tile(mine, grid, window)
            finally:
                free.put(mine)
            return _Tile(window, pixels, way.skip_plain and is_plain(pixels))

        pool = files.enter_context(ThreadPoolExecutor(way.readers, thread_name_prefix="read"))
        files.callback(pool.shutdown, cancel_futures=True)
        queue: deque[Future[_Tile]] = deque()
        for window in windows:
            queue.append(pool.submit(read, window))
            if len(queue) > ahead:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()


def lines_of(merged: Merged, grid: Grid, card: Card, numbers: list[int]) -> tuple[SceneLine, ...]:
    """Link the spans among merged boxes (grid px) into perimeters in scene pixels.

    Args:
        merged: Boxes of all classes.
        grid: The grid that they are in.
        card: Says which classes are lines, and how wide spans are.
        numbers: The number in the grid of each window that was merged.
    """
    found = []
    for class_id in sorted(card.line_classes):
        mine = np.flatnonzero(merged.classes == class_id)
        linked: tuple[Line, ...] = link(
            merged.boxes[mine],
            merged.scores[mine],
            max_gap_px=MAX_GAP_M / card.gsd_m,
            min_length_px=MIN_LINE_M / card.gsd_m,
            width_px=card.span_width_m / card.gsd_m,
        )
        found += [
            SceneLine(
                points_scene=grid.to_scene(line.points),
                closed=line.closed,
                score=line.score,
                class_id=class_id,
                spans=len(line.members),
                tiles=_numbered(_seen_by(merged, mine[line.members]), numbers),
            )
            for line in linked
        ]
    return tuple(found)
