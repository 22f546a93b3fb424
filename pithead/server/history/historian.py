"""Who works out histories for the server: one process at a time, and what it found is kept.

A history takes seconds to minutes of a processor, and reads pixels that strangers have sent. So a process of
its own works it out, niced, and ended where it takes too long; the server's threads only wait for it, one of
them, however many histories are asked for. Whoever asks for the same one waits for the same process.
"""

import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pithead.server.cage import open_environment
from pithead.server.history.order import Order
from pithead.server.problems import LOG, Problem, unavailable
from pithead.server.settings import ROOT

PROGRAM: Final = "from pithead.server.history.child import main; main()"
LONGEST_S: Final = 600.0
"""A process that takes longer is ended."""
MOST_WAITING: Final = 8
"""Histories that may wait or be under way."""
MOST_KEPT: Final = 32
FAULT_S: Final = 30.0
"""So long it is not tried again what has failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A history as JSON, and how many detections it tells of."""

    body: bytes
    detections: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was worked out, or is about to be, of an archive in one state."""

    state: str
    answer: "Future[Answer]"
    since: float

    def holds(self, state: str) -> bool:
        """Whether it is what is asked for now."""
        if self.state != state or self.answer.cancelled():
            return False
        failed = self.answer.done() and self.answer.exception() is not None
        return not failed or time.monotonic() - self.since < FAULT_S


class Historian:
    """Works out histories, one at a time; threads may share it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._environment = open_environment(os.environ)
        self._one = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self.made = 0
        """How many were worked out."""

    def ask(self, order: Order) -> "Future[Answer]":
        """The answer to an order, now or later: JSON, or a `Problem`.

        Raises:
            Problem: 503 where too many wait.
        """
        with self._lock:
            kept = self._kept.get(order.id)
            if kept is not None and kept.holds(order.state):
                self._kept.move_to_end(order.id)
                return kept.answer
            if kept is not None:
                kept.answer.cancel()  # nobody needs it any more, unless it is under way
            if sum(not one.answer.done() for one in self._kept.values()) >= MOST_WAITING:
                raise unavailable(
                    "Full", f"expected fewer than {MOST_WAITING} histories to wait: ask again", after_s=15
                )
            answer = self._one.submit(self._worked_out, order)
            self._kept[order.id] = _Kept(order.state, answer, time.monotonic())
            self._kept.move_to_end(order.id)
            self._forget()
            return answer

    def close(self) -> None:
        """End what is under way, and take no more."""
        with self._lock:
            self._closed = True
            process = self._process
        self._one.shutdown(wait=False, cancel_futures=True)
        if process is not None:
            process.kill()
        self._one.shutdown(wait=True)

    def _forget(self) -> None:
        """Leave the histories that were asked for longest ago, as long as there are too many."""
        done = [name for name, one in self._kept.items() if one.answer.done()]
        for name in done[: max(0, len(self._kept) - MOST_KEPT)]:
            del self._kept[name]

    def _worked_out(self, order: Order) -> Answer:
        """What the process says.

        Raises:
            Problem: There is nothing to say, or it took too long, or it failed.
        """
        # Its end of this pipe tells the process that the server is gone, however it went.
        theirs, ours = os.pipe()
        try:
            with self._lock:
                if self._closed:
                    raise unavailable("Ends", "expected a server that runs, this one ends")
                process = self._process = subprocess.Popen(  # noqa: S603 (our own program)
                    [sys.executable, "-c", PROGRAM, order.to_json()],
                    env=self._environment,
                    cwd=ROOT,
                    stdin=theirs,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            self.made += 1
            return _answer(process, order)
        finally:
            self._process = None
            for end in (theirs, ours):
                os.close(end)


def _answer(process: "subprocess.Popen[bytes]", order: Order) -> Answer:
    """What a process says: a line with a status and how many detections, then JSON, or why there is none."""
    try:
        out, errors = process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=5)
        LOG.warning("the history of %s was not worked out in %.0f s", order.site, LONGEST_S)
        raise unavailable(
            "Took too long", f"expected a history within {LONGEST_S:g} s, got none", after_s=int(LONGEST_S)
        ) from error
    head, _, body = out.partition(b"\n")
    status, _, detections = head.partition(b" ")
    if process.returncode == 0 and status == b"200":
        return Answer(body, int(detections))
    if process.returncode == 0 and status == b"404":
        raise Problem(404, "Nothing to tell", body.decode())
    LOG.error(
        "the history of %s failed (%s): %s", order.site, process.returncode, errors.decode(errors="replace")
    )
    raise Problem(500)
