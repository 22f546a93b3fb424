"""The log of an archive: a file of records to which is only ever added.

A record is told of (`Log.append` returns) when it is on the disk. A line that a kill has torn was never told;
the next append cuts it off and says so in a record of its own, of kind "log.mended". A last record that lacks
only the end of its line is whole, and stays.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pithead.errors import EvidenceError, StoreError
from pithead.evidence.record import Record

MENDED = "log.mended"
SIGNED = "head.signed"
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Log:
    """A hash chain in a file of JSON lines, on a disk of this machine; several processes may append.

    Each line is a record in canonical JSON. Whoever changes, removes or inserts a record breaks the chain
    from there on; whoever cuts off its end is found out by a signed head, or a copy that another holds.
    """

    path: Path

    def append(self, kind: str, facts: Mapping[str, Any]) -> Record:
        """Add a record, and return when it is on the disk; the file is not read but for its end.

        Raises:
            EvidenceError: JSON has no such facts, or the last record of the log is damaged.
            StoreError: The log cannot be written; then nothing is added.
        """
        return self.append_many([(kind, facts)])[0]

    def append_many(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Record, ...]:
        """Add records at once, as `append`; a kill may leave the first of them, each whole."""
        given = list(events)
        with self._locked() as file:
            last, end, torn = _tail(file, self.path)
            if torn:
                given.insert(0, (MENDED, _mending(torn)))
            added: list[Record] = []
            for kind, facts in given:
                last = Record.after(last, kind, facts)
                added.append(last)
            _write(file, end, b"".join(record.to_line() for record in added), self.path)
        return tuple(added[1:] if torn else added)

    def records(self) -> Iterator[Record]:
        """Every record from the first, each held to the one before it.

        A last line without its end is left out: it is being written, or was torn and never told.

        Raises:
            EvidenceError: A link is broken; the message names the first such line, from 1.
        """
        yield from check_lines(self._lines(), str(self.path), whole=True)

    def head(self) -> Record | None:
        """The last record, held to its own hash but not to the chain; None of an empty log.

        Raises:
            EvidenceError: It is damaged.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            return _tail(file.fileno(), self.path)[0]

    def torn(self) -> bytes:
        """What stands behind the last whole line: nothing, or what a kill has left."""
        try:
            with self.path.open("rb") as file:
                return _tail(file.fileno(), self.path)[2]
        except FileNotFoundError:
            return b""

    def _lines(self) -> Iterator[bytes]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            yield from (line for line in file if line.endswith(b"\n") or _whole(line) is not None)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, for this process alone."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"expected a log to write to at {self.path}, got {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def check_lines(lines: Iterable[bytes], told: str, *, whole: bool = False) -> Iterator[Record]:
    """The records of lines, each held to the one before it.

    Args:
        lines: Records as a log or an export has them.
        told: What the lines are, for messages.
        whole: Whether the first has to be the first of the log; a part may begin anywhere.

    Raises:
        EvidenceError: A link is broken; the message names the first such line, from 1.
    """
    last: Record | None = None
    for number, line in enumerate(lines, start=1):
        try:
            record = Record.from_line(line)
            if last is not None or whole:
                record.follows(last)
        except EvidenceError as error:
            raise EvidenceError(
                f"{told}, line {number}: {error}; nothing from here on is proven: compare with a copy"
            ) from error
        yield record
        last = record


def extract(log: Log, wanted: Callable[[Record], bool]) -> tuple[bytes, ...]:
    """The part of the chain from the first wanted record to the head, as lines; () if none is wanted.

    Records in between that are not wanted keep their place and hash without their facts, so that an export
    proves its own history and tells nothing of other scenes. Signatures of heads are always whole.

    Raises:
        EvidenceError: A link is broken.
    """
    lines: list[bytes] = []
    for record in log.records():
        mine = wanted(record)
        if mine or lines:
            lines.append((record if mine or record.kind == SIGNED else record.without_facts()).to_line())
    return tuple(lines)


def _tail(file: int, path: Path) -> tuple[Record | None, int, bytes]:
    """The last record, where its line ends, and what stands behind it.

    Raises:
        EvidenceError: The last record is damaged.
    """
    size = os.fstat(file).st_size
    start, text = size, b""
    while start > 0 and text.count(b"\n") < 2:
        block = min(max(_BLOCK, len(text)), start)
        start -= block
        text = os.pread(file, block, start) + text
    lines, _, torn = text.rpartition(b"\n")
    if (unended := _whole(torn)) is not None:
        return unended, size, b""
    if len(torn) == size:
        return None, 0, torn
    try:
        return Record.from_line(lines.rpartition(b"\n")[2]), size - len(torn), torn
    except EvidenceError as error:
        raise EvidenceError(
            f"{path}, last record: {error}; nothing is added to a broken log: bring it back from a copy"
        ) from error


def _whole(line: bytes) -> Record | None:
    """The record of a line that lacks its end; None if it lacks more."""
    try:
        return Record.from_line(line)
    except EvidenceError:
        return None


def _mending(torn: bytes) -> dict[str, object]:
    """What is said of a torn line."""
    return {"cut_bytes": len(torn), "cut_sha256": hashlib.sha256(torn).hexdigest()}


def _write(file: int, end: int, content: bytes, path: Path) -> None:
    """Put bytes at the end, and see them on the disk; else leave the log as it was.

    Raises:
        StoreError: There is no room.
    """
    if end and os.pread(file, 1, end - 1) != b"\n":
        content = b"\n" + content
    try:
        os.ftruncate(file, end)
        left = memoryview(content)
        while left:
            written = os.pwrite(file, left, end + len(content) - len(left))
            left = left[written:]
        os.fsync(file)
    except OSError as error:
        os.ftruncate(file, end)
        raise StoreError(
            f"expected room for {len(content)} bytes of evidence in {path}, got {error.strerror}: nothing "
            "was added; make room and run again"
        ) from error
