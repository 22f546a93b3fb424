"""labeling/propose.py and collect.py without a server: tiles find back to their scene."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from PIL import Image

from pithead.classes import load_classes
from pithead.geometry import Window, boxes_to_corners
from pithead.imagery import write_cog
from pithead.labels import Label, SceneFacts
from pithead.labels.join import joined
from pithead.labels.label_studio import result_of
from pithead.labels.seen import rectangle
from pithead.labels.sheet import Sheet, no_sizes, read_lines
from pithead.labels.sidecar import Sidecar, in_scene, read_sidecar, shown_in

ROOT = Path(__file__).parents[1]
CLASSES = load_classes(ROOT / "labeling" / "classes.toml")
LEFT, RIGHT = rectangle(0, 0, 100, 200), rectangle(100, 0, 200, 200)
PLACE = Affine(0.6, 0, 500_000, 0, -0.6, 4_600_000)


def run(program: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "labeling" / program), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def heap(points: object, **attributes: str) -> Label:
    return Label(1, "box", np.array(points, float), closed=True, weight="target", attributes=attributes)


def fence(points: object, *, closed: bool = False) -> Label:
    return Label(2, "line", np.array(points, float), closed=closed, weight="target", attributes={})


def box(cx: float, cy: float, w: float, h: float, angle: float) -> np.ndarray:
    return boxes_to_corners([[cx, cy, w, h, angle]])[0]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 2047, (3, 250, 300), dtype=np.uint16)
    write_cog(folder / "camp.tif", pixels, PLACE, "EPSG:32652", colorinterp=("red", "green", "blue"))
    (folder / "facts.jsonl").write_text(
        '{"image": "camp", "class": "none", "site": "north", "date": "2024-05-01", "sensor": "WV02"}\n'
    )
    return folder


@pytest.fixture(scope="module")
def tiles(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiles") / "work"
    done = run("propose.py", scenes, "--out", out, "--tile", 128, "--facts", scenes / "facts.jsonl")
    assert done.returncode == 0, done.stderr
    return out


def test_tiles_cover_the_scene_once_and_know_where_they_are(tiles: Path) -> None:
    names = sorted(path.stem for path in (tiles / "tiles").glob("*.png"))
    assert len(names) == 3 * 2
    total = 0
    for name in names:
        sidecar = read_sidecar(tiles / "tiles", name)
        with Image.open(tiles / "tiles" / f"{name}.png") as image:
            assert image.size == sidecar.shown
            total += image.width * image.height
        assert sidecar.scene == "camp"
        assert sidecar.facts == SceneFacts("north", "2024-05-01", "WV02")
        place = Affine(*sidecar.transform)
        assert place @ (10, 20) == pytest.approx(PLACE @ (sidecar.window.x + 10, sidecar.window.y + 20))
        assert "32652" in sidecar.crs
    assert total == 300 * 250
    tasks = json.loads((tiles / "tasks.json").read_text())
    assert [task["data"]["name"] for task in tasks] == [
        f"camp_{x}_{y}" for y in (0, 128) for x in (0, 128, 256)
    ]
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=work/tiles/camp_0_0.png"
    assert tasks[0]["data"]["site"] == "north"


def test_what_was_drawn_on_tiles_comes_back_in_the_scene_and_on_the_map(
    scenes: Path, tiles: Path, tmp_path: Path
) -> None:
    turned = box(40, 50, 30, 12, 0.3)
    left, right = rectangle(100, 60, 128, 90), rectangle(0, 62, 20, 91)  # one heap over the edge at x = 128
    line_left, line_right = [[60, 20], [90, 10], [128, 24]], [[0, 26], [20, 50], [60, 40]]
    drawn = {
        "camp_0_0": [heap(turned, confidence="sure"), heap(left, material="coal"), fence(line_left)],
        "camp_128_0": [heap(right, material="spoil"), fence(line_right)],
        "camp_256_0": [],
    }
    tasks = []
    for name, labels in drawn.items():
        sheet = Sheet(name, read_sidecar(tiles / "tiles", name).shown, tuple(labels))
        data = {"image": f"/data/{name}.png", "name": name}
        tasks.append({"data": data, "annotations": [{"result": result_of(sheet, CLASSES)}]})
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    out = tmp_path / "labels.jsonl"
    done = run("collect.py", tiles, "--export", tmp_path / "export.json", "--out", out, "--scenes", scenes)
    assert done.returncode == 0, done.stderr
    (sheet,) = read_lines(out, CLASSES, no_sizes)
    assert sheet.facts == SceneFacts("north", "2024-05-01", "WV02")
    assert sorted(one[0].tolist() for one in sheet.seen) == [[0, 0], [128, 0], [256, 0]]
    first, whole, line = sheet.labels
    assert np.abs(np.sort(first.points, axis=0) - np.sort(turned, axis=0)).max() < 0.01
    assert first.attributes["confidence"] == "sure"
    assert (whole.points.min(axis=0), whole.points.max(axis=0)) == (
        pytest.approx([100, 60], abs=0.01),
        pytest.approx([148, 91], abs=0.01),
    )
    assert whole.attributes["material"] == "coal"  # that of the larger part
    assert line.points == pytest.approx(
        np.array([[60, 20], [90, 10], [128, 25], [148, 50], [188, 40]]), abs=0.01
    )
    assert not line.closed
    areas = gpd.read_file(out.with_suffix(".gpkg"), layer="areas")
    assert areas.crs.to_epsg() == 32652
    east, north = PLACE @ (100, 91)
    bounds = areas.geometry[1].bounds
    assert bounds[:2] == pytest.approx((east, north), abs=0.01)
    assert len(gpd.read_file(out.with_suffix(".gpkg"), layer="scenes")) == 3


def test_picked_tiles_only(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "picked.jsonl").write_text('{"image": "camp", "window": [64, 32, 191.5, 160]}\n')
    done = run("propose.py", scenes, "--out", tmp_path / "out", "--picked", tmp_path / "picked.jsonl")
    assert done.returncode == 0, done.stderr
    (task,) = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert task["data"]["name"] == "camp_64_32"
    assert read_sidecar(tmp_path / "out" / "tiles", "camp_64_32").window == Window(64, 32, 128, 128)


def test_pick_then_propose_with_the_starter(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    demo = ROOT / "datasets" / "demo" / "demo.tif"
    (scenes / "demo.tif").write_bytes(demo.read_bytes())
    weights = ["--weights", ROOT / "weights" / "starter.onnx"]
    picked = tmp_path / "picked.jsonl"
    done = run("pick.py", scenes, *weights, "--out", picked, "--count", 2)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in picked.read_text().splitlines()]
    assert [row["rank"] for row in rows] == [1, 2]
    assert rows[0]["worth"] >= rows[1]["worth"]
    assert len(gpd.read_file(picked.with_suffix(".gpkg"))) == 2
    before, (kept,) = picked.read_bytes(), picked.with_suffix(".looked").iterdir()
    looked = kept.stat().st_mtime_ns
    assert run("pick.py", scenes, *weights, "--out", picked, "--count", 2).returncode == 0
    assert (picked.read_bytes(), kept.stat().st_mtime_ns) == (before, looked)  # not looked at again
    done = run("propose.py", scenes, *weights, "--out", tmp_path / "out", "--picked", picked)
    assert done.returncode == 0, done.stderr
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert regions
    assert {region["type"] for region in regions} <= {"rectanglelabels", "polygonlabels", "choices"}
    assert all(0 <= region["score"] <= 1 for region in regions)
    # what was looked at is not picked again
    seen = [{"image": "demo", "class": "seen", "polygon": rectangle(*row["window"]).tolist()} for row in rows]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in seen))
    done = run(
        "pick.py",
        scenes,
        *weights,
        "--out",
        tmp_path / "more.jsonl",
        "--count",
        1,
        "--labels",
        tmp_path / "labels.jsonl",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "more.jsonl").read_text())["window"] not in [row["window"] for row in rows]


def test_a_scene_that_cannot_be_read_leaves_nothing_half_written(scenes: Path, tmp_path: Path) -> None:
    several = tmp_path / "scenes"
    several.mkdir()
    (several / "a.tif").write_bytes((scenes / "camp.tif").read_bytes())
    (several / "b.tif").write_bytes((scenes / "camp.tif").read_bytes()[:4000])
    done = run("propose.py", several, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "b.tif" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def sidecar(x: int, y: int, width: int = 100, height: int = 100) -> Sidecar:
    return Sidecar(
        "t", "s", (1000, 1000), Window(x, y, width, height), None, None, (1, 1), "", SceneFacts(), ""
    )


def test_a_tile_shows_the_part_of_a_label_that_it_holds() -> None:
    tile = sidecar(100, 0)
    half = heap(rectangle(80, 10, 120, 30))
    (shown,) = shown_in([half], tile)
    assert (shown.points.min(axis=0).tolist(), shown.points.max(axis=0).tolist()) == ([0, 10], [20, 30])
    assert shown_in([heap(rectangle(80, 10, 105, 30))], tile) == ()  # a fifth of it
    inside = box(150, 50, 30, 12, 0.3)
    assert shown_in([heap(inside)], tile)[0].points == pytest.approx(inside - [100, 0])
    ring = fence(rectangle(90, 20, 130, 60), closed=True)
    (part,) = shown_in([ring], tile)
    assert not part.closed
    assert part.points.tolist() in (
        [[0, 20], [30, 20], [30, 60], [0, 60]],
        [[0, 60], [30, 60], [30, 20], [0, 20]],
    )


def test_a_sheet_of_another_image_is_refused() -> None:
    tile = sidecar(0, 0)
    assert in_scene(Sheet("t", (100, 100), (heap(rectangle(1, 1, 5, 5)),)), tile)
    with pytest.raises(ValueError, match="99 × 100"):
        in_scene(Sheet("t", (99, 100), ()), tile)


def test_neighbours_at_an_edge_are_not_joined() -> None:
    apart = [heap(rectangle(60, 10, 100, 30)), heap(rectangle(100, 50, 130, 70))]
    assert joined(apart, [LEFT, RIGHT]) == tuple(apart)
    same_tile = [heap(rectangle(60, 10, 80, 30)), heap(rectangle(80, 10, 99, 30))]
    assert joined(same_tile, [LEFT, LEFT]) == tuple(same_tile)
    other_class = [
        heap(rectangle(60, 10, 100, 30)),
        replace(heap(rectangle(100, 10, 130, 30)), class_id=0),
    ]
    assert len(joined(other_class, [LEFT, RIGHT])) == 2


def test_a_ring_over_two_tiles_is_one_ring() -> None:
    left = fence([[100, 20], [50, 20], [50, 80], [100, 80]])
    right = fence([[100, 81], [150, 80], [150, 20], [100, 19]])
    (ring,) = joined([left, right], [LEFT, RIGHT])
    assert ring.closed
    assert {tuple(point) for point in ring.points.tolist()} == {
        (50, 20), (50, 80), (100, 80.5), (150, 80), (150, 20), (100, 19.5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("program", "options", "says"),
    [
        ("propose.py", ["nowhere"], "folder of images"),
        ("propose.py", ["SCENES", "--tile", 8], "--tile"),
        ("propose.py", ["SCENES", "--server.url", "http://127.0.0.1:9"], "key-file"),
        ("collect.py", ["TILES"], "--export"),
        ("collect.py", ["TILES", "--export", "nowhere.json"], "nowhere.json"),
        ("pick.py", ["SCENES", "--weights", "nowhere.onnx"], "nowhere.onnx"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    scenes: Path, tiles: Path, tmp_path: Path, program: str, options: list[str], says: str
) -> None:
    given = [{"SCENES": scenes, "TILES": tiles}.get(str(option), option) for option in options]
    out = tmp_path / ("out" if program == "propose.py" else "out.jsonl")
    done = run(program, *given, "--out", out)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert not out.exists()


def test_labels_of_a_tile_without_sidecar(tiles: Path, tmp_path: Path) -> None:
    task = {"data": {"image": "x.png", "name": "lost_0_0"}, "annotations": [{"result": []}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    done = run("collect.py", tiles, "--export", tmp_path / "export.json", "--out", tmp_path / "out.jsonl")
    assert done.returncode == 2
    assert "lost_0_0" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
