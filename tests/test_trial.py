"""Weights tried on labelled tiles: by hand, with what is ignored and what is too unsure."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import MakeOnnx
from PIL import Image

from pithead.card import Card
from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.labels import Label, write_jsonl
from pithead.trial import LabelledTile, Score, agree, over_scenes, over_tiles

CLASSES = load_classes(Path(__file__).resolve().parents[1] / "labeling" / "classes.toml")
NONE = np.zeros((0, 5))
HEAP = 1


@dataclass(frozen=True)
class Always:
    """Answers the same rows in every tile."""

    card: Card
    rows: npt.NDArray[np.float32]

    def raw(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.repeat(self.rows[None], len(tiles), axis=0)


def tile(*boxes: list[float], ignored: npt.NDArray[np.float64] = NONE) -> LabelledTile:
    some = np.array(boxes, np.float64).reshape(-1, 5)
    return LabelledTile(np.zeros((8, 8, 3), np.uint8), some, np.full(len(some), HEAP), ignored)


def test_tiles_by_hand(card_json: str) -> None:
    rows = np.array([[50, 50, 40, 20, 0, 0.9, HEAP], [150, 50, 40, 20, 0, 0.01, HEAP]], np.float32)
    weights = Always(Card.from_json(card_json), rows)
    there, elsewhere = tile([50, 50, 40, 20, 0]), tile([150, 50, 40, 20, 0])
    found = over_tiles([there], "1 tile")(weights)
    assert found == Score("1 tile", {**dict.fromkeys(CLASSES.names), "coal_heap": 1.0})
    assert found.mean == 1
    # The row on the truth is too unsure to count, so half of the truth is found.
    assert over_tiles([elsewhere], "1 tile")(weights).ap50["coal_heap"] == 0
    assert over_tiles([there, elsewhere], "2 tiles")(weights).ap50["coal_heap"] == pytest.approx(0.5)
    # In an ignored area a row is neither right nor wrong.
    spared = tile(ignored=np.array([[50.0, 50, 60, 60, 0]]))
    assert over_tiles([there, spared], "2 tiles")(weights).ap50["coal_heap"] == 1
    assert over_tiles([], "nothing")(weights).mean is None


def test_scenes_go_the_real_way(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(tmp_path / "one.png")
    points = np.array([[70.0, 90], [130, 90], [130, 110], [70, 110]])
    heap = Label(HEAP, "box", points, closed=True, weight="target", attributes={})
    write_jsonl(tmp_path / "labels.jsonl", {"one": [heap]}, CLASSES)
    detector = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.9, HEAP]]))
    found = over_scenes(tmp_path, tmp_path / "labels.jsonl", CLASSES, 0.6)(detector)
    assert (found.on, found.ap50["coal_heap"]) == ("1 scenes", 1.0)


def test_scores_that_agree() -> None:
    one = Score("x", {"a": 0.9, "b": None})
    assert agree(one, Score("x", {"a": 0.9019, "b": None}))
    assert not agree(one, Score("x", {"a": 0.8975, "b": None}))
    assert agree(one, Score("x", {"a": None, "b": None}))
    assert one.as_table() == {"on": "x", "mean_ap50": 0.9, "ap50": {"a": 0.9, "b": None}}
