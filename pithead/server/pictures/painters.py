"""Who paints for the server: processes in the cage, and none of the threads that answer.

Scenes that were uploaded and those of the archive's owner have processes of their own: these may be recipes
that name other files, those know five formats and no network. What takes long, a scene in small, has
processes of its own too, and whoever needs one is told to come again.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from pithead.errors import SceneError
from pithead.server.cage import environment, open_environment
from pithead.server.clerk import Clerk, GoneError
from pithead.server.pictures.order import Order, Small
from pithead.server.pictures.plate import Plate
from pithead.server.problems import LOG, unavailable

PAINTERS: Final = max(2, min(4, os.cpu_count() or 1))
"""So many pictures of uploads are made at a time, and of other scenes; a process each, from its first on."""
MAKERS: Final = 2
"""So many scenes in small are made at a time, of each kind."""
MOST_WAITING: Final = 256
PATIENCE_S: Final = 30.0
"""A picture that takes longer is given up, and its scene is not tried again for `FAULT_S`."""
LONGEST_S: Final = 600.0
"""The same for a scene in small."""
FAULT_S: Final = 60.0
WAIT_S: Final = 1.0
"""So long a tile waits for a scene in small, with no thread and no process: small scenes take no longer."""
PROGRAM: Final = "from pithead.server.pictures.child import main; main({})"


@dataclass(slots=True)
class _Crew:
    """Threads that each have a process of their own, begun when it is first needed.

    A process dies with the thread that began it, so no other thread may begin it.
    """

    program: str
    variables: Callable[[], Mapping[str, str]]
    size: int
    patience_s: float
    _own: threading.local = field(default_factory=threading.local)
    _threads: ThreadPoolExecutor = field(init=False)
    _clerks: "list[Clerk]" = field(default_factory=list)
    _waiting: "set[Future[bytes | None]]" = field(default_factory=set)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.size, thread_name_prefix="painter")

    def give(self, order: Order) -> "Future[bytes | None]":
        """The picture, now or later; None where nothing is to be seen.

        Raises:
            Problem: 503 where too many wait.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise unavailable("Full", f"expected fewer than {MOST_WAITING} pictures to wait", after_s=5)
        future = self._threads.submit(self._painted, order)
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    def close(self) -> None:
        """End every process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for clerk in list(self._clerks):
            clerk.kill()
        self._threads.shutdown(wait=True)

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of the processes."""
        return tuple(clerk.pid for clerk in self._clerks if clerk.runs)

    def _painted(self, order: Order) -> bytes | None:
        clerk: Clerk | None = getattr(self._own, "clerk", None)
        if clerk is None or not clerk.runs:
            if clerk is not None:
                clerk.kill()
                self._clerks.remove(clerk)
            clerk = self._own.clerk = Clerk(self.program, self.variables())
            self._clerks.append(clerk)
        head, body = clerk.ask(order.told(), self.patience_s)
        if "lacks" in head:
            raise _LackingError
        if "refused" in head:
            raise SceneError(str(head["refused"]))
        return body if head.get("painted") else None


class _LackingError(Exception):
    """A scene in small is needed first."""


@dataclass(slots=True)
class _Kind:
    """Who paints scenes of one kind."""

    painters: _Crew
    makers: _Crew


class Painters:
    """Paints pictures of scenes; for the event loop."""

    def __init__(self, uploads: Path) -> None:
        """Begin with no process.

        Args:
            uploads: The folder below which what was uploaded lies.
        """
        self._uploads = os.path.abspath(uploads)  # noqa: PTH100 (as the catalogue does: links stay)
        # Warping is done by GDAL's VRT, in memory; a file that is one is refused by whoever paints.
        self._strange = _kind("", partial(environment, "VRT"))
        self._own = _kind("trusted=True", partial(open_environment, os.environ))
        self._making: dict[Plate, Future[bytes | None]] = {}
        self._faults: dict[str, float] = {}

    async def paint(self, order: Order) -> bytes | None:
        """A picture as PNG; None where nothing is to be seen.

        Raises:
            SceneError: The scene cannot be read.
            Problem: 503: a scene in small is being made first, or the picture takes too long now.
        """
        kind = self._strange if self._uploaded(order.plate.path) else self._own
        try:
            return await self._asked(kind.painters, order)
        except _LackingError:
            await self._lay(kind.makers, Order(order.plate, Small(getattr(order.what, "overviews", ""))))
        try:
            return await self._asked(kind.painters, order)
        except _LackingError as error:  # its file has changed in this moment
            raise _being_made() from error

    def close(self) -> None:
        """End every process."""
        for kind in (self._strange, self._own):
            kind.painters.close()
            kind.makers.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of the processes that paint what was uploaded."""
        return self._strange.painters.pids

    def _uploaded(self, path: str) -> bool:
        return Path(path).is_relative_to(self._uploads)

    async def _asked(self, crew: _Crew, order: Order) -> bytes | None:
        """What a crew answers; a scene that was too slow, or killed a process, is let alone for a while."""
        path = order.plate.path
        if time.monotonic() < self._faults.get(path, 0.0):
            raise _cannot()
        try:
            return await asyncio.wrap_future(crew.give(order))
        except GoneError as error:
            self._blame(path, error)
            raise _cannot() from error

    async def _lay(self, makers: _Crew, order: Order) -> None:
        """Have a scene in small made, once for all that need it.

        Raises:
            SceneError: It cannot be read.
            Problem: 503: it is not done yet.
        """
        plate = order.plate
        making = self._making.get(plate)
        if making is None:
            # Of those that nobody has come back for, nothing is kept.
            self._making = {one: future for one, future in self._making.items() if not future.done()}
            making = self._making[plate] = makers.give(order)
        if not making.done():
            waiting = asyncio.wrap_future(making)
            waiting.add_done_callback(_heard)
            await asyncio.wait({waiting}, timeout=WAIT_S)
        if not making.done():
            raise _being_made()
        self._making.pop(plate, None)
        try:
            making.result()
        except (GoneError, SceneError) as error:
            self._blame(plate.path, error)
            raise _cannot() from error

    def _blame(self, path: str, error: Exception) -> None:
        LOG.warning("a scene is not painted for %.0f s: %s", FAULT_S, error)
        now = time.monotonic()
        self._faults = {one: until for one, until in self._faults.items() if until > now}
        self._faults[path] = now + FAULT_S


def _kind(told: str, variables: Callable[[], Mapping[str, str]]) -> _Kind:
    nice = ", ".join(filter(None, (told, "nice=True")))
    return _Kind(
        _Crew(PROGRAM.format(told), variables, PAINTERS, PATIENCE_S),
        _Crew(PROGRAM.format(nice), variables, MAKERS, LONGEST_S),
    )


def _being_made() -> Exception:
    return unavailable("Being made", "expected the scene in small, it is being made: ask again", after_s=3)


def _cannot() -> SceneError:
    return SceneError(
        "expected a scene of which a picture is made in half a minute, this one takes longer or breaks its "
        "reader"
    )


def _heard(waiting: "asyncio.Future[bytes | None]") -> None:
    """Hear of a failure that nobody waits for any more."""
    if not waiting.cancelled():
        waiting.exception()
