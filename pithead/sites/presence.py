"""Whether a thing is there on each date, given on which dates it was seen, missed or hidden.

A thing comes and goes: between two dates it stays as it is with a probability that falls with time, and
over long times it is there a certain share of it (a Markov chain of two states). Where it is there, it is
seen with the recall of its size; where it is not, something is seen at its place only by a false alarm.
Against that stands that there never was anything: then whatever was seen was a false alarm at a place that
gives them, some roof or shadow, on a share of dates that is drawn from Beta(½, 3): of places that give one,
a third give another on the next date. The probability of a thing that was seen once, on one date, is then
that which the calibrated score states; later dates raise or lower it.

How fast things come and go, and how long they are there, is not known beforehand. It is weighed over a grid
by how likely it makes what was seen of all things of the class at the site (and drawn from that).

Assumed: chances are alike for all things of a class at a site; scores of one place are alike on all dates, so
that they count once; a place that another thing of the class covers holds no missed one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from pithead.geometry import Floats
from pithead.sites.weights import Bools

SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
"""Of the time that things are there."""
TURNOVERS = (0.02, 0.06, 0.2, 0.6, 2.0, 6.0, 60.0)
"""How often in a year all is as if drawn anew."""
ALARM_A, ALARM_B = 0.5, 3.0
CERTAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Look:
    """What the dates say of one strand, arrays over views (T,)."""

    seen: Bools
    missed: Bools
    """Looked at, visible, and not seen."""
    sure: Bools
    """Seen, and a person has confirmed it."""
    denied: Bools
    """A person has said that it is not there, or another thing covers its place."""
    recall: Floats
    """(T, K) of a thing of its size in each scene."""
    score_odds: Floats
    """(K,) the odds that its scores state, against those of whatever is found."""

    def emissions(self, alarm: Floats, *, unseen: bool = False) -> tuple[Floats, Floats]:
        """How likely each date is (T, K) if the thing is there, and if it is not.

        `unseen` asks the same of a thing that no date shows, at a place as visible as this one.
        """
        there, gone = np.ones_like(self.recall), np.ones_like(self.recall)
        if unseen:
            open_ = self.seen | self.missed | self.denied
            there[open_] = 1 - self.recall[open_]
            return there, gone
        there[self.seen] = self.recall[self.seen]
        gone[self.seen] = alarm
        there[self.missed] = 1 - self.recall[self.missed]
        gone[self.sure] = CERTAIN
        there[self.denied], gone[self.denied] = CERTAIN, 1.0
        return there, gone


@dataclass(frozen=True, slots=True)
class Pace:
    """How things of a class come and go, in K draws: share of time (K,), and what stays (T - 1, K)."""

    share: Floats
    stays: Floats


@dataclass(frozen=True, slots=True)
class Drawing:
    """Of one strand: on which dates it is there (K, T), and as many more that no date shows."""

    there: Bools
    unseen: Floats
    """(K, T) how many things like it are there that no date shows."""


def pace_of(looks: Sequence[Look], gaps_years: Floats, rng: np.random.Generator, draws: int) -> Pace:
    """Weigh the grid by what was seen of all strands, and draw from it.

    A strand counts by its likelihood if it is real, over the probability that any date shows it: of what was
    never seen nothing is known.
    """
    share, turnover = (grid.ravel() for grid in np.meshgrid(SHARES, TURNOVERS, indexing="ij"))
    stays = np.exp(-turnover * gaps_years[:, None])
    likely = np.zeros(len(share))
    for look in looks:
        mean = np.repeat(look.recall.mean(axis=1, keepdims=True), len(share), axis=1)
        flat = Look(look.seen, look.missed, look.sure, look.denied, mean, np.ones(len(share)))
        seen = _filtered(*flat.emissions(np.full(len(share), 1e-3)), share, stays)[1]
        never = _filtered(*flat.emissions(np.zeros(1), unseen=True), share, stays)[1]
        worth = 1.0 if look.seen.sum() > 1 or look.sure.any() else _probability(look)
        likely += worth * (seen - np.log(-np.expm1(np.minimum(never, -1e-9))))
    chance = np.exp(likely - likely.max())
    chosen = rng.choice(len(share), draws, p=chance / chance.sum())
    return Pace(share[chosen], stays[:, chosen])


def draw(look: Look, pace: Pace, odds: Floats, alarm: Floats, rng: np.random.Generator) -> Drawing:
    """Draw on which dates a strand is there, and how many things like it no date shows.

    Args:
        look: What the dates say of it.
        pace: How things of its class come and go.
        odds: (K,) of being right for whatever is found.
        alarm: (K,) false alarms at one place in one scene.
        rng: Source of chance.
    """
    there, gone = look.emissions(alarm)
    ahead, likely = _filtered(there, gone, pace.share, pace.stays)
    found, missed = int(look.seen.sum()), int((look.missed & ~look.denied).sum())
    recall = look.recall[look.seen].mean(axis=0)
    # A real thing against a place of false alarms; of one date these are the odds that the score states.
    real = likely + np.log(look.score_odds * odds / (pace.share * recall))
    false = betaln(ALARM_A + found, ALARM_B + missed) - betaln(ALARM_A + 1, ALARM_B)
    chance = 1 / (1 + np.exp(np.clip(false - real, -500, 500)))
    is_real = (rng.random(len(odds)) < chance) | look.sure.any()
    path = _backward(ahead, pace, rng) & is_real[:, None]
    return Drawing(path, _unseen(look, pace, is_real, rng))


def _unseen(look: Look, pace: Pace, is_real: Bools, rng: np.random.Generator) -> Floats:
    """How many things like a real one are there that no date shows, (K, T).

    Of n found things that are each found with probability P, the missed ones are negative binomial with n
    trials: for each real one Poisson(Gamma(1) · (1 - P) / P). P. Horvitz and D. Thompson (1952) give the
    mean.
    """
    there, gone = look.emissions(np.zeros(1), unseen=True)
    ahead, never = _filtered(there, gone, pace.share, pace.stays)
    missed = np.exp(never)
    rate = rng.gamma(1.0, 1.0, len(missed)) * missed / np.maximum(1 - missed, 1e-6)
    count = rng.poisson(np.minimum(rate, 1e3)) * is_real
    return np.asarray(_backward(ahead, pace, rng) * count[:, None], np.float64)


def _filtered(there: Floats, gone: Floats, share: Floats, stays: Floats) -> tuple[Floats, Floats]:
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


def _backward(ahead: Floats, pace: Pace, rng: np.random.Generator) -> Bools:
    """Draw a path (K, T) from the last date to the first."""
    last, draws = ahead.shape
    path = np.zeros((draws, last), np.bool_)
    path[:, -1] = rng.random(draws) < ahead[-1]
    for t in range(last - 2, -1, -1):
        on = pace.share + (1 - pace.share) * pace.stays[t]
        off = pace.share * (1 - pace.stays[t])
        next_on = path[:, t + 1]
        there = ahead[t] * np.where(next_on, on, 1 - on)
        gone = (1 - ahead[t]) * np.where(next_on, off, 1 - off)
        path[:, t] = rng.random(draws) * (there + gone) < there
    return path


def _probability(look: Look) -> float:
    odds = float(np.median(look.score_odds))
    return odds / (1 + odds)
