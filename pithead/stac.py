"""The result of a scene as a STAC Item, so that catalogues of any make find it by place and time."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pystac
import shapely
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from pithead import __version__
from pithead.files import sha256_of
from pithead.footprint import bbox_of, footprint_of, outline_px
from pithead.imagery import Scene
from pithead.vectors import Origin

FIRST_IMAGE = datetime(1960, 8, 18, tzinfo=UTC)
"""No satellite image is older (CORONA): an Item needs a time, and of an unknown one it gives this span."""

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_MULTIHASH_SHA256 = "1220"  # what comes is sha256, of 32 bytes (multiformats.io/multihash)
_ASSETS = {
    ".geojson": ("application/geo+json", ["data"]),
    ".gpkg": ("application/geopackage+sqlite3", ["data"]),
    ".parquet": ("application/vnd.apache.parquet", ["data"]),
    ".png": ("image/png", ["overview"]),
}


def scene_item(
    scene: Scene,
    origin: Origin,
    counts: Mapping[str, int],
    *,
    acquired: datetime | None,
    created: datetime,
) -> pystac.Item:
    """The Item of a scan (STAC 1.1): footprint, time, projection, hashes, and how many of each class.

    Args:
        scene: What was scanned; one without georeference has an Item without geometry.
        origin: Names and hashes of scene and weights.
        counts: Detections by class name.
        acquired: When the scene was taken; None gives the span from the first satellite image to `created`.
        created: When the scan began.
    """
    outline = None
    if scene.crs is not None:
        outline = footprint_of(scene.to_lonlat(outline_px(scene.width, scene.height)))
    item = pystac.Item(
        id=origin.scene,
        geometry=None if outline is None else json.loads(shapely.to_geojson(outline)),
        bbox=None if outline is None else bbox_of(outline),
        datetime=acquired,
        start_datetime=None if acquired else FIRST_IMAGE,
        end_datetime=None if acquired else created,
        properties={
            "created": pystac.utils.datetime_to_str(created),
            "gsd": round(max(scene.gsd_m), 4),
            "processing:software": {"pithead": __version__},
            "pithead:counts": dict(counts),
            "pithead:scene_sha256": origin.scene_sha256,
            "pithead:weights_sha256": origin.weights_sha256,
        },
        stac_extensions=[PROCESSING],
    )
    if scene.crs is not None and scene.transform is not None:
        authority = scene.crs.to_authority()
        ProjectionExtension.ext(item, add_if_missing=True).apply(
            code=None if authority is None else ":".join(authority),
            wkt2=scene.crs.to_wkt() if authority is None else None,
            shape=[scene.height, scene.width],
            transform=list(scene.transform)[:6],
        )
    return item


def write_item(path: Path, item: pystac.Item, record: str) -> None:
    """Write an Item beside the files of its result, which are its assets; only the record may come later."""
    for ending, (media_type, roles) in _ASSETS.items():
        file = path.with_name(f"{item.id}{ending}")
        asset = pystac.Asset(f"./{file.name}", media_type=media_type, roles=roles)
        item.add_asset(ending.removeprefix("."), asset)
        FileExtension.ext(asset, add_if_missing=True).apply(
            checksum=_MULTIHASH_SHA256 + sha256_of(file), size=file.stat().st_size
        )
    item.add_asset("record", pystac.Asset(f"./{record}", media_type="application/json", roles=["metadata"]))
    text = json.dumps(item.to_dict(include_self_link=False), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
