"""Spans of perimeters put together again: the lines as they run through the tile.

This is no guessing as after detection (`pithead.lines`): spans of a line share their ends as they were cut,
to a thousandth of a pixel. A span that the tile's edge has refitted follows the line that leads to it, or is
given up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from pithead.courses import chains
from pithead.geometry import boxes_to_corners

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WIDTH_PX = 0.05
"""A side that differs from the width of spans by less is the side across the line."""

MEET_PX = 1.0
"""Ends nearer than this are one point of a line."""

DROPPED_PX = 9.0
"""The longest gap that is bridged: a part of a line too short (under 8 px) for a span of its own."""

REFITTED_IOU = 0.8
"""A span that the edge has refitted follows a line if it covers the line's course at least this well."""


@dataclass(frozen=True, slots=True)
class Course:
    """The points (M, 2) of a line, or of a ring if closed, whose first point is then not repeated."""

    points: Floats
    closed: bool


def whole_lines(spans: Floats, width_px: float, side_px: int) -> tuple[list[Course], Floats]:
    """The lines of the spans (N, 5) of one class in a tile, and the spans (K, 5) that tell no line."""
    along, across = (np.abs(spans[:, side] - width_px) > WIDTH_PX for side in (2, 3))
    clear = along != across
    segments = np.where(across[clear, None, None], _segments(spans[clear], 1), _segments(spans[clear], 0))
    square = ~along & ~across
    segments = np.concatenate([segments, _laid(spans[square], segments)])
    followed: list[Floats] = []
    lost: list[Floats] = []
    for span in spans[along & across]:
        course = _continued(span, segments, width_px, side_px)
        (lost if course is None else followed).append(span if course is None else course)
    segments = np.concatenate([segments, np.array(followed).reshape(-1, 2, 2)])
    courses = [part for course in _courses(segments) for part in _within(course, side_px)]
    return courses, np.array(lost).reshape(-1, 5)


def _segments(spans: Floats, side: int) -> Floats:
    """The middle lines (N, 2, 2) of spans along their first or second side."""
    angle = spans[:, 4] + side * np.pi / 2
    half = np.stack([np.cos(angle), np.sin(angle)], axis=1) * spans[:, 2 + side, None] / 2
    return np.stack([spans[:, :2] - half, spans[:, :2] + half], axis=1)


def _laid(squares: Floats, others: Floats) -> Floats:
    """The middle lines of spans as long as wide: along the side whose ends are nearer to ends of others."""
    ways = np.stack([_segments(squares, 0), _segments(squares, 1)], axis=1)
    ends = others.reshape(1, 1, 1, -1, 2)
    if not len(squares) or not len(others):
        return ways[:, 0]
    nearest = np.hypot(*np.moveaxis(ways[..., None, :] - ends, -1, 0)).min(axis=-1).min(axis=-1)
    laid: Floats = ways[np.arange(len(ways)), np.argmin(nearest, axis=1)]
    return laid


def _continued(span: Floats, segments: Floats, width_px: float, side_px: int) -> Floats | None:
    """The course (2, 2) of a span that the edge has refitted: straight on from a line's end, or None."""
    tile = shapely.box(0, 0, side_px, side_px)
    corners = boxes_to_corners(span)[0]
    outline = shapely.Polygon(corners)
    seen = outline & tile
    ends = segments.reshape(-1, 2)
    for i in np.flatnonzero(shapely.dwithin(outline, shapely.points(ends), MEET_PX)):
        way = ends[i] - ends[i ^ 1]
        way = way / np.hypot(*way)
        far = float(((corners - ends[i]) @ way).max())
        course = np.stack([ends[i], ends[i] + way * max(far, 0.0)])
        band = shapely.buffer(shapely.LineString(course), width_px / 2, cap_style="flat") & tile
        both = (band & seen).area
        if both > REFITTED_IOU * (band.area + seen.area - both):
            return course
    return None


def _courses(segments: Floats) -> list[Course]:
    """The segments (N, 2, 2) chained by their ends."""
    ends = segments.reshape(-1, 2)
    courses = []
    for chain, closed in chains(len(segments), _partners(segments)):
        points: list[Floats] = [] if closed else [ends[chain[0]]]
        turns: list[float] = []
        joints = list(zip(chain[1::2], [*chain[2::2], chain[0]], strict=True))
        for out, into in joints if closed else joints[:-1]:
            met = float(np.hypot(*(ends[out] - ends[into]))) <= MEET_PX
            points += [(ends[out] + ends[into]) / 2] if met else [ends[out], ends[into]]
            turns += [_turn(ends, out, into)] * (len(points) - len(turns))
        # A ring begins at its sharpest corner: nobody would see another cut in the middle of a side.
        first = int(np.argmax(np.round(turns, 6))) if closed else 0
        points = [*points[first:], *points[:first]] if closed else [*points, ends[chain[-1]]]
        courses.append(Course(np.array(points), closed and len(points) > 2))
    return courses


def _partners(segments: Floats) -> dict[int, int]:
    """Which end each end meets, if any: ends at one point, the straightest way first; then over gaps."""
    ends = segments.reshape(-1, 2)
    way = (segments[:, 1] - segments[:, 0])[:, None, :] * np.array([-1.0, 1.0])[None, :, None]
    way = (way / np.maximum(np.hypot(way[..., 0], way[..., 1])[..., None], 1e-9)).reshape(-1, 2)
    gap = ends[None] - ends[:, None]
    far = np.hypot(gap[..., 0], gap[..., 1])
    turn = np.arccos(np.clip(-(way[:, None] * way[None]).sum(axis=-1), -1, 1))
    ahead = (gap * way[:, None]).sum(axis=-1)
    own = np.arange(len(ends)) // 2
    pairs = np.triu(own[:, None] != own[None], 1)
    meeting = pairs & (far <= MEET_PX)
    bridged = pairs & (far <= DROPPED_PX) & (ahead > -MEET_PX) & (ahead.T > -MEET_PX) & ~meeting
    partner: dict[int, int] = {}
    for allowed, cost in ((meeting, turn), (bridged, far)):
        a, b = np.nonzero(allowed)
        for i in np.lexsort((b, a, np.round(cost[a, b], 6))):
            if int(a[i]) not in partner and int(b[i]) not in partner:
                partner |= {int(a[i]): int(b[i]), int(b[i]): int(a[i])}
    return partner


def _turn(ends: Floats, out: int, into: int) -> float:
    """How far, in radians, a line turns from the segment that ends at `out` to the one that begins."""
    before, after = ends[out] - ends[out ^ 1], ends[into ^ 1] - ends[into]
    cosine = float(before @ after) / max(float(np.hypot(*before) * np.hypot(*after)), 1e-9)
    return float(np.arccos(np.clip(cosine, -1, 1)))


def _within(course: Course, side_px: int) -> list[Course]:
    """What of a course lies in the tile: refitted spans reach over its edge, their lines go on unseen."""
    if ((course.points >= 0) & (course.points <= side_px)).all():
        return [course]
    points = np.vstack([course.points, course.points[:1]]) if course.closed else course.points
    inside = shapely.intersection(shapely.LineString(points), shapely.box(0, 0, side_px, side_px))
    parts = shapely.get_parts(shapely.line_merge(inside))
    return [Course(shapely.get_coordinates(part), closed=False) for part in parts if part.length > 0]
