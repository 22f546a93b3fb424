"""Scores become probabilities: one curve for each class, fitted on scenes that nobody has trained on.

A network's 0.7 is no 70 %. The curve is beta calibration, which has the logistic curve of temperature and
bias as a special case, may bend differently near 0 and near 1, and always rises: which of two detections is
the surer, and so average precision, stays as it was.

M. Kull, T. Silva Filho and P. Flach: Beta calibration: a well-founded and easily implemented improvement on
logistic calibration for binary classifiers. AISTATS 2017.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from pithead.errors import CardError

Floats = npt.NDArray[np.float64]

LEAST = 10
"""A curve is fitted to no fewer right and no fewer wrong detections than this."""

BINS = 15
"""Bins of the expected calibration error (C. Guo et al.: On calibration of modern neural networks, 2017)."""

_NEAR = 1e-6  # scores are taken to lie this far inside of 0 and 1
_FLATTEST = 0.01  # a curve always rises


@dataclass(frozen=True, slots=True)
class Beta:
    """Of a score s: 1 / (1 + exp(-(rise · ln s - fall · ln(1 - s) + offset))), with rise and fall over 0.

    Rise 1, fall 1 and offset 0 leave every score as it is.
    """

    rise: float = 1.0
    fall: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Check that the curve rises.

        Raises:
            CardError: A number is not finite, or a slope is not over 0.
        """
        if not all(map(_is_number, (self.rise, self.fall, self.offset))) or min(self.rise, self.fall) <= 0:
            raise CardError(
                f"expected a calibration of rise > 0, fall > 0 and offset, got {asdict(self)}; "
                "calibrate the weights again with training/calibrate.py"
            )

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """The probability of each score, in the shape of the scores."""
        inside = np.clip(np.asarray(scores, np.float64), _NEAR, 1 - _NEAR)
        return np.asarray(expit(self.rise * np.log(inside) - self.fall * np.log1p(-inside) + self.offset))

    @classmethod
    def of(cls, table: object) -> "Beta":
        """Read what `as_table` gave.

        Raises:
            CardError: A key is missing or unknown, or a value is impossible.
        """
        if not isinstance(table, Mapping) or set(table) != {"rise", "fall", "offset"}:
            raise CardError(f"expected a calibration of rise, fall and offset, got {table!r}")
        return cls(**table)

    def as_table(self) -> dict[str, float]:
        """The three numbers by name."""
        return asdict(self)


def fit(scores: npt.ArrayLike, hit: npt.ArrayLike) -> Beta | None:
    """The curve under which these detections, right or wrong (N,), are most likely.

    None where fewer than 10 are right or fewer than 10 wrong. As Platt did, a right one counts as
    (n + 1) / (n + 2) and a wrong one as 1 / (n + 2), so that few detections never give certainty.
    """
    score = np.clip(np.asarray(scores, np.float64).reshape(-1), _NEAR, 1 - _NEAR)
    right = np.asarray(hit, np.bool_).reshape(-1)
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if min(n_right, n_wrong) < LEAST:
        return None
    target = np.where(right, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    columns = np.stack((np.log(score), -np.log1p(-score), np.ones_like(score)), axis=1)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = columns @ parameters
        value = -np.mean(target * log_expit(z) + (1 - target) * log_expit(-z))
        return float(value), np.asarray(columns.T @ (expit(z) - target) / len(z))

    bounds = [(_FLATTEST, 50.0), (_FLATTEST, 50.0), (-50.0, 50.0)]
    found = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return Beta(*(float(value) for value in found.x))


def expected_calibration_error(
    probabilities: npt.ArrayLike, hit: npt.ArrayLike, bins: int = BINS
) -> float | None:
    """How far, on average, the stated probability is from the share that is right; None without detections.

    Bins of equal width, each weighing as many detections as fall into it: 0.9, 0.9, 0.9, 0.9 of which three
    are right is 0.15.
    """
    stated = np.asarray(probabilities, np.float64).reshape(-1)
    right = np.asarray(hit, np.float64).reshape(-1)
    if not len(stated):
        return None
    of = np.clip((stated * bins).astype(np.int64), 0, bins - 1)
    gaps = np.bincount(of, stated, bins) - np.bincount(of, right, bins)
    return float(np.abs(gaps).sum() / len(stated))


def error_by_chance(probabilities: npt.ArrayLike, bins: int = BINS, draws: int = 200) -> float | None:
    """The expected calibration error that so few detections have on average if every probability is true.

    Few detections in a bin are never right in just the stated share: of 100 detections the error is about
    0.1 whatever the curve. An error that is no larger than this says nothing against it.
    """
    stated = np.asarray(probabilities, np.float64).reshape(-1)
    if not len(stated):
        return None
    rng = np.random.default_rng(0)
    errors = [
        expected_calibration_error(stated, rng.random(len(stated)) < stated, bins) for _ in range(draws)
    ]
    return float(np.mean([error for error in errors if error is not None]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
