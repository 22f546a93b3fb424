"""What stands in a tile, whole, and how another view of the same ground is cut from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.augment.pieces import whole_strips
from pithead.augment.spans import Course, whole_lines
from pithead.augment.view import Tile, View
from pithead.geometry import Window, boxes_to_corners, corners_to_boxes
from pithead.labels import (
    SPAN_WIDTH_PX,
    STRIP_PAD_PX,
    GridLabels,
    Label,
    TileLabels,
    pieces_of,
    spans_of,
    tile_rows,
)
from pithead.labels.fill import filled, mask_of
from pithead.tiling import CELL_PX

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Move = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Cutting:
    """How objects are taught: the geometry of each class id, and the sizes of cells, spans and pads in px."""

    geometries: tuple[str, ...]
    cell_px: int = CELL_PX
    span_width_px: float = SPAN_WIDTH_PX
    strip_pad_px: float = STRIP_PAD_PX


@dataclass(frozen=True, slots=True)
class Shapes:
    """What stands in a tile, in tile px.

    boxes (N, 5) of `classes`; strips, pads off, and lines with the class of each; ignored (M, 5); lost
    (K, 5): spans that tell no line.
    """

    boxes: Floats
    classes: Ints
    strips: tuple[tuple[int, Floats], ...]
    lines: tuple[tuple[int, Course], ...]
    ignored: Floats
    lost: Floats


def shapes_of(view: View, cutting: Cutting) -> Shapes:
    """Put spans and pieces of a view together."""
    rows = corners_to_boxes(view.corners)
    kinds = np.array([cutting.geometries[int(class_id)] for class_id in view.classes], dtype="U5")
    strips: list[tuple[int, Floats]] = []
    lines: list[tuple[int, Course]] = []
    lost = [np.zeros((0, 5))]
    for class_id in sorted({int(c) for c in view.classes[kinds != "box"]}):
        mine = rows[view.classes == class_id]
        if cutting.geometries[class_id] == "strip":
            strips += [(class_id, strip) for strip in whole_strips(mine, cutting.strip_pad_px, view.side)]
        else:
            courses, unclear = whole_lines(mine, cutting.span_width_px, view.side)
            lines += [(class_id, course) for course in courses]
            lost.append(unclear)
    ignored = corners_to_boxes(view.ignored)
    boxes, classes = rows[kinds == "box"], view.classes[kinds == "box"]
    return Shapes(boxes, classes, tuple(strips), tuple(lines), ignored, np.vstack(lost))


def cut(shapes: Shapes, pixels: Tile, cutting: Cutting, move: Move) -> View:
    """The view that cutting the moved ground would have given; `pixels` (S, S, 3) show it already.

    What the edge leaves of an object under 60 %, and what is lost, is painted over and ignored. An object
    that the edge of the first tile had cut counts as whole: nobody knows the rest.
    """
    rows = tile_rows(_in_grid(shapes, cutting, move), Window(0, 0, len(pixels), len(pixels)))
    lost = _moved(shapes.lost, move)
    hidden = mask_of([*boxes_to_corners(rows.ignored[rows.cut]), *boxes_to_corners(lost)], pixels.shape[:2])
    if hidden.any():
        hidden &= ~mask_of(list(boxes_to_corners(rows.boxes)), pixels.shape[:2])
        pixels = filled(pixels, np.ones_like(hidden), hidden)
    return _view(pixels, rows)


def _view(pixels: Tile, rows: TileLabels) -> View:
    return View(pixels, rows.classes, boxes_to_corners(rows.boxes), boxes_to_corners(rows.ignored))


def _in_grid(shapes: Shapes, cutting: Cutting, move: Move) -> GridLabels:
    """All of it moved and cut on the grid; spans and pads keep their width: they are metres."""
    rows, classes = [_moved(shapes.boxes, move)], [shapes.classes]
    for class_id, course in shapes.lines:
        label = Label(class_id, "line", course.points, course.closed, "target", {})
        rows.append(spans_of(label, move, cell_px=cutting.cell_px, width_px=cutting.span_width_px))
        classes.append(np.full(len(rows[-1]), class_id))
    for class_id, strip in shapes.strips:
        label = Label(
            class_id, "strip", boxes_to_corners(strip)[0], closed=True, weight="target", attributes={}
        )
        rows.append(pieces_of(label, move, cell_px=cutting.cell_px, pad_px=cutting.strip_pad_px))
        classes.append(np.full(len(rows[-1]), class_id))
    taught = sum(len(part) for part in rows)
    ignored = np.vstack([_moved(shapes.ignored, move), _moved(shapes.lost, move)])
    return GridLabels(
        np.vstack([*rows, ignored]),
        np.concatenate([*classes, np.zeros(len(ignored))]).astype(np.int64),
        np.arange(taught + len(ignored)) >= taught,
    )


def _moved(boxes: Floats, move: Move) -> Floats:
    return corners_to_boxes(move(boxes_to_corners(boxes)))
