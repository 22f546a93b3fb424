import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from conftest import MakeOnnx
from onnx import TensorProto, helper, numpy_helper

from pithead import evaluation
from pithead.card import METADATA_KEY, Card, CardClass
from pithead.detector import FLOOR, Detector, Device, _check_device, _providers
from pithead.errors import CardError, OptionError, WeightsError

CLASSES = (
    CardClass("coal_heap", "box", "#ffe119", 0.5),
    CardClass("guard_perimeter", "line", "#f58231", 0.2),
)
CARD = Card("tiny", CLASSES, 32, 0.6, "CC0-1.0", top_k=4)
ROWS = [
    [8.0, 8.0, 4.0, 2.0, 0.0, 0.3, 0.0],  # under the 0.5 of coal_heap
    [9.0, 8.0, 4.0, 2.0, 0.0, 0.3, 1.0],  # over the 0.2 of guard_perimeter
    [10.0, 8.0, 4.0, 2.0, 0.0, 0.5, 0.0],  # exactly at the threshold
    [11.0, 8.0, 4.0, 2.0, 0.0, 0.1, 1.0],
]


def write_model(
    path: Path,
    card: str | None,
    side: int = 32,
    name: str = "tiles",
    scores: tuple[float, ...] = (0.3, 0.3, 0.5, 0.1),
) -> Path:
    """Write a model that gives ROWS for every tile, moved right by the value of the tile's first pixel."""
    rows = [[*row[:5], score, row[6]] for row, score in zip(ROWS, scores, strict=True)]
    constants: dict[str, npt.NDArray[Any]] = {
        "rows": np.array([rows], np.float32),
        "first": np.zeros(1, np.int64),
        "axes": np.array([1, 2]),
    }
    mask = np.zeros(7, np.float32)
    mask[0] = 1
    nodes = [
        helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["float", "first"], ["line"], axis=1),
        helper.make_node("Gather", ["line", "first"], ["pixel"], axis=2),
        helper.make_node("Gather", ["pixel", "first"], ["band"], axis=3),
        helper.make_node("Squeeze", ["band", "axes"], ["value"]),  # (N, 1)
        helper.make_node("Unsqueeze", ["value", "first_axis"], ["moved"]),  # (N, 1, 1)
        helper.make_node("Mul", ["moved", "mask"], ["shift"]),
        helper.make_node("Add", ["rows", "shift"], ["detections"]),
    ]
    constants |= {"mask": mask, "first_axis": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", side, side, 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["N", 4, 7])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    if card is not None:
        helper.set_model_props(model, {METADATA_KEY: card})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(name="detector")
def _detector(tmp_path: Path) -> Detector:
    return Detector.open(write_model(tmp_path / "tiny.onnx", CARD.to_json()), threads=1)


def test_rows_under_the_threshold_of_their_class_are_left_out_and_the_best_comes_first(
    detector: Detector,
) -> None:
    (rows,) = detector.detect(np.zeros((1, 32, 32, 3), np.uint8))
    assert rows[:, 0].tolist() == [10.0, 9.0]
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous


def test_a_curve_makes_nothing_of_rows_that_suppression_has_struck_out(tmp_path: Path) -> None:
    """Where scores say nothing a curve is flat: 0.01 of the network is stated as 0.32, and 0 as 0.31."""
    flat = {"rise": 0.01, "fall": 0.01, "offset": -0.68}
    card = replace(CARD, calibration={"coal_heap": flat, "guard_perimeter": flat})
    path = write_model(tmp_path / "tiny.onnx", card.to_json(), scores=(0.3, 0.0, 0.9, 0.019))
    (rows,) = Detector.open(path).asked_for(min_score=0.1).detect(np.zeros((1, 32, 32, 3), np.uint8))
    assert rows[:, 0].tolist() == [10.0, 8.0]
    assert rows[:, 5] == pytest.approx([0.34, 0.33], abs=0.01)
    assert FLOOR == evaluation.FLOOR


def test_every_tile_gets_its_own_rows(detector: Detector) -> None:
    tiles = np.zeros((3, 32, 32, 3), np.uint8)
    tiles[:, 0, 0, 0] = [0, 1, 200]
    assert [rows[0, 0] for rows in detector.detect(tiles)] == [10.0, 11.0, 210.0]


def test_no_tiles_give_no_rows(detector: Detector) -> None:
    assert detector.detect(np.zeros((0, 32, 32, 3), np.uint8)) == []


def test_card_and_hash_come_with_the_file(detector: Detector) -> None:
    assert detector.card == CARD
    assert len(detector.sha256) == 64


@pytest.mark.parametrize(
    "tiles",
    [
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 3, 32, 32), np.uint8),
    ],
    ids=["size", "one tile", "type", "order"],
)
def test_tiles_of_another_shape_or_type_are_an_error(
    detector: Detector, tiles: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(OptionError, match="expected tiles"):
        detector.detect(tiles)


def test_missing_weights_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.onnx"):
        Detector.open(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"no onnx", b"\x08\x09" * 100])
def test_a_corrupt_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="expected an ONNX model"):
        Detector.open(tmp_path / "x.onnx")


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = write_model(tmp_path / "x.onnx", CARD.to_json())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises((WeightsError, CardError)):
        Detector.open(path)


def test_weights_without_a_card_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="no card"):
        Detector.open(write_model(tmp_path / "x.onnx", None))


@pytest.mark.parametrize(("side", "name"), [(64, "tiles"), (32, "images")])
def test_a_graph_that_breaks_the_contract_is_an_error(tmp_path: Path, side: int, name: str) -> None:
    with pytest.raises(CardError, match="one input 'tiles'"):
        Detector.open(write_model(tmp_path / "x.onnx", CARD.to_json(), side, name))


def test_no_threads_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 1 thread"):
        Detector.open(tmp_path / "x.onnx", threads=0)


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_batches_that_are_not_full_are_filled_up_and_change_nothing(tmp_path: Path, batch: int) -> None:
    """What a GPU is given, on the CPU: the same code binds tiles and rows."""
    path = write_model(tmp_path / "tiny.onnx", CARD.to_json())
    tiles = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    batched = Detector.open(path, device="cpu", batch=batch)
    assert (batched.device, batched.batch) == ("cpu", batch)
    np.testing.assert_array_equal(batched.raw(tiles), Detector.open(path).raw(tiles))
    assert batched.raw(tiles)[:, 0, 0].tolist() == (tiles[:, 0, 0, 0] + 8.0).tolist()
    turned = tiles[:, ::-1]  # a view whose rows run backwards
    np.testing.assert_array_equal(batched.raw(turned), batched.raw(turned.copy()))


class Session:
    """What onnxruntime says of itself on another machine."""

    def __init__(self, providers: list[str]) -> None:
        self._providers = providers

    def get_providers(self) -> list[str]:
        return self._providers


GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("device", "available", "wanted"),
    [
        ("auto", GPU, GPU[1:]),
        ("auto", GPU[2:], GPU[2:]),
        ("cuda", GPU, GPU[1:]),
        ("tensorrt", GPU, GPU),
        ("cpu", GPU, GPU[2:]),
    ],
)
def test_which_providers_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: Device, available: list[str], wanted: list[str]
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: available)
    assert [name for name, _ in _providers(device)] == wanted


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "tiny.onnx", CARD.to_json())
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: GPU[2:])
    for device in ("cuda", "tensorrt"):
        with pytest.raises(OptionError, match="onnxruntime-gpu"):
            Detector.open(path, device=device)
    with pytest.raises(OptionError, match="expected a device of auto, cpu"):
        Detector.open(path, device="tpu")  # type: ignore[arg-type]
    # onnxruntime falls back in silence if a library of the driver is missing.
    with pytest.raises(OptionError, match="chose CPUExecutionProvider"):
        _check_device("cuda", Session(GPU[2:]))  # type: ignore[arg-type]
    _check_device("auto", Session(GPU[2:]))  # type: ignore[arg-type]


def test_an_empty_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="batch of at least 1"):
        Detector.open(write_model(tmp_path / "tiny.onnx", CARD.to_json()), batch=0)


def test_onnxruntime_keeps_no_book_about_its_user(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    """From 1.32 on it has a database of events under the user's home, and tries to send it away."""
    home = tmp_path / "home"
    home.mkdir()
    program = f"import pithead.detector as d; d.Detector.open({str(make_onnx())!r}, verify=False)"
    kept = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)
    assert list(home.iterdir()) == []
