"""Weights in 8-bit integers: the same rows nearly, the last layer whole, and what it costs on the card."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pithead.card import METADATA_KEY, Card, CardClass, ClassErrors, Rate, SizeRecall
from pithead.detector import Detector
from pithead.errors import CardError, OptionError, WeightsError
from pithead.quantize import Loss, quantize
from pithead.stamp import stamp
from pithead.trial import Rows, Score

SIDE = 32
CARD = Card("tiny", (CardClass("coal_heap", "box", "#ffe119", 0.5),), SIDE, 0.6, "CC0-1.0", top_k=1)


@pytest.fixture(name="weights")
def _weights(tmp_path: Path) -> Path:
    """Three convolutions, of which the last gives the seven numbers of one row."""
    rng = np.random.default_rng(0)
    layers = {"a": (8, 3, 3, 3), "b": (8, 8, 3, 3), "c": (7, 8, 8, 8)}
    values = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in layers.items()}
    values["scale"] = np.array(255, np.float32)
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    constants.append(numpy_helper.from_array(np.array([-1, 1, 7]), "shape"))
    steps = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Transpose", ["tiles"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["one"]),
        helper.make_node("Conv", ["one", "a"], ["first"], name="first", **steps),
        helper.make_node("Relu", ["first"], ["first_on"]),
        helper.make_node("Conv", ["first_on", "b"], ["second"], name="second", **steps),
        helper.make_node("Relu", ["second"], ["second_on"]),
        helper.make_node("Conv", ["second_on", "c"], ["last"], name="last"),
        helper.make_node("Reshape", ["last", "shape"], ["detections"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["N", 1, 7])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: CARD.to_json(), "other": "stays"})
    onnx.save(model, tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def measure(weights: Rows) -> Score:
    assert isinstance(weights, Detector)
    return Score("9 tiles", {"coal_heap": 0.9 if weights.path.suffix == ".onnx" else 0.875})


def test_the_same_rows_nearly_and_the_loss_on_the_card(tmp_path: Path, weights: Path) -> None:
    tiles = np.random.default_rng(1).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
    out = tmp_path / "int8.onnx"
    loss = quantize(weights, out, tiles, measure)
    assert str(loss) == "mean AP50 0.8750 after 0.9000 in single precision, on 9 tiles"
    single, integers = Detector.open(weights).raw(tiles), Detector.open(out).raw(tiles)
    spread = np.ptp(single)
    assert 0 < np.abs(single - integers).max() < 0.03 * spread
    model = onnx.load(out)
    maker = {name: node.op_type for node in model.graph.node for name in node.output}
    weights_of = {n.name: maker.get(n.input[1]) for n in model.graph.node if n.op_type == "Conv"}
    assert weights_of == {"first": "DequantizeLinear", "second": "DequantizeLinear", "last": None}
    assert {p.key: p.value for p in model.metadata_props}["other"] == "stays"
    told = Detector.open(out).card.training["precision"]
    assert told == {
        "type": "int8",
        "tiles": 6,
        "on": "9 tiles",
        "mean_ap50": 0.875,
        "ap50": {"coal_heap": 0.875},
        "mean_ap50_single": 0.9,
        "ap50_single": {"coal_heap": 0.9},
    }
    with pytest.raises(WeightsError, match="is int8 already"):
        quantize(out, tmp_path / "again.onnx", tiles, measure)
    first = out.read_bytes()
    quantize(weights, out, tiles, measure)
    assert out.read_bytes() == first


def test_evaluations_of_the_source_are_none_of_the_integers(tmp_path: Path, weights: Path) -> None:
    figures = {"20 scenes": {"classes": {"coal_heap": {"ap50": 0.9}}}, "calibration": {"fit": {}}}
    wrong = ClassErrors(
        "coal_heap",
        (SizeRecall(0.0, np.inf, 10, 9),),
        Rate(10, 9),
        0.5,
        None,
        None,
        "20 scenes",
        20,
        5.0,
        (0.6, 0.6),
    )
    stamp(weights, weights, replace(CARD, metrics=figures, errors=(wrong,)))
    tiles, before = np.zeros((1, SIDE, SIDE, 3), np.uint8), weights.read_bytes()
    quantize(weights, tmp_path / "new" / "int8.onnx", tiles, measure)
    card = Detector.open(tmp_path / "new" / "int8.onnx").card
    assert (card.metrics, card.errors) == ({"calibration": {"fit": {}}}, ())
    with pytest.raises(OptionError, match="expected another file to write to"):
        quantize(weights, weights, tiles, measure)
    assert weights.read_bytes() == before


def test_what_it_cannot_do_is_one_clear_error(tmp_path: Path, weights: Path) -> None:
    tiles = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    with pytest.raises(OptionError, match="expected tiles"):
        quantize(weights, tmp_path / "x.onnx", tiles[:0], measure)
    with pytest.raises(WeightsError, match="expected weights"):
        quantize(tmp_path / "none.onnx", tmp_path / "x.onnx", tiles, measure)
    model = onnx.load(weights)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(CardError, match="no card"):
        quantize(tmp_path / "bare.onnx", tmp_path / "x.onnx", tiles, measure)
    assert not (tmp_path / "x.onnx").exists()


def test_what_nothing_can_be_measured_on() -> None:
    nothing = Score("9 tiles", {"a": None})
    assert str(Loss(nothing, nothing)) == "nothing could be measured on 9 tiles"
