"""What the things of one scene have in common: light, haze and snow, in which they are missed together.

A card says by what factor the number of things found in a scene, and of false alarms in it, varies more than
chance would make it (`ClassErrors.recall_dispersion`, `alarm_dispersion`). Of n things of a scene a factor D
is a correlation of (D - 1) / (n - 1) between any two of them; then recall in a scene is a draw from a Beta
distribution about the measured one, of which that is the share r (1 - r) that its variance has, and all
things of the scene stand at the same quantile of their Beta distributions. So what stands beside a thing
tells of its recall: where a scene misses things that the dates around it show, it is no wonder that it
misses another. False alarms of a scene are in the same way as many times more or fewer as a draw from a
Gamma distribution of mean 1.

Quantiles are those of a Gauss-Legendre rule, which add up to the mean.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from pithead.card import ClassErrors
from pithead.geometry import Floats

NODES = 12
STEPS = 400
SURE_RECALL = (0.005, 0.995)
LEAST = 1e-3
"""A correlation below this is none."""
MOST = 0.5
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Together:
    """How recall of a class spreads over scenes, tables over recall (R) and quantiles (G)."""

    correlation: float
    """Of what is found in a scene, between two things."""
    shape: float
    """Of the Gamma distribution of false alarms in a scene; infinite where they are chance alone."""
    weights: Floats
    """(G,)"""
    recalls: Floats
    """(R, G) recall in a scene at each quantile, by the recall over all scenes."""

    def rows_of(self, recall: Floats) -> Ints:
        """Where in the tables a recall (...) stands."""
        low, high = SURE_RECALL
        place = (np.clip(recall, low, high) - low) / (high - low) * (STEPS - 1)
        return np.rint(place).astype(np.int64)

    @property
    def alike(self) -> bool:
        """Whether things of a scene are missed together at all."""
        return self.correlation > LEAST


def together_of(errors: ClassErrors) -> Together:
    """What the card of a class says of it."""
    truths = sum(one.truths for one in errors.recall) / errors.scenes
    correlation = min((errors.recall_dispersion - 1) / max(truths - 1, 1.0), MOST)
    alarms = errors.false_alarms_km2 * errors.km2 / errors.scenes
    excess = errors.alarm_dispersion - 1
    shape = alarms / excess if excess > LEAST and alarms > 0 else math.inf
    points, weights = np.polynomial.legendre.leggauss(NODES)
    mean = np.linspace(*SURE_RECALL, STEPS)[:, None]
    if correlation <= LEAST:
        return Together(0.0, shape, weights / 2, np.repeat(mean, NODES, axis=1))
    size = 1 / correlation - 1
    spread = np.clip(betaincinv(mean * size, (1 - mean) * size, (points + 1) / 2), *SURE_RECALL)
    return Together(correlation, shape, weights / 2, np.asarray(spread, np.float64))


def drawn_nodes(likely: Floats, weights: Floats, rng: np.random.Generator) -> Ints:
    """Draw a quantile (...) by log likelihoods (..., G) and weights (G,)."""
    chance = np.exp(likely - likely.max(axis=-1, keepdims=True)) * weights
    ends = np.cumsum(chance, axis=-1)
    picks = rng.random((*likely.shape[:-1], 1)) * ends[..., -1:]
    return np.asarray((picks > ends).sum(axis=-1), np.int64)
