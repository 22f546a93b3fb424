"""How sure a figure is: the percentile bootstrap over sites.

Detections of one scene are alike, and so are scenes of one site. What is drawn again is therefore a whole
site, with all of its scenes: the interval says what another set of as many sites could have given. How often
a resample holds a scene is that scene's weight, and a figure is worked out for all resamples at once.

B. Efron: Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1979.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
SHARE = 0.95
LEAST = 0.8
"""A figure that less than this share of the resamples can give has no interval: one that a single site can
give is missing in a third of them, and of one site nothing is known about others."""

Statistic = Callable[[Floats], Floats]
"""From weights (R, M) of the members in each resample to figures (R, F); NaN where one cannot be measured."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What 95 % of the resamples lie within."""

    low: float
    high: float

    @property
    def leaves_out_zero(self) -> bool:
        """Whether it is wholly above or wholly below 0."""
        return self.low > 0 or self.high < 0


def bootstrap(
    statistic: Statistic, groups: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval | None]:
    """The interval of each figure of `statistic`.

    Args:
        statistic: From the weights of the members to figures.
        groups: The group (site) of each member (scene); members of a group are drawn together.
        resamples: How often as many groups as there are, are drawn with repetition.
        seed: Seed of the draws.

    Returns:
        None for every figure if there are fewer than two groups, and for one that less than 80 % of the
        resamples could give.
    """
    figures = statistic(drawn(groups, resamples=resamples, seed=seed))
    alone = len(set(groups)) < 2
    return [None if alone else interval_of(column) for column in figures.T]


def drawn(groups: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each resample holds each member: (R, M); members of a group are held equally often."""
    names = sorted(set(groups))
    count = len(names)
    draws = np.random.default_rng(seed).integers(0, max(count, 1), (resamples, count))
    times = np.zeros((resamples, count))
    np.add.at(times, (np.arange(resamples)[:, None], draws), 1.0)
    of = [names.index(group) for group in groups]
    return np.asarray(times[:, of], np.float64)


def interval_of(column: Floats) -> Interval | None:
    """What 95 % of one figure in the resamples (R,) lies within; NaN where a resample cannot give it."""
    known = column[~np.isnan(column)]
    if not len(known) or len(known) < LEAST * len(column):
        return None
    low, high = np.percentile(known, [50 * (1 - SHARE), 50 * (1 + SHARE)])
    return Interval(float(low), float(high))
