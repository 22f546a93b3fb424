"""One object seen by several tiles becomes one detection.

Two tiles that overlap saw the same ground twice. What each saw is clipped to the strip they share and matched
there one to one; a matched pair is one object. Of a matched group the side that is not cut by a tile edge is
kept; where every side is cut they are joined and refitted. Two boxes of the same tile are never duplicates of
each other, which is what a plain NMS over the scene gets wrong (DESIGN.md, decision 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from pithead.geometry import Window, boxes_to_corners, fit_box

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MATCH_IOU = 0.2
"""Least IoU within the shared strip. Low, because a cut part is refitted and a sliver is jittery;
which of several candidates is meant is for the assignment to say."""

CUT_PX = 4.0
"""A box this near to an edge of its tile that another tile looks across is cut: detectors stop short."""

COVERED = 0.7
"""A whole box stands for a cut one if it covers at least this share of it."""

SETTLED = 0.9
"""A whole box that covers this share of every other box of its group stands for all without a closer look."""

DENIED_PX = 32.0
"""A tile that shows an object this much farther from its edges than those that reported it knows better."""

ELONGATED = 1.5
"""From this ratio of sides on, the direction of a part is the direction of the object."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The detections of a scene, each once, in grid pixels, best score first."""

    boxes: Floats
    """(N, 5) cx, cy, w, h, angle."""
    scores: npt.NDArray[np.float32]
    """(N,)"""
    classes: Ints
    """(N,)"""
    tiles: tuple[tuple[int, ...], ...]
    """(N,) Which of the windows that were given saw each."""


@dataclass(frozen=True, slots=True)
class _Raw:
    """Every box of every tile in grid pixels, in an order that does not depend on the order of the tiles."""

    boxes: Floats
    scores: npt.NDArray[np.float32]
    classes: Ints
    tiles: Ints
    bounds: Floats
    """(W, 4) left, top, right, bottom of each tile."""
    reach: Floats
    """(W, 4) the same, but infinite on a side where no other tile looks on: nothing is cut there."""
    polygons: npt.NDArray[np.object_]
    given: Ints
    """(W,) Where each tile stood among the windows that were given."""


def merge(
    windows: Sequence[Window],
    rows: Sequence[npt.NDArray[np.float32]],
    piece_classes: frozenset[int] = frozenset(),
) -> Merged:
    """Merge what each tile saw into what is there.

    Args:
        windows: The tiles, in grid pixels, in any order.
        rows: One (k, 7) array per tile: cx, cy, w, h in tile pixels, angle, score, class.
        piece_classes: Classes whose boxes are spans of a line or pieces of a strip. They lie on the grid, so
            that two tiles see the same one: one of a matched group is kept and none are joined.
    """
    raw = _gather(windows, rows)
    if not len(raw.boxes):
        return Merged(raw.boxes, raw.scores, raw.classes, ())
    pairs, overlap = _candidates(raw)
    inset = _inset(raw)
    home, absorbed = _absorbed(raw, _groups(raw, pairs, overlap), pairs, inset)
    stands = _stands_for(raw, home, inset, piece_classes)
    boxes = raw.boxes[stands]
    # What is absorbed has no say in the outline, and pieces are never joined.
    speaks = np.flatnonzero(~absorbed & ~np.isin(raw.classes, list(piece_classes)))
    for members in _unsettled(raw, home, stands, inset, speaks):
        boxes[home[members[0]]] = _resolve(raw, members, inset)
    scores, denied = _judged(raw, home, boxes)
    classes, tiles = raw.classes[stands], _seen_by(raw, home)
    order = np.lexsort((*boxes.T[::-1], classes, -scores))
    order = order[~denied[order]]
    return Merged(boxes[order], scores[order], classes[order], tuple(tiles[i] for i in order))


def _judged(raw: _Raw, home: Ints, boxes: Floats) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The score (G,) of each group, and whether (G,) the tile that shows it best denies it.

    Near its edge a tile shows objects without their surroundings, or stumps of them: there a network sees
    things. So the tile in which an object lies farthest from the edges has the say: its score counts, and if
    it reported nothing there, neither is there anything.
    """
    corners = boxes_to_corners(boxes)
    low, high = corners.min(axis=1), corners.max(axis=1)
    frames = shapely.STRtree(_frames(raw.bounds))
    group, tile = frames.query(_frames(np.concatenate([low, high], axis=1)), predicate="intersects")
    reach = raw.reach[tile]
    inset = np.minimum((low[group] - reach[:, :2]).min(axis=1), (reach[:, 2:] - high[group]).min(axis=1))
    score = np.full(len(group), -1.0, np.float32)  # of the surest member that this tile reported
    where = dict(zip(zip(group.tolist(), tile.tolist(), strict=True), range(len(group)), strict=True))
    member = np.array([where.get(at, -1) for at in zip(home.tolist(), raw.tiles.tolist(), strict=True)])
    np.maximum.at(score, member[member >= 0], raw.scores[member >= 0])
    reported = score >= 0
    best = np.full(len(boxes), -np.inf)
    np.maximum.at(best, group[reported], inset[reported])
    denied = np.zeros(len(boxes), np.bool_)
    denied[group[~reported & (inset >= CUT_PX) & (inset >= best[group] + DENIED_PX)]] = True
    # Of tiles that show it equally well (at a scene's edge) the surest.
    decides = np.lexsort((-score, -inset, ~reported, group))
    first = decides[np.flatnonzero(np.diff(group[decides], prepend=-1))]
    return score[first], denied


def _seen_by(raw: _Raw, home: Ints) -> list[tuple[int, ...]]:
    """Which of the given windows saw each group."""
    group, tile = np.unique(np.stack([home, raw.given[raw.tiles]]), axis=1)
    return [tuple(some.tolist()) for some in np.split(tile, np.flatnonzero(np.diff(group)) + 1)]


def _gather(windows: Sequence[Window], rows: Sequence[npt.NDArray[np.float32]]) -> _Raw:
    order = sorted(range(len(windows)), key=lambda i: (windows[i].y, windows[i].x))
    bounds = np.array(
        [(w.x, w.y, w.x + w.width, w.y + w.height) for w in (windows[i] for i in order)],
        np.float64,
    ).reshape(-1, 4)
    found = [np.asarray(rows[i], np.float64).reshape(-1, 7) for i in order]
    found = [f[np.lexsort((*f.T[::-1], -f[:, 5]))] for f in found]
    tiles = np.repeat(np.arange(len(found)), [len(f) for f in found]).astype(np.int64)
    table = np.concatenate([np.zeros((0, 7)), *found])
    boxes = table[:, :5].copy()
    boxes[:, :2] += bounds[tiles, :2]
    return _Raw(
        boxes=boxes,
        scores=table[:, 5].astype(np.float32),
        classes=table[:, 6].astype(np.int64),
        tiles=tiles,
        bounds=bounds,
        reach=_reach(bounds),
        polygons=_polygons(boxes),
        given=np.array(order, np.int64),
    )


def _polygons(boxes: Floats) -> npt.NDArray[np.object_]:
    return np.asarray(shapely.polygons(boxes_to_corners(boxes)), np.object_)


def _frames(bounds: Floats) -> npt.NDArray[np.object_]:
    return np.asarray(shapely.box(*bounds.T), np.object_)


def _reach(bounds: Floats) -> Floats:
    """Bounds of each tile, infinite where no other tile looks on beyond that side."""
    reach = np.tile([-np.inf, -np.inf, np.inf, np.inf], (len(bounds), 1))
    if not len(bounds):
        return reach
    a, b = shapely.STRtree(_frames(bounds)).query(_frames(bounds))
    shared = (np.minimum(bounds[a, 2:], bounds[b, 2:]) > np.maximum(bounds[a, :2], bounds[b, :2])).all(axis=1)
    a, b = a[shared], b[shared]
    for side in range(4):
        beyond = bounds[b, side] < bounds[a, side] if side < 2 else bounds[b, side] > bounds[a, side]
        reach[a[beyond], side] = bounds[a[beyond], side]
    return reach


def _candidates(raw: _Raw) -> tuple[Ints, Floats]:
    """Pairs (P, 2) of boxes of two tiles that may be one object, and their IoU within the shared strip.

    Pairs of too low an IoU are there if one box lies within the other: a stump of it, perhaps.
    """
    a, b = shapely.STRtree(raw.polygons).query(raw.polygons, predicate="intersects")
    keep = (raw.tiles[a] < raw.tiles[b]) & (raw.classes[a] == raw.classes[b])
    a, b = a[keep], b[keep]
    low = np.maximum(raw.bounds[raw.tiles[a], :2], raw.bounds[raw.tiles[b], :2])
    high = np.minimum(raw.bounds[raw.tiles[a], 2:], raw.bounds[raw.tiles[b], 2:])
    keep = (low < high).all(axis=1)
    a, b, low, high = a[keep], b[keep], low[keep], high[keep]
    in_a, in_b = _clipped(raw.polygons[a], low, high), _clipped(raw.polygons[b], low, high)
    common = shapely.area(shapely.intersection(in_a, in_b))
    area_a, area_b = shapely.area(in_a), shapely.area(in_b)
    union = area_a + area_b - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    keep = (iou >= MATCH_IOU) | ((common > 0) & (common >= COVERED * np.minimum(area_a, area_b)))
    return np.stack([a, b], axis=1)[keep].astype(np.int64), iou[keep]


def _clipped(polygons: npt.NDArray[np.object_], low: Floats, high: Floats) -> npt.NDArray[np.object_]:
    """What of each polygon lies between low (N, 2) and high (N, 2); most lie there whole."""
    bounds = shapely.bounds(polygons)
    cross = ((bounds[:, :2] < low) | (bounds[:, 2:] > high)).any(axis=1)
    frames = _frames(np.concatenate([low[cross], high[cross]], axis=1))
    clipped = polygons.copy()
    clipped[cross] = shapely.intersection(polygons[cross], frames)
    return clipped


def _matches(raw: _Raw, pairs: Ints, iou: Floats) -> tuple[Ints, Floats]:
    """The best one-to-one assignment within every pair of tiles: pairs (M, 2) of boxes and their IoU."""
    pairs, iou = pairs[iou >= MATCH_IOU], iou[iou >= MATCH_IOU]
    if not len(pairs):
        return pairs, iou
    between = raw.tiles[pairs[:, 0]] * len(raw.bounds) + raw.tiles[pairs[:, 1]]
    rivals = [_count(between, pairs[:, side]) for side in (0, 1)]
    chosen = (rivals[0] == 1) & (rivals[1] == 1)
    open_ = np.flatnonzero(~chosen)
    open_ = open_[np.argsort(between[open_], kind="stable")]
    for some in np.split(open_, np.flatnonzero(np.diff(between[open_])) + 1):
        chosen[some[_assigned(pairs[some], iou[some])]] = True
    return pairs[chosen], iou[chosen]


def _count(between: Ints, boxes: Ints) -> Ints:
    """How many candidates each box has in the same pair of tiles."""
    _, first, number = np.unique(np.stack([between, boxes]), axis=1, return_inverse=True, return_counts=True)
    return np.asarray(number[first.reshape(-1)], np.int64)


def _assigned(pairs: Ints, iou: Floats) -> Ints:
    """Which of the candidate pairs of two tiles are the best one-to-one assignment.

    Every box may also stay alone, which is a partner of its own at no gain: so a full matching exists.
    """
    left, row = np.unique(pairs[:, 0], return_inverse=True)
    right, column = np.unique(pairs[:, 1], return_inverse=True)
    size = len(left) + len(right)
    cost = np.full((size, size), 2.0)
    which = np.full(cost.shape, -1, np.int64)
    cost[row, column], which[row, column] = 2.0 - iou, np.arange(len(pairs))
    # scipy.optimize has this too, but takes a third of a second to import.
    found = which[min_weight_full_bipartite_matching(csr_array(cost))]
    return np.asarray(found[found >= 0], np.int64)


def _groups(raw: _Raw, pairs: Ints, iou: Floats) -> Ints:
    """The number (N,) of the object of every box.

    Surest matches first; a group never holds two boxes of one tile.
    """
    pairs, iou = _matches(raw, pairs, iou)
    home = np.arange(len(raw.boxes))
    times = np.bincount(pairs.reshape(-1), minlength=len(home))
    lone = (times[pairs] == 1).all(axis=1)  # most: seen by two tiles, and never taken for anything else
    home[pairs[lone].max(axis=1)] = pairs[lone].min(axis=1)
    pairs, iou = pairs[~lone], iou[~lone]
    parent: dict[int, int] = {}
    tiles: dict[int, set[int]] = {}

    def root(i: int) -> int:
        while i in parent:
            i = parent[i]
        return i

    order = np.lexsort((pairs[:, 1], pairs[:, 0], -iou))
    for a, b in pairs[order].tolist():
        ra, rb = sorted((root(a), root(b)))
        of_a, of_b = (tiles.setdefault(r, {int(raw.tiles[r])}) for r in (ra, rb))
        if ra != rb and of_a.isdisjoint(of_b):
            parent[rb] = ra
            of_a |= of_b
    for i in parent:
        home[i] = root(i)
    return np.asarray(home, np.int64)


def _absorbed(raw: _Raw, home: Ints, pairs: Ints, inset: Floats) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The groups (N,), numbered from 0, and which boxes (N,) count only as stumps of what a neighbour sees.

    A detector may see the stump of an object as two stumps; the neighbour that sees all of it knows better.
    Such a lone cut part goes to the group of the whole and leaves it nothing but its score.
    """
    cut = inset < CUT_PX
    size = np.bincount(home, minlength=len(home))[home]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[cut[both[:, 0]] & (size[both[:, 0]] == 1) & ~cut[both[:, 1]]]
    part = shapely.intersection(raw.polygons[both[:, 0]], _frames(raw.bounds[raw.tiles[both[:, 0]]]))
    inside = shapely.area(shapely.intersection(part, raw.polygons[both[:, 1]]))
    both = both[inside >= COVERED * shapely.area(part)]
    home, absorbed = home.copy(), np.zeros(len(home), np.bool_)
    home[both[:, 0]] = home[both[:, 1]]
    absorbed[both[:, 0]] = True
    return np.asarray(np.unique(home, return_inverse=True)[1], np.int64), absorbed


def _stands_for(raw: _Raw, home: Ints, inset: Floats, piece_classes: frozenset[int]) -> Ints:
    """The box (G,) that stands for each group: whole before cut, then the surest; of pieces the innermost."""
    piece = np.isin(raw.classes, list(piece_classes))
    order = np.lexsort((-raw.scores, np.where(piece, -inset, inset < CUT_PX), home))
    return np.asarray(order[np.flatnonzero(np.diff(home[order], prepend=-1))], np.int64)


def _unsettled(raw: _Raw, home: Ints, stands: Ints, inset: Floats, speaks: Ints) -> list[Ints]:
    """The members of each group in which the box that would stand for all is cut or leaves out too much."""
    others = speaks[stands[home[speaks]] != speaks]
    whole = stands[home[others]]
    settled = (_least_shared(raw.boxes[others], raw.boxes[whole]) >= SETTLED) & (inset[whole] >= CUT_PX)
    open_ = np.flatnonzero(~settled & (inset[whole] >= CUT_PX))
    some, over = raw.polygons[others[open_]], raw.polygons[whole[open_]]
    settled[open_] = shapely.area(shapely.intersection(some, over)) >= SETTLED * shapely.area(some)
    members = speaks[np.isin(home[speaks], home[others[~settled]])]
    members = members[np.argsort(home[members], kind="stable")]
    return np.split(members, np.flatnonzero(np.diff(home[members])) + 1) if len(members) else []


def _least_shared(boxes: Floats, others: Floats) -> Floats:
    """A share (N,) of each box that another covers at least: cheap, and enough where two are nearly equal."""
    corners = boxes_to_corners(boxes) - others[:, None, :2]
    cos, sin = np.cos(others[:, 4])[:, None], np.sin(others[:, 4])[:, None]
    along = np.abs(corners[..., 0] * cos + corners[..., 1] * sin).max(axis=1) - others[:, 2] / 2
    across = np.abs(corners[..., 1] * cos - corners[..., 0] * sin).max(axis=1) - others[:, 3] / 2
    reach = np.maximum(np.maximum(along, across), 0)
    # With every side moved inwards by as much as it reaches out, the box lies in the other.
    inner = np.maximum(boxes[:, 2:4] - 2 * reach[:, None], 0).prod(axis=1)
    area = boxes[:, 2:4].prod(axis=1)
    return np.asarray(np.divide(inner, area, out=np.zeros(len(boxes)), where=area > 0), np.float64)


def _inset(raw: _Raw) -> Floats:
    """How far (N,) each box stays inside the edges of its tile that another tile looks across."""
    corners = boxes_to_corners(raw.boxes)
    reach = raw.reach[raw.tiles]
    low = (corners.min(axis=1) - reach[:, :2]).min(axis=1)
    high = (reach[:, 2:] - corners.max(axis=1)).min(axis=1)
    return np.asarray(np.minimum(low, high), np.float64)


def _resolve(raw: _Raw, members: Ints, inset: Floats) -> Floats:
    """The surest whole member, unless it leaves out much of what another tile saw; else all joined."""
    if len(members) == 1:
        return np.asarray(raw.boxes[members[0]], np.float64)
    pieces = _pieces(raw, members)
    for i in np.argsort(-raw.scores[members], kind="stable"):
        if inset[members[i]] < CUT_PX:
            continue
        covered = shapely.area(shapely.intersection(pieces, raw.polygons[members[i]]))
        if (covered >= COVERED * shapely.area(pieces)).all():
            return np.asarray(raw.boxes[members[i]], np.float64)
    return _join(raw.boxes[members], pieces)


def _pieces(raw: _Raw, members: Ints) -> npt.NDArray[np.object_]:
    """What each member claims within its tile, less what another member's tile denies.

    The rectangle round a cut part reaches beyond the object; a neighbour that saw that ground puts it right.
    """
    frames = _frames(raw.bounds[raw.tiles[members]])
    inside = shapely.intersection(raw.polygons[members], frames)
    pieces = inside.copy()
    for i in range(len(members)):
        for j in range(len(members)):
            if i != j:
                denied = shapely.difference(frames[j], inside[j])
                rest = shapely.difference(pieces[i], denied)
                pieces[i] = rest if shapely.area(rest) > 0 else pieces[i]
    return np.asarray(pieces, np.object_)


def _join(boxes: Floats, pieces: npt.NDArray[np.object_]) -> Floats:
    """The rectangle round all pieces; if the largest is elongated, only those that run with it set its width.

    The rectangle round a stump in a tile's corner may stand askew: it still says how far the object reaches.
    """
    largest = boxes[int(np.argmax(boxes[:, 2] * boxes[:, 3]))]
    turn = np.abs((boxes[:, 4] - largest[4] + np.pi / 2) % np.pi - np.pi / 2)
    with_it = (turn < np.radians(10)) & (boxes[:, 2] >= ELONGATED * boxes[:, 3])
    if largest[2] < ELONGATED * largest[3]:
        with_it[:] = True
    box = fit_box(shapely.get_coordinates(pieces[with_it]))
    points = shapely.get_coordinates(pieces) - box[:2]
    axis = np.array([np.cos(box[4]), np.sin(box[4])])
    along = points @ axis
    low, high = min(along.min(), -box[2] / 2), max(along.max(), box[2] / 2)
    return np.array([*(box[:2] + axis * (low + high) / 2), high - low, box[3], box[4]])
