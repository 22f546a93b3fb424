"""The fates of heaps: they grow, shrink, appear, vanish, are split and are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from pithead.generate.history.forms import Form, Pile
from pithead.generate.history.thing import Thing

FATES = ("growing", "appearing", "vanishing", "split", "merged", "shrinking", "steady")
LANE_M = 8.0
"""Between the heaps that a split leaves."""

Changes: TypeAlias = list[tuple[datetime, Form | None]]


@dataclass(frozen=True, slots=True)
class Slot:
    """The ground of one heap: its middle, its direction, and the longest and widest that fits."""

    x_m: float
    y_m: float
    angle: float
    length_m: float = 76.0
    width_m: float = 30.0


def live(
    name: str, fate: str, slot: Slot, times: Sequence[datetime], rng: np.random.Generator
) -> tuple[Thing, ...]:
    """The things that come of a heap of some fate: one, or with those it is split into or merged of.

    Args:
        name: Of the heap; parts of it get a letter.
        fate: One of FATES.
        slot: Where.
        times: When it is looked at: between two of these a heap changes once.
        rng: Source of chance.
    """
    turn = int(rng.integers(2, len(times) - 2))
    if fate in {"split", "merged"}:
        return _halves(name, fate, slot, times, turn, rng)
    first, last = _reach(fate, rng)
    start = turn if fate == "appearing" else 0
    end = turn if fate == "vanishing" else len(times)
    share = np.clip((np.arange(len(times)) - start) / max(1, end - 1 - start), 0, 1)
    share = share**0.7 if rng.random() < 0.5 else share
    base = _pile(slot, rng)
    changes: Changes = [
        (times[i], _scaled(base, first + (last - first) * share[i])) for i in range(start, end)
    ]
    if end < len(times):
        changes.append((times[end], None))
    return (Thing(name, "coal_heap", fate, _distinct(changes)),)


def _reach(fate: str, rng: np.random.Generator) -> tuple[float, float]:
    """Size at first and at last as a part of the slot."""
    small, large = float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.8, 1.0))
    if fate in {"growing", "appearing"}:
        return small, large
    if fate == "shrinking":
        return large, small
    same = float(rng.uniform(0.5, 1.0))
    return same, same


def _pile(slot: Slot, rng: np.random.Generator) -> Pile:
    """The largest that a heap of a slot gets."""
    radius = float(slot.width_m / 2 * rng.uniform(0.7, 1.0))
    length = float(rng.uniform(2.4 * radius, slot.length_m))
    flat = float(rng.uniform(0.4, 0.8)) if rng.random() < 0.3 else 1.0
    return Pile(slot.x_m, slot.y_m, slot.angle, length - 2 * radius, radius, flat)


def _scaled(pile: Pile, size: float) -> Pile:
    """The same heap of another size, its toe no nearer than 4.5 m to its crest."""
    radius = max(4.5, pile.radius_m * size)
    return replace(pile, crest_m=pile.crest_m * size, radius_m=radius)


def _distinct(changes: Changes) -> tuple[tuple[datetime, Form | None], ...]:
    """Changes without those that change nothing."""
    kept = changes[:1]
    kept += [now for before, now in pairwise(changes) if now[1] != before[1]]
    return tuple(kept)


def _halves(
    name: str, fate: str, slot: Slot, times: Sequence[datetime], turn: int, rng: np.random.Generator
) -> tuple[Thing, ...]:
    """A whole heap and the two of the same ground, before it or after it."""
    radius = float(rng.uniform(7, 9.5))
    length = float(rng.uniform(0.85, 1.0)) * slot.length_m
    whole = Pile(slot.x_m, slot.y_m, slot.angle, length - 2 * radius, radius)
    half = (length - LANE_M) / 2
    way = np.array([np.cos(slot.angle), np.sin(slot.angle)]) * (half + LANE_M) / 2
    parts = [
        replace(whole, x_m=slot.x_m + side * way[0], y_m=slot.y_m + side * way[1], crest_m=half - 2 * radius)
        for side in (-1, 1)
    ]
    split, names = fate == "split", (f"{name}a", f"{name}b")
    early: Changes = [(times[0], whole)] if split else []
    after: Changes = [(times[turn], None)] if split else [(times[turn], whole)]
    made = Thing(name, "coal_heap", fate, (*early, *after), () if split else names)
    pieces = tuple(
        Thing(
            part_name,
            "coal_heap",
            fate,
            ((times[turn], part),) if split else ((times[0], part), (times[turn], None)),
            (name,) if split else (),
        )
        for part_name, part in zip(names, parts, strict=True)
    )
    return (made, *pieces)
