"""Pieces of strips put together again: the strips as they stand there, without the pad.

This is no guessing as after detection (`pithead.strips`): pieces of a strip share whole sides as they were
cut, to a thousandth of a pixel.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pithead.geometry import boxes_to_corners, canonical, fit_box

Floats = npt.NDArray[np.float64]

SAME_PX = 0.3
"""Sides that differ by less are the same: rows have six decimals, and a thousandth of a turn is as much."""

SAME_TURN = np.radians(1.0)


def whole_strips(pieces: Floats, pad_px: float, side_px: int) -> Floats:
    """The strips (M, 5) of the pieces (N, 5) of one class in a tile of this side.

    A piece that the tile's edge has clipped aslant may stay by itself.
    """
    bare = without_pad(pieces, pad_px, side_px)
    pairs = [(i, j) for i in range(len(bare)) for j in range(i) if _share_a_side(bare[i], bare[j])]
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(len(bare), len(bare)))
    count, group = connected_components(graph, directed=False) if len(bare) else (0, np.zeros(0))
    strips = [fit_box(boxes_to_corners(bare[group == number]).reshape(-1, 2)) for number in range(count)]
    return canonical(np.array(strips).reshape(-1, 5))


def without_pad(pieces: Floats, pad_px: float, side_px: int) -> Floats:
    """The pieces less their pad, but for sides all of which is on the tile's edge: there it is cut off."""
    out = pieces.copy()
    for axis in (0, 1):
        angle = pieces[:, 4] + axis * np.pi / 2
        way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        half = pieces[:, 2 + axis] / 2
        for sign in (-1.0, 1.0):
            middle = pieces[:, :2] + sign * way * half[:, None]
            along = np.stack([-way[:, 1], way[:, 0]], axis=1) * pieces[:, 3 - axis, None] / 2
            ends = np.stack([middle - along, middle + along], axis=1)
            low, high = (ends < SAME_PX).all(axis=1), (ends > side_px - SAME_PX).all(axis=1)
            beyond = np.logical_or(low, high).any(axis=1)
            off = np.where(beyond, 0.0, np.minimum(pad_px, half - 0.5))
            out[:, 2 + axis] -= off
            out[:, :2] -= sign * way * off[:, None] / 2
    return canonical(out)


def _share_a_side(a: Floats, b: Floats) -> bool:
    """Whether two boxes (5,) meet along a whole side of both."""
    if abs((a[4] - b[4] + np.pi / 4) % (np.pi / 2) - np.pi / 4) > SAME_TURN:
        return False
    cos, sin = np.cos(a[4]), np.sin(a[4])
    one, other = (boxes_to_corners(box)[0] - a[:2] for box in (a, b))
    one, other = (corners @ np.array([[cos, -sin], [sin, cos]]) for corners in (one, other))
    low, high = one.min(axis=0) - other.min(axis=0), one.max(axis=0) - other.max(axis=0)
    alike = (np.abs(low) < SAME_PX) & (np.abs(high) < SAME_PX)
    after, before = one.max(axis=0) - other.min(axis=0), other.max(axis=0) - one.min(axis=0)
    touch = (np.abs(after) < SAME_PX) | (np.abs(before) < SAME_PX)
    return bool((alike[0] and touch[1]) or (alike[1] and touch[0]))
