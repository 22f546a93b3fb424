"""The account as files: a page that asks for nothing else, tables, curves; and the program."""

import base64
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeOnnx
from PIL import Image

from pithead.detector import Detector
from pithead.evaluation import evaluate_scene, write_account
from pithead.evaluation.chart import Axis, Chart, Series
from pithead.evaluation.chips import DETECTION, SIDE_PX, TRUTH, chips, worst
from pithead.labels import Label

ROOT = Path(__file__).resolve().parents[1]
HEAD, HEAP, FENCE, RAIL = range(4)
GSD_M = 0.6


def corners(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def label(class_id: int, *place: float) -> Label:
    return Label(class_id, "box", np.array(corners(*place)), closed=True, weight="target", attributes={})


def scene(folder: Path, name: str = "one") -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(folder / f"{name}.png")
    return folder / f"{name}.png"


def colour_of(image: Image.Image, colour: str) -> int:
    """How many pixels of a picture have nearly this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(np.asarray(image, np.int64) - wanted).max(axis=2) < 60).sum())


def test_places_on_axes() -> None:
    plain, log = Axis("x", 0, 2), Axis("y", 0.01, 100, log=True)
    assert [plain.place(v) for v in (-1, 0, 1, 2, 3)] == [0, 0, 0.5, 1, 1]
    assert [log.place(v) for v in (0, 0.01, 1, 100, 1e9)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert log.ticks() == pytest.approx([0.01, 0.1, 1, 10, 100])


def test_one_drawing_as_svg_and_as_png() -> None:
    red = Series("a < b", "#ff0000", ((0.0, 0.0), (1.0, 1.0)), dots=True)
    chart = Chart("name", "Title & more", Axis("across"), Axis("down"), (red, Series("none", "#00ff00", ())))
    root = ET.fromstring(chart.svg())  # noqa: S314 (our own text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Title & more", "across", "down", "a < b", "none"} <= set(words)
    image = Image.open(io.BytesIO(chart.png()))
    assert image.width * 340 == image.height * 460
    assert colour_of(image, "#ff0000") > image.width  # the curve goes from corner to corner
    one = Chart("name", "", Axis("x"), Axis("y"), (Series("dot", "#ff0000", ((0.5, 0.5),)),))
    assert "<circle" in one.svg()


def test_the_worst_come_first_and_are_cut_out(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    rows = [[200, 200, 40, 20, 0, 0.8, HEAP], [60, 200, 40, 20, 0, 0.9, HEAP], [60, 60, 40, 20, 0, 0.7, HEAP]]
    detector = Detector.open(make_onnx(rows))
    labels = [
        label(HEAP, 40, 50, 40, 20),
        label(HEAP, 150, 50, 30, 30),
        label(HEAP, 150, 100, 60, 30),
        label(RAIL, 9, 9, 30, 6),
    ]
    path = scene(tmp_path)
    result = evaluate_scene(path, labels, detector, gsd_m=GSD_M)
    faults = worst([result], detector.card)
    assert [(f.kind, f.class_id, round(f.size_m)) for f in faults] == [
        ("miss", HEAP, 36),
        ("miss", HEAP, 18),
        ("false alarm", HEAP, 24),
        ("false alarm", HEAP, 24),
        ("miss", RAIL, 18),
    ]
    assert [f.words for f in faults[:3]] == ["nothing there", "nothing there", "score 0.90, nothing there"]
    assert len(worst([result], detector.card, each=1)) == 3
    shown = chips(faults, [result], {"one": path}, detector.card, GSD_M)
    pictures = [Image.open(io.BytesIO(base64.b64decode(chip.picture.partition(",")[2]))) for chip in shown]
    assert {picture.size for picture in pictures} == {(SIDE_PX, SIDE_PX)}
    assert colour_of(pictures[0], TRUTH) > 100
    assert colour_of(pictures[2], DETECTION) > 100
    assert colour_of(pictures[4], DETECTION) == 0
    assert chips(faults, [result], {}, detector.card, GSD_M) == []


def test_lines_are_faults_by_what_they_lack(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    spans = [[x, 200.0, 64.0, 20.0, 0.0, 0.9, FENCE] for x in (32.0, 96.0, 160.0)]
    detector = Detector.open(make_onnx([list(row) for row in spans]))
    fence = Label(
        FENCE, "line", np.array([[0.0, 40], [250, 40]]), closed=False, weight="target", attributes={}
    )
    path = scene(tmp_path)
    result = evaluate_scene(path, [fence], detector, gsd_m=GSD_M)
    faults = worst([result], detector.card)
    assert [(f.kind, f.words) for f in faults] == [
        ("miss", "150 of 150 m missed"),
        ("false alarm", "115 of 115 m where none is, score 0.90"),
    ]
    assert len(chips(faults, [result], {"one": path}, detector.card, GSD_M)) == 2


def test_the_page_needs_nothing_else(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    detector = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.9, HEAP]]))
    path = scene(tmp_path, "a<b")
    results = [evaluate_scene(path, [label(HEAP, 10, 10, 60, 20)], detector, gsd_m=GSD_M)]
    out = tmp_path / "out"
    numbers = write_account(out, "A & B", results, detector.card, paths={"a<b": path}, gsd_m=GSD_M)
    text = (out / "index.html").read_text("utf-8")
    assert "<h1>A &amp; B</h1>" in text
    assert "a&lt;b" in text
    assert "a<b" not in text
    asked = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"')>]{0,20})""", text)
    assert asked
    assert all(one.startswith("data:image/jpeg") for one in asked)
    assert "<script" not in text
    assert "<h2>How wrong</h2>" in text
    assert [one["precision"] for one in numbers["errors"]][HEAP] == {"found": 1, "right": 0}
    assert numbers["errors"][HEAP]["on"] == "A & B"
    assert json.loads((out / "evaluation.json").read_text("utf-8")) == json.loads(json.dumps(numbers))
    assert sorted(p.name for p in (out / "curves").glob("*.png")) == [
        "f1.png",
        "false_alarms.png",
        "froc.png",
        "precision_recall.png",
    ]
    rows = [line for line in (out / "table.md").read_text("utf-8").splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| mine_head | 0.250 | 0 | – | – |")  # no truth: not measured, and not 0


def dataset(folder: Path) -> Path:
    lines = []
    for name in ("one", "two", "three"):
        scene(folder, name)
        lines.append({"image": name, "class": "coal_heap", "polygon": corners(70, 90, 60, 20), "site": name})
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def evaluate(*words: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(ROOT / "training" / "evaluate.py"), *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)


def test_the_program_measures_and_compares(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    good = make_onnx([[100, 100, 60, 20, 0, 0.9, HEAP]], name="good.onnx")
    bad = make_onnx([[100, 100, 30, 20, 0, 0.9, HEAP], [30, 30, 20, 20, 0, 0.95, HEAP]], name="bad.onnx")
    scenes = dataset(tmp_path / "scenes")
    done = evaluate(good, scenes, "--gsd", GSD_M, "--out", tmp_path / "good")
    assert done.returncode == 0, done.stderr
    assert "3 scenes of 3 sites" in done.stdout
    assert (tmp_path / "good" / "index.html").is_file()
    done = evaluate("--compare", good, bad, scenes, "--gsd", GSD_M, "--out", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    sentence = (
        "good.onnx is better than bad.onnx: mean AP50 1.000 against 0.500, difference of good.onnx less "
    )
    assert done.stdout.splitlines()[-1].startswith(sentence)
    done = evaluate("--compare", tmp_path / "both" / "b", tmp_path / "good")
    assert done.stdout.splitlines()[-1].startswith("good is better than b: ")
    done = evaluate(good)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: expected WEIGHTS and DATASET, got 1 paths; see --help"
