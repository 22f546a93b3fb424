"""One image of this machine that is shown, opened as often as threads need it and measured once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from affine import Affine

from pithead import geometry
from pithead.errors import PitheadError, SceneError
from pithead.files import sha256_of
from pithead.footprint import outline_px
from pithead.geometry import Floats
from pithead.imagery import Scene, open_scene, parse_stretch
from pithead.server.screen import MERCATOR

_KEPT: Final = 128


@dataclass(frozen=True, slots=True)
class Plate:
    """An image, and how it is looked at."""

    path: str
    gsd_m: float | None = None
    """Metres per pixel, of one without georeference."""
    stretch: str | None = None
    """The rule that its run was asked for, as in `parse_stretch`."""
    bytes: int | None = None
    """The size that its file has, if that is known; another size is another image."""
    mtime_ns: int | None = None
    sha256: str | None = None
    """What its bytes are, if that is known: they are looked at where time and size leave a doubt."""

    @contextmanager
    def opened(self) -> Iterator[Scene]:
        """The image, open for one thread as long as the block lasts.

        Raises:
            SceneError: It is gone, another, or cannot be read, in the block too; the message names no path.
        """
        try:
            found = Path(self.path).stat()
        except OSError as error:
            raise SceneError(
                "expected the file of the scene where it was taken in, it is not there"
            ) from error
        stamp = found.st_size, found.st_mtime_ns
        if not _same(self, stamp):
            raise SceneError(
                "expected the file of the scene as it was taken in, it holds other bytes: take it in again"
            )
        try:
            with _measured(self.path, self.gsd_m, self.stretch, stamp).again() as scene:
                yield scene
        except PitheadError as error:
            raise SceneError("expected a scene that can be read, its file is damaged or no image") from error

    @property
    def key(self) -> str:
        """A name for what is made of it, the same as long as its file is."""
        found = Path(self.path).stat()
        told = f"{self.path}\n{found.st_size}\n{found.st_mtime_ns}\n{self.gsd_m}\n{self.stretch}"
        return sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pixels of an image are shown: in its own CRS, or at 0, 0 of Web Mercator if it has none."""

    transform: Affine
    crs: Any
    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of(cls, scene: Scene) -> "Place":
        """The place of an open or closed scene."""
        placed = scene.crs is not None and scene.transform is not None
        crs: Any = scene.crs if placed else MERCATOR
        transform = scene.transform if scene.transform is not None and placed else _at_zero(scene.gsd_m)
        ring = geometry.to_lonlat(
            geometry.affine_points(transform, outline_px(scene.width, scene.height)), crs
        )
        if np.ptp(ring[:, 0]) > 180:  # across the antimeridian: anywhere along these latitudes
            return cls(transform, crs, -180.0, float(ring[:, 1].min()), 180.0, float(ring[:, 1].max()))
        (west, south), (east, north) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
        return cls(transform, crs, west, south, east, north)

    def to_px(self, points_lonlat: Floats) -> Floats:
        """Longitude and latitude, an array ending in 2, as pixels of the image."""
        return geometry.affine_points(~self.transform, geometry.from_lonlat(points_lonlat, self.crs))


def _at_zero(gsd_m: tuple[float, float]) -> Affine:
    return Affine(gsd_m[0], 0, 0, 0, -gsd_m[1], 0)


def _same(plate: Plate, stamp: tuple[int, int]) -> bool:
    """Whether a file is the one that is meant; if it was only touched its bytes say it."""
    if plate.bytes is None or stamp == (plate.bytes, plate.mtime_ns):
        return True
    return stamp[0] == plate.bytes and plate.sha256 == _hash(plate.path, stamp)


@lru_cache(_KEPT)
def _hash(path: str, stamp: tuple[int, int]) -> str:  # noqa: ARG001 (of a file of this size and time)
    return sha256_of(Path(path))


@lru_cache(_KEPT)
def _measured(path: str, gsd_m: float | None, stretch: str | None, stamp: tuple[int, int]) -> Scene:  # noqa: ARG001
    """A scene with its bands and stretch, closed: to find them is dear, to open it again is not."""
    with open_scene(path, gsd_m=gsd_m, stretch=None if stretch is None else parse_stretch(stretch)) as scene:
        return scene


def shrink_of(size: tuple[int, int], most: int) -> float:
    """By how much an image is shrunk so that its long side has at most so many pixels."""
    return max(1.0, max(size) / most)


def pixels_of(length: float, shrink: float) -> int:
    """How many pixels so many source pixels give when they are shrunk."""
    return max(1, math.ceil(length / shrink))
