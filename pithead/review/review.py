"""One person's decision about one detection, and the log that keeps it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import shapely
from shapely.geometry.base import BaseGeometry

from pithead.errors import EvidenceError, OptionError
from pithead.evidence import Log, Record, canonical

GIVEN = "review.given"
Decision = Literal["accept", "reject", "relabel", "redraw"]
Frame = Literal["lonlat", "px"]


@dataclass(frozen=True, slots=True)
class Review:
    """One person's decision about one detection.

    Raises:
        OptionError: The decision is none, no one stands behind it, or it lacks what it needs.
    """

    detection: str
    """The id of the detection in the store."""
    scene_sha256: str
    class_name: str
    """As the weights had it."""
    decision: Decision
    """accept: it is that; reject: it is not; relabel: it is a `new_class`; redraw: it is at `geometry`."""
    reviewer: str
    geometry: BaseGeometry
    """Of the detection; of a redraw the outline as it should be."""
    new_class: str | None = None
    note: str = ""
    frame: Frame = "lonlat"
    """Of `geometry`: longitude and latitude, or pixels of a scene without georeference."""
    given: str = ""
    """When, in UTC; the log says it."""

    def __post_init__(self) -> None:
        """Check what a reader of the log relies on."""
        if self.decision not in get_args(Decision):
            raise OptionError(f"expected one of {', '.join(get_args(Decision))}, got {self.decision!r}")
        if not (self.detection and self.scene_sha256 and self.class_name and self.reviewer):
            raise OptionError(
                "expected a review with a detection, the sha256 of its scene, its class and a reviewer, "
                f"got {self.detection!r}, {self.scene_sha256!r}, {self.class_name!r} and {self.reviewer!r}"
            )
        if (self.decision == "relabel") != (self.new_class is not None):
            raise OptionError(
                f"expected a new class to relabel, and none to {self.decision}, got {self.new_class!r}"
            )
        self._check_geometry()

    def _check_geometry(self) -> None:
        if self.frame not in get_args(Frame):
            raise OptionError(f'expected "lonlat" or "px", got {self.frame!r}')
        if self.geometry.is_empty:
            raise OptionError(f"expected the outline of detection {self.detection}, got an empty one")
        west, south, east, north = self.geometry.bounds
        if self.frame == "lonlat" and not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
            raise OptionError(f"expected longitude and latitude, got {self.geometry.bounds}")

    @property
    def stands(self) -> bool:
        """Whether there is something, be it of another class or outline."""
        return self.decision != "reject"

    @property
    def settled_class(self) -> str:
        """What the reviewer holds it to be."""
        return self.class_name if self.new_class is None else self.new_class

    def facts(self) -> dict[str, Any]:
        """What the log keeps; geometry as GeoJSON."""
        return {
            "detection": self.detection,
            "scene_sha256": self.scene_sha256,
            "class": self.class_name,
            "decision": self.decision,
            "new_class": self.new_class,
            "geometry": shapely.geometry.mapping(self.geometry),
            "frame": self.frame,
            "note": self.note,
            "reviewer": self.reviewer,
        }

    @classmethod
    def of(cls, record: Record) -> "Review":
        """The review of a record.

        Raises:
            EvidenceError: It is no review.
        """
        facts: Mapping[str, Any] = record.facts or {}
        try:
            return cls(
                detection=facts["detection"],
                scene_sha256=facts["scene_sha256"],
                class_name=facts["class"],
                decision=facts["decision"],
                new_class=facts.get("new_class"),
                geometry=shapely.geometry.shape(facts["geometry"]),
                frame=facts.get("frame", "lonlat"),
                note=facts.get("note", ""),
                reviewer=facts["reviewer"],
                given=record.time,
            )
        except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
            raise EvidenceError(f"expected a review in record {record.seq}, got {error!r}") from error


def give(log: Log, review: Review) -> Record:
    """Add a review to the log; an earlier one of the same detection no longer counts, and stays.

    Raises:
        StoreError: The log cannot be written.
        EvidenceError: The log is damaged.
    """
    return log.append(GIVEN, review.facts())


def give_all(log: Log, given: Iterable[Review]) -> tuple[Review, ...]:
    """Add reviews to the log at once, but those that say what was said last of that detection already.

    Returns those that were added.

    Raises:
        StoreError: The log cannot be written; then none is added.
        EvidenceError: The log is damaged.
    """
    last = {detection: canonical(review.facts()) for detection, review in reviews(log).items()}
    fresh = tuple(review for review in given if canonical(review.facts()) != last.get(review.detection))
    if fresh:
        log.append_many([(GIVEN, review.facts()) for review in fresh])
    return fresh


def reviews(log: Log) -> dict[str, Review]:
    """The last review of each detection, by its id, in the order of the log.

    A review whose facts were left out does not count.

    Raises:
        EvidenceError: A link of the log is broken, or a review is malformed.
    """
    last: dict[str, Record] = {}
    for record in log.records():
        if record.kind == GIVEN and record.facts is not None:
            detection = str(record.facts.get("detection"))
            last.pop(detection, None)  # times are no order: those of one file are all the same
            last[detection] = record
    return {detection: Review.of(record) for detection, record in last.items()}
