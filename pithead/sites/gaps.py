"""A perimeter that is drawn in pieces on a date, made whole: what of it was missed, or hidden.

All lines of one track on one date are one perimeter. It is held against the whole one of the date nearest
in time, the closed one if there is any. What of that runs where nothing is drawn, and nothing new is drawn
beside it, is a gap. It may have been missed (lines that are found are drawn to a share of completeness over
recall), hidden, or taken down since. How likely it still stands follows by Bayes from that share and from
how fast things of its class come and go (`presence`); in each draw it is there or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors
from pithead.geometry import Floats
from pithead.sites.fence import BESIDE_M, COMPLETE, tolerance_m
from pithead.sites.kinds import FENCE
from pithead.sites.linking import Linked, Strand
from pithead.sites.pace import Pace
from pithead.sites.states import visible_ground
from pithead.sites.view import Sighting, View

LEAST_M = 15.0
"""Shorter gaps are corners drawn otherwise."""
MUCH = 0.25
"""A perimeter of which more than this share is hidden has no length on that date."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What lacks of a perimeter on a date: metres missed and hidden; and from which view that is known."""

    missed_m: float
    hidden_m: float
    new_m: float
    """What runs elsewhere than before."""
    known: int


Gaps = Mapping[tuple[int, int], Gap]
"""By strand and view."""


def whole_lines(linked: Linked, views: Sequence[View], errors: ClassErrors | None) -> tuple[Linked, Gaps]:
    """One strand for each perimeter, with the pieces of each date as one sighting, and its gaps."""
    groups: dict[int, list[Strand]] = {}
    for strand in linked.strands:
        groups.setdefault(strand.group, []).append(strand)
    whole = [_joined(members, views) for members in groups.values()]
    gaps = {
        (i, n): gap
        for i, strand in enumerate(whole)
        for n in strand.at
        if (gap := _gap(strand, n, views, errors)) is not None
    }
    for (i, n), gap in gaps.items():
        if gap.hidden_m > MUCH * (gap.hidden_m + gap.missed_m + whole[i].at[n].length_m):
            whole[i].partly.add(n)
    return Linked(tuple(whole), linked.events), gaps


def filled(
    logs: Floats,
    strand: int,
    gaps: Gaps,
    pace: Pace,
    errors: ClassErrors,
    rng: np.random.Generator,
) -> Floats:
    """Logarithms of sizes (K, T, 2) of a perimeter, its gaps filled where, in a draw, they still stand."""
    out = logs.copy()
    missed = 1 - _drawn_share(errors)
    for (i, n), gap in gaps.items():
        if i != strand:
            continue
        first, last = sorted((n, gap.known))
        stays = pace.share + (1 - pace.share) * np.prod(pace.stays[first:last], axis=0)
        chance = stays * missed / (stays * missed + 1 - stays)
        draws = rng.random((len(logs), 2))
        more = (draws[:, 0] < chance) * gap.missed_m + (draws[:, 1] < stays) * gap.hidden_m
        out[:, n, 0] = np.log(np.exp(logs[:, n, 0]) + more)
    return out


def _drawn_share(errors: ClassErrors) -> float:
    """Of a perimeter that is found, the share that is drawn: completeness over recall, both by length."""
    lines = errors.lines
    complete = COMPLETE if lines is None or lines.completeness is None else lines.completeness
    found, truths = errors.recall[-1].found, errors.recall[-1].truths
    return float(np.clip(complete / ((found + 0.5) / (truths + 1)), 0.5, 0.99))


def _joined(members: list[Strand], views: Sequence[View]) -> Strand:
    """The strands of one track as one, with its parts of each date."""
    whole = Strand(FENCE, group=members[0].group)
    for n in sorted({n for strand in members for n in strand.at}):
        parts = sorted(
            (s.at[n] for s in members if n in s.at), key=lambda one: (-one.length_m, one.detection)
        )
        whole.parts[n] = tuple(parts)
        whole.add(n, views[n], _as_one(parts))
        if any(n in strand.partly for strand in members):
            whole.partly.add(n)
    return whole


def _as_one(parts: Sequence[Sighting]) -> Sighting:
    """The pieces of one date as one sighting."""
    if len(parts) == 1:
        return parts[0]
    rings = [one.enclosed_m2 for one in parts if one.closed and one.enclosed_m2 is not None]
    checked = all(one.checked for one in parts)
    return replace(
        parts[0],
        shape=shapely.union_all([one.shape for one in parts]),
        length_m=sum(one.length_m for one in parts),
        closed=bool(rings),
        enclosed_m2=sum(rings) if rings else None,
        cut=any(one.cut for one in parts),
        decision=parts[0].decision if checked else None,
    )


def _gap(strand: Strand, n: int, views: Sequence[View], errors: ClassErrors | None) -> Gap | None:
    """What lacks on a date against the nearest whole one; None if nothing does, or nothing is known."""
    if strand.at[n].closed:
        return None
    closed = [m for m in strand.at if strand.at[m].closed]
    longest = max(strand.at, key=lambda m: (strand.at[m].length_m, -m))
    known = min(closed, key=lambda m: (abs(views[m].year - views[n].year), m)) if closed else longest
    if known == n:
        return None
    wide = tolerance_m(views[known], views[n], errors)
    before, now = strand.placed[known], strand.placed[n]
    new = now.difference(before.buffer(wide))
    lacks: BaseGeometry = before.difference(now.buffer(wide))
    beside = new.buffer(BESIDE_M) if new.length >= LEAST_M else None
    parts = [part for part in shapely.get_parts(lacks) if part.length >= LEAST_M]
    kept = [part for part in parts if beside is None or part.intersection(beside).length < part.length / 2]
    if not kept:
        return Gap(0.0, 0.0, float(new.length), known) if new.length >= LEAST_M else None
    ground, whole = visible_ground(views[n], FENCE), shapely.union_all(kept)
    seen = float(whole.intersection(ground).length)
    # The pieces that are drawn reach into the tolerance at both ends of a gap.
    ends = min(2 * wide * len(kept), whole.length)
    share = seen / whole.length if whole.length else 0.0
    lacking = whole.length + ends
    return Gap(lacking * share, lacking * (1 - share), float(new.length), known)
