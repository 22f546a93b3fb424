import itertools
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely

from pithead import geometry
from pithead.errors import DatasetError
from pithead.generate.history import (
    CONFUSER,
    Block,
    Form,
    History,
    Pile,
    Plant,
    Ring,
    Sensor,
    Shot,
    Thing,
    Wagons,
    leaning,
)
from pithead.generate.parts import rectangle, sides_m
from pithead.generate.sidings import Rake, Yard

TAN35 = 0.7002075382097097
EARLY, LATE = datetime(2015, 5, 1, 2, tzinfo=UTC), datetime(2017, 7, 1, 2, tzinfo=UTC)
SENSOR = Sensor("test", 1.0, 8, ("grey",))
SQUARE = np.array([[0.0, 0.0], [100, 0], [100, 100], [0, 100]])


def shot(when: datetime = EARLY, **more: object) -> Shot:
    facts: dict[str, object] = {
        "number": 0,
        "date": when,
        "sensor": SENSOR,
        "off_nadir_deg": 0.0,
        "azimuth_deg": 90.0,
        "sun_azimuth_deg": 150.0,
        "sun_elevation_deg": 50.0,
        "shift_m": (0.0, 0.0),
        "season": "spring",
        "snow": False,
        "haze": 0.0,
        "clouds": (),
        "footprint": shapely.box(-400, -400, 400, 400),
    }
    return Shot(**{**facts, **more})  # type: ignore[arg-type]


def thing(
    name: str, cls: str, *changes: tuple[datetime, Form | None], parents: tuple[str, ...] = ()
) -> Thing:
    return Thing(name, cls, "made", changes, parents)


def history(*things: Thing, shots: tuple[Shot, ...] = ()) -> History:
    return History(3, "Made up", 700.0, things, shots, None)


# --- what a thing looks like


def test_a_ridge_is_a_prism_and_a_cone() -> None:
    pile = Pile(5, 7, 0.4, crest_m=20, radius_m=10)
    assert pile.area_m2 == pytest.approx(100 * np.pi + 400)
    assert pile.shape.area == pytest.approx(pile.area_m2, rel=2e-4)
    assert sides_m(pile.box) == pytest.approx((40, 20))
    assert pile.height_m == pytest.approx(10 * TAN35)
    assert pile.volume_m3 == pytest.approx(TAN35 * (100 * 20 + np.pi * 1000 / 3))
    assert shapely.Polygon(pile.box).buffer(1e-6).contains(pile.shape)


def test_a_level_top_takes_the_crest_away() -> None:
    flat = Pile(0, 0, 0, crest_m=0, radius_m=12, flat=0.5)
    # A cone of 12 m cut at half of its height: 7/8 of it are left.
    assert flat.volume_m3 == pytest.approx(7 / 8 * TAN35 * np.pi * 12**3 / 3)
    assert flat.height_m == pytest.approx(6 * TAN35)
    assert flat.shape.area == pytest.approx(144 * np.pi, rel=2e-4)


def test_a_ring_comes_back_and_a_line_does_not() -> None:
    ring, line = Ring(SQUARE), Ring(SQUARE, closed=False)
    assert (ring.length_m, ring.enclosed_m2) == pytest.approx((400, 10_000))
    assert (line.length_m, line.enclosed_m2) == pytest.approx((300, 0))
    assert ring.shape.is_ring
    assert not line.shape.is_ring


def test_wagons_on_two_tracks() -> None:
    yard = Yard(0, 0, 0.0, float("inf"), 200, np.array([-2.5, 2.5]))
    rakes = (Rake(-2.5, -40, 3, (13.0, 3.0), "open"), Rake(2.5, -26, 4, (13.0, 3.0), "tank"))
    group = Wagons(yard, rakes)
    # Three wagons and two gaps are 41 m, -40 to 1; four are 55 m, -26 to 29.
    assert group.wagons == 7
    assert group.occupied_m == pytest.approx(29 + 40)
    assert group.standing_m == pytest.approx(41 + 55)
    assert group.pitch_m == pytest.approx(14)
    assert group.shape.contains(shapely.Point(-39, 2.4))  # the first track is north: the painters count down
    assert sides_m(group.box)[0] <= np.hypot(69, 8)


# --- through time


def test_a_thing_looks_as_since_its_last_change() -> None:
    small, large = Pile(0, 0, 0, 0, 5), Pile(0, 0, 0, 0, 9)
    one = thing("a", "coal_heap", (EARLY, small), (LATE, large))
    assert one.form(datetime(2015, 4, 30, tzinfo=UTC)) is None
    assert one.form(EARLY) == small
    assert one.form(datetime(2016, 1, 1, tzinfo=UTC)) == small
    assert one.form(LATE) == large
    assert one.shape(LATE).area == pytest.approx(81 * np.pi, rel=2e-4)  # type: ignore[union-attr]
    assert (one.first, one.until) == (EARLY, None)
    gone = thing("b", "coal_heap", (EARLY, small), (LATE, None))
    assert gone.until == LATE
    assert gone.shape(LATE) is None


def test_changes_come_in_order() -> None:
    pile = Pile(0, 0, 0, 0, 5)
    with pytest.raises(DatasetError, match="in order of time"):
        thing("a", "coal_heap", (LATE, pile), (EARLY, None))
    with pytest.raises(DatasetError, match="in order of time"):
        thing("a", "coal_heap")


def test_figures_by_hand() -> None:
    yard = Yard(0, 200, 0.0, float("inf"), 200, np.array([0.0]))
    wagons = Wagons(yard, (Rake(0.0, 0, 3, (13.0, 3.0), "open"),))
    box = rectangle(-200, -200, 0.3, 60, 20)
    site = history(
        thing("heap", "coal_heap", (EARLY, Pile(-100, 0, 0, 20, 10))),
        thing("cone", "coal_heap", (EARLY, Pile(-150, 0, 0, 0, 6)), (LATE, None)),
        thing("ring", "guard_perimeter", (EARLY, Ring(SQUARE))),
        thing("line", "guard_perimeter", (LATE, Ring(SQUARE + 150, closed=False))),
        thing("berth", "rail_loading", (LATE, wagons)),
        thing("head", "mine_head", (EARLY, Plant(0, 0, 0, 1, box, 20.0))),
        Thing("roof", "coal_heap", CONFUSER, ((EARLY, Block(box)),)),
    )
    first, last = site.truth(shot()).quantities, site.truth(shot(LATE)).quantities
    assert first == pytest.approx(
        {
            "heaps": 2,
            "heap_area_m2": 40 * 20 + 12 * 12,
            "heap_ground_m2": 136 * np.pi + 400,
            "heap_volume_m3": TAN35 * (2000 + np.pi * 1000 / 3 + np.pi * 216 / 3),
            "perimeter_km": 0.4,
            "enclosed_km2": 0.01,
            "rail_occupied_m": 0,
            "standing_m": 0,
            "wagons": 0,
            "mine_heads": 1,
        }
    )
    changed = {"heaps": 1, "perimeter_km": 0.7, "enclosed_km2": 0.01, "rail_occupied_m": 41, "wagons": 3}
    assert {name: last[name] for name in changed} == pytest.approx(changed)
    assert {label.thing for label in site.truth(shot()).labels} == {"heap", "cone", "ring", "head"}


def test_a_side_moved_outward_is_new_and_leaves_its_old_place() -> None:
    moved = SQUARE.copy()
    moved[2:, 1] += 30
    site = history(
        thing("ring", "guard_perimeter", (EARLY, Ring(SQUARE)), (LATE, Ring(moved))),
        thing("other", "guard_perimeter", (EARLY, Ring(SQUARE + 200)), (LATE, None)),
    )
    spans = site.spans(shot(), shot(LATE))
    # The side of 100 m, and 30 m on both sides of it; a metre beside the old corners counts as the old line.
    assert spans.new.length == pytest.approx(160, abs=3)
    assert spans.moved.length == pytest.approx(spans.new.length)
    assert spans.vanished.length == pytest.approx(100 + 400, abs=3)
    back = site.spans(shot(LATE), shot())
    assert back.moved.length == pytest.approx(100, abs=3)
    assert back.new.length == pytest.approx(spans.vanished.length)
    same = site.spans(shot(), shot())
    assert same.new.is_empty
    assert same.vanished.is_empty


def test_parts_of_a_heap_are_its_kin() -> None:
    pile = Pile(0, 0, 0, 0, 5)
    site = history(
        thing("whole", "coal_heap", (EARLY, pile), (LATE, None)),
        thing("left", "coal_heap", (LATE, pile), parents=("whole",)),
        thing("right", "coal_heap", (LATE, pile), parents=("whole",)),
        thing("stays", "coal_heap", (EARLY, pile)),
    )
    assert site.links(shot(), shot(LATE)) == {("whole", "left"), ("whole", "right"), ("stays", "stays")}
    assert site.links(shot(LATE), shot(LATE)) == {(n, n) for n in ("left", "right", "stays")}


# --- pictures


def test_what_stands_high_leans_away_from_the_sensor() -> None:
    tilted = shot(off_nadir_deg=30.0, azimuth_deg=90.0)  # the sensor stands in the east
    assert tilted.lean == pytest.approx([-np.tan(np.pi / 6), 0], abs=1e-12)
    assert leaning(Block(SQUARE, height_m=10), tilted) == pytest.approx([-5 * np.tan(np.pi / 6), 0])
    assert leaning(Pile(0, 0, 0, 0, 10), tilted) == pytest.approx([0, 0])


def test_what_hides_the_ground() -> None:
    cloud, gap = shapely.box(0, 0, 400, 400), shapely.box(-400, -400, -300, 400)
    seen = shot(clouds=(cloud,), nodata=(gap,))
    assert [reason for _, reason in seen.hidden] == ["cloud", "nodata"]
    assert seen.visible.area == pytest.approx(800 * 800 - 400 * 400 - 100 * 800)
    assert shot(haze=0.6).visible.area == 0
    half = history(thing("ring", "guard_perimeter", (EARLY, Ring(SQUARE - 50))))
    (label,) = half.truth(shot(clouds=(shapely.box(0, -400, 400, 400),))).labels
    assert label.visible == pytest.approx(0.5)
    # A picture that is shifted by 8 m shows 8 m more or less of it.
    (label,) = half.truth(shot(clouds=(shapely.box(0, -400, 400, 400),), shift_m=(8.0, 0.0))).labels
    assert label.visible == pytest.approx((200 - 16) / 400)


@pytest.mark.parametrize("wrong", [{"shift_m": (7.0, 7.0)}, {"off_nadir_deg": 31.0}, {"haze": 1.5}])
def test_a_shot_keeps_its_promises(wrong: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="expected"):
        shot(**wrong)


# --- drawn by chance


SEEDS = range(12)
DRAWN = {seed: History.draw(seed) for seed in SEEDS}


def told(drawn: History) -> list[object]:
    return [(one.id, one.kind, len(one.changes), one.first) for one in drawn.things] + [
        (one.date, one.sensor.name, one.shift_m, one.haze, one.footprint.wkb) for one in drawn.shots
    ]


def test_a_seed_is_a_history() -> None:
    assert told(History.draw(5)) == told(DRAWN[5])
    assert told(DRAWN[5]) != told(DRAWN[6])
    boxes = [form.box for one in DRAWN[5].things for _, form in one.changes if form is not None]
    again = [form.box for one in History.draw(5).things for _, form in one.changes if form is not None]
    assert all((a == b).all() for a, b in zip(boxes, again, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_has_what_is_promised(seed: int) -> None:
    drawn = DRAWN[seed]
    assert len(drawn.shots) == 12
    assert len({one.sensor for one in drawn.shots}) == 4
    assert [one.date for one in drawn.shots] == sorted(one.date for one in drawn.shots)
    kinds = {one.kind for one in drawn.things}
    assert {"growing", "appearing", "vanishing", "split", "merged", "moved"} <= kinds
    assert {one.cls for one in drawn.things if one.real} == {
        "coal_heap",
        "mine_head",
        "guard_perimeter",
        "rail_loading",
    }
    assert drawn.siding is not None
    pairs = [drawn.links(a, b) for a, b in itertools.pairwise(drawn.shots)]
    kin = {pair for links in pairs for pair in links if pair[0] != pair[1]}
    assert {name.rstrip("ab") for pair in kin for name in pair} >= {
        one.id for one in drawn.things if one.kind == "merged" and one.parents
    }
    perimeters = [drawn.truth(one).quantities["perimeter_km"] for one in drawn.shots]
    assert len(set(perimeters)) > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_things_stand_beside_each_other_inside_of_the_site(seed: int) -> None:
    drawn = DRAWN[seed]
    for one in drawn.shots[::3]:
        labels = drawn.truth(one).labels
        for a, b in itertools.combinations(labels, 2):
            apart = a.shape.distance(b.shape)
            assert apart > (1.8 if a.cls == b.cls == "coal_heap" else 5), (a.thing, b.thing)
        assert all(drawn.outline.contains(label.shape) for label in labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_wagons_stand_on_the_siding_once_it_is_there(seed: int) -> None:
    drawn = DRAWN[seed]
    assert drawn.siding is not None
    yard, since = drawn.siding
    for one in drawn.things:
        for when, form in one.changes:
            if isinstance(form, Wagons):
                assert when >= since
                assert form.standing_m <= len(yard.tracks_m) * form.occupied_m
                assert form.occupied_m <= yard.length_m


def test_a_metre_is_a_metre_on_the_ground() -> None:
    drawn = DRAWN[3]
    line = drawn.to_lonlat([[-600.0, -600], [-600, 600], [600, 600]])
    assert geometry.ground_length_m(line, "OGC:CRS84") == pytest.approx(2400, abs=0.02)
    assert drawn.from_lonlat(line) == pytest.approx(
        np.array([[-600.0, -600], [-600, 600], [600, 600]]), abs=1e-6
    )
    lon, lat = drawn.origin
    assert lon == pytest.approx(129)
    assert 3 < lat < 12
    assert DRAWN[4].origin != drawn.origin


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"dates": 5}, {"sensors": 0}, {"sensors": 7}, {"side_m": 500.0}]
)
def test_no_history_of_impossible_arguments(wrong: dict[str, int]) -> None:
    with pytest.raises(DatasetError, match="expected"):
        History.draw(**{"seed": 0, **wrong})  # type: ignore[arg-type]


def test_other_numbers_of_dates_and_sensors() -> None:
    drawn = History.draw(1, dates=6, sensors=2, side_m=700)
    assert len(drawn.shots) == 6
    assert len({one.sensor for one in drawn.shots}) == 2
    assert all(
        drawn.outline.contains(label.shape) for one in drawn.shots for label in drawn.truth(one).labels
    )
    with pytest.raises(DatasetError, match="expected a thing"):
        drawn.thing("no such")
    assert drawn.thing("perimeter-0").cls == "guard_perimeter"
    assert replace(drawn, name="Other").shots == drawn.shots
