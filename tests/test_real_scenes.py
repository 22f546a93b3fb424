"""Measuring on real scenes: folds, a usual tiler, what SAHI wrote, and how the page begins."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pithead.card import Card
from pithead.classes import load_classes
from pithead.errors import DatasetError, OptionError
from pithead.evaluation import Given, SceneResult, result_of
from pithead.geometry import Window
from pithead.labels import Label, SceneFacts
from pithead.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # where the programs find their neighbours

import cold_start  # noqa: E402
import real_data  # noqa: E402
import real_report  # noqa: E402
import real_runs  # noqa: E402
from real_data import PlainTile, Shot  # noqa: E402

CLASSES = load_classes(ROOT / "labeling" / "classes.toml")
HEAP, FENCE, RAIL = (CLASSES.names.index(n) for n in ("coal_heap", "guard_perimeter", "rail_loading"))


def square(x: float, y: float, side: float = 20.0) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])


def heap(x: float, y: float, weight: str = "target", side: float = 20.0) -> Label:
    return Label(HEAP, "box", square(x, y, side), closed=True, weight=weight, attributes={})


def shot(name: str, heaps: int = 0, place: str | None = None) -> Shot:
    labels = tuple(heap(40.0 * i, 0) for i in range(heaps))
    return Shot(name, Path("none"), labels, SceneFacts(), place or name)


def names(shots: Iterable[Shot]) -> set[str]:
    return {one.name for one in shots}


# --- folds ---------------------------------------------------------------------------------------------


def test_what_is_rare_is_shared_out() -> None:
    shots = [shot(f"s{i}", heaps=3 if i < 3 else 0) for i in range(12)]
    folds = real_data.dealt(shots, 3)
    for fold in range(3):
        mine = [s for s in shots if folds[s.name] == fold]
        assert len(mine) == 4
        assert sum(len(s.labels) for s in mine) == 3


def test_scenes_of_a_place_are_measured_together() -> None:
    shots = [shot(f"s{i}", heaps=i % 2, place=f"place {i // 3}") for i in range(12)]
    folds = real_data.dealt(shots, 2)
    for place in {s.place for s in shots}:
        assert len({folds[s.name] for s in shots if s.place == place}) == 1


@settings(deadline=None)  # on a busy machine the first example takes longer than any rule
@given(st.lists(st.integers(0, 9), min_size=4, max_size=20), st.integers(2, 4))
def test_every_scene_is_in_one_fold_and_every_fold_has_one(heaps: list[int], count: int) -> None:
    shots = [shot(f"s{i:02d}", n) for i, n in enumerate(heaps)]
    folds = real_data.dealt(shots, count)
    assert folds.keys() == {s.name for s in shots}
    assert set(folds.values()) == set(range(count))
    assert folds == real_data.dealt(list(reversed(shots)), count)


def test_more_folds_than_sites_are_refused() -> None:
    with pytest.raises(OptionError, match="from 2 to 3 folds"):
        real_data.dealt([shot("a"), shot("b"), shot("c")], 4)


def test_validation_takes_little_but_something() -> None:
    shots = [shot(f"s{i}", heaps=i) for i in range(20)]
    train, val = real_runs.split(shots)
    assert len(train) + len(val) == 20
    assert 1 <= len(val) <= 2
    assert sum(len(s.labels) for s in val) >= 1
    assert not {s.name for s in train} & {s.name for s in val}


def test_smaller_sets_lie_within_larger_ones() -> None:
    shots = [shot(f"s{i}") for i in range(30)]
    ten, twenty = (names(cold_start.nested(shots, count)) for count in (10, 20))
    assert len(ten) == 10
    assert ten < twenty
    assert names(cold_start.nested(shots, 99)) == names(shots)


# --- a usual tiler -------------------------------------------------------------------------------------


def test_the_last_window_is_pushed_back() -> None:
    assert real_data.starts(1500, 640, 128) == [0, 512, 860]
    assert real_data.starts(640, 640, 128) == [0]
    assert real_data.starts(500, 640, 128) == [0]


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(0, 300))
def test_windows_leave_nothing_out(length: int, overlap: int) -> None:
    begin = real_data.starts(length, 640, overlap)
    assert begin[-1] == max(0, length - 640)
    assert all(later - earlier <= 640 - overlap for earlier, later in pairwise(begin))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene of 900 x 700 px whose red is the column and whose green is the row, modulo 256."""
    y, x = np.mgrid[:700, :900] % 256
    path = tmp_path / "scenes" / "one.png"
    path.parent.mkdir()
    Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)).save(path)
    return path


def pieces(scene: Path, *labels: Label) -> list[PlainTile]:
    one = Shot(scene.stem, scene, labels, SceneFacts(), scene.stem)
    return real_data.plain_windows(one, real_data.PlainSize(1.2, 0.6, 640, 128))


def test_objects_are_cut_at_edges_and_slivers_left_out(scene: Path) -> None:
    tiles = pieces(scene, heap(630, 100, side=40), heap(638, 300, side=40))
    assert [(t.window.x, t.window.y) for t in tiles] == [(0, 0), (260, 0), (0, 60), (260, 60)]
    first, second = tiles[0], tiles[1]
    # of 40 x 40 at 630 ten columns are inside: a quarter; of the one at 638 two columns: a twentieth
    assert first.boxes == pytest.approx(np.array([[635.0, 120.0, 40.0, 10.0, -np.pi / 2]]))
    assert np.sort(second.boxes[:, 0]) == pytest.approx([650 - 260, 658 - 260])
    assert second.boxes[:, 2:4] == pytest.approx(40.0)


def test_what_is_neither_right_nor_wrong_is_not_taught(scene: Path) -> None:
    assert all(len(t.boxes) == 0 for t in pieces(scene, heap(100, 100, "ignore"), heap(200, 100, "negative")))


def test_a_fence_is_taught_as_what_it_is_measured_by(scene: Path) -> None:
    fence = Label(
        FENCE, "line", np.array([[16.0, 50.0], [112.0, 50.0]]), closed=False, weight="target", attributes={}
    )
    boxes = pieces(scene, fence)[0].boxes
    # cut at every 32nd pixel of 0.6 m, which is every 16th of 1.2 m; 12 m wide
    assert boxes[:, 0] == pytest.approx([24, 40, 56, 72, 88, 104])
    assert boxes[:, 2] == pytest.approx(16.0)
    assert boxes[:, 3] == pytest.approx(10.0)


def test_a_train_is_taught_whole(scene: Path) -> None:
    corners = np.array([[10.0, 10.0], [210.0, 10.0], [210.0, 14.0], [10.0, 14.0]])
    boxes = pieces(scene, Label(RAIL, "strip", corners, closed=True, weight="target", attributes={}))[0].boxes
    assert boxes == pytest.approx(np.array([[110.0, 12.0, 200.0, 4.0, 0.0]]))


def test_empty_tiles_are_a_share_of_all() -> None:
    def tile(x: int, count: int) -> PlainTile:
        return PlainTile(shot("s"), Window(x, 0, 640, 640), np.zeros((count, 5)), np.zeros(count, np.int64))

    tiles = [tile(x, int(x < 6)) for x in range(20)]
    kept = real_data.chosen(tiles, 0.4)
    assert [len(t.boxes) for t in kept] == [1] * 6 + [0] * 4
    turned = real_data.chosen(list(reversed(tiles)), 0.4)
    assert {t.name for t in kept} == {t.name for t in turned}


def test_tiles_are_written_as_ultralytics_reads_them(scene: Path, tmp_path: Path) -> None:
    tiles = [t for t in pieces(scene, heap(630, 100, side=40)) if len(t.boxes)]
    data = real_data.write_plain(tmp_path / "plain", tiles, CLASSES, gsd_m=1.2)
    rows = (data.parent / "labels" / "one_260_60.txt").read_text().split()
    assert rows[0] == str(HEAP)
    x, y = np.array(rows[1:], float).reshape(4, 2).T * 640
    assert sorted({round(v) for v in x}) == [630 - 260, 670 - 260]
    assert sorted({round(v) for v in y}) == [100 - 60, 140 - 60]
    with Image.open(data.parent / "images" / "one_260_60.png") as image:
        assert image.getpixel((0, 0)) == (260 % 256, 60, 0)
    assert (data.parent / "looked_at.txt").read_text().split()[0].startswith("./images/one_")
    assert "train: images" in data.read_text()


# --- what was found ------------------------------------------------------------------------------------


def test_outlines_of_sahi_become_boxes(tmp_path: Path) -> None:
    path = tmp_path / "found.npz"
    upright = square(10, 20)
    bent = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 2.0], [4.0, 4.0], [0.0, 2.0]])  # a union has more corners
    np.savez(
        path,
        points=np.concatenate([upright, bent]),
        counts=[4, 5],
        scores=[0.3, 0.9],
        classes=[HEAP, RAIL],
    )
    found = real_runs.read_given(path)
    assert found.scores.tolist() == [0.9, 0.3]
    assert found.classes.tolist() == [RAIL, HEAP]
    assert {tuple(p) for p in found.corners_scene[1].round(6)} == {tuple(p) for p in upright}
    assert {tuple(p) for p in found.corners_scene[0].round(6)} == {(0, 0), (8, 0), (8, 4), (0, 4)}


def test_nothing_found_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "nothing.npz"
    np.savez(path, points=np.zeros((0, 2)), counts=np.zeros(0, np.int64), scores=[], classes=[])
    assert len(real_runs.read_given(path).scores) == 0


@pytest.fixture
def shots(tmp_path: Path) -> list[Shot]:
    """Ten scenes of a heap each."""
    made = []
    for i in range(10):
        path = tmp_path / "shots" / f"s{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (320, 320)).save(path)
        made.append(Shot(path.stem, path, (heap(100, 100),), SceneFacts(), path.stem))
    return made


def results(shots: list[Shot], card: Card, right: int) -> tuple[SceneResult, ...]:
    """Every heap found with a score of 0.9, in the first scenes at the right place."""
    found = []
    for i, one in enumerate(shots):
        corners = square(100 if i < right else 200, 100)[None]
        given_ = Given(corners, np.array([0.9]), np.array([HEAP]))
        found.append(result_of(one.path, one.labels, given_, card, gsd_m=0.6, facts=one.facts))
    return tuple(found)


def test_the_page_says_plainly_who_is_above(shots: list[Shot], card_json: str) -> None:
    card = Card.from_json(card_json)
    good, bad = (real_report.Method(n, n, results(shots, card, r)) for n, r in (("good", 10), ("bad", 0)))
    page = real_report.page(
        [good, bad], card, command="run it", folds=2, length="5 minutes", unmeasured=["mine_head"]
    )
    assert "**good is above bad**: mean AP50 1.000 against 0.000" in page
    assert "leaves out zero" in page
    assert "    run it" in page
    assert "each for 5 minutes" in page
    assert "10 scenes (0 km²) of 10 places, in 2 folds of places" in page
    assert "mine_head cannot be measured" in page
    assert "| good | 1.000 | 1.000 |" in page
    turned = real_report.page([bad, good], card, command="run it", folds=2, length="5 minutes", unmeasured=[])
    assert "**bad is below good**" in turned


def test_the_page_says_plainly_that_it_is_not_shown(shots: list[Shot], card_json: str) -> None:
    card = Card.from_json(card_json)
    one, other = (real_report.Method(n, n, results(shots, card, 5)) for n in ("one", "other"))
    page = real_report.page([one, other], card, command="run it", folds=2, length="5 minutes", unmeasured=[])
    assert "**one is not shown to be above other**" in page
    assert "holds zero" in page


def test_thresholds_come_from_the_other_folds(shots: list[Shot], card_json: str, tmp_path: Path) -> None:
    card = Card.from_json(card_json)
    told = real_runs.Told(tmp_path, tmp_path, folds=2, gsd=0.6)
    bench = real_runs.Bench(
        told, tmp_path, tuple(shots), {s.name: i % 2 for i, s in enumerate(shots)}, CLASSES, tmp_path
    )
    # a card that lets nothing through; over the other folds 0.9 is the highest rung at which all is found
    strict = replace(card, classes=tuple(replace(c, threshold=1.0) for c in card.classes))
    found = real_runs.across_folds(bench, results(shots, strict, 10), strict, tmp_path / "kept")
    assert [len(r.sure.scores) for r in found] == [1] * 10
    assert all(r.areas["coal_heap"].f1 == pytest.approx(1.0) for r in found)


def test_a_class_of_too_little_truth_counts_for_nothing(tmp_path: Path) -> None:
    told = real_runs.Told(tmp_path, tmp_path, unmeasured=("coal_heap",))
    one = shot("a", heaps=2)
    bench = real_runs.Bench(told, tmp_path, (one,), {"a": 0}, CLASSES, tmp_path)
    assert [label.weight for label in bench.truth(one)] == ["ignore", "ignore"]


def test_heaps_of_any_material_can_be_taught(scene: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    record = '{"image": "one", "class": "coal_heap", "polygon": [[0, 0], [9, 0], [9, 9]], "material": "sand"}'
    labels.write_text(record + "\n" + record.replace("one", "two").replace("sand", "coal") + "\n")
    Image.new("RGB", (64, 64)).save(scene.with_name("two.png"))
    told = real_runs.Told(labels, labels, labels, tmp_path / "out", gsd=1.2, folds=2, all_heaps=True)
    bench = real_runs.Bench.open(scene.parent, told)
    fold = bench.fold_of["two"]
    assert [label.weight for one in bench.taught(fold) for label in one.labels] == ["target"]
    assert [label.weight for one in bench.held_out(1 - fold) for label in bench.truth(one)] == ["ignore"]


def test_a_page_names_the_command_that_goes_on_with_the_same_runs(tmp_path: Path) -> None:
    told = real_runs.Told(tmp_path, tmp_path, gsd=1.2)
    command = told.command("real_scenes", "--recipes a.toml")
    hours = float(command.split("--hours ")[1].split()[0])
    assert replace(told, hours=hours).budget == told.budget == "1200s"
    assert "--gsd 1.2 --folds 3 " in command
    assert "--recipes a.toml" in command
    assert "--starter" not in command
    assert "unmeasured" not in command
    other = replace(told, starter=tmp_path / "mine.onnx", unmeasured=(), epochs=2).command("cold_start")
    assert "--epochs 2 " in other
    assert "--starter mine.onnx --empty-unmeasured --report benchmarks/cold_start.md" in other


def test_steps_of_other_labels_are_not_taken_for_these(scene: Path, tmp_path: Path) -> None:
    labels, weights = tmp_path / "labels.jsonl", tmp_path / "weights"
    labels.write_text('{"image": "one", "class": "none"}\n{"image": "two", "class": "none"}\n')
    weights.write_text("weights")
    Image.new("RGB", (64, 64)).save(scene.with_name("two.png"))
    told = real_runs.Told(labels, weights, weights, tmp_path / "out", gsd=1.2, folds=2)
    real_runs.Bench.open(scene.parent, told)
    real_runs.Bench.open(scene.parent, replace(told, hours=3.0, unmeasured=()))
    labels.write_text(labels.read_text() + '{"image": "two", "class": "none"}\n')
    with pytest.raises(OptionError, match="the same labels as those"):
        real_runs.Bench.open(scene.parent, told)
    with pytest.raises(OptionError, match="over 0"):
        real_runs.Bench.open(scene.parent, replace(told, hours=0.0))


def test_a_training_is_done_once(shots: list[Shot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = real_runs.Told(tmp_path, tmp_path, out=tmp_path / "out")
    bench = real_runs.Bench(told, tmp_path, tuple(shots), {}, CLASSES, tmp_path)
    recipe = read_recipe(ROOT / "training" / "recipes" / "real.toml")
    steps: list[str] = []
    monkeypatch.setattr(real_runs, "program", lambda _, *command: steps.append(Path(command[1]).name))
    monkeypatch.setattr(real_runs, "dataset_of", real_runs.tiles_of)
    monkeypatch.setattr(real_runs, "write_training", lambda *_: None)

    def again(plan: Recipe = recipe) -> list[str]:
        steps.clear()
        real_runs.fine_tuned(bench, plan, "real-1-of-3", shots, tmp_path / "start.onnx")
        return list(steps)

    assert again() == ["train.py", "export.py"]
    run = tmp_path / "out" / "runs" / "real-1-of-3-1200s"
    assert again() == ["export.py"]
    (run / "trained").unlink()
    for seconds, whole in ((1100, False), (1201, True)):
        (run / "run.json").write_text(f'{{"epochs": 9, "seconds": {seconds}}}')
        assert again() == (["export.py"] if whole else ["train.py", "export.py"])
        (run / "trained").unlink(missing_ok=True)
    weights = tmp_path / "out" / "weights" / f"{run.name}.onnx"
    weights.write_text("killed before it was listed")
    assert again() == ["export.py"]
    (weights.parent / "manifest.toml").write_text(f'[a]\nfile = "{weights.name}"\nsha256 = ""\n')
    assert again() == []
    with pytest.raises(OptionError, match="begun with another"):
        again(replace(recipe, lr0=1.0))


def test_crops_of_one_image_are_one_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide, other = (rng.integers(0, 255, (3, 40, 60)).repeat(10, 1).repeat(10, 2) for _ in range(2))
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for name, pixels in (("a", wide[:, :, :400]), ("b", other[:, :, :400]), ("c", wide[:, :, 150:550])):
        Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8)).save(scenes / f"{name}.png")
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(f'{{"image": "{name}", "class": "none"}}\n' for name in "abc"))
    found = real_data.labelled(scenes, labels, CLASSES, 1.2)
    assert {one.name: one.place for one in found} == {"a": "a", "b": "b", "c": "a"}


def test_scenes_of_a_place_are_drawn_together(scene: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"image": "one", "class": "none"}\n{"image": "two", "class": "none", "site": "pit"}\n')
    Image.new("RGB", (64, 64)).save(scene.with_name("two.png"))
    for one in real_data.labelled(scene.parent, labels, CLASSES, 1.2):
        assert one.facts.site == one.place == {"one": "one", "two": "pit"}[one.name]


def test_a_step_that_fails_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(real_runs.StepError, match="it said: no such weights; see"):
        real_runs.program(
            tmp_path / "step.log", sys.executable, "-c", "print('no such weights'); raise SystemExit(2)"
        )


def test_scenes_of_which_a_part_was_looked_at_are_refused(scene: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"image": "one", "class": "seen", "polygon": [[0, 0], [9, 0], [9, 9]]}\n')
    with pytest.raises(DatasetError, match="looked at whole"):
        real_data.labelled(scene.parent, labels, CLASSES, 1.2)
    labels.write_text('{"image": "one", "class": "none"}\n')
    (only,) = real_data.labelled(scene.parent, labels, CLASSES, 1.2)
    assert (only.name, only.place, only.labels) == ("one", "one", ())
