"""An entry as a STAC Item, and back: nothing of the one is lost in the other."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pystac
import shapely
from pystac.extensions.eo import EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.view import ViewExtension

from pithead import __version__
from pithead.catalog.entry import Entry
from pithead.errors import CatalogError
from pithead.footprint import Footprint, bbox_of
from pithead.imagery import told_name
from pithead.stac import FIRST_IMAGE, PROCESSING

ASSET = "scene"
MULTIHASH_SHA256 = "1220"  # what comes is sha256, of 32 bytes (multiformats.io/multihash)
_FINGERPRINT = "pithead:fingerprint"  # no hash of content, and not called one
MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".jp2": "image/jp2",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_VIEW = {
    "off_nadir": "off_nadir_deg",
    "incidence_angle": "incidence_deg",
    "sun_azimuth": "sun_azimuth_deg",
    "sun_elevation": "sun_elevation_deg",
}


def item_of(entry: Entry) -> dict[str, Any]:
    """The Item (STAC 1.1) of an entry, as it lies in a folder of its own two below the catalogue.

    The sites that its footprint meets are not part of it: they follow from `sites.geojson` whenever they are
    asked for.
    """
    footprint = entry.footprint
    unknown = entry.acquired is None
    item = pystac.Item(
        id=entry.id,
        geometry=None if footprint is None else json.loads(shapely.to_geojson(footprint)),
        bbox=None if footprint is None else bbox_of(footprint),
        datetime=entry.acquired,
        start_datetime=FIRST_IMAGE if unknown else None,
        end_datetime=entry.added if unknown else None,
        properties=_properties(entry),
        stac_extensions=[PROCESSING],
    )
    _extend(item, entry)
    asset = pystac.Asset(
        entry.href, media_type=MEDIA_TYPES.get(_ending(entry.href)), roles=["data"], extra_fields=_file(entry)
    )
    item.add_asset(ASSET, asset)
    content = entry.identity != "fingerprint"
    FileExtension.ext(asset, add_if_missing=True).apply(
        size=entry.bytes, checksum=MULTIHASH_SHA256 + entry.sha256 if content else None
    )
    links = {"root": "../../catalog.json", "parent": "../catalog.json"}
    document = item.to_dict(include_self_link=False)
    document["links"] = [
        {"rel": rel, "href": href, "type": "application/json"} for rel, href in links.items()
    ]
    return document


def _properties(entry: Entry) -> dict[str, Any]:
    told = {
        "created": pystac.utils.datetime_to_str(entry.added),
        "gsd": round(max(entry.gsd_m), 4),
        "platform": entry.sensor,
        "processing:software": {"pithead": __version__},
        "processing:level": entry.level,
        "pithead:gsd_m": list(entry.gsd_m),
        "pithead:km2": entry.km2,
        "pithead:size_px": [entry.width, entry.height],
        "pithead:changed": entry.changed or None,
        "pithead:named_sites": list(entry.named_sites) or None,
        "pithead:source": entry.source,
    }
    return {name: value for name, value in told.items() if value is not None}


def _file(entry: Entry) -> dict[str, Any]:
    told = {
        _FINGERPRINT if entry.identity == "fingerprint" else "pithead:sha256": entry.sha256,
        "pithead:identity": entry.identity,
        "pithead:mtime_ns": entry.mtime_ns or None,
        "pithead:etag": entry.etag,
        "pithead:copies": list(entry.copies) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _extend(item: pystac.Item, entry: Entry) -> None:
    if entry.crs is not None and entry.transform is not None:
        numbered = not entry.crs.endswith("]")
        ProjectionExtension.ext(item, add_if_missing=True).apply(
            code=entry.crs if numbered else None,
            wkt2=None if numbered else entry.crs,
            shape=[entry.height, entry.width],
            transform=list(entry.transform),
        )
    angles = {key: getattr(entry, name) for key, name in _VIEW.items()}
    if any(value is not None for value in angles.values()):
        ViewExtension.ext(item, add_if_missing=True).apply(**angles)
    if entry.cloud_percent is not None:
        EOExtension.ext(item, add_if_missing=True).apply(cloud_cover=entry.cloud_percent)


def entry_of(document: Mapping[str, Any]) -> Entry:
    """The entry that an Item of this catalogue tells of; its sites are those that it was taken in for.

    Raises:
        CatalogError: It is no such Item.
    """
    try:
        name, properties, asset = document["id"], document["properties"], document["assets"][ASSET]
        width, height = properties["pithead:size_px"]
        gsd_x, gsd_y = properties["pithead:gsd_m"]
        transform = properties.get("proj:transform")
        named = tuple(properties.get("pithead:named_sites", ()))
        return Entry(
            id=name,
            href=asset["href"],
            sha256=asset.get(_FINGERPRINT) or asset["pithead:sha256"],
            bytes=asset["file:size"],
            mtime_ns=asset.get("pithead:mtime_ns", 0),
            width=width,
            height=height,
            crs=properties.get("proj:code") or properties.get("proj:wkt2"),
            gsd_m=(gsd_x, gsd_y),
            footprint=_outline(document["geometry"]),
            acquired=_utc(properties["datetime"]),
            sensor=properties.get("platform"),
            sites=named,
            changed=properties.get("pithead:changed", False),
            km2=properties["pithead:km2"],
            added=datetime.fromisoformat(properties["created"]).astimezone(UTC),
            identity=asset["pithead:identity"],
            transform=None if transform is None else tuple(transform),
            cloud_percent=properties.get("eo:cloud_cover"),
            level=properties.get("processing:level"),
            source=properties.get("pithead:source"),
            etag=asset.get("pithead:etag"),
            named_sites=named,
            copies=tuple(asset.get("pithead:copies", ())),
            **{name: properties.get(f"view:{key}") for key, name in _VIEW.items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(
            f"expected an Item as pithead writes it, got one without or with another {error}: put it back"
        ) from error


def _outline(geometry: dict[str, Any] | None) -> Footprint | None:
    if geometry is None:
        return None
    outline = shapely.geometry.shape(geometry)
    if not isinstance(outline, shapely.Polygon | shapely.MultiPolygon):
        raise TypeError(f"geometry, {outline.geom_type}")
    return outline


def _utc(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _ending(href: str) -> str:
    return PurePosixPath(told_name(href)).suffix.lower()
