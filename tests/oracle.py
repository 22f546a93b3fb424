"""A perfect detector: it reads its place out of the pixels and returns every object it sees enough of."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import shapely

from pithead.geometry import Window, boxes_to_corners, clip_boxes, fit_box

Floats = npt.NDArray[np.float64]


def position_scene(height: int, width: int, cell_px: int = 32) -> npt.NDArray[np.uint8]:
    """RGB pixels that say where they are: R = column of cells, G = row of cells, B = high bits of both."""
    columns = (np.arange(width) // cell_px)[None, :].repeat(height, axis=0)
    rows = (np.arange(height) // cell_px)[:, None].repeat(width, axis=1)
    high = (columns >> 8) + 16 * (rows >> 8)
    return np.stack([columns & 255, rows & 255, high], axis=2).astype(np.uint8)


def seen(
    boxes: Floats, classes: npt.NDArray[np.int64], window: Window, *, rng: np.random.Generator | None = None
) -> npt.NDArray[np.float32]:
    """Rows (k, 7) of the objects of which 30 % lies in the window, or a piece a quarter of a tile long."""
    polygons = shapely.polygons(boxes_to_corners(boxes))
    near = np.flatnonzero(
        shapely.intersects(
            polygons, shapely.box(window.x, window.y, window.x + window.width, window.y + window.height)
        )
    )
    if not len(near):
        return np.zeros((0, 7), np.float32)
    clipped, visible = clip_boxes(boxes[near], window)
    full_width = clipped[:, 3] >= 0.6 * boxes[near, 3]
    enough = (visible >= 0.3) | (full_width & (clipped[:, 2] >= window.width / 4))
    rows = np.concatenate(
        [clipped, 0.5 + 0.5 * visible[:, None], classes[near, None].astype(np.float64)], axis=1
    )[enough]
    if rng is not None and len(rows):
        corners = boxes_to_corners(rows[:, :5]) + rng.uniform(-1.5, 1.5, (len(rows), 4, 2))
        rows[:, :5] = np.array([fit_box(c) for c in corners])
    rows[:, 0] -= window.x
    rows[:, 1] -= window.y
    return rows.astype(np.float32)


@dataclass
class Oracle:
    """What `scan` takes for a detector."""

    boxes: Floats
    classes: npt.NDArray[np.int64]
    card: SimpleNamespace
    jitter: np.random.Generator | None = None

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Find each tile's place from its first pixel: windows start on multiples of 32 px."""
        found = []
        size = tiles.shape[1]
        for tile in tiles:
            column, row, high = (int(v) for v in tile[0, 0])
            window = Window((column + 256 * (high % 16)) * 32, (row + 256 * (high // 16)) * 32, size, size)
            found.append(seen(self.boxes, self.classes, window, rng=self.jitter))
        return found


def windows_of(width: int, height: int, tile_px: int, overlap_px: int) -> list[Window]:
    """The grid by hand: the last ones overhang."""
    stride = tile_px - overlap_px

    def starts(size: int) -> Sequence[int]:
        return range(0, max(size - overlap_px, 1), stride)

    return [Window(x, y, tile_px, tile_px) for y in starts(height) for x in starts(width)]


def place(
    rng: np.random.Generator, count: int, low: float, high: float, size: int, *, ratio: float = 0.4
) -> Floats:
    """Boxes (count, 5) that do not touch each other, by trying."""
    boxes: list[Floats] = []
    polygons: list[shapely.Geometry] = []
    while len(boxes) < count:
        w = rng.uniform(low, high)
        h = rng.uniform(max(low, ratio * w), w)
        margin = high / 2
        x, y = rng.uniform(margin, size - margin, 2)
        box = np.array([x, y, w, h, rng.uniform(-np.pi / 2, np.pi / 2)])
        polygon = shapely.Polygon(boxes_to_corners(box[None])[0])
        if not polygons or shapely.distance(polygon, np.array(polygons)).min() > 2:
            boxes.append(box)
            polygons.append(polygon)
    return np.array(boxes)
