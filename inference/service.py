"""The server: tiles are answered at once, scenes in the background, and what is found is reviewed on a map.

    make serve
    python inference/service.py keys add NAME --role review --archive ARCHIVE

What it does lies in `pithead.server`; here it is put behind BentoML. `Pithead` answers HTTP, all of it
through the one application that `create_app` makes. `Tiles` holds the model in a process of its own: it takes
tiles and nothing else, and BentoML puts those of several clients into one batch. Variables PITHEAD_* say how
it is set up (`pithead.server.settings`).
"""

import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

# BentoML reports home unless this is set, and looks when it is imported.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import bentoml
import numpy as np
import numpy.typing as npt
from bentoml._internal.marshal.dispatcher import Optimizer
from bentoml._internal.utils.analytics import usage_stats
from bentoml.exceptions import BentoMLException
from circus.arbiter import Arbiter  # type: ignore[import-untyped]
from cyclopts import App
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from pithead.card import Card
from pithead.errors import PitheadError
from pithead.program import run
from pithead.server import metrics
from pithead.server.app import create_app
from pithead.server.cage import end_with_parent
from pithead.server.keys import commands
from pithead.server.problems import unavailable
from pithead.server.routes.detect import pool_of
from pithead.server.settings import Settings

WARM_CALLS: Final = 14
"""So many calls BentoML makes alone, one by one or with pauses, before it has measured how long they take."""
HOUR_MS: Final = 3_600_000
"""What waits longer for the model BentoML drops; what may wait at all is decided where requests come in."""
UPLOAD_S: Final = 14_400
"""BentoML ends a request without an answer after this: a scene of 50 GiB takes so long at 30 Mbit/s."""
FOREVER: Final = 10**12
QUIET: Final[dict[str, Any]] = {
    # One line for every tile would be said here, and the audit says more of every request.
    "logging": {"access": {"enabled": False}},
    # One series for every path that anybody asks for; ours are in `pithead.server.metrics`.
    "metrics": {"enabled": False, "namespace": "pithead"},
}


def _settings() -> Settings:
    try:
        return Settings.of(os.environ)
    except PitheadError as error:
        raise SystemExit(f"error: {error}") from error


SETTINGS: Final = _settings()
usage_stats.do_not_track.cache_clear()  # `bentoml serve` has looked already, and keeps what it saw
# BentoML holds a call back for nearly as long as others have lately waited, for more to come: after a busy
# minute a lone client would wait for nobody. Without that memory a call goes out as soon as the model is
# free, with all that has come meanwhile (tests/test_service.py).
Optimizer.wait = property(lambda _: 0.0, lambda _, __: None)  # type: ignore[assignment]
_open_context: Final = Arbiter._init_context  # noqa: SLF001


def _within(arbiter: Arbiter, context: object) -> None:
    """Let the processes be ordered about from within alone.

    What starts them takes orders, such as to start any program, at a port of loopback and asks nobody for a
    key: every user of the machine could become the one who serves (tests/test_server_attacks.py).
    """
    arbiter.endpoint, arbiter.pubsub_endpoint = (
        f"inproc://{name}-{id(arbiter)}" for name in ("orders", "events")
    )
    _open_context(arbiter, context)


Arbiter._init_context = _within  # noqa: SLF001


@bentoml.service(
    name="tiles",
    workers=1,
    traffic={"timeout": SETTINGS.limits.answer_s + 10},
    # After so many calls, 100 without this, BentoML closes every connection, those in use as well.
    runner_connection={"max_requests": FOREVER, "max_age": float(FOREVER)},
    **QUIET,
)
class Tiles:
    """The model, in one process; whatever comes together goes through it together."""

    def __init__(self) -> None:
        """Open the weights once; rows of any score come out, and who asked says which count."""
        from pithead.detector import Detector  # noqa: PLC0415 (only this process needs onnxruntime)

        end_with_parent(signal.SIGTERM)
        detector = Detector.open(
            SETTINGS.weights, threads=SETTINGS.threads, device=SETTINGS.device, verify=SETTINGS.verify
        )
        self._detector = detector.asked_for(min_score=0.0)

    @bentoml.api(batchable=True, max_batch_size=SETTINGS.max_batch, max_latency_ms=HOUR_MS)  # type: ignore[untyped-decorator]
    def rows(self, tiles: np.ndarray) -> np.ndarray:
        """Rows (n, K, 7) of tiles (n, side, side, 3) uint8, filled up with not-a-number."""
        begun = time.perf_counter()
        found = self._detector.detect(tiles)
        metrics.ran(len(tiles), time.perf_counter() - begun)
        out = np.full((len(tiles), self._detector.card.top_k, 7), np.nan, np.float32)
        for rows, place in zip(found, out, strict=True):
            place[: len(rows)] = rows
        return out

    @bentoml.api  # type: ignore[untyped-decorator]
    def weights(self) -> dict[str, str]:
        """The card, and the hash of the file."""
        return {"card": self._detector.card.to_json(), "sha256": self._detector.sha256}


class OneApp:
    """Every request goes to our application: BentoML's own pages, health and schema are not reachable."""

    app: FastAPI | None = None

    def __init__(self, bento: ASGIApp) -> None:
        """Wrap BentoML's application."""
        self._bento = bento

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; BentoML keeps the beginning and the end of the process."""
        ours = OneApp.app if scope["type"] != "lifespan" else None
        await (ours or self._bento)(scope, receive, send)


@bentoml.service(
    name="pithead",
    workers=1,
    traffic={"timeout": UPLOAD_S},
    http={"host": SETTINGS.host, "port": 3000},
    **QUIET,
)
class Pithead:
    """HTTP for a small team of analysts."""

    tiles = bentoml.depends(Tiles)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Refuse weights that cannot be served, in one line, before any process is started."""
        from pithead.detector import Detector  # noqa: PLC0415 (only for a moment)

        try:
            Detector.open(SETTINGS.weights, device=SETTINGS.device, verify=SETTINGS.verify)
        except PitheadError as error:
            raise SystemExit(f"error: {error}") from error

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def begin(self) -> None:
        """Wait for the model, warm it up, and open the doors."""
        # Else a server whose first process was killed goes on unseen, and the next one finds its port taken.
        end_with_parent(signal.SIGTERM)
        told = await self._weights()
        card = Card.from_json(told["card"])
        app = create_app(SETTINGS, self.infer, card=card, weights_sha256=told["sha256"])
        self._open = AsyncExitStack()
        await self._open.enter_async_context(app.router.lifespan_context(app))
        blank = np.zeros((1, card.tile_px, card.tile_px, 3), np.uint8)
        for _ in range(WARM_CALLS):
            await self.infer(blank)
        await pool_of(app).start()
        OneApp.app = app

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def end(self) -> None:
        """End what stands behind the application."""
        await self._open.aclose()

    async def infer(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Tiles (n, side, side, 3) through the model, with whatever else comes at the same time.

        Raises:
            Problem: 503, the process of the model is gone; it comes again by itself.
        """
        try:
            out = await self.tiles.to_async.call("rows", tiles)
        except (aiohttp.ClientError, TimeoutError, BentoMLException) as error:
            raise unavailable("Model away", "expected the model to answer; it is being started") from error
        return [rows[~np.isnan(rows[:, 5])] for rows in out]

    async def _weights(self) -> dict[str, str]:
        while True:
            try:
                told: dict[str, str] = await self.tiles.to_async.call("weights")
            except (aiohttp.ClientError, TimeoutError, BentoMLException):
                await asyncio.sleep(1)
            else:
                return told


Pithead.add_asgi_middleware(OneApp)  # type: ignore[attr-defined]

if __name__ == "__main__":
    program = App(help="Keys of the server; it is started with `make serve` or `bentoml serve`.")
    program.command(commands)
    run(program)
