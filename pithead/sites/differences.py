"""What changed between two dates, where the change is larger than its error.

A quantity: its draws on the later date less those on the earlier one, so that errors which both dates share
cancel; a change is sure where 95 % of these differences lie on one side of 0. Dates that follow each other
are compared, leaving out those on which the quantity is not observable, and the first with the last.

A track: it appeared between the last date on which it was absent and the first on which it was seen, and
vanished between the last and the first after it on which it is absent and never seen again. Absent means that
it would have been seen (`states`). Nothing is said of tracks that are more likely false alarms than not.

A heap split, or several merged: sure where all that were and all that came of them are there with 95 %, and
are shown whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from shapely.geometry.base import BaseGeometry

from pithead.errors import CatalogError
from pithead.sites.following import Followed
from pithead.sites.kinds import FENCE
from pithead.sites.quantities import Sums
from pithead.sites.tracks import Track
from pithead.sites.view import Sighting

ChangeKind = Literal[
    "more", "less", "appeared", "vanished", "split", "merged", "span_new", "span_vanished", "span_moved"
]


LIKELY, SURE = 0.5, 0.95
"""A track that is less likely there than not, when it was seen, is taken for a false alarm and no change; one
that is there with 95 % changes surely."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a quantity, of a track, or of spans of the perimeter, from one view to a later one."""

    what: str
    """The name of a quantity, or the id of a track; of spans "perimeter"."""
    kind: ChangeKind
    before: int
    """The view with the old state: the last one in which it is known."""
    after: int
    """The first view with the new state."""
    by: float
    """New less old in the unit of the quantity; of a track its area in m² or length in m; of spans metres of
    fence, and of moved spans how far they moved."""
    low: float
    high: float
    """The 95 % interval of `by`."""
    sure: bool
    """Whether it exceeds its error."""
    cls: str | None = None
    shape: BaseGeometry | None = None
    """Where, in the frame."""
    checked: bool = False
    """Whether a person has confirmed the detections on which it rests."""

    def __post_init__(self) -> None:
        """Check the order of views and of the interval."""
        if not (0 <= self.before < self.after and self.low <= self.by <= self.high):
            raise CatalogError(
                f"expected a change from a view to a later one, within its interval, got {self}"
            )


def changes_of_sums(sums: Mapping[str, Sums]) -> Iterator[Change]:
    """The changes of quantities that exceed their error."""
    for name, one in sums.items():
        known = [measure.view for measure in one.measures if measure.observable]
        if one.draws is None or len(known) < 2:
            continue
        pairs = [*pairwise(known)]
        if len(known) > 2:
            pairs.append((known[0], known[-1]))
        for before, after in pairs:
            gap = one.draws[:, after] - one.draws[:, before]
            low, by, high = (float(value) for value in np.percentile(gap, [2.5, 50, 97.5]))
            if low > 0 or high < 0:
                kind: ChangeKind = "more" if low > 0 else "less"
                yield Change(name, kind, before, after, by, low, high, sure=True)


def changes_of_tracks(tracks: Sequence[Track], followed: Mapping[str, Followed]) -> Iterator[Change]:
    """When tracks appeared and vanished, and heaps split and merged."""
    for track in tracks:
        found = {
            one.detection: one
            for strand in followed[track.cls].linked.strands
            for number in strand.at
            for one in strand.found(number)
        }  # fmt: skip
        first, last = track.first_seen, track.last_seen
        likely = [state.p is None or state.p >= LIKELY for state in track.states]
        absent = [n for n, state in enumerate(track.states) if state.kind == "absent"]
        before = max((n for n in absent if n < first), default=None)
        after = min((n for n in absent if n > last), default=None)
        if before is not None and likely[first]:
            yield _of_track(track, "appeared", before, first, found, track.sightings[first])
        if after is not None and likely[last]:
            yield _of_track(track, "vanished", last, after, found, track.sightings[last])
        there = _chances(followed[track.cls]) if track.events else {}
        for event in track.events:
            names = (*event.detections_before, *event.detections_after)
            yield Change(
                track.id, event.kind, event.before, event.after, 0.0, 0.0, 0.0,
                sure=all(there.get(name, 0.0) >= SURE for name in names), cls=track.cls,
                shape=track.shape, checked=all(found[name].checked for name in names if name in found),
            )  # fmt: skip


def _chances(one: Followed) -> dict[str, float]:
    """How likely the things of all detections are there on their dates; of what is shown in part, 0."""
    return {
        sighting.detection: 0.0 if number in strand.partly else float(there[:, number].mean())
        for strand, there in zip(one.linked.strands, one.there, strict=False)
        for number in strand.at
        for sighting in strand.found(number)
    }


def _of_track(
    track: Track,
    kind: ChangeKind,
    before: int,
    after: int,
    found: Mapping[str, Sighting],
    names: tuple[str, ...],
) -> Change:
    """A track that came or went, by as much as was found of it."""
    some = [found[name] for name in names]
    size = sum(one.length_m if one.area_m2 is None or track.cls == FENCE else one.area_m2 for one in some)
    by = size if kind == "appeared" else -size
    seen = track.states[after if kind == "appeared" else before].p or 0.0
    return Change(
        track.id, kind, before, after, by, by, by, sure=seen >= SURE, cls=track.cls, shape=track.shape,
        checked=all(one.checked for one in some),
    )  # fmt: skip
