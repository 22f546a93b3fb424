"""The archive as a static STAC catalogue: its scenes and sites, and whether files still are what they were.

>>> catalog = Catalog.open("archive")
>>> [entry.id for entry in catalog.scenes() if "Camp 15" in entry.sites]
"""

from pithead.catalog.archive import Catalog
from pithead.catalog.entry import Entry, Identity, Site
from pithead.catalog.intake import Offer
from pithead.catalog.ledger import Taken
from pithead.catalog.places import read_sites, site_named
from pithead.catalog.state import State, renewed
from pithead.catalog.telling import facts_of, facts_sha256

__all__ = [
    "Catalog",
    "Entry",
    "Identity",
    "Offer",
    "Site",
    "State",
    "Taken",
    "facts_of",
    "facts_sha256",
    "read_sites",
    "renewed",
    "site_named",
]
