"""A real Label Studio: tasks and predictions go in by its API, annotations come out at the same place.

The server is installed by `make test` in an environment of its own (.venv-labelstudio).
"""

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import httpx
import numpy as np
import pytest
from affine import Affine
from defusedxml import ElementTree
from PIL import Image

from pithead.classes import load_classes
from pithead.errors import LabelError
from pithead.imagery import write_cog
from pithead.labels.label_studio import CHOICES
from pithead.labels.sheet import no_sizes, read_lines
from pithead.studio import Studio, read_key

ROOT = Path(__file__).parents[1]
CLASSES = load_classes(ROOT / "labeling" / "classes.toml")
SERVER = ROOT / ".venv-labelstudio" / "bin" / "label-studio"
USER, PASSWORD = "annotator@example.org", "correct horse"  # of a server that lives for a minute
PLACE = Affine(0.5, 0, 400_000, 0, -0.5, 4_700_000)
START_S = 240


@dataclass(frozen=True, slots=True)
class Running:
    """A server: its address, a file with a key, and the folder whose images it shows."""

    url: str
    key_file: Path
    key: str
    root: Path


def config() -> Any:  # noqa: ANN401 (an element, of a library without types)
    return ElementTree.parse(ROOT / "labeling" / "label_studio.xml").getroot()


def test_the_configuration_has_the_classes_and_what_the_reader_reads() -> None:
    for tag, name in (("RectangleLabels", "rectangle"), ("PolygonLabels", "polygon")):
        (control,) = config().iter(tag)
        assert control.get("name") == name
        colours = {label.get("value"): label.get("background") for label in control}
        assert colours.pop("hard_negative")
        known = {c.name: c.colour for c in CLASSES if tag == "PolygonLabels" or c.geometry != "line"}
        assert colours == known
    names = {choices.get("name") for choices in config().iter("Choices")}
    assert names == {*CHOICES, "outline"}
    assert [area.get("name") for area in config().iter("TextArea")] == ["note"]
    guide = (ROOT / "labeling" / "guide.md").read_text("utf-8")
    for choice in config().iter("Choice"):
        assert f"`{choice.get('value')}`" in guide or choice.get("value") in ("open", "closed", "unknown")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not SERVER.is_file():
        pytest.skip("Label Studio is not installed: make .venv-labelstudio/.ready (make test does)")
    folder = tmp_path_factory.mktemp("studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false", "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_USERNAME": USER, "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(folder),
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)
    start = ["start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([str(SERVER), *start], env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, process, folder / "log.txt")
            key = make_key(url)
            (folder / "key").write_text(key + "\n")
            yield Running(url, folder / "key", key, folder)
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


def make_key(url: str) -> str:
    """Log in as a person would, and make a personal access token."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False, follow_redirects=True) as browser:
        field = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', browser.get("/user/login/").text)
        assert field
        form = {"csrfmiddlewaretoken": field[1], "email": USER, "password": PASSWORD}
        browser.post("/user/login/", data=form, headers={"Referer": url}).raise_for_status()
        headers = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": url}
        return str(browser.post("/api/token/", json={}, headers=headers).raise_for_status().json()["token"])


def ask(server: Running, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (any JSON)
    """The API by hand, as an annotator's page uses it."""
    return Studio.at(server.url, server.key)._call(method, path, body)


def run(program: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "labeling" / program), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def scenes(server: Running) -> Path:
    """One scene of 1000 × 700 px: the demo's middle, at another place."""
    folder = server.root / "scenes"
    folder.mkdir()
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 255, (3, 700, 1000), dtype=np.uint8)
    write_cog(folder / "camp.tif", pixels, PLACE, "EPSG:32652", colorinterp=("red", "green", "blue"))
    return folder


def rectangle_region(name: str, x: float, y: float, w: float, h: float, rotation: float) -> dict[str, Any]:
    """A turned rectangle as the page sends it: percent of a tile of 600 × 700 px, about its first corner."""
    value = {"x": x / 6, "y": y / 7, "width": w / 6, "height": h / 7, "rotation": rotation}
    return {
        "id": f"r{x:.0f}", "from_name": "rectangle", "to_name": "image", "type": "rectanglelabels",
        "original_width": 600, "original_height": 700, "image_rotation": 0,
        "value": {**value, "rectanglelabels": [name]},
    }  # fmt: skip


def test_tasks_go_in_and_annotations_come_out_where_they_were_drawn(server: Running, scenes: Path) -> None:
    out = server.root / "work"
    send = ["--server.url", server.url, "--server.key-file", server.key_file, "--server.project", "camps"]
    weights = ["--weights", ROOT / "weights" / "starter.onnx", "--min-score", 0.02]
    done = run("propose.py", scenes, "--out", out, "--tile", 600, *weights, *send)
    assert done.returncode == 0, done.stderr
    project = int(re.search(r"in project (\d+)", done.stdout)[1])

    version = json.loads((out / "tasks.json").read_text())[0]["predictions"][0]["model_version"]
    assert ask(server, "GET", f"/api/projects/{project}/")["model_version"] == version
    tasks = {
        task["data"]["name"]: task
        for task in ask(server, "GET", f"/api/tasks?project={project}&fields=all")["tasks"]
    }
    assert set(tasks) == {"camp_0_0", "camp_600_0", "camp_0_600", "camp_600_600"}
    written = {task["data"]["name"]: task for task in json.loads((out / "tasks.json").read_text())}
    for name, task in tasks.items():
        predictions = ask(server, "GET", f"/api/predictions?task={task['id']}")
        assert [p["model_version"] for p in predictions] == [version]
        assert len(predictions[0]["result"]) == len(written[name]["predictions"][0]["result"])
    shows_the_tile(server, tasks["camp_0_0"]["data"]["image"], out / "tiles" / "camp_0_0.png")

    # a heap of 60 × 30 px turned by 30° about its corner at (200, 100), a fence of four corners, an open one
    heap = rectangle_region("coal_heap", 200, 100, 60, 30, 30)
    ring, line = [[50, 300], [250, 310], [240, 500], [60, 480]], [[300, 300], [400, 310], [450, 400]]
    common = {"to_name": "image", "original_width": 600, "original_height": 600, "image_rotation": 0}
    drawn = {"closed": True, "polygonlabels": ["guard_perimeter"]}
    fences = [
        {**common, "id": name, "from_name": "polygon", "type": "polygonlabels",
         "value": {"points": (np.array(points) / 6).tolist(), **drawn}}
        for name, points in (("ring", ring), ("line", line))
    ]  # fmt: skip
    heap = {**heap, "original_height": 600, "value": {**heap["value"], "y": 100 / 6, "height": 30 / 6}}
    told = [
        {**common, "id": "line", "from_name": "outline", "type": "choices", "value": {"choices": ["open"]}},
        {
            **common,
            "id": heap["id"],
            "from_name": "material",
            "type": "choices",
            "value": {"choices": ["coal"]},
        },
        {**common, "id": heap["id"], "from_name": "note", "type": "textarea", "value": {"text": ["dark"]}},
    ]
    result = [heap, *fences, *told]
    first, other = tasks["camp_0_0"]["id"], tasks["camp_600_0"]["id"]
    ask(server, "POST", f"/api/tasks/{first}/annotations/", {"result": result, "lead_time": 3})
    ask(server, "POST", f"/api/tasks/{other}/annotations/", {"result": [], "lead_time": 3})

    labels = server.root / "labels.jsonl"
    fetch = ["--url", server.url, "--key-file", server.key_file, "--project", project]
    done = run("collect.py", out, "--out", labels, "--scenes", scenes, *fetch)
    assert done.returncode == 0, done.stderr
    (sheet,) = read_lines(labels, CLASSES, no_sizes)
    assert len(sheet.seen) == 2
    found = {("open" if not label.closed else label.geometry): label for label in sheet.labels}
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    along, across = np.array([60 * cos, 60 * sin]), np.array([-30 * sin, 30 * cos])
    corners = np.array([200, 100]) + np.array([0 * along, along, along + across, across])
    assert farthest(found["box"].points, corners) < 0.5
    assert farthest(found["line"].points, np.array(ring)) < 0.5
    assert farthest(found["open"].points, np.array(line)) < 0.5
    assert dict(found["box"].attributes) == {"material": "coal", "note": "dark"}
    (area,) = gpd.read_file(labels.with_suffix(".gpkg"), layer="areas").geometry
    east, north = (np.array([PLACE @ tuple(corner) for corner in corners]).mean(axis=0)).tolist()
    assert (area.centroid.x, area.centroid.y) == pytest.approx((east, north), abs=0.25)  # half a pixel


def farthest(points: np.ndarray, truth: np.ndarray) -> float:
    """The largest distance in px between points of the same number, whatever their first one."""
    assert points.shape == truth.shape
    turns = [np.roll(np.asarray(points), k, axis=0) for k in range(len(points))]
    return float(min(np.hypot(*(turn[::way] - truth).T).max() for turn in turns for way in (1, -1)))


def shows_the_tile(server: Running, address: str, tile: Path) -> None:
    """The image that the page asks for is the tile, pixel for pixel."""
    headers = {"Authorization": Studio.at(server.url, server.key).authorization}
    answer = httpx.get(f"{server.url}{address}", headers=headers, timeout=60, trust_env=False)
    with Image.open(io.BytesIO(answer.raise_for_status().content)) as got, Image.open(tile) as sent:
        assert (np.asarray(got) == np.asarray(sent)).all()


def test_a_wrong_key_and_a_wrong_project_are_said(server: Running, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="401"):
        Studio.at(server.url, "0" * 40).tasks(1)
    done = run(
        "collect.py",
        tmp_path,
        "--out",
        tmp_path / "x.jsonl",
        "--url",
        server.url,
        "--key-file",
        server.key_file,
        "--project",
        999,
    )
    assert done.returncode == 2
    assert "404" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_server_and_no_key(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="make labelstudio"):
        Studio.at("http://127.0.0.1:9", "0" * 40).tasks(1)
    with pytest.raises(LabelError, match="http"):
        Studio.at("ftp://example.org", "0")
    with pytest.raises(LabelError, match="API key"):
        read_key(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(LabelError, match="empty"):
        read_key(tmp_path / "empty")
