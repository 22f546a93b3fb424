"""A few processes that read images, and whoever waits for one of them.

A process that crashes, falls silent or takes too long is killed and replaced; its image is refused, and
nobody else notices. What a process asks of the model goes through the server, tile by tile, so that images of
several clients share the model and its batches.
"""

import asyncio
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from pithead.server.cage import environment
from pithead.server.desk import Desk, Infer
from pithead.server.problems import Problem, unavailable
from pithead.server.scanner import Order
from pithead.server.under_way import UnderWay
from pithead.server.wire import LENGTHS, Tiles, lengths, packed, read_head, shared, tiles_of

LOG: Final = logging.getLogger("pithead.server")
SILENCE_S: Final = 4.0
"""So long a process may decode without a tile to show for it."""
START_S: Final = 60.0
BODIES: Final = 2
"""Images may be on their way for each that may wait: with half of them from one client, others have room."""
_PROGRAM: Final = "from pithead.server.scanner import main; main()"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in an image: the document as it is sent, its frame, and how many of each class."""

    body: bytes
    georeferenced: bool
    found: dict[str, int]


class BrokenError(Exception):
    """A process that does not speak any more."""


class Scanner:
    """One process that reads images, and the server's end of the line to it."""

    def __init__(self, desk: Desk) -> None:
        """Start a process; it is ready after `greet`."""
        side, slots = desk.card.tile_px, desk.settings.max_batch
        self._end, theirs = socket.socketpair()
        self._end.setblocking(False)  # noqa: FBT003 (the standard library takes it so)
        memory = shared(slots, side)
        self._tiles: Tiles = tiles_of(memory, side)
        self._said = asyncio.Lock()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), str(memory)],
                pass_fds=(theirs.fileno(), memory),
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        os.close(memory)
        self._card = desk.card.to_json().encode()

    async def greet(self) -> None:
        """Tell it the card, and wait until it is ready.

        Raises:
            BrokenError: It is not.
        """
        await self._say({}, self._card)
        async with asyncio.timeout(START_S):
            await self._hear()

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._end.close()

    async def scan(self, infer: Infer, file: int, order: Order) -> Answer:
        """What is found in an open file.

        Raises:
            Problem: It cannot be read, or takes too long to decode.
            BrokenError: The process has died of it.
        """
        try:
            socket.send_fds(self._end, [packed(asdict(order))], [file])
        except OSError as error:
            raise BrokenError("gone") from error
        listening: asyncio.Task[tuple[dict[str, Any], bytes]] = asyncio.create_task(self._hear())
        asked: set[asyncio.Task[None]] = set()
        reading = True
        try:
            while True:
                patience = SILENCE_S if reading and not asked else None
                done, _ = await asyncio.wait(
                    {listening, *asked}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    raise BrokenError("silent")
                for task in asked & done:
                    task.result()
                asked -= done
                if listening not in done:
                    continue
                head, body = listening.result()
                if "tile" in head:
                    asked.add(asyncio.create_task(self._ask(infer, int(head["tile"]))))
                elif "merging" in head:
                    reading = False
                else:
                    return _answer(head, body)
                listening = asyncio.create_task(self._hear())
        finally:
            for left in (listening, *asked):
                left.cancel()
            # The socket may be closed next, and a number that is still listened on given to another one.
            await asyncio.gather(listening, *asked, return_exceptions=True)

    async def _ask(self, infer: Infer, slot: int) -> None:
        """Put one tile through the model, and give the process its rows."""
        (rows,) = await infer(self._tiles[slot : slot + 1])
        await self._say({"slot": slot}, np.ascontiguousarray(rows, np.float32).tobytes())

    async def _say(self, head: dict[str, object], body: bytes) -> None:
        async with self._said:
            try:
                await asyncio.get_running_loop().sock_sendall(self._end, packed(head, body))
            except OSError as error:
                raise BrokenError("gone") from error

    async def _hear(self) -> tuple[dict[str, Any], bytes]:
        head, body = lengths(await self._exactly(LENGTHS.size))
        return read_head(await self._exactly(head)), await self._exactly(body)

    async def _exactly(self, count: int) -> bytes:
        data, place = bytearray(count), 0
        loop = asyncio.get_running_loop()
        while place < count:
            try:
                got = await loop.sock_recv_into(self._end, memoryview(data)[place:])
            except OSError as error:
                raise BrokenError("gone") from error
            if not got:
                raise BrokenError("gone")
            place += got
        return bytes(data)


def _answer(head: dict[str, Any], body: bytes) -> Answer:
    if "refused" in head:
        status = 413 if head["status"] == 413 else 422
        raise Problem(status, "Image cannot be scanned", str(head["refused"]))
    return Answer(body, head["frame"] == "lonlat", {str(k): int(v) for k, v in head["found"].items()})


@dataclass(slots=True)
class Pool:
    """The processes of a server, and who waits for them.

    Attributes:
        desk: Says how many there are, what may wait, and what the model is.
    """

    desk: Desk
    _idle: asyncio.Queue[Scanner] = field(default_factory=asyncio.Queue)
    _all: set[Scanner] = field(default_factory=set)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _replacing: set[asyncio.Task[None]] = field(default_factory=set)
    _waiting: Counter[str] = field(default_factory=Counter)
    _seconds: float = 1.0
    """How long one image has lately taken."""
    bodies: UnderWay = field(init=False)
    """Images that are being sent; whoever sends slowly takes no place from those who wait."""

    def __post_init__(self) -> None:
        """Let as many send as could soon wait."""
        limits = self.desk.settings.limits
        self.bodies = UnderWay(BODIES * limits.waiting, limits.waiting_of_one)

    async def start(self) -> None:
        """Start every process that is not there yet, and wait until they are ready."""
        async with self._starting:
            missing = self.desk.settings.scanners - len(self._all) - len(self._replacing)
            await asyncio.gather(*(self._add() for _ in range(missing)))

    async def close(self) -> None:
        """End every process."""
        for task in self._replacing:
            task.cancel()
        for scanner in self._all:
            scanner.kill()
        self._all.clear()

    def check_room(self, who: str) -> None:
        """Refuse whoever would find no place among those who wait.

        Raises:
            Problem: 503, there is none; 429, this client has its share. Both say when to come again.
        """
        limits = self.desk.settings.limits
        after_s = max(1, math.ceil(self._waiting.total() * self._seconds / self.desk.settings.scanners))
        if self._waiting.total() >= limits.waiting:
            raise unavailable(
                "Full", f"expected fewer than {limits.waiting} images to wait, come again", after_s=after_s
            )
        if self._waiting[who] >= limits.waiting_of_one:
            raise Problem(
                429,
                "Too many at once",
                f"expected at most {limits.waiting_of_one} images of one client to wait, come again",
                {"Retry-After": str(after_s)},
            )

    @contextmanager
    def admitted(self, who: str) -> Iterator[None]:
        """A place among those who wait, for as long as a request takes.

        Raises:
            Problem: As `check_room`.
        """
        self.check_room(who)
        self._waiting[who] += 1
        try:
            yield
        finally:
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]

    @property
    def waiting(self) -> int:
        """How many images wait or are being scanned."""
        return self._waiting.total()

    async def scan(self, file: int, order: Order) -> Answer:
        """What is found in an open file, once a process is free.

        Raises:
            Problem: 413 or 422, the image cannot be scanned; 503, that takes too long now.
        """
        await self.start()
        try:
            async with asyncio.timeout(self.desk.settings.limits.answer_s):
                while not (scanner := await self._idle.get()).runs:
                    self._replace(scanner)
                return await self._scan(scanner, file, order)
        except TimeoutError as error:
            raise unavailable(
                "Took too long",
                f"expected an answer within {self.desk.settings.limits.answer_s:g} s, got none; "
                "come again, or send the image to /v1/scenes",
            ) from error

    async def _scan(self, scanner: Scanner, file: int, order: Order) -> Answer:
        begun, whole = time.monotonic(), False
        try:
            answer = await scanner.scan(self.desk.infer, file, order)
            whole = True
        except Problem as problem:
            # What the process itself has refused leaves it as it was; what the model says may not.
            whole = problem.status_code < 500
            raise
        except BrokenError as error:
            LOG.warning("a process that reads images was replaced (%s)", error)
            raise Problem(
                422,
                "Image cannot be decoded",
                "expected an image that decodes in a few seconds, got a damaged or hostile one; "
                "save it anew as GeoTIFF",
            ) from error
        finally:
            if whole:
                self._idle.put_nowait(scanner)
            else:
                self._replace(scanner)
        self._seconds += 0.1 * (time.monotonic() - begun - self._seconds)
        return answer

    def _replace(self, scanner: Scanner) -> None:
        scanner.kill()
        self._all.discard(scanner)
        task = asyncio.create_task(self._add())
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _add(self) -> None:
        scanner = Scanner(self.desk)
        self._all.add(scanner)
        try:
            with suppress(BrokenError, TimeoutError):
                await scanner.greet()
                self._idle.put_nowait(scanner)
                return
        except BaseException:
            # Whoever waited for it has gone: one that is counted and never idle would be waited for.
            self._end(scanner)
            raise
        LOG.error("a process that reads images did not start")
        self._end(scanner)

    def _end(self, scanner: Scanner) -> None:
        scanner.kill()
        self._all.discard(scanner)
