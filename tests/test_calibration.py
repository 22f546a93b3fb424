"""Curves from score to probability, by values worked out by hand and by draws of known probability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from pithead.calibration import Beta, error_by_chance, expected_calibration_error, fit
from pithead.errors import CardError


def test_the_plain_curve_changes_nothing() -> None:
    scores = np.linspace(0.01, 0.99, 50)
    assert Beta()(scores) == pytest.approx(scores)


def test_a_curve_by_hand() -> None:
    # rise 2, fall 1, offset 0 at 0.5: 2 ln 0.5 - ln 0.5 = -ln 2, odds 1 to 2.
    assert Beta(2, 1, 0)(0.5) == pytest.approx(1 / 3)
    assert Beta(1, 1, np.log(3))([[0.5]]).tolist() == [[pytest.approx(0.75)]]


@given(
    st.floats(0.01, 50), st.floats(0.01, 50), st.floats(-50, 50),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
)  # fmt: skip
def test_a_curve_never_falls_and_stays_within_0_and_1(
    rise: float, fall: float, offset: float, scores: list[float]
) -> None:
    stated = Beta(rise, fall, offset)(sorted(scores))
    assert ((stated >= 0) & (stated <= 1)).all()
    assert (np.diff(stated) >= 0).all()


def test_a_known_curve_is_found_again() -> None:
    rng = np.random.default_rng(1)
    truth = Beta(0.6, 1.4, -1.0)
    scores = rng.uniform(0.02, 0.98, 40_000)
    found = fit(scores, rng.random(len(scores)) < truth(scores))
    assert found is not None
    check = np.linspace(0.05, 0.95, 19)
    assert found(check) == pytest.approx(truth(check), abs=0.02)


def test_doubled_logits_are_halved() -> None:
    # A network that is twice too sure (temperature 2), as after long training.
    rng = np.random.default_rng(2)
    honest = rng.uniform(0.02, 0.98, 20_000)
    hit = rng.random(len(honest)) < honest
    bold = Beta(2, 2, 0)(honest)
    found = fit(bold, hit)
    assert found is not None
    before, after = expected_calibration_error(bold, hit), expected_calibration_error(found(bold), hit)
    assert before is not None
    assert after is not None
    assert before > 0.09
    assert after < 0.015
    assert logit(found(bold)) == pytest.approx(logit(honest), abs=0.25)


def test_too_few_detections_give_no_curve() -> None:
    assert fit([], []) is None
    assert fit([0.5] * 30, [True] * 30) is None
    assert fit([0.9] * 9 + [0.1] * 30, [True] * 9 + [False] * 30) is None


def test_few_perfect_detections_give_no_certainty() -> None:
    found = fit([0.9] * 10 + [0.1] * 10, [True] * 10 + [False] * 10)
    assert found is not None
    assert found([0.9, 0.1]) == pytest.approx([11 / 12, 1 / 12], abs=1e-3)


def test_expected_calibration_error_by_hand() -> None:
    assert expected_calibration_error([], []) is None
    assert expected_calibration_error([0.9] * 4, [1, 1, 1, 0]) == pytest.approx(0.15)
    # Two bins: |0.2 - 0| for 1 of 4, |0.8 - 2/3| for 3 of 4.
    assert expected_calibration_error([0.2, 0.8, 0.8, 0.8], [0, 1, 1, 0]) == pytest.approx(0.05 + 0.1)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0


def test_few_detections_have_an_error_by_chance() -> None:
    assert error_by_chance([]) is None
    assert error_by_chance([0.0, 1.0]) == 0
    # One at 0.5 is off by 0.5 whether it is right or not; of two, half of the draws are one right, one wrong.
    assert error_by_chance([0.5]) == pytest.approx(0.5)
    assert error_by_chance([0.5, 0.5], draws=4000) == pytest.approx(0.25, abs=0.02)
    honest = np.random.default_rng(3).uniform(0, 1, 5000)
    few, many = error_by_chance(honest[:100]), error_by_chance(honest)
    assert few is not None
    assert many is not None
    assert few > 0.08
    assert many < 0.02


@pytest.mark.parametrize("table", [None, {}, {"rise": 1, "fall": 1},
                                   {"rise": 1, "fall": 1, "offset": 0, "x": 1},
                                   {"rise": 0, "fall": 1, "offset": 0}, {"rise": 1, "fall": 1, "offset": "a"},
                                   {"rise": 1, "fall": float("nan"), "offset": 0}])  # fmt: skip
def test_a_table_that_is_no_curve(table: object) -> None:
    with pytest.raises(CardError, match="expected a calibration"):
        Beta.of(table)


def test_a_table_reads_back() -> None:
    assert Beta.of(Beta(0.5, 2, -1).as_table()) == Beta(0.5, 2, -1)
