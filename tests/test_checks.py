"""pithead.checks, pithead.likeness and datasets/check.py: each fault made on purpose, and found by name."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image, ImageFilter

from pithead.imagery import write_cog
from pithead.likeness import look_alikes, looks_of

ROOT = Path(__file__).parents[1]
HEAP = {"class": "coal_heap", "material": "coal", "confidence": "sure"}


def run(program: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "datasets" / program), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def landscape(seed: int, side: int = 256) -> np.ndarray:
    """Smooth ground with some structure, unlike that of another seed: (side, side, 3)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(20, 230, (9, 9, 3), dtype=np.uint8))
    fine = rng.integers(-12, 12, (side, side, 3))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + fine, 1, 255).astype(np.uint8)


def scene(path: Path, pixels: np.ndarray, east_m: float) -> None:
    place = Affine(0.6, 0, 500_000 + east_m, 0, -0.6, 4_600_000)
    write_cog(path, pixels.transpose(2, 0, 1), place, "EPSG:32652", colorinterp=("red", "green", "blue"))


def write_labels(folder: Path, records: list[dict[str, object]]) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def make(folder: Path, easts: dict[str, float], seeds: dict[str, int] | None = None) -> Path:
    """A dataset of georeferenced scenes with one heap each, a tile each."""
    scenes = folder / "scenes"
    scenes.mkdir()
    for i, (name, east_m) in enumerate(easts.items()):
        scene(scenes / f"{name}.tif", landscape((seeds or {}).get(name, i)), east_m)
    labels = write_labels(folder, [{"image": n, **HEAP, "polygon": square(50, 60, 40)} for n in easts])
    given = ["--labels", labels, "--tile", 256, "--overlap", 0, "--val-fraction", 0.5, "--workers", 1]
    done = run("cut.py", scenes, "--out", folder / "dataset", *given)
    assert done.returncode == 0, done.stderr
    return folder / "dataset"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("good"), {"a": 0, "b": 5000, "c": 10_000, "d": 15_000})


def swap(dataset: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change every line of a manifest."""
    tiles = [json.loads(line) for line in (dataset / "manifest.jsonl").read_text().splitlines()]
    for tile in tiles:
        change(tile)
    (dataset / "manifest.jsonl").write_text("".join(json.dumps(tile) + "\n" for tile in tiles))


def test_a_good_dataset_passes_and_its_page_shows_it(good: Path) -> None:
    done = run("check.py", good)
    assert done.returncode == 0, done.stderr
    assert "0 refused, 0 warnings" in done.stdout
    page = (good / "check.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "http" not in page
    tiles = [json.loads(line) for line in (good / "manifest.jsonl").read_text().splitlines()]
    for word in ("coal_heap", "unknown", *(f"{tile['split']}: {tile['site']}" for tile in tiles)):
        assert word in page


def test_scenes_of_one_place_are_cut_into_one_fold(tmp_path: Path) -> None:
    dataset = make(tmp_path, {"a": 0, "b": 300, "c": 5000, "d": 9000})  # b begins 146 m east of a
    tiles = [json.loads(line) for line in (dataset / "manifest.jsonl").read_text().splitlines()]
    split = {tile["scene"]: (tile["place"], tile["split"]) for tile in tiles}
    assert split["a"] == split["b"]
    assert run("check.py", dataset).returncode == 0


def test_backgrounds_go_with_the_place_that_they_show(tmp_path: Path) -> None:
    """A negative on the ground of a labelled scene is in its fold, whatever the draw of its own name."""
    scenes, negatives = tmp_path / "scenes", tmp_path / "negatives"
    for folder in (scenes, negatives):
        folder.mkdir()
    for i, name in enumerate("abcd"):
        scene(scenes / f"{name}.tif", landscape(i), 5000 * i)
        scene(negatives / f"{name}_other_date.tif", landscape(10 + i), 5000 * i + 20)
    labels = write_labels(tmp_path, [{"image": n, **HEAP, "polygon": square(50, 60, 40)} for n in "abcd"])
    given = ["--labels", labels, "--tile", 256, "--overlap", 0, "--val-fraction", 0.5, "--workers", 1]
    done = run("cut.py", scenes, "--out", tmp_path / "dataset", "--negatives", negatives, *given)
    assert done.returncode == 0, done.stderr
    tiles = [json.loads(line) for line in (tmp_path / "dataset" / "manifest.jsonl").read_text().splitlines()]
    of_place: dict[str, set[str]] = {}
    for tile in tiles:
        of_place.setdefault(tile["place"], set()).add(tile["split"])
    assert len(of_place) == 4
    assert all(len(splits) == 1 for splits in of_place.values())
    assert run("check.py", tmp_path / "dataset").returncode == 0


def test_shared_ground_is_refused_and_named(good: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(good, tmp_path / "dataset")
    tiles = [json.loads(line) for line in (dataset / "manifest.jsonl").read_text().splitlines()]
    train, val = (next(t for t in tiles if t["split"] == split) for split in ("train", "val"))

    def onto_the_other(tile: dict[str, object]) -> None:
        if tile["path"] == val["path"]:
            tile["footprint"] = train["footprint"]

    swap(dataset, onto_the_other)
    done = run("check.py", dataset)
    assert done.returncode == 2
    assert f"shared ground: {train['path']} and {val['path']}" in done.stderr
    assert done.stderr.count("\n") == 1
    far = run("check.py", good, "--buffer-m", 6000)
    assert far.returncode == 2
    assert "within 6000 m of" in far.stderr


def test_one_site_in_both_folds_is_refused(good: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(good, tmp_path / "dataset")
    swap(dataset, lambda tile: tile.update(site="mine", place="mine"))
    done = run("check.py", dataset)
    assert done.returncode == 2
    assert "one site in both folds" in done.stderr
    assert "site mine" in done.stderr


def test_equal_and_near_equal_tiles_are_refused(tmp_path: Path) -> None:
    equal = tmp_path / "equal"
    equal.mkdir()
    dataset = make(equal, {"a": 0, "b": 9000}, seeds={"a": 7, "b": 7})
    done = run("check.py", dataset)
    assert done.returncode == 2
    assert "equal tiles: images/" in done.stderr

    near = tmp_path / "near"
    near.mkdir()
    dataset = make(near, {"a": 0, "b": 9000})
    val, train = (next((dataset / "images" / split).glob("*.png")) for split in ("val", "train"))
    with Image.open(train) as image:
        changed = image.transpose(Image.Transpose.ROTATE_90).filter(ImageFilter.GaussianBlur(1))
    changed.point(lambda value: value * 0.8 + 10).save(val)
    done = run("check.py", dataset)
    assert done.returncode == 2
    assert "near-duplicates: images/train/" in done.stderr
    assert "missing or changed file" in done.stderr  # its hash is no longer that of the manifest


def test_a_dataset_without_val_is_warned_of(good: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(good, tmp_path / "dataset")
    swap(dataset, lambda tile: tile.update(split="train"))
    done = run("check.py", dataset)
    assert done.returncode == 0, done.stderr
    assert "warning: empty fold" in done.stdout
    assert "val has no tile" in done.stdout


def test_looks_tell_other_places_apart(tmp_path: Path) -> None:
    paths = []
    for seed in range(12):
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(landscape(seed)).save(paths[-1])
    paths.append(tmp_path / "plain.png")
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(paths[-1])
    one, turned = looks_of(paths), looks_of(paths, turned=True)
    assert len(turned.hashes) == 8 * len(paths)
    assert {(i, j // 8) for i, j, _ in look_alikes(one, turned)} == {(i, i) for i in range(12)}


def test_missing_files_and_broken_rows_are_named(good: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(good, tmp_path / "dataset")
    first, second, third, fourth = sorted((dataset / "labels").rglob("*.txt"))
    first.unlink()
    second.write_text("7 0 0 0 1 1 1 1 0\n")
    third.write_text("1 0 0 0 2 1 1 1 0\n")
    fourth.write_text("1 2 3\n")
    done = run("check.py", dataset)
    assert done.returncode == 2
    assert f"{first} is in the manifest but not on disk" in done.stdout
    assert f"unknown class: {second}:1" in done.stdout
    assert f"broken row: {third}:1" in done.stdout
    assert f"broken row: {fourth}:1" in done.stdout


def test_faults_of_labels_are_found_by_line(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    scene(scenes / "a.tif", landscape(1), 0)
    scene(scenes / "b.tif", landscape(2), 30)  # 50 px further east: the same heap lies 50 px further left
    bow = [[100, 100], [140, 140], [140, 100], [100, 140]]
    labels = write_labels(
        tmp_path,
        [
            {"image": "a", **HEAP, "polygon": square(100, 60, 40)},  # 1: good, 24 m
            {"image": "a", **HEAP, "polygon": square(240, 60, 40)},  # 2: 24 px outside
            {"image": "a", **HEAP, "polygon": bow},  # 3
            {"image": "a", **HEAP, "polygon": [[5, 5], [9, 9], [7, 7]]},  # 4: no area
            {"image": "a", "class": "coal_pile", "polygon": square(9, 9, 40)},  # 5
            {"image": "a", **HEAP, "polygon": square(10, 200, 5)},  # 6: 3 m
            {"image": "a", **HEAP, "polygon": square(101, 60, 40)},  # 7: twin of 1
            {"image": "b", "class": "mine_head", "polygon": square(50, 60, 40)},  # 8: the heap of line 1
            {"image": "c", "class": "none"},  # 9: no such scene
        ],
    )
    done = run("check.py", "--labels", labels, "--scenes", scenes)
    assert done.returncode == 2
    said = {
        line.split(": ")[1]: line for line in done.stdout.splitlines() if line.startswith(("refused", "warn"))
    }
    for kind, line in {
        "outside the scene": 2,
        "crosses itself": 3,
        "degenerate": 4,
        "no label": 5,
        "labelled twice": 7,
    }.items():
        assert f"{labels}:{line}:" in said[kind], kind
    assert f"{labels}:6: coal_heap of 3.0 m" in done.stdout
    assert f"another class on another date: {labels}:8: mine_head in b, coal_heap in a" in done.stdout
    assert "missing scene" in done.stdout
    assert "class is one of mine_head, coal_heap" in said["no label"]


def test_nothing_to_check_is_one_line(tmp_path: Path) -> None:
    for options, says in (
        ([], "name what to check"),
        ([tmp_path], "manifest.jsonl"),
        (["--labels", tmp_path / "x"], "--scenes"),
    ):
        done = run("check.py", *options)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert says in done.stderr
