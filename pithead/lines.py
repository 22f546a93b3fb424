"""Spans of a perimeter become lines and rings.

A detector sees a fence as consecutive oriented boxes ("spans"), some missing, some doubled, some false. Every
span has two ends. Ends that continue each other, or meet in a corner, are linked, cheapest first and each
end at most once: chains and rings come out. A chain of which too little was really seen is noise.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from pithead.courses import Course, chains, fit, joined

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Link = tuple[float, int, int]

MAX_GAP_M = 60.0
"""Two missing spans in a row are bridged: 2 x 27 m along a diagonal, and jitter."""

MIN_LINE_M = 60.0
"""The smallest perimeter (labeling/classes.toml)."""

SEEN = 0.8
"""Share of the least length that must have been seen as spans, not bridged."""

SHRUNK = 0.85
"""Share of the least length that a line must have: jitter may take some of the smallest."""

SEEN_OF_LINE = 0.4
"""Share of a line's own length that must have been seen: spans that are few and far between are no fence."""

SPAN_WIDTH_M = 12.0
"""How wide spans are drawn, whatever stands there."""

SQUAT = 1.25
"""Below this ratio of sides a span may run along either of them."""

BEND = np.radians(35.0)
"""The most that a line turns from one span to the next without a corner."""

CORNER = np.radians(140.0)
"""The most that it turns at a corner."""

STUB_BEND = np.radians(65.0)
"""The same where one span is squat: a stub at a corner, whose neighbour stands round that corner."""

TOUCH = 0.7
"""Ends nearer than this share of a span touch."""

CORNER_COST_PX = 24.0
"""A corner is taken before a straight gap only if it is this much nearer."""

NEAR_COST_PX = 44.0
"""Links up to this cost are made before any other: neighbours, in line or round a corner."""

RUN = 5
"""How many spans, at most, say where the end of a line points."""

ALIGNED = np.radians(15.0)
"""Spans of which the direction differs by less are of one straight run."""

LONG_GAPS = 2.0
"""Between ends of `SURE` spans that point at each other, gaps this many times as long are bridged."""

LONG_BEND = np.radians(12.0)
"""The most that a line turns over such a gap."""

SURE = 3

MEETS = 0.7
"""An end meets a fence that it points at from within this share of the longest gap."""

UPON, UPON_SQUAT = 0.45, 0.3
"""A span lies upon another if its middle is off by less than this share of the other's sides."""

U_GAP, U_AREA = 0.3, 0.03
"""A short line is a ring if it lacks less than this share, and encloses this share of its length squared."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a ring if closed (whose first point is then not repeated at the end)."""

    points: Floats
    """(M, 2) in the pixels of the boxes."""
    closed: bool
    score: float
    """The mean score of its spans."""
    members: Ints
    """(K,) which boxes it was made of, in order along the line."""


@dataclass(frozen=True, slots=True)
class _Spans:
    """Spans with two ends each: end 2i and 2i + 1 belong to span i."""

    centres: Floats
    lengths: Floats
    ends: Floats
    """(2N, 2)"""
    outward: Floats
    """(2N, 2) unit vectors out of the span."""
    squat: npt.NDArray[np.bool_]
    run: Ints
    """(2N,) how many spans said where the end points."""

    def backs(self, ends: Ints) -> Floats:
        """The points half a span behind some of the ends."""
        return np.asarray(
            self.ends[ends] - self.outward[ends] * self.lengths[ends // 2, None] / 2, np.float64
        )


def link(
    boxes: Floats,
    scores: npt.NDArray[np.float32],
    *,
    max_gap_px: float = 100.0,
    min_length_px: float = 100.0,
    width_px: float = 20.0,
) -> tuple[Line, ...]:
    """Link spans (N, 5) into lines and rings, surest first.

    Every face that fences enclose together is a ring of its own: two compounds that share a wall are two
    rings, both with the whole of that wall, and so is a compound with a wall across it.

    Args:
        boxes: cx, cy, w, h, angle of each span.
        scores: (N,)
        max_gap_px: The longest gap between two spans that is bridged; between long straight runs it is twice
            as long.
        min_length_px: Shorter lines, and lines of which less than 80 % of this or 40 % of themselves was
            seen, are dropped.
        width_px: The width of spans: the long side of a stub shorter than that lies across the line.
    """
    order = np.lexsort(np.asarray(boxes, np.float64).reshape(-1, 5).T)
    boxes, scores = np.asarray(boxes, np.float64).reshape(-1, 5)[order], np.asarray(scores)[order]
    if not len(boxes):
        return ()
    boxes = _along(boxes, width_px)
    kept = _without_doubles(boxes, scores)
    spans = _ends(boxes[kept])
    courses = []
    for whole, closed in chains(len(kept), _partners(spans, max_gap_px)):
        chain = whole if closed else _trimmed(spans, whole)
        members = np.array(chain[::2]) // 2
        if spans.lengths[members].sum() >= SEEN * min_length_px:
            ring = closed or _nearly_closed(spans, chain, max_gap_px)
            courses.append(Course(_course(spans, chain, closed=ring, reach=max_gap_px), ring, members))
    lines = []
    for course in joined(courses, spans.centres, max_gap_px * MEETS):
        members, long = course.members, _length(course.points, closed=course.closed)
        seen = float(spans.lengths[members].sum())
        if SEEN * min_length_px <= seen >= SEEN_OF_LINE * long and long >= SHRUNK * min_length_px:
            score = float(scores[kept[members]].mean())
            lines.append(Line(course.points, course.closed, score, order[kept[members]]))
    return tuple(sorted(lines, key=lambda line: (-line.score, *line.points[0].tolist())))


def _along(boxes: Floats, width_px: float) -> Floats:
    """The boxes with w along the line and h across it, which for a stub is not the canonical order.

    A squat one lies along the side whose two ends are nearer to the ends of others.
    """
    long, short = boxes[:, 2], boxes[:, 3]
    squat = _is_squat(boxes)
    across = ~squat & (long < 1.3 * width_px) & (abs(long - width_px) < abs(short - width_px))
    turned = _turned(boxes, across)
    if not squat.any():
        return turned
    spans, other = _ends(turned), _ends(_turned(boxes, squat))
    spots = np.concatenate([spans.ends, other.ends[np.repeat(squat, 2)]])
    owner = np.concatenate([np.repeat(np.arange(len(boxes)), 2), np.repeat(np.flatnonzero(squat), 2)])
    tree, count = cKDTree(spots), min(5, len(spots))
    far = []
    for side in (spans, other):
        distance, found = tree.query(side.ends[np.repeat(squat, 2)], k=count)
        mine = owner[found] == np.repeat(np.flatnonzero(squat), 2)[:, None]
        nearest = np.where(mine, 2 * width_px, distance).min(axis=1)
        far.append(np.minimum(nearest, 2 * width_px).reshape(-1, 2).sum(axis=1))
    swap = squat.copy()
    swap[squat] = far[1] + 1 < far[0]
    return _turned(turned, swap)


def _turned(boxes: Floats, some: npt.NDArray[np.bool_]) -> Floats:
    """The same rectangles, some of them with their sides the other way about."""
    turned = boxes.copy()
    turned[some, 2], turned[some, 3] = boxes[some, 3], boxes[some, 2]
    turned[some, 4] += np.pi / 2
    return turned


def _is_squat(boxes: Floats) -> npt.NDArray[np.bool_]:
    ratio = boxes[:, 2] / np.maximum(boxes[:, 3], 1e-9)
    return np.asarray((ratio < SQUAT) & (ratio > 1 / SQUAT), np.bool_)


def _without_doubles(boxes: Floats, scores: npt.NDArray[np.float32]) -> Ints:
    """Indices of the spans that no surer span lies upon."""
    order = np.lexsort((*boxes.T[::-1], -scores))
    near = cKDTree(boxes[:, :2]).query_ball_point(boxes[:, :2], float(boxes[:, 2].max()) / 2)
    axis = np.stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])], axis=1)
    squat = _is_squat(boxes)
    gone = np.zeros(len(boxes), bool)
    for i in order:
        if gone[i]:
            continue
        others = np.array([j for j in near[i] if j != i and not gone[j]], np.int64)
        if not len(others):
            continue
        offset = boxes[others, :2] - boxes[i, :2]
        along = np.abs(offset @ axis[i])
        across = np.abs(offset @ np.array([-axis[i, 1], axis[i, 0]]))
        same = np.abs(axis[others] @ axis[i]) > np.cos(np.radians(30))
        upon = same & (along < boxes[i, 2] * UPON) & (across < boxes[i, 3] * UPON)
        upon |= (squat[others] | squat[i]) & (np.hypot(along, across) < boxes[i, 3] * UPON_SQUAT)
        gone[others[upon]] = True
    return np.flatnonzero(~gone).astype(np.int64)


def _ends(boxes: Floats) -> _Spans:
    axis = np.stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])], axis=1)
    outward = np.stack([-axis, axis], axis=1)
    ends = (boxes[:, None, :2] + outward * boxes[:, None, 2:3] / 2).reshape(-1, 2)
    run = np.ones(len(ends), np.int64)
    return _Spans(boxes[:, :2], boxes[:, 2], ends, outward.reshape(-1, 2), _is_squat(boxes), run)


def _partners(spans: _Spans, max_gap_px: float) -> dict[int, int]:
    """Which end each end is linked to, if any: neighbours first, then over gaps by where whole runs point."""
    partner: dict[int, int] = {}
    for far in (False, True, True):
        sure = spans if not far else _aimed(spans, partner)
        links = _links(sure, partner, max_gap_px, far=far)
        for _, a, b in links:
            # Two spans that meet at both ends are two sides of nothing, not a ring.
            if a not in partner and b not in partner and partner.get(a ^ 1) != b ^ 1:
                partner[a], partner[b] = b, a
    return partner


def _aimed(spans: _Spans, partner: dict[int, int]) -> _Spans:
    """The same spans, the open ends where a straight line through the last few of their spans points."""
    ends, outward, run = spans.ends.copy(), spans.outward.copy(), spans.run.copy()
    for end in range(len(ends)):
        if end in partner:
            continue
        members, at = [end // 2], end
        while len(members) < RUN and (at ^ 1) in partner:
            at = partner[at ^ 1]
            if at // 2 in members or spans.outward[end] @ spans.outward[at] < np.cos(ALIGNED):
                break
            members.append(at // 2)
        if len(members) > 1:
            spots = np.concatenate([spans.ends[[2 * m, 2 * m + 1]] for m in members])
            middle = spots.mean(axis=0)
            axis = np.linalg.svd(spots - middle, full_matrices=False)[2][0]
            outward[end] = axis if axis @ spans.outward[end] > 0 else -axis
            ends[end] = middle + ((spans.ends[end] - middle) @ axis) * axis
            run[end] = len(members)
    return replace(spans, ends=ends, outward=outward, run=run)


def _links(spans: _Spans, partner: dict[int, int], max_gap_px: float, *, far: bool) -> list[Link]:
    """Every pair of open ends that may be joined, cheapest first."""
    open_ends = np.array([end for end in range(len(spans.ends)) if end not in partner], np.int64)
    if not len(open_ends):
        return []
    reach = max_gap_px * (LONG_GAPS if far else 1)
    pairs = open_ends[cKDTree(spans.ends[open_ends]).query_pairs(reach, output_type="ndarray")]
    pairs = pairs[pairs[:, 0] // 2 != pairs[:, 1] // 2]
    if not len(pairs):
        return []
    a, b = np.sort(pairs, axis=1).T
    straight, corner = _straight(spans, a, b, max_gap_px), _corner(spans, a, b, max_gap_px)
    costs = np.minimum(straight, corner)
    if far:
        # A span that nothing continues is too likely a false one to make a corner with.
        alone = np.array([end ^ 1 not in partner for end in range(len(spans.ends))])
        corner[(alone[a] | alone[b]) & (corner > NEAR_COST_PX)] = np.inf
        costs = np.minimum.reduce([straight, corner, _touch(spans, a, b)])
    fit_in = np.isfinite(costs) & (far | (costs < NEAR_COST_PX))
    return sorted(zip(costs[fit_in].round(6).tolist(), a[fit_in].tolist(), b[fit_in].tolist(), strict=True))


def _angle(u: Floats, v: Floats) -> Floats:
    """Angle (N,) between vectors, 0 where either is zero."""
    norm = np.hypot(*u.T) * np.hypot(*v.T)
    cosine = np.divide((u * v).sum(axis=1), norm, out=np.ones(len(u)), where=norm > 0)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)), np.float64)


def _straight(spans: _Spans, a: Ints, b: Ints, max_gap_px: float) -> Floats:
    """Cost of going on from end a into end b: the gap, dearer where the line would turn."""
    gap = spans.ends[b] - spans.ends[a]
    length = np.hypot(*gap.T)
    u, v = spans.outward[a], -spans.outward[b]
    # Over a short gap jitter alone turns the gap every way: measure between the middles instead.
    way = spans.backs(b) - spans.backs(a)
    turn = np.maximum.reduce([_angle(u, v), _angle(u, way), _angle(v, way)])
    squat = spans.squat[a // 2] | spans.squat[b // 2]
    short = np.minimum(spans.lengths[a // 2], spans.lengths[b // 2])
    backward = (gap * u).sum(axis=1) < -0.6 * short
    cost = length * (1 + turn) + CORNER_COST_PX * turn
    bend = np.where(squat, STUB_BEND, BEND)
    long = (length > max_gap_px) & ((turn > LONG_BEND) | (np.minimum(spans.run[a], spans.run[b]) < SURE))
    bad = (turn > bend) | backward | long | (squat & (turn > BEND) & (length > spans.lengths.max() * 1.5))
    return np.where(bad, np.inf, cost)


def _meeting(spans: _Spans, a: Ints, b: Ints) -> tuple[Floats, Floats]:
    """How far (N,) ahead of end a and of end b their directions meet; nan where they are parallel."""
    u, v = spans.outward[a], spans.outward[b]
    gap = spans.ends[b] - spans.ends[a]
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    ahead_a = np.full(len(a), np.nan)
    ahead_b = np.full(len(a), np.nan)
    ok = np.abs(cross) > np.sin(np.radians(15))
    np.divide(gap[:, 0] * v[:, 1] - gap[:, 1] * v[:, 0], cross, out=ahead_a, where=ok)
    np.divide(gap[:, 0] * u[:, 1] - gap[:, 1] * u[:, 0], cross, out=ahead_b, where=ok)
    return ahead_a, ahead_b


def _corner(spans: _Spans, a: Ints, b: Ints, max_gap_px: float) -> Floats:
    """Cost of a corner between end a and end b: the way from both to the point where they meet."""
    ahead_a, ahead_b = _meeting(spans, a, b)
    turn = _angle(spans.outward[a], -spans.outward[b])
    reach = 0.9 * max_gap_px
    back = -0.4 * np.minimum(spans.lengths[a // 2], spans.lengths[b // 2])
    with np.errstate(invalid="ignore"):
        ok = (turn > BEND / 2) & (turn < CORNER)
        ok &= (ahead_a > back) & (ahead_b > back) & (ahead_a < reach) & (ahead_b < reach)
    return np.where(ok, np.abs(ahead_a) + np.abs(ahead_b) + CORNER_COST_PX, np.inf)


def _touch(spans: _Spans, a: Ints, b: Ints) -> Floats:
    """Cost of joining ends that touch: the last resort, for corners whose stubs point anywhere."""
    length = np.hypot(*(spans.ends[b] - spans.ends[a]).T)
    turn = _angle(spans.outward[a], -spans.outward[b])
    bad = (length > TOUCH * np.median(spans.lengths)) | (turn > CORNER)
    return np.where(bad, np.inf, 2 * length + 3 * CORNER_COST_PX)


def _trimmed(spans: _Spans, chain: list[int]) -> list[int]:
    """An open chain without single spans at its ends that stand off and aside: false ones."""
    apart = TOUCH * float(np.median(spans.lengths))
    chain = list(chain)
    for _ in range(2):
        chain.reverse()
        while len(chain) > 6:
            last, before = chain[-2], chain[-3]
            gap = float(np.hypot(*(spans.ends[last] - spans.ends[before])))
            if gap < apart or spans.outward[chain[-1]] @ spans.outward[before] > np.cos(ALIGNED):
                break
            chain = chain[:-2]
    return chain


def _nearly_closed(spans: _Spans, chain: list[int], max_gap_px: float) -> bool:
    """Whether a chain comes back to its start but for a gate: a gap small against its length."""
    gap = float(np.hypot(*(spans.ends[chain[0]] - spans.ends[chain[-1]])))
    seen = float(spans.lengths[np.array(chain[::2]) // 2].sum())
    if len(chain) >= 12 and gap <= min(1.5 * max_gap_px, seen / 5):
        return True
    ring = shapely.Polygon(spans.ends[chain]) if len(chain) >= 6 else shapely.Polygon()
    return gap <= min(max_gap_px, U_GAP * (seen + gap)) and ring.area > U_AREA * (seen + gap) ** 2


def _course(spans: _Spans, chain: list[int], *, closed: bool, reach: float) -> Floats:
    """Points along a chain, fitted to its spans: the corners and the two ends."""
    members = np.array(chain[::2]) // 2
    points = [] if closed else [spans.ends[chain[0]]]
    outs = np.array(chain[1::2])
    ins = np.roll(np.array(chain[::2]), -1)
    ahead, _ = _meeting(spans, outs, ins)
    corner = np.isfinite(_corner(spans, outs, ins, 1.2 * reach))
    centres = []
    for i, member in enumerate(members):
        centres.append(len(points))
        points.append(spans.centres[member])
        if corner[i] and (closed or i + 1 < len(members)):
            points.append(spans.ends[outs[i]] + ahead[i] * spans.outward[outs[i]])
    if not closed:
        points.append(spans.ends[chain[-1]])
    half = (spans.ends[2 * members + 1] - spans.ends[2 * members])[:, None, :] / 2
    samples = spans.centres[members][:, None, :] + half * np.array([-0.7, 0.7])[None, :, None]
    return fit(np.array(points), np.array(centres), samples, closed=closed)


def _length(points: Floats, *, closed: bool) -> float:
    course = np.concatenate([points, points[:1]]) if closed else points
    return float(np.hypot(*np.diff(course, axis=0).T).sum())
