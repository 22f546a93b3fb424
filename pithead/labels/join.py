"""Labels of tiles that lie side by side → labels of their scene: what an edge has cut is one again.

Each label is known to come from one tile. Two outlines of one class that meet at the edge between their tiles
are one object; two open lines whose ends meet there are one line.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.labels.label import Floats, Label
from pithead.labels.shapes import is_rectangle, rectangle_of

REACH_PX = 3.0
"""An annotator stops so far from the edge of a tile, and two annotators differ by so much at it."""
SAME_AT_EDGE = 0.5
ENDS_PX = 10.0


def joined(labels: Sequence[Label], windows: Sequence[Floats]) -> tuple[Label, ...]:
    """The labels of a scene.

    Args:
        labels: In scene px.
        windows: Of each label the corners (4, 2) of its tile.
    """
    outlines = [i for i, label in enumerate(labels) if label.geometry != "line"]
    lines = [i for i, label in enumerate(labels) if label.geometry == "line"]
    return (
        *_joined_outlines([labels[i] for i in outlines], [windows[i] for i in outlines]),
        *_joined_lines([labels[i] for i in lines], [windows[i] for i in lines]),
    )


def _joined_outlines(labels: Sequence[Label], windows: Sequence[Floats]) -> list[Label]:
    shapes = [shapely.make_valid(shapely.Polygon(label.points)) for label in labels]
    frames = [shapely.Polygon(window) for window in windows]
    group = list(range(len(labels)))
    tree = shapely.STRtree(shapes)
    for i, shape in enumerate(shapes):
        for j in sorted(tree.query(shapely.buffer(shape, 2 * REACH_PX)).tolist()):
            if (
                i < j
                and _may_join(labels[i], labels[j])
                and _meet((shape, shapes[j]), (frames[i], frames[j]))
            ):
                old, new = sorted((group[i], group[j]), reverse=True)
                group = [new if g == old else g for g in group]
    found = []
    for number in dict.fromkeys(group):
        members = [labels[i] for i, g in enumerate(group) if g == number]
        found.append(members[0] if len(members) == 1 else _one(members))
    return found


def _may_join(a: Label, b: Label) -> bool:
    return (a.class_id, a.weight) == (b.class_id, b.weight)


def _meet(shapes: tuple[BaseGeometry, BaseGeometry], frames: tuple[BaseGeometry, BaseGeometry]) -> bool:
    """Whether two outlines of different tiles are one where their tiles share ground or an edge."""
    if shapely.equals(*frames):
        return False
    reach = [shapely.buffer(frame, REACH_PX, join_style="mitre") for frame in frames]
    band = shapely.intersection(reach[0], reach[1])
    a, b = (
        shapely.intersection(shapely.buffer(shape, 2 * REACH_PX, join_style="mitre"), band)
        for shape in shapes
    )
    union = shapely.union(a, b).area
    return bool(union > 0 and shapely.intersection(a, b).area / union >= SAME_AT_EDGE)


def _one(members: Sequence[Label]) -> Label:
    """Several parts as one label: what the largest says of itself, round all of them."""
    largest = max(members, key=lambda label: shapely.Polygon(label.points).area)
    points = np.concatenate([label.points for label in members])
    if all(is_rectangle(np.round(label.points, 3)) for label in members):
        return replace(largest, points=rectangle_of(points))
    grown = [shapely.buffer(shapely.Polygon(m.points), REACH_PX, join_style="mitre") for m in members]
    union = shapely.buffer(shapely.union_all(grown), -REACH_PX, join_style="mitre")
    if union.geom_type != "Polygon":
        union = shapely.convex_hull(union)
    return replace(largest, points=shapely.get_coordinates(union.exterior)[:-1])


def _joined_lines(labels: Sequence[Label], windows: Sequence[Floats]) -> list[Label]:
    """Open lines joined end to end, the nearest ends first; a joined line whose own ends meet is a ring."""
    closed = [label for label in labels if label.closed]
    chains = [(label, label.points, i) for i, label in enumerate(labels) if not label.closed]
    frames = [shapely.Polygon(window) for window in windows]
    origin: list[set[int]] = [{i} for _, _, i in chains]
    while (best := _nearest(chains, origin, frames)) is not None:
        i, j, points = best
        label = max(chains[i][0], chains[j][0], key=lambda one: shapely.LineString(one.points).length)
        chains[i], origin[i] = (label, points, chains[i][2]), origin[i] | origin[j]
        del chains[j], origin[j]
    found = []
    for (label, course, _), of in zip(chains, origin, strict=True):
        points = course
        ring = len(of) > 1 and len(points) > 3 and _distance(points[0], points[-1]) <= ENDS_PX
        if ring:
            points = np.concatenate([((points[0] + points[-1]) / 2)[None], points[1:-1]])
        found.append(replace(label, points=points, closed=ring))
    return [*closed, *found]


def _nearest(
    chains: Sequence[tuple[Label, Floats, int]], origin: Sequence[set[int]], frames: Sequence[BaseGeometry]
) -> tuple[int, int, Floats] | None:
    """The two chains whose ends of different tiles are nearest, and their points as one line."""
    best: tuple[float, int, int, Floats] | None = None
    for (i, (a, p, _)), (j, (b, q, _)) in itertools.combinations(enumerate(chains), 2):
        frames_differ = not any(shapely.equals(frames[m], frames[n]) for m in origin[i] for n in origin[j])
        if not _may_join(a, b) or not (frames_differ or len(origin[i] | origin[j]) > 2):
            continue
        for first, second in itertools.product((p, p[::-1]), (q, q[::-1])):
            gap = _distance(first[-1], second[0])
            if gap <= ENDS_PX and (best is None or gap < best[0]):
                best = (gap, i, j, _chain(first, second))
    return None if best is None else best[1:]


def _chain(first: Floats, second: Floats) -> Floats:
    """Two lines as one: the two ends that meet become the point between them."""
    middle = (first[-1] + second[0]) / 2
    return np.concatenate([first[:-1], middle[None], second[1:]])


def _distance(a: Floats, b: Floats) -> float:
    return float(np.hypot(*(a - b)))
