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


KINDS = (
    "small",
    "side by side",
    "strips 0",
    "strips 15",
    "strips 30",
    "strips 45",
    "crossed",
    "long",
    "wagons",
)


def scene_of(kind: str, rng: np.random.Generator, tile_px: int) -> tuple[Floats, int]:
    """Objects (N, 5) of one kind and the side of the square scene that holds them, in px.

    small: 800 of 10-60 px. side by side: 250 of 80-500 px, 3 px apart. strips A: ten of 300 x 40 px with gaps
    of 20 px, turned by A degrees. crossed: 30 pairs of 200-400 x 12 px that cross. long: 8 of 1.5-4 tiles.
    wagons: 20 clusters of 40 of 23 x 5 px that touch.
    """
    if kind == "small":
        return place(rng, 800, 10, 60, 6000), 6000
    if kind == "side by side":
        return _side_by_side(rng), 6400
    if kind.startswith("strips"):
        return _strips(rng, float(kind.split()[1])), 3000
    if kind == "crossed":
        return _crossed(rng), 5000
    if kind == "long":
        return _long(rng, tile_px), 10 * tile_px
    return _wagons(rng), 4000


def _side_by_side(rng: np.random.Generator) -> Floats:
    boxes: list[list[float]] = []
    y = 20.0
    while len(boxes) < 250:
        height, x = rng.uniform(80, 400), 20.0
        while x < 5900 and len(boxes) < 250:
            width = rng.uniform(80, 500)
            boxes.append([x + width / 2, y + height / 2, width, height, 0.0])
            x += width + 3
        y += height + 3
    found = np.array(boxes)
    upright = found[:, 3] > found[:, 2]
    found[upright, 2:4] = found[upright, 3:1:-1]
    found[upright, 4] = -np.pi / 2
    return found


def _strips(rng: np.random.Generator, angle_deg: float) -> Floats:
    angle = np.radians(angle_deg)
    across = np.array([-np.sin(angle), np.cos(angle)])
    at = rng.uniform(900, 2100, 2)
    return np.array([[*(at + across * 60 * (i - 4.5)), 300, 40, angle] for i in range(10)])


def _crossed(rng: np.random.Generator) -> Floats:
    boxes: list[list[float]] = []
    for x in range(500, 5000, 900):
        for y in range(500, 5000, 800):
            at = np.array([x, y]) + rng.uniform(-200, 200, 2)
            angle = rng.uniform(-np.pi / 2, 0)
            boxes += [
                [*(at + rng.uniform(-40, 40, 2)), rng.uniform(200, 400), 12, angle + turn]
                for turn in (0.0, rng.uniform(0.6, 1.5))
            ]
    return np.array(boxes)


def _long(rng: np.random.Generator, tile_px: int) -> Floats:
    boxes: list[Floats] = []
    shapes: list[shapely.Geometry] = []
    while len(boxes) < 8:
        length, width = rng.uniform(1.5, 4) * tile_px, rng.uniform(20, 120)
        x, y = rng.uniform(length / 2, 10 * tile_px - length / 2, 2)
        box = np.array([x, y, length, width, rng.uniform(-np.pi / 2, np.pi / 2)])
        shape = shapely.Polygon(boxes_to_corners(box[None])[0])
        if all(shapely.distance(shape, other) > 20 for other in shapes):
            boxes.append(box)
            shapes.append(shape)
    return np.array(boxes)


def _wagons(rng: np.random.Generator) -> Floats:
    boxes = []
    for x in range(500, 4000, 800):
        for y in range(500, 4000, 900):
            at, angle = np.array([x, y]) + rng.uniform(-100, 100, 2), rng.uniform(-np.pi / 2, np.pi / 2)
            along, across = (
                np.array([np.cos(angle), np.sin(angle)]),
                np.array([-np.sin(angle), np.cos(angle)]),
            )
            boxes += [
                [*(at + along * 23.5 * (i - 4.5) + across * 8.0 * (j - 1.5)), 23, 5, angle]
                for i in range(10)
                for j in range(4)
            ]
    return np.array(boxes)
