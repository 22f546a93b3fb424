"""The driver: gives tasks to a crew until every scene of a plan has its record, or is set aside."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pithead.catalog import Entry
from pithead.errors import StoreError
from pithead.rescore.archive import Archive
from pithead.rescore.crew import Crew
from pithead.rescore.plan import Plan, failed_shelf, forgive, set_aside
from pithead.rescore.tally import Tally
from pithead.rescore.task import Job, Outcome, Task
from pithead.store import RunRecord

TRIES = 3
"""So often a task may fail before its scene is set aside: twice may be a machine's fault."""
_TICK_S = 0.5

Watch = Callable[[Tally], None]


@dataclass(slots=True)
class _Open:
    """A large scene of which parts are being done."""

    entry: Entry
    waiting: set[int]
    tiles: int = 0


@dataclass(slots=True)
class _Run:
    """What the driver keeps in mind; nothing of it is needed to go on after a kill."""

    archive: Archive
    job: Job
    crew: Crew
    tally: Tally
    fresh: deque[Entry]
    ready: deque[Task] = field(default_factory=deque)
    again: deque[Task] = field(default_factory=deque)
    scenes: dict[str, _Open] = field(default_factory=dict)
    tries: dict[tuple[str, str, int], int] = field(default_factory=dict)
    in_flight: int = 0

    @property
    def left(self) -> bool:
        """Whether a task is under way or still to be given."""
        return bool(self.in_flight or self.ready or self.fresh or self.again)

    def next(self) -> Task | None:
        """The next task: parts of scenes that are begun, then new scenes, then what has failed before."""
        if self.ready:
            return self.ready.popleft()
        if self.fresh:
            return Task("open", self.fresh.popleft())
        return self.again.popleft() if self.again else None

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Take an outcome to its consequence."""
        self.in_flight -= 1
        self.tally.end(task, outcome)
        if task.entry.id in self.tally.failures:
            return  # a part that was under way when its scene was set aside
        match outcome.end:
            case "finished":
                self._finished(task, outcome)
            case "split":
                self._split(task, outcome)
            case "part":
                self._part(task, outcome)
            case "full":
                raise StoreError(
                    f"{outcome.error} in {self.job.store} or {self.job.work}: mend that and run again; what "
                    "is done is kept"
                )
            case "changed":
                self._set_aside(task.entry, outcome.error, noted=False)
            case _:
                self._failed(task, outcome.error)

    def _finished(self, task: Task, outcome: Outcome) -> None:
        scene = self.scenes.pop(task.entry.id, None)
        self.tally.settle(task, 0 if scene is None else scene.tiles)
        if outcome.record is not None:
            self.archive.log.append("run.finished", run_facts(outcome.record))

    def _split(self, task: Task, outcome: Outcome) -> None:
        if task.kind == "join" and self._tried(task) >= TRIES:
            self._set_aside(task.entry, f"its parts were done {TRIES} times and cannot be read back")
            return
        scene = self.scenes.setdefault(task.entry.id, _Open(task.entry, set()))
        scene.waiting = set(outcome.missing)
        self.ready.extend(Task("part", task.entry, number) for number in outcome.missing)
        self._join_if_whole(scene)

    def _part(self, task: Task, outcome: Outcome) -> None:
        scene = self.scenes[task.entry.id]
        scene.waiting.discard(task.number)
        scene.tiles += outcome.tiles
        self._join_if_whole(scene)

    def _join_if_whole(self, scene: _Open) -> None:
        if not scene.waiting:
            self.ready.appendleft(Task("join", scene.entry))

    def _failed(self, task: Task, error: str) -> None:
        if self._tried(task) < TRIES:
            self.again.append(task)
        else:
            # A file that is gone is told by every plan, and scored when it is back.
            self._set_aside(task.entry, error, noted=task.entry.remote or Path(task.entry.href).exists())

    def _tried(self, task: Task) -> int:
        key = (task.entry.id, task.kind, task.number)
        self.tries[key] = self.tries.get(key, 0) + 1
        return self.tries[key]

    def _set_aside(self, entry: Entry, error: str, *, noted: bool = True) -> None:
        """Leave a scene out of this run; if it is noted, also out of later ones until it is asked for."""
        self.tally.failures[entry.id] = error
        if self.scenes.pop(entry.id, None) is not None:  # of any other scene there was this one task
            self.ready = deque(task for task in self.ready if task.entry.id != entry.id)
            self.again = deque(task for task in self.again if task.entry.id != entry.id)
        if noted:
            set_aside(failed_shelf(self.job.work, self.job.weights_sha256, self.job.options), entry, error)
        self.archive.log.append(
            "run.failed",
            {
                "scene": entry.id,
                "scene_sha256": entry.sha256,
                "weights_sha256": self.job.weights_sha256,
                "options_sha256": self.job.options.sha256,
                "error": without_places(error, entry, self.job),
            },
        )


def without_places(error: str, entry: Entry, job: Job) -> str:
    """An error as the log may keep it, which goes out with exports: without paths and addresses of ours."""
    places = {entry.href: entry.id, job.work: "work", job.store: "store", str(job.weights): job.weights.name}
    for place in sorted(places, key=len, reverse=True):
        error = error.replace(place, places[place])
    return error


def drive(archive: Archive, todo: Plan, job: Job, crew: Crew, watch: Watch | None = None) -> Tally:
    """Score every scene of a plan; a scene that fails three times is set aside and stops no other.

    Args:
        archive: Held by `Archive.alone`.
        todo: The scenes.
        job: What the crew was made for.
        crew: The workers; it is not closed.
        watch: Called about twice a second, and at the end.

    Raises:
        StoreError: There is no room to write.
        PitheadError: No worker can be started.
    """
    forgive(failed_shelf(job.work, job.weights_sha256, job.options), todo.todo)
    tally = Tally(todo)
    run = _Run(archive, job, crew, tally, deque(todo.todo))
    looked = 0.0
    with _told_end(tally, watch):
        while run.left:
            while crew.free and (task := run.next()) is not None:
                crew.give(task)
                tally.begin(task)
                run.in_flight += 1
            for ended, outcome in crew.take(_TICK_S):
                run.ended(ended, outcome)
            tally.workers = crew.workers
            if watch is not None and time.monotonic() - looked >= _TICK_S:
                watch(tally)
                looked = time.monotonic()
    return tally


@contextmanager
def _told_end(tally: Tally, watch: Watch | None) -> Iterator[None]:
    """Tell whoever watches how it ended: else a run that was stopped would seem to go on."""
    try:
        yield
        tally.state = "ended"
    except BaseException:
        tally.state = "stopped"
        raise
    finally:
        tally.ended = time.monotonic()
        if watch is not None:
            watch(tally)


def run_facts(record: RunRecord) -> dict[str, Any]:
    """What the log says of a finished run."""
    return {
        "scene": record.scene,
        "scene_sha256": record.scene_sha256,
        "weights_sha256": record.weights_sha256,
        "options_sha256": record.options_sha256,
        "result_sha256": record.result_sha256,
        "rows": record.rows,
        "version": record.version,
    }


def reconcile(archive: Archive, weights_sha256: str, options_sha256: str) -> int:
    """Log every record of the store that a killed driver left out of the log; returns how many.

    Raises:
        EvidenceError: The log is broken.
        StoreError: A record is damaged.
    """
    run = {"weights_sha256": weights_sha256, "options_sha256": options_sha256}
    told = (record.facts for record in archive.log.records() if record.kind == "run.finished")
    known = {facts["scene_sha256"] for facts in told if facts and run.items() <= facts.items()}
    mine = {entry.sha256 for entry in archive.catalog.scenes()}  # a store may be shared by several archives
    missed = sorted(archive.store.finished(weights_sha256, options_sha256) & mine - known)
    names = (f"{RunRecord.folder(weights_sha256, options_sha256)}/{scene}.json" for scene in missed)
    late = [run_facts(archive.store.record(name)) for name in names]
    archive.log.append_many([("run.finished", {**facts, "late": True}) for facts in late])
    return len(late)
