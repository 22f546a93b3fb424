"""Jobs: scenes that wait to be scored, in a table that outlasts whoever works on them.

A job is queued, is run by the one worker of the archive, and ends done, failed or cancelled; only the worker
takes it from one state to the next, but that whoever asks may cancel what is only queued.
"""

import base64
import binascii
import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from pithead.errors import OptionError

State = Literal["queued", "running", "done", "failed", "cancelled"]
STATES: Final[tuple[State, ...]] = get_args(State)
Kind = Literal["upload", "catalogue"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

TRIES: Final = 5
"""So often the worker may die over a job, without any progress, before the job is given up."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('upload', 'catalogue')),
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    name TEXT NOT NULL,
    scene TEXT,
    place TEXT,
    facts TEXT NOT NULL,
    owner TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    tiles INTEGER NOT NULL DEFAULT 0,
    tiles_done INTEGER NOT NULL DEFAULT 0,
    eta_s REAL,
    detections INTEGER,
    note TEXT,
    error TEXT,
    cancel INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    record TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, started);
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job that is to be.

    Attributes:
        kind: Whether the scene was uploaded, or is one of the catalogue.
        name: What the job is called in lists: the name of the file, or the id of the scene.
        owner: The name of the caller, which no other ever has.
        scene: The id in the catalogue, once it has one.
        place: Where the upload lies, below `uploads/`.
        facts: What was said of it, as JSON has it: site, acquired, gsd_m, sensor.
    """

    kind: Kind
    name: str
    owner: str
    scene: str | None = None
    place: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse what no worker could do.

        Raises:
            OptionError: The kind is none, or it is not said where its scene is.
        """
        if self.kind not in KINDS:
            raise OptionError(f"expected a job of the kinds {', '.join(KINDS)}, got {self.kind!r}")
        if (self.place if self.kind == "upload" else self.scene) is None:
            raise OptionError(f"expected a job of kind {self.kind} to name its scene, got none")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the table has it; times are UTC, ISO 8601 with milliseconds."""

    number: int
    """In the order in which they were made; pages go by it."""
    id: str
    kind: Kind
    state: State
    name: str
    scene: str | None
    place: str | None
    facts: Mapping[str, Any] = field(hash=False)
    owner: str
    created: str
    started: str | None
    ended: str | None
    tiles: int
    tiles_done: int
    eta_s: float | None
    detections: int | None
    note: str | None
    """What it waits for, if it waits for more than its turn."""
    error: str | None
    cancel: bool
    """Whether it is to end as soon as it can."""
    tries: int
    record: str | None
    """The name of its run record in the store, once it is done."""

    @classmethod
    def of(cls, row: sqlite3.Row) -> "Job":
        """The job of a row."""
        told = dict(row)
        return cls(**{**told, "facts": json.loads(told["facts"]), "cancel": bool(told["cancel"])})

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        if self.state == "done":
            return 1.0
        return round(min(self.tiles_done / self.tiles, 1.0), 4) if self.tiles else 0.0

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state in {"queued", "running"}


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs of a list, the latest first."""

    jobs: tuple[Job, ...]
    next: str | None
    """The cursor of the next page; None of the last one."""
    matched: int
    """All of them, on whatever page."""


# --- whoever asks


def add(connection: sqlite3.Connection, draft: Draft) -> Job:
    """Put a job into the queue."""
    key = secrets.token_hex(8)
    connection.execute(
        "INSERT INTO jobs (id, kind, state, name, scene, place, facts, owner, created)"
        " VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
        (
            key,
            draft.kind,
            draft.name,
            draft.scene,
            draft.place,
            json.dumps(dict(draft.facts), ensure_ascii=True),
            draft.owner,
            now(),
        ),
    )
    return _known(connection, key)


def get(connection: sqlite3.Connection, key: str) -> Job | None:
    """The job of an id."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (key,)).fetchone()
    return None if row is None else Job.of(row)


def page(connection: sqlite3.Connection, states: tuple[State, ...], limit: int, cursor: str | None) -> Page:
    """The latest jobs in these states (all without one), at most so many, after a cursor.

    Raises:
        OptionError: No page has given out such a cursor.
    """
    before = 2**62 if cursor is None else _number(cursor)
    wanted = states or STATES
    marks = ", ".join("?" * len(wanted))
    rows = connection.execute(
        f"SELECT * FROM jobs WHERE state IN ({marks}) AND number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608
        (*wanted, before, limit + 1),
    ).fetchall()
    found = tuple(Job.of(row) for row in rows[:limit])
    every = counts(connection)
    return Page(
        found,
        _cursor(found[-1].number) if len(rows) > limit else None,
        sum(every[state] for state in set(wanted)),
    )


def counts(connection: sqlite3.Connection) -> dict[State, int]:
    """How many jobs there are in each state."""
    found = connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
    told = {str(state): int(count) for state, count in found}
    return {state: told.get(state, 0) for state in STATES}


def open_of(connection: sqlite3.Connection, owner: str) -> int:
    """How many jobs of a caller have not ended."""
    found = connection.execute(
        "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND owner = ?",
        (owner,),
    ).fetchone()
    return int(found[0])


def cancel(connection: sqlite3.Connection, key: str) -> Job:
    """End a queued job, and tell the worker to end a running one; one that has ended stays as it is."""
    connection.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (key,))
    connection.execute(
        "UPDATE jobs SET state = 'cancelled', ended = ?, eta_s = NULL, note = NULL"
        " WHERE id = ? AND state = 'queued'",
        (now(), key),
    )
    return _known(connection, key)


def places(connection: sqlite3.Connection) -> set[str]:
    """Where the uploads of jobs lie that have not ended."""
    rows = connection.execute(
        "SELECT place FROM jobs WHERE state IN ('queued', 'running') AND place IS NOT NULL"
    )
    return {str(row["place"]) for row in rows}


# --- the worker


def recover(connection: sqlite3.Connection, *, blamed: bool) -> int:
    """Put back what a worker that is no more was running; says how many that were.

    Only for the one worker of an archive, before it begins.

    Args:
        connection: One that writes.
        blamed: Whether it may have died over its job, as its server lived on; else its tries begin anew.
    """
    found = connection.execute(
        "UPDATE jobs SET state = 'queued', eta_s = NULL, tries = CASE WHEN ? THEN tries ELSE 0 END"
        " WHERE state = 'running'",
        (blamed,),
    )
    return found.rowcount


def waiting(connection: sqlite3.Connection) -> bool:
    """Whether a job is queued."""
    return connection.execute("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1").fetchone() is not None


def claim(connection: sqlite3.Connection) -> Job | None:
    """Take the next job: what was begun before, then of whoever has waited longest for one of theirs.

    So one caller with a thousand scenes does not keep another from their first.
    """
    row = connection.execute(
        "SELECT id FROM jobs AS job WHERE state = 'queued' ORDER BY tries > 1, started IS NULL,"
        " (SELECT max(started) FROM jobs AS other WHERE other.owner = job.owner) NULLS FIRST, number LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        "UPDATE jobs SET state = 'running', started = coalesce(started, ?), tries = tries + 1, note = NULL"
        " WHERE id = ?",
        (now(), row["id"]),
    )
    return _known(connection, row["id"])


def advance(
    connection: sqlite3.Connection, key: str, scene: str, tiles: int, done: int, eta_s: float | None
) -> None:
    """Note how far a running job is; whoever gets on has not died over it."""
    connection.execute(
        "UPDATE jobs SET tries = CASE WHEN tiles_done < ? THEN 1 ELSE tries END, scene = ?, tiles = ?,"
        " tiles_done = ?, eta_s = ? WHERE id = ? AND state = 'running'",
        (done, scene, tiles, done, eta_s, key),
    )


def finish(connection: sqlite3.Connection, key: str, record: str, detections: int) -> None:
    """A running job is done: its result is in the store under that name."""
    connection.execute(
        "UPDATE jobs SET state = 'done', ended = ?, eta_s = NULL, tiles_done = tiles, detections = ?,"
        " record = ? WHERE id = ? AND state = 'running'",
        (now(), detections, record, key),
    )


def give_up(connection: sqlite3.Connection, key: str, error: str | None) -> None:
    """A running job has failed, for a reason in one line; without one it was cancelled."""
    connection.execute(
        "UPDATE jobs SET state = ?, ended = ?, eta_s = NULL, error = ? WHERE id = ? AND state = 'running'",
        ("cancelled" if error is None else "failed", now(), error, key),
    )


def put_back(connection: sqlite3.Connection, key: str, note: str | None = None, *, counted: bool) -> None:
    """A running job waits again.

    Args:
        connection: One that writes.
        key: Its id.
        note: What for.
        counted: Whether that was a try: not where it was nobody's fault.
    """
    connection.execute(
        "UPDATE jobs SET state = CASE WHEN cancel THEN 'cancelled' ELSE 'queued' END,"
        " ended = CASE WHEN cancel THEN ? END, eta_s = NULL, note = ?, tries = tries - ?"
        " WHERE id = ? AND state = 'running'",
        (now(), note, 0 if counted else 1, key),
    )


def note(connection: sqlite3.Connection, text: str | None) -> None:
    """Say of every queued job what all of them wait for; with None, that it is for their turn alone."""
    connection.execute("UPDATE jobs SET note = ? WHERE state = 'queued' AND note IS NOT ?", (text, text))


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _known(connection: sqlite3.Connection, key: str) -> Job:
    found = get(connection, key)
    if found is None:
        raise OptionError(f"expected the id of a job, got {key!r}")
    return found


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"job {number}".encode()).decode().rstrip("=")


def _number(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        word, _, number = text.partition(" ")
        if word == "job" and number.isascii() and number.isdecimal() and len(number) < 19:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise OptionError(f"expected a cursor as a page of jobs gives it, got {cursor[:40]!r}")
