"""What is true of a site at a picture, and between two: every figure that a report may state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.generate.history.forms import Form, Pile, Plant, Ring, Wagons
from pithead.generate.history.shot import Shot
from pithead.generate.history.thing import Thing
from pithead.generate.parts import Points, sides_m

SAME_M = 1.0
"""A line within this of another is the same: in a history lines are moved by much more, or not at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """One thing that is there.

    Attributes:
        thing: Its id.
        cls: Its class.
        kind: Its kind.
        form: What it looks like.
        box: (4, 2) the tightest rectangle round it in the site's frame, metres.
        shape: Its outline (of a heap the toe) or line in the site's frame.
        visible: Which part of it the picture shows, 0 to 1: what is not in the frame, under cloud or in haze
            is not shown. A heap under snow is shown.
    """

    thing: str
    cls: str
    kind: str
    form: Form
    box: Points
    shape: BaseGeometry
    visible: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is at a site at the time of a picture, seen or not.

    Attributes:
        labels: What is there, by id.
        quantities: The figures, by name:
            heaps: number of coal heaps;
            heap_area_m2: sum of the rectangles round them, which is what a detector of boxes measures;
            heap_ground_m2: what they cover in truth;
            heap_volume_m3: what they hold in truth, at an angle of repose of 35°, level tops counted as such;
            perimeter_km: length of the lines; enclosed_km2: inside of those that close;
            rail_occupied_m: metres of siding along which anything stands; standing_m: metres of track under
            wagons, all tracks together; wagons: their number;
            mine_heads: how many stand there.
    """

    labels: tuple[Label, ...]
    quantities: dict[str, float]

    def of(self, cls: str) -> tuple[Label, ...]:
        """The labels of a class."""
        return tuple(label for label in self.labels if label.cls == cls)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """What became of the perimeters between two pictures, lines in the site's frame.

    Attributes:
        new: What is at the later one and was not at the earlier one.
        vanished: What was and is no more.
        moved: The part of `new` that is of a compound that was there before: its line went elsewhere.
    """

    new: BaseGeometry
    vanished: BaseGeometry
    moved: BaseGeometry


def truth_of(things: Sequence[Thing], shot: Shot) -> Truth:
    """Labels and figures of a picture; what only looks like something is no label."""
    labels = tuple(
        _label(thing, form, shot)
        for thing in sorted(things, key=lambda one: one.id)
        if thing.real and (form := thing.form(shot.date)) is not None
    )
    return Truth(labels, _quantities([label.form for label in labels]))


def _label(thing: Thing, form: Form, shot: Shot) -> Label:
    shape = form.shape
    placed = shapely.transform(shape, lambda points: points + np.array(shot.shift_m))
    whole = placed.area or placed.length
    seen = placed.intersection(shot.visible)
    share = (seen.area if placed.area else seen.length) / whole
    return Label(thing.id, thing.cls, thing.kind, form, form.box, shape, float(min(1.0, share)))


def _quantities(forms: Sequence[Form]) -> dict[str, float]:
    piles = [form for form in forms if isinstance(form, Pile)]
    rings = [form for form in forms if isinstance(form, Ring)]
    groups = [form for form in forms if isinstance(form, Wagons)]
    return {
        "heaps": float(len(piles)),
        "heap_area_m2": float(sum(np.prod(sides_m(pile.box)) for pile in piles)),
        "heap_ground_m2": sum(pile.area_m2 for pile in piles),
        "heap_volume_m3": sum(pile.volume_m3 for pile in piles),
        "perimeter_km": sum(ring.length_m for ring in rings) / 1e3,
        "enclosed_km2": sum(ring.enclosed_m2 for ring in rings) / 1e6,
        "rail_occupied_m": sum(group.occupied_m for group in groups),
        "standing_m": sum(group.standing_m for group in groups),
        "wagons": float(sum(group.wagons for group in groups)),
        "mine_heads": float(sum(isinstance(form, Plant) for form in forms)),
    }


def links_of(things: Sequence[Thing], earlier: Shot, later: Shot) -> frozenset[tuple[str, str]]:
    """Pairs of ids of which the later thing is the earlier one, or was made of it by a split or merger."""
    there = {thing.id for thing in things if thing.real and thing.form(earlier.date) is not None}
    now = [thing for thing in things if thing.real and thing.form(later.date) is not None]
    same = {(thing.id, thing.id) for thing in now if thing.id in there}
    kin = {(parent, thing.id) for thing in now for parent in thing.parents if parent in there}
    return frozenset(same | kin)


def spans_of(things: Sequence[Thing], earlier: Shot, later: Shot) -> Spans:
    """The perimeters that are new, vanished and moved between two pictures."""
    before: list[BaseGeometry] = []
    after: list[BaseGeometry] = []
    moved: list[BaseGeometry] = []
    for thing in things:
        was, form = thing.form(earlier.date), thing.form(later.date)
        if isinstance(was, Ring):
            before.append(was.shape)
        if isinstance(form, Ring):
            after.append(form.shape)
        if isinstance(was, Ring) and isinstance(form, Ring):
            moved.append(_beside(form.shape, was.shape))
    first, last = shapely.union_all(before), shapely.union_all(after)
    return Spans(_beside(last, first), _beside(first, last), shapely.union_all(moved))


def _beside(line: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """The part of a line that does not run along another."""
    return line.difference(other.buffer(SAME_M)) if not other.is_empty else line


def leaning(form: Form, shot: Shot) -> Points:
    """(2,) metres by which the middle of a form is off in a picture, because it stands high.

    By half of its height, of a plant by a third of its tower's. A heap's outline is its toe, which lies on
    the ground: its slopes of 35° hide it from no sensor up to 30° off nadir.
    """
    part = 0.0 if isinstance(form, Pile) else 1 / 3 if isinstance(form, Plant) else 0.5
    return np.asarray(shot.lean * form.height_m * part, np.float64)
