"""The mirror, held to the archive before each answer."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pithead.card import Card
from pithead.errors import CatalogError
from pithead.rescore import Archive
from pithead.server.database import Database
from pithead.server.mirror.detections import doubt_again, hear, place_again
from pithead.server.mirror.doubt import Doubt
from pithead.server.mirror.events import read_on
from pithead.server.mirror.runs import Faults, show, take_runs
from pithead.server.mirror.scenes import take_scenes
from pithead.server.problems import unavailable
from pithead.shelf import FolderShelf

WAIT_S: Final = 20.0
"""So long a request waits for another one that holds the mirror to the archive."""
_SETTLED_S: Final = 0.5  # two files written within a tick of the clock have one time
_REMOTE_S: Final = 5.0  # a store behind an address is listed no more often

_Stamps = tuple[tuple[str, int, int], ...]
"""Of files: name, time and size."""


@dataclass(frozen=True, slots=True)
class Served:
    """The weights that the server serves."""

    card: Card
    sha256: str


class Mirror:
    """The tables of one archive; threads may share it."""

    def __init__(self, database: Database, folder: Path, served: Served) -> None:
        """Nothing is read yet.

        Args:
            database: Where the tables are.
            folder: The archive; made if there is none.
            served: The weights that are served: their results are shown first.
        """
        self._database = database
        self._folder = folder
        self._served = served
        self._alone = threading.Lock()
        self._faults = Faults()
        self._archive: Archive | None = None
        self._looked: _Look | None = None
        self._known = False

    @property
    def archive(self) -> Archive:
        """The archive, made if there is none.

        Raises:
            CatalogError: It is damaged, or of another make.
        """
        if self._archive is None:
            try:
                self._archive = Archive.open(self._folder, make=True)
            except CatalogError:
                self._archive = Archive.open(self._folder)  # made by another process in this moment
        return self._archive

    def fresh(self) -> None:
        """Hold the tables to catalogue, store and log; what is as it was costs a few looks at files.

        Raises:
            Problem: 503 while another request does it, which takes longer than usual.
            PitheadError: The archive is damaged.
        """
        archive = self.archive
        if self._known_now(_look(archive)) == (True, True):
            return
        if not self._alone.acquire(timeout=WAIT_S):
            raise unavailable("Index is being made", "expected the index, it is being made: ask again")
        try:
            look = _look(archive)
            log, rest = self._known_now(look)
            self._looked = None
            if not (log and rest):
                self._update(archive, only_log=rest)
            self._looked = look
        finally:
            self._alone.release()

    def _known_now(self, look: "_Look") -> tuple[bool, bool]:
        """Whether the log, and whether all else, is as it was when it was read."""
        was = self._looked
        if was is None:
            return False, False
        rest = was.rest == look.rest and was.rest_lay and not self._faults.due
        return was.log == look.log and was.log_lay, rest

    def _update(self, archive: Archive, *, only_log: bool) -> None:
        """Each step goes on where a kill has left it."""
        database = self._database
        self._note_served()
        runs = read_on(database, archive.log.path)
        doubt_again(database)
        if runs or not only_log:
            ground = take_scenes(database, archive.catalog)
            place_again(database, ground)
            take_runs(database, archive.store, ground, self._faults)
            show(database, self._served.sha256)
        hear(database)

    def _note_served(self) -> None:
        """Write down what is known of the weights that are served: nobody else knows their curves."""
        if self._known:
            return
        thresholds, curves = Doubt.of_card(self._served.card).as_texts()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO mirror_weights (sha256, name, thresholds, calibration) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (sha256) DO UPDATE SET name = excluded.name, thresholds = excluded.thresholds, "
                "calibration = excluded.calibration",
                (self._served.sha256, self._served.card.name, thresholds, curves),
            )
        self._known = True


@dataclass(frozen=True, slots=True)
class _Look:
    """Times and sizes of what the tables are made of."""

    log: "_Stamps"
    rest: "_Stamps"
    log_lay: bool
    """Whether it was not written so lately that more could have come in the same tick of the clock."""
    rest_lay: bool


def _look(archive: Archive) -> _Look:
    shelf = archive.store.shelf
    paths = [archive.folder / "catalog.json", archive.folder / "sites.geojson"]
    more: _Stamps = ()
    if isinstance(shelf, FolderShelf):
        paths += _folders(Path(shelf.place) / "runs")
    else:
        more = (("store", 0, int(time.monotonic() / _REMOTE_S)),)
    log, rest = (_stamp(archive.log.path),), (*map(_stamp, paths), *more)
    return _Look(log, rest, _lies(log), _lies(rest))


def _folders(runs: Path) -> Iterator[Path]:
    """The folders of run records: one that gains or loses a record has another time."""
    yield runs
    for depth in ("*", "*/*"):
        yield from sorted(runs.glob(depth))


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), found.st_mtime_ns, found.st_size


def _lies(stamps: "_Stamps") -> bool:
    latest = max(written for _, written, _ in stamps)
    return time.time_ns() - latest > _SETTLED_S * 1e9
