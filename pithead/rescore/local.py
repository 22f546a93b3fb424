"""Workers of this machine: processes, each with its own pipe, so that whose death hit which task is known."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from pithead.errors import OptionError, PitheadError, WeightsError
from pithead.rescore.task import Job, Outcome, Task
from pithead.rescore.worker import Worker

_MOST_BAD_STARTS = 3
_GPUS = Path("/proc/driver/nvidia/gpus")
_FAREWELL_S = 5.0
_MOST_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Shell:
    """What is round each process of a crew that reads what nobody answers for.

    Attributes:
        variables: All of its environment.
        enter: Called in it before anything else; gives up what it does not need.
    """

    variables: Mapping[str, str]
    enter: Callable[[], None]


@dataclass(slots=True)
class _Hand:
    """A process, our end of its pipe, and what it is doing."""

    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None
    since: float = 0.0
    """When it was given its task."""


class LocalCrew:
    """Worker processes on this machine; one that dies is replaced."""

    def __init__(self, job: Job, workers: int, gpus: int = 0, shell: Shell | None = None) -> None:
        """Start the processes.

        Args:
            job: What they work on.
            workers: How many there are.
            gpus: Over how many GPUs they are spread; 0 for none.
            shell: What each is shut in; None for nothing.

        Raises:
            OptionError: No workers.
        """
        if workers < 1:
            raise OptionError(f"expected at least 1 worker, got {workers}")
        self._job, self._gpus, self._shell = job, gpus, shell
        # A forked child would inherit threads and locks of onnxruntime and GDAL in the middle of their work.
        self._context = multiprocessing.get_context("spawn")
        self._bad_starts = 0
        self._hands = [self._started(number) for number in range(workers)]

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return len(self._hands)

    @property
    def free(self) -> int:
        """How many of them wait for a task."""
        return sum(hand.ready and hand.task is None for hand in self._hands)

    @property
    def processes(self) -> tuple[int, ...]:
        """The process numbers of the workers."""
        return tuple(hand.process.pid or 0 for hand in self._hands)

    def give(self, task: Task) -> None:
        """Give a task to a free worker; one that has just died is told of by `take`.

        Raises:
            ValueError: Nobody is free.
        """
        for hand in self._hands:
            if hand.ready and hand.task is None:
                hand.task, hand.since = task, time.monotonic()
                with contextlib.suppress(OSError):
                    hand.pipe.send(task)
                return
        raise ValueError("expected a free worker, got none: ask `free` first")

    def take(self, timeout_s: float) -> Sequence[tuple[Task, Outcome]]:
        """Every task that has ended, waiting at most so long for one.

        Raises:
            PitheadError: The processes cannot be started; the reason is that of the last one.
        """
        pipes = {hand.pipe: number for number, hand in enumerate(self._hands)}
        ended: list[tuple[Task, Outcome]] = []
        for pipe in wait(list(pipes), timeout_s):
            ended += self._heard(pipes[pipe])  # type: ignore[index]  # only pipes were waited for
        overdue = time.monotonic() - self._job.patience_s
        for number, hand in enumerate(self._hands):
            if hand.task is not None and hand.since < overdue:
                hand.process.kill()
                ended += self._buried(number)
        return ended

    def close(self) -> None:
        """End every process."""
        for hand in self._hands:
            hand.pipe.close()
            hand.process.terminate()
        for hand in self._hands:
            hand.process.join(_FAREWELL_S)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()

    def _heard(self, number: int) -> list[tuple[Task, Outcome]]:
        hand = self._hands[number]
        try:
            # Never unpickled: what a scene has done to its reader must not reach whoever listens to it.
            message = hand.pipe.recv_bytes(_MOST_BYTES)
            if hand.ready:
                outcome = Outcome.from_json(message)
        except (EOFError, OSError, OptionError):
            hand.process.kill()
            return self._buried(number)
        if not hand.ready:
            if message:
                raise WeightsError(message.decode("utf-8", "replace"))
            hand.ready, self._bad_starts = True, 0
            return []
        task, hand.task = hand.task, None
        return [] if task is None else [(task, outcome)]

    def _buried(self, number: int) -> list[tuple[Task, Outcome]]:
        """A worker has died: another takes its place, and its task is told as lost."""
        hand = self._hands[number]
        hand.pipe.close()
        hand.process.join(_FAREWELL_S)
        if hand.process.is_alive():  # its pipe has ended, and it hangs in its last breath
            hand.process.kill()
            hand.process.join(_FAREWELL_S)
        how = _told(hand.process.exitcode)
        if not hand.ready:
            self._bad_starts += 1
            if self._bad_starts >= _MOST_BAD_STARTS:
                raise PitheadError(
                    f"expected worker processes to start, the last of {_MOST_BAD_STARTS} {how}"
                )
        self._hands[number] = self._started(number)
        return [] if hand.task is None else [(hand.task, Outcome("lost", error=f"the worker {how}"))]

    def _started(self, number: int) -> _Hand:
        ours, theirs = self._context.Pipe()
        gpu = number % self._gpus if self._gpus else None
        enter = None if self._shell is None else self._shell.enter
        process = self._context.Process(target=_serve, args=(theirs, self._job, gpu, enter), daemon=True)
        with _variables(self._shell):
            process.start()
        theirs.close()
        return _Hand(process, ours)


@contextlib.contextmanager
def _variables(shell: Shell | None) -> Iterator[None]:
    """The environment of a process that starts in this block: it has that of this one at this moment."""
    ours = dict(os.environ)
    try:
        if shell is not None:
            os.environ.clear()
            os.environ.update(shell.variables)
        yield
    finally:
        if shell is not None:
            os.environ.clear()
            os.environ.update(ours)


def _serve(pipe: Connection, job: Job, gpu: int | None, enter: Callable[[], None] | None) -> None:
    """What a worker process does until its pipe ends: then the run is over, or whoever led it is dead."""
    if enter is not None:
        enter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the leader ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    try:
        worker = Worker(job)
    except PitheadError as error:
        pipe.send_bytes(str(error).encode("utf-8", "replace"))
        return
    pipe.send_bytes(b"")
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(worker.do(pipe.recv()).to_json())


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with status {code}"


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """How many NVIDIA GPUs the driver of this machine shows."""
    return len(list(_GPUS.iterdir())) if _GPUS.is_dir() else 0
