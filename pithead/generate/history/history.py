"""A site across dates and sensors, with the truth of every figure that can be stated of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from pithead import geometry
from pithead.errors import DatasetError
from pithead.generate.history.draw import draw_things
from pithead.generate.history.shot import Shot
from pithead.generate.history.shots import SENSORS, draw_shots, draw_times
from pithead.generate.history.thing import Thing
from pithead.generate.history.truth import Spans, Truth, links_of, spans_of, truth_of
from pithead.generate.sidings import Yard

PROJECTED: Final = "EPSG:32652"
SCALE: Final = 0.9996
"""Metres of UTM for a metre on the ground on the middle of a zone, where every history lies (129° E)."""

_EAST_M, _SOUTH_M, _APART_M, _PLACES = 500_000.0, 406_250.0, 4_000.0, 200  # open sea, 3.7 to 10.9° N
_LEAST_DATES, _LEAST_SIDE_M = 6, 700.0


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A site through the years; made by `History.draw`.

    Attributes:
        seed: What it was drawn from.
        name: Of the site.
        side_m: Of the square that is the site; its frame is metres east and north of the middle.
        things: What stands there, and what only looks like something.
        shots: The pictures of it, in order of time.
        siding: The tracks and since when they lie there; None where there was no room.
    """

    seed: int
    name: str
    side_m: float
    things: tuple[Thing, ...]
    shots: tuple[Shot, ...]
    siding: tuple[Yard, datetime] | None

    @classmethod
    def draw(cls, seed: int, *, dates: int = 12, sensors: int = 4, side_m: float = 1200.0) -> History:
        """A history that depends on its arguments alone.

        Args:
            seed: Any int from 0; histories of seeds that differ by a multiple of 200 share their place.
            dates: How many pictures, 6 or more.
            sensors: By how many sensors, 1 to 6 and no more than pictures.
            side_m: Side of the site, 700 or more.

        Raises:
            DatasetError: An argument is out of range.
        """
        if seed < 0 or dates < _LEAST_DATES or not 1 <= sensors <= min(len(SENSORS), dates):
            raise DatasetError(
                f"expected a seed from 0, dates from {_LEAST_DATES} and 1 to {len(SENSORS)} sensors, "
                f"got {seed}, {dates}, {sensors}"
            )
        if side_m < _LEAST_SIDE_M:
            raise DatasetError(f"expected a site of at least {_LEAST_SIDE_M} m, got {side_m}")
        rng = np.random.default_rng([seed, 20_260_101])
        times = draw_times(rng, dates)
        things, siding = draw_things(rng, times, side_m)
        shots = draw_shots(rng, times, sensors, side_m)
        return cls(seed, f"History {seed:04d}", side_m, things, shots, siding)

    @property
    def origin(self) -> tuple[float, float]:
        """Longitude and latitude of the middle of the site."""
        lon, lat = self.to_lonlat([[0.0, 0.0]])[0]
        return float(lon), float(lat)

    @property
    def outline(self) -> shapely.Polygon:
        """The site in its own frame."""
        half = self.side_m / 2
        return shapely.box(-half, -half, half, half)

    def to_utm(self, points_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Points of the site's frame, an array ending in 2, in EPSG:32652."""
        middle = np.array([_EAST_M, _SOUTH_M + _APART_M * (self.seed % _PLACES)])
        return np.asarray(middle + SCALE * np.asarray(points_m, np.float64))

    def from_utm(self, points_utm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The inverse of `to_utm`."""
        middle = np.array([_EAST_M, _SOUTH_M + _APART_M * (self.seed % _PLACES)])
        return np.asarray((np.asarray(points_utm, np.float64) - middle) / SCALE)

    def to_lonlat(self, points_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Points of the site's frame, an array ending in 2, in longitude and latitude."""
        return geometry.to_lonlat(self.to_utm(points_m), PROJECTED)

    def from_lonlat(self, points_lonlat: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The inverse of `to_lonlat`."""
        return self.from_utm(geometry.from_lonlat(points_lonlat, PROJECTED))

    def thing(self, name: str) -> Thing:
        """The thing of an id.

        Raises:
            DatasetError: There is none.
        """
        found = next((thing for thing in self.things if thing.id == name), None)
        if found is None:
            raise DatasetError(f"expected a thing of {self.name}, got {name!r}")
        return found

    def truth(self, shot: Shot) -> Truth:
        """What is there at the time of a picture, seen or not."""
        return truth_of(self.things, shot)

    def links(self, earlier: Shot, later: Shot) -> frozenset[tuple[str, str]]:
        """Pairs of ids of things in two pictures that are the same, or kin by a split or merger."""
        return links_of(self.things, earlier, later)

    def spans(self, earlier: Shot, later: Shot) -> Spans:
        """The perimeters that are new, vanished and moved between two pictures."""
        return spans_of(self.things, earlier, later)
