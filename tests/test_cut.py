"""datasets/cut.py as a user runs it, on small scenes whose pixels and labels are known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pithead.dataset import Tile, read_manifest, verify

ROOT = Path(__file__).parents[1]
HEAP = {"class": "coal_heap", "material": "coal", "confidence": "sure"}


def run(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "datasets" / "cut.py"), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def rectangle(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def noise(path: Path, width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(1, 255, (height, width, 3), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of 320 × 160 px at 0.6 m: one with objects, one without; and one that nobody labelled."""
    folder = tmp_path_factory.mktemp("scenes")
    for i, name in enumerate(("full", "empty", "unlabelled")):
        noise(folder / f"{name}.png", 320, 160, i)
    records = [
        {"image": "full", **HEAP, "polygon": rectangle(20, 30, 40, 20), "site": "mine", "date": "2024-05-01"},
        {"image": "full", **HEAP, "polygon": rectangle(150, 30, 20, 10)},  # x = 160 cuts it in two halves
        {"image": "full", **HEAP, "confidence": "possible", "polygon": rectangle(20, 100, 12, 10)},
        {"image": "full", "class": "guard_perimeter", "line": [[0, 144], [128, 144]], "closed": False},
        {"image": "full", **HEAP, "material": "sand", "polygon": rectangle(200, 100, 90, 50)},
        {"image": "empty", "class": "none"},
    ]
    (folder / "labels.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def cut(scenes: Path, out: Path, *more: object) -> subprocess.CompletedProcess[str]:
    options = ["--labels", scenes / "labels.jsonl", "--out", out, "--scenes-gsd", 0.6]
    return run(scenes, *options, "--tile", 160, "--overlap", 0, "--empty-fraction", 0.5, *more)


@pytest.fixture(scope="module")
def dataset(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cut") / "dataset"
    done = cut(scenes, out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "2024" not in done.stdout
    return out


def by_scene(dataset: Path) -> dict[str, list[Tile]]:
    found: dict[str, list[Tile]] = {}
    for tile in read_manifest(dataset):
        found.setdefault(tile.scene, []).append(tile)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_tiles_are_the_pixels_of_the_scene(scenes: Path, dataset: Path) -> None:
    verify(dataset, read_manifest(dataset))
    (tile,) = by_scene(dataset)["full"]
    with Image.open(scenes / "full.png") as scene, Image.open(dataset / tile.path) as cut_out:
        assert (np.asarray(scene)[:160, :160] == np.asarray(cut_out)).all()


def test_labels_are_those_worked_out_by_hand(dataset: Path) -> None:
    (tile,) = by_scene(dataset)["full"]
    # the tile at x = 160 has half a heap of 100 px² and an ignored one of 4500 px²: it is left out
    assert (tile.window.x, tile.site, tile.date, tile.gsd_m) == (0, "mine", "2024-05-01", 0.6)
    assert tile.counts == {"coal_heap": 2, "guard_perimeter": 4}
    assert tile.n_ignored == 1
    rows = (dataset / tile.labels).read_text().splitlines()
    assert rows[0] == "1 0.125000 0.187500 0.375000 0.187500 0.375000 0.312500 0.125000 0.312500"
    assert [row.split()[0] for row in rows] == ["1", "1", "2", "2", "2", "2"]
    assert tile.ignores is not None
    assert (dataset / tile.ignores).read_text().startswith("1 0.125000 0.625000 0.200000 0.625000")


def test_empty_tiles_are_the_fraction_asked_for_and_sites_are_apart(dataset: Path) -> None:
    found = by_scene(dataset)
    assert set(found) == {"full", "empty"}
    (tile,) = found["empty"]
    assert not tile.counts
    assert (dataset / tile.labels).read_bytes() == b""
    assert {found["full"][0].split, tile.split} == {"train", "val"}


def test_the_same_bytes_with_two_workers_and_on_a_second_run(
    scenes: Path, dataset: Path, tmp_path: Path
) -> None:
    assert cut(scenes, tmp_path / "two", "--workers", 2).returncode == 0
    assert contents(tmp_path / "two") == contents(dataset)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "two" / "images").rglob("*.png")}
    victim = next(iter(before))
    victim.unlink()
    (tmp_path / "two" / "images" / "train" / "stray.png").write_bytes(b"")
    assert cut(scenes, tmp_path / "two").returncode == 0
    assert contents(tmp_path / "two") == contents(dataset)
    kept = [p for p in before if p.stat().st_mtime_ns == before[p]]
    assert sorted(kept) == sorted(set(before) - {victim})  # finished scenes are not cut again


def test_negatives_are_all_background(scenes: Path, tmp_path: Path) -> None:
    chips = tmp_path / "chips"
    chips.mkdir()
    for i in range(5):
        noise(chips / f"chip{i}.png", 160, 160, i)  # 0.3 m: 80 × 80 px at 0.6 m, four to a tile
    noise(chips / "large.png", 330, 200, 9)  # 165 × 100 px: the second tile has 5 of 160 columns
    done = cut(scenes, tmp_path / "out", "--negatives", chips, "--negatives-gsd", 0.3)
    assert done.returncode == 0, done.stderr
    found = by_scene(tmp_path / "out")
    # the second tile of "large" is 5 × 100 of 160 × 160 px valid, under 5 %: dropped
    assert {name: len(tiles) for name, tiles in found.items() if name.startswith("chips")} == {
        "chips-large": 1,
        "chips-chips-0000": 1,
        "chips-chips-0001": 1,
    }
    assert all(not tile.counts for name in found if name.startswith("chips") for tile in found[name])
    with Image.open(tmp_path / "out" / found["chips-chips-0001"][0].path) as sheet:
        pixels = np.asarray(sheet)
    assert pixels[:80, :80].all()
    assert not pixels[80:].any()
    assert not pixels[:, 80:].any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tile", "100"], "multiples of 32"),
        (["--empty-fraction", "1"], "empty-fraction"),
        (["--workers", "0"], "workers"),
        (["--val-fraction", "0"], "val fraction"),
        (["--negatives", "nowhere"], "nowhere"),
        (["--labels", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    scenes: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    given = {"--labels": str(scenes / "labels.jsonl"), "--scenes-gsd": "0.6", "--out": str(tmp_path / "out")}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    done = run(scenes, *(part for pair in given.items() for part in pair))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_left_alone(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    done = cut(scenes, tmp_path)
    assert done.returncode == 2
    assert contents(tmp_path) == {"mine.txt": b"precious"}


def test_a_labelled_scene_that_is_missing(scenes: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"image": "gone", "class": "none"}\n')
    done = run(scenes, "--labels", labels, "--out", tmp_path / "out", "--scenes-gsd", 0.6)
    assert done.returncode == 2
    assert "gone" in done.stderr
