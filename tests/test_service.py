"""The server as a client meets it: started as `make serve` does, on a free port, with constant weights."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnx
import pyproj
import pytest
import rasterio
from affine import Affine
from conftest import TILE_PX, _constant
from PIL import Image

from pithead.card import METADATA_KEY, Card, CardClass

ROOT = Path(__file__).resolve().parents[1]
START_S = 90
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
    return {k: v for k, v in os.environ.items() if k != "BENTOML_DO_NOT_TRACK"} | more


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = ["-m", "bentoml", "serve", "inference/service.py:Pithead", "--host", "127.0.0.1"]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=ROOT,
            env=environment(PITHEAD_WEIGHTS=str(weights(folder)), BENTOML_HOME=str(folder / "bentoml")),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{address}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail(f"the server did not start:\n{log.read_text()}")


def png(side: int = TILE_PX) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def post(server: str, image: bytes, **fields: str) -> httpx.Response:
    return httpx.post(f"{server}/v1/detect", files={"image": ("tile", image)}, data=fields, timeout=60)


def test_a_tile_is_answered_with_geojson(server: str) -> None:
    answer = post(server, png(), gsd="0.6")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    found = answer.json()
    assert found["type"] == "FeatureCollection"
    (heap,) = found["features"]
    assert heap["geometry"]["type"] == "Polygon"
    assert {tuple(corner) for corner in heap["geometry"]["coordinates"][0]} == HEAP_CORNERS
    facts = heap["properties"]
    assert (facts["class"], facts["score"]) == ("coal_heap", 0.9)
    assert (facts["length_m"], facts["width_m"], facts["area_m2"]) == (36.0, 18.0, 648.0)


def test_a_placed_scene_is_answered_in_longitude_and_latitude(server: str, tmp_path: Path) -> None:
    place = Affine(0.6, 0, 500_000, 0, -0.6, 4_650_000)
    profile = {"driver": "GTiff", "width": TILE_PX, "height": TILE_PX, "count": 3, "dtype": "uint8"}
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", **profile, crs="EPSG:32652", transform=place, photometric="RGB") as file:
        file.write(np.full((3, TILE_PX, TILE_PX), 90, np.uint8))
    answer = post(server, path.read_bytes())
    assert answer.status_code == 200, answer.text
    ring = np.array(answer.json()["features"][0]["geometry"]["coordinates"][0])
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32652", "OGC:CRS84", always_xy=True)
    expected = np.array([to_lonlat.transform(*(place @ corner)) for corner in sorted(HEAP_CORNERS)])
    np.testing.assert_allclose(sorted(map(tuple, ring[:4])), sorted(map(tuple, expected)), atol=1e-6)


def test_the_same_image_gets_the_same_answer(server: str) -> None:
    assert post(server, png(), gsd="0.6").content == post(server, png(), gsd="0.6").content


@pytest.mark.parametrize(
    ("image", "fields", "status", "says"),
    [
        (b"", {"gsd": "0.6"}, 415, "GeoTIFF"),
        (b"this is text", {"gsd": "0.6"}, 415, "GeoTIFF"),
        (b'<VRTDataset rasterXSize="1" rasterYSize="1"/>', {"gsd": "0.6"}, 415, "GeoTIFF"),
        (png()[:200], {"gsd": "0.6"}, 422, "truncated"),
        (b"II*\0 and then nothing of a TIFF", {"gsd": "0.6"}, 422, "image"),
        (png(), {}, 422, "gsd"),
        (png(), {"gsd": "-1"}, 400, "above 0"),
        (png(), {"gsd": "nan"}, 400, "above 0"),
        (png(), {"gsd": "half a metre"}, 400, "above 0"),
    ],
)
def test_bad_input_is_refused_in_one_clear_line(
    server: str, image: bytes, fields: dict[str, str], status: int, says: str
) -> None:
    answer = post(server, image, **fields)
    assert answer.status_code == status, answer.text
    line = answer.json()["error"]
    assert says in line
    assert "\n" not in line
    assert "/tmp" not in line  # noqa: S108 (a path of the server is nobody's business)


@pytest.mark.parametrize("body", [{}, {"image": "http://127.0.0.1:9/tile.png"}])
def test_a_form_without_a_file_is_refused(server: str, body: dict[str, str]) -> None:
    # An address in place of a file is not fetched.
    answer = httpx.post(f"{server}/v1/detect", data={"gsd": "1", **body}, timeout=30)
    assert answer.status_code == 400
    assert "image" in answer.json()["error"]


def test_a_pickle_is_not_opened(server: str) -> None:
    kind = {"content-type": "application/vnd.bentoml+pickle"}
    assert (
        httpx.post(f"{server}/v1/detect", content=b"\x80\x05.", headers=kind, timeout=30).status_code == 400
    )


def test_more_than_64_mib_are_refused_before_they_are_read(server: str) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/v1/detect")
    connection.putheader("content-type", "multipart/form-data; boundary=b")
    connection.putheader("content-length", str(64 * 2**20 + 1))
    connection.endheaders(b"--b\r\n")
    answer = connection.getresponse()
    assert answer.status == 413
    assert "64 MiB" in json.loads(answer.read())["error"]
    connection.close()


def test_more_than_64_mib_are_refused_though_nobody_said_so(server: str) -> None:
    chunk = b"x" * 2**20

    def chunks() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
        yield from (chunk for _ in range(70))
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = httpx.post(f"{server}/v1/detect", content=chunks(), headers=kind, timeout=60)
    assert answer.status_code == 413


def test_the_service_switches_telemetry_off_itself() -> None:
    program = (
        "import importlib.util as u; s = u.spec_from_file_location('service', 'inference/service.py');"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "from bentoml._internal.utils.analytics.usage_stats import do_not_track; assert do_not_track()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
