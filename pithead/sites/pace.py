"""How things of a class come and go at a site, weighed by what was seen of all of them.

How fast that is, how long they are there, and how often a place that gave a false alarm gives another, is
not known beforehand. A grid of all three is weighed by how likely it makes what was seen, real or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaln

from pithead.geometry import Floats
from pithead.sites.look import Look

SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
"""Of the time that things are there."""
TURNOVERS = (0.02, 0.06, 0.2, 0.6, 2.0, 6.0, 60.0)
"""How often in a year all is as if drawn anew."""
ALARM_A, ALARM_B = 0.5, (2.0, 6.0, 20.0)
"""Of places that give a false alarm 43, 20 or 7 % give another on the next date."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How things of a class come and go, in K draws: share of time (K,), and what stays (T - 1, K)."""

    share: Floats
    stays: Floats
    again: Floats
    """(K,) b of the share of dates on which a place gives false alarms, Beta(½, b)."""


def pace_of(
    looks: Sequence[Look], gaps_years: Floats, odds: Floats, rng: np.random.Generator, draws: int
) -> Pace:
    """Weigh the grid by what was seen of all strands, and draw from it.

    A strand counts by how likely it is as a thing and as false alarms, each over the probability that any
    date shows it, for of what was never seen nothing is known; and weighed by how many there are of both:
    by the odds of a detection, over how many each is expected to give.
    """
    share, turnover, again = (grid.ravel() for grid in np.meshgrid(SHARES, TURNOVERS, ALARM_B, indexing="ij"))
    stays = np.exp(-turnover * gaps_years[:, None])
    right, likely = float(np.median(odds)), np.zeros(len(share))
    for look in looks:
        mean = np.repeat(look.recall.mean(axis=1, keepdims=True), len(share), axis=1)
        flat = replace(look, recall=mean, score_odds=np.ones(len(share)))
        seen = filtered(*flat.emissions(np.full((len(mean), len(share)), 1e-3)), share, stays)[1]
        never = filtered(*flat.emissions(np.zeros((1, 1)), unseen=True), share, stays)[1]
        real = seen - np.log(-np.expm1(np.minimum(never, -1e-9)))
        if look.sure.any():
            likely += real
            continue
        false, alarms = _false(look, again)
        opens = look.seen | look.missed
        things = share * mean[opens].sum(axis=0) / -np.expm1(np.minimum(never, -1e-9))
        ahead = np.log(right * alarms / things)
        told = np.log(float(np.median(look.score_odds)))
        likely += np.logaddexp(ahead + told + real, false) - np.logaddexp(ahead, 0.0)
    chance = np.exp(likely - likely.max())
    chosen = rng.choice(len(share), draws, p=chance / chance.sum())
    return Pace(share[chosen], stays[:, chosen], again[chosen])


def _false(look: Look, again: Floats) -> tuple[Floats, Floats]:
    """Of a place of false alarms the log likelihood of what was seen, and how many alarms are expected.

    Both given that there is one.
    """
    found, missed = int(look.seen.sum()), int(look.missed.sum())
    whole = betaln(ALARM_A, again)
    any_ = -np.expm1(betaln(ALARM_A, again + found + missed) - whole)
    alarms = (found + missed) * ALARM_A / (ALARM_A + again) / any_
    return betaln(ALARM_A + found, again + missed) - whole - np.log(any_), alarms


def filtered(there: Floats, gone: Floats, share: Floats, stays: Floats) -> tuple[Floats, Floats]:
    """Forward: the probability of being there given all dates so far (T, K), and the log likelihood (K,)."""
    ahead, likely = np.empty_like(there), np.zeros(there.shape[1])
    before = share
    for t in range(len(there)):
        if t:
            before = share + (ahead[t - 1] - share) * stays[t - 1]
        on, off = before * there[t], (1 - before) * gone[t]
        whole = np.maximum(on + off, 1e-300)
        ahead[t] = on / whole
        likely += np.log(whole)
    return ahead, likely
