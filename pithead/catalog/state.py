"""What became of a scene's file since it was taken in."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pithead.catalog import remote
from pithead.catalog.entry import Entry
from pithead.errors import SceneError
from pithead.files import sha256_of

State = Literal["same", "touched", "changed", "gone"]
"""Untouched; size, time or ETag differ and the bytes do not; other bytes; not there."""


def state_of(entry: Entry, *, verify: bool = False) -> State:
    """The state of a scene: by size and time first, by its hash on doubt or to verify.

    A remote scene goes by size and ETag, and is fetched only to verify it: one with another ETag is taken for
    changed. Of a fingerprint nothing can be verified.

    Raises:
        SceneError: A disk or a server does not answer, or the file changes while it is read.
    """
    return _remote(entry, verify=verify) if entry.remote else _local(entry, verify=verify)


def renewed(entry: Entry) -> Entry:
    """The entry of a touched scene with size, time and ETag of its file as they are now.

    Raises:
        SceneError: It is not there, or a server does not answer.
    """
    if entry.remote:
        told = remote.look(entry.href)
        if told is None:
            raise SceneError(f"{entry.href}: expected the scene {entry.id}, got nothing there")
        return replace(entry, bytes=told.bytes, etag=told.etag)
    try:
        found = Path(entry.href).stat()
    except OSError as error:
        raise SceneError(f"{entry.href}: expected the scene {entry.id}, got {error.strerror}") from error
    return replace(entry, bytes=found.st_size, mtime_ns=found.st_mtime_ns)


def _local(entry: Entry, *, verify: bool) -> State:
    path = Path(entry.href)
    try:
        found = path.stat()
        alike = (found.st_size, found.st_mtime_ns) == (entry.bytes, entry.mtime_ns)
        if alike and not verify:
            return "same"
        if found.st_size != entry.bytes:
            return "changed"
        sha256, after = sha256_of(path), path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except OSError as error:
        raise SceneError(
            f"{entry.href}: expected the scene {entry.id}, got {error.strerror}: is its disk there?"
        ) from error
    if (found.st_size, found.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SceneError(f"{path}: expected a file at rest, got one that changes while it is read: try again")
    if sha256 != entry.sha256:
        return "changed"
    return "same" if alike else "touched"


def _remote(entry: Entry, *, verify: bool) -> State:
    told = remote.look(entry.href)
    if told is None:
        return "gone"
    alike = (told.bytes, told.etag) == (entry.bytes, entry.etag)
    if entry.identity == "fingerprint" or not verify:
        return "same" if alike else "changed"
    if told.bytes != entry.bytes or remote.fetched_sha256(entry.href, told) != entry.sha256:
        return "changed"
    return "same" if alike else "touched"
