"""One picture of a site: when, by which sensor, from where, and what hides the ground in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.errors import DatasetError
from pithead.generate.parts import Points

MOST_SHIFT_M = 8.0
MOST_OFF_NADIR_DEG = 30.0
THICK = 0.5
"""Through haze from this strength on nobody can tell what is not there."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """A camera in orbit.

    Attributes:
        name: As the catalogue has it.
        gsd_m: Metres per pixel.
        bits: 8 or 11.
        bands: grey, or red, green, blue and perhaps nir.
    """

    name: str
    gsd_m: float
    bits: int
    bands: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture of the site, checked when made; polygons are in the frame of the picture.

    A place of the site's frame is found in the picture `shift_m` beside where it is, and what stands high
    still further, away from the sensor.

    Attributes:
        number: In order of time, from 0.
        date: When it was taken (UTC).
        sensor: By what.
        off_nadir_deg: Degrees between straight down and the site, 0 to 30.
        azimuth_deg: Where the sensor stands as seen from the site, clockwise from north.
        sun_azimuth_deg: Clockwise from north.
        sun_elevation_deg: Over the horizon.
        shift_m: (dx, dy) by which the picture is wrong about where it is, 8 m long at most.
        season: spring, summer, autumn or winter.
        snow: Whether snow lies, under which heaps look like ground.
        haze: 0 (clear) to 1 (white).
        clouds: What clouds hide.
        footprint: The frame of the picture.
        nodata: What of the frame holds no pixels.
    """

    number: int
    date: datetime
    sensor: Sensor
    off_nadir_deg: float
    azimuth_deg: float
    sun_azimuth_deg: float
    sun_elevation_deg: float
    shift_m: tuple[float, float]
    season: str
    snow: bool
    haze: float
    clouds: tuple[shapely.Polygon, ...]
    footprint: shapely.Polygon
    nodata: tuple[shapely.Polygon, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is not promised of a shot.

        Raises:
            DatasetError: The shift, the angle or the haze is out of range.
        """
        if np.hypot(*self.shift_m) > MOST_SHIFT_M or not 0 <= self.off_nadir_deg <= MOST_OFF_NADIR_DEG:
            raise DatasetError(
                f"expected a shift up to {MOST_SHIFT_M} m and 0 to {MOST_OFF_NADIR_DEG}° off nadir, "
                f"got {self.shift_m} and {self.off_nadir_deg}"
            )
        if not 0 <= self.haze <= 1:
            raise DatasetError(f"expected haze of 0 to 1, got {self.haze}")

    @property
    def lean(self) -> Points:
        """(2,) metres by which a metre of height is moved in the picture: tan(off nadir), off the sensor."""
        azimuth = np.radians(self.azimuth_deg)
        away = -np.array([np.sin(azimuth), np.cos(azimuth)])
        return np.asarray(away * np.tan(np.radians(self.off_nadir_deg)), np.float64)

    @property
    def hidden(self) -> tuple[tuple[shapely.Polygon, str], ...]:
        """The parts of the frame in which nothing can be seen, each with its reason: cloud, nodata, haze."""
        parts = [(cloud, "cloud") for cloud in self.clouds] + [(gap, "nodata") for gap in self.nodata]
        if self.haze >= THICK:
            parts.append((self.footprint, "haze"))
        return tuple(parts)

    @property
    def visible(self) -> BaseGeometry:
        """What of the frame can be seen; through thick haze, nothing."""
        covers = [part for part, _ in self.hidden]
        return shapely.difference(self.footprint, shapely.union_all(covers)) if covers else self.footprint
