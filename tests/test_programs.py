"""Programs end well or with one clear line and status 2, and never leave half a result."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeOnnx
from cyclopts import App
from PIL import Image
from rasterio.crs import CRS

from pithead.errors import SceneError
from pithead.program import run

ROOT = Path(__file__).parent.parent
SIZE = 300
PLACE = {"crs": CRS.from_epsg(32652), "transform": Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000)}
HEAP = [100.0, 120.0, 60.0, 30.0, 0.5, 0.9, 1.0]


def write_image(path: Path, value: int = 99, **profile: Any) -> Path:  # noqa: ANN401
    shape = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **(shape | profile)) as out:
        out.write(np.full((3, SIZE, SIZE), value, np.uint8))
    return path


def write_plain(path: Path) -> Path:
    """An image without georeference."""
    Image.new("RGB", (SIZE, SIZE), (99, 99, 99)).save(path)
    return path


def program(*arguments: str | Path, name: str = "inference/scan.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )  # fmt: skip


def text_file(folder: Path) -> list[Path | str]:
    path = folder / "text.tif"
    path.write_text("not an image")
    return [path]


def truncated(folder: Path) -> list[Path | str]:
    path = write_image(folder / "cut.tif", **PLACE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return [path]


def empty_folder(folder: Path) -> list[Path | str]:
    path = folder / "scenes"
    path.mkdir()
    return [path]


def one_good_one_bad(folder: Path) -> list[Path | str]:
    return [write_image(folder / "good.tif", **PLACE), *text_file(folder)]


def no_georeference(folder: Path) -> list[Path | str]:
    return [write_plain(folder / "plain.png")]


def missing_weights(folder: Path) -> list[Path | str]:
    return [write_image(folder / "good.tif", **PLACE), "--weights", folder / "none.onnx"]


def odd_overlap(folder: Path) -> list[Path | str]:
    return [write_image(folder / "good.tif", **PLACE), "--overlap", "100"]


def same_name_twice(folder: Path) -> list[Path | str]:
    return [write_image(folder / "a.tif", **PLACE), write_plain(folder / "a.png"), "--gsd", "1"]


BAD = [
    text_file,
    truncated,
    empty_folder,
    one_good_one_bad,
    no_georeference,
    missing_weights,
    odd_overlap,
    same_name_twice,
]


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case: Any, tmp_path: Path, make_onnx: MakeOnnx) -> None:  # noqa: ANN401
    arguments = case(tmp_path)
    weights = [] if "--weights" in arguments else ["--weights", make_onnx([HEAP])]
    done = program(*arguments, *weights, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_weights_without_a_card(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scene = write_image(tmp_path / "good.tif", **PLACE)
    done = program(scene, "--weights", make_onnx([HEAP], card=None), "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "card" in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_valid_pixel_is_an_empty_result(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scene = write_image(tmp_path / "black.tif", 0, nodata=0, **PLACE)
    done = program(scene, "--weights", make_onnx([HEAP]), "--out", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "out/black.geojson").read_text())["features"] == []
    assert json.loads((tmp_path / "out/black.run.json").read_text())["counts"]["tiles"] == {
        "all": 4, "run": 0, "empty": 4, "plain": 0, "outside": 0
    }  # fmt: skip


def test_a_folder_of_scenes(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_image(folder / "b.tif", **PLACE)
    write_plain(folder / "a.jpg")
    (folder / "notes.txt").write_text("not a scene")
    weights = make_onnx([HEAP])
    out = tmp_path / "out"
    done = program(folder, "--weights", weights, "--out", out, "--gsd", "0.6", "--overlap", "64")
    assert done.returncode == 0, done.stderr
    endings = ("geojson", "gpkg", "parquet", "png", "run.json", "stac.json")
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{s}.{e}" for s in "ab" for e in endings)
    record = json.loads((out / "b.run.json").read_text())
    assert record["counts"]["classes"]["coal_heap"] == len(gpd.read_file(out / "b.gpkg", layer="boxes")) > 0
    asked = {"gsd": 0.6, "overlap": 64, "threads": None, "classes": [], "min_score": None, "limit": None}
    asked |= {"readers": 1, "bands": [], "stretch": None, "aoi": None, "skip_plain": False, "date": None}
    asked |= {"device": "auto", "unverified": False}
    assert record["options"] == asked
    assert record["grid"]["overlap_px"] == 64
    hashes = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in record["results"]}
    assert record["results"] == hashes
    assert sorted(hashes) == [f"b.{e}" for e in endings if e != "run.json"]
    assert record["scene"]["crs"] == "EPSG:32652"
    assert len(record["scene"]["sha256"]) == len(record["weights"]["sha256"]) == 64
    assert "coal_heap" in done.stdout


def test_only_what_was_asked_for(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scene = write_image(tmp_path / "a.tif", **PLACE)
    wagons = [200.0, 200.0, 60.0, 12.0, 0.0, 0.2, 3.0]  # under the card's threshold of 0.25
    weights = make_onnx([HEAP, wagons])

    def classes(*options: str) -> list[str]:
        done = program(scene, "--weights", weights, "--out", tmp_path / "out", "--quiet", *options)
        assert done.returncode == 0, done.stderr
        document = json.loads((tmp_path / "out" / "a.geojson").read_text())
        return sorted({feature["properties"]["class"] for feature in document["features"]})

    assert classes() == ["coal_heap"]
    assert classes("--min-score", "0.1") == ["coal_heap", "rail_loading"]
    assert classes("--min-score", "0.1", "--classes", "rail_loading") == ["rail_loading"]
    assert classes("--min-score", "0.1", "--limit", "1") == ["coal_heap"]
    for wrong in (("--classes", "heap"), ("--min-score", "2"), ("--limit", "0")):
        done = program(scene, "--weights", weights, "--out", tmp_path / "none", *wrong)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert not (tmp_path / "none").exists()


def test_help_says_what_it_does() -> None:
    done = program("--help")
    assert done.returncode == 0
    assert "guard perimeters" in done.stdout


@pytest.mark.parametrize("arguments", [["--overlap", "many"], ["--no-such-option"], []])
def test_a_wrong_command_line_is_one_line_too(arguments: list[str]) -> None:
    done = program(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [(SceneError("a\nb"), 2, "error: a b\n"), (KeyboardInterrupt(), 130, "stopped\n")],
)
def test_how_a_program_ends(
    error: BaseException,
    status: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = App()

    @app.default
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        run(app)
    assert ended.value.code == status
    assert capsys.readouterr().err == line


def test_a_scene_is_never_overwritten_by_its_own_picture(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scene = tmp_path / "scenes" / "a.png"
    scene.parent.mkdir()
    Image.fromarray(np.full((300, 300, 3), 90, np.uint8)).save(scene)
    before = scene.read_bytes()
    ended = program(scene, "--gsd", "0.6", "--weights", make_onnx(), "--out", scene.parent)
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert scene.read_bytes() == before
    assert list(scene.parent.iterdir()) == [scene]
