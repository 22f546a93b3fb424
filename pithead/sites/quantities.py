"""What is measured of a site on every date, each figure with what it is unsure of.

Every figure is a sum over the things of a class, worked out once in each of some thousand draws; its interval
is what 95 % of the draws lie within. A draw joins:

* how wrong the weights may be (`weights`): recall, precision, false alarms, bias of sizes, each as uncertain
  as the counts on the card leave it, and the same for all things and dates of the draw;
* whether each thing is there on the date (`presence`): calibrated scores, misses, false alarms, and what the
  other dates show of it; things that no date shows are added, by recall;
* how large it is (`sizes`): the noise of boxes, shrunk towards what is usual.

Geolocation and the angle of the camera come in where they matter: by which detections are one thing, and
through that by where a thing is missed. They do not change sums of areas and lengths, as a shift moves both
ends of a box, and the outline of a heap lies on the ground (`kinds`).

Counts have the shortest range of whole numbers that holds 95 % of the draws, the others the range between
the 2.5th and 97.5th percentiles. `value` is the median. As draws are kept, a difference of two dates is
worked out draw by draw: what both share cancels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from shapely.geometry.base import BaseGeometry

from pithead.errors import CatalogError
from pithead.geometry import Floats
from pithead.sites.following import Followed
from pithead.sites.kinds import FENCE, HEAD, HEAP, RAIL, hides
from pithead.sites.linking import Strand
from pithead.sites.sizes import logs_of
from pithead.sites.states import visible_ground
from pithead.sites.view import Reason, Sighting, View

REPOSE_DEG: Final = 35.0
"""Angle of repose of coal. The proxy scales with its tangent: 32° is 11 % less, 38° 12 % more, on all dates
alike, which is no part of the interval."""
PITCH_M: Final = (12.5, 16.5)
"""Of a wagon with the gap to the next: gondolas of 13.4 to 14 m over couplers, shorter and longer ones."""
TRACK_M, WAGON_M = 4.8, 3.0
"""Between middles of two tracks, and the width of a wagon."""
FILLED: Final = (0.3, 1.0)
"""How much of the length of a group is occupied on each track beside the first."""
BLIND: Final = 0.25
"""A sum of which more than this share cannot be seen on a date is not observable on it."""
SITE_SEEN: Final = 0.5
"""The same where less than this share of the site is visible."""

QUANTITIES: Final = (
    "heap_area_m2", "heap_volume_m3", "heaps", "perimeter_km", "enclosed_km2", "rail_occupied_m", "wagons",
    "mine_heads",
)  # fmt: skip
"""The names of the quantities."""
CLASS_OF: Final = {
    "heap_area_m2": HEAP, "heap_volume_m3": HEAP, "heaps": HEAP, "perimeter_km": FENCE,
    "enclosed_km2": FENCE, "rail_occupied_m": RAIL, "wagons": RAIL, "mine_heads": HEAD,
}  # fmt: skip
UNITS: Final = {
    "heap_area_m2": "m²", "heap_volume_m3": "m³", "heaps": "", "perimeter_km": "km", "enclosed_km2": "km²",
    "rail_occupied_m": "m", "wagons": "", "mine_heads": "",
}  # fmt: skip
COUNTS: Final = frozenset({"heaps", "wagons", "mine_heads"})


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity on one date; `raw` is what was found, `value` corrected, in 95 % of cases `low` to `high`.

    Where it is not observable, `value`, `low` and `high` are None and `reason` says why.
    """

    view: int
    raw: float
    value: float | None
    low: float | None
    high: float | None
    observable: bool
    reason: Reason | None
    checked: float | None
    """The share of what was found that a person has said is there; None where nothing was found."""

    def __post_init__(self) -> None:
        """Check that an interval holds its value."""
        if self.observable != (self.reason is None) or self.observable == (self.value is None):
            raise CatalogError(f"expected a value, or a reason why there is none, got {self}")
        if self.value is None or self.low is None or self.high is None:
            return
        if not self.low <= self.value <= self.high:
            raise CatalogError(f"expected a value inside its interval, got {self}")


@dataclass(frozen=True, slots=True)
class Sums:
    """A quantity over all views, with its draws (K, T); None where errors of the weights are not known."""

    measures: tuple[Measure, ...]
    draws: Floats | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """The share of a site that can be seen in a view, and what hides most of the rest."""

    share: float
    why: Reason = "nothing"


Amount = Callable[[Floats, np.random.Generator], Floats]
"""From logarithms of sizes (K, T, 2) of one thing to its part of a sum (K, T)."""


def heap_volume_m3(length_m: Floats, width_m: Floats) -> Floats:
    """The volume proxy: a ridge at the angle of repose with half a cone at both ends, in a box of that size.

    tan(35°) · r² · (length - width + pi r / 3) with r half the width. A flat or hollow top holds less. A box
    of 20 × 20 m is a cone of 10 m radius: 0.7002 · 100 · 10.472 = 733 m³.
    """
    long, short = np.maximum(length_m, width_m), np.minimum(length_m, width_m)
    radius = short / 2
    return np.asarray(
        np.tan(np.radians(REPOSE_DEG)) * radius**2 * (long - short + np.pi * radius / 3), np.float64
    )


def tracks_within(width_m: Floats) -> Floats:
    """How many tracks a group of wagons stands on, by its width: 3 m one, 7.8 m two."""
    return np.maximum(np.round((width_m - WAGON_M) / TRACK_M) + 1, 1.0)


def _wagons(logs: Floats, rng: np.random.Generator) -> Floats:
    """Wagons of a group: its length over the pitch, on the first track whole, on others a share of it."""
    draws, views = logs.shape[:2]
    pitch, filled = rng.uniform(*PITCH_M, (draws, 1)), rng.uniform(*FILLED, (draws, views))
    tracks = tracks_within(np.exp(logs[..., 1]))
    return np.asarray(np.round(np.exp(logs[..., 0]) / pitch * (1 + (tracks - 1) * filled)), np.float64)


AMOUNTS: Final[Mapping[str, Amount]] = {
    "heap_area_m2": lambda logs, _: np.exp(logs.sum(axis=-1)),
    "heap_volume_m3": lambda logs, _: heap_volume_m3(np.exp(logs[..., 0]), np.exp(logs[..., 1])),
    "heaps": lambda logs, _: np.ones(logs.shape[:2]),
    "perimeter_km": lambda logs, _: np.exp(logs[..., 0]) / 1e3,
    "enclosed_km2": lambda logs, _: np.nan_to_num(np.exp(logs[..., 1])) / 1e6,
    "rail_occupied_m": lambda logs, _: np.exp(logs[..., 0]),
    "wagons": _wagons,
    "mine_heads": lambda logs, _: np.ones(logs.shape[:2]),
}
"""What one thing adds to each quantity."""


def sums_of(
    name: str,
    followed: Followed,
    views: Sequence[View],
    seen: Sequence[Seen],
    rng: np.random.Generator,
) -> Sums:
    """A quantity over all views.

    Args:
        name: One of `QUANTITIES`.
        followed: Its class, followed.
        views: The views.
        seen: How much of the site can be seen in each view for that class.
        rng: Source of chance.
    """
    raw = [sum(_raw(name, s.at[n]) for s in followed.linked.strands if n in s.at) for n in range(len(views))]
    checked = [_checked(followed, n) for n in range(len(views))]
    if followed.drawn is None:
        return Sums(
            tuple(
                Measure(n, raw[n], None, None, None, False, "not_measured", checked[n])  # noqa: FBT003
                for n in range(len(views))
            ),
            None,
        )
    draws = np.zeros((len(followed.drawn.odds), len(views)))
    blind: list[dict[Reason, float]] = [{} for _ in views]
    for number, strand in enumerate(followed.linked.strands):
        part = AMOUNTS[name](followed.sizes[number], rng)
        draws += part * (followed.there[number] + followed.more[number])
        share = (part * followed.there[number]).mean(axis=0)
        for n in range(len(views)):
            why = _blind(name, followed, number, n, strand)
            if why is not None:
                blind[n][why] = blind[n].get(why, 0.0) + float(share[n])
    whole = draws.mean(axis=0)
    measures = []
    for n in range(len(views)):
        reason = _reason(blind[n], float(whole[n]), seen[n])
        low, value, high = interval(draws[:, n], whole_numbers=name in COUNTS)
        measures.append(
            Measure(n, raw[n], value, low, high, True, None, checked[n])  # noqa: FBT003
            if reason is None
            else Measure(n, raw[n], None, None, None, False, reason, checked[n])  # noqa: FBT003
        )
    return Sums(tuple(measures), draws)


def interval(draws: Floats, *, whole_numbers: bool) -> tuple[float, float, float]:
    """Low, median and high of draws (K,): 2.5 to 97.5 %; of counts the shortest range that holds 95 %.

    Of two ranges of the same length the one that holds more; it is made to hold the median.
    """
    median = float(np.percentile(draws, 50, method="inverted_cdf"))
    if not whole_numbers:
        low, high = np.percentile(draws, [2.5, 97.5])
        return min(float(low), median), median, max(float(high), median)
    ordered = np.sort(draws)
    keep = int(np.ceil(0.95 * len(ordered)))
    values = np.unique(ordered)
    last = np.searchsorted(ordered, values, side="left") + keep - 1
    usable = last < len(ordered)
    starts, ends = values[usable], ordered[last[usable]]
    held = np.searchsorted(ordered, ends, side="right") - np.searchsorted(ordered, starts, side="left")
    best = int(np.lexsort((-held, ends - starts))[0])
    return min(float(starts[best]), median), median, max(float(ends[best]), median)


def seen_of(view: View, cls: str, site: BaseGeometry) -> Seen:
    """How much of the site could be seen in a view, for a class, and what hides most of it."""
    whole = site.area
    share = float(visible_ground(view, cls).intersection(site).area / whole) if whole else 0.0
    covers: dict[Reason, float] = {}
    for cover, reason in view.hidden:
        if hides(reason, cls):
            covers[reason] = covers.get(reason, 0.0) + cover.area
    why: Reason = max(covers, key=lambda reason: (covers[reason], reason)) if covers else "nothing"
    return Seen(share, why)


def _raw(name: str, found: Sighting) -> float:
    """What one detection adds as it is, without any correction."""
    if name == "heap_area_m2":
        return found.area_m2 or 0.0
    logs = logs_of(found)[None, None]
    if name == "wagons":
        length, width = np.exp(logs[0, 0])
        return float(round(length / np.mean(PITCH_M) * (1 + (tracks_within(width) - 1) * np.mean(FILLED))))
    return float(AMOUNTS[name](logs, np.random.default_rng(0))[0, 0])


def _checked(followed: Followed, number: int) -> float | None:
    """The share of the detections of a view that a person has confirmed."""
    found = [one for s in followed.linked.strands for one in s.found(number)]
    return sum(one.checked for one in found) / len(found) if found else None


def _blind(name: str, followed: Followed, number: int, view: int, strand: Strand) -> Reason | None:
    """Why a strand's part of a sum cannot be told on a date; None if it can."""
    if view not in strand.at:
        return followed.hidden[number][view]
    if name in {"heaps", "mine_heads"}:
        return None
    if view in strand.partly:
        return followed.hidden[number][view] or "cut"
    gap = followed.gaps.get((number, view))
    if name == "enclosed_km2" and gap is not None and gap.new_m > 0 and not strand.at[view].closed:
        return "open"
    return None


def _reason(blind: Mapping[Reason, float], whole: float, seen: Seen) -> Reason | None:
    """Why a sum cannot be told: too much of it, or of the site, cannot be seen."""
    if seen.share < 0.01:
        return seen.why
    if blind and sum(blind.values()) > BLIND * max(whole, 1e-12):
        return max(blind, key=lambda reason: (blind[reason], reason))
    return "hidden_between" if seen.share < SITE_SEEN else None
