"""pithead.acquisition: doubts worked out by hand, twins and neighbours left alone, every site asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pithead.acquisition import (
    Candidate,
    choose,
    describe,
    disagreement,
    doubts_of,
    entropy,
    odds,
    season_of,
    uncertainty,
)
from pithead.errors import OptionError
from pithead.geometry import Window

THRESHOLDS = (0.25, 0.5)


def row(score: float, class_id: int = 1, x: float = 50.0) -> list[float]:
    return [x, 50, 20, 10, 0, score, class_id]


def rows(*some: list[float]) -> np.ndarray:
    return np.array(some, np.float32).reshape(-1, 7)


def candidate(number: int, doubt: float, looks: float, site: str = "a", season: str = "summer") -> Candidate:
    embedding = np.array([looks, 0.0, 1.0])
    return Candidate(
        f"s{number}", Window(0, 0, 64, 64), site, season, np.array([doubt]), np.zeros(1), embedding
    )


def test_a_score_at_the_threshold_is_a_coin_toss() -> None:
    assert odds([0.25, 0.5], [0.25, 0.5]) == pytest.approx([0.5, 0.5])
    # logit 0.75 - logit 0.25 = 2 ln 3, so odds of 9 to 1
    assert odds([0.75], [0.25]) == pytest.approx([0.9])
    assert entropy([0.5, 0.0, 1.0]) == pytest.approx([1, 0, 0], abs=1e-4)
    assert entropy([0.25]) == pytest.approx([0.8112781])


def test_doubt_counts_the_five_nearest_of_each_class() -> None:
    assert uncertainty(rows(), THRESHOLDS).tolist() == [0, 0]
    assert uncertainty(rows(row(0.5), row(0.25, 0)), THRESHOLDS) == pytest.approx([1, 1])
    assert uncertainty(rows(*[row(0.5)] * 30), THRESHOLDS) == pytest.approx([0, 5])
    assert uncertainty(rows(row(0.999999)), THRESHOLDS).sum() < 0.001


def test_two_models_differ_by_what_only_one_sees() -> None:
    both = rows(row(0.5), row(0.9, x=200))
    assert disagreement(both, both, THRESHOLDS) == pytest.approx([0, 0], abs=1e-6)
    assert disagreement(both, rows(), THRESHOLDS) == pytest.approx([0, 0.5 + 0.9], abs=1e-6)
    assert disagreement(rows(), both, THRESHOLDS) == pytest.approx([0, 1.4], abs=1e-6)
    assert disagreement(rows(row(0.5)), rows(row(0.9)), THRESHOLDS) == pytest.approx([0, 0.4], abs=1e-6)
    # another class at the same place is two things that only one saw; 0.5 at threshold 0.25 is 3 to 1
    assert disagreement(rows(row(0.5)), rows(row(0.5, 0)), THRESHOLDS) == pytest.approx([0.75, 0.5], abs=1e-6)


def test_descriptions_do_not_say_where_things_are() -> None:
    rng = np.random.default_rng(0)
    field = rng.integers(90, 110, (320, 320, 3), dtype=np.uint8)
    heap = field.copy()
    heap[40:80, 40:80] = 10
    moved = np.roll(heap, (160, 120), axis=(0, 1))
    stripes = field.copy()
    stripes[::4] = 200
    there, away, other = (np.linalg.norm(describe(heap) - describe(x)) for x in (moved, field, stripes))
    assert there < away / 10 < other
    assert describe(field).shape == (36,)
    assert np.isfinite(describe(np.zeros((64, 64, 3), np.uint8))).all()


def test_the_most_doubtful_comes_first_but_not_its_twin() -> None:
    several = [candidate(0, 5, 0.0), candidate(1, 4.9, 0.0), candidate(2, 1, 3.0), candidate(3, 0.9, -3.0)]
    assert [p.index for p in choose(several, 3)] == [0, 2, 3]
    assert {p.index for p in choose(several, 4)} == {0, 1, 2, 3}


def test_a_neighbour_is_worth_half() -> None:
    first = candidate(0, 5, 0.0)
    beside = replace(candidate(1, 3, 9.0), scene="s0", window=Window(64, 0, 64, 64))
    apart = replace(candidate(2, 2, 9.0), scene="s0", window=Window(200, 0, 64, 64))
    assert [p.index for p in choose([first, beside, apart], 2)] == [0, 2]


def test_sites_and_seasons_take_turns() -> None:
    rng = np.random.default_rng(1)
    many = [candidate(i, 1 + rng.random() / 10, rng.normal(), "large") for i in range(60)]
    few = [candidate(100 + i, 1 + rng.random() / 10, rng.normal(), "small") for i in range(10)]
    winter = [candidate(200 + i, 1.0, rng.normal(), "large", "winter") for i in range(10)]
    every = [*many, *few, *winter]
    chosen = [every[p.index] for p in choose(every, 15)]
    counts = {
        key: sum((c.site, c.season) == key for c in chosen)
        for key in (("large", "summer"), ("small", "summer"), ("large", "winter"))
    }
    assert min(counts.values()) >= 4


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(-5, 5)), min_size=1, max_size=20), st.data())
def test_every_choice_is_different_and_the_same_again(
    several: list[tuple[float, float]], data: st.DataObject
) -> None:
    candidates = [candidate(i, doubt, looks) for i, (doubt, looks) in enumerate(several)]
    count = data.draw(st.integers(1, len(candidates)))
    picks = choose(candidates, count)
    assert len({p.index for p in picks}) == count
    assert picks == choose(candidates, count)
    assert doubts_of(candidates)[picks[0].index] == max(doubts_of(candidates))


def test_a_rare_class_counts_as_much_as_a_common_one() -> None:
    common, rare = np.array([4.0, 0.0]), np.array([0.0, 0.4])
    several = [replace(candidate(i, 0, i), uncertainty=common if i else rare) for i in range(9)]
    doubts = doubts_of(several)
    assert doubts[0] == pytest.approx(9, rel=1e-3)  # its class has a mean of 0.4 / 9
    assert doubts[1] == pytest.approx(9 / 8, rel=1e-3)


def test_more_than_there_are() -> None:
    for count in (0, 3):
        with pytest.raises(OptionError, match="1 to 2"):
            choose([candidate(0, 1, 0), candidate(1, 1, 1)], count)


def test_seasons_turn_round_at_the_equator() -> None:
    assert season_of("2024-01-15") == "winter"
    assert season_of("2024-12-01", 40) == "winter"
    assert season_of("2024-07-01", 40) == "summer"
    assert season_of("2024-07-01", -30) == "winter"
    assert season_of("2024-04-01T10:00:00Z", -30) == "autumn"
    assert season_of(None) == season_of("soon") == "unknown"
