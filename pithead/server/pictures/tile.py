"""A tile of a web map, cut out of a scene."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from affine import Affine
from morecantile import Tile
from rio_tiler.constants import WEB_MERCATOR_TMS
from rio_tiler.io import Reader
from rio_tiler.models import ImageData

from pithead import geometry
from pithead.footprint import outline_px
from pithead.geometry import Floats
from pithead.imagery import Scene
from pithead.server.pictures.overview import SIDE_PX, Rgba, overview_of
from pithead.server.pictures.plate import Place, Plate, pixels_of, shrink_of
from pithead.server.screen import MERCATOR

TILE_PX: Final = 256
_MARGIN_PX: Final = 2  # of a tile: what is mixed into its outermost pixels
_MOST_PX: Final = 512  # of a source: rio-tiler warns of larger ones without overviews


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a scene a tile shows: a rectangle in its pixels, and how many make one of the tile."""

    x0: float
    y0: float
    x1: float
    y1: float
    shrink_x: float
    shrink_y: float


@dataclass(frozen=True, slots=True)
class _Source:
    """Pixels on their way into a tile."""

    rgba: Rgba
    transform: Affine


def tile_png(plate: Plate, z: int, x: int, y: int, overviews: Path, *, make: bool = True) -> bytes | None:
    """A tile of 256 px as PNG, transparent where there is no data; None where there is none at all.

    Pixels are read as a scan reads them, with the bands, the stretch and the mask of the scene, and are
    warped by rio-tiler.

    Args:
        plate: The scene.
        z: The zoom of a tile of 256 px, as all web maps count it.
        x: From the west.
        y: From the north.
        overviews: A folder where scenes in small are kept.
        make: Whether one that is needed is made.

    Raises:
        NoOverviewError: One is needed that is not there, and not to be made.
        SceneError: The file is gone, another or damaged.
    """
    with plate.opened() as scene:
        place = Place.of(scene)
        part = _part(scene, place, z, x, y)
        if part is None:
            return None
        far = shrink_of((scene.width, scene.height), SIDE_PX)
        if far > 1 and min(part.shrink_x, part.shrink_y) >= far:
            source = _from_overview(overview_of(plate, scene, overviews, make=make), scene, place, part)
        else:
            source = _from_scene(scene, place, part)
    return _warped(source, place, z, x, y) if source.rgba[..., 3].any() else None


def _part(scene: Scene, place: Place, z: int, x: int, y: int) -> _Part | None:
    """The part of a scene under a tile, None if there is none."""
    left, bottom, right, top = WEB_MERCATOR_TMS.xy_bounds(Tile(x, y, z))
    (west, south), (east, north) = geometry.to_lonlat([[left, bottom], [right, top]], MERCATOR).tolist()
    west, south = max(west, place.west), max(south, place.south)
    east, north = min(east, place.east), min(north, place.north)
    if west >= east or south >= north:
        return None
    ring = outline_px(1, 1) * (east - west, north - south) + (west, south)
    points = place.to_px(ring)
    step = _step(place, z, (west + east) / 2, (south + north) / 2)
    margin = _MARGIN_PX * step.max()
    size = np.array([scene.width, scene.height])
    low = np.clip(points.min(axis=0) - margin, 0, size)
    high = np.clip(points.max(axis=0) + margin, 0, size)
    if (high - low <= 0).any():
        return None
    shrink = np.maximum(np.maximum(step, 1.0), (high - low) / _MOST_PX)
    return _Part(*np.floor(low).tolist(), *np.minimum(np.ceil(high), size).tolist(), *shrink.tolist())


def _step(place: Place, z: int, lon: float, lat: float) -> Floats:
    """How many pixels of the scene, across and down, a step of one tile pixel is at most."""
    degrees = 360 / (TILE_PX * 2.0**z)
    up = degrees * np.cos(np.radians(lat))
    ends = place.to_px(np.array([[lon, lat], [lon + degrees, lat], [lon, lat + up]]))
    steps: Floats = np.hypot(ends[1] - ends[0], ends[2] - ends[0])
    return steps


def _from_scene(scene: Scene, place: Place, part: _Part) -> _Source:
    width, height = part.x1 - part.x0, part.y1 - part.y0
    columns, rows = pixels_of(width, part.shrink_x), pixels_of(height, part.shrink_y)
    pixels = scene.read(part.x0, part.y0, part.x1, part.y1, columns, rows)
    rgba = np.dstack([pixels.data, np.where(pixels.valid, np.uint8(255), np.uint8(0))])
    to_scene = Affine.translation(part.x0, part.y0) @ Affine.scale(width / columns, height / rows)
    return _Source(rgba, place.transform @ to_scene)


def _from_overview(overview: Rgba, scene: Scene, place: Place, part: _Part) -> _Source:
    rows, columns = overview.shape[:2]
    shrink_x, shrink_y = scene.width / columns, scene.height / rows
    left, right = int(part.x0 / shrink_x), pixels_of(part.x1, shrink_x)
    top, bottom = int(part.y0 / shrink_y), pixels_of(part.y1, shrink_y)
    # Few pixels of a tile may stand for many of an overview: a coarser one does.
    step = max(1, int(min(part.shrink_x / shrink_x, part.shrink_y / shrink_y)))
    rgba = _smaller(overview[top:bottom, left:right], step)
    to_scene = Affine.scale(shrink_x, shrink_y) @ Affine.translation(left, top) @ Affine.scale(step)
    return _Source(rgba, place.transform @ to_scene)


def _smaller(rgba: Rgba, step: int) -> Rgba:
    """Each square of so many pixels as one, the mean of those that hold data."""
    if step == 1:
        return rgba
    rows, columns = -(-rgba.shape[0] // step), -(-rgba.shape[1] // step)
    padded = np.zeros((rows * step, columns * step, 4), np.float32)
    padded[: rgba.shape[0], : rgba.shape[1]] = rgba
    squares = padded.reshape(rows, step, columns, step, 4)
    weight = squares[..., 3:] / 255
    count = weight.sum(axis=(1, 3))
    colour = (squares[..., :3] * weight).sum(axis=(1, 3)) / np.maximum(count, 1)
    return np.dstack([np.rint(colour), np.where(count > 0, 255, 0)]).astype(np.uint8)


def _warped(source: _Source, place: Place, z: int, x: int, y: int) -> bytes | None:
    planes = np.moveaxis(source.rgba, -1, 0)
    valid = np.broadcast_to(planes[3] > 0, (3, *planes.shape[1:]))
    image = ImageData(np.ma.MaskedArray(planes[:3], ~valid), crs=place.crs)
    # As a file in memory it may be rotated, which an array of rio-tiler may not.
    placed = image.render(img_format="GTIFF", transform=source.transform, crs=place.crs)
    with Reader(io.BytesIO(placed)) as reader:  # type: ignore[arg-type]  # rasterio opens these too
        # With options of its own it is warped even where the CRS is that of the map: it may be rotated.
        tile = reader.tile(
            x, y, z, tilesize=TILE_PX, reproject_method="bilinear", vrt_options={"add_alpha": False}
        )
    return bytes(tile.render(img_format="PNG", zlevel=3)) if tile.mask.any() else None
