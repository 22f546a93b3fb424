"""A process in the cage that does what it is told, one thing after the other, and whoever tells it.

JSON heads with raw bytes go both ways (`wire`), so that a process that was taken over by an image says
nothing that could be more than a wrong answer. One that dies or takes too long is no more: make another.
"""

import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from pithead.errors import OptionError
from pithead.server.wire import LENGTHS, Line, Told, lengths, packed, read_head

START_S: Final = 60.0
"""Until it has loaded what it needs."""


class GoneError(Exception):
    """The process has died, has taken too long, or does not speak as it should."""


class Clerk:
    """One process, and our end of the line to it; for one thread at a time."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        """Start it; it dies with the thread that starts it.

        Args:
            program: Python that calls `serve`; its last argument is the number of its end of the line.
            environment: All of its variables.
        """
        self._end, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-c", program, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=dict(environment),
            )
        self._ready = False
        self.kill = weakref.finalize(self, _ended, self._process, self._end)
        """Ends the process, whatever it is doing."""

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self.kill.alive and self._process.poll() is None

    def ask(self, head: Told, within_s: float) -> tuple[dict[str, object], bytes]:
        """What it answers.

        Raises:
            GoneError: It has died, or did not answer in time; it is ended then.
        """
        try:
            if not self._ready:
                self._hear(time.monotonic() + START_S)
                self._ready = True
            self._end.settimeout(within_s)
            self._end.sendall(packed(head))
            return self._hear(time.monotonic() + within_s)
        except (OSError, EOFError, OptionError) as error:
            self.kill()
            raise GoneError("slow" if isinstance(error, TimeoutError) else "gone") from error

    def _hear(self, until: float) -> tuple[dict[str, object], bytes]:
        head, body = lengths(self._exactly(LENGTHS.size, until))
        return read_head(self._exactly(head, until)), self._exactly(body, until)

    def _exactly(self, count: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            # Not the same patience for each piece: it may say one byte after the other.
            self._end.settimeout(max(0.001, until - time.monotonic()))
            more = self._end.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)


def serve(answer: Callable[[dict[str, object]], tuple[Told, bytes]]) -> None:
    """What the process does until nobody asks any more; errors that `answer` raises end it."""
    # Whoever started it ends it; Ctrl+C in a terminal reaches every process of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection, suppress(EOFError, ConnectionError):
        line = Line(connection)
        line.send({"ready": True})
        while True:
            head, _, _ = line.receive()
            line.send(*answer(head))


def _ended(process: "subprocess.Popen[bytes]", end: socket.socket) -> None:
    process.kill()
    process.wait()
    end.close()
