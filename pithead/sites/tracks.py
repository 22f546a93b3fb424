"""The same thing over time."""

from dataclasses import dataclass
from typing import Literal

from shapely.geometry.base import BaseGeometry

from pithead.errors import CatalogError
from pithead.sites.states import State

EventKind = Literal["split", "merged"]


@dataclass(frozen=True, slots=True)
class Event:
    """That one heap became several, or several one, between two views (indices)."""

    kind: EventKind
    before: int
    after: int
    detections_before: tuple[str, ...]
    detections_after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Track:
    """One thing, or a heap with all that it split into or merged from, followed over the views of a site."""

    id: str
    """The class and a number, "coal_heap-3", by first date and from west to east."""
    cls: str
    sightings: tuple[tuple[str, ...], ...]
    """For each view the detections, none, one, or several where it is in parts."""
    strands: tuple[tuple[str | None, ...], ...]
    """The same one to one: for each part and view the detection or None."""
    states: tuple[State, ...]
    """For each view."""
    shape: BaseGeometry
    """Where it was last seen, in the frame, corrected by the shift of its scene."""
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        """Check that every view has its say."""
        sizes = {len(self.sightings), len(self.states), *(len(strand) for strand in self.strands)}
        if len(sizes) != 1 or not any(self.sightings):
            raise CatalogError(f"expected a track with a state for each view and a sighting, got {self.id}")

    @property
    def first_seen(self) -> int:
        """The first view with a sighting."""
        return next(i for i, found in enumerate(self.sightings) if found)

    @property
    def last_seen(self) -> int:
        """The last view with a sighting."""
        return max(i for i, found in enumerate(self.sightings) if found)
