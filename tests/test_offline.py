"""Nothing leaves the machine: with the network taken away everything works, and nothing was missed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import MakeOnnx
from test_programs import PLACE, write_image
from tiny import tiny_recipe, write_tiny_dataset

ROOT: Final = Path(__file__).resolve().parents[1]
TESTS: Final = ROOT / "tests"
HEAP: Final = [128.0, 128.0, 60.0, 30.0, 0.5, 0.9, 1.0]
# What would keep a tool from calling home, or find this checkout: programs have to do without it.
SWITCHES: Final = ("BENTOML_", "DO_NOT_TRACK", "YOLO_", "NO_ALBUMENTATIONS", "RAY_", "PITHEAD_", "PYTHONPATH")


UNSHARE: Final = shutil.which("unshare") or ""


def allowed() -> bool:
    probe = [UNSHARE, "-rn", "true"]
    return bool(UNSHARE) and subprocess.run(probe, check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(
    not allowed(),
    reason="expected unshare -rn to take the network away, the kernel or its administrator forbids it",
)


@dataclass(frozen=True, slots=True)
class Trip:
    """What a program did where there is no network.

    Attributes:
        status: With which it ended.
        lost: Packets of it and of all that it started that had nowhere to go.
        asked: Names and addresses of other machines that Python was asked for.
        output: What it printed.
    """

    status: int
    lost: int
    asked: tuple[str, ...]
    output: str

    @property
    def stayed(self) -> bool:
        return self.lost == 0 and not self.asked


def cut_off(folder: Path, *command: str | Path, **more: str) -> Trip:
    """Run a Python program without a network."""
    report = folder / "report.json"
    home = folder / "home"
    home.mkdir()
    ours = {k: v for k, v in os.environ.items() if not k.startswith(SWITCHES)}
    done = subprocess.run(
        [UNSHARE, "-rn", sys.executable, TESTS / "cut_off.py", report, sys.executable, *command],
        cwd=folder,
        env=ours | {"HOME": str(home), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | more,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(report.read_text())
    return Trip(told["status"], told["lost"], tuple(told["asked"]), done.stdout + done.stderr)


ATTEMPTS: Final = {
    "an address": "import socket; socket.create_connection(('192.0.2.1', 80), 5)",
    "an address of version 6": "import socket; socket.create_connection(('2001:db8::1', 80), 5)",
    "a packet": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "a name": "import socket; socket.getaddrinfo('example.org', 443)",
    "C code": "import rasterio; rasterio.open('/vsicurl/http://192.0.2.1/a.tif')",
    "a child": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import urllib.request as r; "
    'r.urlopen("http://192.0.2.1/", timeout=5)\'], check=True)',
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_an_attempt_would_be_noticed(tmp_path: Path, attempt: str) -> None:
    trip = cut_off(tmp_path, "-c", attempt)
    assert trip.status != 0
    assert not trip.stayed


def test_what_calls_this_machine_alone_is_no_attempt(tmp_path: Path) -> None:
    code = (
        "import socket; s = socket.create_server(('localhost', 0)); "
        "socket.create_connection(s.getsockname()).close()"
    )
    assert cut_off(tmp_path, "-c", code) == Trip(0, 0, (), "")


def test_scan(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scene = write_image(tmp_path / "scene.tif", **PLACE)
    trip = cut_off(
        tmp_path, ROOT / "inference/scan.py", scene, "--weights", make_onnx([HEAP]), "--out", tmp_path / "out"
    )
    assert (trip.status, trip.lost, trip.asked) == (0, 0, ()), trip.output
    assert (tmp_path / "out" / "scene.geojson").is_file()


@pytest.mark.parametrize(
    "crew",
    [
        pytest.param(("--workers", "2"), id="processes"),
        pytest.param(("--ray", "auto", "--workers", "1"), id="ray"),
    ],
)
def test_rescore(tmp_path: Path, make_onnx: MakeOnnx, crew: tuple[str, ...]) -> None:
    scene = write_image(tmp_path / "scene.tif", **PLACE)
    program, archive, weights = ROOT / "inference/rescore.py", tmp_path / "archive", make_onnx([HEAP])
    trip = cut_off(tmp_path, program, archive, "--add", scene, "--weights", weights, *crew)
    assert (trip.status, trip.lost, trip.asked) == (0, 0, ()), trip.output
    assert "1 scene scored" in trip.output


def test_train(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny_recipe(write_tiny_dataset(tmp_path / "tiles"), val_tiles=1).to_toml())
    trip = cut_off(tmp_path, ROOT / "training/train.py", recipe, "--out", tmp_path / "runs")
    assert (trip.status, trip.lost, trip.asked) == (0, 0, ()), trip.output
    assert (tmp_path / "runs" / "smoke" / "weights" / "best.pt").is_file()


def test_serve(tmp_path: Path) -> None:
    """The page, a tile and a scene, as plain `bentoml serve` answers them, with the weights that ship."""
    serve = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "inference/service.py:Pithead",
        "--working-dir",
        str(ROOT),
    ]
    trip = cut_off(tmp_path, TESTS / "visit.py", tmp_path, *serve, PITHEAD_ARCHIVE=str(tmp_path / "archive"))
    assert (trip.status, trip.lost, trip.asked) == (0, 0, ()), trip.output
    told = json.loads(trip.output.splitlines()[-1])
    assert (told["page"], told["script"], told["tile"]) == (200, 200, 200)
    assert told["job"]["state"] == "done"
