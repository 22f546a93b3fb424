"""Where a scene lies and how large it is; nothing of it is read but its head."""

from dataclasses import dataclass

from pithead import geometry
from pithead.dates import parse_time
from pithead.errors import GroundResolutionError
from pithead.footprint import Footprint, footprint_of, outline_px
from pithead.imagery import place_of
from pithead.imagery.files import check_whole, open_dataset
from pithead.sidefiles import Facts


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
        outline_map = place.to_map(outline_px(place.width, place.height))
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
    return Facts(acquired=parse_time(tags.get("ACQUISITIONDATETIME")), sensor=tags.get("SATELLITEID") or None)
