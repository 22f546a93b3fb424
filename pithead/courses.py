"""The course of a line through its spans: fitted, its ends brought to what they meet, faces found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy import sparse
from scipy.sparse.linalg import spsolve

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROUGH_PX = 5.0
"""Points nearer than this to a straight part make no corner: jitter of 3 px and 4 degrees."""

FINE_PX = 3.0
"""The same once the parts are fitted."""

HOLD = 0.05
"""The weight that keeps a corner where it was, against 1 for a span: decides only what spans leave open."""

OVERSHOOT_PX = 15.0
"""How far an end may stand beyond the fence that it meets."""

MEET = np.radians(20.0)
"""The least angle between a fence and the end that meets it."""

BESIDE_PX = 10.0
"""A span whose centre is nearer than this to a ring is of that ring."""


@dataclass(frozen=True, slots=True)
class Course:
    """Points (M, 2) in px along a line, the first of a ring not repeated, and its spans in order (K,)."""

    points: Floats
    closed: bool
    members: Ints


def fit(points: Floats, centres: Floats, samples: Floats, *, closed: bool) -> Floats:
    """Few points of which the straight parts lie best among the samples, by least squares.

    Args:
        points: (M, 2) along the line, the corners among them.
        centres: (K,) which of the points are centres of spans.
        samples: (K, S, 2) points on each of these spans.
        closed: Whether the last point joins the first.
    """
    if closed:
        # A ring starts where it is farthest from its middle: at a corner.
        first = int(np.argmax(np.hypot(*(points - points.mean(axis=0)).T).round(6)))
        points = np.concatenate([np.roll(points, -first, axis=0), points[first : first + 1]])
        centres = (centres - first) % (len(points) - 1)
    at = _kept(points, ROUGH_PX)
    corners = points[at]
    for tolerance in (FINE_PX, 0.0):
        corners = _settled(corners, at, centres, samples, closed=closed)
        if tolerance and len(corners) > 4:
            left = _kept(corners, tolerance)
            corners, at = corners[left], at[left]
    return corners[:-1] if closed else corners


def _kept(points: Floats, tolerance: float) -> Ints:
    """Which points are left when those that say nothing are dropped."""
    left = shapely.get_coordinates(shapely.simplify(shapely.linestrings(points), tolerance))
    at = [0]
    for point in left[1:-1]:
        at.append(at[-1] + 1 + int(np.argmax((points[at[-1] + 1 :] == point).all(axis=1))))
    return np.array([*at, len(points) - 1])


def _settled(corners: Floats, at: Ints, centres: Floats, samples: Floats, *, closed: bool) -> Floats:
    """Corners (C, 2) moved to where the sum of squared distances of the samples is least."""
    count = len(corners) - closed
    parts = np.clip(np.searchsorted(at, centres, side="right") - 1, 0, len(at) - 2)
    before = np.where(at[parts] == centres, parts - 1, parts)
    before = np.where(before < 0, len(at) - 2 if closed else 0, before)
    spots = samples.reshape(-1, 2)
    either = [np.repeat(part, samples.shape[1]) for part in (before, parts)]
    start = corners[:count].copy()
    for _ in range(3):
        far = [_distance(spots, corners[part], corners[part + 1]) for part in either]
        part = np.where(far[0] < far[1], *either)
        a, b = corners[part], corners[part + 1]
        step = b - a
        length = np.maximum(np.hypot(*step.T), 1e-9)
        normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / length[:, None]
        t = np.clip(((spots - a) * step).sum(axis=1) / length**2, 0, 1)
        row = np.repeat(np.arange(len(spots)), 4)
        nodes = np.stack([part, part, (part + 1) % count, (part + 1) % count], axis=1)
        column = (2 * nodes + np.array([0, 1, 0, 1])).ravel()
        value = np.concatenate([normal * (1 - t)[:, None], normal * t[:, None]], axis=1).ravel()
        matrix = sparse.csr_array((value, (row, column)), shape=(len(spots), 2 * count))
        square = matrix.T @ matrix + HOLD * sparse.eye_array(2 * count)
        right = matrix.T @ (normal * spots).sum(axis=1) + HOLD * start.ravel()
        moved = spsolve(sparse.csc_array(square), right).reshape(-1, 2)
        corners = np.concatenate([moved, moved[:1]]) if closed else moved
    return np.asarray(corners, np.float64)


def _distance(points: Floats, a: Floats, b: Floats) -> Floats:
    """From points (N, 2) to segments a (N, 2) to b (N, 2)."""
    step = b - a
    t = ((points - a) * step).sum(axis=1) / np.maximum((step**2).sum(axis=1), 1e-9)
    return np.asarray(np.hypot(*(a + np.clip(t, 0, 1)[:, None] * step - points).T), np.float64)


def joined(courses: Sequence[Course], centres: Floats, reach_px: float) -> list[Course]:
    """Courses with their ends brought to the fences that they meet, and every face so enclosed as a ring.

    A wall between two compounds is in both of their rings. An end meets a fence that it points at from at
    most `reach_px` away. What encloses nothing stays a line.
    """
    segments, owner = _segments(courses)
    if not len(segments):
        return list(courses)
    tree = shapely.STRtree(np.asarray(shapely.linestrings(segments), np.object_))
    moved = [course.points.copy() for course in courses]
    group = np.arange(len(courses))
    met = np.zeros(len(courses), bool)
    for i, course in enumerate(courses):
        for last in () if course.closed else (False, True):
            hit = _met(course.points[::-1] if last else course.points, i, segments, owner, tree, reach_px)
            if hit is not None:
                moved[i][-1 if last else 0] = hit[0]
                met[[i, hit[1]]] = True
                group[group == group[hit[1]]] = group[i]
    found = [c for c, some in zip(courses, met, strict=True) if not some]
    for name in np.unique(group[met]):
        these = [int(i) for i in np.flatnonzero(met & (group == name))]
        found += _faces([Course(moved[i], courses[i].closed, courses[i].members) for i in these], centres)
    return found


def _segments(courses: Sequence[Course]) -> tuple[Floats, Ints]:
    """All straight parts (P, 2, 2), and which course each is of (P,)."""
    parts = [np.zeros((0, 2, 2))]
    for course in courses:
        points = np.concatenate([course.points, course.points[:1]]) if course.closed else course.points
        parts.append(np.stack([points[:-1], points[1:]], axis=1))
    return np.concatenate(parts), np.repeat(np.arange(len(courses)), [len(part) for part in parts[1:]])


def _met(
    points: Floats, own: int, segments: Floats, owner: Ints, tree: shapely.STRtree, reach_px: float
) -> tuple[Floats, int] | None:
    """Where the first of the points would meet a fence, a hair beyond it, and whose fence that is."""
    way = points[0] - points[1]
    length = float(np.hypot(*way))
    way = way / max(length, 1e-9)
    ray = np.stack([points[0] - way * min(OVERSHOOT_PX, length / 2), points[0] + way * reach_px])
    best: tuple[float, Floats, int] | None = None
    for j in np.sort(tree.query(shapely.linestrings(ray), predicate="intersects")):
        step = segments[j, 1] - segments[j, 0]
        size = float(np.hypot(*step))
        slant = abs(float(way[0] * step[1] - way[1] * step[0])) / max(size, 1e-9)
        mine = owner[j] == own and (segments[j] == points[0]).all(axis=1).any()
        if mine or slant < np.sin(MEET):
            continue
        spot = shapely.get_coordinates(
            shapely.intersection(shapely.linestrings(ray), shapely.linestrings(segments[j]))
        )[0]
        ahead = float((spot - points[0]) @ way)
        if best is None or abs(ahead) < abs(best[0]):
            best = ahead, spot + way * 0.01, int(owner[j])
    return None if best is None else best[1:]


def _faces(courses: list[Course], centres: Floats) -> list[Course]:
    """The rings that courses enclose together, and what is left of the courses as lines."""
    lines: list[shapely.LineString] = [
        shapely.LineString(np.concatenate([c.points, c.points[:1]]) if c.closed else c.points)
        for c in courses
    ]
    noded = shapely.union_all(lines)
    faces = [face.exterior for face in shapely.get_parts(shapely.polygonize([noded]))]
    members = np.unique(np.concatenate([course.members for course in courses]))
    found = []
    for face in faces:
        ring = shapely.get_coordinates(shapely.simplify(face, 0.5))[:-1]
        found.append(Course(ring, True, _beside(face, members, centres)))  # noqa: FBT003
    rings = shapely.union_all([face.buffer(1.0) for face in faces])
    for course, line in zip(courses, lines, strict=True):
        left = shapely.difference(line, rings)
        for part in shapely.get_parts(shapely.line_merge(left)):
            points = shapely.get_coordinates(part)
            if len(points) > 1:
                found.append(Course(points, False, _beside(part, course.members, centres)))  # noqa: FBT003
    return found


def _beside(line: shapely.LineString, members: Ints, centres: Floats) -> Ints:
    """Which of the spans lie along a line, in order."""
    spots = np.asarray(shapely.points(centres[members]), np.object_)
    near = shapely.distance(line, spots) < BESIDE_PX
    return members[near][np.argsort(shapely.line_locate_point(line, spots[near]), kind="stable")]


def chains(count: int, partner: dict[int, int]) -> list[tuple[list[int], bool]]:
    """Chains of ends (in, out, in, out ...) and whether each is a ring. Each end is linked at most once."""
    found = []
    seen: set[int] = set()
    starts = [end for end in range(2 * count) if end not in partner]
    for start in [*starts, *range(2 * count)]:
        if start // 2 in seen:
            continue
        chain, end = [], start
        while end // 2 not in seen:
            seen.add(end // 2)
            chain += [end, end ^ 1]
            end = partner.get(end ^ 1, end)
        found.append((chain, chain[0] in partner))
    return found
