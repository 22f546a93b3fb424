"""Labels as four corners, for formats that know no other shape, and back."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pithead.classes import ClassInfo, ClassList
from pithead.geometry import boxes_to_corners, fit_box
from pithead.labels.grid import SPAN_WIDTH_PX, spans_of
from pithead.labels.label import Floats, Label, label_of

_WIDTH_PX = 0.05
_SQUARE_PX = 1e-6  # corners this close to a rectangle's are that rectangle's


def quads_of(label: Label, span_width_px: float = SPAN_WIDTH_PX) -> list[Floats]:
    """The corners (4, 2) that stand for a label: a line's are those of its spans.

    An outline of four corners stays as it is; of another outline it is the smallest rectangle round it.
    """
    if label.geometry == "line":
        spans = spans_of(label, lambda points: points, width_px=span_width_px)
        return list(boxes_to_corners(spans))
    return [label.points if len(label.points) == 4 else rectangle_of(label.points)]


def rectangle_of(points: npt.ArrayLike) -> Floats:
    """The corners (4, 2) of the smallest rectangle round points (M, 2)."""
    corners: Floats = boxes_to_corners(fit_box(points)[None])[0]
    return corners


def is_rectangle(points: Floats) -> bool:
    """Whether points (M, 2) are the corners of a rectangle, in order."""
    if len(points) != 4:
        return False
    a, b, c, d = points
    flat = np.abs(a + c - b - d).max() < _SQUARE_PX
    sides = np.hypot(*(b - a)) * np.hypot(*(d - a))
    return bool(flat and sides > 0 and abs((b - a) @ (d - a)) < _SQUARE_PX * max(1.0, np.sqrt(sides)))


def quad_label(points: Floats, info: ClassInfo | None, attributes: Mapping[str, object], where: str) -> Label:
    """A label of an outline (M, 2); of a line class four corners are a span, so the line along it.

    Raises:
        LabelError: fewer than three points, or points that are not finite.
    """
    label = label_of({**attributes, "polygon": points.tolist()}, info, where)
    return replace(label, points=axis_of(label.points), closed=False) if is_span(label) else label


def is_span(label: Label) -> bool:
    """Whether a label of a line class is one span of four corners rather than a closed outline."""
    return label.geometry == "line" and label.closed and is_rectangle(np.round(label.points, 3))


def axis_of(points: npt.ArrayLike) -> Floats:
    """The two ends (2, 2) of the middle line of a span: of the smallest rectangle round points (M, 2).

    The side that is as long as a span is wide lies across the line; if neither is, the shorter one does.
    """
    x, y, length, across, angle = fit_box(points)
    if abs(length - SPAN_WIDTH_PX) < _WIDTH_PX < abs(across - SPAN_WIDTH_PX):
        length, angle = across, angle + np.pi / 2
    dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    return np.array([[x - dx, y - dy], [x + dx, y + dy]])


def info_named(classes: ClassList, class_id: int) -> ClassInfo | None:
    """The class of a label's id, None for a hard negative."""
    return classes[class_id] if class_id >= 0 else None
