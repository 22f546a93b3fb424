"""Intervals by the bootstrap over sites; scipy's bootstrap is the oracle."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pithead.intervals import Interval, Statistic, bootstrap, drawn

Floats = npt.NDArray[np.float64]


def mean_of(values: Floats) -> Statistic:
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


def test_scipy_gives_the_same_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(3, 1, 60)
    (ours,) = bootstrap(mean_of(values), [str(i) for i in range(60)], resamples=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_scenes_of_a_site_are_drawn_together() -> None:
    weights = drawn(["b", "a", "b", "a", "c"], resamples=50)
    assert weights.shape == (50, 5)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 3])
    np.testing.assert_array_equal(weights[:, 0] + weights[:, 1] + weights[:, 4], np.full(50, 3))


def test_more_scenes_of_the_same_sites_do_not_make_it_surer() -> None:
    rng = np.random.default_rng(0)
    sites = rng.normal(0, 1, 20)
    once, often = ([str(i) for i in range(20) for _ in range(n)] for n in (1, 10))
    (few,) = bootstrap(mean_of(sites), once)
    (many,) = bootstrap(mean_of(np.repeat(sites, 10)), often)
    assert few is not None
    assert many is not None
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.15)


def test_what_cannot_be_measured_has_no_interval() -> None:
    assert bootstrap(lambda weights: weights[:, :2], ["one", "one"]) == [None, None]

    # Resamples that draw one of k members of n: 1 - (1 - k/n)^n, of 8 with k = 1 and 2 66 % and 90 %.
    def figures(weights: Floats) -> Floats:
        one, two = weights[:, 0] > 0, weights[:, :2].sum(axis=1) > 0
        return np.stack([np.where(known, 1.0, np.nan) for known in (one, two)], axis=1)

    of_one, of_two = bootstrap(figures, list("abcdefgh"))
    assert of_one is None
    assert of_two == Interval(1.0, 1.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    values, groups = np.arange(10.0), [str(i) for i in range(10)]
    assert bootstrap(mean_of(values), groups, seed=3) == bootstrap(mean_of(values), groups, seed=3)
    assert bootstrap(mean_of(values), groups, seed=3) != bootstrap(mean_of(values), groups, seed=4)


@pytest.mark.parametrize(("low", "high", "leaves"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False),
                                                     (0.0, 0.1, False)])  # fmt: skip
def test_leaving_out_zero(low: float, high: float, *, leaves: bool) -> None:
    assert Interval(low, high).leaves_out_zero is leaves
