"""The same network for every peer: graphs cut out of pithead's ONNX file, and one without a network.

`training/export.py` wraps a network between two ends of its own (bytes in, rows out). Between them is what
the exporter of ultralytics writes, so the graph for ultralytics and SAHI is that part of the file, unchanged.
GeoDeep reads upright boxes alone: its graph has a few nodes more, over the 300 best rows, that turn those.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pithead.card import METADATA_KEY, Card
from pithead.detector import Detector
from pithead.errors import WeightsError

IMAGES = "images"  # what ultralytics calls its input
GEODEEP_IOU = 0.5
BOXES_A_TILE = 20


def write_ultralytics(weights: Path, target: Path) -> None:
    """Write the network as ultralytics exports it: float NCHW in, x, y, w, h, score, class, angle out.

    Raises:
        WeightsError: It is no file of `training/export.py`.
    """
    model, card = _network(weights), Detector.open(weights).card
    model.graph.output[0].name = _renamed(model.graph, model.graph.output[0].name, "output0")
    names = {i: known.name for i, known in enumerate(card.classes)}
    facts = {
        "task": "obb", "stride": 32, "batch": 1, "imgsz": [card.tile_px, card.tile_px], "names": names,
        "channels": 3, "end2end": True, "args": {"batch": 1, "nms": False, "dynamic": False},
    }  # fmt: skip
    _save(model, {key: str(value) for key, value in facts.items()}, target)


def write_geodeep(weights: Path, target: Path) -> None:
    """Write the network as GeoDeep reads it: upright boxes as YOLOv8 has them, (1, 4 + classes, rows).

    Raises:
        WeightsError: It is no file of `training/export.py`.
    """
    model, card = _network(weights), Detector.open(weights).card
    rows, count = model.graph.output[0].name, len(card.classes)
    nodes, constants = _upright(rows, count)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    del model.graph.output[:]
    shape = [1, 4 + count, card.top_k]
    model.graph.output.append(helper.make_tensor_value_info("upright", TensorProto.FLOAT, shape))
    quoted = ", ".join(f'"{i}": "{known.name}"' for i, known in enumerate(card.classes))
    facts = {
        "model_type": '"Detector"', "det_type": '"YOLO_v8"', "det_iou_thresh": str(GEODEEP_IOU),
        "resolution": f"{card.gsd_m * 100:g}", "class_names": f"{{{quoted}}}",
    }  # fmt: skip
    _save(model, facts, target)


def set_overlap(path: Path, percent: float) -> None:
    """Write into a graph for GeoDeep by how many per cent of a tile its windows overlap."""
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props} | {"tiles_overlap": f"{percent:.6g}"}
    _save(model, facts, path)


def write_constant(weights: Path, target: Path) -> None:
    """Write a graph with the card of `weights` and no network: some boxes, the same ones in every tile."""
    card = Detector.open(weights).card
    model = _constant(_some_rows(card), card.tile_px)
    _save(model, {METADATA_KEY: card.to_json()}, target)


def _network(weights: Path) -> Any:  # noqa: ANN401 (onnx publishes no types)
    """The file without its two ends; the batch is one tile."""
    model = onnx.load(weights)
    graph = model.graph
    scaled = [n for n in graph.node[:8] if n.op_type == "Div"]
    split = [n for n in graph.node if n.op_type == "Split" and len(n.output) == 6]
    if len(scaled) != 1 or not split:
        raise WeightsError(f"expected weights of training/export.py, got another graph in {weights}")
    _renamed(graph, scaled[0].output[0], IMAGES)
    graph.node.remove(scaled[0])
    card = Detector.open(weights).card
    side, rows = card.tile_px, split[-1].input[0]
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, [1, 3, side, side]))
    graph.output.append(helper.make_tensor_value_info(rows, TensorProto.FLOAT, [1, card.top_k, 7]))
    _drop_unused(graph)
    return model


def _drop_unused(graph: Any) -> None:  # noqa: ANN401
    """Take out the nodes that no output needs, from the last to the first."""
    needed = {o.name for o in graph.output}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)


def _renamed(graph: Any, old: str, new: str) -> str:  # noqa: ANN401
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    return new


def _upright(rows: str, count: int) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Rows with an angle as upright boxes round them, the score in the column of the class."""
    make = helper.make_node
    nodes = [
        make("Split", [rows, "parts"], ["centre", "w", "h", "score", "class", "angle"], axis=2),
        make("Cos", ["angle"], ["cos0"]), make("Abs", ["cos0"], ["cos"]),
        make("Sin", ["angle"], ["sin0"]), make("Abs", ["sin0"], ["sin"]),
        make("Mul", ["w", "cos"], ["wc"]), make("Mul", ["h", "sin"], ["hs"]),
        make("Mul", ["w", "sin"], ["ws"]), make("Mul", ["h", "cos"], ["hc"]),
        make("Add", ["wc", "hs"], ["wide"]), make("Add", ["ws", "hc"], ["high"]),
        make("Equal", ["class", "ids"], ["is"]), make("Cast", ["is"], ["share"], to=TensorProto.FLOAT),
        make("Mul", ["score", "share"], ["scores"]),
        make("Concat", ["centre", "wide", "high", "scores"], ["table"], axis=2),
        make("Transpose", ["table"], ["upright"], perm=[0, 2, 1]),
    ]  # fmt: skip
    ids = np.arange(count, dtype=np.float32).reshape(1, 1, count)
    return nodes, {"parts": np.array([2, 1, 1, 1, 1, 1], np.int64), "ids": ids}


def _some_rows(card: Card) -> np.ndarray:
    """Boxes of box classes, scattered over the tile; the rest of the rows have no score."""
    rng = np.random.default_rng(0)
    table = np.zeros((card.top_k, 7), np.float32)
    boxes = [i for i, known in enumerate(card.classes) if known.geometry == "box"]
    table[:BOXES_A_TILE, :2] = rng.uniform(30, card.tile_px - 30, (BOXES_A_TILE, 2))
    table[:BOXES_A_TILE, 2:4] = np.sort(rng.uniform(10, 50, (BOXES_A_TILE, 2)))[:, ::-1]
    table[:BOXES_A_TILE, 4] = rng.uniform(-1.5, 1.5, BOXES_A_TILE)
    table[:BOXES_A_TILE, 5] = 0.9
    table[:BOXES_A_TILE, 6] = rng.choice(boxes, BOXES_A_TILE)
    return table


def _constant(table: np.ndarray, side: int) -> Any:  # noqa: ANN401
    nodes = [
        helper.make_node("Shape", ["tiles"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "tail"], ["shape"], axis=0),
        helper.make_node("Expand", ["rows", "shape"], ["detections"]),
    ]
    tail = np.array(table.shape, np.int64)
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", side, side, 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["N", *table.shape])],
        [numpy_helper.from_array(table[None], "rows"), numpy_helper.from_array(tail, "tail")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _save(model: Any, facts: dict[str, str], target: Path) -> None:  # noqa: ANN401
    """Write a checked model with nothing but these facts beside it, whole or not at all."""
    del model.metadata_props[:]
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    part = target.with_suffix(".part")
    part.write_bytes(model.SerializeToString())
    part.replace(target)
