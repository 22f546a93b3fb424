"""Servers that are measured: started on a free port, waited for, and ended with all that they began."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

from pithead.errors import PitheadError

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "datasets" / "demo" / "demo.tif"
START_S = 120.0
QUALITY = 90


class StartError(PitheadError, RuntimeError):
    """A server that was to be measured did not start."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        url: Its address.
        process: The process that was started; others are its children.
    """

    url: str
    process: psutil.Process

    @property
    def memory_mb(self) -> float:
        """Memory of the process and all its children, shared pages counted by their share (PSS)."""
        total = 0.0
        for one in [self.process, *self.process.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss / 2**20
            except psutil.Error:
                continue
        return total


@contextmanager
def running(
    command: Sequence[str], ready: str, log: Path, more: Mapping[str, str], *, cwd: Path = ROOT
) -> Iterator[Running]:
    """Start a server, wait until it answers, and end it and its children afterwards.

    Args:
        command: What starts it; `{port}` in it is replaced by a free one.
        ready: The path that answers 200 when it is ready.
        log: File of what it prints.
        more: Variables of its environment beside ours.
        cwd: Where it runs.

    Raises:
        StartError: It has ended, or does not answer in two minutes; its log says why.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("w", encoding="utf-8") as file:
        started = subprocess.Popen(  # noqa: S603 (commands of the benchmarks themselves)
            [part.replace("{port}", str(port)) for part in command],
            cwd=cwd,
            env={**os.environ, **more},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            _wait(started, url + ready, log)
            yield Running(url, psutil.Process(started.pid))
        finally:
            _end(started)


def pithead_server(archive: Path, weights: Path, threads: int) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of pithead's own server, from this Python."""
    command = [sys.executable, "-m", "bentoml", "serve", "inference/service.py:Pithead", "--port", "{port}"]
    told = {"PITHEAD_ARCHIVE": str(archive), "PITHEAD_WEIGHTS": str(weights), "PITHEAD_THREADS": str(threads)}
    return command, told | {"BENTOML_HOME": str(archive / "bentoml")}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def jpeg_tiles(side: int = 1024, scene: Path = DEMO) -> tuple[bytes, ...]:
    """Tiles of a scene as JPEGs of that side, row by row."""
    with Image.open(scene) as image:
        pixels = np.asarray(image.convert("RGB"))
    return tuple(
        _jpeg(pixels[y : y + side, x : x + side])
        for y in range(0, pixels.shape[0] - side + 1, side)
        for x in range(0, pixels.shape[1] - side + 1, side)
    )


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _wait(started: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and started.poll() is None:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise StartError(f"the server did not answer at {url}; the end of {log}:\n{log.read_text()[-2000:]}")


def _end(started: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(started.pid, how)
            started.wait(15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
