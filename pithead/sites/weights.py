"""What is known of how wrong weights are, as draws: every draw is one way the weights may truly be.

From the counts on the card of the weights, with Jeffreys' prior of half a count: recall of each size is
Beta(found + ½, missed + ½), precision Beta(right + ½, wrong + ½), false alarms per km² Gamma(wrong + ½) /
km². The bias of sizes is normal about the measured one with an error of sd / sqrt(pairs), and that sd
itself is drawn as well (scaled inverse χ², pairs - 1 degrees of freedom). All things of a site on all dates
share the weights, so in each draw they share these numbers: such errors do not average out over many heaps,
and they do cancel between two dates.

Assumed, as a card cannot say otherwise: recall depends on size and on the ground resolution of the scene,
each by itself (their effects on the log odds add up); misses of one thing on two dates are independent.
Those of several things on one date are not (`together`).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.card import ClassErrors, SizeRecall
from pithead.geometry import Floats
from pithead.sites.together import SURE_RECALL, Together, together_of

DRAWS = 1000
HALF = 0.5
PLACE_KM2 = math.pi * 0.015**2
"""What counts as one place for false alarms: a circle of 15 m."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The errors of one class in K draws."""

    of: ClassErrors
    recalls: tuple[Floats, ...]
    """(K,) for each size on the card."""
    odds: Floats
    """(K,) of being right, for whatever is found."""
    alarm: Floats
    """(K,) how many false alarms there are at one place in one scene."""
    bias: Floats
    """(K, 2) of ln length and ln width; of lines ln length and ln enclosed area."""
    noise: Floats
    """(2, 2) their covariance."""
    spread: Floats
    """(K,) by which standard deviations are larger or smaller than measured."""
    together: Together
    """What the things of one scene have in common."""

    def recall(self, size_m: float, gsd_m: float) -> Floats:
        """(K,) the share that is found of things of a size in scenes of a ground resolution."""
        kinds = self.of.recall
        number = next((i for i, one in enumerate(kinds) if size_m < one.high_m), len(kinds) - 1)
        found = np.clip(self.recalls[number], *SURE_RECALL)
        coarse = self.of.recall_at(gsd_m)
        if coarse is None or not coarse.truths:
            return found
        logit = np.log(found / (1 - found)) + _log_odds(coarse) - _log_odds(_all(self.of.by_gsd))
        return np.clip(1 / (1 + np.exp(-logit)), *SURE_RECALL)

    @property
    def share(self) -> float:
        """Of all things that were measured, the share that is found."""
        whole = _all(self.of.recall)
        return (whole.found + HALF) / (whole.truths + 1)


def drawn(errors: ClassErrors, rng: np.random.Generator, draws: int = DRAWS) -> Drawn:
    """Draw the errors of a class."""
    recalls = tuple(rng.beta(one.found + HALF, one.truths - one.found + HALF, draws) for one in errors.recall)
    right, wrong = errors.precision.right, errors.precision.found - errors.precision.right
    precision = np.clip(rng.beta(right + HALF, wrong + HALF, draws), 1e-3, 1 - 1e-3)
    alarms = rng.gamma(errors.false_alarms_km2 * errors.km2 + HALF, 1.0, draws) / errors.km2
    mean, noise, pairs = _sizes(errors)
    spread = np.sqrt((pairs - 1) / rng.chisquare(max(pairs - 1, 1), draws)) if pairs > 1 else np.ones(draws)
    error = rng.standard_normal((draws, 2)) * np.sqrt(np.diag(noise) / max(pairs, 1))
    return Drawn(
        errors,
        recalls,
        precision / (1 - precision),
        np.clip(alarms * PLACE_KM2, 1e-5, 0.05),
        mean + error * spread[:, None],
        noise,
        spread,
        together_of(errors),
    )


def _sizes(errors: ClassErrors) -> tuple[Floats, Floats, int]:
    """Bias (2,), covariance (2, 2) and number of pairs of log sizes: as measured, else ± 20 % without bias.

    ln area is ln length + ln width, so that its variance tells the covariance of the two.
    """
    box, lines = errors.box, errors.lines
    if box is not None:
        both = (box.area_sd**2 - box.length_sd**2 - box.width_sd**2) / 2
        most = 0.95 * box.length_sd * box.width_sd
        both = float(np.clip(both, -most, most))
        noise = np.array([[box.length_sd**2, both], [both, box.width_sd**2]]) + np.eye(2) * 1e-6
        return np.array([box.length_bias, box.width_bias]), noise, box.pairs
    if lines is not None and lines.length_sd is not None:
        area = 0.0 if lines.area_sd is None else lines.area_sd
        noise = np.diag([lines.length_sd**2, area**2]) + np.eye(2) * 1e-6
        return np.array([lines.length_bias or 0.0, lines.area_bias or 0.0]), noise, max(lines.pairs, 1)
    return np.zeros(2), np.eye(2) * 0.2**2, 1


def _all(kinds: tuple[SizeRecall, ...]) -> SizeRecall:
    """All sizes as one."""
    return SizeRecall(0.0, math.inf, sum(one.truths for one in kinds), sum(one.found for one in kinds))


def _log_odds(one: SizeRecall) -> float:
    return math.log((one.found + HALF) / (one.truths - one.found + HALF))


Bools = npt.NDArray[np.bool_]
