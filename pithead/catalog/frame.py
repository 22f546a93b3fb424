"""Where a scene lies and how large it is; nothing of it is read but its head."""

from dataclasses import dataclass

import numpy as np
import shapely

from pithead import geometry
from pithead.catalog.entry import Footprint
from pithead.errors import GroundResolutionError
from pithead.geometry import Floats
from pithead.imagery import Place, place_of
from pithead.imagery.files import check_whole, open_dataset
from pithead.sidefiles import Facts, parse_time
from pithead.vectors import DEGREE_DECIMALS

_OUTLINE_STEPS = 16  # vertices per side: the sides of a scene are curves in longitude and latitude
_STRAIGHT_DEG = 1e-6  # a decimetre: vertices that say less are left out
_HALF_TURN = 180.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Size, georeference and outline of an image."""

    width: int
    height: int
    crs: str | None
    """"EPSG:32652", or WKT2; None without georeference."""
    transform: tuple[float, float, float, float, float, float] | None
    gsd_m: tuple[float, float]
    footprint: Footprint | None
    km2: float


def read_frame(path: str, gsd_m: float | None) -> Frame:
    """The frame of a file or address; gsd_m is for one without georeference, as in `open_scene`.

    Raises:
        SceneError: It is missing, truncated or no image.
        GroundResolutionError: Neither the georeference nor `gsd_m` gives the ground resolution.
    """
    place = place_of(path)
    if place.crs is None or place.transform is None:
        if gsd_m is None:
            raise GroundResolutionError(
                f"{path}: expected a georeference, got none: give the metres per pixel with --gsd"
            )
        km2 = place.width * place.height * gsd_m**2 / 1e6
        return Frame(place.width, place.height, None, None, (gsd_m, gsd_m), None, km2)
    try:
        gsd = geometry.gsd_m(place.transform, place.crs, place.width, place.height)
        outline_map = _outline_map(place)
        lonlat = geometry.to_lonlat(outline_map, place.crs)
    except GroundResolutionError as error:
        raise GroundResolutionError(f"{path}: {error}") from error
    authority = place.crs.to_authority()
    crs = ":".join(authority) if authority else place.crs.to_wkt(version="WKT2_2019")
    a, b, c, d, e, f = tuple(place.transform)[:6]
    return Frame(
        place.width,
        place.height,
        crs,
        (a, b, c, d, e, f),
        gsd,
        footprint_of(lonlat),
        geometry.ground_area_m2(outline_map, place.crs) / 1e6,
    )


def read_tags(path: str) -> Facts:
    """What the file's own metadata say (GDAL's IMAGERY domain), once it is known to be whole.

    Raises:
        SceneError: It is missing, truncated or no image.
    """
    with open_dataset(path) as dataset:
        check_whole(dataset, path)
        tags = dataset.tags(ns="IMAGERY")
    return Facts(
        acquired=parse_time(tags.get("ACQUISITIONDATETIME", "")), sensor=tags.get("SATELLITEID") or None
    )


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


def _outline_map(place: Place) -> Floats:
    frame = shapely.box(0, 0, place.width, place.height)
    step = max(place.width, place.height) / _OUTLINE_STEPS
    return place.to_map(shapely.get_coordinates(shapely.segmentize(frame, step)))
