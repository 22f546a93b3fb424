"""The process that scores scenes in the background: one for an archive, and never without its server.

The server starts it, starts it again when it dies, and holds the other end of its standard input: when that
ends, the server is gone, however it went, and the worker goes too. What it was doing waits in the table of
jobs for the next one.
"""

import contextlib
import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from pithead.errors import CatalogError
from pithead.rescore import Archive
from pithead.server import jobs
from pithead.server.database import Database
from pithead.server.progress import StoppedError
from pithead.server.scoring import Scorer, sweep_uploads
from pithead.server.settings import ROOT, Settings

LOG: Final = logging.getLogger("pithead.server")
LOCK: Final = "server.lock"
PROGRAM: Final = "from pithead.server.worker import main; main()"
LOOK_S: Final = 0.5
"""How often a worker without work looks for some, and one at work whether it is to stop."""
IDLE_S: Final = 60.0
"""How long the process with the model is kept when there is nothing to do."""
PATIENCE_S: Final = 10.0
"""How long a worker may take to end of itself."""
_NICE: Final = 10
_LONGEST_S: Final = 60.0
_STEADY_S: Final = 120.0


class Keeper:
    """Keeps one worker running: starts it, starts it again after it died, and ends it."""

    def __init__(self, settings: Settings) -> None:
        """Start the first one at once.

        Args:
            settings: Of the server; its archive is made if there is none.
        """
        self._settings, self._ending = settings, threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        self._process = self._started()
        self._thread = threading.Thread(target=self._keep, name="worker", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs at this moment; one that has died is started again after a pause."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it: it puts its job back first, and is killed if that takes too long."""
        self._ending.set()
        with self._lock:
            process = self._process
        _ended(process)
        self._thread.join()

    def _keep(self) -> None:
        pause = 1.0
        while not self._ending.is_set():
            began = time.monotonic()
            status = self._process.wait()
            if self._ending.is_set():
                return
            _ended(self._process)  # what it has started may live on
            pause = 1.0 if time.monotonic() - began > _STEADY_S else min(2 * pause, _LONGEST_S)
            LOG.error("the worker ended with status %s; another one starts in %.0f s", status, pause)
            if self._ending.wait(pause):
                return
            self._start_again()

    def _start_again(self) -> None:
        """Start another one; a machine that has no process to spare now may have one in a minute."""
        with self._lock:
            while not self._ending.is_set():
                try:
                    self._process = self._started()
                except OSError:
                    LOG.exception("the worker cannot be started; it is tried again in %.0f s", _LONGEST_S)
                    self._ending.wait(_LONGEST_S)
                else:
                    return

    def _started(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        # A session of its own: Ctrl-C in the server's terminal reaches the server, which ends the worker, and
        # the worker with all that it has started can be killed together.
        return subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-c", PROGRAM, str(self.starts)],
            env=environment(self._settings, os.environ),
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


def start_worker(settings: Settings) -> Keeper:
    """Make the archive if there is none, and start its worker; `Keeper.stop` ends it.

    Raises:
        CatalogError: What lies there is no archive, or cannot be written to.
    """
    made_archive(settings.archive)
    return Keeper(settings)


def made_archive(folder: Path) -> Archive:
    """The archive in a folder, made if there is none.

    Raises:
        CatalogError: What lies there is none, or it cannot be written to.
    """
    try:
        return Archive.open(folder, make=True)
    except CatalogError:
        if not (folder / "catalog.json").exists():
            raise
        return Archive.open(folder)  # another process was as quick


def environment(settings: Settings, ours: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker: ours, with these settings, and where the library is."""
    kept = {k: v for k, v in ours.items() if not k.startswith(("PITHEAD_", "PROMETHEUS_"))}
    path = os.pathsep.join(filter(None, [str(ROOT), ours.get("PYTHONPATH", "")]))
    return kept | settings.environment() | {"PYTHONPATH": path}


def main() -> None:
    """What the process does until its standard input ends.

    Its argument counts the workers that this server has started.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    threading.Thread(target=_leave_with, args=(os.getppid(), stop), daemon=True).start()
    settings = Settings.of(os.environ)
    with alone(settings.archive, stop) as mine:
        if mine:
            Worker(settings, stop).serve(first=sys.argv[1:] == ["1"])


class Worker:
    """Does the jobs of an archive, one after the other, until it is told to stop."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """Open what it works on.

        Args:
            settings: Those of the server.
            stop: Set when it is to end.

        Raises:
            PitheadError: There is no archive, or no database.
        """
        self._settings, self._stop = settings, stop
        self._database = Database.open(settings.database, schemas=(jobs.SCHEMA,))
        self._archive = made_archive(settings.archive)
        self._scorer = Scorer(settings, self._database, stop.is_set)

    def serve(self, *, first: bool = True) -> None:
        """Work until it is told to stop.

        Args:
            first: Whether it is the first since the server started: else the one before has died, perhaps
                over its job.
        """
        with self._database.writing() as connection:
            jobs.recover(connection, blamed=not first)
        sweep_uploads(self._settings, self._database)
        worked = time.monotonic()
        try:
            while not self._stop.is_set():
                if self._waiting():
                    pause = self._work()
                    worked = time.monotonic()
                    self._stop.wait(pause or LOOK_S)
                    continue
                if time.monotonic() - worked > IDLE_S:
                    self._scorer.close()
                self._stop.wait(LOOK_S)
        finally:
            self._scorer.close()
            self._database.close()

    def _waiting(self) -> bool:
        with self._database.reading() as connection:
            return jobs.waiting(connection)

    def _work(self) -> float:
        """Do jobs until there is none, or one has to wait; says how many seconds to pause."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._archive.alone())
            except CatalogError as error:
                self._say(_why(error))
                return 2 * LOOK_S
            self._say(None)
            self._archive.store.tidy()
            with contextlib.suppress(StoppedError):
                while not self._stop.is_set():
                    with self._database.writing() as connection:
                        job = jobs.claim(connection)
                    if job is None:
                        return 0.0
                    pause = self._scorer.do(self._archive, job)
                    if pause:
                        return pause
        return 0.0

    def _say(self, text: str | None) -> None:
        with self._database.writing() as connection:
            jobs.note(connection, text)


@contextlib.contextmanager
def alone(archive: Path, stop: threading.Event) -> Iterator[bool]:
    """Be the one worker of an archive, once the one before is gone; False if it is to stop before that."""
    with (archive / LOCK).open("a") as file:
        while not stop.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(LOOK_S)
                continue
            yield True
            return
        yield False


def _why(error: CatalogError) -> str:
    cause = error.__cause__
    if isinstance(cause, BlockingIOError):
        return "waits: another run holds the archive, such as inference/rescore.py"
    reason = cause.strerror if isinstance(cause, OSError) else "it cannot be held"
    return f"waits: the archive cannot be written to ({reason})"


def _leave_with(server: int, stop: threading.Event) -> None:
    """Stop when standard input ends or the server is no more, and be killed if that takes too long.

    Two signs, since another child of a server that was killed may still hold the other end.
    """
    source: IO[bytes] = sys.stdin.buffer
    while os.getppid() == server and not stop.is_set():
        if select.select([source], [], [], 2 * LOOK_S)[0] and not os.read(source.fileno(), 4096):
            break
    stop.set()
    time.sleep(PATIENCE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End a worker, in its own time if it does not take too long, and all that it has started."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE_S + 2)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left, as it should be
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
