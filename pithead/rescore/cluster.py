"""Workers of a Ray cluster: actors with a model each, on whatever machines there are and come."""

import os
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pithead.errors import OptionError, PitheadError
from pithead.rescore.task import Job, Outcome, Task
from pithead.rescore.worker import Worker

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else ray reports every cluster home
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

_LOOK_S = 5.0
_PATIENCE_S = 600.0


class RayCrew:
    """As many actors as the cluster has room for; machines that come are used, those that go are missed."""

    def __init__(self, job: Job, address: str, *, gpus_each: float = 0.0, most: int | None = None) -> None:
        """Join a cluster, or begin one on this machine where "auto" finds none, or always with "local".

        Args:
            job: What they work on; its paths must mean the same on every machine.
            address: Of the cluster's head, HOST:6379; "auto" for the one that this machine belongs to.
            gpus_each: GPUs of a worker; with 0 it takes CPU cores, as many as the job names threads.
            most: At most so many workers.

        Raises:
            OptionError: No cluster answers there.
        """
        address = _meant(address)
        if address == "local":
            # Else Ray looks which way a name server of somebody else's lies, to learn its own address.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray  # noqa: PLC0415 (two seconds that a run on one machine need not wait)

        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                _join(ray, address)
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise OptionError(f"expected a Ray cluster at {address}: {reason}") from error
        self._job, self._gpus_each, self._most = job, gpus_each, most
        cpus = 0.0 if gpus_each else float(job.threads or 1)
        self._kind: Any = ray.remote(num_cpus=cpus, num_gpus=gpus_each, max_restarts=0)(_Actor)
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Task, float]] = {}
        self._looked = self._seen = 0.0
        self._grow()

    @property
    def workers(self) -> int:
        """How many actors there are, also those that are only starting."""
        return len(self._starting) + len(self._idle) + len(self._busy)

    @property
    def free(self) -> int:
        """How many of them wait for a task."""
        return len(self._idle)

    def give(self, task: Task) -> None:
        """Give a task to a free actor.

        Raises:
            ValueError: Nobody is free.
        """
        if not self._idle:
            raise ValueError("expected a free worker, got none: ask `free` first")
        actor = self._idle.pop()
        self._busy[actor.do.remote(task)] = actor, task, time.monotonic()

    def take(self, timeout_s: float) -> Sequence[tuple[Task, Outcome]]:
        """Every task that has ended, waiting at most so long for one.

        Raises:
            PitheadError: For ten minutes there has been no worker at all, or one cannot open the weights.
        """
        self._grow()
        open_ = [*self._starting, *self._busy]
        if not open_:
            time.sleep(timeout_s)
            return []
        done, _ = self._ray.wait(open_, num_returns=len(open_), timeout=0)
        if not done:
            done, _ = self._ray.wait(open_, num_returns=1, timeout=timeout_s)
        overdue = time.monotonic() - self._job.patience_s
        for actor in [actor for actor, _, since in self._busy.values() if since < overdue]:
            self._ray.kill(actor)  # then its task is lost
        return [ended for ref in done for ended in self._heard(ref)]

    def close(self) -> None:
        """End every actor, and leave the cluster if this crew has joined it."""
        for actor in [*self._starting.values(), *self._idle, *(actor for actor, *_ in self._busy.values())]:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()

    def _heard(self, ref: Any) -> list[tuple[Task, Outcome]]:  # noqa: ANN401 (ray publishes no type of it)
        starting = self._starting.pop(ref, None)
        actor, task, _ = (starting, None, 0) if starting is not None else self._busy.pop(ref)
        try:
            outcome = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            if getattr(error, "actor_init_failed", False):
                raise PitheadError(f"a worker cannot begin: {lines[-1].strip()}") from error
            self._call_the_roll(actor)
            reason = lines[0]
            return [] if task is None else [(task, Outcome("lost", error=f"the worker died: {reason}"))]
        self._idle.append(actor)
        return [] if task is None else [(task, outcome)]

    def _call_the_roll(self, dead: Any) -> None:  # noqa: ANN401
        """Nobody is given a task before having answered: with one actor a whole machine may have gone."""
        self._ray.kill(dead)  # one that is only out of reach would keep its place
        self._starting |= {actor.ready.remote(): actor for actor in self._idle}
        self._idle.clear()

    def _grow(self) -> None:
        """Start actors where the cluster has room, looking every few seconds."""
        now = time.monotonic()
        self._seen = self._seen or now
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        if self._idle or self._busy:
            self._seen = now
        elif now - self._seen > _PATIENCE_S:
            raise PitheadError(f"expected a worker of the cluster within {_PATIENCE_S:.0f} s, got none")
        for _ in range(self._wanted() - self.workers):
            actor: Any = self._kind.remote(self._job)
            self._starting[actor.ready.remote()] = actor

    def _wanted(self) -> int:
        """How many actors the machines that are there now have room for."""
        total = self._ray.cluster_resources()
        each = self._gpus_each or float(self._job.threads or 1)
        room = int(total.get("GPU" if self._gpus_each else "CPU", 0) / each)
        return room if self._most is None else min(room, self._most)


class _Actor(Worker):
    """A worker that a cluster can ask whether it is there."""

    def ready(self) -> None:
        """Answer, once the detector is open."""


def _join(ray: Any, address: str) -> None:  # noqa: ANN401 (the module)
    """Join the cluster, or begin one of this machine alone.

    Whether anybody answers is asked first: Ray itself would try for minutes, and then end the process.
    """
    settings = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        # What Ray leaves of a dashboard that is not asked for asks the clouds whether this machine is theirs.
        ray._private.services.start_api_server = lambda *_, **__: (None, None)  # noqa: SLF001
    elif "://" not in address and not _answers(address):
        raise ConnectionError("nobody answers there; start one with: ray start --head --port 6379")
    ray.init(address=address, **settings)


def _meant(address: str) -> str:
    """The address of a cluster that there is, or "local" where "auto" finds none."""
    if address != "auto":
        return address
    address = os.environ.get("RAY_ADDRESS") or _running() or "local"
    return address if address == "local" or _answers(address) else "local"


def _running() -> str | None:
    """The address of the cluster that was last begun on this machine; Ray leaves it in a file."""
    try:
        return (Path(tempfile.gettempdir()) / "ray" / "ray_current_cluster").read_text(
            "utf-8"
        ).strip() or None
    except OSError:
        return None


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except (OSError, ValueError):
        return False
