"""The list beside weights: what it says, and that weights it does not name are not opened."""

import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import MakeOnnx

from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import WeightsError
from pithead.files import sha256_of
from pithead.manifest import MANIFEST, check, read_entries, register, standing, warning

HEAP = [128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]


@pytest.fixture(name="card")
def _card(card_json: str) -> Card:
    training = {"recipe_sha256": "ab" * 32, "dataset_sha256": "cd" * 32, "model": "yolo26n-obb", "steps": 7}
    figures = {
        "scenes": 20,
        "km2": 17.46,
        "mean": {"ap50": 0.85, "ap50_95": None},
        "classes": {"coal_heap": {"truth": 3, "ap50": 0.905}, "mine_head": {"truth": 0, "ap50": None}},
        "intervals": {"coal_heap": {"ap50": [0.81, 0.95]}, "mean": {"ap50": None}},
    }
    card = Card.from_json(card_json)
    return replace(card, training=training, metrics={"20 generated scenes": figures, "note": "text"})


def test_weights_without_a_list_are_opened(make_onnx: MakeOnnx) -> None:
    assert Detector.open(make_onnx([HEAP])).sha256


def test_registered_weights_are_opened_and_changed_ones_are_not(make_onnx: MakeOnnx, card: Card) -> None:
    path = make_onnx([HEAP])
    register(path, card)
    assert Detector.open(path).card.name == "constant"
    make_onnx([[0.0] * 7])  # another network under the same name
    with pytest.raises(WeightsError, match=r"expected .*constant\.onnx with the sha256 .*, got ") as caught:
        Detector.open(path)
    assert "--unverified" in str(caught.value)
    assert Detector.open(path, verify=False).card.name == "constant"
    register(path, card)
    assert Detector.open(path).card.name == "constant"


def test_weights_that_a_list_does_not_name_are_refused(make_onnx: MakeOnnx, card: Card) -> None:
    register(make_onnx([HEAP]), card)
    other = make_onnx([HEAP], name="other.onnx")
    with pytest.raises(WeightsError, match=r"lists \(constant\.onnx\), got other\.onnx: .*training/card\.py"):
        Detector.open(other)
    register(other, card)
    assert Detector.open(other).path == other


def test_what_the_list_says(make_onnx: MakeOnnx, card: Card) -> None:
    path = make_onnx([HEAP])
    register(path, card)
    text = (path.parent / MANIFEST).read_text("utf-8")
    content = path.read_bytes()
    assert tomllib.loads(text) == {
        "constant": {
            "file": "constant.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "licence": "AGPL-3.0-or-later",
            "model": "yolo26n-obb",
            "recipe_sha256": "ab" * 32,
            "dataset_sha256": "cd" * 32,
            "metrics": {
                "20 generated scenes": {
                    "scenes": 20,
                    "km2": 17.46,
                    "coal_heap": {"ap50": 0.905, "ap50_interval": [0.81, 0.95]},
                    "mean": {"ap50": 0.85},
                }
            },
        }
    }
    register(path, card)
    assert (path.parent / MANIFEST).read_text("utf-8") == text


def test_other_entries_stay_and_all_are_in_order(make_onnx: MakeOnnx, card: Card) -> None:
    odd = replace(card, training={"model": 'a "quoted"\\ \x7f name'}, metrics={})
    for name in ("b.onnx", "a.onnx", "a b.onnx"):
        register(make_onnx([HEAP], name=name), odd if name == "a b.onnx" else card)
    entries = read_entries(make_onnx([HEAP], name="a.onnx").parent)
    assert entries is not None
    assert list(entries) == ["a", "a b", "b"]
    assert entries["a b"]["model"] == 'a "quoted"\\ \x7f name'
    assert entries["b"]["metrics"] == entries["a"]["metrics"]


def test_weights_of_one_stem_have_an_entry_each(make_onnx: MakeOnnx, card: Card) -> None:
    first, second = make_onnx([HEAP], name="a.onnx"), make_onnx([HEAP], name="a.ONNX")
    third = make_onnx([HEAP], name="a.ONNX.onnx")
    for _ in range(2):  # listed again, each keeps its name
        for path in (first, third, second):
            register(path, card)
        entries = read_entries(first.parent)
        assert entries is not None
        files = {name: table["file"] for name, table in entries.items()}
        assert files == {"a": "a.onnx", "a.ONNX": "a.ONNX.onnx", "a.ONNX 2": "a.ONNX"}
    for path in (first, second, third):
        check(path, sha256_of(path))


def test_who_makes_a_list_is_told_what_it_leaves_out(make_onnx: MakeOnnx, card: Card) -> None:
    paths = [make_onnx([HEAP], name=name) for name in ("b.onnx", "a.onnx", "c.ONNX")]
    (paths[0].parent / "a.md").touch()
    assert register(paths[0], card) == ("a.onnx", "c.ONNX")
    assert register(paths[1], card) == ()  # there is a list: whoever made it was told
    text = warning(paths[0].parent, ("a.onnx", "c.ONNX"))
    assert text.startswith(f"a.onnx, c.ONNX in {paths[0].parent}: not in the new manifest.toml")


@pytest.mark.parametrize("text", ["= 1", "x = 1", "[x]\nfile = 'a'", "\xff"])
def test_what_is_no_list_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match="expected a list of weights"):
        check(tmp_path / "a.onnx", "00")


def test_what_the_list_says_of_a_file(make_onnx: MakeOnnx, card: Card) -> None:
    path = make_onnx([HEAP])
    sha256 = sha256_of(path)
    assert standing(path, sha256) == "none"
    register(path, card)
    assert standing(path, sha256) == "listed"
    assert standing(path, "0" * 64) == "other hash"
    assert standing(path.with_name("other.onnx"), sha256) == "not listed"
    (path.parent / MANIFEST).write_text("x")
    assert standing(path, sha256) == "unreadable"
