"""Ten minutes of everything at once: is an answer wrong, does the server fall over, does its memory grow?

    .venv/bin/python benchmarks/serve_load.py --minutes 10

Clients ask for tiles with and without options, read lists, send scenes and wait for their jobs, and one
request in twenty sends a file that is no image. What a tile has to be answered was asked of each tile alone,
before. Memory is that of all processes of the server (PSS), from the end of the first minute to the last.
"""

import itertools
import json
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cyclopts import App
from hostile_files import Hostile, hostile_files
from rich.console import Console
from rich.table import Table
from servers import ROOT, Running, jpeg_tiles, pithead_server, running

from pithead.program import run

OPTIONS = ({}, {"min_score": "0.5"}, {"classes": "coal_heap,rail_loading"}, {"max_detections": "3"})
MAYBE = {"fuzzed tags", "flipped bytes", "polyglot"}
"""Families of bad files of which some are good images all the same."""
BAD_SHARE, SCENE_SHARE, LIST_SHARE = 0.05, 0.02, 0.20
LISTS = ("/v1/jobs", "/v1/scenes", "/v1/sites", "/v1/detections?limit=200", "/v1/models", "/metrics")
Found = dict[str, Any]
"""What /v1/detect answers."""
PIXEL, SCORE = 0.5, 2e-3
"""How far two answers for the same tile may be apart: a batch rounds otherwise than one tile alone."""
app = App(name="serve_load.py", help_format="plaintext")


@dataclass(slots=True)
class Tally:
    """What was asked and answered; many clients write to it."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, MB."""
    jobs: list[str] = field(default_factory=list)

    def note(self, kind: str, status: int) -> None:
        """One more answer."""
        self.statuses[f"{kind} {status}"] += 1
        if status >= 500 and status != 503:
            self.wrong.append(f"{kind}: {status}")


@dataclass(frozen=True, slots=True)
class Exam:
    """The tiles, and what each has to be answered under each of the options."""

    tiles: tuple[bytes, ...]
    answers: dict[tuple[int, int], Found]

    @classmethod
    def of(cls, client: httpx.Client, tiles: tuple[bytes, ...]) -> "Exam":
        """Ask each tile alone."""
        keys = itertools.product(range(len(tiles)), range(len(OPTIONS)))
        return cls(tiles, {(t, o): detected(client, tiles[t], OPTIONS[o]).json() for t, o in keys})


@app.default
def serve_load(
    *,
    minutes: float = 10.0,
    clients: int = 8,
    weights: Path = ROOT / "weights" / "starter.onnx",
    out: Path = ROOT / "out" / "bench" / "load",
    threads: int = 2,
    seed: int = 1,
) -> None:
    """Load a server and print what it answered and how its memory went.

    Args:
        minutes: How long.
        clients: How many ask at once.
        weights: The ONNX file that is served.
        out: Folder of the archive and the log.
        threads: CPU threads of the model.
        seed: What is drawn is drawn from it.
    """
    archive = out / time.strftime("%Y%m%d-%H%M%S")
    archive.mkdir(parents=True)
    command, told = pithead_server(archive, weights, threads)
    with running(command, "/readyz", archive / "server.log", told) as server:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            exam = Exam.of(client, jpeg_tiles()[:8])
        tally = loaded(server, exam, minutes * 60, clients, seed)
        waited_for(server, tally)
    shown(Console(), tally)
    if tally.wrong or growth(tally.memory) > 0.10:
        sys.exit(1)


def loaded(server: Running, exam: Exam, seconds: float, clients: int, seed: int) -> Tally:
    """Let the clients loose, and look at the memory every five seconds."""
    tally, start = Tally(), time.monotonic()
    threads = [
        threading.Thread(target=client, args=(server.url, exam, tally, start + seconds, f"{seed}-{number}"))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tally.memory.append((time.monotonic() - start, server.memory_mb))
        time.sleep(5)
    return tally


def client(url: str, exam: Exam, tally: Tally, end: float, seed: str) -> None:
    """Ask one thing after the other until the end."""
    draw = random.Random(seed)  # noqa: S311 (no secret)
    bad = bad_files(seed)
    with httpx.Client(base_url=url, timeout=120) as http:
        while time.monotonic() < end:
            try:
                asked(http, exam, tally, draw, bad)
            except httpx.HTTPError as error:
                tally.wrong.append(f"no answer: {type(error).__name__} {error}")


def asked(http: httpx.Client, exam: Exam, tally: Tally, draw: random.Random, bad: Iterator[Hostile]) -> None:
    """Ask one thing, drawn by its share, and hold the answer to what it should be."""
    what = draw.random()
    if what < BAD_SHARE:
        file = next(bad)
        answer = http.post("/v1/detect", params={"gsd_m": "0.6"}, files={"image": (file.name, file.data)})
        tally.note("bad", answer.status_code)
        if answer.is_success:
            tally.wrong.append(f"a {file.family} file was answered {answer.status_code}")
    elif what < BAD_SHARE + SCENE_SHARE:
        params = {"gsd_m": "0.6"}
        image = {"scene": ("scene.jpg", exam.tiles[draw.randrange(len(exam.tiles))])}
        answer = http.post("/v1/scenes", params=params, files=image)
        tally.note("scene", answer.status_code)
        if answer.status_code == 202:
            tally.jobs.append(answer.json()["id"])
    elif what < BAD_SHARE + SCENE_SHARE + LIST_SHARE:
        tally.note("list", http.get(draw.choice(LISTS)).status_code)
    else:
        tile, option = draw.randrange(len(exam.tiles)), draw.randrange(len(OPTIONS))
        answer = detected(http, exam.tiles[tile], OPTIONS[option])
        tally.note("tile", answer.status_code)
        if answer.is_success and (why := difference(answer.json(), exam.answers[tile, option])):
            tally.wrong.append(f"tile {tile}, {OPTIONS[option]}: {why}")


def bad_files(seed: str) -> Iterator[Hostile]:
    """Files that are no images, again and again; those that may still be one are left out."""
    drawn = hostile_files(400, int(seed.replace("-", "")))
    surely = [file for file in drawn if file.family not in MAYBE]
    return itertools.cycle([file for file in surely if not file.data.startswith((b"GIF", b"BM"))])


def detected(client: httpx.Client, tile: bytes, options: dict[str, str]) -> httpx.Response:
    """Ask for the detections of a tile."""
    headers = {"Content-Type": "image/jpeg"}
    return client.post("/v1/detect", params={"gsd_m": "0.6", **options}, content=tile, headers=headers)


def difference(answer: Found, expected: Found) -> str:
    """How an answer differs from what was expected; empty where it does not."""
    mine, theirs = answer["features"], expected["features"]
    if len(mine) != len(theirs):
        return f"expected {len(theirs)} detections, got {len(mine)}"
    for one, other in zip(mine, theirs, strict=True):
        if one["properties"]["class"] != other["properties"]["class"]:
            return "another class"
        if abs(one["properties"]["score"] - other["properties"]["score"]) > SCORE:
            return "another score"
        places = (flat(each["geometry"]["coordinates"]) for each in (one, other))
        pairs = zip(*places, strict=False)
        if any(abs(a - b) > PIXEL for a, b in pairs):
            return "another place"
    return ""


def flat(coordinates: object) -> Iterator[float]:
    """The numbers of nested lists."""
    if isinstance(coordinates, list):
        for one in coordinates:
            yield from flat(one)
    else:
        yield float(coordinates)


def waited_for(server: Running, tally: Tally) -> None:
    """Wait until the last job has ended, ten minutes at most, and note how they did."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        end = time.monotonic() + 600
        for job in dict.fromkeys(tally.jobs):
            state = "queued"
            while state in {"queued", "running"} and time.monotonic() < end:
                state = client.get(f"/v1/jobs/{job}").json()["state"]
                time.sleep(0.05)
            tally.statuses[f"job {state}"] += 1
            if state != "done":
                tally.wrong.append(f"job {job} ended as {state}")


def growth(memory: list[tuple[float, float]]) -> float:
    """How much the memory grew from the end of the first minute to the last, as a share."""
    first = [mb for second, mb in memory if 60 <= second < 120] or [memory[0][1]]
    last = [mb for second, mb in memory if second > memory[-1][0] - 60]
    return statistics.median(last) / statistics.median(first) - 1


def shown(console: Console, tally: Tally) -> None:
    """Print what came of it."""
    table = Table("asked and answered", "times")
    for name, count in sorted(tally.statuses.items()):
        table.add_row(name, str(count))
    console.print(table)
    console.print(f"wrong: {len(tally.wrong)}", json.dumps(tally.wrong[:20], indent=1))
    most = max(mb for _, mb in tally.memory)
    console.print(f"memory: {tally.memory[0][1]:.0f} MB at the start, most {most:.0f}")
    console.print(f"growth after the first minute: {100 * growth(tally.memory):.1f} %")


if __name__ == "__main__":
    run(app)
