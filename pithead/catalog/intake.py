"""A scene becomes an entry: its identity, its place, and what is said of it."""

import os
import re
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pithead.catalog import remote
from pithead.catalog.entry import Entry, Identity
from pithead.catalog.frame import read_frame, read_tags
from pithead.errors import SceneError
from pithead.files import sha256_of
from pithead.imagery import is_local
from pithead.sidefiles import Facts, read_sidefiles

_STEM_MOST = 120  # an Item's name is an id, 13 to 65 characters and .json, and file systems end at 255 bytes
_SHORT, _LONG = 12, 64


@dataclass(frozen=True, slots=True)
class Offer:
    """A scene that is to be taken in, and what is known of it beforehand."""

    path: str
    """A file, or an address."""
    facts: Facts = field(default_factory=Facts)
    """What the user says: it comes before what side files say."""
    others: Facts = field(default_factory=Facts)
    """What another catalogue says: it comes after side files."""
    sha256: str | None = None
    """What another catalogue says of its bytes."""


@dataclass(frozen=True, slots=True)
class Identified:
    """A file as it is now."""

    href: str
    sha256: str
    identity: Identity
    bytes: int
    mtime_ns: int
    etag: str | None


def place_of(path: str) -> str:
    """A path as the catalogue keeps it: absolute, or a plain address.

    Raises:
        SceneError: It is an address that carries a key, or of another kind.
    """
    return os.path.abspath(path) if is_local(path) else remote.address_of(path)  # noqa: PTH100 (keeps links)


def unchanged(entry: Entry) -> bool:
    """Whether size and time (or ETag) of its file are those of the entry; nothing of it is read.

    Raises:
        SceneError: It is a remote one, and its server does not answer.
    """
    if entry.remote:
        told = remote.look(entry.href)
        return told is not None and (told.bytes, told.etag) == (entry.bytes, entry.etag)
    try:
        found = Path(entry.href).stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (entry.bytes, entry.mtime_ns)


def identify(href: str, stated: str | None = None, *, fetch: bool = False) -> Identified:
    """What the bytes of a file are, read to their end where that is cheap or asked for.

    Args:
        href: An absolute path, or an address.
        stated: The sha256 of another catalogue; a local file is held to it, a remote one goes by it.
        fetch: Whether a remote file is fetched to be hashed.

    Raises:
        SceneError: There is no such file, it changes while it is read, or it is not what is stated.
    """
    if "://" in href:
        return _remote(href, stated, fetch=fetch)
    path = Path(href)
    try:
        before, sha256, after = path.stat(), sha256_of(path), path.stat()
    except OSError as error:
        raise SceneError(f"{href}: expected an image file, got {error.strerror}") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SceneError(f"{href}: expected a file at rest, got one that changes while it is read: try again")
    held(href, sha256, stated)
    return Identified(href, sha256, "bytes", after.st_size, after.st_mtime_ns, None)


def _remote(href: str, stated: str | None, *, fetch: bool) -> Identified:
    told = remote.look(href)
    if told is None:
        raise SceneError(f"{href}: expected an image, got an address where there is none: check it")
    if fetch:
        sha256 = remote.fetched_sha256(href, told)
        held(href, sha256, stated)
        if remote.look(href) != told:
            raise SceneError(
                f"{href}: expected a file at rest, got one that changes while it is read: try again"
            )
        return Identified(href, sha256, "bytes", told.bytes, 0, told.etag)
    if stated is not None:
        return Identified(href, stated, "stated", told.bytes, 0, told.etag)
    return Identified(href, remote.fingerprint(href, told), "fingerprint", told.bytes, 0, told.etag)


def held(href: str, sha256: str, stated: str | None) -> None:
    """Hold bytes that were read to what another catalogue states of them.

    Raises:
        SceneError: They are others.
    """
    if stated is not None and stated != sha256:
        raise SceneError(
            f"{href}: expected the sha256 {stated} that its catalogue states, got {sha256}: it is damaged or "
            "another one; get it again"
        )


def entry_from(offer: Offer, found: Identified, added: datetime | None = None) -> Entry:
    """The entry of a scene that was identified, under its short id and without sites.

    Raises:
        SceneError: It is no image, or a truncated one.
        GroundResolutionError: Nothing says how large its pixels are.
        CatalogError: A side file is malformed.
    """
    said = Facts() if "://" in found.href else read_sidefiles(Path(found.href))
    facts = offer.facts.over(said).over(offer.others).over(read_tags(found.href))
    frame = read_frame(found.href, facts.gsd_m)
    return Entry(
        id=id_of(found.href, found.sha256),
        href=found.href,
        sha256=found.sha256,
        bytes=found.bytes,
        mtime_ns=found.mtime_ns,
        etag=found.etag,
        identity=found.identity,
        width=frame.width,
        height=frame.height,
        crs=frame.crs,
        transform=frame.transform,
        gsd_m=frame.gsd_m,
        footprint=frame.footprint,
        km2=frame.km2,
        sites=(),
        changed=False,
        added=added or datetime.now(UTC),
        **_told(facts),
    )


def told_anew(entry: Entry, facts: Facts) -> Entry:
    """The entry with what the user says of it now.

    The ground resolution of a scene without georeference is part of what was scored: it stays as it was.
    """
    return replace(entry, **{name: value for name, value in _told(facts).items() if value is not None})


def _told(facts: Facts) -> dict[str, Any]:
    names = (field.name for field in fields(Facts) if field.name != "gsd_m")
    return {name: getattr(facts, name) for name in names}


def id_of(href: str, sha256: str, *, long: bool = False) -> str:
    """The stem of a file and the first 12 digits (or all) of its hash; characters that names bear only."""
    name = unquote(urlsplit(href).path) if "://" in href else href
    stem = re.sub(r"[^\w.-]", "_", PurePosixPath(name).stem).strip(".") or "scene"
    while len(stem.encode()) > _STEM_MOST:
        stem = stem[:-1]
    return f"{stem}-{sha256[: _LONG if long else _SHORT]}"
