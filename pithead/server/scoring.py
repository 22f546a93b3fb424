"""One job after the other: its scene is taken into the catalogue, scored as by rescore.py, and stored.

Whatever dies in between, the next try goes on: the catalogue, the parts of a scene, the store and the log
each know what is there already.
"""

import contextlib
import errno
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pithead.card import Card
from pithead.catalog import Entry, renewed
from pithead.dates import parse_time
from pithead.detector import Detector
from pithead.errors import PitheadError, StoreError
from pithead.rescore import Archive, LocalCrew, Options, Plan, Shell, drive, gpus, reconcile
from pithead.rescore import Job as Run
from pithead.rescore.intake import note_changes, register, take_scenes
from pithead.rescore.plan import tiles
from pithead.rescore.worker import part_shelf
from pithead.server import jobs
from pithead.server.cage import MODEL_BYTES, environment, shut_in
from pithead.server.clerk import GoneError
from pithead.server.database import Database
from pithead.server.discreet import without_folders
from pithead.server.jobs import TRIES, Job
from pithead.server.progress import PART_TILES, CancelledError, Progress, StoppedError
from pithead.server.settings import Settings
from pithead.server.sweep import sweep
from pithead.server.taking import Taker
from pithead.sidefiles import Facts
from pithead.store import RunRecord

PAUSE_S: Final = 15.0
"""How long to wait where there is no room, or something is broken that no job is to blame for."""
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class _FailedError(Exception):
    """The scene cannot be scored; the text says why, to whoever sent it."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """What has to be known of the weights without keeping them open."""

    card: Card
    sha256: str


class Scorer:
    """Does jobs of one archive with the weights that are served; its worker process stays between jobs."""

    def __init__(self, settings: Settings, database: Database, stopped: Callable[[], bool]) -> None:
        """Begin without weights; they are opened for the first job.

        Args:
            settings: Which archive, weights and device.
            database: Has the jobs.
            stopped: Says whether the server ends; asked about twice a second.
        """
        self._settings, self._database, self._stopped = settings, database, stopped
        self._options = Options()
        self._weights: _Weights | None = None
        self._crew: LocalCrew | None = None
        self._run: tuple[Run, bool] | None = None
        self._taker = Taker()

    def close(self) -> None:
        """End the worker processes; the next job starts others."""
        self._taker.close()
        self._end_crew()

    def _end_crew(self) -> None:
        if self._crew is not None:
            self._crew.close()
        self._crew = self._run = None

    def do(self, archive: Archive, job: Job) -> float:
        """Do a job that was claimed, to its end or until it has to wait; says how many seconds to pause.

        Args:
            archive: Held by `Archive.alone`.
            job: It is running.

        Raises:
            StoppedError: The server ends.
        """
        try:
            self._do(archive, job)
        except StoppedError:
            self._put_back(job, None, counted=False)
            raise
        except CancelledError:
            self.close()  # a part is under way that nobody wants any more
            self._give_up(job, None)
        except _FailedError as error:
            self._give_up(job, self.said(str(error)))
        except PitheadError as error:
            return self._hindered(job, error)
        return 0.0

    def said(self, error: str, place: str = "", name: str = "") -> str:
        """An error as a client may read it: one line, without paths, with the names of the server's fields.

        Args:
            error: The text.
            place: The path of the scene.
            name: What it is called instead.
        """
        line = " ".join(error.split())
        known = {
            place: name,
            str(self._settings.archive.absolute()): "archive",
            str(self._settings.archive): "archive",
        }
        for path in sorted(filter(None, known), key=len, reverse=True):
            line = line.replace(path, known[path])
        line = without_folders(line)
        line = re.sub(r"^\w+Error: ", "", line)
        return line.replace("with --gsd", "as gsd_m").replace("--gsd", "gsd_m")[:1000]

    # --- one job

    def _do(self, archive: Archive, job: Job) -> None:
        if job.tries > TRIES:
            raise _FailedError(
                f"expected to score it, the process that tried died {TRIES} times: the server's log says more"
            )
        if job.cancel:
            raise CancelledError
        entry = self._entry(archive, job)
        weights = self._opened(archive)
        name = f"{RunRecord.folder(weights.sha256, self._options.sha256)}/{entry.sha256}.json"
        if not archive.store.shelf.exists(name):
            self._score(archive, job, entry, weights)
        else:
            # Scored before, or by a worker that was killed before it could say so, perhaps even in the log.
            reconcile(archive, weights.sha256, self._options.sha256)
        record = archive.store.record(name)
        with self._database.writing() as connection:
            every = int(record.tiles["all"])
            jobs.advance(connection, job.id, entry.id, every, every, None)
            jobs.finish(connection, job.id, name, record.rows)
        if job.place is not None and entry.href != str(self._settings.uploads.absolute() / job.place):
            sweep_uploads(self._settings, self._database)  # the scene lies elsewhere: no second copy is kept

    def _score(self, archive: Archive, job: Job, entry: Entry, weights: _Weights) -> None:
        """Score a scene that is not scored yet; its record is in the store and in the log then.

        Raises:
            _FailedError: Its file is gone, is another one, or was tried three times.
        """
        entry = self._at_rest(archive, entry)
        if self._uploaded(entry.href):
            self._check_hollow(entry, weights.card)
        count = tiles(entry, weights.card, self._options)
        todo = Plan((entry,), count, tiles_of={entry.id: count})
        run = Run(
            self._settings.weights.absolute(), weights.sha256, self._options,
            archive.store_place, archive.work_place, {site.name: site for site in archive.catalog.sites()},
            self._settings.threads, self._settings.device,
            part_tiles=PART_TILES, verify=self._settings.verify,
        )  # fmt: skip
        progress = Progress(self._database, job, entry, run, count, self._stopped)
        try:
            crew = self._crew_of(run, strange=self._uploaded(entry.href))
            tally = drive(archive, todo, run, crew, progress)
        except CancelledError:
            for name in (shelf := part_shelf(run, entry)).names():
                shelf.remove(name)
            raise
        reason = tally.failures.get(entry.id)
        if reason is not None:
            raise _FailedError(self.said(reason, entry.href, entry.id))

    def _check_hollow(self, entry: Entry, card: Card) -> None:
        """Refuse few bytes that would be many tiles, as only its georeference has told.

        Raises:
            _FailedError: It is so.
        """
        pixels = entry.width * entry.height * math.prod(max(1.0, gsd / card.gsd_m) for gsd in entry.gsd_m)
        why = self._settings.limits.why_hollow(pixels, entry.bytes or 0)
        if why is not None:
            raise _FailedError(f"at {card.gsd_m:g} m per pixel {why}")

    def _at_rest(self, archive: Archive, entry: Entry) -> Entry:
        """The scene of an entry as its file is now.

        Raises:
            _FailedError: It is gone, or holds other bytes.
        """
        state = "changed" if entry.changed else archive.catalog.state(entry)
        if state == "gone":
            raise _FailedError(f"expected the file of the scene {entry.id}, it is not where it was taken in")
        if state == "changed":
            note_changes(archive, Plan((), 0, changed=(entry,)))
            raise _FailedError(
                f"expected the scene {entry.id} as it was taken in, its file holds other bytes now"
            )
        if state == "touched":
            entry = renewed(entry)
            note_changes(archive, Plan((entry,), 0, touched=(entry,)))
        return entry

    def _opened(self, archive: Archive) -> _Weights:
        """The weights; they are in the log then.

        Raises:
            PitheadError: They cannot be opened.
        """
        if self._weights is None:
            settings = self._settings
            # On the CPU: it is asked for its card only, and whoever scores opens the file again.
            detector = Detector.open(settings.weights, threads=1, device="cpu", verify=settings.verify)
            register(archive, detector)
            self._weights = _Weights(detector.card, detector.sha256)
        return self._weights

    def _crew_of(self, run: Run, *, strange: bool) -> LocalCrew:
        """Worker processes for a run; those that are there, if they were made for the same.

        Args:
            run: What they work on.
            strange: Whether a stranger has made the scene: then they are shut in.
        """
        if self._crew is None or self._run != (run, strange):
            self._end_crew()
            many = 0 if run.device == "cpu" else gpus()
            self._crew = LocalCrew(run, 1, many, _shell(run, many) if strange else None)
            self._run = run, strange
        return self._crew

    def _uploaded(self, href: str) -> bool:
        """Whether a scene was sent, and not taken in by whoever runs the archive."""
        return Path(href).is_relative_to(self._settings.uploads.absolute())

    # --- its scene

    def _entry(self, archive: Archive, job: Job) -> Entry:
        if job.scene is not None:
            for entry in archive.catalog.scenes():
                if entry.id == job.scene:
                    return entry
        if job.place is None:
            raise _FailedError(f"expected the scene {job.scene}, the catalogue does not have it any more")
        return self._taken_in(archive, job, self._settings.uploads.absolute() / job.place)

    def _taken_in(self, archive: Archive, job: Job, path: Path) -> Entry:
        """The entry of an upload; bytes that are known already are one scene.

        What is known of such a scene is not said anew by whoever sends it again; what nobody knew is.
        """
        facts = facts_of(job)
        known = _by_sha256(archive, path.parent.name)
        if known is not None and not known.changed and archive.catalog.state(known) in {"same", "touched"}:
            facts = Facts(
                acquired=facts.acquired if known.acquired is None else None,
                sensor=facts.sensor if known.sensor is None else None,
            )
            path = Path(known.href)
        self._take(archive, job, path, facts)
        entry = _by_sha256(archive, job.place.partition("/")[0] if job.place else "")
        if entry is None:
            raise _FailedError(
                f"expected the scene {job.name} to be as it was sent, its file holds other bytes"
            )
        return entry

    def _take(self, archive: Archive, job: Job, path: Path, facts: Facts) -> None:
        """Take a file in; one that was sent, where it can do no harm.

        Raises:
            _FailedError: It cannot be read.
        """
        site = job.facts.get("site")
        if self._uploaded(str(path)):
            try:
                reason = self._taker.take(archive.folder, path, site, facts)
            except GoneError as error:
                raise _FailedError("expected a scene that can be read, this one breaks its reader") from error
        else:
            news = take_scenes(archive, [str(path)], site, facts)
            reason = next((reason for _, reason in news.failed), None)
        if reason is not None:
            raise _FailedError(self.said(reason, str(path), job.name))

    # --- how it ends

    def _hindered(self, job: Job, error: PitheadError) -> float:
        """What no scene is to blame for: the job waits, and if it was not for want of room, not for ever."""
        self.close()
        self._weights = None
        reason = self.said(str(error))
        # A run that ends because a worker had no room to write says so without a cause.
        no_room = _no_room(error) or (isinstance(error, StoreError) and error.__cause__ is None)
        if not no_room and job.tries >= TRIES:
            self._give_up(job, reason)
            return 0.0
        self._put_back(job, f"waits: {reason}", counted=not no_room)
        return PAUSE_S

    def _put_back(self, job: Job, note: str | None, *, counted: bool) -> None:
        with self._database.writing() as connection:
            jobs.put_back(connection, job.id, note, counted=counted)

    def _give_up(self, job: Job, error: str | None) -> None:
        with self._database.writing() as connection:
            jobs.give_up(connection, job.id, error)
        sweep_uploads(self._settings, self._database)


def _shell(run: Run, many: int) -> Shell:
    """What is round a process that reads uploads; with a store at an address it keeps the network."""
    away = "://" in run.store or "://" in run.work
    enter = partial(shut_in, memory=None if many else MODEL_BYTES, network=away)
    return Shell({**os.environ, **environment()} if away else environment(), enter)


def sweep_uploads(settings: Settings, database: Database) -> None:
    """Remove uploads that came to nothing; what cannot be removed now is so after the next job."""
    with contextlib.suppress(PitheadError, OSError), database.writing() as connection:
        sweep(settings.uploads, jobs.places(connection), Archive.open(settings.archive).catalog.scenes())


def facts_of(job: Job) -> Facts:
    """What was said of an upload."""
    return Facts(
        acquired=parse_time(job.facts.get("acquired")),
        sensor=job.facts.get("sensor"),
        gsd_m=job.facts.get("gsd_m"),
    )


def _by_sha256(archive: Archive, sha256: str) -> Entry | None:
    return next((entry for entry in archive.catalog.scenes() if entry.sha256 == sha256), None)


def _no_room(error: BaseException) -> bool:
    """Whether a disk is full or refuses to be written to."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return True
        cause = cause.__cause__
    return False
