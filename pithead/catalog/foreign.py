"""Scenes of another STAC catalogue: a catalogue or collection, an Item, or what an API exports."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pystac

from pithead.catalog.intake import Offer
from pithead.catalog.item import MEDIA_TYPES, MULTIHASH_SHA256
from pithead.errors import CatalogError, PitheadError
from pithead.imagery import told_name
from pithead.sidefiles import Facts, stac_facts

_IMAGES = (*MEDIA_TYPES, ".vrt", ".img", ".ntf")
# What pystac raises on other documents beside its own errors.
_MALFORMED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    pystac.STACError,
    pystac.STACTypeError,
)
_NO_SCENE = {"thumbnail", "overview", "metadata", "data-mask", "cloud", "saturation", "snow-ice", "date"}


def offers_of(
    path: str,
    facts: Facts | None = None,
    *,
    asset: str | None = None,
    trusted: bool = True,
    failed: Callable[[str, PitheadError], None] | None = None,
) -> Iterator[Offer]:
    """The scenes of another catalogue, with what it says of them, in its order.

    Args:
        path: A file, or an address.
        facts: What the user says of all of them.
        asset: Which asset of an Item is the scene, by its key; without it the one with the role `visual`,
            else the only image that is no mask or overview.
        trusted: Whether a remote scene goes by the hash that the catalogue states.
        failed: Called with id and error of each Item that leaves open which of its assets is the scene, or
            says what cannot be; else the first raises.

    Raises:
        CatalogError: It is none, one page of several, or as `failed` says.
    """
    try:
        for item in _items(path):
            try:
                offer = _offer(item, path, facts or Facts(), asset, trusted=trusted)
            except CatalogError as error:
                if failed is None:
                    raise
                failed(item.id, error)
            else:
                yield offer
    except CatalogError:
        raise
    except _MALFORMED as error:
        raise CatalogError(
            f"{told_name(path)}: expected a STAC catalogue, an Item or a collection of Items, got "
            f"{type(error).__name__}: {error}"
        ) from error


def _items(path: str) -> Iterator[pystac.Item]:
    href = path if _is_address(path) else str(Path(path).resolve())
    document = json.loads(pystac.StacIO.default().read_text(href))
    if document.get("type") == "FeatureCollection":
        if any(link.get("rel") == "next" for link in document.get("links") or ()):
            raise CatalogError(
                f"{told_name(path)}: expected every Item, got a page of them with a link to the next: save "
                "all pages as one collection (pystac-client does), or take the link out"
            )
        for feature in document["features"]:
            item = pystac.Item.from_dict(feature)
            if item.get_self_href() is None:
                item.set_self_href(href)
            yield item
        return
    found = pystac.read_file(href)
    if isinstance(found, pystac.Item):
        yield found
    elif isinstance(found, pystac.Catalog):
        yield from found.get_items(recursive=True)


def _offer(item: pystac.Item, path: str, facts: Facts, key: str | None, *, trusted: bool) -> Offer:
    chosen = _scene(item, key)
    href = chosen.get_absolute_href() or chosen.href
    if href.startswith("file://"):
        href = unquote(urlsplit(href).path)
    if _is_address(item.get_self_href() or path) and not _is_address(href):
        raise CatalogError(
            f"{item.id}: expected an address in a catalogue that comes from one, got {href}: files of this "
            "machine are added by name"
        )
    said = {**item.properties, **chosen.extra_fields, "datetime": _datetime(item)}
    try:
        others = stac_facts(said)
    except ValueError as error:
        raise CatalogError(f"{told_name(path)}, Item {item.id}: {error}") from error
    stated = _sha256(chosen.extra_fields) if trusted or not _is_address(href) else None
    return Offer(href, facts, others, stated)


def _datetime(item: pystac.Item) -> str | None:
    return None if item.datetime is None else item.datetime.isoformat()


def _scene(item: pystac.Item, key: str | None) -> pystac.Asset:
    """The asset that is the scene."""
    if key is not None and key in item.assets:
        return item.assets[key]
    images = {name: asset for name, asset in item.assets.items() if _is_image(asset)}
    visual = [asset for name, asset in images.items() if name == "visual" or "visual" in (asset.roles or [])]
    candidates = visual or list(images.values())
    if key is not None or len(candidates) != 1:
        raise CatalogError(
            f"{item.id}: expected {f'an asset {key}' if key else 'one asset that is the scene'}, got "
            f"{', '.join(item.assets) or 'none'}: name it with --asset"
        )
    return candidates[0]


def _is_image(asset: pystac.Asset) -> bool:
    roles = set(asset.roles or [])
    if roles & _NO_SCENE:
        return False
    kind = (asset.media_type or "").partition(";")[0].strip()
    known = {media.partition(";")[0] for media in MEDIA_TYPES.values()} | {"image/vnd.stac.geotiff"}
    path = unquote(urlsplit(asset.href).path) if _is_address(asset.href) else asset.href
    return kind in known or (not kind and PurePosixPath(path).suffix.lower() in _IMAGES)


def _sha256(fields: Mapping[str, Any]) -> str | None:
    """The sha256 that an asset states by the file extension, whose hashes are multihashes of many kinds."""
    stated = str(fields.get("file:checksum", "")).lower()
    return stated.removeprefix(MULTIHASH_SHA256) if stated.startswith(MULTIHASH_SHA256) else None


def _is_address(path: str) -> bool:
    return "://" in path
