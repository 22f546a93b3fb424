"""Tiles to be varied: generated ones, and plates of coloured rectangles whose pixels one can count."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from pithead.augment import View
from pithead.classes import load_classes
from pithead.generate.scene import generate_scene
from pithead.geometry import Window, boxes_to_corners
from pithead.imagery.stretch import Stretch
from pithead.labels import GridLabels, Label, in_grid, tile_rows

GEOMETRIES = ("box", "box", "line", "strip")
HEAD, HEAP, FENCE, RAIL = range(4)
SIDE = 640
GROUND = 100

Floats = npt.NDArray[np.float64]
Tile = npt.NDArray[np.uint8]


def label(class_id: int, points: npt.ArrayLike, *, closed: bool = True) -> Label:
    geometry = GEOMETRIES[class_id]
    return Label(class_id, geometry, np.array(points, float), closed, "target", {})  # type: ignore[arg-type]


def rectangle(cx: float, cy: float, w: float, h: float, angle: float) -> Floats:
    corners: Floats = boxes_to_corners([cx, cy, w, h, angle])[0]
    return corners


def view_of(labels: GridLabels, pixels: Tile) -> View:
    """What cutting one tile gives, rounded as rows of a file are."""
    rows = tile_rows(labels, Window(0, 0, SIDE, SIDE))
    corners, ignored = (
        np.clip(boxes_to_corners(boxes) / SIDE, 0, 1).round(6) * SIDE for boxes in (rows.boxes, rows.ignored)
    )
    return View(pixels, rows.classes, corners, ignored)


@cache
def generated(seed: int) -> View:
    """A generated tile of 640 px with what is taught in it."""
    scene = generate_scene(
        seed, width_px=SIDE, height_px=SIDE, kind="training", mode="rgb", bits=8, supersampling=1
    )
    classes = load_classes("labeling/classes.toml")
    labels = [
        label(
            classes.named(t.class_name).id, t.points_m, closed=t.closed or t.class_name != "guard_perimeter"
        )
        for t in scene.truths
        if t.class_name in classes.names
    ]
    pixels = Stretch.of(scene.data.reshape(3, -1)).apply(scene.data).transpose(1, 2, 0)
    return view_of(in_grid(labels, lambda points: points), np.ascontiguousarray(pixels))


COLOURS = np.array(
    [[250, 30, 30], [30, 250, 30], [30, 30, 250], [250, 250, 30], [250, 30, 250], [30, 250, 250]]
)
"""One for each rectangle of a plate, far from each other and from the ground."""


def plate(boxes: npt.ArrayLike, class_id: int = HEAP) -> View:
    """Plain ground with a filled rectangle for each box (N, 5), each of its own colour."""
    pixels = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    corners = boxes_to_corners(boxes)
    for outline, colour in zip(corners, COLOURS, strict=False):
        pixels[inside(outline)] = colour
    return View(pixels, np.full(len(corners), class_id), corners, np.zeros((0, 4, 2)))


def inside(outline: Floats) -> npt.NDArray[np.bool_]:
    """The pixels (640, 640) of which the middle lies inside a convex outline."""
    mask = np.zeros((SIDE, SIDE), np.bool_)
    left, top = np.clip(np.floor(outline.min(axis=0)), 0, SIDE).astype(int)
    right, bottom = np.clip(np.ceil(outline.max(axis=0)), 0, SIDE).astype(int)
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    ends = zip(outline, np.roll(outline, -1, axis=0), strict=True)
    sides = [(b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) for a, b in ends]
    within = np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)
    mask[top:bottom, left:right] = within
    return mask


def colours_of(pixels: Tile) -> npt.NDArray[np.int64]:
    """Which rectangle each pixel (640, 640) of a plate shows, by its colour: 0, 1, …, or 6 for ground."""
    every = [*COLOURS, [GROUND] * 3]
    far = np.stack([np.abs(pixels.astype(int) - np.asarray(colour)).sum(axis=-1) for colour in every])
    return np.asarray(far.argmin(axis=0))


def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def detail(pixels: Tile) -> float:
    """How much the tile changes from pixel to pixel."""
    return float(np.abs(cv2.Laplacian(pixels, cv2.CV_32F)).mean())
