"""The server's SQLite file: keys, jobs and the index of detections, for any thread and any process.

database = Database.open(settings.database, schemas=(keys.SCHEMA, jobs.SCHEMA))
with database.writing() as connection:
    connection.execute("INSERT INTO jobs (id) VALUES (?)", (job,))
"""

import os
import queue
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pithead.errors import StoreError
from pithead.files import lines_of

VERSION: Final = 1
"""Of all tables together; another number than the file's is refused, not guessed at."""

BUSY_S: Final = 20.0  # how long a writer waits for another one; longer and sqlite3 says "database is locked"
IDLE: Final = 16  # connections that are kept for the next reader


@dataclass(frozen=True, slots=True)
class Database:
    """A file of SQLite in WAL mode: readers never wait, writers wait for each other.

    Connections are lent: a block has one for itself, whichever thread it runs in.
    """

    path: Path
    _idle: "queue.LifoQueue[tuple[int, sqlite3.Connection]]" = field(
        default_factory=lambda: queue.LifoQueue(IDLE), repr=False
    )

    @classmethod
    def open(cls, path: Path, *, schemas: Sequence[str] = ()) -> "Database":
        """Open a file, made if there is none, with the tables of these schemas.

        A schema is SQL that may be run again and again (`CREATE TABLE IF NOT EXISTS …`). The file is for its
        owner's eyes only.

        Raises:
            StoreError: It is none of SQLite, of another version, or cannot be written.
        """
        database = cls(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Only where there is none: closing a file that SQLite has open drops all of its locks on it.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            database._prepare(schemas)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"expected a SQLite file that can be written at {path}: {error}; "
                "mend its folder or rights, or move the file away"
            ) from error
        return database

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file throughout the block."""
        with self._lent() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection that alone may write; the whole block counts, or nothing if it raises.

        Raises:
            sqlite3.OperationalError: Another writer did not end in `BUSY_S`, or the disk is full.
        """
        with self._lent() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                # SQLite has rolled back by itself after some errors, such as a full disk.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close what is not lent; a later block opens anew."""
        while True:
            try:
                self._idle.get_nowait()[1].close()
            except queue.Empty:
                return

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        finally:
            try:
                self._idle.put_nowait((os.getpid(), connection))
            except queue.Full:
                connection.close()

    def _take(self) -> sqlite3.Connection:
        while True:
            try:
                process, connection = self._idle.get_nowait()
            except queue.Empty:
                return self._connect()
            # A connection must not be used, nor closed, in a process that was forked from its own.
            if process == os.getpid():
                return connection

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun and ended above, none by sqlite3 itself.
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _prepare(self, schemas: Sequence[str]) -> None:
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with self.writing() as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, VERSION):
                raise StoreError(
                    f"expected {self.path} of version {VERSION}, got {version}: use the pithead that made it"
                )
            for schema in schemas:
                for statement in _statements(schema):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _statements(schema: str) -> Iterator[str]:
    """The statements of a text of SQL; `executescript` would end the transaction before it begins."""
    statement = ""
    for line in lines_of(schema):
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
