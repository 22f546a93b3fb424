"""pithead's server beside others: tiles of 1024 × 1024 px as JPEG, from 1, 4 and 16 clients, on the CPU.

    make .venv-bench/.ready
    .venv/bin/python benchmarks/serve_peers.py --torch yolo26n-obb.pt

- `bare`: a loop that unpacks a JPEG and runs its windows through the detector; no server, no merge;
- `pithead`: the server of this checkout, POST /v1/detect, GeoJSON out;
- `litserve`: LitServe with the same ONNX file and windows, rows out, nothing merged;
- `bentoml`: the shape of BentoML's YOLO example: torch weights, a file in, ultralytics at 1024 px, rows out.

A tile of 1024 px is four windows of 640 px (1.6 megapixels) for the first three, and one of 1024 px (1.0) for
the last. Every server has the same number of threads for its model. Rounds go through all of them in turn.
"""

import io
import json
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
from cyclopts import App, Parameter
from peer_windows import windows
from PIL import Image
from rich.console import Console
from rich.table import Table
from servers import ROOT, jpeg_tiles, pithead_server, running

from pithead.detector import Detector
from pithead.program import run

BENCH_PYTHON = str(ROOT / ".venv-bench" / "bin" / "python")
QUIET = {"YOLO_OFFLINE": "True", "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
app = App(name="serve_peers.py", help_format="plaintext")


@dataclass(frozen=True, slots=True)
class Load:
    """What one server did under so many clients, in one round.

    Attributes:
        name: The server.
        clients: How many asked at once.
        per_s: Tiles a second.
        p50_ms: Half of the answers came in less.
        p95_ms: 95 of 100 did.
        p99_ms: 99 of 100 did.
        failed: Answers other than 200.
    """

    name: str
    clients: int
    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int


Ask = Callable[[httpx.Client, bytes], int]


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line says.

    Attributes:
        torch: Torch weights for the BentoML example; without them it is left out.
        weights: The ONNX file for all others.
        out: Folder of archives and logs.
        clients: How many ask at once.
        seconds: Length of each measurement.
        rounds: How often each is measured.
        threads: CPU threads of each model.
        only: Measure these only.
        report: Write every number to this file, as JSON.
    """

    torch: Path | None = None
    weights: Path = ROOT / "weights" / "starter.onnx"
    out: Path = ROOT / "out" / "bench" / "serve"
    clients: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = (1, 4, 16)
    seconds: float = 20.0
    rounds: int = 3
    threads: int = 2
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = ()
    report: Path | None = None

    @property
    def names(self) -> list[str]:
        """What is measured, in turn."""
        names = [
            name for name in ("bare", "pithead", "litserve", "bentoml") if not self.only or name in self.only
        ]
        return [name for name in names if name != "bentoml" or self.torch is not None]


@app.default
def serve_peers(told: Annotated[Told, Parameter(name="*")] = Told()) -> None:
    """Measure every server under every number of clients and print a table."""
    told.out.mkdir(parents=True, exist_ok=True)
    tiles, loads, model_ms = jpeg_tiles(), list[Load](), list[float]()
    for number in range(told.rounds):
        for name in told.names:
            if name == "bare":
                load, model = bare(told, tiles)
                loads.append(load)
                model_ms.append(model)
            else:
                loads += served(name, tiles, told, told.out / f"{name}-{number}")
            print(f"round {number + 1}: {name}", file=sys.stderr)
    console = Console(width=120)
    console.print(table(loads))
    if model_ms:
        told_overhead(console, loads, statistics.median(model_ms))
    if told.report is not None:
        every = {"model_ms": model_ms, "loads": [asdict(load) for load in loads]}
        told.report.write_text(json.dumps(every, indent=1))


def bare(told: Told, tiles: Sequence[bytes]) -> tuple[Load, float]:
    """A loop without a server, and the median time of its model alone, in ms."""
    detector = Detector.open(told.weights, threads=told.threads, verify=False)
    side, took, model = detector.card.tile_px, list[float](), list[float]()
    detector.detect(np.zeros((4, side, side, 3), np.uint8))
    end = time.perf_counter() + told.seconds
    while (began := time.perf_counter()) < end:
        with Image.open(io.BytesIO(tiles[len(took) % len(tiles)])) as image:
            cut = windows(np.asarray(image.convert("RGB")), side)
        ready = time.perf_counter()
        detector.detect(cut)
        done = time.perf_counter()
        took.append(done - began)
        model.append(done - ready)
    return summary("bare", 1, took, sum(took), 0), 1000 * statistics.median(model)


def served(name: str, tiles: Sequence[bytes], told: Told, folder: Path) -> list[Load]:
    """Start a server and ask it with so many clients, one number after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    command, more, ready, ask = start_of(name, told, folder)
    cwd = ROOT if name == "pithead" else ROOT / "benchmarks"
    with running(command, ready, folder.with_suffix(".log"), {**QUIET, **more}, cwd=cwd) as server:
        return [asked(name, server.url, ask, tiles, count, told.seconds) for count in told.clients]


def start_of(name: str, told: Told, folder: Path) -> tuple[list[str], dict[str, str], str, Ask]:
    """The command of a server, its environment, the path that says it is ready, and how it is asked."""
    if name == "pithead":
        return *pithead_server(folder, told.weights, told.threads), "/readyz", as_pithead
    more = {"OMP_NUM_THREADS": str(told.threads), "PEER_THREADS": str(told.threads)}
    if name == "litserve":
        more |= {"PEER_WEIGHTS": str(told.weights)}
        return [BENCH_PYTHON, "peer_litserve.py", "{port}"], more, "/health", as_litserve
    more |= {"PEER_WEIGHTS": str(told.torch), "BENTOML_HOME": str(folder / "bentoml")}
    command = [BENCH_PYTHON, "-m", "bentoml", "serve", "peer_bento:Peer", "--port", "{port}"]
    return command, more, "/readyz", as_bentoml


def as_pithead(client: httpx.Client, tile: bytes) -> int:
    """Ask pithead; a tile without georeference needs its resolution."""
    headers = {"Content-Type": "image/jpeg"}
    return client.post("/v1/detect", params={"gsd_m": "0.6"}, content=tile, headers=headers).status_code


def as_litserve(client: httpx.Client, tile: bytes) -> int:
    """Ask LitServe."""
    return client.post("/predict", files={"image": ("tile.jpg", tile, "image/jpeg")}).status_code


def as_bentoml(client: httpx.Client, tile: bytes) -> int:
    """Ask the BentoML example."""
    return client.post("/predict", files={"images": ("tile.jpg", tile, "image/jpeg")}).status_code


def asked(name: str, url: str, ask: Ask, tiles: Sequence[bytes], clients: int, seconds: float) -> Load:
    """So many clients ask, each as soon as it has been answered; the first answers are not counted."""
    took: list[float] = []
    failed: list[int] = []
    gate = threading.Barrier(clients + 1)
    end = [0.0]

    def client(number: int) -> None:
        with httpx.Client(base_url=url, timeout=120) as http:
            for warm in range(3):
                ask(http, tiles[warm % len(tiles)])
            gate.wait()
            turn = number
            while time.perf_counter() < end[0] or not end[0]:
                began = time.perf_counter()
                status = ask(http, tiles[turn % len(tiles)])
                (took if status == 200 else failed).append(time.perf_counter() - began)  # type: ignore[arg-type]
                turn += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    end[0] = time.perf_counter() + 3600
    gate.wait()
    began = time.perf_counter()
    end[0] = began + seconds
    for thread in threads:
        thread.join()
    return summary(name, clients, took, time.perf_counter() - began, len(failed))


def summary(name: str, clients: int, took: Sequence[float], seconds: float, failed: int) -> Load:
    """The figures of answers that took so long each, in so many seconds altogether."""
    p50, p95, p99 = 1000 * np.percentile(took, (50, 95, 99)) if took else (np.nan,) * 3
    return Load(name, clients, len(took) / seconds, float(p50), float(p95), float(p99), failed)


def table(loads: Sequence[Load]) -> Table:
    """Least–median–most of the rounds, and the throughput as a share of the bare loop's in the same round."""
    of: dict[tuple[str, int], list[Load]] = defaultdict(list)
    for load in loads:
        of[load.name, load.clients].append(load)
    bases = [load.per_s for load in of.get(("bare", 1), [])]
    shown = Table("server", "clients", "tiles/s", "of bare", "p50 ms", "p95 ms", "p99 ms", "failed")
    for (name, clients), some in of.items():
        shares = [load.per_s / base for load, base in zip(some, bases, strict=False)]
        shown.add_row(
            name, str(clients), spread([x.per_s for x in some], 2), spread(shares, 3),
            *(spread([getattr(x, key) for x in some], 0) for key in ("p50_ms", "p95_ms", "p99_ms")),
            str(sum(x.failed for x in some)),
        )  # fmt: skip
    return shown


def spread(values: Sequence[float], digits: int) -> str:
    """Least, median and most."""
    if not values:
        return ""
    return "–".join(f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))


def told_overhead(console: Console, loads: Sequence[Load], model_ms: float) -> None:
    """What one client waits beyond the model's own time."""
    console.print(f"the model alone, on the four windows of a tile: {model_ms:.1f} ms (median)")
    for name in dict.fromkeys(load.name for load in loads):
        alone = [load.p50_ms for load in loads if load.name == name and load.clients == 1]
        if alone:
            console.print(f"{name}: one client waits {statistics.median(alone) - model_ms:.1f} ms longer")


if __name__ == "__main__":
    run(app)
