"""What the dates say of one thing: on which it was seen, missed, or cannot be told of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pithead.geometry import Floats
from pithead.sites.weights import Bools

CERTAIN = 1e-9
LIKE, LEAST_VAR = 2.0, 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """What the dates say of one strand, arrays over views (T,)."""

    seen: Bools
    missed: Bools
    """Looked at, visible, and not seen."""
    sure: Bools
    """Seen, and a person has confirmed it."""
    denied: Bools
    """A person has said that it is not there."""
    covered: Bools
    """Another thing covers its place: it is not there by itself, and that says nothing against it."""
    recall: Floats
    """(T, K) of a thing of its size in each scene."""
    score_odds: Floats
    """(K,) the odds that its scores state, against those of whatever is found."""
    size: float = math.nan
    """ln of its size, the mean of its dates; NaN where that tells nothing."""

    def emissions(self, alarm: Floats, *, unseen: bool = False, apart: bool = False) -> tuple[Floats, Floats]:
        """How likely each date is (T, K) if the thing is there, and if it is not.

        `alarm` (T, K) is how likely a false alarm at its place is in each scene. `apart` asks for the thing
        by itself, which it is not where another covers it; `unseen` for a thing that no date shows, at a
        place as visible as this one.
        """
        there, gone = np.ones_like(self.recall), np.ones_like(self.recall)
        if unseen:
            open_ = self.seen | self.missed | self.denied | self.covered
            there[open_] = 1 - self.recall[open_]
            return there, gone
        there[self.seen] = self.recall[self.seen]
        gone[self.seen] = np.broadcast_to(alarm, gone.shape)[self.seen]
        there[self.missed] = 1 - self.recall[self.missed]
        gone[self.sure] = CERTAIN
        there[self.denied], gone[self.denied] = CERTAIN, 1.0
        if apart:
            there[self.covered] = CERTAIN
        return there, gone


def by_size(looks: Sequence[Look], real: Sequence[float]) -> list[Look]:
    """Looks whose odds also say how usual their size is among things, and among false alarms, of this site.

    Both are held to be lognormal, each look counting to both by the probability that it is real; with as many
    more of all looks in both as `LIKE`, so that a few say little (one step of expectation-maximisation).
    """
    size, worth = np.array([look.size for look in looks]), np.array(real)
    known = np.isfinite(size)
    if known.sum() < 2:
        return list(looks)
    values, right = size[known], worth[known]
    all_mean, all_var = values.mean(), max(float(values.var()), LEAST_VAR)

    def log_density(weights: Floats) -> Floats:
        whole = weights.sum() + LIKE
        mean = ((weights * values).sum() + LIKE * all_mean) / whole
        var = ((weights * (values - mean) ** 2).sum() + LIKE * (all_var + (all_mean - mean) ** 2)) / whole
        return np.asarray(-((size - mean) ** 2) / (2 * var) - np.log(var) / 2, np.float64)

    ratio = np.where(known, log_density(right) - log_density(1 - right), 0.0)
    return [
        replace(look, score_odds=look.score_odds * math.exp(float(one)))
        for look, one in zip(looks, ratio, strict=True)
    ]
