"""The local frame of a site: metres east and north of its middle."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.errors import CatalogError
from pithead.geometry import Floats


@dataclass(frozen=True, slots=True)
class Frame:
    """An azimuthal equidistant plane (WGS 84) round a place; over 10 km a metre is off by under 1 in 10^6.

    Raises:
        CatalogError: The place is not on the Earth.
    """

    lon: float
    lat: float

    def __post_init__(self) -> None:
        """Check the place."""
        if not (-180 <= self.lon <= 180 and -90 <= self.lat <= 90):
            raise CatalogError(f"expected a longitude and latitude in degrees, got {self.lon}, {self.lat}")

    @classmethod
    def round(cls, *shapes_lonlat: BaseGeometry) -> "Frame":
        """The frame round the middle of the bounds of shapes in degrees, to 5 decimals (a metre).

        Raises:
            CatalogError: There is no shape.
        """
        solid = [shape for shape in shapes_lonlat if not shape.is_empty]
        if not solid:
            raise CatalogError(
                "expected a site with a polygon or with scenes that lie somewhere, got neither"
            )
        west, south, east, north = shapely.total_bounds(np.array(solid, dtype=object))
        return cls(round(float(west + east) / 2, 5), round(float(south + north) / 2, 5))

    @property
    def crs(self) -> str:
        """The plane as PROJ knows it."""
        return f"+proj=aeqd +lat_0={self.lat} +lon_0={self.lon} +datum=WGS84 +units=m +type=crs"

    def in_metres(self, shape_lonlat: BaseGeometry) -> BaseGeometry:
        """A shape in longitude and latitude as metres east and north.

        Raises:
            GroundResolutionError: It has no place on the plane.
        """
        return shapely.transform(shape_lonlat, partial(geometry.from_lonlat, crs=self.crs))

    def in_degrees(self, shape: BaseGeometry) -> BaseGeometry:
        """A shape in metres as longitude and latitude; the inverse of `in_metres`.

        Raises:
            GroundResolutionError: It has no place on the Earth.
        """
        return shapely.transform(shape, partial(geometry.to_lonlat, crs=self.crs))

    def points_in_metres(self, points_lonlat: Floats) -> Floats:
        """Points (N, 2) in longitude and latitude as metres."""
        return geometry.from_lonlat(points_lonlat, self.crs)
