"""A visit to a server that is started for it: the page, a tile, a scene.

    python tests/visit.py FOLDER COMMAND…

prints what was answered as JSON; the port is put behind the command.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from PIL import Image

START_S: Final = 120.0
SIDE: Final = 320
GSD_M: Final = 0.6


@dataclass(frozen=True, slots=True)
class Visit:
    """What was answered: statuses and a little of what they came with."""

    page: int
    script: int
    tile: int
    found: int
    """Detections of the tile."""
    job: dict[str, Any]
    """As it ended."""
    listed: int
    """Detections of the archive after the job."""
    weights: str
    """The hash of those that are served."""


def visit(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> Visit:
    """Start a server, ask it, and end it.

    Args:
        folder: Where it is started; what it says goes into `log` there.
        command: Starts it, but for the port.
        environment: Of the server.

    Raises:
        RuntimeError: It does not get ready.
    """
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env={**environment, "PWD": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait(client, process)
                return asked(client)
        except (RuntimeError, httpx.HTTPError) as error:
            raise RuntimeError(f"{error}\n{(folder / 'log').read_text()}") from error
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("expected the server to get ready, it did not")


def asked(client: httpx.Client) -> Visit:
    image = picture()
    page = client.get("/")
    tile = client.post("/v1/detect", files={"image": ("tile.png", image)}, data={"gsd_m": str(GSD_M)})
    job = client.post("/v1/scenes", files={"scene": ("scene.png", image)}, data={"gsd_m": str(GSD_M)}).json()
    end = time.monotonic() + START_S
    while job.get("state") in {"queued", "running"} and time.monotonic() < end:
        time.sleep(0.2)
        job = client.get(f"/v1/jobs/{job['id']}").json()
    return Visit(
        page=page.status_code,
        script=client.get("/app.js").status_code,
        tile=tile.status_code,
        found=len(tile.json().get("features", [])),
        job=job,
        listed=client.get("/v1/detections", params={"scene": str(job.get("scene"))})
        .json()
        .get("matched", -1),
        weights=client.get("/v1/models").json()["models"][0]["sha256"],
    )


def picture() -> bytes:
    """A small image that is not plain."""
    file = io.BytesIO()
    ramp = np.arange(SIDE * SIDE * 3, dtype=np.uint32).reshape(SIDE, SIDE, 3) % 251
    Image.fromarray(ramp.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    print(json.dumps(asdict(visit(Path(sys.argv[1]), sys.argv[2:], os.environ))))  # noqa: T201
