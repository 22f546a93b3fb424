"""One scene of the archive, and one site."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pithead.errors import CatalogError
from pithead.footprint import Footprint

Identity = Literal["bytes", "stated", "fingerprint"]
"""What a sha256 is of: the bytes, which were read; the bytes, as another catalogue states; or no bytes at
all, but address, size and ETag of a remote file that was not fetched."""

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A scene as the catalogue knows it, checked when made."""

    id: str
    """The stem of its file and the first 12 digits of its sha256."""
    href: str
    """An absolute path, or the address of a remote scene, without keys."""
    sha256: str
    """Of what `identity` says."""
    bytes: int
    mtime_ns: int
    """0 of a remote scene."""
    width: int
    height: int
    crs: str | None
    """"EPSG:32652", or WKT2 where no authority has a number; None without georeference."""
    gsd_m: tuple[float, float]
    """Metres per pixel in x and y."""
    footprint: Footprint | None
    """The frame of the image; None without georeference."""
    acquired: datetime | None
    """UTC; None where nobody knows."""
    sensor: str | None
    off_nadir_deg: float | None
    sun_azimuth_deg: float | None
    sun_elevation_deg: float | None
    km2: float
    """The ground inside the frame, with whatever in it holds no data."""
    sites: tuple[str, ...]
    """Names of the sites that it shows or was taken in for, sorted."""
    changed: bool
    """Whether its file was found to hold other bytes since; these are then a scene of their own."""

    added: datetime
    """When it was taken in (UTC)."""
    identity: Identity = "bytes"
    transform: tuple[float, float, float, float, float, float] | None = None
    """Pixels to map, in the order of an affine transform; None without georeference."""
    incidence_deg: float | None = None
    cloud_percent: float | None = None
    level: str | None = None
    """The vendor's level of processing."""
    source: str | None = None
    """The name of the file that said when, by what and from where."""
    etag: str | None = None
    """What the server of a remote scene says of its version."""
    named_sites: tuple[str, ...] = ()
    """The sites that it was taken in for, as the user named them."""
    copies: tuple[str, ...] = ()
    """Other places where the same bytes were found, sorted."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a scene.

        Raises:
            CatalogError: A hash that is none, an empty image, half a georeference, or a time without zone.
        """
        if not _SHA256.fullmatch(self.sha256):
            raise CatalogError(f"{self.id}: expected a sha256 of 64 hexadecimal digits, got {self.sha256!r}")
        if not (self.id and self.href):
            raise CatalogError(f"expected a scene with an id and a place, got {self.id!r} at {self.href!r}")
        if self.width < 1 or self.height < 1 or self.bytes < 0:
            raise CatalogError(
                f"{self.id}: expected an image, got {self.width} × {self.height} px, {self.bytes} bytes"
            )
        (x, y), most = self.gsd_m, math.inf
        if not (0 < x < most and 0 < y < most and 0 < self.km2 < most):
            raise CatalogError(
                f"{self.id}: expected metres per pixel and km² above 0, got {self.gsd_m} and {self.km2}"
            )
        if (self.crs is None) != (self.footprint is None) or (self.crs is None) != (self.transform is None):
            raise CatalogError(
                f"{self.id}: expected CRS, transform and footprint, or none of them, got a part of them"
            )
        if self.added.tzinfo is None or (self.acquired is not None and self.acquired.tzinfo is None):
            raise CatalogError(
                f"{self.id}: expected times with their zone, got {self.acquired}, {self.added}"
            )

    @property
    def remote(self) -> bool:
        """Whether it lies behind an address."""
        return "://" in self.href

    @property
    def folder(self) -> str:
        """The part of the catalogue in which it stands: its year, or `undated`."""
        return UNDATED if self.acquired is None else f"{self.acquired.year:04d}"


UNDATED = "undated"


@dataclass(frozen=True, slots=True)
class Site:
    """A place of interest under its name; checked when made."""

    name: str
    aliases: tuple[str, ...] = ()
    polygon: Footprint | None = None
    """Longitude and latitude; None of a site of which only the name is known."""

    def __post_init__(self) -> None:
        """Refuse a site without a name.

        Raises:
            CatalogError: The name or an alias is empty.
        """
        if not all(name.strip() for name in (self.name, *self.aliases)):
            raise CatalogError(
                f"expected a site with a name, and aliases that are names, got {self.name!r} {self.aliases}"
            )
