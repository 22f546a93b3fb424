"""One object seen by several tiles becomes one detection.

Two tiles that overlap saw the same ground twice. What each saw is clipped to the strip they share and matched
there one to one; a matched pair is one object. Of a matched group the side that is not cut by a tile edge is
kept; where every side is cut they are joined and refitted. Two boxes of the same tile are never duplicates of
each other, which is what a plain NMS over the scene gets wrong (DESIGN.md, decision 4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.optimize import linear_sum_assignment

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
        return Merged(raw.boxes, raw.scores, raw.classes)
    pairs, overlap = _candidates(raw)
    groups, best = _groups(raw, pairs, overlap)
    inset = _inset(raw)
    boxes, scores, classes = [], [], []
    for members, score in zip(groups, best, strict=True):
        class_id = int(raw.classes[members[0]])
        boxes.append(
            _farthest(raw, members, inset) if class_id in piece_classes else _resolve(raw, members, inset)
        )
        scores.append(score)
        classes.append(class_id)
    merged = Merged(np.stack(boxes), np.asarray(scores, np.float32), np.asarray(classes, np.int64))
    order = np.lexsort((*merged.boxes.T[::-1], merged.classes, -merged.scores))
    return Merged(merged.boxes[order], merged.scores[order], merged.classes[order])


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
    strips = _frames(np.concatenate([low, high], axis=1))
    in_a = shapely.intersection(raw.polygons[a], strips)
    in_b = shapely.intersection(raw.polygons[b], strips)
    common = shapely.area(shapely.intersection(in_a, in_b))
    area_a, area_b = shapely.area(in_a), shapely.area(in_b)
    union = area_a + area_b - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    keep = (iou >= MATCH_IOU) | ((common > 0) & (common >= COVERED * np.minimum(area_a, area_b)))
    return np.stack([a, b], axis=1)[keep].astype(np.int64), iou[keep]


def _matches(raw: _Raw, pairs: Ints, iou: Floats) -> Iterator[tuple[float, int, int]]:
    """The best one-to-one assignment within every pair of tiles."""
    pairs, iou = pairs[iou >= MATCH_IOU], iou[iou >= MATCH_IOU]
    key = raw.tiles[pairs[:, 0]] * len(raw.bounds) + raw.tiles[pairs[:, 1]]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for chosen in np.split(order, starts[1:]):
        left, row = np.unique(pairs[chosen, 0], return_inverse=True)
        right, column = np.unique(pairs[chosen, 1], return_inverse=True)
        gain = np.zeros((len(left), len(right)))
        gain[row, column] = iou[chosen]
        for r, c in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if gain[r, c] > 0:
                yield float(gain[r, c]), int(left[r]), int(right[c])


def _groups(raw: _Raw, pairs: Ints, iou: Floats) -> tuple[list[Ints], list[float]]:
    """Members and best score of every object.

    Surest matches first; a group never holds two boxes of one tile.
    """
    parent = list(range(len(raw.boxes)))
    tiles = [{int(t)} for t in raw.tiles]

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    matches = sorted(_matches(raw, pairs, iou), key=lambda m: (-m[0], m[1], m[2])) if len(pairs) else []
    for _, a, b in matches:
        ra, rb = sorted((root(a), root(b)))
        if ra != rb and tiles[ra].isdisjoint(tiles[rb]):
            parent[rb] = ra
            tiles[ra] |= tiles[rb]
    members: dict[int, list[int]] = {}
    for i in range(len(parent)):
        members.setdefault(root(i), []).append(i)
    return _absorb(raw, [np.asarray(m, np.int64) for m in members.values()], pairs)


def _absorb(raw: _Raw, groups: list[Ints], pairs: Ints) -> tuple[list[Ints], list[float]]:
    """Drop a lone cut part that lies within an object of which a neighbour sees the whole; its score stays.

    A detector may see the stump of an object as two stumps; the neighbour knows better.
    """
    best = [float(raw.scores[members].max()) for members in groups]
    if not len(pairs):
        return groups, best
    cut = _inset(raw) < CUT_PX
    size = np.zeros(len(raw.boxes), np.int64)
    for members in groups:
        size[members] = len(members)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[cut[both[:, 0]] & (size[both[:, 0]] == 1) & ~cut[both[:, 1]]]
    part = shapely.intersection(raw.polygons[both[:, 0]], _frames(raw.bounds[raw.tiles[both[:, 0]]]))
    inside = shapely.area(shapely.intersection(part, raw.polygons[both[:, 1]]))
    home = {int(i): number for number, members in enumerate(groups) for i in members}
    dropped: set[int] = set()
    for lone, whole in both[inside >= COVERED * shapely.area(part)].tolist():
        dropped.add(home[lone])
        best[home[whole]] = max(best[home[whole]], float(raw.scores[lone]))
    kept = [number for number in range(len(groups)) if number not in dropped]
    return [groups[number] for number in kept], [best[number] for number in kept]


def _inset(raw: _Raw) -> Floats:
    """How far (N,) each box stays inside the edges of its tile that another tile looks across."""
    corners = boxes_to_corners(raw.boxes)
    reach = raw.reach[raw.tiles]
    low = (corners.min(axis=1) - reach[:, :2]).min(axis=1)
    high = (reach[:, 2:] - corners.max(axis=1)).min(axis=1)
    return np.asarray(np.minimum(low, high), np.float64)


def _farthest(raw: _Raw, members: Ints, inset: Floats) -> Floats:
    """The member farthest from its tile's edge, then the surest."""
    best = np.lexsort((-raw.scores[members], -inset[members]))[0]
    return np.asarray(raw.boxes[members[best]], np.float64)


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
