"""Sites: polygons under a name and its aliases, and which of them a scene shows."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from pithead.catalog.entry import Entry, Site
from pithead.errors import CatalogError
from pithead.files import sha256_of
from pithead.footprint import Footprint

SITES = "sites.geojson"
_MOST = (180.0, 90.0)


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites of an archive; no name or alias is that of two."""

    sites: tuple[Site, ...]

    def __post_init__(self) -> None:
        """Refuse names that are not clear.

        Raises:
            CatalogError: Two sites share a name or alias, as `site_named` compares them.
        """
        owner: dict[str, str] = {}
        for site in self.sites:
            for name in (site.name, *site.aliases):
                other = owner.setdefault(_key(name), site.name)
                if other != site.name:
                    raise CatalogError(
                        f"expected names of one site each, got {name!r} for {other!r} and {site.name!r}"
                    )
        names = [site.name for site in self.sites]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CatalogError(
                f"expected one feature a site, got several of {', '.join(twice)}: "
                "make one MultiPolygon of them"
            )

    def _names(self) -> dict[str, str]:
        return {_key(name): site.name for site in self.sites for name in (site.name, *site.aliases)}

    def assign(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """The entries with the sites that they share ground with, and those that they were taken in for."""
        names = self._names()
        found = [{names.get(_key(n), n.strip()) for n in entry.named_sites} for entry in entries]
        placed = [site for site in self.sites if site.polygon is not None]
        if placed and entries:
            polygons = np.array([site.polygon for site in placed], dtype=object)
            footprints = np.array([entry.footprint for entry in entries], dtype=object)
            rows, columns = shapely.STRtree(polygons).query(footprints, predicate="intersects")
            shared = ~shapely.touches(footprints[rows], polygons[columns])
            for row, column in zip(rows[shared].tolist(), columns[shared].tolist(), strict=True):
                found[row].add(placed[column].name)
        told = [tuple(sorted(sites)) for sites in found]
        return tuple(
            entry if entry.sites == sites else replace(entry, sites=sites)
            for entry, sites in zip(entries, told, strict=True)
        )

    def with_names(self, names: Iterable[str]) -> tuple[Site, ...]:
        """Every site, and one without polygon for each name that none has, sorted by name."""
        known = {site.name for site in self.sites}
        more = {name for name in names if name not in known}
        return tuple(sorted((*self.sites, *map(Site, more)), key=lambda site: site.name))


def site_named(sites: Iterable[Site], text: str) -> Site | None:
    """The site that goes by a name or an alias, or None.

    Capitals, spaces of whatever width or number, and full-width forms of letters and digits make no
    difference; where they would be the only one, the name as it is typed comes first.
    """
    found: dict[str, Site] = {}
    for site in sites:
        if site.name == text:
            return site
        for name in (site.name, *site.aliases):
            found.setdefault(_key(name), site)
    return found.get(_key(text))


def site_meant(sites: Iterable[Site], text: str) -> Site:
    """The site that goes by a name or an alias; else a new one of that name, in NFC and with single spaces.

    Raises:
        CatalogError: The name is empty.
    """
    return site_named(sites, text) or Site(" ".join(unicodedata.normalize("NFC", text).split()))


def named_for(entry: Entry, site: Site) -> Entry:
    """The entry as one that was taken in for a site; the same if it was before, by whatever of its names."""
    keys = {_key(name) for name in (site.name, *site.aliases)}
    if any(_key(name) in keys for name in entry.named_sites):
        return entry
    return replace(entry, named_sites=tuple(sorted({*entry.named_sites, site.name})))


def misses(entry: Entry, site: Site) -> bool:
    """Whether it is known where a scene and a site lie, and they share no ground."""
    if entry.footprint is None or site.polygon is None:
        return False
    shared = shapely.intersects(entry.footprint, site.polygon)
    return not shared or bool(shapely.touches(entry.footprint, site.polygon))


def read_sites(path: Path) -> Sites:
    """The sites of a GeoJSON file, a FeatureCollection or one Feature.

    Each feature is a site. Its geometry is a Polygon or MultiPolygon in longitude and latitude, or null where
    only the name is known. Of its properties `name` is a text and needed; `aliases`, a list of texts or one
    text, may be missing; others are passed over:

        {"type": "Feature", "properties": {"name": "Camp 15", "aliases": ["Yodok"]}, "geometry": …}

    Raises:
        CatalogError: There is no such file, or a feature is no site.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CatalogError(
            f"{path}: expected a GeoJSON file of sites, got: {error.strerror}; check its name"
        ) from error
    try:
        document = json.loads(content.decode("utf-8"))
        features = document["features"] if document["type"] == "FeatureCollection" else [document]
        return Sites(tuple(_site(path, number, feature) for number, feature in enumerate(features, start=1)))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CatalogError(
            f"{path}: expected GeoJSON, got another text ({error}): save it as GeoJSON (RFC 7946)"
        ) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise CatalogError(
            f"{path}: expected GeoJSON features, polygons with the properties name and aliases, got other "
            "JSON: save it as GeoJSON (RFC 7946)"
        ) from error


def sites_of(folder: Path) -> tuple[Sites, str]:
    """The sites of an archive, which may have none, and a hash of what says so.

    Raises:
        CatalogError: Its file of sites is malformed.
    """
    path = folder / SITES
    if not path.exists():
        return Sites(()), "none"
    return read_sites(path), sha256_of(path)


def _site(path: Path, number: int, feature: Mapping[str, Any]) -> Site:
    properties = feature.get("properties") or {}
    name, aliases = properties.get("name"), properties.get("aliases") or []
    aliases = [aliases] if isinstance(aliases, str) else aliases
    texts = isinstance(aliases, list) and all(isinstance(alias, str) for alias in aliases)
    if not isinstance(name, str) or not name.strip() or not texts:
        raise CatalogError(
            f"{path}, feature {number}: expected a property name and perhaps a list aliases, "
            f"got name {name!r} and aliases {aliases!r}"
        )
    geometry = feature.get("geometry")
    polygon = None if geometry is None else _polygon(f"{path}, site {name}", geometry)
    return Site(name.strip(), tuple(alias.strip() for alias in aliases), polygon)


def _polygon(where: str, geometry: Mapping[str, Any]) -> Footprint:
    try:
        shape = shapely.force_2d(shapely.from_geojson(json.dumps(geometry)))
    except shapely.errors.GEOSException as error:
        raise CatalogError(f"{where}: expected a polygon, got none that can be read ({error})") from error
    if shape.geom_type not in {"Polygon", "MultiPolygon"} or shape.is_empty:
        raise CatalogError(f"{where}: expected a polygon, got {shape.geom_type}; draw its outline")
    reach = np.abs(shapely.get_coordinates(shape)).max(axis=0)
    if not (reach <= _MOST).all():
        raise CatalogError(
            f"{where}: expected longitude and latitude in degrees, got {reach[0]:g} and {reach[1]:g}"
        )
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
    solid = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    if not solid:
        raise CatalogError(f"{where}: expected a polygon with an area, got none")
    return solid[0] if len(solid) == 1 else shapely.MultiPolygon(solid)


def _key(name: str) -> str:
    """What of a name tells it from others."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
