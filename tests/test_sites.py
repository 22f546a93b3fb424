"""Things of a site followed over time: frame, shifts, links, presence, sizes, sums."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from pithead.card import BoxErrors, ClassErrors, LineErrors, Rate, SizeRecall
from pithead.errors import CatalogError
from pithead.geometry import ground_length_m
from pithead.sites import Frame, Measure, Shift, Sighting, State, View
from pithead.sites.following import follow, tracks_of
from pithead.sites.linking import link
from pithead.sites.look import Look, by_size
from pithead.sites.pace import Pace, pace_of
from pithead.sites.presence import Rates, draw, drawings_of
from pithead.sites.quantities import heap_volume_m3, interval, seen_of, sums_of, tracks_within
from pithead.sites.shift import Offset, settled, shifted
from pithead.sites.states import hidden_by, state_of, visible_ground
from pithead.sites.together import together_of
from pithead.sites.weights import drawn

SITE = shapely.box(-500, -500, 500, 500)
START = datetime(2010, 5, 1, tzinfo=UTC)
MANY = 100_000


def errors(name: str = "coal_heap", *, recall: float = 0.9, precision: float = 0.8) -> ClassErrors:
    """Errors that are known as well as can be: of 100,000 objects, with 1 % of noise in sizes."""
    line = name == "guard_perimeter"
    return ClassErrors(
        name,
        (SizeRecall(0.0, float("inf"), MANY, round(recall * MANY)),),
        Rate(MANY, round(precision * MANY)),
        0.5,
        None if line else BoxErrors(MANY, 1.0, 0.0, 0.01, 0.0, 0.01, 0.0, 0.0141),
        LineErrors(recall, 0.99, 1.0, 0.0, 0.01, MANY, MANY, 0.0, 0.01) if line else None,
        "made up",
        100,
        1000.0,
        (0.3, 1.2),
    )


def heap(
    name: str, x: float, y: float, *, size: float = 20.0, p: float | None = 0.8, **more: object
) -> Sighting:
    shape = shapely.box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    cls = str(more.pop("cls", "coal_heap"))
    decision = more.pop("decision", None)
    return Sighting(
        name,
        cls,
        p or 0.5,
        p,
        shape,
        size**2,
        size,
        size,
        decision=None if decision is None else str(decision),
    )


def ring(name: str, shape: BaseGeometry, *, closed: bool = True) -> Sighting:
    points = shapely.get_coordinates(shape.exterior if closed else shape)  # type: ignore[attr-defined]
    line = shapely.LineString(points)
    area = shapely.Polygon(points).area if closed else None
    return Sighting(name, "guard_perimeter", 0.9, None, line, None, line.length, None, closed, area)


def view(number: int, *found: Sighting, **more: object) -> View:
    made = View(
        scene=f"scene-{number}",
        scene_sha256=f"{number:064x}",
        acquired=START + timedelta(days=365 * number),
        sensor="made up",
        gsd_m=0.5,
        off_nadir_deg=10.0,
        weights_sha256="0" * 64,
        looked=SITE,
        sightings=found,
        shift=Shift(sd_m=0.5),
    )
    return replace(made, **more)  # type: ignore[arg-type]


# --- frame


@given(st.floats(-170, 170), st.floats(-70, 70))
def test_the_frame_is_in_metres_and_comes_back(lon: float, lat: float) -> None:
    frame = Frame(lon, lat)
    line = shapely.LineString([(-2000, 0), (1500, 2500)])
    there = frame.in_degrees(line)
    assert shapely.get_coordinates(frame.in_metres(there)) == pytest.approx(
        shapely.get_coordinates(line), abs=1e-3
    )
    metres = ground_length_m(shapely.get_coordinates(there), "OGC:CRS84")
    assert metres == pytest.approx(line.length, rel=1e-6)


def test_a_frame_without_a_place_says_so() -> None:
    with pytest.raises(CatalogError, match="polygon"):
        Frame.round(shapely.Polygon())


# --- shifts


def test_two_offsets_of_equal_weight_settle_with_a_mean_of_nothing() -> None:
    known = np.eye(2) * 1e6  # so sure that the prior says nothing
    placed, _ = settled(2, {(0, 1): Offset(np.array([4.0, -2.0]), known, 9)})
    assert placed == pytest.approx(np.array([[-2.0, 1.0], [2.0, -1.0]]), abs=1e-3)


def test_shifts_of_scenes_are_found_from_what_stands_still() -> None:
    rng = np.random.default_rng(1)
    spots = rng.uniform(-400, 400, (12, 2))
    moves = np.array([[0.0, 0.0], [6.0, -5.0], [-7.0, 3.0], [2.0, 7.0]])
    views = shifted(
        [
            view(n, *(heap(f"{n}-{i}", *(spot + move + rng.normal(0, 1, 2))) for i, spot in enumerate(spots)))
            for n, move in enumerate(moves)
        ]
    )
    found = np.array([[one.shift.dx_m, one.shift.dy_m] for one in views])
    assert found - found.mean(axis=0) == pytest.approx(moves - moves.mean(axis=0), abs=1.5)
    assert all(one.shift.how == "objects" and one.shift.sd_m < 1.5 for one in views)


def test_a_straight_line_tells_nothing_along_itself() -> None:
    line = shapely.LineString([(-300, 0), (300, 0)])
    moved = shapely.affinity.translate(line, 9.0, 4.0)
    first, second = shifted([view(n, ring(str(n), one, closed=False)) for n, one in enumerate([line, moved])])
    assert second.shift.dy_m - first.shift.dy_m == pytest.approx(4.0, abs=0.5)
    assert second.shift.dx_m - first.shift.dx_m == pytest.approx(0.0, abs=0.5)


def test_a_scene_with_nothing_keeps_its_doubt() -> None:
    views = shifted([view(0, heap("a", 0, 0)), view(1)])
    assert views[1].shift == Shift(0.0, 0.0, 5.0, 0, "none")


# --- links


def strands_of(*views: View, cls: str = "coal_heap") -> list[list[str | None]]:
    return [
        [strand.at[n].detection if n in strand.at else None for n in range(len(views))]
        for strand in link(views, cls).strands
    ]


def test_heaps_are_linked_one_to_one_over_a_date_that_misses_them() -> None:
    views = [
        view(0, heap("a0", 0, 0), heap("b0", 30, 0)),
        view(1, heap("b1", 31, 1)),
        view(2, heap("a2", 2, 0), heap("b2", 30, 1), heap("c2", 100, 0)),
    ]
    assert strands_of(*views) == [["a0", None, "a2"], ["b0", "b1", "b2"], [None, None, "c2"]]


def test_the_order_of_detections_makes_no_difference() -> None:
    found = [heap(f"{i}", 25.0 * i, 0) for i in range(6)]
    again = [heap(f"{i}+", 25.0 * i + 3, 2) for i in range(6)]
    straight = strands_of(view(0, *found), view(1, *again))
    assert strands_of(view(0, *found[::-1]), view(1, *again[::-1])) == straight
    assert straight == [[f"{i}", f"{i}+"] for i in range(6)]


def test_a_class_is_never_linked_to_another() -> None:
    views = [view(0, heap("a", 0, 0)), view(1, heap("b", 0, 0, cls="mine_head"))]
    assert strands_of(*views) == [["a", None]]


def test_a_heap_that_grows_is_the_same_and_one_of_another_size_beside_it_is_not() -> None:
    assert strands_of(view(0, heap("a", 0, 0, size=15)), view(1, heap("b", 4, 3, size=30))) == [["a", "b"]]
    assert len(strands_of(view(0, heap("a", 0, 0, size=10)), view(1, heap("b", 28, 0, size=40)))) == 2


def long_heap(name: str, left: float, right: float) -> Sighting:
    shape = shapely.box(left, -8, right, 8)
    return Sighting(name, "coal_heap", 0.8, 0.8, shape, shape.area, right - left, 16.0)


def test_a_split_and_a_merger_are_one_track() -> None:
    whole, parts = long_heap("w", -40, 40), (long_heap("l", -40, -4), long_heap("r", 4, 40))
    for views, kind in (
        ((view(0, whole), view(1, *parts)), "split"),
        ((view(0, *parts), view(1, whole)), "merged"),
    ):
        followed = follow(views, "coal_heap", None, None, np.random.default_rng(0))
        (track,) = tracks_of(followed, views)
        assert [event.kind for event in track.events] == [kind]
        assert sorted(map(len, track.sightings)) == [1, 2]
        assert {*track.events[0].detections_before, *track.events[0].detections_after} == {"w", "l", "r"}


def test_the_pieces_of_a_fence_are_one_track_and_a_moved_side_keeps_it() -> None:
    square = shapely.box(0, 0, 200, 200)
    wider = shapely.box(0, 0, 230, 200)
    pieces = [
        ring("p", shapely.LineString([(0, 200), (0, 0), (200, 0)]), closed=False),
        ring("q", shapely.LineString([(200, 60), (200, 200), (60, 200)]), closed=False),
    ]
    views = [view(0, ring("a", square)), view(1, *pieces), view(2, ring("b", wider))]
    followed = follow(views, "guard_perimeter", None, None, np.random.default_rng(0))
    (track,) = tracks_of(followed, views)
    assert [set(names) for names in track.sightings] == [{"a"}, {"p", "q"}, {"b"}]


def test_rakes_on_one_place_of_a_siding_are_linked_and_others_are_not() -> None:
    def rake(name: str, left: float, right: float, y: float) -> Sighting:
        shape = shapely.box(left, y - 1.5, right, y + 1.5)
        return Sighting(name, "rail_loading", 0.8, 0.8, shape, shape.area, right - left, 3.0)

    views = [view(0, rake("a", 0, 120, 0)), view(1, rake("b", 60, 200, 4)), view(2, rake("c", 400, 500, 0))]
    assert strands_of(*views, cls="rail_loading") == [["a", "b", None], [None, None, "c"]]


# --- presence


def look(seen: list[bool], recall: float, draws: int, odds: float = 1.0) -> Look:
    flags = np.array(seen)
    none = np.zeros(len(seen), np.bool_)
    each = np.full((len(seen), draws), recall)
    return Look(flags, ~flags, none, none, none, each, np.full(draws, odds))


def rates(odds: float, alarm: float, draws: int, views: int = 1, dispersion: float = 1.0) -> Rates:
    """Of a class with so many false alarms, measured on scenes of ten things; and how these go together."""
    together = together_of(replace(errors(), recall_dispersion=dispersion, scenes=MANY // 10))
    each = np.full(draws, alarm)
    return Rates(np.full(draws, odds), each, together, np.full((views, draws), 0.5))


def test_of_one_date_the_score_says_how_likely_a_thing_is_there() -> None:
    draws = 20_000
    pace = Pace(np.full(draws, 0.5), np.zeros((0, draws)), np.full(draws, 3.0))
    known, many = rates(4.0, 1e-5, draws), np.ones((1, draws))  # of 5 that are found, 4 are right
    for p in (0.2, 0.5, 0.9):
        stated = look([True], 0.9, draws, odds=p / (1 - p) / 4.0)
        there = draw(stated, pace, known, many, np.random.default_rng(3)).there
        assert there.mean() == pytest.approx(p, abs=0.01)


def test_drawn_paths_are_those_of_all_paths_weighed_one_by_one() -> None:
    """A share of time of 0.4, staying 0.7 and 0.2, recall 0.8: seen, missed, seen; surely real."""
    draws, share, stays, recall, alarm = 40_000, 0.4, (0.7, 0.2), 0.8, 0.01
    seen = [True, False, True]
    kept = np.repeat(np.array(stays)[:, None], draws, axis=1)
    pace = Pace(np.full(draws, share), kept, np.full(draws, 3.0))
    given_ = look(seen, recall, draws, odds=1e9)  # surely real
    many = np.ones((3, draws))
    drawn_ = draw(given_, pace, rates(1.0, alarm, draws), many, np.random.default_rng(5)).there
    weights = {}
    for path in product((0, 1), repeat=3):
        weight = share if path[0] else 1 - share
        for t in (0, 1):
            stay = stays[t]
            on = share + (1 - share) * stay if path[t] else share * (1 - stay)
            weight *= on if path[t + 1] else 1 - on
        for t in range(3):
            there = (recall if seen[t] else 1 - recall) if path[t] else (alarm if seen[t] else 1.0)
            weight *= there
        weights[path] = weight
    whole = sum(weights.values())
    for t in range(3):
        exact = sum(weight for path, weight in weights.items() if path[t]) / whole
        assert drawn_[:, t].mean() == pytest.approx(exact, abs=0.01)


def test_as_many_are_missed_as_recall_says() -> None:
    """On one date 8 of 10 are found: for each that is found, a quarter of one is missed."""
    draws = 40_000
    pace = Pace(np.full(draws, 0.6), np.zeros((0, draws)), np.full(draws, 3.0))
    yes, no = np.array([True]), np.array([False])
    sure = Look(yes, no, yes, no, no, np.full((1, draws), 0.8), np.ones(draws))
    many = np.ones((1, draws))
    unseen = draw(sure, pace, rates(1.0, 1e-5, draws), many, np.random.default_rng(7)).unseen
    assert unseen.mean() == pytest.approx(0.25, abs=0.02)


def test_what_stays_is_told_from_what_comes_and_goes() -> None:
    years = np.ones(9)
    rng = np.random.default_rng(0)
    odds = np.full(1, 100.0)
    steady = pace_of([look([True] * 10, 0.9, 1) for _ in range(5)], years, odds, rng, 500)
    flicker = pace_of([look([True, False] * 5, 0.9, 1) for _ in range(5)], years, odds, rng, 500)
    assert steady.stays.mean() > 0.6
    assert flicker.stays.mean() < 0.2
    assert steady.share.mean() > flicker.share.mean()


def test_places_of_false_alarms_do_not_make_things_come_and_go() -> None:
    """Five that stay, and ten places with one sighting each that scores hold for nothing."""
    years, rng = np.ones(9), np.random.default_rng(0)
    stays = [look([True] * 10, 0.9, 1, odds=5.0) for _ in range(5)]
    alarms = [look([n == k for n in range(10)], 0.9, 1, odds=0.02) for k in range(10)]
    without = pace_of(stays, years, np.full(1, 5.0), rng, 2000)
    beside = pace_of([*stays, *alarms], years, np.full(1, 5.0), rng, 2000)
    assert beside.stays.mean() > 0.9 * without.stays.mean()
    assert beside.again.mean() > without.again.mean()  # they did not come again


def test_a_thing_that_another_covers_since_is_no_false_alarm_for_that() -> None:
    draws = 4000
    pace = Pace(np.full(draws, 0.5), np.full((5, draws), 0.99), np.full(draws, 3.0))
    seen = np.array([True, True, True, False, False, False])
    none, each = np.zeros(6, np.bool_), np.full((6, draws), 0.9)
    known, many = rates(4.0, 1e-4, draws), np.ones((6, draws))
    merged = Look(seen, none, none, none, ~seen, each, np.ones(draws))
    gone = Look(seen, ~seen, none, none, none, each, np.ones(draws))
    told, other = (draw(one, pace, known, many, np.random.default_rng(1)) for one in (merged, gone))
    assert told.real.mean() == pytest.approx(0.955, abs=0.01)  # odds of 4 · 0.8 · 0.99 / 0.15
    assert other.real.mean() < 0.9
    assert not told.there[:, 3:].any()  # it is not there by itself


def test_recall_in_scenes_varies_as_much_as_the_card_says() -> None:
    """100,000 things in 10,000 scenes; a variance of 2.8 times chance is a correlation of 1.8 / 9."""
    card = replace(errors(recall=0.8), scenes=10_000, recall_dispersion=2.8)
    both = together_of(card)
    assert both.correlation == pytest.approx(0.2)
    rows = both.recalls[both.rows_of(np.array(0.8))]
    mean = (rows * both.weights).sum()
    assert mean == pytest.approx(0.8, abs=0.005)
    assert (both.weights * (rows - mean) ** 2).sum() == pytest.approx(0.2 * 0.8 * 0.2, rel=0.05)
    assert not together_of(errors()).alike


def test_where_a_scene_misses_what_is_there_it_may_miss_another() -> None:
    """The last but one of six dates does not show one of six heaps, or none of them."""
    one = [look([True] * 4 + [False, True], 0.9, 2000, odds=50.0)]
    shown = [look([True] * 6, 0.9, 2000, odds=50.0) for _ in range(5)]
    ends = [look([True] * 4 + [False, False], 0.9, 2000, odds=50.0)]
    chances = {}
    for name, dispersion in (("alone", 1.0), ("together", 4.0)):
        known = rates(5.0, 1e-5, 2000, 6, dispersion)
        for what, looks in (("seen", [*ends, *shown]), ("missed", [*ends, *one * 5])):
            told = drawings_of(looks, np.full(5, 2.0), known, np.random.default_rng(2))
            chances[name, what] = float(told.drawings[0].there[:, 4].mean())
    assert chances["together", "missed"] > 1.5 * chances["alone", "missed"]
    assert chances["together", "missed"] > 2 * chances["together", "seen"]


def test_an_unusual_size_tells_false_alarms_from_things() -> None:
    large = [replace(look([True] * 4, 0.9, 10), size=6.5) for _ in range(8)]
    small = [replace(look([True, False, False, False], 0.9, 10), size=5.0) for _ in range(8)]
    told = by_size([*large, *small], [0.95] * 8 + [0.3] * 8)
    assert float(told[0].score_odds[0]) > 1 > float(told[-1].score_odds[0])
    lines = [look([True], 0.9, 10)] * 3
    assert by_size(lines, [0.5] * 3) == lines


# --- states


def test_not_seen_is_absent_only_where_it_would_have_been_seen() -> None:
    def kinds(
        *, seen: bool = False, hidden: str | None = None, recall: float | None = 0.9, p: float | None
    ) -> State:
        return state_of(seen=seen, hidden=hidden, recall=recall, p=p)  # type: ignore[arg-type]

    assert kinds(seen=True, p=0.9).kind == "present"
    assert kinds(p=0.01).kind == "absent"
    assert kinds(hidden="cloud", p=0.01).reason == "cloud"
    assert kinds(p=0.4).reason == "may_be_missed"
    assert kinds(recall=0.3, p=0.01).reason == "recall"
    assert kinds(recall=None, p=None).reason == "not_measured"


def test_why_a_thing_cannot_be_seen() -> None:
    place = shapely.box(0, 0, 20, 20)
    cloud = shapely.box(-50, -50, 10, 50)
    clouded = view(0, hidden=((cloud, "cloud"),))
    assert hidden_by(clouded, place, errors()) == "cloud"
    assert hidden_by(clouded, shapely.box(30, 0, 50, 20), errors()) is None
    # The scene shows everything 25 m too far west, so the cloud hides what lies 25 m farther east.
    shifted_ = replace(clouded, shift=Shift(-25.0, 0.0, 0.5))
    assert hidden_by(shifted_, shapely.box(30, 0, 50, 20), errors()) == "cloud"
    snow = view(0, hidden=((SITE, "snow"),))
    assert hidden_by(snow, place, errors()) == "snow"
    assert visible_ground(snow, "coal_heap").is_empty
    assert visible_ground(snow, "mine_head").equals(snow.looked)  # what is seen in snow is there
    assert hidden_by(view(0, gsd_m=2.0), place, errors()) == "too_coarse"
    assert hidden_by(view(0), shapely.box(490, 0, 510, 20), errors()) == "outside"


# --- sums


def measured(
    name: str, cls: str, *views: View, of: ClassErrors | None = None, site: BaseGeometry = SITE
) -> list[Measure]:
    rng = np.random.default_rng(11)
    followed = follow(views, cls, None if of is None else drawn(of, rng), site, rng)
    return list(sums_of(name, followed, views, [seen_of(one, cls, site) for one in views], rng).measures)


def test_heaps_that_every_date_shows_are_counted_and_measured() -> None:
    spots = [(-100.0, 0.0), (0.0, 0.0), (100.0, 50.0)]
    views = [view(n, *(heap(f"{n}-{i}", *s, p=0.95) for i, s in enumerate(spots))) for n in range(5)]
    for one in measured("heaps", "coal_heap", *views, of=errors(recall=0.98)):
        assert (one.raw, one.value, one.low, one.high) == (3, 3, 3, 3)
    for one in measured("heap_area_m2", "coal_heap", *views, of=errors(recall=0.98)):
        assert one.raw == 1200
        assert one.value == pytest.approx(1200, rel=0.02)
        assert one.low is not None
        assert one.high is not None
        assert one.low < 1200 < one.high
    (volume, *_) = measured("heap_volume_m3", "coal_heap", *views, of=errors(recall=0.98))
    assert volume.raw == pytest.approx(3 * 733.2, abs=0.2)


def test_one_that_a_date_misses_is_still_counted_and_the_raw_count_says_so() -> None:
    spots = [(-100.0, 0.0), (0.0, 0.0), (100.0, 50.0)]
    views = [
        view(n, *(heap(f"{n}-{i}", *s, p=0.95) for i, s in enumerate(spots) if (n, i) != (2, 1)))
        for n in range(6)
    ]
    middle = measured("heaps", "coal_heap", *views, of=errors(recall=0.7))[2]
    assert middle.raw == 2
    assert middle.high == middle.value == 3


def test_under_cloud_there_is_no_figure_but_a_reason() -> None:
    found = [heap(str(i), 40.0 * i, 0, p=0.95) for i in range(3)]
    cloud = view(1, hidden=((shapely.box(-30, -30, 500, 30), "cloud"),))
    views = [view(0, *found), cloud, view(2, *(replace(one, detection=f"{one.detection}+") for one in found))]
    one = measured("heaps", "coal_heap", *views, of=errors())[1]
    assert (one.observable, one.reason, one.value, one.raw) == (False, "cloud", None, 0)


def test_what_a_person_has_said_is_certain() -> None:
    lone = heap("a", 0, 0, p=0.3)
    free = measured("heaps", "coal_heap", view(0, lone), of=errors(recall=0.98))[0]
    assert (free.value, free.checked) == (0, 0)
    said = replace(lone, decision="accept", reviewer="NN")
    one = measured("heaps", "coal_heap", view(0, said), of=errors(recall=0.98))[0]
    assert (one.low, one.value, one.checked) == (1, 1, 1)
    views = [view(0, said), view(1, rejected=(lone,))]
    assert measured("heaps", "coal_heap", *views, of=errors(recall=0.98))[1].high == 0


def test_without_errors_on_the_card_there_are_raw_figures_only() -> None:
    one = measured("heaps", "coal_heap", view(0, heap("a", 0, 0)))[0]
    assert (one.raw, one.value, one.reason) == (1, None, "not_measured")


def test_a_gap_in_a_fence_that_stood_before_and_after_is_a_miss() -> None:
    square = shapely.box(0, 0, 250, 250)
    open_ = shapely.LineString([(100, 250), (0, 250), (0, 0), (250, 0), (250, 250), (200, 250)])
    views = [view(n, ring(str(n), square)) for n in range(4)]
    views[2] = view(2, ring("2", open_, closed=False))
    of = errors("guard_perimeter", recall=0.95, precision=0.99)
    one = measured("perimeter_km", "guard_perimeter", *views, of=of)[2]
    assert one.raw == pytest.approx(0.9)
    assert one.high == pytest.approx(1.0, abs=0.06)
    assert one.low is not None
    assert one.low >= 0.87
    inside = measured("enclosed_km2", "guard_perimeter", *views, of=of)
    assert inside[2].value == pytest.approx(0.0625, rel=0.05)


def test_what_lies_outside_of_the_site_is_another_sites() -> None:
    views = [view(0, heap("in", 0, 0, p=0.95), heap("out", 520, 0, p=0.95))]
    assert measured("heaps", "coal_heap", *views, of=errors())[0].raw == 1


def test_volumes_and_tracks_by_hand() -> None:
    cone = heap_volume_m3(np.array([20.0]), np.array([20.0]))
    assert cone == pytest.approx(np.tan(np.radians(35)) * np.pi * 10**3 / 3)
    ridge = heap_volume_m3(np.array([60.0]), np.array([20.0]))
    assert ridge - cone == pytest.approx(np.tan(np.radians(35)) * 100 * 40)
    assert tracks_within(np.array([2.0, 3.0, 7.8, 12.5])).tolist() == [1, 1, 2, 3]


def test_intervals_of_counts_are_the_shortest_that_hold_95_percent() -> None:
    draws = np.repeat([2.0, 3.0, 4.0, 9.0], [10, 930, 30, 30])
    assert interval(draws, whole_numbers=True) == (3, 3, 4)
    assert interval(np.full(100, 2.0), whole_numbers=True) == (2, 2, 2)
    low, middle, high = interval(np.linspace(0, 1, 1001), whole_numbers=False)
    assert (low, middle, high) == pytest.approx((0.025, 0.5, 0.975))
