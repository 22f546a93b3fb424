"""Bytes under names: in a folder, or at any address that fsspec knows.

What is written is there whole or not at all, and two processes may write the same name at once: the later one
stands. A process that is killed may leave a part, which no listing shows and `Shelf.tidy` clears away.
"""

import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from pithead.errors import StoreError
from pithead.files import write_by

PART = ".part-"
"""How the name of a file begins that is being written."""
OLD_PART_S = 86_400.0
"""A part of another machine is given up after a day: whether its process lives cannot be asked."""
# One PUT of these is seen whole or not at all; elsewhere a part is written beside the file and renamed.
_WHOLE_PUTS = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})


@dataclass(frozen=True, slots=True)
class Shelf(ABC):
    """Bytes under relative posix names; made by `Shelf.at`, and may be sent to other processes."""

    place: str
    """A folder, or an address with its scheme."""

    @staticmethod
    def at(place: str | Path) -> "Shelf":
        """The shelf in a folder of this machine, or at an address `scheme://…`; nothing is made or read.

        Raises:
            StoreError: Nothing here knows such addresses.
        """
        scheme, colon, rest = str(place).partition("://")
        if not colon:
            return FolderShelf(str(place))
        if scheme in {"file", "local"}:
            return FolderShelf(rest)
        try:
            fsspec.get_filesystem_class(scheme)
        except (ValueError, ImportError) as error:
            raise StoreError(
                f"expected a folder or an address such as s3://bucket/archive, got {scheme}://: {error}"
            ) from error
        return RemoteShelf(str(place).rstrip("/"))

    @property
    def told(self) -> str:
        """The place as it may stand in a record: without a user, a password or a query."""
        scheme, colon, rest = self.place.partition("://")
        if not colon:
            return self.place
        host, slash, path = rest.partition("?")[0].partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"

    def sub(self, prefix: str) -> "Shelf":
        """The shelf of what lies below a prefix."""
        return type(self)(f"{self.place.rstrip('/')}/{checked(prefix)}")

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of a name.

        Raises:
            FileNotFoundError: There is nothing of that name.
            StoreError: It cannot be read.
        """

    @abstractmethod
    def opened(self, name: str) -> IO[bytes]:
        """A name as a file to seek in, where only a part of the bytes is wanted; the caller closes it.

        Raises:
            FileNotFoundError: There is nothing of that name.
            StoreError: It cannot be read.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Put bytes under a name, all of them or none; folders are made.

        Raises:
            StoreError: There is no room, or no right to write; what was there before is unharmed.
        """

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there are bytes under a name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take a name away; one that is not there is no error.

        Raises:
            StoreError: There is no right to.
        """

    @abstractmethod
    def names(self, prefix: str = "") -> tuple[str, ...]:
        """Every name below a folder, sorted, relative to this shelf; () if there is no such folder.

        Raises:
            StoreError: It cannot be listed.
        """

    @abstractmethod
    def tidy(self) -> int:
        """Clear away what killed processes left half-written, and say how many files that were."""


def checked(name: str) -> str:
    """A name if it stays below the shelf.

    Raises:
        StoreError: It is empty, absolute, climbs out, or is that of a part.
    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name or parts[-1].startswith(PART):
        raise StoreError(f"expected a name below the shelf, such as 2019/a.json, got {name!r}")
    return name


@contextmanager
def _clear(told: str, verb: str) -> Iterator[None]:
    """Any error as one that says what to do; FileNotFoundError is an answer and passes."""
    try:
        yield
    except (FileNotFoundError, StoreError):
        raise
    except Exception as error:  # clients of object stores have errors of their own kind
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"expected to {verb} {told}, got: {reason}; what was there is unharmed: mend that (room, rights, "
            "connection) and run again"
        ) from error


class FolderShelf(Shelf):
    """A folder of this machine."""

    __slots__ = ()

    def read(self, name: str) -> bytes:  # noqa: D102 (as Shelf says)
        with _clear(f"{self.place}/{name}", "read"):
            return self.path(name).read_bytes()

    def opened(self, name: str) -> IO[bytes]:  # noqa: D102
        with _clear(f"{self.place}/{name}", "read"):
            return self.path(name).open("rb")

    def write(self, name: str, content: bytes) -> None:  # noqa: D102
        path = self.path(name)
        part = path.with_name(f"{PART}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
        with _clear(str(path), "write"):
            write_by(part, path, content, lasting=True)

    def exists(self, name: str) -> bool:  # noqa: D102
        return self.path(name).is_file()

    def remove(self, name: str) -> None:  # noqa: D102
        with _clear(f"{self.place}/{name}", "remove"):
            self.path(name).unlink(missing_ok=True)

    def names(self, prefix: str = "") -> tuple[str, ...]:  # noqa: D102
        start = Path(self.place) / (checked(prefix) if prefix else "")
        with _clear(str(start), "list"):
            return tuple(sorted(_below(str(start), prefix.rstrip("/"), lambda name: not _is_part(name))))

    def tidy(self) -> int:  # noqa: D102
        left = [Path(self.place, name) for name in _below(self.place, "", _is_part)]
        gone = [part for part in left if _given_up(part)]
        for part in gone:
            part.unlink(missing_ok=True)
        return len(gone)

    def path(self, name: str) -> Path:
        """Where a name lies."""
        return Path(self.place, checked(name))


class RemoteShelf(Shelf):
    """An address that fsspec knows: an object store, or memory:// in tests."""

    __slots__ = ()

    def read(self, name: str) -> bytes:  # noqa: D102
        with _clear(f"{self.told}/{name}", "read"):
            content: bytes = self.system.cat_file(self.path(name))
            return content

    def opened(self, name: str) -> IO[bytes]:  # noqa: D102
        with _clear(f"{self.told}/{name}", "read"):
            file: IO[bytes] = self.system.open(self.path(name), "rb")
            return file

    def write(self, name: str, content: bytes) -> None:  # noqa: D102
        system, path = self.system, self.path(name)
        with _clear(f"{self.told}/{name}", "write"):
            if self.place.partition("://")[0] in _WHOLE_PUTS:
                system.pipe_file(path, content)
                return
            folder = path.rpartition("/")[0]
            part = f"{folder}/{PART}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
            system.makedirs(folder, exist_ok=True)
            try:
                system.pipe_file(part, content)
                system.mv(part, path)
            except BaseException:
                if system.exists(part):
                    system.rm_file(part)
                raise

    def exists(self, name: str) -> bool:  # noqa: D102
        with _clear(f"{self.told}/{name}", "look for"):
            return bool(self.system.isfile(self.path(name)))

    def remove(self, name: str) -> None:  # noqa: D102
        with _clear(f"{self.told}/{name}", "remove"):
            try:
                self.system.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def names(self, prefix: str = "") -> tuple[str, ...]:  # noqa: D102
        system, root = self.system, self.root
        start = f"{root}/{checked(prefix)}" if prefix else root
        with _clear(self.told, "list"):
            try:
                found = system.find(start)
            except FileNotFoundError:
                return ()
        inner = (path[len(root) + 1 :] for path in found if path.startswith(f"{root}/"))
        return tuple(sorted(name for name in inner if not _is_part(name)))

    def tidy(self) -> int:  # noqa: D102
        return 0  # an object store shows nothing of a PUT that did not end

    def path(self, name: str) -> str:
        """Where a name lies in its file system."""
        return f"{self.root}/{checked(name)}"

    @property
    def root(self) -> str:
        """The place in its file system."""
        return str(self._system_and_root()[1]).rstrip("/")

    @property
    def system(self) -> Any:  # noqa: ANN401 (fsspec publishes no types)
        """The file system; one instance per process, kept by fsspec."""
        return self._system_and_root()[0]

    def _system_and_root(self) -> tuple[Any, str]:
        # Listings that are kept would hide what other machines write.
        system, root = fsspec.core.url_to_fs(self.place, use_listings_cache=False)
        return system, root


def _below(folder: str, name: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """The names of files in a folder and below it; folders and files that vanish meanwhile are left out."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        inner = f"{name}/{entry.name}" if name else entry.name
        if entry.is_dir():
            yield from _below(entry.path, inner, wanted)
        elif wanted(entry.name):
            yield inner


def _is_part(name: str) -> bool:
    return name.rpartition("/")[2].startswith(PART)


def _given_up(part: Path) -> bool:
    """Whether the process that wrote a part is dead, or on another machine and silent for a day."""
    host, _, rest = part.name.removeprefix(PART).rpartition("-")[0].rpartition("-")
    try:
        if host == socket.gethostname() and rest.isdigit():
            return not _lives(int(rest))
        return time.time() - part.stat().st_mtime > OLD_PART_S
    except FileNotFoundError:
        return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # no signal, only the question
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
