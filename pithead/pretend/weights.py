"""Weights that find nothing and whose card says how wrong the pretended detector is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pithead.calibration import Beta
from pithead.card import METADATA_KEY, Card, CardClass, ClassErrors
from pithead.errors import ExportError
from pithead.pretend.errors import TYPICAL

NAME: Final = "pretended"
_TILE_PX, _ROWS = 640, 3
_LOOKS: Final = {
    "mine_head": ("box", "#e6194b"),
    "coal_heap": ("box", "#ffe119"),
    "guard_perimeter": ("line", "#f58231"),
    "rail_loading": ("strip", "#42d4f4"),
}


def pretended_card(errors: Sequence[ClassErrors] = TYPICAL) -> Card:
    """The card of a detector with these errors, whose scores are probabilities."""
    classes = tuple(CardClass(one.name, *_LOOKS[one.name], threshold=0.0) for one in errors)
    same = Beta().as_table()
    return Card(
        name=NAME,
        classes=classes,
        tile_px=_TILE_PX,
        gsd_m=0.6,
        licence="AGPL-3.0-or-later",
        top_k=_ROWS,
        calibration={one.name: same for one in errors},
        training={"data": "none: a pretended detector, whose detections are drawn from the truth"},
        errors=tuple(errors),
    )


def write_weights(path: Path, errors: Sequence[ClassErrors] = TYPICAL) -> None:
    """Write an ONNX file with that card, in which no tile shows anything; the same errors, the same bytes.

    Raises:
        ExportError: The package onnx is not installed: `make train` or `make dev` has it.
    """
    try:
        import onnx  # noqa: PLC0415 (only where weights are written)
    except ImportError as error:
        raise ExportError("expected the package onnx to write weights: use the environment of dev") from error
    helper = onnx.helper
    rows = np.zeros((1, _ROWS, 7), np.float32)
    shape: list[str | int | None] = ["N", _TILE_PX, _TILE_PX, 3]
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["tiles"], ["batch"], start=0, end=1),
            helper.make_node("Concat", ["batch", "tail"], ["shape"], axis=0),
            helper.make_node("Expand", ["rows", "shape"], ["detections"]),
        ],
        NAME,
        [helper.make_tensor_value_info("tiles", onnx.TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("detections", onnx.TensorProto.FLOAT, ["N", _ROWS, 7])],
        [
            onnx.numpy_helper.from_array(rows, "rows"),
            onnx.numpy_helper.from_array(np.array([_ROWS, 7], np.int64), "tail"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: pretended_card(errors).to_json()})
    onnx.save(model, str(path))
