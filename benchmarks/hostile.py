"""Does a server live through files that mean no good? Sends them to /v1/detect of one that runs.

    make serve
    .venv/bin/python benchmarks/hostile.py http://127.0.0.1:3000 --count 1000
    .venv/bin/python benchmarks/hostile.py http://127.0.0.1:3000 --count 200 --scenes

prints what each family was answered and how long the slowest took. An answer that should not be (5xx, or
a refusal later than --patience), or a server that no longer finds a good image good, is told and ends with
status 1.
With --scenes they go to /v1/scenes, what was taken in is waited for and looked at on the map, and a job that
does not end, or a map that breaks, is told too: send them to a server whose archive may be thrown away.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import httpx
from cyclopts import App
from hostile_files import Hostile, good, hostile_files
from rich.console import Console
from rich.table import Table

from pithead.program import run

ACCEPTED: Final = 202

app = App(name="hostile.py", help_format="plaintext")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a file was answered."""

    family: str
    number: int
    status: int
    """0 where there was none."""
    seconds: float
    job: str | None = None
    """What scores it, if it was taken for a scene."""

    def is_bad(self, patience_s: float) -> bool:
        """Whether a server should not have answered so; what is an image after all may take its time."""
        return not (200 <= self.status < 500) or (self.status >= 400 and self.seconds > patience_s)


@app.default
def hostile(
    server: str,
    *,
    count: int = 1000,
    seed: int = 1,
    patience: float = 5.0,
    key: str = "",
    scenes: bool = False,
) -> None:
    """Send COUNT bad files to the SERVER and print what they were answered.

    Args:
        server: Its address, such as http://127.0.0.1:3000.
        count: How many files.
        seed: The same seed sends the same files.
        patience: Seconds within which each has to be answered.
        key: An API key, where the server wants one.
        scenes: Send them as scenes that are to be scored.
    """
    headers = {"X-API-Key": key} if key else {}
    with httpx.Client(base_url=server, headers=headers, timeout=patience * 6) as client:
        path = "/v1/scenes" if scenes else "/v1/detect"
        answers = [sent(client, number, file, path) for number, file in enumerate(hostile_files(count, seed))]
        answers += list(followed(client, answers, patience))
        alive = sent(client, -1, Hostile("good", "good.png", good("PNG")))
    console = Console()
    console.print(table(answers))
    bad = [answer for answer in answers if answer.is_bad(patience)]
    for answer in bad:
        console.print(f"bad: file {answer.number} ({answer.family}): {answer.status}, {answer.seconds:.1f} s")
    console.print(f"a good image afterwards: {alive.status}")
    if bad or alive.status != 200:
        sys.exit(1)


def sent(client: httpx.Client, number: int, file: Hostile, path: str = "/v1/detect") -> Answer:
    """Send one file as a browser would, and wait for its answer."""
    began, job = time.perf_counter(), None
    field = "scene" if path == "/v1/scenes" else "image"
    try:
        answer = client.post(
            path, params={"gsd_m": "0.6"}, files={field: (file.name, file.data, "image/tiff")}
        )
        status = answer.status_code
        if status == ACCEPTED:
            job = answer.json()["id"]
    except httpx.HTTPError:
        status = 0
    return Answer(file.family, number, status, time.perf_counter() - began, job)


def followed(client: httpx.Client, answers: Iterable[Answer], patience_s: float) -> Iterator[Answer]:
    """What became of scenes that were taken in: 200 for a job that has ended, and the answer of the map."""
    for answer in [one for one in answers if one.job is not None]:
        began, job = time.perf_counter(), {"state": "queued", "scene": None}
        while job["state"] in {"queued", "running"} and time.perf_counter() - began < 12 * patience_s:
            job = client.get(f"/v1/jobs/{answer.job}").json()
            time.sleep(0.1)
        ended = job["state"] in {"done", "failed"}
        yield Answer(f"{answer.family}: job {job['state']}", answer.number, 200 if ended else 0, 0.0)
        if job["scene"] is not None:
            began = time.perf_counter()
            status = client.get(f"/v1/scenes/{job['scene']}/tiles/20/524288/524288.png").status_code
            yield Answer(f"{answer.family}: tile", answer.number, status, time.perf_counter() - began)


def table(answers: Iterable[Answer]) -> Table:
    """Families, how often each status was answered, and the longest wait."""
    of: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        of[answer.family].append(answer)
    shown = Table("family", "files", "statuses", "slowest s")
    for family, some in of.items():
        statuses = sorted({answer.status for answer in some})
        told = ", ".join(f"{status}: {sum(a.status == status for a in some)}" for status in statuses)
        shown.add_row(family, str(len(some)), told, f"{max(answer.seconds for answer in some):.2f}")
    return shown


if __name__ == "__main__":
    run(app)
