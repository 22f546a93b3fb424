"""Metres for shapes that a store keeps in degrees or in pixels: one plane for each scene.

Longitude and latitude go into an azimuthal equidistant projection (WGS 84) whose centre is the whole degree
nearest to the scene. At 80 km from the centre, which is farther than half a degree either way, a metre is off
by less than 3 in 100,000. Pixels of a scene without georeference are multiplied by the metres per pixel that
its detections were measured with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.geometry import Floats

Shapes = npt.NDArray[np.object_]

LONLAT, PIXELS = "lonlat", "px"
"""What the column `frame` of a store says."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The plane of one scene, in metres."""

    crs: str | None
    """A projection of degrees; None of pixels."""
    m_per_px: float = 1.0

    @classmethod
    def of(cls, *sides: gpd.GeoDataFrame, else_at: BaseGeometry | None = None) -> "Ground":
        """The plane of the rows of one scene, of any number of weights, all in one frame.

        Args:
            sides: Rows as a store keeps them.
            else_at: A shape in degrees, which says where the scene is if there are no rows.
        """
        rows = next((side for side in sides if len(side)), None)
        if rows is not None and rows["frame"].iloc[0] == PIXELS:
            return cls(None, _m_per_px(rows))
        first = else_at if rows is None else rows.geometry.iloc[0]
        return cls(None) if first is None else cls.at(*shapely.get_coordinates(first)[0].tolist())

    @classmethod
    def at(cls, lon: float, lat: float) -> "Ground":
        """The plane round a place in degrees."""
        # The same few planes serve a whole archive: to make a projection takes longer than to use it.
        return cls(f"+proj=aeqd +lat_0={round(lat)} +lon_0={round(lon)} +datum=WGS84 +units=m +type=crs")

    def in_metres(self, shapes: Shapes | Sequence[BaseGeometry]) -> Shapes:
        """The same shapes (N,) on the plane; y runs up for degrees, and down for pixels.

        Raises:
            GroundResolutionError: A shape has no place on the plane.
        """
        given = np.asarray(shapes, dtype=object)
        if not given.size:
            return given
        return np.asarray(shapely.transform(given, self._points), dtype=object)

    def _points(self, points: Floats) -> Floats:
        return points * self.m_per_px if self.crs is None else geometry.from_lonlat(points, self.crs)


def _m_per_px(rows: gpd.GeoDataFrame) -> float:
    """Metres per pixel of detections that say their sizes in metres: the root of areas, or by lengths."""
    shapes = np.asarray(rows.geometry.array, dtype=object)
    lines = shapely.get_dimensions(shapes) == 1
    if lines.all():
        pixels = float(shapely.length(shapes).sum())
        return float(rows["length_m"].sum()) / pixels if pixels > 0 else 1.0
    pixels = float(shapely.area(shapes[~lines]).sum())
    return float(np.sqrt(rows["area_m2"].to_numpy(np.float64)[~lines].sum() / pixels)) if pixels > 0 else 1.0


def as_lines(shapes: Shapes) -> Shapes:
    """Lines as they are, and of polygons the outline: a ring may be drawn as either."""
    out = shapes.copy()
    solid = shapely.get_dimensions(shapes) == 2
    out[solid] = shapely.boundary(shapes[solid])
    return out
