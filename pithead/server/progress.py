"""How far the scoring of a scene is, as its job tells, and what ends it before its time."""

import time
from collections.abc import Callable
from typing import Final

from pithead.catalog import Entry
from pithead.rescore import Job as Run
from pithead.rescore import Tally
from pithead.rescore.parts import count_of
from pithead.rescore.worker import part_shelf
from pithead.server import jobs
from pithead.server.database import Database
from pithead.server.jobs import Job

PART_TILES: Final = 32
"""Tiles of a part: some seconds of work, and the most that a kill costs."""
NOTED_S: Final = 1.0


class StoppedError(Exception):
    """The server ends: the job waits for the next one."""


class CancelledError(Exception):
    """Somebody has cancelled the job."""


class Progress:
    """Watches a run: notes how far it is, and ends it if it is cancelled or the server stops."""

    def __init__(
        self, database: Database, job: Job, entry: Entry, run: Run, count: int, stopped: Callable[[], bool]
    ) -> None:
        """Note where it begins.

        Args:
            database: Has the jobs.
            job: The one that is done.
            entry: Its scene.
            run: What the scene is scored with.
            count: Tiles of the scene.
            stopped: Says whether the server ends.
        """
        self._database, self._job, self._entry, self._stopped = database, job, entry, stopped
        self._shelf, self._count = part_shelf(run, entry), count
        self._parted = count_of(count, run.part_tiles) > 1
        self._began = self._looked = time.monotonic()
        self._base = self._done()
        self._note()

    def __call__(self, tally: Tally) -> None:
        """Look how far it is, and whether it is still wanted.

        Raises:
            StoppedError: The server ends.
            CancelledError: Somebody has cancelled the job.
        """
        if tally.ended is not None:
            return
        if self._stopped():
            raise StoppedError
        with self._database.reading() as connection:
            job = jobs.get(connection, self._job.id)
        if job is None or job.cancel:
            raise CancelledError
        if time.monotonic() - self._looked >= NOTED_S:
            self._note()

    def _done(self) -> int:
        """Tiles of the parts that are there, also of those that were done before a kill."""
        return min(len(self._shelf.names()) * PART_TILES, self._count) if self._parted else 0

    def _note(self) -> None:
        self._looked, done = time.monotonic(), self._done()
        fresh = done - self._base
        left = (self._looked - self._began) / fresh * (self._count - done) if fresh > 0 else None
        with self._database.writing() as connection:
            jobs.advance(
                connection,
                self._job.id,
                self._entry.id,
                self._count,
                done,
                None if left is None else round(left, 1),
            )
