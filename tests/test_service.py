"""The server as a client meets it: started as `make serve` does, on a free port, with constant weights."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from conftest import TILE_PX, _constant
from PIL import Image

from pithead.card import METADATA_KEY, Card, CardClass

ROOT = Path(__file__).resolve().parents[1]
START_S = 120
MAX_BATCH = 4
# One heap: centre 128, 128, 60 × 30 px, not turned; at 0.6 m that is 36 × 18 m.
HEAP = [128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]
HEAP_CORNERS = {(98.0, 113.0), (158.0, 113.0), (158.0, 143.0), (98.0, 143.0)}


def weights(folder: Path) -> Path:
    kinds = {"mine_head": "box", "coal_heap": "box", "guard_perimeter": "line", "rail_loading": "box"}
    classes = tuple(CardClass(name, kind, "#ffe119", 0.25) for name, kind in kinds.items())
    model = _constant(np.array([HEAP], np.float32))
    card = Card("constant", classes, tile_px=TILE_PX, gsd_m=0.6, licence="AGPL-3.0-or-later", top_k=1)
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    path = folder / "constant.onnx"
    onnx.save(model, path)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Ours less the telemetry switch: the service has to set it itself."""
    ours = {
        k: v for k, v in os.environ.items() if k != "BENTOML_DO_NOT_TRACK" and not k.startswith("PITHEAD")
    }
    return ours | more


def command(port: int) -> list[str]:
    serve = ["-m", "bentoml", "serve", "inference/service.py:Pithead", "--host", "127.0.0.1"]
    return [sys.executable, *serve, "--port", str(port)]


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs: its address, the folder of its archive, the process that keeps its processes."""

    address: str
    archive: Path
    pid: int


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            command(port),
            cwd=ROOT,
            env=environment(
                PITHEAD_WEIGHTS=str(weights(folder)),
                PITHEAD_ARCHIVE=str(folder / "archive"),
                PITHEAD_MAX_BATCH=str(MAX_BATCH),
                PITHEAD_LIMIT_WAITING_OF_ONE="32",
                BENTOML_HOME=str(folder / "bentoml"),
            ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "log")
            yield Server(f"http://127.0.0.1:{port}", folder / "archive", process.pid)
        finally:
            below = [pid for pid, _ in children(process.pid)]
            process.terminate()
            try:
                process.wait(30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    # The model, the server, two that read images, the one that scores scenes: all of them are gone.
    assert len(below) >= 5
    assert not any(Path(f"/proc/{pid}").exists() for pid in below)


@pytest.fixture(scope="module")
def server(running: Server) -> str:
    return running.address


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{address}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    pytest.fail(f"the server did not start:\n{log.read_text()}")


def png(side: int = TILE_PX) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def post(server: str, image: bytes, **fields: str) -> httpx.Response:
    return httpx.post(f"{server}/v1/detect", files={"image": ("tile", image)}, data=fields, timeout=60)


def test_a_tile_is_answered(server: str) -> None:
    answer = post(server, png(), gsd_m="0.6")
    assert answer.status_code == 200, answer.text
    (heap,) = answer.json()["features"]
    assert {tuple(corner) for corner in heap["geometry"]["coordinates"][0]} == HEAP_CORNERS
    facts = heap["properties"]
    assert (facts["class"], facts["score"]) == ("coal_heap", 0.9)
    assert (facts["length_m"], facts["width_m"], facts["area_m2"]) == (36.0, 18.0, 648.0)
    assert answer.headers.get("server") is None  # nobody needs to know what stands behind it


def test_many_at_once_are_answered_like_one_and_no_batch_is_too_large(server: str) -> None:
    good, bad = png(2 * TILE_PX), png()[:100]
    alone = post(server, good, gsd_m="0.6").content
    with ThreadPoolExecutor(12) as clients:
        asked = [clients.submit(post, server, good if i % 4 else bad, gsd_m="0.6") for i in range(40)]
        answers = [one.result() for one in asked]
    assert [one.status_code for one in answers] == [200 if i % 4 else 422 for i in range(40)]
    assert {one.content for one in answers if one.status_code == 200} == {alone}
    figures = metrics(server)
    calls = figures["pithead_batch_tiles_count"]
    assert figures[f'pithead_batch_tiles_bucket{{le="{MAX_BATCH}.0"}}'] == calls
    assert figures["pithead_batch_tiles_sum"] > calls  # some went together
    assert figures["pithead_waiting"] == 0


def metrics(server: str) -> dict[str, float]:
    lines = httpx.get(f"{server}/metrics", timeout=30).text.splitlines()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")
    }


@pytest.mark.parametrize(
    "path", ["/schema.json", "/docs.json", "/livez", "/rows", "/static_content/index.css"]
)
def test_nothing_of_bentoml_is_reachable(server: str, path: str) -> None:
    for ask in (httpx.get, httpx.post):
        answer = ask(f"{server}{path}", timeout=30)
        assert answer.status_code in {404, 405}
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_and_the_document_are_ours(server: str) -> None:
    assert httpx.get(f"{server}/healthz", timeout=30).text == "ok\n"
    assert "/v1/detect" in httpx.get(f"{server}/openapi.json", timeout=30).json()["paths"]
    assert "bento" not in httpx.get(f"{server}/", timeout=30).text.lower()


def test_others_may_not_ask_from_their_pages(server: str) -> None:
    answer = httpx.options(
        f"{server}/v1/detect",
        headers={"origin": "http://example.org", "access-control-request-method": "POST"},
        timeout=30,
    )
    assert "access-control-allow-origin" not in answer.headers


def test_the_model_comes_again_when_it_is_killed(running: Server) -> None:
    (model,) = (pid for pid, line in children(running.pid) if "--service-name tiles" in line)
    os.kill(model, signal.SIGKILL)
    end, seen = time.monotonic() + START_S, set()
    while time.monotonic() < end:
        answer = post(running.address, png(), gsd_m="0.6")
        seen.add(answer.status_code)
        if answer.status_code == 200:
            break
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        time.sleep(0.3)
    assert 200 in seen


def children(parent: int) -> list[tuple[int, str]]:
    """Processes below another, with their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if above == parent:
            found += [(int(folder.name), line), *children(int(folder.name))]
    return found


def test_weights_that_cannot_be_served_are_refused_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        command(free_port()),
        cwd=ROOT,
        env=environment(PITHEAD_WEIGHTS=str(tmp_path / "none.onnx"), PITHEAD_ARCHIVE=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("error: expected weights at")


INSIDE = """
import asyncio, importlib.util, sys, time
spec = importlib.util.spec_from_file_location("service", "inference/service.py")
service = importlib.util.module_from_spec(spec)
spec.loader.exec_module(service)

from bentoml._internal.utils.analytics.usage_stats import do_not_track
print("telemetry", not do_not_track())
print("torch", any(name in sys.modules for name in ("torch", "ultralytics", "ray")))

from bentoml._internal.marshal.dispatcher import CorkDispatcher, Optimizer

Optimizer.INTERVAL_REFRESH_PARAMS = 0.01  # seconds; in a server it is 5
SECONDS = 0.02

async def main():
    async def model(jobs):
        await asyncio.sleep(SECONDS * len(jobs))
        return jobs

    dispatcher = CorkDispatcher(service.HOUR_MS, 16, fallback=lambda: 1 / 0, get_batch_size=lambda job: 1)
    ask = dispatcher(model)
    for _ in range(service.WARM_CALLS):
        await ask(0)
    for _ in range(2):  # busy: a queue of six batches
        assert await asyncio.gather(*(ask(i) for i in range(96))) == list(range(96))
    waits = []
    for _ in range(5):
        begun = time.perf_counter()
        await ask(0)
        waits.append(time.perf_counter() - begun)
    print("lone", min(waits))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def inside() -> dict[str, str]:
    """What a process that has loaded the service says of itself."""
    done = subprocess.run(
        [sys.executable, "-c", INSIDE],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def test_the_service_switches_telemetry_off_itself(inside: dict[str, str]) -> None:
    assert inside["telemetry"] == "False"


def test_the_server_cannot_reach_torch(inside: dict[str, str]) -> None:
    assert inside["torch"] == "False"


def test_a_lone_client_does_not_wait_for_others_after_a_busy_time(inside: dict[str, str]) -> None:
    # Without the change to BentoML's optimizer it is 0.4 s: nearly as long as others have waited before.
    assert float(inside["lone"]) < 0.02 + 0.05


def test_who_kills_the_first_process_ends_the_server(tmp_path: Path) -> None:
    """Else the rest would go on unseen, and the next start would find its port taken."""
    port = free_port()
    told = {"PITHEAD_WEIGHTS": str(weights(tmp_path)), "PITHEAD_ARCHIVE": str(tmp_path / "archive")}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command(port),
            cwd=ROOT,
            env=environment(**told, BENTOML_HOME=str(tmp_path / "bentoml")),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        wait_until_ready(process, f"http://127.0.0.1:{port}", tmp_path / "log")
        below = [pid for pid, _ in children(process.pid)]
        process.kill()
        process.wait(10)
        try:
            end = time.monotonic() + 40
            while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in below):
                time.sleep(0.2)
            assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
