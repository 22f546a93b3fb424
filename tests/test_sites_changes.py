"""What changed at a site: quantities, tracks, spans of its perimeter, and signs."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry
from test_sites import SITE, errors, heap, ring, view

from pithead.catalog import Site
from pithead.errors import CatalogError, OptionError
from pithead.sites import Change, Chronicle, Frame, Rule, Sighting, View
from pithead.sites.chronicle import tell
from pithead.sites.fence import tolerance_m
from pithead.sites.signs import read_rules
from pithead.sites.spans import changes_of_spans

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("coal_heap", "mine_head", "guard_perimeter", "rail_loading")
KNOWN = {name: errors(name, recall=0.97, precision=0.97) for name in CLASSES}
WORKING = Rule("working_mine", "mine_head", ("coal_heap",), 300.0, "it works", "NN", "2026-01-01")


def told(*views: View, rules: tuple[Rule, ...] = ()) -> Chronicle:
    return tell(Site("Camp"), Frame(129.0, 40.0), views, SITE, KNOWN, rules=rules)


def test_the_same_views_give_the_same_history() -> None:
    views = [view(n, heap(f"{n}", 3.0 * n, 0), heap(f"{n}+", 80, 0)) for n in range(4)]
    assert told(*views) == told(*views)
    assert told(*views).quantities == told(*views).quantities


def test_views_out_of_order_are_refused() -> None:
    with pytest.raises(CatalogError, match="order of time"):
        told(view(1), view(0))


def test_a_heap_that_doubles_is_a_change_and_one_that_does_not_is_none() -> None:
    sizes = [20.0, 20.0, 28.3, 28.3, 28.3]
    views = [
        view(n, heap(f"a{n}", 0, 0, size=s, p=0.95), heap(f"b{n}", 80, 0, p=0.95))
        for n, s in enumerate(sizes)
    ]
    changes = [one for one in told(*views).changes if one.what == "heap_area_m2"]
    told_ = {(one.kind, one.before, one.after) for one in changes}
    assert told_ == {("more", 1, 2), ("more", 0, 4)}
    for one in changes:
        assert one.sure
        assert one.low < 400 < one.high
    assert not [one for one in told(*views[2:]).changes if one.what == "heap_area_m2"]


def test_a_track_that_ends_vanished_between_two_dates_and_one_that_begins_appeared() -> None:
    stays = [heap(f"s{n}", -100, 0, p=0.95) for n in range(8)]
    views = [
        view(n, stays[n], heap(f"a{n}", 0, 0, p=0.95) if n < 4 else heap(f"b{n}", 100, 0, p=0.95))
        for n in range(8)
    ]
    changes = [one for one in told(*views).changes if one.cls == "coal_heap"]
    assert {(one.what, one.kind, one.before, one.after, one.sure) for one in changes} == {
        ("coal_heap-2", "vanished", 3, 4, True),
        ("coal_heap-3", "appeared", 3, 4, True),
    }


def test_under_cloud_a_track_neither_ends_nor_vanishes() -> None:
    cloud = ((SITE, "cloud"),)
    views = [view(0, heap("a", 0, 0, p=0.95)), view(1, heap("b", 0, 0, p=0.95)), view(2, hidden=cloud)]
    history = told(*views)
    (track,) = history.tracks
    assert [state.kind for state in track.states] == ["present", "present", "not_observable"]
    assert track.states[2].reason == "cloud"
    assert not history.changes


def test_a_heap_that_is_surely_two_has_split_and_one_at_the_edge_perhaps() -> None:
    def wide(name: str, left: float, right: float, y: float = 0.0) -> Sighting:
        shape = shapely.box(left, y - 8, right, y + 8)
        return Sighting(name, "coal_heap", 0.95, 0.95, shape, shape.area, right - left, 16.0)

    def dates(x: float) -> list[View]:
        whole = [view(n, wide(f"w{n}", x - 40, x + 40)) for n in range(3)]
        parts = [view(n, wide(f"l{n}", x - 40, x - 4), wide(f"r{n}", x + 4, x + 40)) for n in range(3, 6)]
        return [*whole, *parts]

    (split,) = [one for one in told(*dates(0)).changes if one.kind == "split"]
    assert (split.before, split.after, split.sure) == (2, 3, True)
    (edge,) = [one for one in told(*dates(458)).changes if one.kind == "split"]
    assert not edge.sure  # the scene ends a metre from it


def test_what_snow_keeps_from_being_seen_is_not_gone() -> None:
    heads = [heap(f"h{n}", 0, 0, size=60.0, p=0.97, cls="mine_head") for n in range(4)]
    clear = [view(n, one, ring(f"f{n}", square())) for n, one in enumerate(heads)]
    for hidden, gone in (((), True), (((SITE, "snow"),), False)):
        history = told(*clear, view(4, hidden=hidden))
        kinds = {one.kind for one in history.changes if one.sure}
        assert ("span_vanished" in kinds) is gone
        if not gone:
            assert {track.states[4].reason for track in history.tracks} == {"snow"}


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_grounds_that_touch_or_cross_themselves_are_no_trouble(seed: int) -> None:
    """Covers on a grid share edges and corners; some are bow ties, some lines, some hide all."""
    rng = np.random.default_rng(seed)

    def cover() -> BaseGeometry:
        x, y = rng.integers(-5, 5, 2) * 100
        kind = int(rng.integers(5))
        box = shapely.box(x, y, x + 100 * rng.integers(1, 4), y + 100)
        bow = shapely.Polygon([(x, y), (x + 200, y + 200), (x + 200, y), (x, y + 200)])
        mixed = shapely.GeometryCollection([box, shapely.LineString([(x, y), (x - 100, y)])])
        covers: list[BaseGeometry] = [box, bow, mixed, SITE, shapely.GeometryCollection()]
        return covers[kind]

    reasons = ("cloud", "snow", "nodata")
    views = [
        view(
            n,
            heap(f"a{n}", 0, 0),
            ring(f"r{n}", square(200.0 + 40 * rng.integers(3))),
            hidden=tuple((cover(), reasons[int(rng.integers(3))]) for _ in range(int(rng.integers(4)))),
        )
        for n in range(5)
    ]
    history = tell(Site("Camp"), Frame(129.0, 40.0), views, SITE, KNOWN, draws=50)
    assert len(history.quantities["heaps"]) == 5


def square(right: float = 200.0) -> shapely.Polygon:
    return shapely.box(0, 0, right, 200)


def spans(*views: View) -> list[Change]:
    return list(changes_of_spans(views, KNOWN["guard_perimeter"]))


def test_the_tolerance_by_hand() -> None:
    # Shifts known to 0.5 m, courses to 1 m, both 10 degrees off nadir with fences of 3 m.
    lean = 3 * np.tan(np.radians(10))
    expected = 3 * np.sqrt(2 * 0.25 + 2 * 1 + lean**2) + 6
    assert tolerance_m(view(0), view(1), KNOWN["guard_perimeter"]) == pytest.approx(expected)


def test_a_fence_within_the_error_has_not_moved_and_one_beyond_has() -> None:
    near = [view(0, ring("a", square())), view(1, ring("b", square(206.0)))]
    assert spans(*near) == []
    (moved,) = spans(view(0, ring("a", square())), view(1, ring("b", square(230.0))))
    assert (moved.kind, moved.sure) == ("span_moved", True)
    assert moved.by == pytest.approx(30.0, abs=3)
    assert moved.low < 30 < moved.high
    assert moved.shape is not None
    # The side of 200 m, and of the two ends of 30 m what lies beyond the tolerance.
    assert moved.shape.length == pytest.approx(
        200 + 2 * (30 - tolerance_m(view(0), view(1), KNOWN["guard_perimeter"])), abs=2
    )


def test_a_new_fence_is_new_and_a_gone_one_gone_where_dates_would_have_shown_it() -> None:
    other = shapely.box(-400, -400, -200, -200)
    views = [
        view(0, ring("a0", square())),
        view(1, ring("a1", square())),
        view(2, ring("a2", square()), ring("b2", other)),
        view(3, ring("a3", square()), ring("b3", other)),
    ]
    (new,) = spans(*views)
    assert (new.kind, new.before, new.after, new.sure) == ("span_new", 1, 2, True)
    assert new.by == pytest.approx(800)
    back = [view(3 - n, *one.sightings) for n, one in enumerate(views)][::-1]
    (gone,) = spans(*back)
    assert (gone.kind, gone.before, gone.after, gone.sure) == ("span_vanished", 1, 2, True)
    assert gone.by == pytest.approx(-800)


def test_what_a_cloud_hid_is_compared_with_the_date_before_the_cloud() -> None:
    other = shapely.box(-400, -400, -200, -200)
    cloud = ((shapely.box(-450, -450, -150, -150), "cloud"),)
    views = [
        view(0, ring("a", square())),
        view(1, hidden=cloud),
        view(2, ring("b", other), ring("c", square())),
    ]
    changes = {(one.kind, one.before, one.after) for one in spans(*views)}
    assert ("span_new", 0, 2) in changes


# --- signs


def test_a_sign_holds_with_its_parts_near_each_other_on_the_same_date() -> None:
    views = [
        view(
            n,
            heap(f"h{n}", 0, 0, size=40, p=0.95, cls="mine_head"),
            heap(f"c{n}", 200 if n < 3 else 460, 0, p=0.95),
        )
        for n in range(6)
    ]
    signs = told(*views, rules=(WORKING,)).signs
    assert [sign.holds for sign in signs] == [True, True, True, False, False, False]
    assert signs[0].parts == ("mine_head-1", "coal_heap-1")
    assert not signs[0].checked


def test_a_sign_that_cannot_be_told_says_why() -> None:
    found = (heap("h", 0, 0, size=40, p=0.95, cls="mine_head"), heap("c", 100, 0, p=0.95))
    cloud = ((shapely.box(60, -50, 140, 50), "cloud"),)
    again = heap("h1", 0, 0, size=40, p=0.95, cls="mine_head")
    signs = told(view(0, *found), view(1, again, hidden=cloud), rules=(WORKING,)).signs
    assert (signs[1].holds, signs[1].reason) == (None, "cloud")


def test_the_rules_of_the_project_can_be_read() -> None:
    rules = read_rules(ROOT / "inference" / "signs.toml")
    assert [rule.name for rule in rules][:2] == ["working_mine", "shipping"]
    assert {rule.subject for rule in rules} | {name for rule in rules for name in rule.near} <= set(CLASSES)


@pytest.mark.parametrize(
    ("text", "told_"),
    [
        ("[a\n", "TOML"),
        ('[a]\nsubject = "x"', "near"),
        ('[a]\nsubject="x"\nnear=[]\nwithin_m=3\nmeans="m"\nauthor="NN"\ndate=2026-01-01', "rule"),
        ('[a]\nsubject="x"\nnear=["y"]\nwithin_m=-3\nmeans="m"\nauthor="NN"\ndate=2026-01-01', "within_m"),
        ('[a]\nsubject="x"\nnear=["y"]\nwithin_m=3\nmeans="m"\nauthor=""\ndate=2026-01-01', "author"),
    ],
)
def test_a_rule_without_what_it_needs_is_refused(tmp_path: Path, text: str, told_: str) -> None:
    path = tmp_path / "signs.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=told_):
        read_rules(path)
