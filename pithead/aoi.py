"""The area of interest: polygons on a map outside of which nothing is looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.errors import GroundResolutionError, OptionError, OutsideError
from pithead.geometry import Floats, Window
from pithead.imagery import Scene
from pithead.tiling import Grid

LONLAT = "OGC:CRS84"
_PARTS = 64  # pieces of the scene's diagonal: within one, a line of one map is straight on any other
_LON_LAT_MOST = (180.0, 90.0)


@dataclass(frozen=True, slots=True)
class Aoi:
    """Polygons on a map, as they stand in a file."""

    path: str
    polygons_map: shapely.MultiPolygon
    """x east or longitude, y north or latitude."""
    crs: str
    """The CRS of the polygons as WKT, or `OGC:CRS84`."""

    @property
    def lonlat(self) -> BaseGeometry:
        """The polygons in longitude and latitude; long edges of projected ones get points between."""
        if self.crs == LONLAT:
            return self.polygons_map
        low, high = np.array(self.polygons_map.bounds).reshape(2, 2)
        fine = shapely.segmentize(self.polygons_map, float(np.hypot(*(high - low))) / _PARTS)
        out: BaseGeometry = shapely.transform(
            fine, lambda points_map: geometry.to_lonlat(points_map, self.crs)
        )
        return out

    def in_scene(self, scene: Scene) -> BaseGeometry:
        """The part of the area that the scene shows, in scene pixels.

        Raises:
            OptionError: if the scene has no georeference.
            OutsideError: if the area does not meet the scene.
        """
        if scene.crs is None or scene.transform is None:
            raise OptionError(
                f"{scene.path}: expected a georeference to place {self.path}, got none: scan without --aoi"
            )
        crs, to_pixel = scene.crs, ~scene.transform
        frame = shapely.box(0, 0, scene.width, scene.height)

        def to_scene(points_map: Floats) -> Floats:
            lonlat = geometry.to_lonlat(points_map, self.crs)
            return geometry.affine_points(to_pixel, geometry.from_lonlat(lonlat, crs))

        try:
            area_scene = shapely.transform(self._near(scene, frame), to_scene)
        except GroundResolutionError as error:
            raise OutsideError(f"{self.path}: expected an area near {scene.path}: {error}") from error
        area_scene = shapely.intersection(shapely.make_valid(area_scene), frame)
        if not area_scene.area > 0:
            raise OutsideError(
                f"{self.path}: expected an area that meets {scene.path}, got none of it: "
                "check the area, and the order of longitude and latitude"
            )
        return area_scene

    def _near(self, scene: Scene, frame: shapely.Polygon) -> BaseGeometry:
        """The polygons cut to a little more than the scene, with edges so short that any map keeps them."""
        outline = shapely.get_coordinates(shapely.segmentize(frame, max(scene.width, scene.height) / _PARTS))
        outline_map = geometry.from_lonlat(scene.to_lonlat(outline), self.crs)
        low, high = outline_map.min(axis=0), outline_map.max(axis=0)
        pad = (high - low).max() / 4
        near = shapely.intersection(self.polygons_map, shapely.box(*(low - pad), *(high + pad)))
        cut: BaseGeometry = shapely.segmentize(near, float(np.hypot(*(high - low))) / _PARTS)
        return cut


def read_aoi(path: str | Path) -> Aoi:
    """Read polygons from GeoJSON in longitude and latitude, or from GeoPackage or any vector file with a CRS.

    Raises:
        OptionError: if there is no such file, it holds no polygon, or nothing says where they lie.
    """
    import geopandas  # noqa: PLC0415 (a second that a scan without an area need not wait)
    import pyogrio  # noqa: PLC0415

    name = str(path)
    if not Path(path).is_file():
        raise OptionError(f"{name}: expected a file of polygons, got nothing there")
    try:
        layers = [str(layer) for layer, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) != 1:
            raise OptionError(f"{name}: expected a file with one layer of polygons, got {layers or 'none'}")
        frame = geopandas.read_file(path, layer=layers[0], engine="pyogrio")
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"{name}: expected GeoJSON or a GeoPackage of polygons ({reason})") from error
    polygons_map = _polygons(name, list(frame.geometry))
    if frame.crs is None:
        raise OptionError(f"{name}: expected polygons with a coordinate system, got none: save it with one")
    lonlat = frame.crs.to_epsg() == 4326 or frame.crs.to_string() == LONLAT
    reach = np.abs(shapely.get_coordinates(polygons_map)).max(axis=0)
    if lonlat and (reach > _LON_LAT_MOST).any():
        raise OptionError(
            f"{name}: expected longitude and latitude in degrees, got {reach[0]:.6g} and {reach[1]:.6g}: "
            "projected polygons are read from a GeoPackage"
        )
    return Aoi(name, polygons_map, LONLAT if lonlat else frame.crs.to_wkt())


def _polygons(name: str, shapes: list[BaseGeometry | None]) -> shapely.MultiPolygon:
    """Every polygon among shapes, also inside collections, as one valid area."""
    present = [shapely.force_2d(shape) for shape in shapes if shape is not None and not shape.is_empty]
    parts = shapely.get_parts(shapely.get_parts(np.array(present, dtype=object)))
    polygons = [part for part in parts if part.geom_type == "Polygon"]
    if not polygons:
        kinds = ", ".join(sorted({shape.geom_type for shape in present})) or "nothing"
        raise OptionError(f"{name}: expected polygons, got {kinds}")
    if not all(np.isfinite(shapely.get_coordinates(part)).all() for part in polygons):
        raise OptionError(f"{name}: expected finite coordinates, got some that are not")
    area = shapely.union_all(shapely.make_valid(np.array(polygons, dtype=object)))
    solid = [part for part in shapely.get_parts(area) if part.geom_type == "Polygon" and part.area > 0]
    if not solid:
        raise OptionError(f"{name}: expected polygons with an area, got lines or points only")
    return shapely.MultiPolygon(solid)


def touched(grid: Grid, area_scene: BaseGeometry) -> Iterator[Window]:
    """The windows whose own ground meets an area in scene pixels, row by row; an edge alone does not count.

    A window's own ground is `Grid.own`: every point of the area is shown by the window that comes.
    """
    area_grid = shapely.transform(area_scene, grid.to_grid)
    shapely.prepare(area_grid)
    windows = np.array(list(grid.windows()), dtype=object)
    own = np.array([_own(grid, window) for window in windows], dtype=object)
    meets = shapely.intersects(area_grid, own) & ~shapely.touches(area_grid, own)
    yield from windows[meets]


def _own(grid: Grid, window: Window) -> shapely.Polygon:
    rows, columns = grid.own(window)
    x, y = window.x, window.y
    ground: shapely.Polygon = shapely.box(x + columns.start, y + rows.start, x + columns.stop, y + rows.stop)
    return ground
