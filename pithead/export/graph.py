"""The ONNX file of a checkpoint. Everything between a tile and a row runs inside the graph.

The file appears only if ONNX Runtime gives on real and random tiles what torch gave.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from ultralytics.nn.tasks import load_checkpoint

from pithead.card import METADATA_KEY, Card
from pithead.detector import Detector
from pithead.errors import ExportError, WeightsError
from pithead.export.contract import Contract, Head, Network, suppressed
from pithead.export.parity import Parity, compare

OPSET = 20


def read_checkpoint(path: Path) -> tuple[Network, dict[str, Any]]:
    """Return the network of a checkpoint and the facts that training wrote beside it.

    Raises:
        WeightsError: The file is missing or no checkpoint of ultralytics.
    """
    if not path.is_file():
        raise WeightsError(f"expected a checkpoint at {path}, found none; train one with training/train.py")
    try:
        model, checkpoint = load_checkpoint(str(path))  # type: ignore[no-untyped-call]
    except Exception as error:  # unpickling runs the file's own classes: anything can come out
        raise WeightsError(f"expected a checkpoint of ultralytics at {path}: {error}") from error
    return model, dict(checkpoint.get("pithead", {}))


def export(
    model: Network,
    card: Card,
    path: Path,
    tiles: npt.NDArray[np.uint8],
    *,
    head: Head = "one-to-one",
) -> Parity:
    """Write the network as an ONNX file with its card and return how near it is to torch.

    Args:
        model: A network of ultralytics with one output per class of the card; it stays as it is.
        card: The facts to put into the file.
        path: The file to write.
        tiles: Tiles (N, tile_px, tile_px, 3) to compare on, beside two random ones.
        head: Which of its heads answers.

    Raises:
        ExportError: Classes differ, the head is another, or ONNX Runtime does not give what torch gave.
    """
    names = tuple(model.names.values())
    wanted = tuple(known.name for known in card.classes)
    if names != wanted:
        raise ExportError(f"expected the classes {wanted} of the card, the network has {names}")
    contract = Contract(model, card, head).eval()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, card.tile_px, card.tile_px, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        part.write_bytes(_graph(contract, card))
        parity = _proved(contract, part, np.concatenate((tiles, noise)))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return parity


def _proved(contract: Contract, path: Path, tiles: npt.NDArray[np.uint8]) -> Parity:
    """Hold a file against torch.

    Where two rows overlap to within rounding of the limit, which of them suppression keeps is a matter of
    rounding, and of that one others depend. So the network is held against torch's before suppression, and
    suppression against torch's with the same rows.
    """
    detector = Detector.open(path, verify=False)
    if not contract.many:
        return compare(contract.raw, detector.raw, tiles)
    before = path.with_suffix(".bare")
    contract.bare = True
    try:
        before.write_bytes(_graph(contract, contract.card))
        bare = Detector.open(before, verify=False)
        parity = compare(contract.raw, bare.raw, tiles)
    finally:
        contract.bare = False
        before.unlink(missing_ok=True)

    def ours(some: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.asarray(suppressed(torch.from_numpy(bare.raw(some)), contract.card.top_k), np.float32)

    compare(ours, detector.raw, tiles)
    return parity


def _graph(contract: Contract, card: Card) -> bytes:
    buffer: Any = io.BytesIO()  # torch takes a file as well as a path, its annotation does not say so
    example = torch.zeros(2, card.tile_px, card.tile_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter(
            "ignore"
        )  # the tracer names every shape that it takes for a constant: tiles are fixed
        contract(example)  # the head keeps its anchors for this shape: they become constants of the graph
        torch.onnx.export(
            contract,
            (example,),
            buffer,
            input_names=["tiles"],
            output_names=["detections"],
            dynamic_axes={"tiles": {0: "N"}, "detections": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    model.producer_name, model.producer_version = "pithead", ""
    if not contract.bare:  # a small tile has fewer candidates than there could be
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = card.top_k
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 7
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
