"""Which detection of one side is which of the other: one to one, by overlap and by nearness, in metres.

Nothing here takes one side for the truth: with the sides exchanged the pairs are the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from pithead.changes.ground import Shapes
from pithead.geometry import Floats

Ints = npt.NDArray[np.int64]

SAME_IOU = 0.5
"""From this overlap on two boxes are one object, as in every measuring of weights."""
LEAST = 0.2
"""Under this overlap, and farther apart than `NEAR_M`, nothing is a pair."""
NEAR_M = 15.0
"""Centres of boxes that are no farther apart than this may be one object without any overlap."""
SHIFT_M = 10.0
"""A box whose centre is farther away than this has moved, however large the overlap."""
BUFFER_M = 10.0
"""Lines no farther apart than this run along the same course, as in every measuring of perimeters."""
SAME_COURSE = 0.8
"""From this share of common course on a line is where it was."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs one to one, (P,) each: indices of both sides, overlap from 0 to 1, shift of the centre."""

    old: Ints
    new: Ints
    overlap: Floats
    """Of boxes intersection over union, of lines the share of both within `BUFFER_M` of the other."""
    shift_m: Floats
    """NaN of lines, whose middle says little."""
    moved: npt.NDArray[np.bool_]

    @classmethod
    def boxes(cls, old: Shapes, new: Shapes) -> "Pairs":
        """Pair the boxes of one scene and class, polygons in metres, (N,) and (M,).

        First those with an IoU from `SAME_IOU` on, then what is left with an IoU from `LEAST` on or centres
        no farther apart than `NEAR_M`. A pair has moved if its IoU is under `SAME_IOU` or its centre shifted
        by more than `SHIFT_M`. Two squares of 20 m, one 4 m beside the other: IoU 0.667, and not moved.
        """
        a, b = _near(old, new, NEAR_M)
        overlap, shift = _iou(old, new, a, b), _centres_apart(old, new, a, b)
        # Overlap and nearness together: of two neighbours without overlap the nearer one is the object.
        likely = overlap + NEAR_M / (NEAR_M + shift)
        taken = _in_turn(
            (overlap >= SAME_IOU, (overlap >= LEAST) | (shift <= NEAR_M)), a, b, (overlap, likely)
        )
        moved = (overlap < SAME_IOU) | (shift > SHIFT_M)
        return cls(a[taken], b[taken], overlap[taken], shift[taken], moved[taken])

    @classmethod
    def lines(cls, old: Shapes, new: Shapes) -> "Pairs":
        """Pair the lines of one scene and class, in metres: those that share most of their course.

        A pair shares at least `LEAST` of both lengths; under `SAME_COURSE` it has moved.
        """
        a, b = _near(old, new, BUFFER_M)
        overlap = _common_course(old, new, a, b)
        taken = _in_turn((overlap >= LEAST,), a, b, (overlap,))
        shift = np.full(len(a), np.nan)
        return cls(a[taken], b[taken], overlap[taken], shift[taken], overlap[taken] < SAME_COURSE)


def same(shapes: Shapes, *, lines: bool) -> tuple[Ints, Ints]:
    """Indices of all two of the shapes, in metres, that share at least half: one place, told of twice."""
    a, b = _near(shapes, shapes, BUFFER_M if lines else 0.0)
    overlap = _common_course(shapes, shapes, a, b) if lines else _iou(shapes, shapes, a, b)
    held = (overlap >= SAME_IOU) & (a != b)
    return a[held], b[held]


def along(lines: Shapes, others: Shapes) -> Ints:
    """Which of the others (M,) runs along each line (N,), -1 if more than half of it lies beyond them all."""
    found = np.full(len(lines), -1, np.int64)
    if not len(lines) or not len(others):
        return found
    a, b = _near(lines, others, BUFFER_M)
    shared = shapely.length(shapely.intersection(lines[a], shapely.buffer(others[b], BUFFER_M)))
    order = np.argsort(shared, kind="stable")
    found[a[order]] = b[order]  # the last one written is the one that shares most
    found[beyond_m(lines, others) > (1 - SAME_IOU) * shapely.length(lines)] = -1
    return found


def beyond_m(lines: Shapes, others: Shapes) -> Floats:
    """Of each line (N,) the metres that lie farther than `BUFFER_M` from all the others (M,)."""
    near = shapely.buffer(shapely.union_all(others), BUFFER_M)
    return np.asarray(shapely.length(shapely.difference(lines, near)), np.float64).reshape(len(lines))


def apart(shapes: Shapes, others: Shapes, *, lines: bool) -> Floats:
    """Of each shape (N,) the share, 0 to 1, outside of all the others (M,); of lines, beyond their buffer."""
    size = shapely.length(shapes) if lines else shapely.area(shapes)
    beyond = beyond_m(shapes, others) if lines else _outside_m2(shapes, others)
    return np.divide(beyond, size, out=np.ones(len(shapes)), where=size > 0)


def _outside_m2(boxes: Shapes, others: Shapes) -> Floats:
    out = np.asarray(shapely.area(boxes), np.float64).copy()
    a, b = _near(boxes, others, 0.0)
    for i in np.unique(a).tolist():  # few touch any: to unite all the others for each would take longer
        out[i] = shapely.difference(boxes[i], shapely.union_all(others[b[a == i]])).area
    return out


def _near(old: Shapes, new: Shapes, reach_m: float) -> tuple[Ints, Ints]:
    """Indices of all that come as near to each other as that, in order."""
    if not len(old) or not len(new):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    a, b = shapely.STRtree(new).query(old, predicate="dwithin", distance=reach_m)
    order = np.lexsort((b, a))
    return a[order].astype(np.int64), b[order].astype(np.int64)


def _iou(old: Shapes, new: Shapes, a: Ints, b: Ints) -> Floats:
    area_old, area_new = shapely.area(old)[a], shapely.area(new)[b]
    both = shapely.area(shapely.intersection(old[a], new[b]))
    whole = area_old + area_new - both
    return np.divide(both, whole, out=np.zeros(len(a)), where=whole > 0)


def _centres_apart(old: Shapes, new: Shapes, a: Ints, b: Ints) -> Floats:
    here, there = (shapely.get_coordinates(shapely.centroid(some)) for some in (old, new))
    return np.asarray(np.hypot(*(here[a] - there[b]).T), np.float64)


def _common_course(old: Shapes, new: Shapes, a: Ints, b: Ints) -> Floats:
    wide_old, wide_new = shapely.buffer(old, BUFFER_M), shapely.buffer(new, BUFFER_M)
    shared = shapely.length(shapely.intersection(old[a], wide_new[b]))
    shared = shared + shapely.length(shapely.intersection(new[b], wide_old[a]))
    whole = shapely.length(old)[a] + shapely.length(new)[b]
    return np.divide(shared, whole, out=np.zeros(len(a)), where=whole > 0)


def _in_turn(
    rounds: tuple[npt.NDArray[np.bool_], ...], a: Ints, b: Ints, weights: tuple[Floats, ...]
) -> Ints:
    """Which candidates are pairs: each round takes the heaviest set of those still free, one to one."""
    taken: Ints = np.zeros(0, np.int64)
    for usable, weight in zip(rounds, weights, strict=True):
        free = usable & ~np.isin(a, a[taken]) & ~np.isin(b, b[taken])
        mine = np.flatnonzero(free)
        taken = np.concatenate([taken, mine[_one_to_one(a[mine], b[mine], weight[mine])]])
    return np.sort(taken)


def _one_to_one(a: Ints, b: Ints, weight: Floats) -> Ints:
    """Which of the candidates (K,) make the heaviest set in which nothing stands twice (Kuhn–Munkres).

    Candidates that hang together are solved by themselves, so that a scene of thousands takes no time.
    """
    if not len(a):
        return np.zeros(0, np.int64)
    first, rows = np.unique(a, return_inverse=True)
    last, columns = np.unique(b, return_inverse=True)
    size = len(first) + len(last)
    joined = sparse.coo_array((np.ones(len(a)), (rows, len(first) + columns)), shape=(size, size))
    group = connected_components(joined.tocsr(), directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    taken = []
    for mine in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(mine) == 1:
            taken.append(mine)
            continue
        r, here = np.unique(rows[mine], return_inverse=True)
        c, there = np.unique(columns[mine], return_inverse=True)
        table, number = np.zeros((len(r), len(c))), np.full((len(r), len(c)), -1, np.int64)
        table[here, there], number[here, there] = weight[mine], mine
        best = number[linear_sum_assignment(table, maximize=True)]
        taken.append(best[best >= 0])
    return np.concatenate(taken)
