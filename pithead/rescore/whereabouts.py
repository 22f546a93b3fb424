"""At which site things are, as the catalogue has it now: sites may have changed since scenes were scored."""

from collections.abc import Mapping
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.catalog import Catalog, Entry, Site


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The scenes of an archive by sha256, and its sites by name."""

    entries: Mapping[str, Entry]
    sites: Mapping[str, Site]

    @classmethod
    def of(cls, catalog: Catalog) -> "Whereabouts":
        """Those of a catalogue, as it is now."""
        return cls({one.sha256: one for one in catalog.scenes()}, {one.name: one for one in catalog.sites()})

    def placed(self, rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Rows of a store, each with the site that it is at now.

        One of a scene that the catalogue does not know, or knows no site of, keeps the one it has.
        """
        given = zip(rows.geometry, rows["scene_sha256"], rows["site"], strict=True)
        now = [self._site(shape, sha, was) for shape, sha, was in given]
        return rows.assign(site=pd.Series(now, index=rows.index, dtype=object))

    def _site(self, shape: BaseGeometry, scene_sha256: str, was: str | None) -> str | None:
        entry = self.entries.get(scene_sha256)
        return was if entry is None or not entry.sites else site_of(shape, entry, self.sites)


def site_of(shape: BaseGeometry, entry: Entry, sites: Mapping[str, Site]) -> str | None:
    """The site of a scene in which most of a shape (longitude, latitude) lies, the first by name if alike.

    Where the scene has a single site without a polygon, everything in it is of that site.
    """
    known = [sites[name] for name in entry.sites if name in sites]
    places = sorted(((s.name, s.polygon) for s in known if s.polygon is not None), key=lambda pair: pair[0])
    if not places:
        return entry.sites[0] if len(entry.sites) == 1 else None
    inside = [shapely.intersection(shape, polygon) for _, polygon in places]
    shares = [shapely.area(part) or shapely.length(part) for part in inside]
    most = max(shares)
    return places[shares.index(most)][0] if most > 0 else None
