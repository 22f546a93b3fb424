"""pithead.metrics against values worked out by hand, and ultralytics as oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pithead.metrics import (
    LEFT_OUT,
    NONE,
    Matches,
    Objects,
    ap_by_class,
    area_f1,
    average_precision,
    best_threshold,
    false_alarms_per_km2,
    join,
    line_parts,
    line_quality,
    match,
    match_scene,
    truth_found,
)

SQUARE = [0, 0, 10, 10, 0]


def at(x: float, y: float = 0) -> list[float]:
    return [x, y, 10, 10, 0]


def square(x: float, side: float = 10) -> list[list[float]]:
    return [[x, 0], [x + side, 0], [x + side, side], [x, side]]


@pytest.mark.parametrize(
    ("scores", "overlaps", "found"),
    [
        ([], np.zeros((0, 0)), []),
        ([0.9], np.zeros((1, 0)), [-1]),
        ([0.9], [[0.5]], [0]),  # the threshold itself counts
        ([0.9], [[0.49]], [-1]),
        ([0.8, 0.9], [[0.9], [0.6]], [-1, 0]),  # the surest first, though it fits less
        ([0.9, 0.8], [[0.8, 0.6], [0.9, 0.7]], [0, 1]),  # the second takes what is left
        ([0.5, 0.5], [[0.6], [0.9]], [0, -1]),  # equal scores: the first
    ],
)
def test_match(scores: list[float], overlaps: object, found: list[int]) -> None:
    assert match(scores, np.array(overlaps), 0.5).tolist() == found


def test_a_scene_matches_each_class_by_itself() -> None:
    found = match_scene([at(0), at(100)], [0.9, 0.8], [0, 1], [at(1), at(101)], [0, 0])
    assert found.hit.tolist() == [True, False]
    assert found.truth_classes.tolist() == [0, 0]


def test_predictions_in_ignored_regions_are_not_counted() -> None:
    boxes = [at(0), at(100), at(106), at(200)]
    region = [[100, 0, 10, 10, 0], [200, 0, 10, 10, 0]]
    found = match_scene(boxes, [0.9, 0.8, 0.7, 0.6], [0] * 4, [at(0)], [0], region, [0, 1])
    # the 2nd lies in the region, the 3rd by 40 % only, the 4th in a region of another class
    assert found.scores.tolist() == [0.9, 0.7, 0.6]
    assert found.hit.tolist() == [True, False, False]
    any_class = match_scene(boxes, [0.9, 0.8, 0.7, 0.6], [0] * 4, [at(0)], [0], region, [-1, -1])
    assert any_class.scores.tolist() == [0.9, 0.7]


def test_which_truth_is_found_at_each_overlap() -> None:
    # 8 of 12 overlap: 0.67; the other lies in an ignored region; the third is of another class
    found = Objects.of([at(2), at(100), at(0)], [0, 0, 1])
    truth, ignored = Objects.of([at(50), at(0)], [0, 0]), Objects.of([at(100)], [-1])
    number = truth_found(found, [0.9, 0.8, 0.7], truth, ignored, (0.5, 0.65, 0.7))
    assert number.tolist() == [[1, 1, NONE], [LEFT_OUT] * 3, [NONE] * 3]


def test_half_inside_is_inside() -> None:
    assert len(match_scene([at(5)], [0.9], [0], (), (), [SQUARE], [0]).scores) == 0


def test_a_hit_stays_a_hit_inside_an_ignored_region() -> None:
    found = match_scene([SQUARE], [0.9], [0], [SQUARE], [0], [[0, 0, 100, 100, 0]], [-1])
    assert found.hit.tolist() == [True]


def test_nothing_at_all() -> None:
    found = match_scene((), (), (), (), ())
    (result,) = ap_by_class([found], [0.5])
    assert (result.ap, result.precision, result.recall, result.f1) == (None, None, None, None)
    assert join([]).scores.shape == (0,)


@pytest.mark.parametrize(
    ("hit", "n_truth", "all_point", "coco"),
    [
        ([], 2, 0.0, 0.0),
        ([True], 1, 1.0, 1.0),
        ([False, True], 1, 0.5, 0.5),
        ([True, False, True], 2, 0.5 + 1 / 3, (51 + 50 * 2 / 3) / 101),
        ([True], 2, 0.5, 51 / 101),
        ([False, True, True], 2, 2 / 3, 2 / 3),
    ],
)
def test_average_precision(*, hit: list[bool], n_truth: int, all_point: float, coco: float) -> None:
    scores = np.linspace(0.9, 0.1, len(hit))
    assert average_precision(scores, hit, n_truth) == pytest.approx(all_point)
    assert average_precision(scores, hit, n_truth, "101_point") == pytest.approx(coco)


def test_average_precision_sorts_and_knows_no_truth() -> None:
    assert average_precision([0.1, 0.9], [False, True], 1) == 1.0
    assert average_precision([0.9], [False], 0) is None


def test_ultralytics_gives_the_same_average_precision() -> None:
    ap_per_class = pytest.importorskip("ultralytics.utils.metrics").ap_per_class
    rng = np.random.default_rng(3)
    scores = rng.random(3000)
    classes = rng.integers(0, 3, 3000)
    hit = rng.random(3000) < scores * 0.8  # surer predictions are right more often
    truth = np.repeat([0, 1, 2], [600, 900, 500])
    theirs = ap_per_class(hit[:, None], scores, classes, truth)[5][:, 0]
    ours = ap_by_class([Matches(scores, classes, hit, truth)], [0.5] * 3)
    assert [r.ap for r in ours] == pytest.approx(theirs, abs=0.005)
    coco = ap_by_class([Matches(scores, classes, hit, truth)], [0.5] * 3, "101_point")
    assert [r.ap for r in coco] == pytest.approx(theirs, abs=0.005)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30),
    st.integers(0, 10),
)
def test_average_precision_lies_in_0_1_and_misses_lower_it(rows: list[tuple[float, bool]], more: int) -> None:
    scores, hit = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=bool)
    n_truth = int(hit.sum()) + more
    value = average_precision(scores, hit, n_truth)
    if value is None:
        assert n_truth == 0
        return
    assert -1e-12 <= value <= 1 + 1e-12
    worse = average_precision(np.append(scores, 2.0), np.append(hit, False), n_truth)
    assert worse is not None
    assert worse <= value + 1e-12


def test_results_at_a_threshold() -> None:
    found = Matches(
        np.array([0.9, 0.8, 0.7, 0.2]), np.zeros(4, int), np.array([1, 0, 1, 1], bool), np.zeros(5, int)
    )
    (result,) = ap_by_class([found], [0.7])
    assert (result.true_positives, result.false_positives, result.n_truth) == (2, 1, 5)
    assert result.precision == pytest.approx(2 / 3)
    assert result.recall == pytest.approx(2 / 5)
    assert result.f1 == pytest.approx(2 * 2 / (3 + 5))
    assert false_alarms_per_km2(result, 4.0) == 0.25
    with pytest.raises(ValueError, match="km²"):
        false_alarms_per_km2(result, 0.0)


def test_best_threshold() -> None:
    # F1 after each: 2/3, 1/2, 4/5 → the third
    assert best_threshold([0.9, 0.8, 0.7], [True, False, True], 2) == 0.7
    assert best_threshold([0.9, 0.7, 0.7], [True, True, False], 2) == 0.7
    assert best_threshold([], [], 2) is None
    assert best_threshold([0.9], [False], 0) is None


def test_area_of_unions() -> None:
    result = area_f1([square(0), square(0), square(20)], [square(5)])
    assert (result.shared, result.predicted, result.truth) == (50, 200, 100)
    assert result.f1 == pytest.approx(100 / 300)
    assert (result.precision, result.recall) == (0.25, 0.5)
    total = result + area_f1([], [square(0)])
    assert (total.shared, total.predicted, total.truth) == (50, 200, 200)


def test_area_leaves_out_what_is_ignored_but_not_true() -> None:
    result = area_f1([square(0), square(20)], [square(0)], [square(20), square(0)])
    assert (result.shared, result.predicted, result.truth) == (100, 100, 100)
    assert area_f1([], []).f1 is None


def test_line_quality_by_hand() -> None:
    # a true line of 100 m; predicted its first half, 5 m beside, and 50 m far away
    result = line_quality([[[0, 5], [50, 5]], [[0, 500], [50, 500]]], [[[0, 0], [100, 0]]])
    end = math.sqrt(10**2 - 5**2)  # the buffer's round end reaches so far past x = 50
    assert result.completeness == pytest.approx((50 + end) / 100, abs=1e-3)
    assert result.correctness == pytest.approx(0.5)
    assert result.quality == pytest.approx(50 / (100 + 50 - end), abs=1e-3)


def test_line_quality_of_the_same_line_and_of_none() -> None:
    ring = [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]
    same = line_quality([ring], [ring])
    assert (same.completeness, same.correctness, same.quality) == (1.0, 1.0, 1.0)
    assert line_quality([], [ring]).quality == 0.0
    assert line_quality([], [ring]).correctness is None
    assert line_quality([], []).quality is None
    assert (same + line_quality([], [ring])).completeness == 0.5


def test_lines_near_an_ignored_line_are_not_counted() -> None:
    doubtful = [[0, 100], [50, 100]]
    result = line_quality([[[0, 0], [50, 0]], doubtful], [[[0, 0], [50, 0]]], ignored=[doubtful])
    assert result.quality == 1.0
    assert result.predicted_m == 50


def test_each_line_by_itself() -> None:
    near, far, short = [[0, 5], [50, 5]], [[0, 500], [80, 500]], [[0, 0], [20, 0]]
    assert line_parts([near, far], [short]) == [
        (50.0, pytest.approx(50 - 20 - math.sqrt(75), abs=0.1)),
        (80.0, 80.0),
    ]
    assert line_parts([near, far], [short], ignored=[far])[1] == (80.0, 0.0)
    assert line_parts([near], []) == [(50.0, 50.0)]
    assert line_parts([], [near]) == []
