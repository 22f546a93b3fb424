"""A scene: one image, its place on the ground, and its pixels by window."""

import math
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from pithead import geometry
from pithead.dates import parse_time
from pithead.errors import GroundResolutionError, OptionError, PitheadError
from pithead.geometry import Floats, Window
from pithead.imagery.bands import Bands, read_valid
from pithead.imagery.files import READ_ERRORS, Levels, check_whole, open_dataset, told_name, unreadable
from pithead.imagery.resample import Axis, resample
from pithead.imagery.sample import every_sample, find_stretch, look_for_bands, read_raw
from pithead.imagery.stretch import Stretch, StretchRule, look_up

_NEAR = 1e-6
_STRIP_PX = 2_000_000  # source pixels resampled at a time


@dataclass(frozen=True, slots=True)
class Pixels:
    """A window of a scene as 8-bit RGB, ``data`` (H, W, 3); ``valid`` (H, W) is True where there is data."""

    data: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.bool_]
    transform: Affine | None
    crs: CRS | None
    gsd_m: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """One open image. Made by ``open_scene``, closed by ``with``; not to be shared between threads."""

    path: str
    width: int
    height: int
    crs: CRS | None
    transform: Affine | None
    gsd_m: tuple[float, float]
    dtype: str
    stretch: Stretch | None
    _bands: Bands = field(repr=False)
    _tables: npt.NDArray[np.uint8] | None = field(repr=False)
    _levels: Levels = field(repr=False)

    def __enter__(self) -> Self:
        """The scene itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every file."""
        self.close()

    def close(self) -> None:
        """Close every file; a closed scene still knows its facts."""
        self._levels.close()

    def again(self) -> "Scene":
        """The same scene opened once more, for another thread; nothing is measured anew.

        Raises:
            SceneError: if the file is gone.
        """
        return replace(self, _levels=Levels(self.path, open_dataset(self.path)))

    @property
    def bands(self) -> tuple[int, int, int]:
        """The bands of the file, from 1, that are read as red, green and blue."""
        return self._bands.rgb

    @property
    def alpha(self) -> int | None:
        """The band of the file, from 1, that masks valid pixels; None if a band so tagged is no mask."""
        return self._bands.alpha

    @property
    def told(self) -> str:
        """The path as it may stand in a record."""
        return told_name(self.path)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of this machine that the scene is made of: itself, sources of a VRT, sidecars."""
        return tuple(sorted(path for path in self._levels.full.files if Path(path).is_file()))

    @property
    def acquired(self) -> datetime | None:
        """When it was taken (UTC), if its IMAGERY metadata say so; the date of the file is that of no image.

        Source: the IMAGERY metadata domain of GDAL's raster data model, ACQUISITIONDATETIME.
        """
        return parse_time(self._levels.full.tags(ns="IMAGERY").get("ACQUISITIONDATETIME"))

    # --- pixels

    def read(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Pixels:
        """The rectangle from (x0, y0) to (x1, y1) in scene pixels, as width × height pixels.

        What lies outside the scene is black and not valid.

        Raises:
            OptionError: if the rectangle or the output is empty.
            SceneError: if the file is damaged there.
        """
        if not (x1 > x0 and y1 > y0 and width > 0 and height > 0):
            raise OptionError(
                f"expected a rectangle with a size, got {x0, y0, x1, y1} as {width} × {height} px"
            )
        scale_x, scale_y = width / (x1 - x0), height / (y1 - y0)
        return self._read(_snap(x0 * scale_x), _snap(y0 * scale_y), width, height, scale_x, scale_y)

    def read_window(self, window: Window, scale_x: float = 1.0, scale_y: float = 1.0) -> Pixels:
        """A window of the scene enlarged by scale_x and scale_y; two windows agree where they overlap.

        Raises:
            SceneError: if the file is damaged there.
        """
        return self._read(window.x, window.y, window.width, window.height, scale_x, scale_y)

    def has_valid(self) -> bool:
        """Whether any pixel holds data; reads masks only, and stops at the first."""
        full = self._levels.full
        try:
            return any(
                read_valid(full, self._bands, window, shape).any() for window, shape in every_sample(full)
            )
        except READ_ERRORS as error:
            raise unreadable(self.path, error) from error

    def _read(self, x: float, y: float, width: int, height: int, scale_x: float, scale_y: float) -> Pixels:
        data = np.zeros((height, width, 3), dtype=np.uint8)
        valid = np.zeros((height, width), dtype=np.bool_)
        dataset = self._levels.at(min(1 / scale_x, 1 / scale_y))
        level_x, level_y = scale_x * self.width / dataset.width, scale_y * self.height / dataset.height
        if level_x == level_y == 1 and float(x).is_integer() and float(y).is_integer():
            left, top = max(0, int(x)), max(0, int(y))
            right, bottom = min(dataset.width, int(x) + width), min(dataset.height, int(y) + height)
            if right > left and bottom > top:
                place = slice(top - int(y), bottom - int(y)), slice(left - int(x), right - int(x))
                planes, valid[place] = self._source(dataset, left, top, right, bottom)
                for band, plane in enumerate(planes):  # four times as fast as moving the axis
                    data[(*place, band)] = plane
            return self._pixels(data, valid, x, y, scale_x, scale_y)
        # In strips of rows, so that a scene ten times finer than the model does not fill the memory.
        strip = max(1, int(_STRIP_PX * level_x * level_y / width))
        across = Axis.of(x, width, level_x, dataset.width)
        for start in range(0, height, strip):
            rows = slice(start, min(start + strip, height))
            down = Axis.of(y + start, rows.stop - start, level_y, dataset.height)
            if across is not None and down is not None:
                source = self._source(dataset, across.start, down.start, across.stop, down.stop)
                data[rows], valid[rows] = resample(*source, across, down)
        return self._pixels(data, valid, x, y, scale_x, scale_y)

    def _pixels(
        self,
        data: npt.NDArray[np.uint8],
        valid: npt.NDArray[np.bool_],
        x: float,
        y: float,
        scale_x: float,
        scale_y: float,
    ) -> Pixels:
        to_scene = Affine.scale(1 / scale_x, 1 / scale_y) @ Affine.translation(x, y)
        transform = None if self.transform is None else self.transform @ to_scene
        gsd = self.gsd_m[0] / scale_x, self.gsd_m[1] / scale_y
        return Pixels(data, valid, transform, self.crs, gsd)

    def _source(
        self, dataset: DatasetReader, left: int, top: int, right: int, bottom: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Pixels of one level of the file as 8-bit RGB (3, h, w), black where not valid (h, w)."""
        window = RasterWindow(left, top, right - left, bottom - top)
        shape = bottom - top, right - left
        try:
            raw, valid = read_raw(dataset, self._bands, window, shape)
        except READ_ERRORS as error:
            raise unreadable(self.path, error) from error
        if self._tables is not None:
            planes = look_up(self._tables, raw)
        elif self.stretch is not None:
            planes = self.stretch.apply(raw)
        else:
            planes = np.asarray(raw, dtype=np.uint8)
        if not valid.all():
            planes = np.where(valid, planes, np.uint8(0))
        return planes, valid

    # --- ground

    def to_map(self, points_scene: npt.ArrayLike) -> Floats:
        """Scene pixels, an array ending in 2, as map coordinates; without georeference in metres, y down."""
        return geometry.affine_points(self.transform or Affine.scale(*self.gsd_m), points_scene)

    def to_lonlat(self, points_scene: npt.ArrayLike) -> Floats:
        """Scene pixels, an array ending in 2, as longitude and latitude in degrees.

        Raises:
            GroundResolutionError: if the scene has no georeference.
        """
        if self.crs is None:
            raise GroundResolutionError(f"{self.path}: has no georeference, so no longitude and latitude")
        return geometry.to_lonlat(self.to_map(points_scene), self.crs)

    def area_m2(self, polygon_scene: npt.ArrayLike) -> float:
        """The area on the ground of a polygon (M, 2) in scene pixels."""
        points = self.to_map(polygon_scene)
        if self.crs is not None:
            return geometry.ground_area_m2(points, self.crs)
        after = np.roll(points, -1, axis=0)
        return abs(float(np.sum(points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]))) / 2

    def length_m(self, line_scene: npt.ArrayLike) -> float:
        """The length on the ground of an open line (M, 2) in scene pixels."""
        points = self.to_map(line_scene)
        if self.crs is not None:
            return geometry.ground_length_m(points, self.crs)
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())

    def sides_m(self, corners_scene: npt.ArrayLike) -> Floats:
        """The two sides of each box on the ground, corners (N, 4, 2) in scene pixels to metres (N, 2)."""
        corners = self.to_map(np.asarray(corners_scene, dtype=np.float64).reshape(-1, 4, 2))
        if self.crs is not None:
            return geometry.ground_sides_m(corners, self.crs)
        return np.asarray(np.linalg.norm(corners[:, 1:3] - corners[:, 0:2], axis=-1))


def open_scene(
    path: str | Path,
    *,
    gsd_m: float | None = None,
    stretch: Stretch | StretchRule | None = None,
    bands: tuple[int, ...] | None = None,
) -> Scene:
    """Open an image of any format, CRS and number type that GDAL reads.

    Args:
        path: a file, an address by https:// or s3://, or one of GDAL's virtual paths.
        gsd_m: metres per pixel, for a scene without georeference; one with a georeference goes by that.
        stretch: the values to stretch to 8 bits, or how to find them; without it the 2nd and 98th percentile,
            and 8 bits as they are.
        bands: the bands to be read as red, green and blue, or the one for all three, from 1; without it the
            file says which.

    Raises:
        SceneError: if it is missing, truncated, no image, or its colours are unknown.
        GroundResolutionError: if neither the georeference nor ``gsd_m`` gives the ground resolution.
        OptionError: if ``gsd_m`` is not above 0, the file has no such bands, or the stretch does not fit it.
    """
    if gsd_m is not None and not (math.isfinite(gsd_m) and gsd_m > 0):
        raise OptionError(f"expected a ground resolution above 0 metres per pixel, got {gsd_m}")
    name = str(path)
    with ExitStack() as undo:
        dataset = undo.enter_context(open_dataset(name))
        check_whole(dataset, name)
        transform, crs, gsd = _place(dataset, name, gsd_m)
        try:
            found = look_for_bands(dataset, name, bands)
            values = find_stretch(dataset, name, found, stretch)
        except READ_ERRORS as error:
            raise error if isinstance(error, PitheadError) else unreadable(name, error) from error
        undo.pop_all()
    return Scene(
        path=name, width=dataset.width, height=dataset.height, crs=crs, transform=transform, gsd_m=gsd,
        _bands=found, dtype=dataset.dtypes[found.rgb[0] - 1], stretch=values,
        _tables=_tables(dataset, found, values),
        _levels=Levels(name, dataset),
    )  # fmt: skip


def _place(
    dataset: DatasetReader, path: str, gsd_m: float | None
) -> tuple[Affine | None, CRS | None, tuple[float, float]]:
    """Transform, CRS and metres per pixel: all from the georeference, or none but the last from ``gsd_m``."""
    crs = dataset.crs
    if crs and (crs.is_geographic or crs.is_projected) and dataset.transform != Affine.identity():
        try:
            return (
                dataset.transform,
                crs,
                geometry.gsd_m(dataset.transform, crs, dataset.width, dataset.height),
            )
        except GroundResolutionError as error:
            raise GroundResolutionError(f"{path}: {error}") from error
    if gsd_m is None:
        raise GroundResolutionError(
            f"{path}: expected a georeference, got none: give the metres per pixel with --gsd"
        )
    return None, None, (gsd_m, gsd_m)


def _tables(dataset: DatasetReader, bands: Bands, stretch: Stretch | None) -> npt.NDArray[np.uint8] | None:
    """What turns stored values into 8 bits by look-up, where that is possible."""
    if bands.palette:
        colours = np.zeros((3, 65_536), dtype=np.uint8)
        for value, rgba in dataset.colormap(1).items():
            colours[:, value] = rgba[:3]
        return colours
    return None if stretch is None else stretch.tables(np.dtype(dataset.dtypes[bands.rgb[0] - 1]))


def _snap(position: float) -> float:
    nearest = round(position)
    return nearest if abs(position - nearest) < _NEAR else position
