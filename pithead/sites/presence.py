"""Whether a thing is there on each date, given on which dates it was seen, missed or hidden.

A thing comes and goes: between two dates it stays as it is with a probability that falls with time, and
over long times it is there a certain share of it (a Markov chain of two states). Where it is there, it is
seen with the recall of its size; where it is not, something is seen at its place only by a false alarm.
Against that stands that there never was anything: then whatever was seen was a false alarm at a place that
gives them, some roof or shadow, on a share of dates that is drawn from Beta(½, b). The probability of a
thing that was seen once, on one date, is then that which the calibrated score states; later dates raise or
lower it.

How fast things come and go, how long they are there, and how often a place that gave a false alarm gives
another, is not known beforehand. It is weighed over a grid by how likely it makes what was seen of all
things of the class at the site, real or not (and drawn from that).

Things of one scene are missed together, and its false alarms come together (`together`): in each draw every
scene has a recall of its own, drawn by what it shows and misses of the things that are there then.

Assumed: chances are alike for all things of a class at a site; scores of one place are alike on all dates, so
that they count once; a place that another thing of the class covers holds no missed one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaln

from pithead.geometry import Floats
from pithead.sites.look import Look, by_size
from pithead.sites.pace import ALARM_A, Pace, filtered, pace_of
from pithead.sites.together import Ints, Together, drawn_nodes
from pithead.sites.weights import Bools

ROUNDS = 2
"""So often sizes and what is real are held against each other."""
SWEEPS = 4
"""So often scenes and things are drawn in turn."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Of one strand: on which dates it is there (K, T), and as many more that no date shows."""

    there: Bools
    unseen: Floats
    """(K, T) how many things like it are there that no date shows."""
    real: Bools
    """(K,) whether it is a thing at all."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What is known of a class beside what was seen, in K draws."""

    odds: Floats
    """(K,) of being right for whatever is found."""
    alarm: Floats
    """(K,) false alarms at one place in one scene."""
    together: Together
    alarms: Floats
    """(T, K) how many false alarms are expected in each scene."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Of all strands of a class: their drawings, how they come and go, and with which recall (T,) each."""

    drawings: tuple[Drawing, ...]
    pace: Pace
    recalls: tuple[Floats, ...]


def drawings_of(
    looks: Sequence[Look], gaps_years: Floats, rates: Rates, rng: np.random.Generator
) -> Presence:
    """Draw on which dates each strand of a class is there: things and scenes in turn (Gibbs sampling).

    Args:
        looks: What the dates say of each.
        gaps_years: (T - 1,) between the dates.
        rates: Of the class.
        rng: Source of chance.
    """
    draws, given = len(rates.odds), looks
    pace = pace_of(looks, gaps_years, rates.odds, rng, draws)
    many = np.ones_like(rates.alarms)
    found = [draw(look, pace, rates, many, rng) for look in looks]
    for _ in range(ROUNDS):
        looks = by_size(given, [float(one.real.mean()) for one in found])
        found = [draw(look, pace, rates, many, rng) for look in looks]
    if not rates.together.alike and np.isinf(rates.together.shape):
        return Presence(tuple(found), pace, tuple(look.recall.mean(axis=1) for look in looks))
    scenes = list(looks)
    nodes = drawn_nodes(np.zeros((*many.shape, len(rates.together.weights))), rates.together.weights, rng)
    for turn in range(SWEEPS):
        if rates.together.alike:
            # Every other scene at a time: what stands in it is told by the dates before and after.
            fresh = _scene_nodes(looks, found, pace, rates, rng)
            nodes[turn % 2 :: 2] = fresh[turn % 2 :: 2]
            scenes = [replace(look, recall=_recall_in(look, rates.together, nodes)) for look in looks]
        if turn == SWEEPS // 2:
            pace = pace_of(scenes, gaps_years, rates.odds, rng, draws)
        many = _alarms_in(looks, found, rates, rng)
        found = [draw(look, pace, rates, many, rng) for look in scenes]
    return Presence(tuple(found), pace, tuple(look.recall.mean(axis=1) for look in scenes))


def _scene_nodes(
    looks: Sequence[Look], found: Sequence[Drawing], pace: Pace, rates: Rates, rng: np.random.Generator
) -> Ints:
    """(T, K) at which quantile of recall each scene stands, by what it shows and misses."""
    tables = rates.together
    likely = np.zeros((*rates.alarms.shape, len(tables.weights)))
    for look, drawing in zip(looks, found, strict=True):
        before = _expected(drawing.there, pace)[..., None]
        recall = tables.recalls[tables.rows_of(look.recall)]
        alarm = rates.alarm[None, :, None]
        seen = before * recall + (1 - before) * alarm
        chance = np.where(look.seen[:, None, None], seen, 1 - before * recall)
        tells = (look.seen | look.missed)[:, None] & drawing.real[None]
        likely += np.where(tells[..., None], np.log(chance), 0.0)
    return drawn_nodes(likely, tables.weights, rng)


def _expected(there: Bools, pace: Pace) -> Floats:
    """(T, K) how likely a thing is there on each date by the dates before and after it alone."""
    path = there.T.astype(np.float64)
    ahead = np.vstack([pace.share[None], pace.share + (path[:-1] - pace.share) * pace.stays])
    on, off = pace.share + (1 - pace.share) * pace.stays, pace.share * (1 - pace.stays)
    last = np.ones((1, path.shape[1]))
    back_on = np.vstack([np.where(path[1:] > 0, on, 1 - on), last])
    back_off = np.vstack([np.where(path[1:] > 0, off, 1 - off), last])
    yes, no = ahead * back_on, (1 - ahead) * back_off
    return np.asarray(yes / np.maximum(yes + no, 1e-300), np.float64)


def _recall_in(look: Look, tables: Together, nodes: Ints) -> Floats:
    """(T, K) the recall of a strand in each scene at its quantile."""
    return np.asarray(tables.recalls[tables.rows_of(look.recall), nodes], np.float64)


def _alarms_in(
    looks: Sequence[Look], found: Sequence[Drawing], rates: Rates, rng: np.random.Generator
) -> Floats:
    """(T, K) by what factor each scene has more false alarms than usual, by how many are drawn to be some."""
    shape = rates.together.shape
    if np.isinf(shape):
        return np.ones_like(rates.alarms)
    count = np.zeros_like(rates.alarms)
    for look, drawing in zip(looks, found, strict=True):
        count += look.seen[:, None] & ~look.sure[:, None] & ~drawing.there.T
    return np.maximum(rng.gamma(shape + count) / (shape + rates.alarms), 1e-3)


def draw(look: Look, pace: Pace, rates: Rates, many: Floats, rng: np.random.Generator) -> Drawing:
    """Draw on which dates a strand is there, and how many things like it no date shows.

    Args:
        look: What the dates say of it.
        pace: How things of its class come and go.
        rates: Of its class.
        many: (T, K) by what factor each scene has more false alarms than usual.
        rng: Source of chance.
    """
    alarm = np.minimum(rates.alarm * many, 0.5)
    there, gone = look.emissions(alarm)
    likely = filtered(there, gone, pace.share, pace.stays)[1]
    ahead = filtered(*look.emissions(alarm, apart=True), pace.share, pace.stays)[0]
    found, missed = int(look.seen.sum()), int(look.missed.sum())
    recall = look.recall[look.seen].mean(axis=0)
    # A real thing against a place of false alarms; of one date these are the odds that the score states.
    real = likely + np.log(look.score_odds * rates.odds / (pace.share * recall))
    false = betaln(ALARM_A + found, pace.again + missed) - betaln(ALARM_A + 1, pace.again)
    false = false + np.log(many[look.seen]).mean(axis=0)
    chance = 1 / (1 + np.exp(np.clip(false - real, -500, 500)))
    is_real = (rng.random(len(rates.odds)) < chance) | look.sure.any()
    path = _backward(ahead, pace, rng) & is_real[:, None]
    return Drawing(path, _unseen(look, pace, is_real, rng), is_real)


def _unseen(look: Look, pace: Pace, is_real: Bools, rng: np.random.Generator) -> Floats:
    """How many things like a real one are there that no date shows, (K, T).

    Of n found things that are each found with probability P, the missed ones are negative binomial with n
    trials: for each real one Poisson(Gamma(1) · (1 - P) / P). P. Horvitz and D. Thompson (1952) give the
    mean.
    """
    there, gone = look.emissions(np.zeros((1, 1)), unseen=True)
    ahead, never = filtered(there, gone, pace.share, pace.stays)
    missed = np.exp(never)
    rate = rng.gamma(1.0, 1.0, len(missed)) * missed / np.maximum(1 - missed, 1e-6)
    count = rng.poisson(np.minimum(rate, 1e3)) * is_real
    return np.asarray(_backward(ahead, pace, rng) * count[:, None], np.float64)


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
