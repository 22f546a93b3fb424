"""The outline of a scene on the ground, in longitude and latitude."""

import numpy as np
import shapely

from pithead.geometry import Floats
from pithead.vectors import DEGREE_DECIMALS

Footprint = shapely.Polygon | shapely.MultiPolygon
"""In longitude and latitude; of two polygons where it crosses the antimeridian (RFC 7946, 3.1.9)."""

_STEPS = 16  # vertices per side: the sides of a scene are curves in longitude and latitude
_STRAIGHT_DEG = 1e-6  # a decimetre: vertices that say less are left out
_HALF_TURN = 180.0


def outline_px(width: int, height: int) -> Floats:
    """The frame of an image as a closed ring (M, 2) in its pixels, with vertices along its sides."""
    frame = shapely.box(0, 0, width, height)
    points: Floats = shapely.get_coordinates(shapely.segmentize(frame, max(width, height) / _STEPS))
    return points


def footprint_of(outline_lonlat: Floats) -> Footprint:
    """An outline (M, 2) in degrees as a polygon, anticlockwise; cut in two at the antimeridian.

    An outline that is more than half a turn wide is taken for one across the antimeridian; a ring round a
    pole, which no scene of 0.3 to 1.2 m is, would come out wrong.
    """
    points = outline_lonlat.copy()
    if np.ptp(points[:, 0]) > _HALF_TURN:
        points[:, 0] = np.where(points[:, 0] < 0, points[:, 0] + 2 * _HALF_TURN, points[:, 0])
    whole = shapely.simplify(shapely.Polygon(points.round(DEGREE_DECIMALS)), _STRAIGHT_DEG)
    west = shapely.intersection(whole, shapely.box(-_HALF_TURN, -90, _HALF_TURN, 90))
    east = shapely.intersection(whole, shapely.box(_HALF_TURN, -90, 3 * _HALF_TURN, 90))
    moved = shapely.transform(east, lambda xy: xy - [2 * _HALF_TURN, 0])
    parts = [part for half in (west, moved) for part in shapely.get_parts(half) if part.area > 0]
    oriented = [shapely.geometry.polygon.orient(part) for part in parts]
    return oriented[0] if len(oriented) == 1 else shapely.MultiPolygon(oriented)


def bbox_of(footprint: Footprint) -> list[float]:
    """West, south, east, north; west is east of east where the antimeridian lies between (RFC 7946, 5.2)."""
    west, south, east, north = (float(value) for value in footprint.bounds)
    if isinstance(footprint, shapely.MultiPolygon):
        west = min(part.bounds[0] for part in footprint.geoms if part.bounds[0] > 0)
        east = max(part.bounds[2] for part in footprint.geoms if part.bounds[2] < 0)
    return [west, south, east, north]
