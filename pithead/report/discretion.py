"""What of a site may be told: all of it, or what does not say precisely where it is or who reviewed it.

A coarsened dossier has its coordinates from a grid of so many km: the middle of the cell in which the site
lies, for everything in it. So two dossiers of a site do not narrow it down, as rounding each thing would.
Times are told to the day, since the minute and the sensor name an image in the vendors' catalogues. Names of
scenes are the names of files, which often hold coordinates, so the first digits of their sha256 stand for
them; the name of a site stands as it is unless it holds a number that may be a coordinate.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.errors import OptionError
from pithead.sites import View

GRAIN_M = 50.0
"""Of pictures and maps that are made for publication: nothing finer is left."""
LEAST_KM, MOST_KM = 0.5, 500.0
_KM_PER_DEGREE = 111.195
_COORDINATE = re.compile(r"\d[.,]\d{2,}|\d\s*°|\d{2,3}\s*[nsewNSEW]\b|\b[nsewNSEW]\s?\d{2,3}|\d{5,}")


@dataclass(frozen=True, slots=True)
class Discretion:
    """How much is told.

    Raises:
        OptionError: The grid is finer than 0.5 km or coarser than 500 km.
    """

    coarsen_km: float | None = None
    redact: bool = False

    def __post_init__(self) -> None:
        """Check the grid."""
        if self.coarsen_km is not None and not LEAST_KM <= self.coarsen_km <= MOST_KM:
            raise OptionError(
                f"expected --coarsen-km from {LEAST_KM:g} to {MOST_KM:g}, got {self.coarsen_km:g}: a finer "
                "grid hides nothing"
            )

    @property
    def coarse(self) -> bool:
        """Whether places are rounded."""
        return self.coarsen_km is not None

    def place(self, lon: float, lat: float) -> tuple[float, float]:
        """Longitude and latitude as they are told: to a metre, or the middle of their cell of the grid.

        A grid of 111.195 km has cells of 1° from the equator on: latitude 39.4 is told as 39.5.
        """
        if self.coarsen_km is None:
            return round(lon, 5), round(lat, 5)
        step = self.coarsen_km / _KM_PER_DEGREE
        told_lat = min((math.floor(lat / step) + 0.5) * step, 90.0)
        # Narrower towards the poles, by the latitude of the cell: that of the site would tell of it.
        wide = min(step / max(math.cos(math.radians(told_lat)), 1e-3), 360.0)
        told_lon = (math.floor(lon / wide) + 0.5) * wide
        digits = max(0, math.ceil(-math.log10(step / 20)))  # else rounding would leave the cell
        return round(min(told_lon, 180.0), digits), round(told_lat, digits)

    def scene(self, scene: str) -> str:
        """The name of a scene (its file's, and 12 digits of its sha256), or these digits alone."""
        return scene[-12:] if self.coarse else scene

    def text(self, text: str, scenes: Iterable[str]) -> str:
        """A text with the names of these scenes as they are told."""
        for scene in sorted(scenes, key=len, reverse=True):
            text = text.replace(scene, self.scene(scene))
        return text

    def site(self, name: str, number: int) -> str:
        """The name of a site; one that holds coordinates is told by its number in the archive."""
        return f"Site {number}" if self.coarse and _COORDINATE.search(name) else name

    def when(self, view: View) -> str:
        """When a scene was taken, ISO 8601: to the minute, or to the day."""
        return (
            view.acquired.date().isoformat() if self.coarse else view.acquired.isoformat(timespec="minutes")
        )

    def person(self, name: str | None, left_out: str) -> str | None:
        """The name of a person, or what stands for it."""
        return left_out if self.redact and name else name

    def drawn(self, shape: BaseGeometry) -> BaseGeometry:
        """A shape (frame) as it is drawn: as it is, or a circle or line on a grid of `GRAIN_M`."""
        if not self.coarse or shape.is_empty:
            return shape
        if shape.area == 0:
            thinned = shapely.simplify(shape, GRAIN_M)
            return shapely.transform(thinned, lambda points: np.round(points / GRAIN_M) * GRAIN_M)
        middle = shape.centroid
        spot = shapely.Point(*(round(one / GRAIN_M) * GRAIN_M for one in (middle.x, middle.y)))
        radius = max(round(math.sqrt(shape.area / math.pi) / 10) * 10, 10)
        return spot.buffer(radius, quad_segs=6)
