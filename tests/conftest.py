"""What several tests need: a card, and ONNX files that see the same in every tile."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scenes import make_scene

from pithead.card import Card
from pithead.imagery import Scene

Rows = list[list[float]]
MakeOnnx = Callable[..., Path]

TILE_PX = 256


def _class(name: str, geometry: str, colour: str) -> dict[str, Any]:
    return {"name": name, "geometry": geometry, "colour": colour, "threshold": 0.25}


@pytest.fixture
def card_json() -> str:
    """The card of a small model, as it stands in an ONNX file."""
    return json.dumps(
        {
            "schema": 2,
            "name": "constant",
            "classes": [
                _class("mine_head", "box", "#e6194b"),
                _class("coal_heap", "box", "#ffe119"),
                _class("guard_perimeter", "line", "#f58231"),
                _class("rail_loading", "strip", "#42d4f4"),
            ],
            "tile_px": TILE_PX,
            "gsd_m": 0.6,
            "span_width_m": 12.0,
            "strip_pad_m": 1.8,
            "cell_px": 32,
            "stretch": "percentile 2-98",
            "top_k": 3,
            "calibration": None,
            "training": {},
            "licence": "AGPL-3.0-or-later",
            "metrics": {},
        }
    )


@pytest.fixture
def card(card_json: str) -> Card:
    """The same, read."""
    return Card.from_json(card_json)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene in UTM, open."""
    return make_scene(tmp_path / "scene.tif", 32652)


@pytest.fixture
def flat(tmp_path: Path) -> Scene:
    """A scene without georeference, open."""
    return make_scene(tmp_path / "scene.png", None)


@pytest.fixture
def make_onnx(tmp_path: Path, card_json: str) -> MakeOnnx:
    """Make an ONNX file that answers the same rows for every tile: no torch and no shipped weights needed."""

    def make(rows: Rows | None = None, *, card: str | None = card_json, name: str = "constant.onnx") -> Path:
        import onnx

        table = np.array(rows or [], np.float32).reshape(-1, 7)
        table = np.concatenate([table, np.zeros((max(0, 3 - len(table)), 7), np.float32)])
        model = _constant(table)
        if card is not None:
            onnx.helper.set_model_props(model, {"pithead_card": card})
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return make


def _constant(table: npt.NDArray[np.float32]) -> Any:  # noqa: ANN401 (onnx publishes no types)
    from onnx import TensorProto, checker, helper, numpy_helper

    count = len(table)
    nodes = [
        helper.make_node("Shape", ["tiles"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "tail"], ["shape"], axis=0),
        helper.make_node("Expand", ["rows", "shape"], ["detections"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", TILE_PX, TILE_PX, 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["N", count, 7])],
        [
            numpy_helper.from_array(table[None], "rows"),
            numpy_helper.from_array(np.array([count, 7], np.int64), "tail"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model
