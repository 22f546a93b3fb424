import csv
import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny import NAMES, SIDE, tiny_recipe, write_tiny_dataset

from pithead.classes import load_classes
from pithead.dataset import dataset_sha256, read_manifest
from pithead.errors import ClassesError, DatasetError, RecipeError, WeightsError
from pithead.learning.quiet import quiet_ultralytics
from pithead.recipe import Augmentation, Recipe, read_recipe

Loose = Any
ROOT = Path(__file__).parents[1]
CLASSES = ROOT / "labeling" / "classes.toml"


@pytest.fixture(scope="module", name="dataset")
def _dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet_ultralytics(tmp_path_factory.mktemp("settings"))
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny"))


def go(recipe: Recipe, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    """Train and return the last state."""
    from pithead.learning.plan import prepare
    from pithead.learning.runs import learn
    from pithead.learning.state import read_state

    learn(prepare(recipe, folder, load_classes(CLASSES), resume=resume))
    return read_state(folder)


def curves(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(encoding="utf-8") as file:
        return [{k.strip(): v for k, v in row.items() if k != "time"} for row in csv.DictReader(file)]


def test_training_leaves_weights_curves_and_facts(dataset: Path, tmp_path: Path) -> None:
    from ultralytics.nn.tasks import load_checkpoint

    state = go(tiny_recipe(dataset, epochs=2), tmp_path)
    model, checkpoint = load_checkpoint(tmp_path / "weights" / "best.pt")
    facts = checkpoint["pithead"]
    assert tuple(model.names.values()) == NAMES
    assert type(model).__module__ == "ultralytics.nn.tasks"  # opens where pithead is not installed
    assert facts["steps"] == state["updates"] == 4
    assert facts["dataset_sha256"] == dataset_sha256(read_manifest(dataset))
    assert facts["seed"] == 1
    assert facts["best"]["epoch"] == facts["epochs"]  # of this very file
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["best"] == facts["best"]
    versions = facts["versions"]
    assert versions.keys() == {"python", "torch", "ultralytics", "numpy", "albumentations", "opencv"}
    assert (versions["numpy"], versions["opencv"]) == (np.__version__, cv2.__version__)
    assert versions["albumentations"] == importlib.metadata.version("albumentations")
    left = {path.name for path in tmp_path.iterdir()}
    assert {"weights", "results.csv", "results.png", "run.json", "recipe.toml", "state.pt"} <= left
    assert {"train_batch0.jpg", "val_batch0_pred.jpg", "confusion_matrix.png"} <= left
    assert [row["epoch"] for row in curves(tmp_path)] == ["1", "2"]
    assert read_recipe(tmp_path / "recipe.toml") == tiny_recipe(dataset, epochs=2)


def test_steps_on_four_tiles_bring_the_loss_down(dataset: Path, tmp_path: Path) -> None:
    go(tiny_recipe(dataset, amp=True, epochs=15, lr0=2e-3), tmp_path)
    losses = [float(row["train/cls_loss"]) for row in curves(tmp_path)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_a_run_that_was_killed_goes_on_to_the_same_curve_and_weights(dataset: Path, tmp_path: Path) -> None:
    import torch

    from pithead.learning import trainer

    recipe = tiny_recipe(dataset, epochs=4, augment=Augmentation(flip=0.5, quarter_turns=True))
    whole = go(recipe, tmp_path / "whole")
    save, saved = trainer.save_state, []

    def die_after_the_second(run: Loose) -> None:
        if len(saved) == 2:
            raise KeyboardInterrupt
        save(run)
        saved.append(run.epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "save_state", die_after_the_second)
        with pytest.raises(KeyboardInterrupt):
            go(recipe, tmp_path / "killed")
    # The third epoch was in the curves, but not in the state: it is learnt again, and counted once.
    assert len(curves(tmp_path / "killed")) == 3
    resumed = go(recipe, tmp_path / "killed", resume=True)
    assert curves(tmp_path / "killed") == curves(tmp_path / "whole")
    for key in ("model", "average"):
        for name, value in whole[key].items():
            torch.testing.assert_close(resumed[key][name], value, rtol=0, atol=0)
    assert resumed["updates"] == whole["updates"] == 8


def test_a_run_is_not_overwritten_nor_resumed_by_another_recipe(dataset: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(dataset)
    go(recipe, tmp_path)
    with pytest.raises(RecipeError, match="--resume"):
        go(recipe, tmp_path)
    with pytest.raises(RecipeError, match="another recipe"):
        go(replace(recipe, lr0=0.5), tmp_path, resume=True)
    before = {name: (tmp_path / name).read_bytes() for name in ("results.csv", "recipe.toml", "state.pt")}
    with pytest.raises(RecipeError, match="is finished"):
        go(recipe, tmp_path, resume=True)
    with pytest.raises(RecipeError, match="is finished"):
        go(replace(recipe, epochs=0, hours=1e-6), tmp_path, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert go(replace(recipe, epochs=2), tmp_path, resume=True)["updates"] == 4


def test_a_time_budget_ends_a_run(dataset: Path, tmp_path: Path) -> None:
    state = go(tiny_recipe(dataset, epochs=0, hours=2.0 / 3600), tmp_path)
    assert 1 <= state["updates"] < 1000
    assert 1 < state["seconds"] < 60


def test_a_run_that_is_given_hours_goes_on_until_they_are_over(dataset: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(dataset, val_tiles=1)
    first = go(recipe, tmp_path)
    assert (first["epoch"], first["epochs"]) == (1, 1)
    hours = 6 * first["seconds"] / 3600
    assert go(replace(recipe, epochs=0, hours=hours), tmp_path, resume=True)["epoch"] >= 3


def test_an_epoch_that_was_no_number_is_learnt_again_and_its_time_counts_once(
    dataset: Path, tmp_path: Path
) -> None:
    from pithead.learning.trainer import OrientedTrainer

    validate, starts = OrientedTrainer.validate, []

    def once_none(trainer: Loose) -> tuple[dict[str, float], float]:
        metrics, fitness = validate(trainer)  # type: ignore[no-untyped-call]
        starts.append(trainer.train_time_start)
        return metrics, float("nan") if len(starts) == 2 else fitness

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OrientedTrainer, "validate", once_none)
        assert go(tiny_recipe(dataset, epochs=3), tmp_path)["epoch"] == 3
    assert [row["epoch"] for row in curves(tmp_path)] == ["1", "2", "3"]
    assert len(starts) == 4
    assert len(set(starts)) == 1


def test_what_stays_no_number_ends_a_run_with_one_clear_line(dataset: Path, tmp_path: Path) -> None:
    from pithead.learning.trainer import OrientedTrainer

    def none(trainer: Loose) -> tuple[dict[str, float], float]:
        return {}, float("nan") if trainer.epoch else 0.5

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OrientedTrainer, "validate", none)
        with pytest.raises(WeightsError, match=r"NaN persisted.*lower lr0"):
            go(tiny_recipe(dataset, epochs=3), tmp_path)


def test_a_run_without_improvement_stops_early(dataset: Path, tmp_path: Path) -> None:
    from pithead.learning.trainer import OrientedTrainer

    def as_good_as_ever(trainer: Loose) -> tuple[dict[str, float], float]:
        trainer.best_fitness = 0.5
        return {}, 0.5

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OrientedTrainer, "validate", as_good_as_ever)
        patch.setattr(OrientedTrainer, "final_eval", lambda _: None)
        assert go(tiny_recipe(dataset, epochs=50, patience=2), tmp_path)["epoch"] == 3
        with pytest.raises(RecipeError, match=r"is finished.*patience"):
            go(tiny_recipe(dataset, epochs=50, patience=2), tmp_path, resume=True)


def test_a_network_for_upright_boxes_trains(dataset: Path, tmp_path: Path) -> None:
    from ultralytics.nn.tasks import load_checkpoint

    go(tiny_recipe(dataset, model="yolo26n"), tmp_path)
    model, _ = load_checkpoint(tmp_path / "weights" / "best.pt")
    assert type(model).__name__ == "DetectionModel"


def test_a_torn_state_is_one_clear_error(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"torn")
    with pytest.raises(WeightsError, match="state of a run"):
        go(tiny_recipe(dataset), tmp_path, resume=True)


def test_a_dataset_that_fails_its_check_stops_before_the_first_epoch(tmp_path: Path, dataset: Path) -> None:
    assert dataset
    data = write_tiny_dataset(tmp_path / "data")
    (data / "1.txt").write_text("1 2 3\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"datasets/check\.py.*1\.txt"):
        go(tiny_recipe(data), tmp_path / "run")
    assert not (tmp_path / "run" / "results.csv").exists()


def test_a_dataset_of_other_classes_stops_before_the_first_epoch(tmp_path: Path, dataset: Path) -> None:
    assert dataset
    data = write_tiny_dataset(tmp_path / "data")
    (data / "data.yaml").write_text("names:\n  0: boat\n", encoding="utf-8")
    with pytest.raises(ClassesError, match="mine_head"):
        go(tiny_recipe(data), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "told"), [({"gsd_m": 1.2}, "1.2 m per pixel.*has 0.6"), ({"tile_px": 640}, "640 px.*has 128")]
)
def test_tiles_of_another_size_than_the_recipe_stop_before_the_first_epoch(
    dataset: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        go(tiny_recipe(dataset, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_one_clear_error(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RecipeError, match="cuda:0,1, torch sees 1"):
        go(tiny_recipe(dataset, device="cuda:0,1"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_that_are_no_numbers_are_one_clear_error(tmp_path: Path) -> None:
    from pithead.learning.samples import read_rows

    for text in ("1 2 3\n", "1 0 0 0 0 0 0 0 none\n", "1 0 0 0 0 0 0 0 0\n1 2\n"):
        (tmp_path / "x.txt").write_text(text, encoding="utf-8")
        with pytest.raises(DatasetError, match="a class and 8 numbers"):
            read_rows(tmp_path / "x.txt", SIDE)
    (tmp_path / "x.txt").write_text("\n", encoding="utf-8")
    assert read_rows(tmp_path / "x.txt", SIDE)[1].shape == (0, 4, 2)


def test_validation_tiles_are_spread_over_the_split(dataset: Path) -> None:
    from pithead.learning.samples import TrainTile, ValidationTiles

    tiles = tuple(TrainTile(Path(str(i)), Path("a.txt"), None, frozenset()) for i in range(205))

    def chosen(most: int) -> list[int]:
        some = ValidationTiles(tiles, tiny_recipe(dataset, val_tiles=most)).tiles
        return [int(str(tile.path)) for tile in some]

    assert chosen(-1) == chosen(205) == chosen(900) == list(range(205))
    assert chosen(5) == [0, 41, 82, 123, 164]
    for most in (103, 120, 204):
        assert len(set(chosen(most))) == most
        assert max(np.diff(chosen(most))) <= 2
        assert chosen(most)[-1] >= 203


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_missing_or_broken_weights_are_one_clear_error(
    dataset: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "start.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"start\.pt"):
        go(tiny_recipe(dataset, weights=str(path)), tmp_path)


def test_an_unknown_architecture_is_one_clear_error(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="architecture"):
        go(tiny_recipe(dataset, model="yolo99z-obb"), tmp_path)


def test_a_dataset_without_training_tiles_is_one_clear_error(tmp_path: Path, dataset: Path) -> None:
    assert dataset
    with pytest.raises(DatasetError, match="split 'train'"):
        go(tiny_recipe(write_tiny_dataset(tmp_path / "data", train=0)), tmp_path / "run")


TURNED = Augmentation(flip=0.5, quarter_turns=True)


def augmenter() -> Loose:
    from pithead.augment import Augmenter

    geometries = tuple(info.geometry for info in load_classes(CLASSES))
    return Augmenter(TURNED, geometries, (), span_width_px=20.0, strip_pad_px=3.0)


def test_samples_follow_from_their_number_alone_and_every_pass_has_every_tile(dataset: Path) -> None:
    from pithead.learning.samples import TrainingTiles, read_tiles

    recipe, tiles = tiny_recipe(dataset, augment=TURNED), read_tiles(dataset, "train")
    one, other = (TrainingTiles(tiles, recipe, augmenter()) for _ in range(2))
    late = other[6]
    first = [one[k] for k in range(8)]
    assert np.array_equal(first[6].pixels, late.pixels)
    assert sum(len(sample.ignored) for sample in first) == 2  # the tile with an ignored area, once a pass


def test_boxes_of_samples_lie_on_the_bright_pixels(dataset: Path) -> None:
    from pithead.learning.samples import TrainingTiles, read_tiles

    samples = TrainingTiles(read_tiles(dataset, "train"), tiny_recipe(dataset), augmenter())
    for k in range(16):
        sample = samples[k]
        cx, cy, w, h, angle = sample.boxes[0]
        y, x = np.nonzero(sample.pixels.min(axis=0) > 160)
        assert cx == pytest.approx(x.mean() + 0.5, abs=0.6)
        assert cy == pytest.approx(y.mean() + 0.5, abs=0.6)
        assert (w, h) == pytest.approx((40, 24), abs=1e-3)
        assert abs(np.sin(angle)) == pytest.approx(float(np.ptp(y) > np.ptp(x)), abs=1e-3)


def test_ignored_cells_are_those_whose_centre_is_inside(dataset: Path) -> None:
    import torch

    from pithead.learning.network import kept_cells

    assert dataset
    ignored = torch.tensor([[1.0, 32.0, 16.0, 32.0, 16.0, 0.0]])  # tile 1: x 16–48, y 8–24
    kept = kept_cells(ignored, torch.Size((2, 3, 64, 64)), [8, 16, 32])
    assert kept is not None
    assert kept.shape == (2, 64 + 16 + 4)
    assert bool(kept[0].all())
    # stride 8: centres x 20, 28, 36, 44 × y 12, 20; stride 16: x 24, 40 × y 8 (on the edge), 24 (on the edge)
    # stride 32: x 16 and 48 (on the edges) × y 16
    assert int((~kept[1, :64]).sum()) == 8
    assert int((~kept[1, 64:80]).sum()) == 4
    assert int((~kept[1, 80:]).sum()) == 2
    assert kept_cells(ignored[:0], torch.Size((2, 3, 64, 64)), [8, 16, 32]) is None


def test_no_blame_in_ignored_cells_but_targets_count(dataset: Path) -> None:
    import torch

    from pithead.learning.network import MaskedBCE

    assert dataset
    bce = MaskedBCE()
    scores, targets = torch.zeros(1, 3, 1), torch.tensor([[[0.0], [0.0], [1.0]]])
    assert (bce(scores, targets) > 0).flatten().tolist() == [True, True, True]
    bce.keep = torch.tensor([[True, False, False]])
    assert (bce(scores, targets) > 0).flatten().tolist() == [True, False, True]


@pytest.mark.parametrize(("model", "oriented"), [("yolo26n-obb", True), ("yolo26n", False)])
def test_neither_head_is_blamed_in_an_ignored_area(dataset: Path, model: str, *, oriented: bool) -> None:
    import torch
    from ultralytics.cfg import get_cfg

    from pithead.learning.network import build_network
    from pithead.learning.samples import Sample, collate

    assert dataset
    network = build_network(model, NAMES, oriented=oriented)
    network.args = get_cfg()  # type: ignore[no-untyped-call]
    pixels, nothing = np.zeros((3, SIDE, SIDE), np.uint8), np.zeros((0, 5), np.float32)
    whole = np.array([[SIDE / 2, SIDE / 2, 2 * SIDE, 2 * SIDE, 0]], np.float32)
    losses = []
    for ignored in (nothing, whole):
        sample = Sample(Path("a.png"), pixels, np.zeros(0, np.int64), nothing, ignored)
        batch = collate([sample], oriented=oriented)
        with torch.no_grad():
            loss, _ = network.train().loss(batch | {"img": batch["img"].float()})
        losses.append(float(loss.sum()))
    assert losses[0] > 0
    assert losses[1] == 0


@pytest.mark.parametrize(
    ("model", "oriented", "side_px"),
    [
        ("yolo26n-obb", True, 16),
        ("yolo26n", False, 16),
        (str(ROOT / "training" / "models" / "yolo26n-obb-p2.yaml"), True, 8),
    ],
)
def test_small_objects_are_enlarged_to_the_second_finest_cells(
    dataset: Path, model: str, *, oriented: bool, side_px: int
) -> None:
    import torch
    from ultralytics.cfg import get_cfg

    from pithead.learning.network import build_network

    assert dataset
    network = build_network(model, NAMES, oriented=oriented)
    network.args = get_cfg()  # type: ignore[no-untyped-call]
    criterion = network.init_criterion()
    for part in (criterion.one2many, criterion.one2one):
        assert part.assigner.stride_val == side_px
        # A box of 2 px: candidates are cells whose centre lies within half the side, and no more.
        x = torch.arange(-22.0, 23, 4)
        centres = torch.stack((x + 64, torch.full_like(x, 64.0)), dim=1)
        box = [64.0, 64, 2, 2, 0] if oriented else [63.0, 63, 65, 65]
        near = part.assigner.select_candidates_in_gts(centres, torch.tensor([[box]]), torch.ones(1, 1, 1))
        assert near.flatten().tolist() == (x.abs() < side_px / 2).tolist()


NO_NETWORK = """
import socket, sys, pathlib, runpy
def refuse(*a, **k):
    pathlib.Path(sys.argv[0]).parent.joinpath("tried").write_text(repr(a))
    raise OSError("no network here")
sys.argv = [{marker!r}] + {arguments!r}
socket.getaddrinfo = socket.socket.connect = socket.create_connection = refuse
runpy.run_path({program!r}, run_name="__main__")
"""


def test_the_program_asks_no_host_and_leaves_the_home_alone(dataset: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny_recipe(dataset, val_tiles=1).to_toml(), encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    names = ("PATH", "LANG", "VIRTUAL_ENV")
    environment = {k: os.environ[k] for k in names if k in os.environ}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    code = NO_NETWORK.format(
        marker=str(tmp_path / "marker"),
        arguments=[str(recipe), "--out", str(tmp_path / "runs")],
        program=str(ROOT / "training" / "train.py"),
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "smoke" / "weights" / "best.pt").is_file()
    assert not (tmp_path / "tried").exists()
    assert not [p for p in home.rglob("*") if "ltralytics" in p.name]


def test_the_side_of_the_tiny_tiles_is_on_the_grid() -> None:
    assert SIDE % 32 == 0


def test_training_leaves_threads_and_the_floating_point_unit_as_they_were(
    dataset: Path, tmp_path: Path
) -> None:
    import torch

    threads = torch.get_num_threads()
    recipe = tiny_recipe(dataset, model="yolo99z-obb", threads=threads + 1)  # fails once both are changed
    with pytest.raises(RecipeError, match="architecture"):
        go(recipe, tmp_path / "run")
    assert float(torch.tensor(1e-40) * 1) > 0  # a denormal number is still one
    assert torch.get_num_threads() == threads


def test_tiles_of_a_rare_class_come_more_often() -> None:
    from pithead.learning.samples import TrainTile, draw, repeats

    def tile(*classes: str) -> TrainTile:
        return TrainTile(Path("a.png"), Path("a.txt"), None, frozenset(classes))

    # "rare" is on 1 of 16 tiles: wanted on 1/4, so its tile counts sqrt(4) = 2 of 17.
    tiles = (tile("rare", "common"), *(tile("common") for _ in range(14)), tile())
    weights = repeats(tiles, 0.25)
    assert weights.tolist() == [2.0] + [1.0] * 15
    assert repeats(tiles, 0.0).tolist() == [1.0] * 16
    drawn = np.concatenate([draw(weights, np.random.default_rng(i)) for i in range(170)])
    counts = np.bincount(drawn, minlength=16)
    assert counts.sum() == 170 * 16
    assert counts[0] == pytest.approx(2 * 170 * 16 / 17, rel=0.05)
    assert sorted(draw(np.ones(16), np.random.default_rng(1)).tolist()) == list(range(16))
