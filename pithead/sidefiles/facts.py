"""What is said of a scene beside its pixels: when, by what, from where, under which sun."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TypeVar

from pithead.dates import parse_time
from pithead.errors import CatalogError

T = TypeVar("T")

_RANGES = {
    "gsd_m": (0.0, 1000.0),
    "off_nadir_deg": (0.0, 90.0),
    "incidence_deg": (0.0, 90.0),
    "sun_azimuth_deg": (0.0, 360.0),
    "sun_elevation_deg": (-90.0, 90.0),
    "cloud_percent": (0.0, 100.0),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a scene, each None where nobody says; checked when made, from whatever source they are."""

    acquired: datetime | None = None
    """When its first line was taken, with a time zone; kept in UTC."""
    sensor: str | None = None
    """The satellite as its operator calls it: WV02, PHR1A, ssc1d1."""
    gsd_m: float | None = None
    """Metres per pixel of the product; above 0."""
    off_nadir_deg: float | None = None
    """The angle at the satellite between straight down and the scene, 0 to 90."""
    incidence_deg: float | None = None
    """The angle at the ground between the vertical and the satellite, 0 to 90."""
    sun_azimuth_deg: float | None = None
    """Clockwise from north, 0 to 360."""
    sun_elevation_deg: float | None = None
    """Above the horizon, -90 to 90."""
    cloud_percent: float | None = None
    level: str | None = None
    """The level of processing as the vendor calls it: LV2A, ORTHO."""
    source: str | None = None
    """The name of the file that says so."""

    def __post_init__(self) -> None:
        """Refuse a time without zone, a number that cannot be, and a name that is no text.

        Raises:
            CatalogError: One of them is so.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None:
                continue
            above = value > low if name == "gsd_m" else value >= low
            if not (math.isfinite(value) and above and value <= high):
                raise CatalogError(
                    f"expected {name} from {low:g} to {high:g}, got {value}: mend what says so"
                )
        for name in ("sensor", "level", "source"):
            if not isinstance(getattr(self, name), str | None):
                raise CatalogError(f"expected {name} as text, got {getattr(self, name)!r}: mend what says so")
        if self.acquired is not None:
            if self.acquired.tzinfo is None:
                raise CatalogError(
                    f"expected a time of acquisition with its zone, got {self.acquired.isoformat()}: "
                    "write 2019-03-12T04:05:00Z"
                )
            object.__setattr__(self, "acquired", self.acquired.astimezone(UTC))

    def over(self, others: "Facts") -> "Facts":
        """These facts, and of those that are unknown what the others say."""
        known = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(others, **known)


def time(text: str, name: str) -> datetime:
    """A time that a side file gives.

    Raises:
        ValueError: It is none.
    """
    found = parse_time(text)
    if found is None:
        raise ValueError(f"{name} is {text!r}, no time")
    return found


def number(value: object, name: str) -> float:
    """A number that a side file gives.

    Raises:
        ValueError: It is none.
    """
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}, no number") from error
    if not math.isfinite(found):
        raise ValueError(f"{name} is {value!r}, no number")
    return found


def agreed(values: Iterable[T]) -> T | None:
    """The value that all of them are; None if they differ or there is none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None
