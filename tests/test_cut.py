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
        before, after = np.asarray(scene)[:160, :160], np.asarray(cut_out)
    half = np.zeros((160, 160), dtype=bool)
    half[30:40, 150:] = True  # half a heap: neither object nor background, so it is painted over
    assert (before[~half] == after[~half]).all()
    assert (after[half] == np.rint(before[~half].mean(axis=0))).all()


def test_labels_are_those_worked_out_by_hand(dataset: Path) -> None:
    (tile,) = by_scene(dataset)["full"]
    # the tile at x = 160 has half a heap of 100 px² and an ignored one of 4500 px²: it is left out
    assert (tile.window.x, tile.site, tile.date, tile.gsd_m) == (0, "mine", "2024-05-01", 0.6)
    assert tile.counts == {"coal_heap": 1, "guard_perimeter": 4}
    assert (tile.n_ignored, tile.n_cut) == (2, 1)
    rows = (dataset / tile.labels).read_text().splitlines()
    assert rows[0] == "1 0.125000 0.187500 0.375000 0.187500 0.375000 0.312500 0.125000 0.312500"
    assert [row.split()[0] for row in rows] == ["1", "2", "2", "2", "2"]
    assert tile.ignores is not None
    half, possible = (dataset / tile.ignores).read_text().splitlines()
    assert half == "1 0.937500 0.250000 0.937500 0.187500 1.000000 0.187500 1.000000 0.250000"
    assert possible.startswith("1 0.125000 0.625000 0.200000 0.625000")


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


def test_what_nobody_looked_at_teaches_nothing(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 320, 160, 3)
    noise(tmp_path / "b.png", 320, 160, 4)
    records = [
        {"image": "a", "class": "seen", "polygon": rectangle(0, 0, 128, 160)},
        {"image": "a", **HEAP, "polygon": rectangle(20, 30, 40, 20), "sensor": "WV02"},
        {"image": "b", "class": "none"},
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = cut(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (tile,) = by_scene(tmp_path / "out")["a"]  # of the tile at x = 160 nobody has seen anything
    assert (tile.window.x, tile.sensor, tile.counts) == (0, "WV02", {"coal_heap": 1})
    with Image.open(tmp_path / "a.png") as scene, Image.open(tmp_path / "out" / tile.path) as cut_out:
        before, after = np.asarray(scene)[:160, :160], np.asarray(cut_out)
    assert (after[:, :128] == before[:, :128]).all()
    assert (after[:, 128:] == np.rint(before[:, :128].reshape(-1, 3).mean(axis=0))).all()


def test_tiles_full_of_doubt_are_kept_if_asked_for(scenes: Path, tmp_path: Path) -> None:
    done = cut(scenes, tmp_path / "out", "--max-ignored", 1, "--min-left", 0.5)
    assert done.returncode == 0, done.stderr
    tiles = by_scene(tmp_path / "out")["full"]
    assert [(t.window.x, t.counts.get("coal_heap"), t.n_ignored) for t in tiles] == [(0, 2, 1), (160, 1, 1)]


def test_tiles_with_hard_negatives_are_all_there_and_named(tmp_path: Path) -> None:
    for i, name in enumerate("abc"):
        noise(tmp_path / f"{name}.png", 320, 160, i)
    records = [
        {"image": "a", **HEAP, "polygon": rectangle(20, 30, 40, 20)},
        {"image": "b", "class": "hard_negative", "kind": "pond", "polygon": rectangle(200, 30, 40, 20)},
        {"image": "c", "class": "hard_negative", "note": "dark roof", "polygon": rectangle(10, 30, 40, 20)},
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    given = ["--labels", tmp_path / "labels.jsonl", "--scenes-gsd", 0.6, "--tile", 160, "--overlap", 0]
    done = run(tmp_path, "--out", tmp_path / "out", "--empty-fraction", 0, *given)
    assert done.returncode == 0, done.stderr
    found = by_scene(tmp_path / "out")
    assert {name: [(t.window.x, dict(t.negatives)) for t in tiles] for name, tiles in found.items()} == {
        "a": [(0, {})],
        "b": [(160, {"pond": 1})],
        "c": [(0, {"dark roof": 1})],
    }


def test_folds_are_datasets_of_their_own(tmp_path: Path) -> None:
    records = []
    for i, name in enumerate("abcd"):
        noise(tmp_path / f"{name}.png", 160, 160, i)
        sensor = "WV02" if i < 2 else "GE01"
        records.append({"image": name, **HEAP, "polygon": rectangle(20, 30, 40, 20), "sensor": sensor})
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    out = tmp_path / "out"
    assert cut(tmp_path, out, "--folds", 4).returncode == 0
    held = []
    for fold in range(1, 5):
        folder = out / "folds" / f"{fold}-of-4"
        tiles = read_manifest(folder)
        verify(folder, tiles)
        held += [tile.scene for tile in tiles if tile.split == "val"]
        listed = [folder / line for line in (folder / "val.txt").read_text().splitlines()]
        assert [path.resolve() for path in listed] == [
            (folder / tile.path).resolve() for tile in tiles if tile.split == "val"
        ]
        assert len(tiles) == 4
    assert sorted(held) == list("abcd")
    assert cut(tmp_path, out, "--leave-out", "sensor").returncode == 0
    assert sorted(path.name for path in (out / "folds").iterdir()) == ["sensor-GE01", "sensor-WV02"]
    tiles = read_manifest(out / "folds" / "sensor-GE01")
    assert {tile.scene: tile.split for tile in tiles} == {"a": "train", "b": "train", "c": "val", "d": "val"}


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
