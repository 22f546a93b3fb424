"""One scene as a site sees it: what was looked at, what was hidden, and what was found."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import shapely
from shapely.geometry.base import BaseGeometry

from pithead.errors import CatalogError

Reason = Literal[
    "outside", "nodata", "cloud", "haze", "snow", "too_coarse", "recall", "may_be_missed", "hidden_between",
    "cut", "open", "not_measured", "nothing",
]  # fmt: skip
REASONS: dict[Reason, str] = {
    "outside": "outside of what the scene shows",
    "nodata": "no data there",
    "cloud": "under cloud",
    "haze": "under haze",
    "snow": "under snow",
    "too_coarse": "the scene is coarser than any that the weights were measured on",
    "recall": "the weights find too few things of this kind and size to say that it is not there",
    "may_be_missed": "it was not seen, and the weights may have missed it",
    "hidden_between": "too much of the site cannot be seen on this date",
    "cut": "it is cut by the edge of the scene",
    "open": "a perimeter is not closed on this date, so nobody knows what it encloses",
    "not_measured": "the card of the weights has no measured errors for this class",
    "nothing": "nothing of the site can be seen on this date",
}
"""Why something cannot be said, by the word that stands for it."""
How = Literal["none", "objects", "images", "both"]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a scene shows things east (dx) and north (dy) of where the scenes of the site agree they are.

    `sd_m` is the standard error of either axis, `pairs` the matches behind it. What all scenes have in common
    cannot be known: shifts are relative, and their weighted mean is 0.
    """

    dx_m: float = 0.0
    dy_m: float = 0.0
    sd_m: float = 5.0
    pairs: int = 0
    how: How = "none"

    def __post_init__(self) -> None:
        """Check that the numbers are finite and the error is over 0."""
        if not (math.isfinite(self.dx_m) and math.isfinite(self.dy_m) and 0 < self.sd_m < math.inf):
            raise CatalogError(f"expected a shift in metres with an error over 0, got {self}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One detection, as the last review of it has it; `shape` is in the frame, as the scene shows it.

    `p` is the probability that it is right, by the calibration of the weights; None where there is none.
    """

    detection: str
    cls: str
    score: float
    p: float | None
    shape: BaseGeometry
    """Metres in the frame, not corrected by the shift of its scene; `View.placed` does that."""
    area_m2: float | None
    """Of a box; None of lines."""
    length_m: float
    width_m: float | None
    closed: bool = False
    """Whether a line is a ring."""
    enclosed_m2: float | None = None
    """Of a ring."""
    cut: bool = False
    """Whether the edge of the scene cuts it."""
    decision: str | None = None
    """Of the last review: accept, relabel or redraw (what was rejected is no sighting)."""
    reviewer: str | None = None

    def __post_init__(self) -> None:
        """Check what sums rely on."""
        known = [v for v in (self.length_m, self.width_m, self.area_m2, self.enclosed_m2) if v is not None]
        if not all(math.isfinite(value) and value >= 0 for value in known):
            raise CatalogError(f"expected sizes of detection {self.detection} in metres, got {known}")
        if self.p is not None and not 0 <= self.p <= 1:
            raise CatalogError(f"expected a probability of detection {self.detection}, got {self.p}")

    @property
    def is_line(self) -> bool:
        """Whether it is a line or a ring, and no box."""
        return self.area_m2 is None

    @property
    def checked(self) -> bool:
        """Whether a person has looked at it and said that something is there."""
        return self.decision is not None


@dataclass(frozen=True, slots=True)
class View:
    """A scene of a known date over a site, with all that was found in it by one weights."""

    scene: str
    scene_sha256: str
    acquired: datetime
    sensor: str | None
    gsd_m: float
    """The coarser of both axes."""
    off_nadir_deg: float | None
    weights_sha256: str
    looked: BaseGeometry
    """Polygons in the frame: what of the site the scene shows."""
    hidden: tuple[tuple[BaseGeometry, Reason], ...] = ()
    """Of that what cannot be seen, and why."""
    shift: Shift = Shift()
    sightings: tuple[Sighting, ...] = ()
    rejected: tuple[Sighting, ...] = ()
    """What a person said is not there."""
    options_sha256: str = ""
    pixels: bool = False
    """Whether its pixels were looked through for cloud, haze, snow and nodata."""

    def __post_init__(self) -> None:
        """Check what is relied on."""
        if self.acquired.tzinfo is None:
            raise CatalogError(f"{self.scene}: expected a time with its zone, got {self.acquired}")
        if not 0 < self.gsd_m < math.inf:
            raise CatalogError(f"{self.scene}: expected metres per pixel above 0, got {self.gsd_m}")

    @property
    def year(self) -> float:
        """The date in years, for spans of time."""
        return self.acquired.timestamp() / (365.25 * 86_400)

    def placed(self, shape: BaseGeometry) -> BaseGeometry:
        """A shape of this scene where it lies once the shift of the scene is taken off."""
        return shapely.affinity.translate(shape, -self.shift.dx_m, -self.shift.dy_m)

    def of(self, *names: str) -> Iterator[Sighting]:
        """The sightings of some classes, in their order."""
        return (one for one in self.sightings if one.cls in names)
