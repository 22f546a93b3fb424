"""Uploads on their way to the disk: hashed as they are written beside their place, then whole or not there.

    uploads/.part-…                 being received; whoever receives it holds a lock on it
    uploads/<sha256>/<name>.tif     a scene: in a folder of its own, so that nothing lies beside it

A kill leaves no more than files that `sweep` knows to be nobody's.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from pithead.files import sync_folder
from pithead.server.problems import Problem
from pithead.server.sweep import PART
from pithead.server.uploads import HEAD_BYTES, kind_of

NAME_BYTES: Final = 100
"""Most bytes of the stem of a name; with the hash in an id and an ending file systems still take it."""
KEPT_FREE: Final = 2**30
"""Bytes of the disk that uploads leave to everything else: results, the audit, the log."""
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Incoming:
    """A file that is being received.

    Attributes:
        path: Where it lies for the time being.
        size: Bytes so far.
    """

    __slots__ = ("_file", "_hash", "_head", "_known", "_most", "path", "size")

    def __init__(self, path: Path, file: IO[bytes], most: int) -> None:
        """Begin with nothing; see `receiving`."""
        self.path, self._file, self._most = path, file, most
        self._hash, self.size = hashlib.sha256(), 0
        self._head, self._known = b"", False

    @property
    def sha256(self) -> str:
        """Of the bytes so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Take some more bytes.

        Raises:
            Problem: 413 where that is more than may be, 415 where the first bytes are not those of an image,
                507 where the disk is full.
        """
        self.size += len(data)
        if self.size > self._most:
            raise too_large(self._most)
        if not self._known:
            self._head += data[:HEAD_BYTES]
            if len(self._head) >= HEAD_BYTES:
                kind_of(self._head)
                self._known = True
        self._hash.update(data)
        with room():
            # Each time, since others write too, and not every client says beforehand how much will come.
            if _free(self.path.parent) < KEPT_FREE + len(data):
                raise full()
            self._file.write(data)

    def settle(self) -> None:
        """See all of it on the disk.

        Raises:
            Problem: 507 where the disk is full.
        """
        with room():
            self._file.flush()
            os.fsync(self._file.fileno())

    def keep(self, uploads: Path, name: str) -> str:
        """Put the whole of it into its place, and say where that is below `uploads`.

        The same bytes are there once, under the name that they came with first.

        Raises:
            Problem: 507 where the disk is full.
        """
        folder = uploads / self.sha256
        with room():
            folder.mkdir(exist_ok=True)
            there = sorted(one for one in folder.iterdir() if one.stat().st_size == self.size)
            if not there:
                there = [folder / name]
                self.path.replace(there[0])
                sync_folder(folder)
                sync_folder(uploads)
        return f"{self.sha256}/{there[0].name}"


@contextmanager
def receiving(uploads: Path, most: int) -> Iterator[Incoming]:
    """A file to be received; what is not kept is gone at the end of the block.

    Args:
        uploads: The folder of uploads; made if there is none.
        most: Most bytes.

    Raises:
        Problem: 507 where the disk is full.
    """
    with room():
        uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = uploads / f"{PART}{secrets.token_hex(8)}"
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield Incoming(path, file, most)
        finally:
            path.unlink(missing_ok=True)
            # What is still in the buffer of a full disk cannot be written at the end either.
            with suppress(OSError):
                file.close()


def check_room(uploads: Path, size: int | None, most: int) -> None:
    """Refuse, before the first byte, what will not fit.

    Args:
        uploads: The folder of uploads.
        size: Bytes of the body, if the client says so.
        most: Most bytes of an upload.

    Raises:
        Problem: 413 where it is more than may be, 507 where the disk has no room for it.
    """
    size = size or 0
    if size > most + 2**20:  # a form has other fields and boundaries too
        raise too_large(most)
    place = next(one for one in (uploads, *uploads.parents) if one.exists())
    if _free(place) < KEPT_FREE + size:
        raise full()


def name_of(told: str | None, suffix: str) -> str:
    """The name of a file as it may stand on a disk: the last part of what a client says, with our ending.

    Letters of any script stay; whatever could mean something to a shell, a path or a page does not.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", told or ""))[-1]
    stem = last.rpartition(".")[0] or last
    stem = re.sub(r"[^\w.-]", "_", stem).strip("._-") or "scene"
    while len(stem.encode("utf-8", "replace")) > NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix


def too_large(most: int) -> Problem:
    """413: more bytes than may be."""
    return Problem(
        413,
        "",
        f"expected a scene of at most {most} bytes, got more: take it in with inference/rescore.py --add",
    )


def full() -> Problem:
    """507: the disk is full."""
    return Problem(
        507, "", "expected room on the server's disk for the image, there is none: tell whoever runs it"
    )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@contextmanager
def room() -> Iterator[None]:
    """Write to a disk in the block.

    Raises:
        Problem: 507 where it is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise full() from error
        raise
