"""Where a run is looked at from outside: a status file, and figures for Prometheus."""

import contextlib
import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Gauge, generate_latest, start_http_server

from pithead.errors import OptionError
from pithead.files import write_whole
from pithead.rescore.tally import HELP, Tally

_EVERY_S = 2.0


class Board:
    """Writes a tally as JSON, as a .prom file beside it, and serves it on loopback if asked to."""

    def __init__(self, path: Path, port: int | None = None) -> None:
        """Begin to answer GET /metrics on that port of this machine, if there is one.

        Raises:
            OptionError: The port is taken, or is none.
        """
        self._path, self._written = path, 0.0
        self._registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(f"pithead_rescore_{name}", told, registry=self._registry)
            for name, told in HELP.items()
        }
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        if port is not None:
            try:
                self._server = start_http_server(port, addr="127.0.0.1", registry=self._registry)
            except (OSError, OverflowError) as error:
                raise OptionError(f"expected a free port, got {port}: {error}") from error

    def __enter__(self) -> Self:
        """The board itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer no more."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()

    def show(self, tally: Tally) -> None:
        """Take the figures of a tally; they are written every two seconds, and at its end."""
        for name, value in tally.told.items():
            self._gauges[name].set(value)
        if tally.ended is None and time.monotonic() - self._written < _EVERY_S:
            return
        self._written = time.monotonic()
        # A run does not end because nobody can be told how far it is: a full disk says so where it matters.
        with contextlib.suppress(OSError):
            write_whole(self._path, json.dumps(tally.json(), indent=2, ensure_ascii=False) + "\n")
            write_whole(self._path.with_suffix(".prom"), generate_latest(self._registry))
