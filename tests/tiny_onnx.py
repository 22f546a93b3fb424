"""An ONNX file that keeps the contract and finds the same boxes in every tile that is not all black."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CARD_KEY = "pithead_card"


def write_tiny_onnx(path: Path, rows: Sequence[Sequence[float]], card_json: str | None) -> Path:
    """Write a model that finds `rows` (cx, cy, w, h, angle, score, class), with score 0 in a black tile.

    Without a card the file breaks the contract, which is a test of its own.
    """
    constant = np.asarray(rows, np.float32).reshape(1, -1, 7)
    not_score = np.array([1, 1, 1, 1, 1, 0, 1], np.float32)
    nodes = [
        helper.make_node("Cast", ["tiles"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels", "axes"], ["brightest"], keepdims=1),
        helper.make_node("Min", ["brightest", "one"], ["seen"]),  # (N, 1, 1, 1): 1 if any pixel is not black
        helper.make_node("Squeeze", ["seen", "last"], ["seen3"]),
        helper.make_node("Max", ["seen3", "not_score"], ["keep"]),
        helper.make_node("Mul", ["keep", "rows"], ["detections"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "last": np.array([3], np.int64),
        "one": np.float32(1),
        "not_score": not_score,
        "rows": constant,
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["N", constant.shape[1], 7])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if card_json is not None:
        helper.set_model_props(model, {CARD_KEY: card_json})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
