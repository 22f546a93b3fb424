"""Which spans of the perimeters of a site are new, gone or moved between two dates.

The lines of both dates lie in one frame, corrected by the shifts of their scenes. A part of a line that is
farther from every line of the other date than both could be off is other than it was: three standard errors
of geolocation, of the course of lines (from the card) and of how far a fence leans. A part that is new and
beside one that is gone has moved, by the distance between them. Only ground that both scenes show counts.

That a line is not drawn does not say that it is not there: each date misses a share of it (1 - completeness
of the card), and whole lines (1 - recall, in that scene). So a new span is sure if the dates before it that
show its ground and do not have it would all have missed it in less than 5 % of cases, and one that is gone if
that holds for the dates after it; it is dated by as many of them as that takes. Dates with snow, in which
nobody has measured, do not count. A line
that a single date has, and no person has confirmed, is told only if drawn lines are right in 95 % of cases.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors, SizeRecall
from pithead.sites.differences import Change, ChangeKind
from pithead.sites.fence import BESIDE_M, COMPLETE, CORRECT, COURSE_M, SIGMAS, tolerance_m
from pithead.sites.ground import courses, solid
from pithead.sites.kinds import FENCE
from pithead.sites.states import visible_ground
from pithead.sites.view import View

LEAST_M = 30.0
"""Shorter parts are corners drawn otherwise: a span is 19 to 27 m long."""
LEAST_M2 = 1000.0
"""Smaller grounds in common are slivers."""
DOUBT = 0.05


@dataclass(frozen=True, slots=True)
class Course:
    """The perimeters of one view: all lines, corrected by its shift, and where they could be seen."""

    number: int
    view: View
    lines: BaseGeometry
    ground: BaseGeometry
    clear: BaseGeometry
    """Of that where there is no snow."""
    recall: float
    """The share of whole lines that is found in it, as far as that is known."""
    checked: bool


def changes_of_spans(
    views: Sequence[View], errors: ClassErrors | None, recalls: Sequence[float] | None = None
) -> Iterator[Change]:
    """The changes of spans: all ground of a view against the last view before it that shows that ground.

    Args:
        views: In order of time, with their shifts.
        errors: Of lines; None where they are not known.
        recalls: Of each view, by what else it shows and misses; without them that of the card alone.
    """
    usual = COMPLETE if errors is None else min(_found(one) for one in errors.recall)
    each = [usual] * len(views) if recalls is None else recalls
    shown = [_course(number, view, each[number]) for number, view in enumerate(views)]
    for place, after in enumerate(shown):
        left = after.ground
        for before in reversed(shown[:place]):
            both = solid(before.ground.intersection(left))
            if both.area < LEAST_M2:
                continue
            yield from _between(before, after, both, shown, errors)
            left = solid(left.difference(before.ground))


def _between(
    before: Course, after: Course, both: BaseGeometry, shown: list[Course], errors: ClassErrors | None
) -> Iterator[Change]:
    """The changes of spans from one view to another on ground that both show."""
    wide = tolerance_m(before.view, after.view, errors)
    new = _parts(courses(after.lines.intersection(both)), before.lines, wide)
    gone = _parts(courses(before.lines.intersection(both)), after.lines, wide)
    moved, new, gone = _moved(new, gone)
    for part, far in moved:
        sure = _drawn(part, shown, after, wide, errors)
        yield _change("span_moved", before, after, part, far, wide, sure=sure)
    earlier = [one for one in shown if one.number < after.number]
    later = [one for one in shown if one.number > before.number]
    for part in (one for one in new if _drawn(one, shown, after, wide, errors)):
        first = _without(part, earlier[::-1], wide, errors)
        yield _change("span_new", first or before, after, part, part.length, wide, sure=first is not None)
    for part in (one for one in gone if _drawn(one, shown, before, wide, errors)):
        last = _without(part, later, wide, errors)
        yield _change("span_vanished", before, last or after, part, -part.length, wide, sure=last is not None)


def _found(kind: SizeRecall) -> float:
    """The share of lines of a size that is found: the mean of Beta(found + ½, missed + ½)."""
    return (kind.found + 0.5) / (kind.truths + 1)


def _course(number: int, view: View, recall: float) -> Course:
    lines = [view.placed(one.shape) for one in view.of(FENCE)]
    checked = all(one.checked for one in view.of(FENCE)) and bool(lines)
    ground, clear = visible_ground(view, FENCE), visible_ground(view, None)
    return Course(number, view, shapely.union_all(lines), ground, clear, recall, checked)


def _parts(lines: BaseGeometry, others: BaseGeometry, wide: float) -> list[BaseGeometry]:
    """The parts of lines beyond the others, `LEAST_M` long or more."""
    beyond = courses(shapely.difference(lines, others.buffer(wide)) if not others.is_empty else lines)
    merged = shapely.line_merge(beyond) if beyond.geom_type == "MultiLineString" else beyond
    return [part for part in shapely.get_parts(merged) if part.length >= LEAST_M]


def _moved(
    new: list[BaseGeometry], gone: list[BaseGeometry]
) -> tuple[list[tuple[BaseGeometry, float]], list[BaseGeometry], list[BaseGeometry]]:
    """Parts that have one of the other date beside most of them, with how far, and what is left of both."""
    moved: list[tuple[BaseGeometry, float]] = []
    left: list[BaseGeometry] = []
    used: set[int] = set()
    for part in new:
        beside = [i for i, other in enumerate(gone) if _alongside(part, other)]
        if beside:
            there = shapely.union_all([gone[i] for i in beside])
            spots = [part.interpolate(share, normalized=True) for share in np.linspace(0.1, 0.9, 9)]
            moved.append((part, float(np.median([spot.distance(there) for spot in spots]))))
            used.update(beside)
        else:
            left.append(part)
    return moved, left, [other for i, other in enumerate(gone) if i not in used]


def _alongside(part: BaseGeometry, other: BaseGeometry) -> bool:
    """Whether half of the shorter one lies beside the other."""
    short, long = (part, other) if part.length <= other.length else (other, part)
    return bool(short.intersection(long.buffer(BESIDE_M)).length >= short.length / 2)


def _has(one: Course, part: BaseGeometry, wide: float) -> bool:
    """Whether a view draws half of a part."""
    return bool(part.intersection(one.lines.buffer(wide)).length >= part.length / 2)


def _shows(one: Course, part: BaseGeometry) -> bool:
    return bool(part.intersection(one.clear).length >= 0.9 * part.length)


def _without(
    part: BaseGeometry, others: list[Course], wide: float, errors: ClassErrors | None
) -> Course | None:
    """The first of some views by which a part is surely not there; None if one has it, or none is sure.

    The views up to it that show its ground would all have missed it in less than 5 % of cases.
    """
    lines = None if errors is None else errors.lines
    complete = COMPLETE if lines is None or lines.completeness is None else lines.completeness
    if any(_has(one, part, wide) for one in others):
        return None
    chance = 1.0
    for one in others:
        if _shows(one, part):
            chance *= 1 - min(complete, one.recall, 0.99)
        if chance <= DOUBT:
            return one
    return None


def _drawn(
    part: BaseGeometry, views: list[Course], own: Course, wide: float, errors: ClassErrors | None
) -> bool:
    """Whether a drawn part is there: two views have it, a person says so, or drawn lines are mostly right."""
    lines = None if errors is None else errors.lines
    right = CORRECT if lines is None or lines.correctness is None else lines.correctness
    again = any(one is not own and _has(one, part, wide) for one in views)
    return again or own.checked or right >= 1 - DOUBT


def _change(
    kind: ChangeKind,
    before: Course,
    after: Course,
    part: BaseGeometry,
    by: float,
    wide: float,
    *,
    sure: bool,
) -> Change:
    """A change with its error: of a length the tolerance at both ends, of a distance 1.96 standard errors."""
    error = 2 * wide if kind != "span_moved" else (wide - COURSE_M) / SIGMAS * 1.96
    return Change(
        "perimeter", kind, before.number, after.number, by, by - error, by + error, sure=sure, cls=FENCE,
        shape=part, checked=before.checked and after.checked,
    )  # fmt: skip
