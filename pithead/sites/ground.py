"""Grounds and courses that overlays can be made of: valid polygons, and lines, each without the other.

An overlay of two grounds that touch leaves lines and points beside polygons, and what a person draws may
cross itself. GEOS refuses to overlay either with some others.
"""

import shapely
from shapely.geometry.base import BaseGeometry


def solid(shape: BaseGeometry) -> BaseGeometry:
    """What of a shape is ground: a valid polygon or several, empty where there is none.

    A bow tie becomes its two triangles; a square with a line that sticks out of it, the square.
    """
    valid = shape if shapely.is_valid(shape) else shapely.make_valid(shape)
    return _only(valid, 2, shapely.Polygon())


def courses(shape: BaseGeometry) -> BaseGeometry:
    """What of a shape is lines; empty where there are none."""
    return _only(shape, 1, shapely.LineString())


def _only(shape: BaseGeometry, dimension: int, nothing: BaseGeometry) -> BaseGeometry:
    if shape.is_empty:
        return nothing
    if shape.geom_type != "GeometryCollection":
        return shape if shapely.get_dimensions(shape) == dimension else nothing
    parts = [part for part in shapely.get_parts(shape) if shapely.get_dimensions(part) == dimension]
    return shapely.union_all(parts) if parts else nothing
