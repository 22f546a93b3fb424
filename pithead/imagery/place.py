"""Where an image lies: its size, and its pixels on the map. Nothing of it is read but its head."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS

from pithead import geometry
from pithead.errors import GroundResolutionError
from pithead.imagery.files import open_dataset

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """An image of (width, height) px; `crs` and `transform` (px to map) are None without georeference."""

    path: str
    width: int
    height: int
    crs: CRS | None
    transform: Affine | None

    def to_map(self, points_px: npt.ArrayLike) -> Floats:
        """Pixels, an array ending in 2, as map coordinates.

        Raises:
            GroundResolutionError: if the image has no georeference.
        """
        return geometry.affine_points(self._placed(), points_px)

    def from_map(self, points_map: npt.ArrayLike) -> Floats:
        """Map coordinates, an array ending in 2, as pixels.

        Raises:
            GroundResolutionError: if the image has no georeference.
        """
        return geometry.affine_points(~self._placed(), points_map)

    @property
    def footprint(self) -> Floats:
        """The corners (4, 2) of the image in its px."""
        return np.array([[0, 0], [self.width, 0], [self.width, self.height], [0, self.height]], np.float64)

    @property
    def crs_wkt(self) -> str:
        """The coordinate system as WKT.

        Raises:
            GroundResolutionError: if the image has no georeference.
        """
        self._placed()
        return str(self.crs.to_wkt()) if self.crs else ""

    def _placed(self) -> Affine:
        if self.transform is None:
            raise GroundResolutionError(
                f"{self.path}: labels on a map need an image with georeference; it has none: use JSONL for it"
            )
        return self.transform


def place_of(path: str | Path) -> Place:
    """Where an image lies.

    Raises:
        SceneError: missing or no image.
    """
    with open_dataset(str(path)) as dataset:
        crs = dataset.crs
        placed = bool(crs) and (crs.is_geographic or crs.is_projected)
        placed = placed and dataset.transform != Affine.identity()
        return Place(
            str(path),
            dataset.width,
            dataset.height,
            crs if placed else None,
            dataset.transform if placed else None,
        )
