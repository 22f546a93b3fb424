"""The shipped weights on the shipped scene: at least one right detection of every class."""

import hashlib
import tomllib
from pathlib import Path

import pytest

from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.evaluation import evaluate_scene, summary
from pithead.labels import read_jsonl
from pithead.leaflet import page

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "datasets" / "demo"
STARTER = ROOT / "weights" / "starter.onnx"


def test_the_starter_finds_every_class_of_the_demo_scene() -> None:
    classes = load_classes(ROOT / "labeling" / "classes.toml")
    detector = Detector.open(STARTER)
    labels = read_jsonl(DEMO / "labels.jsonl", classes)["demo"]
    assert {label.class_id for label in labels} == {0, 1, 2, 3}
    found = summary([evaluate_scene(DEMO / "demo.tif", labels, detector, gsd_m=None)], detector.card)
    for name, row in found["classes"].items():
        assert row["recall"], f"no right detection of {name}"
    assert found["lines"]["quality"] > 0


def test_the_manifest_names_the_bytes_of_the_weights() -> None:
    manifest = tomllib.loads((ROOT / "weights" / "manifest.toml").read_text(encoding="utf-8"))
    assert manifest["starter"]["sha256"] == hashlib.sha256(STARTER.read_bytes()).hexdigest()


def test_the_readable_card_is_of_these_weights() -> None:
    detector = Detector.open(STARTER)
    text = (ROOT / "weights" / "starter.md").read_text(encoding="utf-8")
    assert text == page(detector.card, STARTER.name, detector.sha256), "training/card.py weights/starter.onnx"


def test_the_demo_scene_stays_small() -> None:
    assert (DEMO / "demo.tif").stat().st_size <= 6_000_000


@pytest.mark.parametrize("name", ["licence", "classes"])
def test_the_card_states_what_a_user_must_know(name: str) -> None:
    assert getattr(Detector.open(STARTER).card, name)
