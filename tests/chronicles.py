"""A history made by hand: two heaps and a fence at three dates, the second of them under cloud."""

from datetime import UTC, datetime

import shapely

from pithead.catalog import Site
from pithead.sites import (
    Change,
    Chronicle,
    Frame,
    Measure,
    Note,
    Rule,
    Shift,
    Sighting,
    Sign,
    State,
    Track,
    View,
)

LON, LAT = 126.53712, 39.41873
FRAME = Frame(LON, LAT)
GROUND = shapely.box(-300, -300, 300, 300)
WEIGHTS = "ab" * 32
DATES = (
    datetime(2016, 5, 1, 2, 30, tzinfo=UTC),
    datetime(2018, 5, 1, tzinfo=UTC),
    datetime(2020, 5, 1, tzinfo=UTC),
)
RING = shapely.LineString([(-200, -200), (200, -200), (200, 200), (-200, 200), (-200, -200)])


def heap(name: str, x: float, side: float, reviewer: str | None = None) -> Sighting:
    """A square heap on the x axis."""
    shape = shapely.box(x - side / 2, -side / 2, x + side / 2, side / 2)
    return Sighting(
        name, "coal_heap", 0.9, 0.9, shape, side * side, side, side,
        decision=None if reviewer is None else "accept", reviewer=reviewer,
    )  # fmt: skip


def fence(name: str) -> Sighting:
    """A closed square fence of 1.6 km."""
    return Sighting(name, "guard_perimeter", 0.8, None, RING, None, 1600.0, None, True, 160_000.0)  # noqa: FBT003


def view(number: int, *sightings: Sighting, cloud: bool = False) -> View:
    """A scene of a date; its shift is 2 m east."""
    sha256 = f"{number}" * 64
    return View(
        f"N39.41873_E126.53712_{number}-{sha256[:12]}", sha256, DATES[number], "WV02", 0.5, 12.0, WEIGHTS,
        GROUND, ((GROUND, "cloud"),) if cloud else (), Shift(2.0, 0.0, 0.5, 7, "objects"), sightings,
        pixels=True,
    )  # fmt: skip


def seen(number: int, raw: float, value: float, spread: float, checked: float | None = 0.0) -> Measure:
    """A quantity that can be told."""
    return Measure(number, raw, value, value - spread, value + spread, True, None, checked)  # noqa: FBT003


def hidden(number: int, raw: float = 0.0) -> Measure:
    """A quantity under cloud."""
    return Measure(number, raw, None, None, None, False, "cloud", None)  # noqa: FBT003


def state(kind: str) -> State:
    """A state; what cannot be seen is under cloud."""
    if kind == "cloud":
        return State("not_observable", "cloud")
    return State("present" if kind == "present" else "absent", p=0.99 if kind == "present" else 0.01)


def track(name: str, cls: str, shape: shapely.Geometry, *found: str | None) -> Track:
    """A track of one part: for each date a detection, "" for absent, None for cloud."""
    states = tuple(state("cloud" if one is None else "present" if one else "absent") for one in found)
    return Track(
        name,
        cls,
        tuple((one,) if one else () for one in found),
        (tuple(one or None for one in found),),
        states,
        shape,
    )


def by_hand(name: str = "Camp 15", reviewer: str | None = "Kim Reviewer") -> Chronicle:
    """One heap stays and grows, one appears, the fence stays; 2018 is under cloud.

    Sure: the ground under heaps grows from 400 to 1300 m², by 700 to 1100, and heap 2 of 900 m² appears.
    Proving nothing: the fence moved by 9 m.
    """
    one, two, later = heap("d0", 0, 20, reviewer), heap("d1", 0, 20), heap("d2", 100, 30)
    views = (view(0, one, fence("f0")), view(1, cloud=True), view(2, two, later, fence("f2")))
    tracks = (
        track("coal_heap-1", "coal_heap", one.shape, "d0", None, "d1"),
        track("coal_heap-2", "coal_heap", later.shape, "", None, "d2"),
        track("guard_perimeter-1", "guard_perimeter", RING, "f0", None, "f2"),
    )
    changes = (
        Change("heap_area_m2", "more", 0, 2, 900, 700, 1100, sure=True),
        Change("coal_heap-2", "appeared", 0, 2, 900, 900, 900, sure=True, cls="coal_heap", shape=later.shape),
        Change(
            "perimeter", "span_moved", 0, 2, 9, -1, 19, sure=False, cls="guard_perimeter",
            shape=shapely.LineString([(-200, 200), (200, 200)]),
        ),
    )  # fmt: skip
    rule = Rule(
        "pile", "coal_heap", ("guard_perimeter",), 300, "Coal behind a fence.", "Ann Author", "2026-01-02"
    )
    signs = (
        Sign("pile", 0, True, None, ("coal_heap-1", "guard_perimeter-1"), True),  # noqa: FBT003
        Sign("pile", 1, None, "cloud", ()),
        Sign("pile", 2, True, None, ("coal_heap-1", "guard_perimeter-1")),  # noqa: FBT003
    )
    polygon = FRAME.in_degrees(GROUND)
    notes = (
        Note("not_scored", {"scene": views[1].scene}),
        Note("errors_on", {"cls": "coal_heap", "on": "61 scenes"}),
    )
    return Chronicle(
        Site(name, ("Yodok",), polygon), FRAME, views, tracks,
        {
            "heap_area_m2": (seen(0, 400, 400, 40, 1.0), hidden(1), seen(2, 1300, 1300, 130)),
            "heaps": (seen(0, 1, 1, 0, 1.0), hidden(1), seen(2, 2, 2, 1)),
            "perimeter_km": (seen(0, 1.6, 1.62, 0.05), hidden(1, 0.3), seen(2, 1.6, 1.6, 0.05)),
        },
        changes, signs, (rule,), notes, WEIGHTS, "starter",
    )  # fmt: skip
