"""Which scenes of an archive are meant."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import shapely

from pithead.aoi import Aoi
from pithead.catalog import Catalog, Entry, site_named
from pithead.errors import CatalogError


@dataclass(frozen=True, slots=True)
class Choice:
    """Which scenes of the archive are meant; all without a word."""

    site: str | None = None
    """The name or an alias of a site."""
    since: datetime | None = None
    """Taken then or later; a scene without a date is not."""
    area: Aoi | None = None
    """Scenes whose frame meets it."""
    limit: int | None = None
    """At most so many, the first by name that are still to be scored."""

    @property
    def everything(self) -> bool:
        """Whether every scene is meant."""
        return self == Choice()


def chosen(catalog: Catalog, choice: Choice) -> Iterator[Entry]:
    """The scenes that are meant, by id, also those whose file has changed since; the limit is not looked at.

    Raises:
        CatalogError: The archive has no such site.
    """
    site = None if choice.site is None else name_of(catalog, choice.site)
    area = None if choice.area is None else choice.area.lonlat
    for entry in catalog.scenes():
        if site is not None and site not in entry.sites:
            continue
        if choice.since is not None and (entry.acquired is None or entry.acquired < choice.since):
            continue
        if area is not None and (entry.footprint is None or not shapely.intersects(area, entry.footprint)):
            continue
        yield entry


def name_of(catalog: Catalog, text: str) -> str:
    """The name of the site that is meant by a name or an alias.

    Raises:
        CatalogError: The archive has no such site.
    """
    sites = catalog.sites()
    found = site_named(sites, text)
    if found is None:
        known = ", ".join(sorted(site.name for site in sites)) or "none"
        raise CatalogError(f"expected a site of the archive ({known}), got {text!r}")
    return found.name
