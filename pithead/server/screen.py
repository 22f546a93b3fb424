"""Where things lie on the map of the page: longitude and latitude, also for scenes that lie nowhere.

A scene without georeference is shown with its upper left corner at longitude and latitude 0, x to the east
and y to the south, as if its pixels were so many metres of Web Mercator.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.geometry import Floats
from pithead.vectors import DEGREE_DECIMALS, PIXEL_DECIMALS

MERCATOR: Final = "EPSG:3857"
MOST_LAT: Final = 85.05112877980659
"""Web Mercator ends here."""


def to_screen(points_px: npt.ArrayLike, gsd_m: tuple[float, float]) -> Floats:
    """Pixels of a scene without georeference, an array ending in 2, as longitude and latitude on the page."""
    metres = np.asarray(points_px, np.float64) * (gsd_m[0], -gsd_m[1])
    return geometry.to_lonlat(metres, MERCATOR)


def from_screen(points_lonlat: npt.ArrayLike, gsd_m: tuple[float, float]) -> Floats:
    """The inverse of `to_screen`."""
    return geometry.from_lonlat(points_lonlat, MERCATOR) / (gsd_m[0], -gsd_m[1])


def shape_to_screen(shape: BaseGeometry, gsd_m: tuple[float, float]) -> BaseGeometry:
    """A shape in pixels as it is shown; its outside runs anticlockwise, as it does on the ground."""
    return _oriented(shapely.transform(shape, lambda xy: to_screen(xy, gsd_m).round(DEGREE_DECIMALS)))


def shape_from_screen(shape: BaseGeometry, gsd_m: tuple[float, float]) -> BaseGeometry:
    """A shape as it was drawn on the page, in pixels."""
    return _oriented(shapely.transform(shape, lambda xy: from_screen(xy, gsd_m).round(PIXEL_DECIMALS) + 0.0))


def to_world(points_lonlat: npt.ArrayLike) -> Floats:
    """Longitude and latitude, an array ending in 2, as shares of the world's map, from its north-west."""
    lonlat = np.asarray(points_lonlat, np.float64)
    lat = np.radians(np.clip(lonlat[..., 1], -MOST_LAT, MOST_LAT))
    return np.stack([lonlat[..., 0] / 360 + 0.5, 0.5 - np.arcsinh(np.tan(lat)) / (2 * np.pi)], axis=-1)


def _oriented(shape: BaseGeometry) -> BaseGeometry:
    return shapely.geometry.polygon.orient(shape) if isinstance(shape, shapely.Polygon) else shape
