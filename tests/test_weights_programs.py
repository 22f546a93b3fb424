"""Exported weights get curves, thresholds, figures, a list and a page, by the programs of training."""

import importlib.util
import json
import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import MakeOnnx
from PIL import Image

from pithead.card import Card
from pithead.classes import load_classes
from pithead.dataset import Tile, dataset_sha256, read_manifest
from pithead.detector import Detector
from pithead.errors import OptionError, WeightsError
from pithead.evaluation import jobs_of, measured, write_account
from pithead.files import write_whole
from pithead.geometry import Window
from pithead.labels import Label, write_jsonl
from pithead.stamp import stamp

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ROOT / "labeling" / "classes.toml"
HEAP = 1
SCORE = 0.62
KM2 = (256 * 0.6 / 1000) ** 2


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"training_{name}", ROOT / "training" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def write_scenes(folder: Path, right: int, wrong: int) -> Path:
    """Scenes of one tile; where the network is right there is a heap at the place that it always names."""
    folder.mkdir()
    points = np.array([[70.0, 90], [130, 90], [130, 110], [70, 110]])
    heap = Label(HEAP, "box", points, closed=True, weight="target", attributes={})
    labels = {}
    for i in range(right + wrong):
        Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(folder / f"{i:02d}.png")
        labels[f"{i:02d}"] = [heap] if i < right else []
    write_jsonl(folder / "labels.jsonl", labels, load_classes(CLASSES))
    return folder


@pytest.fixture(name="weights")
def _weights(make_onnx: MakeOnnx, card_json: str) -> Path:
    training = {"false_alarms_per_km2": 1000.0, "recipe_sha256": "ab" * 32}
    card = replace(Card.from_json(card_json), training=training, metrics={"old": {"classes": {}}})
    return make_onnx([[100, 100, 60, 20, 0, SCORE, HEAP]], card=card.to_json())


def evaluated(folder: Path, weights: Path, scenes: Path) -> Path:
    jobs = jobs_of(weights, scenes, scenes / "labels.jsonl", CLASSES, 0.6, 1)
    card = Detector.open(weights).card
    results = measured(jobs, 1, keep=folder)
    write_account(folder, "x", results, card, paths={job.scene.stem: job.scene for job in jobs}, gsd_m=0.6)
    return folder


def test_calibrate_evaluate_and_write_the_card(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Half of what is said with 0.62 is right: before, the error is 0.12; 24 scenes have 12 false alarms.
    fit, other = write_scenes(tmp_path / "fit", 12, 12), write_scenes(tmp_path / "other", 3, 1)
    calibrate, card = program("calibrate"), program("card")
    calibrate.main(weights, fit, check=other, gsd=0.6)
    printed = capsys.readouterr().out
    assert "0.120" in printed
    assert "24 scenes of the fit" in printed
    assert "4 other scenes" in printed
    detector = Detector.open(weights)  # it is listed
    told = detector.card.metrics["calibration"]
    assert set(detector.card.metrics) == {"calibration"}
    assert told["fit"]["before"]["coal_heap"] == pytest.approx(0.12, abs=1e-6)
    assert told["fit"]["after"]["coal_heap"] == pytest.approx(0, abs=0.01)
    assert told["check"]["before"]["coal_heap"] == pytest.approx(0.75 - SCORE, abs=1e-6)
    assert told["check"]["after"]["coal_heap"] == pytest.approx(0.25, abs=0.01)
    assert told["false_alarms_per_km2"] == 1000  # the recipe's: 21 of 1000 are reached, so the lowest rung
    assert 12 / (24 * KM2) < 1000
    assert detector.card.thresholds[HEAP] == 0.05
    assert detector.detect(np.zeros((1, 256, 256, 3), np.uint8))[0][0, 5] == pytest.approx(0.5, abs=0.01)

    folder = evaluated(tmp_path / "evaluation", weights, other)
    before = weights.read_bytes()
    card.card(weights, evaluation=(f"4 other scenes={folder}",))
    assert weights.read_bytes() != before
    page = weights.with_suffix(".md").read_text("utf-8")
    detector = Detector.open(weights)
    assert detector.sha256 in page
    assert "## How good: 4 other scenes" in page
    assert "| coal_heap | yes | 0.120 |" in page
    listed = tomllib.loads((weights.parent / "manifest.toml").read_text("utf-8"))["constant"]
    assert listed["sha256"] == detector.sha256
    assert listed["recipe_sha256"] == "ab" * 32
    figures = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert listed["metrics"]["4 other scenes"]["coal_heap"]["ap50"] == pytest.approx(
        figures["classes"]["coal_heap"]["ap50"], abs=1e-4
    )
    # The same once more gives the same bytes, and what is on the card already does not make it another one.
    same = weights.read_bytes(), page, (weights.parent / "manifest.toml").read_bytes()
    card.card(weights, evaluation=(f"4 other scenes={folder}",))
    again = weights.read_bytes(), weights.with_suffix(".md").read_text("utf-8")
    assert (*again, (weights.parent / "manifest.toml").read_bytes()) == same


def test_names_of_sites_that_a_card_has_leave_it(weights: Path, tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "evaluation", weights, write_scenes(tmp_path / "scenes", 1, 1))
    groups = {"site": {"camp-15": {"scenes": 1}}, "season": {"winter": {"scenes": 1, "classes": {}}}}
    metrics = {"older": {"scenes": 1, "km2": 1.0, "classes": {}, "by_circumstance": groups}, "note": "a word"}
    stamp(weights, weights, replace(Detector.open(weights).card, metrics=metrics))
    bare = shutil.copy(weights, tmp_path / "bare.onnx")
    program("card").card(bare)
    assert b"camp-15" not in bare.read_bytes()
    program("card").card(weights, evaluation=(f"new={folder}",))
    told = Detector.open(weights).card.metrics
    assert b"camp-15" not in weights.read_bytes()
    assert told["older"]["by_circumstance"] == {"season": groups["season"]}
    assert (set(told), told["note"]) == ({"older", "new", "note"}, "a word")


def test_errors_are_measured_on_scenes_that_did_not_choose(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit, other = write_scenes(tmp_path / "fit", 12, 12), write_scenes(tmp_path / "other", 3, 1)
    for path in other.glob("*.png"):  # one grey less: other scenes, and other hashes
        Image.fromarray(np.full((256, 256, 3), 89, np.uint8)).save(path)
    calibrate, card = program("calibrate"), program("card")
    stamp(weights, weights, replace(Detector.open(weights).card, metrics={}))
    wrong = evaluated(tmp_path / "raw", weights, other)
    card.card(weights, errors=f"before={wrong}")
    assert "nothing says which scenes chose the thresholds" in capsys.readouterr().out
    calibrate.main(weights, fit, gsd=0.6)
    assert Detector.open(weights).card.errors == ()  # they were those of other thresholds
    with pytest.raises(OptionError, match="one of other weights, thresholds or curves"):
        card.card(weights, errors=f"x={wrong}")
    with pytest.raises(OptionError, match="did not choose the thresholds, got 00, 01, 02 of"):
        card.card(weights, errors=f"x={evaluated(tmp_path / 'same', weights, fit)}")
    with pytest.raises(OptionError, match="expected --errors TITLE=FOLDER"):
        card.card(weights, errors=str(other))
    folder = evaluated(tmp_path / "evaluation", weights, other)
    capsys.readouterr()
    card.card(weights, errors=f"4 other scenes={folder}")
    assert "nothing says" not in capsys.readouterr().out
    told = Detector.open(weights).card.errors_of("coal_heap")
    assert told is not None
    assert (told.on, told.scenes, told.precision.found, told.precision.right) == ("4 other scenes", 4, 4, 3)
    assert "## How wrong" in weights.with_suffix(".md").read_text("utf-8")
    # The same once more gives the same bytes, and errors stay where an evaluation is added.
    before = weights.read_bytes()
    card.card(weights, errors=f"4 other scenes={folder}")
    assert weights.read_bytes() == before
    card.card(weights, evaluation=(f"a={folder}",))
    assert Detector.open(weights).card.errors_of("coal_heap") == told


def test_a_small_budget_raises_the_threshold(weights: Path, tmp_path: Path) -> None:
    fit, out = write_scenes(tmp_path / "fit", 12, 12), tmp_path / "out.onnx"
    before = weights.read_bytes()
    program("calibrate").main(weights, fit, out=out, false_alarms=0.5, gsd=0.6)
    assert weights.read_bytes() == before
    card = Detector.open(out).card
    assert card.thresholds[HEAP] == pytest.approx(0.55)  # all 12 are said with 0.5
    assert card.training["false_alarms_per_km2"] == 0.5
    with pytest.raises(WeightsError, match="lists"):  # the list has come into being with `out`
        Detector.open(weights)


def test_programs_say_what_a_new_list_leaves_out(
    make_onnx: MakeOnnx, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, _ = make_onnx(), make_onnx(name="other.onnx")
    for words in ("other.onnx in ", ""):
        program("card").card(weights)
        printed = capsys.readouterr().out
        assert ("refused from now on" in printed) == bool(words)
        assert printed.startswith(words)
        assert printed.endswith(f"{weights.with_suffix('.md')}\n")


def test_an_evaluation_of_other_weights_is_refused(weights: Path, tmp_path: Path) -> None:
    card, scenes = program("card"), write_scenes(tmp_path / "scenes", 1, 1)
    folder = evaluated(tmp_path / "evaluation", weights, scenes)
    mine = Detector.open(weights).card
    stamp(weights, weights, replace(mine, training={**mine.training, "steps": 7}))
    before = weights.read_bytes()
    with pytest.raises(OptionError, match="one of other weights, thresholds or curves"):
        card.card(weights, evaluation=(f"a={folder}",))
    with pytest.raises(OptionError, match="expected another title than calibration"):
        card.card(weights, evaluation=(f"calibration={folder}",))
    with pytest.raises(OptionError, match="expected --evaluation TITLE=FOLDER"):
        card.card(weights, evaluation=(str(folder),))
    with pytest.raises(OptionError, match=r"expected what training/evaluate\.py"):
        card.card(weights, evaluation=(f"a={tmp_path / 'nowhere'}",))
    assert weights.read_bytes() == before
    assert not (weights.parent / "manifest.toml").exists()


def test_a_card_tells_the_data_of_the_run_and_of_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, sha = program("export"), "0" * 64
    tile = Tile(
        "images/train/a.png", "a.txt", None, sha, sha, "generated_1", "naip/303", "train", None,
        Window(0, 0, 640, 640), 0.6, {"coal_heap": 2}, 0,
    )  # fmt: skip
    for name, counts, sums in (("mine", {"coal_heap": 2}, "1" * 64), ("other", {"coal_heap": 3}, "2" * 64)):
        write_whole(tmp_path / name / "manifest.jsonl", replace(tile, counts=counts, sha256=sums).to_json())
    facts = {"dataset_sha256": dataset_sha256(read_manifest(tmp_path / "mine"))}
    told = export._data(facts, (tmp_path / "other", tmp_path / "nowhere", tmp_path / "mine"))["data"]
    assert told["objects"] == {"coal_heap": 2}
    assert told["sources"].keys() == {"generated", "naip"}
    assert capsys.readouterr().out == ""
    assert export._data({**facts, "data": told}, (tmp_path / "other",)) == {"data": told}
    assert capsys.readouterr().out == ""
    assert export._data(facts, (tmp_path / "other", tmp_path / "nowhere")) == {}
    assert "not what the run has learnt from" in capsys.readouterr().out


def test_a_budget_is_needed(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="give --false-alarms"):
        program("calibrate").main(make_onnx(), tmp_path)
