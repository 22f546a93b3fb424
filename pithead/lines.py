"""Spans of a perimeter become lines and rings.

A detector sees a fence as consecutive oriented boxes ("spans"), some missing, some doubled, some false. Every
span has two ends. Ends that continue each other, or meet in a corner, are linked, cheapest first and each
end at most once: chains and rings come out. A chain of which too little was really seen is noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Link = tuple[float, int, int]

MAX_GAP_M = 60.0
"""Two missing spans in a row are bridged: 2 x 27 m along a diagonal, and jitter."""

MIN_LINE_M = 60.0
"""The smallest perimeter (labeling/classes.toml)."""

SEEN = 0.8
"""Share of the least length that must have been seen as spans, not bridged."""

SEEN_OF_LINE = 0.4
"""Share of a line's own length that must have been seen: spans that are few and far between are no fence."""

SPAN_WIDTH_M = 12.0
"""How wide spans are drawn, whatever stands there."""

SQUAT = 1.25
"""Below this ratio of sides the direction of a span means nothing."""

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
    """(2N, 2) unit vectors out of the span, zero where the span is squat."""


def link(
    boxes: Floats,
    scores: npt.NDArray[np.float32],
    *,
    max_gap_px: float = 100.0,
    min_length_px: float = 100.0,
    width_px: float = 20.0,
) -> tuple[Line, ...]:
    """Link spans (N, 5) into lines and rings, surest first.

    Args:
        boxes: cx, cy, w, h, angle of each span.
        scores: (N,)
        max_gap_px: The longest gap between two spans that is bridged.
        min_length_px: Shorter lines, and lines of which less than 80 % of this or 40 % of themselves was
            seen, are dropped.
        width_px: The width of spans: the long side of a stub shorter than that lies across the line.
    """
    boxes = _along(np.asarray(boxes, np.float64).reshape(-1, 5), width_px)
    kept = _without_doubles(boxes, scores)
    if not len(kept):
        return ()
    spans = _ends(boxes[kept])
    lines = []
    for chain, closed in _chains(len(kept), _links(spans, max_gap_px)):
        members = np.array([end // 2 for end in chain[::2]])
        seen = float(spans.lengths[members].sum())
        if seen < SEEN * min_length_px:
            continue
        ring = closed or _nearly_closed(spans, chain, max_gap_px)
        points = _course(spans, chain, closed=ring, reach=max_gap_px)
        if min_length_px <= _length(points, closed=ring) <= seen / SEEN_OF_LINE:
            lines.append(Line(points, ring, float(scores[kept[members]].mean()), kept[members]))
    return tuple(sorted(lines, key=lambda line: (-line.score, *line.points[0].tolist())))


def _along(boxes: Floats, width_px: float) -> Floats:
    """The boxes with w along the line and h across it, which for a stub is not the canonical order."""
    across = (boxes[:, 2] < 1.3 * width_px) & (boxes[:, 2] > SQUAT * boxes[:, 3])
    turned = boxes.copy()
    turned[across, 2], turned[across, 3] = boxes[across, 3], boxes[across, 2]
    turned[across, 4] += np.pi / 2
    return turned


def _is_squat(boxes: Floats) -> npt.NDArray[np.bool_]:
    ratio = boxes[:, 2] / np.maximum(boxes[:, 3], 1e-9)
    return np.asarray((ratio < SQUAT) & (ratio > 1 / SQUAT), np.bool_)


def _without_doubles(boxes: Floats, scores: npt.NDArray[np.float32]) -> Ints:
    """Indices of the spans that no surer span lies upon."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    order = np.lexsort((*boxes.T[::-1], -scores))
    near = cKDTree(boxes[:, :2]).query_ball_point(boxes[:, :2], float(boxes[:, 2].max()) / 2)
    axis = np.stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])], axis=1)
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
        squat = _is_squat(boxes[others]) | _is_squat(boxes[i : i + 1])
        gone[
            others[
                (along < max(boxes[i, 2], boxes[i, 3]) * 0.45) & (across < boxes[i, 3] * 0.6) & (same | squat)
            ]
        ] = True
    return np.flatnonzero(~gone).astype(np.int64)


def _ends(boxes: Floats) -> _Spans:
    axis = np.stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])], axis=1)
    axis[_is_squat(boxes)] = 0
    outward = np.stack([-axis, axis], axis=1)
    ends = boxes[:, None, :2] + outward * boxes[:, None, 2:3] / 2
    return _Spans(boxes[:, :2], boxes[:, 2], ends.reshape(-1, 2), outward.reshape(-1, 2))


def _links(spans: _Spans, max_gap_px: float) -> list[Link]:
    """Every pair of ends that may be joined, cheapest first."""
    pairs = cKDTree(spans.ends).query_pairs(max_gap_px, output_type="ndarray")
    pairs = pairs[pairs[:, 0] // 2 != pairs[:, 1] // 2]
    if not len(pairs):
        return []
    a, b = np.sort(pairs, axis=1).T
    ways = _straight(spans, a, b), _corner(spans, a, b, max_gap_px), _touch(spans, a, b)
    costs = np.minimum.reduce(ways)
    fit = np.isfinite(costs)
    return sorted(zip(costs[fit].round(6).tolist(), a[fit].tolist(), b[fit].tolist(), strict=True))


def _angle(u: Floats, v: Floats) -> Floats:
    """Angle (N,) between vectors, 0 where either is zero."""
    norm = np.hypot(*u.T) * np.hypot(*v.T)
    cosine = np.divide((u * v).sum(axis=1), norm, out=np.ones(len(u)), where=norm > 0)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)), np.float64)


def _straight(spans: _Spans, a: Ints, b: Ints) -> Floats:
    """Cost of going on from end a into end b: the gap, dearer where the line would turn."""
    gap = spans.ends[b] - spans.ends[a]
    length = np.hypot(*gap.T)
    u, v = spans.outward[a], -spans.outward[b]
    turn = _angle(u, v)
    # Over a short gap jitter alone turns the gap every way: measure between the centres instead.
    way = spans.centres[b // 2] - spans.centres[a // 2]
    turn = np.maximum.reduce([turn, _angle(u, way), _angle(v, way)])
    squat = (u == 0).all(axis=1) | (v == 0).all(axis=1)
    short = np.minimum(spans.lengths[a // 2], spans.lengths[b // 2])
    backward = (gap * u).sum(axis=1) < -0.6 * short
    cost = length * (1 + turn) + CORNER_COST_PX * turn
    bend = np.where(squat, STUB_BEND, BEND)
    bad = (turn > bend) | backward | (squat & (length > spans.lengths.max() * 1.5))
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


def _chains(count: int, links: Sequence[Link]) -> list[tuple[list[int], bool]]:
    """Chains of ends (in, out, in, out ...) and whether each is a ring. Each end is linked at most once."""
    partner: dict[int, int] = {}
    for _, a, b in links:
        # Two spans that meet at both ends are two sides of nothing, not a ring.
        if a not in partner and b not in partner and partner.get(a ^ 1) != b ^ 1:
            partner[a], partner[b] = b, a
    chains = []
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
        chains.append((chain, chain[0] in partner))
    return chains


def _nearly_closed(spans: _Spans, chain: list[int], max_gap_px: float) -> bool:
    """Whether a chain comes back to its start but for a gate: a gap small against its length."""
    gap = float(np.hypot(*(spans.ends[chain[0]] - spans.ends[chain[-1]])))
    seen = float(spans.lengths[np.array(chain[::2]) // 2].sum())
    return len(chain) >= 12 and gap <= min(1.5 * max_gap_px, seen / 5)


def _course(spans: _Spans, chain: list[int], *, closed: bool, reach: float) -> Floats:
    """Points along a chain: the centres of its spans, the corners between them, and its two ends."""
    members = np.array(chain[::2]) // 2
    points = [] if closed else [_tip(spans, chain[0], chain[2] if len(chain) > 2 else chain[1])]
    outs = np.array(chain[1::2])
    ins = np.roll(np.array(chain[::2]), -1)
    ahead, _ = _meeting(spans, outs, ins)
    corner = np.isfinite(_corner(spans, outs, ins, 1.2 * reach))
    for i, member in enumerate(members):
        points.append(spans.centres[member])
        if corner[i] and (closed or i + 1 < len(members)):
            points.append(spans.ends[outs[i]] + ahead[i] * spans.outward[outs[i]])
    if not closed:
        points.append(_tip(spans, chain[-1], chain[-3] if len(chain) > 2 else chain[0]))
    return _simplified(np.array(points), closed=closed, tolerance=float(np.median(spans.lengths)) * 0.12)


def _tip(spans: _Spans, end: int, inner: int) -> Floats:
    """Where a line ends; a squat span has no end of its own and goes on as the line came."""
    way = spans.centres[end // 2] - spans.ends[inner]
    if spans.outward[end].any() or not way.any():
        return np.asarray(spans.ends[end], np.float64)
    return np.asarray(
        spans.centres[end // 2] + way / np.hypot(*way) * spans.lengths[end // 2] / 2, np.float64
    )


def _simplified(points: Floats, *, closed: bool, tolerance: float) -> Floats:
    """Drop points that say nothing; a ring starts where it is farthest from its middle: at a corner."""
    if closed:
        first = int(np.argmax(np.hypot(*(points - points.mean(axis=0)).T).round(6)))
        points = np.roll(points, -first, axis=0)
        points = np.concatenate([points, points[:1]])
    line = shapely.get_coordinates(shapely.simplify(shapely.linestrings(points), tolerance))
    return np.asarray(line[:-1] if closed else line, np.float64)


def _length(points: Floats, *, closed: bool) -> float:
    course = np.concatenate([points, points[:1]]) if closed else points
    return float(np.hypot(*np.diff(course, axis=0).T).sum())
