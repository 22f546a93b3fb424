"""Weights in half precision find what they found in single."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pithead.detector import Detector
from pithead.errors import ExportError, OptionError, WeightsError
from pithead.half import HalfParity, _compare, halve, split
from pithead.imagery import open_scene
from pithead.tiling import Grid, read_tile
from pithead.trial import Score

ROOT = Path(__file__).resolve().parents[1]
STARTER = ROOT / "weights" / "starter.onnx"


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    with open_scene(ROOT / "datasets" / "demo" / "demo.tif") as scene:
        grid = Grid.of(scene, 0.6, 640, 128)
        return np.stack([read_tile(scene, grid, window).data for window in list(grid.windows())[23:26]])


def test_the_starter_in_half_precision(tmp_path: Path, tiles: np.ndarray) -> None:
    out = tmp_path / "new" / "half.onnx"
    parity = halve(STARTER, out, tiles)  # the folder is made
    assert parity.rows > 20
    assert parity.lost == 0
    assert out.stat().st_size < 0.6 * STARTER.stat().st_size
    single, half = Detector.open(STARTER), Detector.open(out)
    told = half.card.training["precision"]
    assert told == {"type": "float16", "rows": parity.rows, "rows_lost": 0}
    assert replace(half.card, training=single.card.training) == single.card
    model = onnx.load(out)
    kinds = {i.data_type for i in model.graph.initializer if np.prod(i.dims) > 1000}
    assert TensorProto.FLOAT16 in kinds
    # Positions keep their fractions: halves between 512 and 640 px would all be multiples of 0.5.
    rows = half.raw(tiles)
    far = rows[..., 0][(rows[..., 5] > 0.3) & (rows[..., 0] > 512)]
    assert len(far)
    assert (far * 2 % 1 != 0).any()
    with pytest.raises(WeightsError, match="is float16 already: give the file that it was made from"):
        halve(out, tmp_path / "again.onnx", tiles)
    with pytest.raises(OptionError, match="expected another file to write to"):
        halve(out, tmp_path / "new" / ".." / "new" / "half.onnx", tiles)


def test_decoding_is_apart_from_the_network() -> None:
    body, tail = split(onnx.load(STARTER))
    assert "Conv" in {node.op_type for node in body.graph.node}
    kinds = {node.op_type for node in tail.graph.node}
    assert "TopK" in kinds
    assert "Conv" not in kinds


def test_what_is_lost_is_counted() -> None:
    row = np.array([[100, 100, 40, 20, 0, 0.9, 1]], np.float32)
    assert _compare([row], [row]) == HalfParity(2, 0)
    assert _compare([row], [row + np.array([3, 0, 0, 0, 0, 0, 0])]) == HalfParity(2, 2)
    assert _compare([row], [row - np.array([0, 0, 0, 0, 0, 0.04, 0])]) == HalfParity(2, 2)
    assert _compare([row], [row + np.array([0, 0, 0, 0, 0, 0, 1])]) == HalfParity(2, 2)
    assert _compare([np.repeat(row, 2, axis=0)], [row]) == HalfParity(3, 1)
    assert _compare([row * 0], [row * 0]) == HalfParity(0, 0)


def test_nothing_is_written_that_finds_something_else(
    tmp_path: Path, tiles: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(weights: object) -> Score:
        return Score("2 scenes", {"coal_heap": 0.9 if weights.path == STARTER else 0.8979})  # type: ignore[attr-defined]

    with pytest.raises(ExportError, match=r"AP50 of single on 2 scenes, got 0\.8979 and 0\.9000; nothing"):
        halve(STARTER, tmp_path / "half.onnx", tiles[:1], another)
    monkeypatch.setattr("pithead.half.MAX_SHIFT_PX", 0.0)
    with pytest.raises(ExportError, match="rows beyond; nothing was written"):
        halve(STARTER, tmp_path / "half.onnx", tiles[:1])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        ExportError, match=r"expected rows over a score of 0\.25 to compare, got none on 1 tiles"
    ):
        halve(STARTER, tmp_path / "half.onnx", np.full_like(tiles[:1], 255))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WeightsError, match="expected weights"):
        halve(tmp_path / "none.onnx", tmp_path / "half.onnx", tiles[:1])
