"""Cutting labels at the edge of a scene."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pithead.generate.parts import tight_rectangle

Points = npt.NDArray[np.float64]


def clip_polygon(points: Points, width: float, height: float) -> Points:
    """The part of a convex polygon (M, 2) inside 0..width, 0..height (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, 0.0, 1.0), (0, width, -1.0), (1, 0.0, 1.0), (1, height, -1.0)):
        kept: list[Points] = []
        inner = sign * (points[:, axis] - limit)
        for i in range(len(points)):
            here, before = inner[i], inner[i - 1]
            if (here >= 0) != (before >= 0):
                share = before / (before - here)
                kept.append(points[i - 1] + share * (points[i] - points[i - 1]))
            if here >= 0:
                kept.append(points[i])
        if len(kept) < 3:
            return np.zeros((0, 2), np.float64)
        points = np.array(kept, np.float64)
    return points


def polygon_area(points: Points) -> float:
    """Area of a simple polygon."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def clip_rectangle(corners: Points, width: float, height: float, smallest_px2: float) -> Points | None:
    """The tightest rectangle round the visible part; None if that is smaller than asked.

    A rectangle that lies inside comes back as it was. The refitted rectangle may stick out of the scene
    by its corners where a turned object is cut; it is clamped to the scene then.
    """
    inside = (corners >= 0).all() and (corners[:, 0] <= width).all() and (corners[:, 1] <= height).all()
    if inside:
        return corners if polygon_area(corners) >= smallest_px2 else None
    visible = clip_polygon(corners, width, height)
    if len(visible) < 3 or polygon_area(visible) < max(smallest_px2, 0.05 * polygon_area(corners)):
        return None
    return np.clip(tight_rectangle(visible), 0, [width, height])


def clip_line(points: Points, width: float, height: float, *, closed: bool) -> list[tuple[Points, bool]]:
    """The pieces of a line inside the scene; a ring that is cut becomes open pieces.

    Pieces shorter than 2 are dropped.
    """
    inside = (points >= 0).all() and (points[:, 0] <= width).all() and (points[:, 1] <= height).all()
    if inside:
        return [(points, closed)]
    run = np.concatenate([points, points[:1]]) if closed else points
    pieces: list[list[Points]] = []
    for first, last in pairwise(run):
        span = _clip_segment(first, last, width, height)
        if span is None:
            continue
        start, stop = span
        if pieces and np.allclose(pieces[-1][-1], start):
            pieces[-1].append(stop)
        else:
            pieces.append([start, stop])
    if closed and len(pieces) > 1 and np.allclose(pieces[-1][-1], pieces[0][0]):
        pieces[0] = pieces.pop() + pieces[0][1:]
    lines = [np.array(piece, np.float64) for piece in pieces]
    return [(line, False) for line in lines if np.hypot(*np.diff(line, axis=0).T).sum() >= 2]


def _clip_segment(first: Points, last: Points, width: float, height: float) -> tuple[Points, Points] | None:
    """The part of a segment inside the scene (Liang and Barsky 1984)."""
    low, high = 0.0, 1.0
    way = last - first
    for step, room in (
        (-way[0], first[0]),
        (way[0], width - first[0]),
        (-way[1], first[1]),
        (way[1], height - first[1]),
    ):
        if step == 0:
            if room < 0:
                return None
            continue
        share = room / step
        low, high = (max(low, share), high) if step < 0 else (low, min(high, share))
    return (first + low * way, first + high * way) if low < high else None
