"""The log of the archive, read on from where the mirror has come."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

import shapely

from pithead.errors import EvidenceError
from pithead.evidence import Record
from pithead.evidence.log import check_lines
from pithead.review import GIVEN, Review
from pithead.server.database import Database

_MARK: Final = "log"
_FINISHED: Final = "run.finished"
_AT_A_TIME: Final = 1000


@dataclass(frozen=True, slots=True)
class _Mark:
    """The last record that was read: where its line begins, and its hash."""

    start: int
    hash: str


def read_on(database: Database, path: Path) -> bool:
    """Take down what the log has told since; each record is held to the one before it.

    A log that is another than the one that was read, as one brought back from a copy is, is read from its
    start, and all that was made of the old one goes.

    Returns:
        Whether runs are to be looked at: some were told of, or all are to be read again.

    Raises:
        EvidenceError: A link is broken, or a review is malformed.
    """
    with database.reading() as connection:
        told = connection.execute("SELECT value FROM mirror_facts WHERE name = ?", (_MARK,)).fetchone()
    mark = None if told is None else _Mark(**json.loads(told["value"]))
    runs = mark is None
    if mark is not None and not _there(path, mark):
        mark, runs = None, True
        with database.writing() as connection:
            for table in ("mirror_reviews", "mirror_finished", "mirror_runs"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 (names of ours)
            connection.execute("DELETE FROM mirror_facts WHERE name = ?", (_MARK,))
    lines = _lines(path, mark)
    while some := list(islice(lines, _AT_A_TIME)):
        with database.writing() as connection:
            for _, record in some:
                _take_down(connection, record)
                runs = runs or record.kind == _FINISHED
            start, last = some[-1]
            told_now = json.dumps({"start": start, "hash": last.hash})
            connection.execute("INSERT OR REPLACE INTO mirror_facts VALUES (?, ?)", (_MARK, told_now))
    return runs


def _take_down(connection: Connection, record: Record) -> None:
    if record.facts is None:
        return
    if record.kind == GIVEN:
        _review(connection, record)
    elif record.kind == _FINISHED:
        _finished(connection, record, record.facts)
    elif record.kind == "weights.registered":
        _registered(connection, record.facts)


def _there(path: Path, mark: _Mark) -> bool:
    """Whether the record that was read last still stands where it stood."""
    try:
        with path.open("rb") as file:
            file.seek(mark.start)
            return Record.from_line(file.readline()).hash == mark.hash
    except (FileNotFoundError, EvidenceError):
        return False


def _lines(path: Path, mark: _Mark | None) -> Iterator[tuple[int, Record]]:
    """New records, and where their lines begin; a last line that is being written is left for next time."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        start = 0 if mark is None else mark.start
        file.seek(start)
        starts: list[int] = []

        def whole() -> Iterator[bytes]:
            place = start
            for line in file:
                if not line.endswith(b"\n") and not _is_whole(line):
                    return
                starts.append(place)
                place += len(line)
                yield line

        records = check_lines(whole(), str(path), whole=mark is None)
        for number, record in enumerate(records):
            if number or mark is None:  # the first is the one that was read last
                yield starts[number], record


def _is_whole(line: bytes) -> bool:
    try:
        Record.from_line(line)
    except EvidenceError:
        return False
    return True


def _review(connection: Connection, record: Record) -> None:
    review = Review.of(record)
    connection.execute(
        "INSERT OR REPLACE INTO mirror_reviews VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.seq, review.detection, record.time, record.hash, review.decision, review.class_name,
            review.new_class, review.note, review.reviewer, review.frame, shapely.to_wkb(review.geometry),
        ),
    )  # fmt: skip


def _finished(connection: Connection, record: Record, facts: Mapping[str, Any]) -> None:
    names = ("scene_sha256", "weights_sha256", "options_sha256", "result_sha256")
    if all(isinstance(facts.get(name), str) for name in names):
        told = [facts[name] for name in names]
        connection.execute(
            "INSERT OR REPLACE INTO mirror_finished VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*told, record.seq, record.time, record.hash),
        )


def _registered(connection: Connection, facts: Mapping[str, Any]) -> None:
    thresholds = json.dumps(facts["classes"], sort_keys=True)
    connection.execute(
        "INSERT INTO mirror_weights (sha256, name, thresholds) VALUES (?, ?, ?) "
        "ON CONFLICT (sha256) DO UPDATE SET name = excluded.name, thresholds = excluded.thresholds",
        (facts["weights_sha256"], facts["name"], thresholds),
    )
