"""Perimeters as a detector of known errors would draw them: wavering, with gaps, and some where none are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

from pithead.card import ClassErrors, LineErrors
from pithead.generate.history import History, Ring, Shot, leaning
from pithead.generate.parts import Points
from pithead.pretend.boxes import spots_in
from pithead.pretend.found import Found, draw_score, recall, seen_of

BRIDGED_M = 60.0
"""Shorter gaps are bridged when spans are linked; of what is shorter than this no line is made."""

_GAP_M = (70.0, 60.0)  # the shortest gap that is not bridged, and how much longer they are on average
_STEP_M = 40.0
_FALSE_M = (80.0, 220.0)


def lines_of(history: History, shot: Shot, errors: ClassErrors, rng: np.random.Generator) -> Iterator[Found]:
    """What a detector finds of a class of lines in a picture, right and wrong."""
    visible, measured = shot.visible, errors.lines
    if measured is None:
        return
    for thing in history.things:
        form = thing.form(shot.date)
        if not isinstance(form, Ring):
            continue
        found = recall(errors, form.length_m, shot)
        if rng.random() >= found:
            continue
        drawn = _scaled(form, measured, rng)
        dx_m, dy_m = leaning(form, shot) + shot.shift_m
        placed = translate(drawn, float(dx_m), float(dy_m))
        complete = min(1.0, (1.0 if measured.completeness is None else measured.completeness) / found)
        for piece in _pieces(placed, visible, complete, rng):
            yield _found(thing.id, piece, errors, rng)
    for x, y in spots_in(visible, int(rng.poisson(errors.false_alarms_km2 * visible.area / 1e6)), rng):
        yield from _nothing(x, y, visible, errors, rng)


def _scaled(form: Ring, errors: LineErrors, rng: np.random.Generator) -> shapely.LineString:
    """The line, as much longer or shorter about its middle as lines are found."""
    log = (errors.length_bias or 0.0) + (errors.length_sd or 0.0) * float(rng.standard_normal())
    middle = form.points_m.mean(axis=0)
    return shapely.LineString(middle + (form.course - middle) * np.exp(log))


def _pieces(
    line: shapely.LineString, visible: BaseGeometry, complete: float, rng: np.random.Generator
) -> list[shapely.LineString]:
    """What is drawn of a line: what can be seen of it, less gaps that are too long to be bridged."""
    part, share = seen_of(line, visible)
    runs = [line] if share > 1 - 1e-9 else _runs(part)
    pieces = [piece for run in runs for piece in _with_gaps(run, complete, rng)]
    return [piece for piece in pieces if piece.length >= BRIDGED_M]


def _runs(lines: BaseGeometry) -> list[shapely.LineString]:
    """The lines of a geometry, joined where they meet."""
    runs = shapely.get_parts(shapely.line_merge(lines))
    return [run for run in runs if isinstance(run, shapely.LineString) and run.length > 0]


def _with_gaps(
    run: shapely.LineString, complete: float, rng: np.random.Generator
) -> list[shapely.LineString]:
    """A run less gaps; of a ring, what lies round its start is one piece."""
    count = int(rng.poisson((1 - complete) * run.length / sum(_GAP_M)))
    if not count:
        return [run]
    starts = rng.uniform(0, run.length, count)
    stops = starts + _GAP_M[0] + rng.exponential(_GAP_M[1], count)
    gaps = [shapely.LineString([(a, 0), (b, 0)]) for a, b in zip(starts, stops, strict=True)]
    whole = shapely.LineString([(0, 0), (run.length, 0)])
    kept = [part.bounds[::2] for part in shapely.get_parts(whole.difference(shapely.union_all(gaps)))]
    pieces = [_between(run, start, stop) for start, stop in kept if stop > start]
    if run.is_ring and len(pieces) > 1 and (kept[0][0], kept[-1][1]) == (0, run.length):
        last, first = pieces.pop(), pieces.pop(0)
        both = np.concatenate([shapely.get_coordinates(last), shapely.get_coordinates(first)[1:]])
        pieces.append(shapely.LineString(both))
    return pieces


def _between(run: shapely.LineString, start_m: float, stop_m: float) -> shapely.LineString:
    """The part of a line between two ways along it."""
    return shapely.LineString(shapely.get_coordinates(substring(run, start_m, stop_m)))


def _found(thing: str, piece: shapely.LineString, errors: ClassErrors, rng: np.random.Generator) -> Found:
    """A line that wavers about another; corners stay corners."""
    closed = bool(piece.is_ring)
    points = shapely.get_coordinates(shapely.segmentize(piece, _STEP_M))
    points = points[:-1] if closed else points
    offset = (errors.lines.offset_m or 0.0) if errors.lines is not None else 0.0
    wavering = points + _aside(points, closed=closed) * rng.normal(0, offset, (len(points), 1))
    return Found(thing, errors.name, draw_score(errors, rng, right=True), wavering, line=True, closed=closed)


def _aside(points: Points, *, closed: bool) -> Points:
    """Unit vectors (M, 2) across a line."""
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    if not closed:
        before[0], after[-1] = points[0], points[-1]
    way = after - before
    way /= np.maximum(np.hypot(*way.T), 1e-9)[:, None]
    return np.stack([way[:, 1], -way[:, 0]], axis=1)


def _nothing(
    x_m: float, y_m: float, visible: BaseGeometry, errors: ClassErrors, rng: np.random.Generator
) -> Iterator[Found]:
    """A line that is drawn where none is: a hedge, a road."""
    turn, length = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(*_FALSE_M))
    steps = np.linspace(-length / 2, length / 2, 5)
    way = np.array([np.cos(turn), np.sin(turn)])
    points = np.array([x_m, y_m]) + steps[:, None] * way + rng.normal(0, 2.0, (5, 2))
    for piece in _runs(shapely.LineString(points).intersection(visible)):
        if piece.length >= BRIDGED_M:
            score = draw_score(errors, rng, right=False)
            yield Found("", errors.name, score, shapely.get_coordinates(piece), line=True)
