"""The whole way once, by the programs, on the CPU: generate → cut → train → export → scan → map layers."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 300
TILE_PX = 320
CLASSES = ["mine_head", "coal_heap", "guard_perimeter", "rail_loading"]


class Flow:
    """Runs programs one after the other within one time limit; what one prints is shown if it fails."""

    def __init__(self) -> None:
        self._end = time.monotonic() + LIMIT_S
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}

    def run(self, program: str, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / program), *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=max(1, self._end - time.monotonic()),
            check=False,
        )
        assert done.returncode == 0, f"{program} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The smoke recipe on smaller tiles: one epoch, random weights, the CPU."""
    text = (ROOT / "training" / "recipes" / "smoke.toml").read_text(encoding="utf-8")
    for key, value in {"tile_px": TILE_PX, "batch": 4, "val_tiles": 2}.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    path = tmp_path / "smoke.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_from_nothing_to_a_map_layer_within_five_minutes(tmp_path: Path, recipe: Path) -> None:
    flow, scenes, dataset = Flow(), tmp_path / "scenes", tmp_path / "dataset"
    flow.run("datasets/generate.py", scenes, "--count", 4, "--size", 512, "--gsd", 0.6, 0.6)
    assert len(list(scenes.glob("*.tif"))) == 4

    cutting = ["--tile", TILE_PX, "--overlap", 64, "--val-fraction", 0.25, "--workers", 1]
    flow.run("datasets/cut.py", scenes, "--labels", scenes / "labels.jsonl", "--out", dataset, *cutting)
    manifest = [json.loads(line) for line in (dataset / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert {tile["split"] for tile in manifest} == {"train", "val"}

    flow.run("training/train.py", recipe, "--dataset", dataset, "--out", tmp_path / "runs")
    run, weights = tmp_path / "runs" / "smoke", tmp_path / "smoke.onnx"
    assert (run / "weights" / "best.pt").is_file()

    # One epoch teaches next to nothing: a low threshold lets something through to the end.
    flow.run("training/export.py", run, "--out", weights, "--tiles", 2, "--threshold", 0.01)
    facts = onnxruntime.InferenceSession(weights).get_modelmeta().custom_metadata_map
    card = json.loads(facts["pithead_card"])
    assert [known["name"] for known in card["classes"]] == CLASSES
    assert (card["tile_px"], card["gsd_m"]) == (TILE_PX, 0.6)

    scene = min(scenes.glob("*.tif"))
    flow.run("inference/scan.py", scene, "--weights", weights, "--out", tmp_path / "out", "--overlap", 64)
    left = {path.name.removeprefix(scene.stem) for path in (tmp_path / "out").iterdir()}
    assert left == {".geojson", ".gpkg", ".parquet", ".png", ".run.json", ".stac.json"}
    found = json.loads((tmp_path / "out" / f"{scene.stem}.geojson").read_text(encoding="utf-8"))
    assert found["type"] == "FeatureCollection"
    assert {feature["properties"]["class"] for feature in found["features"]} <= set(CLASSES)
    record = json.loads((tmp_path / "out" / f"{scene.stem}.run.json").read_text(encoding="utf-8"))
    assert sum(record["counts"]["classes"].values()) == len(found["features"])
