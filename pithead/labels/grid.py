"""Labels of a scene (scene px) → oriented boxes, spans and pieces (grid px) → YOLO-OBB rows (tile)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import shapely

from pithead.geometry import Window, boxes_to_corners, canonical, clip_boxes, fit_box
from pithead.labels.label import Floats, Label
from pithead.tiling import CELL_PX

Transform = Callable[[Floats], Floats]

SPAN_WIDTH_PX = 20.0  # 12 m at 0.6 m: fence, cleared strip and patrol track
STRIP_PAD_PX = 3.0  # 1.8 m at 0.6 m: a single track is 5 px wide, too narrow for a network of stride 8
_WHOLE_STRIP_PX = 64.0  # a strip no longer than two cells is one piece
_SHORTEST_SPAN_PX = 8.0
_BEND_PX = 1.5  # a vertex that bends a line by less than this is no visible corner, so no span starts there


@dataclass(frozen=True, slots=True)
class GridLabels:
    """All labels of a scene as boxes in grid px: boxes (N, 5), classes (N,), ignore (N,) True = ignored."""

    boxes: Floats
    classes: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TileLabels:
    """What one tile is taught, in tile px: boxes (k, 5) of `classes`, ignored (j, 5) of `ignored_classes`.

    `cut` (j,) says which of the ignored are what the tile's edge left of an object.
    """

    boxes: Floats
    classes: npt.NDArray[np.int64]
    ignored: Floats
    ignored_classes: npt.NDArray[np.int64]
    cut: npt.NDArray[np.bool_]

    @property
    def ignored_share(self) -> float:
        """Ignored area over all labelled area, 0–1; 0 without labels. What is cut is not counted."""
        unsure = self.ignored[~self.cut]
        ignored = float((unsure[:, 2] * unsure[:, 3]).sum())
        taught = float((self.boxes[:, 2] * self.boxes[:, 3]).sum())
        return ignored / (ignored + taught) if ignored + taught > 0 else 0.0


def box_of(label: Label) -> Floats:
    """The smallest oriented rectangle round the label: (5,) cx, cy, w, h, angle in the label's frame."""
    return fit_box(label.points)


def spans_of(
    label: Label, to_grid: Transform, *, cell_px: int = CELL_PX, width_px: float = SPAN_WIDTH_PX
) -> Floats:
    """A line as consecutive boxes (S, 5) in grid px, cut where it crosses the grid's cells.

    Each straight part is cut where its dominant axis (x where |dx| >= |dy|) meets a multiple of `cell_px`:
    the start of a span along a straight fence is invisible, but a network of that stride knows where its
    cells are. Pieces under 8 px join their neighbour of the same part; a part shorter than that has none.
    Example: (0, 5) → (100, 5) gives lengths 32, 32, 36: the last 4 px join the piece before.
    """
    points = np.round(to_grid(label.points), 6)  # what is closer is one point, whatever the frame
    ring = np.vstack([points, points[:1]]) if label.closed else points
    ring = shapely.get_coordinates(shapely.simplify(shapely.linestrings(ring), _BEND_PX))
    spans = []
    for start, end in pairwise(ring):
        cuts = _cuts(start, end, cell_px)
        length = float(np.hypot(*(end - start)))
        angle = math.atan2(end[1] - start[1], end[0] - start[0])
        for t0, t1 in pairwise(cuts):
            if (t1 - t0) * length >= _SHORTEST_SPAN_PX:
                cx, cy = start + (end - start) * (t0 + t1) / 2
                spans.append((cx, cy, (t1 - t0) * length, width_px, angle))
    return canonical(np.array(spans, dtype=np.float64).reshape(-1, 5))


def pieces_of(
    label: Label, to_grid: Transform, *, cell_px: int = CELL_PX, pad_px: float = STRIP_PAD_PX
) -> Floats:
    """A strip as consecutive boxes (S, 5) in grid px, `pad_px` larger than what is there on every side.

    A strip longer than two cells is cut across where the middle of it crosses the grid's cells, as a span is,
    but pieces under half a cell join their neighbour.
    Example: (0, 0) to (100, 10) gives lengths 32, 32, 36 and width 10, and with the pad 38, 38, 42 and 16.
    """
    box = fit_box(to_grid(label.points))
    half = np.array([math.cos(box[4]), math.sin(box[4])]) * box[2] / 2
    start, end = box[:2] - half, box[:2] + half
    cuts = _cuts(start, end, cell_px, cell_px / 2) if box[2] > _WHOLE_STRIP_PX else [0.0, 1.0]
    pieces = np.tile(box, (len(cuts) - 1, 1))
    for piece, (t0, t1) in zip(pieces, pairwise(cuts), strict=True):
        piece[:2] = start + (end - start) * (t0 + t1) / 2
        piece[2] = (t1 - t0) * box[2]
    pieces[:, 2:4] += 2 * pad_px
    return canonical(pieces)


def in_grid(
    labels: Sequence[Label],
    to_grid: Transform,
    *,
    cell_px: int = CELL_PX,
    span_width_px: float = SPAN_WIDTH_PX,
    strip_pad_px: float | None = STRIP_PAD_PX,
) -> GridLabels:
    """All labels of a scene as boxes in grid px: one for a box, the spans of a line, the pieces of a strip.

    With `strip_pad_px` None a strip is one box, unpadded: what the joined pieces are measured against.
    """
    rows = [np.zeros((0, 5))]
    classes: list[int] = []
    ignore: list[bool] = []
    for label in labels:
        if label.weight == "negative":
            continue
        if label.geometry == "line":
            boxes = spans_of(label, to_grid, cell_px=cell_px, width_px=span_width_px)
        elif label.geometry == "strip" and strip_pad_px is not None:
            boxes = pieces_of(label, to_grid, cell_px=cell_px, pad_px=strip_pad_px)
        else:
            boxes = fit_box(to_grid(label.points))[None]
        rows.append(boxes)
        classes += [label.class_id] * len(boxes)
        ignore += [label.weight == "ignore"] * len(boxes)
    return GridLabels(np.vstack(rows), np.array(classes, dtype=np.int64), np.array(ignore, dtype=np.bool_))


def tile_rows(
    labels: GridLabels, window: Window, *, min_visible: float = 0.6, min_side_px: float = 4.0
) -> TileLabels:
    """The labels as one window sees them: clipped at its edges, refitted, in tile px.

    A box of which less than `min_visible` and no long stretch is inside, or whose short side is under
    `min_side_px` after clipping, is a sliver that nobody could name: it becomes ignored.
    """
    origin = np.array([window.x, window.y], dtype=np.float64)
    centre = origin + np.array([window.width, window.height]) / 2
    reach = np.hypot(labels.boxes[:, 2], labels.boxes[:, 3])[:, None] / 2
    half = np.array([window.width, window.height]) / 2
    near = (np.abs(labels.boxes[:, :2] - centre) < half + reach).all(axis=1)
    clipped, visible = clip_boxes(labels.boxes[near], window)
    seen = visible > 0
    boxes = clipped[seen].copy()
    boxes[:, :2] -= origin
    classes = labels.classes[near][seen]
    # Of an object longer than two tiles no tile sees 60 %: a stretch of it in its full width is enough.
    stretch = (boxes[:, 2] >= window.width / 4) & (boxes[:, 3] >= 0.6 * labels.boxes[near][seen][:, 3])
    sliver = (visible[seen] < min_visible) & ~stretch
    small = boxes[:, 3] < min_side_px
    ignored = labels.ignore[near][seen] | sliver | small
    cut = ~labels.ignore[near][seen] & (visible[seen] < 1) & (sliver | small)
    return TileLabels(boxes[~ignored], classes[~ignored], boxes[ignored], classes[ignored], cut[ignored])


def yolo_obb_rows(boxes: Floats, classes: npt.NDArray[np.int64], tile_px: int) -> list[str]:
    """Rows "class x1 y1 x2 y2 x3 y3 x4 y4", the corners over the tile's side, always within 0–1.

    A refitted box can stand out of the tile by a corner; that corner is moved straight to the edge. One moved
    corner leaves the smallest rectangle round the four as it was, since the other three
    still span it; two, in a corner of the tile, shrink it a little.
    """
    corners = np.clip(boxes_to_corners(boxes) / tile_px, 0.0, 1.0).reshape(-1, 8)
    return [
        " ".join([str(int(class_id)), *(f"{value:.6f}" for value in row)])
        for class_id, row in zip(classes, corners, strict=True)
    ]


def _cuts(start: Floats, end: Floats, cell_px: int, shortest_px: float = _SHORTEST_SPAN_PX) -> list[float]:
    """Where a segment is cut, as fractions of it, 0 and 1 included; short end pieces joined."""
    delta = end - start
    axis = 0 if abs(delta[0]) >= abs(delta[1]) else 1
    low, high = sorted((float(start[axis]), float(end[axis])))
    lines = np.arange(math.floor(low / cell_px) + 1, math.ceil(high / cell_px)) * cell_px
    inner = sorted(float(t) for t in (lines - start[axis]) / delta[axis]) if len(lines) else []
    shortest = shortest_px / max(float(np.hypot(*delta)), 1e-9)
    if inner and inner[0] < shortest:
        inner = inner[1:]
    if inner and 1.0 - inner[-1] < shortest:
        inner = inner[:-1]
    return [0.0, *inner, 1.0]
