"""A trained checkpoint → one ONNX file that takes bytes, gives rows, and carries its card.

Everything between a tile and a row runs inside the graph: scaling, the one-to-one head, decoding, best rows.
The file appears only if ONNX Runtime gives on real and random tiles what torch gave.
"""

import io
import warnings
from dataclasses import dataclass
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

Network = Any  # ultralytics publishes no types
OPSET = 20
MIN_SCORE = 0.05  # rows below are noise that no threshold lets through
MAX_SHIFT_PX, MAX_SCORE_CHANGE, MAX_TURN = 0.1, 1e-3, 1e-3


class Contract(torch.nn.Module):
    """The network between the two ends of the contract: uint8 (N, H, W, 3) → float32 (N, K, 7)."""

    def __init__(self, model: Network, top_k: int) -> None:
        """Take a network with a one-to-one head; its auxiliary head and batch norms are folded away."""
        super().__init__()
        self.model = model.float().eval()
        self.model.end2end = True
        self.model = self.model.fuse(verbose=False)
        self.head = self.model.model[-1]
        self.head.export, self.head.max_det = True, top_k

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return cx, cy, w, h in px, angle of the long side in [-pi/2, pi/2), score, class."""
        rows = self.model(tiles.permute(0, 3, 1, 2).float() / 255)  # cx, cy, w, h, score, class, angle
        centre, w, h, score, kind, angle = rows.split((2, 1, 1, 1, 1, 1), dim=-1)
        angle = angle + (w < h).float() * (torch.pi / 2)
        angle = angle - torch.floor(angle / torch.pi + 0.5) * torch.pi
        # Rounding can leave pi/2 itself, which is -pi/2.
        angle = torch.where(angle >= torch.pi / 2, torch.full_like(angle, -torch.pi / 2), angle)
        return torch.cat((centre, torch.maximum(w, h), torch.minimum(w, h), angle, score, kind), dim=-1)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX Runtime was from torch, over `rows` rows of `tiles` tiles with a score over 0.05."""

    tiles: int
    rows: int
    shift_px: float
    score_change: float


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


def export(model: Network, card: Card, path: Path, tiles: npt.NDArray[np.uint8]) -> Parity:
    """Write the network as an ONNX file with its card and return how near it is to torch.

    Args:
        model: A network of ultralytics with one output per class of the card.
        card: The facts to put into the file.
        path: The file to write.
        tiles: Tiles (N, tile_px, tile_px, 3) to compare on, beside two random ones.

    Raises:
        ExportError: Classes differ, the head is another, or ONNX Runtime does not give what torch gave.
    """
    names = tuple(model.names.values())
    wanted = tuple(known.name for known in card.classes)
    if names != wanted:
        raise ExportError(f"expected the classes {wanted} of the card, the network has {names}")
    if getattr(model.model[-1], "one2one_cv2", None) is None:
        raise ExportError("expected a network with a one-to-one head (YOLO26 OBB); train from yolo26n-obb")
    contract = Contract(model, card.top_k).eval()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, card.tile_px, card.tile_px, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        part.write_bytes(_graph(contract, card))
        parity = compare(contract, part, np.concatenate((tiles, noise)))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
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
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = card.top_k
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 7
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def compare(contract: Contract, path: Path, tiles: npt.NDArray[np.uint8]) -> Parity:
    """Hold every row that torch or ONNX Runtime gives over 0.05 against the other's.

    Raises:
        ExportError: A row has no partner within 0.1 px and 1e-3 of score.
    """
    detector = Detector.open(path)
    shift = change = 0.0
    rows = 0
    for tile in tiles:
        with torch.inference_mode():
            ours = contract(torch.from_numpy(tile[None])).numpy()[0]
        theirs = detector.raw(tile[None])[0]
        # Rows of low score count by their score alone: an untrained network has no others.
        change = max(change, float(np.abs(np.sort(ours[:, 5]) - np.sort(theirs[:, 5])).max()))
        for one, other in ((ours, theirs), (theirs, ours)):
            # Where more than K rows are sure, which of two equals is the last is a matter of rounding.
            sure = one[one[:, 5] > max(MIN_SCORE, other[:, 5].min() + MAX_SCORE_CHANGE)]
            rows += len(sure)
            far, off = _farthest(sure, other)
            shift, change = max(shift, far), max(change, off)
    if shift > MAX_SHIFT_PX or change > MAX_SCORE_CHANGE:
        raise ExportError(
            f"expected ONNX Runtime within {MAX_SHIFT_PX} px and {MAX_SCORE_CHANGE} of torch, on "
            f"{len(tiles)} tiles got {shift:.3g} px and {change:.3g}; nothing was written"
        )
    return Parity(len(tiles), rows, shift, change)


def _farthest(sure: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the largest shift of centre or side (px) and of score from rows to their nearest partners."""
    if not len(sure):
        return 0.0, 0.0
    shift = np.abs(sure[:, None, :4] - other[None, :, :4]).max(axis=2)
    turn = np.abs(sure[:, None, 4] - other[None, :, 4])
    turn = np.minimum(turn, np.pi - turn)
    # Which side of a near square is the longer is a matter of rounding: a quarter turn is the same box.
    square = (sure[:, 2] - sure[:, 3] < MAX_SHIFT_PX)[:, None]
    turn = np.where(square, np.minimum(turn, np.pi / 2 - turn), turn)
    change = np.abs(sure[:, None, 5] - other[None, :, 5])
    same = (sure[:, None, 6] == other[None, :, 6]) & (turn < MAX_TURN)
    cost = np.where(same, shift / MAX_SHIFT_PX + change / MAX_SCORE_CHANGE, np.inf)
    best = cost.argmin(axis=1)
    if not np.isfinite(cost.min(axis=1)).all():
        return float("inf"), float("inf")
    index = np.arange(len(sure))
    return float(shift[index, best].max()), float(change[index, best].max())
