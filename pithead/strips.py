"""Pieces of strips become whole boxes: a rake of wagons, a long loading rack.

A network regresses a box of 300 x 4 m from one cell, and badly. So a strip is taught in pieces that are
locked to the network's cells, each a little wider than the strip (`pithead.labels.pieces_of`), and here the
pieces that continue each other are laid together again: end to end, or side by side where a group is wider
than a piece is long.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pithead.geometry import boxes_to_corners, canonical, fit_box

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DOUBLE = 0.5
"""A piece that shares more of the smaller one's area than this with a surer piece is the same piece."""

TURN = np.radians(15.0)
"""The most that two neighbouring pieces differ in direction: jitter, and a curve of 150 m."""

ELONGATED = 1.3
"""From this ratio of sides on, the direction of a piece means something."""

ASIDE = 0.5
"""Pieces end to end lie at most this share of the narrower one's width apart across."""

WIDER = 1.7
"""The most that the widths of neighbouring pieces differ, as a ratio."""

MOST_STRAIGHT = 5
"""With fewer pieces than this nobody asks whether a strip bends."""

SURE = 3.0
"""A strip bends if its bow is this many times its standard error."""

FILLED = 0.7
"""Touching pieces of no direction are one strip if they fill this share of the rectangle round both."""


@dataclass(frozen=True, slots=True)
class Strips:
    """Whole strips: boxes (M, 5), scores (M,) (the mean of the pieces by length), members (M,) of each."""

    boxes: Floats
    scores: npt.NDArray[np.float32]
    members: tuple[Ints, ...]
    """Which of the given pieces each was joined of; a piece that was there twice counts once."""


def join(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    pad_px: float,
    bridge_px: float = 40.0,
    cell_px: float = 32.0,
) -> Strips:
    """Join the pieces (N, 5) of one class into strips, in any order.

    Args:
        boxes: cx, cy, w, h, angle of each piece, taught `pad_px` larger than what is there on every side.
        scores: (N,)
        pad_px: What is taken off again.
        bridge_px: The longest gap that is bridged, end to end: one piece may have been missed.
        cell_px: The length of most pieces, without the pad.
    """
    every, score = canonical(boxes), np.asarray(scores, np.float32).reshape(-1)
    kept = _without_doubles(every, score)
    every, score = every[kept], score[kept]
    if not len(every):
        return Strips(np.zeros((0, 5)), np.zeros(0, np.float32), ())
    a, b = _neighbours(every, bridge_px + 2 * pad_px, cell_px)
    ones = np.ones(len(a), np.int8)
    _, group = connected_components(coo_array((ones, (a, b)), shape=(len(every), len(every))), directed=False)
    shrunk = every.copy()
    shrunk[:, 2:4] = np.maximum(every[:, 2:4] - 2 * pad_px, 1.0)
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    long = np.maximum(shrunk[:, 2], 1.0)
    return Strips(
        np.stack([_fit(shrunk[members]) for members in groups]),
        np.array([np.average(score[members], weights=long[members]) for members in groups], np.float32),
        tuple(kept[members] for members in groups),
    )


def _without_doubles(boxes: Floats, scores: npt.NDArray[np.float32]) -> Ints:
    """Indices, surest first, of the pieces that no surer kept piece mostly covers or is covered by."""
    order = np.lexsort((*boxes.T[::-1], -scores))
    shapes = np.asarray(shapely.polygons(boxes_to_corners(boxes[order])), np.object_)
    a, b = shapely.STRtree(shapes).query(shapes) if len(shapes) else np.zeros((2, 0), np.int64)
    a, b = a[a < b], b[a < b]
    area = shapely.area(shapes)
    shared = shapely.area(shapely.intersection(shapes[a], shapes[b]))
    same = shared > DOUBLE * np.minimum(area[a], area[b])
    gone = np.zeros(len(shapes), bool)
    for first, second in sorted(zip(a[same].tolist(), b[same].tolist(), strict=True)):
        gone[second] |= not gone[first]
    return np.asarray(order[~gone], np.int64)


def _neighbours(boxes: Floats, bridge_px: float, cell_px: float) -> tuple[Ints, Ints]:
    """The pairs of pieces that are parts of one strip."""
    shapes = np.asarray(shapely.polygons(boxes_to_corners(boxes)), np.object_)
    a, b = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=bridge_px)
    a, b = a[a < b].astype(np.int64), b[a < b].astype(np.int64)
    in_line = _end_to_end(boxes[a], boxes[b], bridge_px)
    joined = in_line | _filling(boxes[a], boxes[b], shapes[a], shapes[b], cell_px)
    return a[joined], b[joined]


def _end_to_end(a: Floats, b: Floats, bridge_px: float) -> npt.NDArray[np.bool_]:
    """Elongated pieces of one direction and width whose ends are no more than the bridge apart."""
    turn = (b[:, 4] - a[:, 4] + np.pi / 2) % np.pi - np.pi / 2
    middle = a[:, 4] + turn / 2
    cos, sin = np.cos(middle), np.sin(middle)
    offset = b[:, :2] - a[:, :2]
    along = np.abs(offset[:, 0] * cos + offset[:, 1] * sin)
    across = np.abs(offset[:, 1] * cos - offset[:, 0] * sin)
    narrow, wide = np.minimum(a[:, 3], b[:, 3]), np.maximum(a[:, 3], b[:, 3])
    lengths = (a[:, 2] + b[:, 2]) / 2
    elongated = (a[:, 2] >= ELONGATED * a[:, 3]) & (b[:, 2] >= ELONGATED * b[:, 3])
    beside = (across <= ASIDE * narrow) & (wide <= WIDER * narrow)
    return np.asarray(
        elongated & beside & (np.abs(turn) <= TURN) & (along - lengths <= bridge_px) & (along > lengths / 2)
    )


def _beside(a: Floats, b: Floats, cell_px: float) -> npt.NDArray[np.bool_]:
    """Whether two pieces lie beside each other on parallel tracks: two groups, not one.

    The larger one says which way its strip runs: along its long side, unless it is as wide as a cell is long.
    """
    larger = np.where((a[:, 2] * a[:, 3] >= b[:, 2] * b[:, 3])[:, None], a, b)
    offset = b[:, :2] - a[:, :2]
    cos, sin = np.cos(larger[:, 4]), np.sin(larger[:, 4])
    along = np.abs(offset[:, 0] * cos + offset[:, 1] * sin)
    across = np.abs(offset[:, 1] * cos - offset[:, 0] * sin)
    elongated = larger[:, 2] >= ELONGATED * larger[:, 3]
    return np.asarray(elongated & (larger[:, 3] < cell_px) & (across > along))


def _filling(
    a: Floats,
    b: Floats,
    shapes_a: npt.NDArray[np.object_],
    shapes_b: npt.NDArray[np.object_],
    cell_px: float,
) -> npt.NDArray[np.bool_]:
    """Touching pieces, sides parallel, that nearly fill the rectangle round both."""
    turn = (b[:, 4] - a[:, 4] + np.pi / 4) % (np.pi / 2) - np.pi / 4
    found = (np.abs(turn) <= TURN) & ~_beside(a, b, cell_px) & shapely.intersects(shapes_a, shapes_b)
    both = shapely.union(shapes_a[found], shapes_b[found])
    around = np.array([np.prod(fit_box(shapely.get_coordinates(shape))[2:4]) for shape in both])
    found[found] = shapely.area(both) >= FILLED * around if len(both) else False
    return np.asarray(found)


def _fit(pieces: Floats) -> Floats:
    """The rectangle round the pieces (K, 5) of one strip: their ends as they are, their sides smoothed."""
    if len(pieces) == 1:
        return np.asarray(pieces[0], np.float64)
    corners = boxes_to_corners(pieces)
    box = fit_box(corners.reshape(-1, 2))
    if box[2] >= 3 * box[3]:
        box[4] = _direction(corners.reshape(-1, 2))
    cos, sin = np.cos(box[4]), np.sin(box[4])
    local = corners - box[:2]
    along = local[..., 0] * cos + local[..., 1] * sin
    across = local[..., 1] * cos - local[..., 0] * sin
    left, right = float(along.min()), float(along.max())
    low, high = _sides(pieces, box[4], along.mean(axis=1), across)
    u, v = (left + right) / 2, (low + high) / 2
    centre = box[:2] + np.array([u * cos - v * sin, u * sin + v * cos])
    whole: Floats = canonical([[*centre, right - left, high - low, box[4]]])[0]
    return whole


def _direction(points: Floats) -> float:
    """The direction in which points spread most."""
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return float(np.arctan2(axes[0, 1], axes[0, 0]))


def _sides(pieces: Floats, angle: float, along: Floats, across: Floats) -> tuple[float, float]:
    """The sides of a strip across its direction.

    The median of the pieces' widths about the mean of their middles: the jitter of single pieces would
    otherwise always widen a strip. Pieces that lie beside each other say themselves how far they reach.
    """
    middles = across.mean(axis=1)
    lying = np.abs(np.sin(pieces[:, 4] - angle)) < np.sin(np.pi / 4)
    widths, lengths = np.where(lying, pieces[:, 2:4].T[::-1], pieces[:, 2:4].T)
    half = float(np.median(widths)) / 2
    if np.ptp(middles) > 2 * half:
        return float(across.min()), float(across.max())
    middle = float(np.average(middles, weights=lengths))
    bend = _bend(along, middles, float(np.ptp(along) + lengths.mean()))
    # A bow of height b about its mean: the ends 2/3 b to one side, the middle 1/3 b to the other.
    return middle - half - max(bend * 2, -bend) / 3, middle + half + max(bend, -bend * 2) / 3


def _bend(along: Floats, middles: Floats, length: float) -> float:
    """The height of the bow of a strip, positive where its middle lies at the higher side, 0 if in doubt."""
    if len(along) < MOST_STRAIGHT:
        return 0.0
    place = (along - along.mean()) / (length / 2)
    design = np.stack([np.ones_like(place), place, place**2], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    terms = inverse @ design.T @ middles
    rest = middles - design @ terms
    error = np.sqrt(inverse[2, 2] * (rest @ rest) / (len(place) - 3))
    return -float(terms[2]) if abs(terms[2]) > SURE * error else 0.0
