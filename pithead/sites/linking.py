"""Which detection of one date is which of another: one to one, by class, ground position and shape.

Views are gone through in order of time. The detections of a date are paired with the strands that were
found so far, each strand where it was last seen, so that the sum of the weights of all pairs is largest
(the assignment problem, solved exactly by scipy; the same input gives the same pairs). Whatever is left
over begins a strand of its own. Positions are corrected by the shifts of the scenes, and the tolerance is
made of the error of these shifts, of the error of boxes, and of how far height leans at the angle of the
scene.

A heap that covers most of what two heaps covered before is their merger, and two heaps on the ground of one
are its parts; such strands are one track, and the event is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from scipy.optimize import linear_sum_assignment
from shapely.geometry.base import BaseGeometry

from pithead.geometry import Floats
from pithead.sites.ground import solid
from pithead.sites.kinds import FENCE, FITS_M, HEAP, RAIL, lean_m
from pithead.sites.tracks import Event
from pithead.sites.view import Sighting, View

SIGMAS = 3.0
"""Nothing is farther apart than so many standard errors, unless it shares ground."""
SHARED = 0.3
"""Of the smaller one's ground, from which on two boxes may be one thing however far their middles are."""
PART = 0.6
"""Of a heap's ground, from which on it lies in another."""
COURSE = 0.25
"""Share of common course, or of common enclosed ground, from which on two lines may be one perimeter."""
BUFFER_M = 10.0
SIDING_M = 72.0
"""Rakes on one line no farther apart than this stand at one place of a siding, as the labels have it."""
BESIDE_M = 8.0
"""How far the middle lines of rakes on one siding may lie apart: two tracks, and errors."""
TURNED = np.radians(12.0)


@dataclass(slots=True)
class Strand:
    """One thing seen on some dates, one sighting each; `at` by the index of the view."""

    cls: str
    at: dict[int, Sighting] = field(default_factory=dict)
    placed: dict[int, BaseGeometry] = field(default_factory=dict)
    """Its shapes, corrected by the shifts of the scenes."""
    parts: dict[int, tuple[Sighting, ...]] = field(default_factory=dict)
    """Of a perimeter the pieces that are one sighting in `at`."""
    partly: set[int] = field(default_factory=set)
    """The views that show only a part of it: its size there says little."""
    group: int = -1
    """Strands of one group are one track."""

    def found(self, number: int) -> tuple[Sighting, ...]:
        """The detections of a view."""
        if number in self.parts:
            return self.parts[number]
        return (self.at[number],) if number in self.at else ()

    @property
    def last(self) -> int:
        """The last view in which it was seen."""
        return max(self.at)

    def nearest(self, view: int) -> int:
        """The view with a sighting that is nearest to another, the earlier one of two."""
        return min(self.at, key=lambda seen: (abs(seen - view), seen))

    def add(self, number: int, view: View, found: Sighting) -> None:
        """Take in a sighting."""
        self.at[number] = found
        self.placed[number] = view.placed(found.shape)


@dataclass(frozen=True, slots=True)
class Linked:
    """Strands in order of their first sighting, and what splits and mergers they have in common."""

    strands: tuple[Strand, ...]
    events: tuple[tuple[int, Event], ...]
    """Each with its group."""


def link(views: Sequence[View], cls: str, centre_m: float | None = None) -> Linked:
    """The strands of one class over all views.

    Args:
        views: In order of time, with their shifts.
        cls: The class.
        centre_m: Root of the mean square of how far middles are off along one axis; of lines, offset.
    """
    strands: list[Strand] = []
    events: list[tuple[int, Event]] = []
    fits = FITS_M if centre_m is None else centre_m
    for number, view in enumerate(views):
        found = sorted(view.of(cls), key=lambda one: (*one.shape.centroid.coords[0], one.detection))
        shapes = [view.placed(one.shape) for one in found]
        known = list(strands)
        reach = [_reach_m(views[strand.last], view, cls, fits) for strand in known]
        pairs = _pairs(known, shapes, reach, cls)
        fresh = [j for j in range(len(found)) if j not in pairs.values()]
        for i, j in pairs.items():
            known[i].add(number, view, found[j])
        for j in fresh:
            strand = Strand(cls, group=len(strands))
            strand.add(number, view, found[j])
            strands.append(strand)
        if cls == HEAP:
            events += _events(known, strands[len(known) :], number)
        if cls == FENCE:
            _join_fragments(known, strands[len(known) :], reach)
    return Linked(tuple(strands), tuple((_root(strands, group), event) for group, event in events))


def _reach_m(before: View, after: View, cls: str, fits_m: float) -> float:
    """The standard error, in metres along one axis, of where a thing of two scenes lies."""
    own = 2 * fits_m**2 + before.shift.sd_m**2 + after.shift.sd_m**2
    lean = 0.0 if cls == HEAP else (lean_m(cls, before) ** 2 + lean_m(cls, after) ** 2) / 2
    return float(np.sqrt(own + lean))


def _pairs(known: list[Strand], shapes: list[BaseGeometry], reach: list[float], cls: str) -> dict[int, int]:
    """Which strand is which shape: the heaviest set in which nothing stands twice."""
    weights = np.zeros((len(known), len(shapes)))
    if not weights.size:
        return {}
    weigh = {FENCE: _same_line, RAIL: _same_siding}.get(cls, _same_box)
    here = np.array([strand.placed[strand.last] for strand in known], dtype=object)
    margin = SIDING_M if cls == RAIL else 20.0 + SIGMAS * max(reach)
    rows, columns = shapely.STRtree(shapes).query(here, predicate="dwithin", distance=margin)
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        weights[i, j] = weigh(here[i], shapes[j], reach[i])
    first, second = linear_sum_assignment(weights, maximize=True)
    return {int(i): int(j) for i, j in zip(first, second, strict=True) if weights[i, j] > 0}


def _same_box(a: BaseGeometry, b: BaseGeometry, reach: float) -> float:
    """How alike two boxes are, 0 to 2; 0 where they cannot be one thing."""
    shared = a.intersection(b).area
    overlap = shared / max(min(a.area, b.area), 1e-9)
    far = a.centroid.distance(b.centroid)
    ratio = abs(np.log(max(a.area, 1.0) / max(b.area, 1.0)))
    near = far <= SIGMAS * reach and ratio < np.log(4)
    if overlap < SHARED and not near:
        return 0.0
    return float(shared / max(a.area + b.area - shared, 1e-9) + reach / (reach + far))


def _same_line(a: BaseGeometry, b: BaseGeometry, reach: float) -> float:
    """How alike two lines are: the share of common course, or of common enclosed ground."""
    wide = max(BUFFER_M, SIGMAS * reach)
    shared = a.intersection(b.buffer(wide)).length + b.intersection(a.buffer(wide)).length
    course = shared / max(a.length + b.length, 1e-9)
    inside, other = enclosed(a), enclosed(b)
    both = 0.0
    if inside is not None and other is not None:
        both = inside.intersection(other).area / max(inside.union(other).area, 1e-9)
    best = max(course, both)
    return float(best) if best >= COURSE else 0.0


def enclosed(line: BaseGeometry) -> BaseGeometry | None:
    """The ground inside of a ring; None of an open line."""
    points = shapely.get_coordinates(line)
    if len(points) < 4 or not np.allclose(points[0], points[-1]):
        return None
    return solid(shapely.Polygon(points))


def axis(box: BaseGeometry) -> tuple[Floats, Floats, float]:
    """Middle (2,), direction (2,) and length of the long side of the rectangle round a shape."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(box))
    middle = corners[:4].mean(axis=0)
    sides = np.diff(corners[:3], axis=0)
    long = sides[int(np.argmax(np.hypot(*sides.T)))] if len(sides) == 2 else np.array([1.0, 0.0])
    length = float(np.hypot(*long))
    return middle, long / max(length, 1e-9), length


def _same_siding(a: BaseGeometry, b: BaseGeometry, reach: float) -> float:
    """How likely two rakes, of two dates, stand on the same part of one siding."""
    (here, way, length), (there, other, longer) = axis(a), axis(b)
    gap = there - here
    along, across = abs(float(gap @ way)), abs(float(way[0] * gap[1] - way[1] * gap[0]))
    turned = abs(float(way[0] * other[1] - way[1] * other[0]))
    apart = along - (length + longer) / 2
    short = min(length, longer) < 15.0
    straight = turned <= np.sin(TURNED) or short
    if across > BESIDE_M + SIGMAS * reach or apart > SIDING_M or not straight:
        return 0.0
    overlap = min(max(-apart, 0.0) / max(min(length, longer), 1e-9), 1.0)
    return float(overlap + 1 / (1 + max(apart, 0.0) / 10) + 1 / (1 + across / 5))


def _events(known: list[Strand], fresh: list[Strand], number: int) -> list[tuple[int, Event]]:
    """Splits and mergers of heaps between the last dates and this one; their strands become one group."""
    found: list[tuple[int, Event]] = []
    now = [strand for strand in known if strand.last == number]
    for part in fresh:
        for strand in now:
            before = max((seen for seen in strand.at if seen < number), default=None)
            if before is None:
                continue
            ground = strand.placed[before]
            if min(_inside(part.placed[number], ground), _inside(strand.placed[number], ground)) >= PART:
                names = strand.at[number].detection, part.at[number].detection
                event = Event("split", before, number, (strand.at[before].detection,), names)
                _join(known + fresh, part, strand)
                found.append((strand.group, event))
                break
    for gone in known:
        whole = next((s for s in now if _swallowed(gone, s, number)), None)
        if gone.last < number and whole is not None:
            before = max(seen for seen in whole.at if seen < number)
            names = gone.at[gone.last].detection, whole.at[before].detection
            event = Event("merged", gone.last, number, names, (whole.at[number].detection,))
            _join(known + fresh, gone, whole)
            found.append((whole.group, event))
    return found


def _swallowed(gone: Strand, whole: Strand, number: int) -> bool:
    """Whether a strand, last seen apart from another, lies in that other now, for the first time."""
    if gone is whole or len(whole.at) < 2 or gone.group == whole.group:
        return False
    before = max(seen for seen in whole.at if seen < number)
    ground = gone.placed[gone.last]
    return _inside(ground, whole.placed[number]) >= PART > _inside(ground, whole.placed[before])


def _inside(shape: BaseGeometry, other: BaseGeometry) -> float:
    return float(shape.intersection(other).area / max(shape.area, 1e-9))


def _join_fragments(known: list[Strand], fresh: list[Strand], reach: list[float]) -> None:
    """New lines most of which run where a known perimeter ran are parts of it."""
    for part in fresh:
        line = next(iter(part.placed.values()))
        for strand, error in zip(known, reach, strict=True):
            course = strand.placed[max((s for s in strand.at if s < part.last), default=strand.last)]
            wide = course.buffer(max(BUFFER_M, SIGMAS * error))
            if line.intersection(wide).length >= line.length / 2:
                _join(known + fresh, part, strand)
                break


def _join(strands: list[Strand], one: Strand, other: Strand) -> None:
    """Make two groups one: that of the earlier strand."""
    kept, gone = sorted((one.group, other.group))
    for strand in strands:
        if strand.group == gone:
            strand.group = kept


def _root(strands: list[Strand], group: int) -> int:
    """The group that a group has become: that of the strand which was the first of it."""
    return strands[group].group
