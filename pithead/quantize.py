"""Weights in 8-bit integers, for CPUs: smaller and faster, and not quite as good; how much is on the card."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.half import joined, read_single, split
from pithead.stamp import set_card
from pithead.trial import Score, Yardstick

Graph = Any  # onnx publishes no types


@dataclass(frozen=True, slots=True)
class Loss:
    """How good weights were in single precision and are in integers, on the same."""

    single: Score
    integers: Score

    def __str__(self) -> str:
        """What a person wants to know of it."""
        before, after = self.single.mean, self.integers.mean
        if before is None or after is None:
            return f"nothing could be measured on {self.single.on}"
        return f"mean AP50 {after:.4f} after {before:.4f} in single precision, on {self.single.on}"


def quantize(source: Path, out: Path, tiles: npt.NDArray[np.uint8], measure: Yardstick) -> Loss:
    """Write weights in integers of 8 bits and return how good they were before and after.

    Static: the range of every value in the network is taken from the tiles. Weights have one range for each
    channel. The last convolutions and the decoding stay in single precision, as in `half`.

    Args:
        source: An exported .onnx with its card.
        out: The file to write, another one; its card is that of the source, with both figures, but without
            evaluations and errors: those are of the source.
        tiles: Tiles (N, tile_px, tile_px, 3) such as the network was trained on.
        measure: Labelled tiles or scenes to measure the loss on.

    Raises:
        OptionError: There are no tiles, or `out` is the source.
        WeightsError: There is no such file, or it is a smaller form already.
        CardError: It has no card.
    """
    if not len(tiles):
        raise OptionError("expected tiles to take the ranges of values from, got none; give a dataset")
    model, card = read_single(source, out)
    kept = {title: told for title, told in card.metrics.items() if title not in card.evaluations}
    body, tail = split(model)
    small = joined(_in_integers(body, tiles), tail)
    onnx.helper.set_model_props(small, {p.key: p.value for p in model.metadata_props})
    part = out.with_suffix(".part")
    try:
        part.write_bytes(small.SerializeToString())
        before, after = measure(Detector.open(source)), measure(Detector.open(part, verify=False))
        facts = {
            "type": "int8",
            "tiles": len(tiles),
            **after.as_table(),
            "mean_ap50_single": before.mean,
            "ap50_single": dict(before.ap50),
        }
        told = replace(card, training={**card.training, "precision": facts}, metrics=kept, errors=())
        set_card(small, told)
        part.write_bytes(small.SerializeToString())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return Loss(before, after)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime publishes no types
    def __init__(self, tiles: npt.NDArray[np.uint8]) -> None:
        self._left = iter(tiles)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        tile = next(self._left, None)
        return None if tile is None else {"tiles": tile[None]}


def _in_integers(body: Graph, tiles: npt.NDArray[np.uint8]) -> Graph:
    """The same graph with Q and DQ nodes round what integers can compute, less the last convolutions."""
    ends = {value.name for value in body.graph.output}
    last = [node.name for node in body.graph.node if ends.intersection(node.output)]
    # Else it asks to fold the batch norms first, which export has done.
    onnx.helper.set_model_props(body, {"onnx.infer": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "body.onnx"
        quantize_static(
            body,
            result,
            _Reader(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # With signed ones onnxruntime is several times slower on x86 than in single precision.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=last,
        )
        return onnx.load(result)
