"""Boxes as a detector of known errors would draw them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import BoxErrors, ClassErrors
from pithead.generate.history import History, Shot, leaning
from pithead.generate.parts import Points, rectangle, sides_m, tight_rectangle
from pithead.pretend.found import Found, draw_score, recall, seen_of

LEAST_SEEN = 0.6
"""Of an object of which less than this can be seen nothing is found, as none is taught."""

STANDING = 0.5
"""The part of the false alarms behind which something stands that looks alike on every date."""

_TURN = np.radians(1.5)  # how far boxes are turned
_SIZES_M = {"coal_heap": (20.0, 12.0), "mine_head": (48.0, 24.0), "rail_loading": (60.0, 4.0)}


def boxes_of(history: History, shot: Shot, errors: ClassErrors, rng: np.random.Generator) -> Iterator[Found]:
    """What a detector finds of a class of boxes in a picture, right and wrong."""
    visible = shot.visible
    for thing in history.things:
        form = thing.form(shot.date)
        if thing.cls != errors.name or not thing.real or form is None:
            continue
        box = form.box
        if rng.random() < recall(errors, sides_m(box)[0], shot):
            placed = box + leaning(form, shot) + np.array(shot.shift_m)
            yield from _found(thing.id, placed, visible, errors, rng, right=True)
    yield from _false(history, shot, visible, errors, rng)


def _found(
    thing: str,
    box: Points,
    visible: BaseGeometry,
    errors: ClassErrors,
    rng: np.random.Generator,
    *,
    right: bool,
) -> Iterator[Found]:
    """A box round what can be seen of another, unless that is too little."""
    part, share = seen_of(shapely.Polygon(box), visible)
    if share < LEAST_SEEN:
        return
    if share < 1 - 1e-9:
        box = tight_rectangle(shapely.get_coordinates(part))
    score = draw_score(errors, rng, right=right)
    yield Found(thing, errors.name, score, jittered(box, errors.box, rng))


def jittered(box: Points, errors: BoxErrors | None, rng: np.random.Generator) -> Points:
    """A box (4, 2) as it would be found: its middle, sides and angle off by chance.

    The logarithms of length and width are off by normal errors, correlated so that those of the area have the
    standard deviation that was measured, as far as that can be.
    """
    if errors is None:
        return box
    sides = box[1] - box[0], box[2] - box[1]
    along = sides[0] if np.hypot(*sides[0]) >= np.hypot(*sides[1]) else sides[1]
    spread = errors.length_sd, errors.width_sd
    both = 2 * spread[0] * spread[1]
    shared = (errors.area_sd**2 - spread[0] ** 2 - spread[1] ** 2) / both if both else 0.0
    shared = float(np.clip(shared, -1, 1))
    first, second = rng.standard_normal(2)
    logs = np.array([first, shared * first + np.sqrt(1 - shared**2) * second]) * spread
    logs = logs + np.array([errors.length_bias, errors.width_bias])
    length, width = np.array(sides_m(box)) * np.exp(logs)
    x, y = box.mean(axis=0) + rng.normal(0, errors.centre_m, 2)
    angle = float(np.arctan2(along[1], along[0]) + rng.normal(0, _TURN))
    return rectangle(float(x), float(y), angle, float(length), float(width))


def _false(
    history: History, shot: Shot, visible: BaseGeometry, errors: ClassErrors, rng: np.random.Generator
) -> Iterator[Found]:
    """Half of the false alarms are of things that look alike on every date, the others are of nothing."""
    expected = errors.false_alarms_km2 * visible.area / 1e6
    confusers = [one for one in history.things if one.cls == errors.name and not one.real]
    forms = [(one.id, one.form(shot.date)) for one in confusers]
    alike = [(name, form) for name, form in forms if form is not None]
    chance = min(0.9, STANDING * errors.false_alarms_km2 * shot.footprint.area / 1e6 / max(1, len(alike)))
    for name, form in alike:
        if rng.random() < chance:
            placed = form.box + leaning(form, shot) + np.array(shot.shift_m)
            yield from _found(name, placed, visible, errors, rng, right=False)
    count = rng.poisson(max(0.0, expected - chance * len(alike) * visible.area / shot.footprint.area))
    for x, y in spots_in(visible, int(count), rng):
        size = np.array(_SIZES_M.get(errors.name, (20.0, 10.0))) * np.exp(rng.normal(0, [0.45, 0.2]))
        box = rectangle(x, y, float(rng.uniform(0, np.pi)), *size)
        yield from _found("", box, visible, errors, rng, right=False)


def spots_in(area: BaseGeometry, count: int, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """So many places drawn evenly over an area; none where it is empty."""
    if area.is_empty or count == 0:
        return
    low_x, low_y, high_x, high_y = area.bounds
    while count:
        x, y = float(rng.uniform(low_x, high_x)), float(rng.uniform(low_y, high_y))
        if shapely.contains_xy(area, x, y):
            count -= 1
            yield x, y
