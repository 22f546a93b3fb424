"""Weights in half precision, for GPUs: the network in 16 bits, bytes before it and rows after it as ever."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import compose
from onnx.utils import Extractor
from onnxruntime.transformers.float16 import convert_float_to_float16

from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import ExportError, OptionError, WeightsError
from pithead.metrics import match
from pithead.stamp import read_model, set_card
from pithead.trial import AGREE, Score, Yardstick, agree

MIN_SCORE = 0.25
MAX_SHIFT_PX, MAX_SCORE_CHANGE = 2.0, 0.03
Graph = Any  # onnx publishes no types


@dataclass(frozen=True, slots=True)
class HalfParity:
    """How far half precision was from single, over the rows of both with a score over 0.25."""

    rows: int
    lost: int
    """Rows without a partner of the same class within 2 px and 0.03 of score."""

    def __str__(self) -> str:
        """What a person wants to know of it."""
        return f"{self.lost} of {self.rows} rows over a score of {MIN_SCORE} differ in half precision"


def halve(
    source: Path, out: Path, tiles: npt.NDArray[np.uint8], measure: Yardstick | None = None
) -> HalfParity:
    """Write weights in half precision if they find the same, and return how near they are.

    Pixel positions up to a tile's side need more than the 11 bits of a half: what comes after the last
    convolution, the decoding, stays in single precision. The card is that of the source, and says so.

    Args:
        source: An exported .onnx with its card.
        out: The file to write, another one.
        tiles: Tiles (N, tile_px, tile_px, 3) to compare on.
        measure: Labelled tiles or scenes on which both have to reach the same AP50, too.

    Raises:
        OptionError: `out` is the source.
        WeightsError: There is no such file, or it is a smaller form already.
        CardError: It has no card.
        ExportError: More than 1 % of the rows have no partner, AP50 is another, or there is nothing to
            compare; nothing is written.
    """
    model, card = read_single(source, out)
    body, tail = split(model)
    half = joined(convert_float_to_float16(body, keep_io_types=True), tail)
    onnx.helper.set_model_props(half, {p.key: p.value for p in model.metadata_props})
    part = out.with_suffix(".part")
    try:
        part.write_bytes(half.SerializeToString())
        single, reduced = Detector.open(source), Detector.open(part, verify=False)
        parity = _compare(single.raw(tiles), reduced.raw(tiles))
        if parity.lost > 0.01 * parity.rows:
            raise ExportError(
                f"expected half precision within {MAX_SHIFT_PX} px and {MAX_SCORE_CHANGE} of single, got "
                f"{parity.lost} of {parity.rows} rows beyond; nothing was written"
            )
        facts: dict[str, Any] = {"type": "float16", "rows": parity.rows, "rows_lost": parity.lost}
        if measure is not None:
            facts |= _no_worse(measure(single), measure(reduced))
        if not parity.rows and facts.get("mean_ap50") is None:
            raise ExportError(
                f"expected rows over a score of {MIN_SCORE} to compare, got none on {len(tiles)} tiles; "
                "nothing was written: give a scene on which these weights find something"
            )
        set_card(half, replace(card, training={**card.training, "precision": facts}))
        part.write_bytes(half.SerializeToString())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return parity


def read_single(source: Path, out: Path) -> tuple[Graph, Card]:
    """The model of weights in single precision and its card; `out` is where a smaller form will lie.

    Raises:
        OptionError: `out` is the file itself, of which nothing would be left.
        WeightsError: There is no such file, or it is a smaller form already.
        CardError: It has no card.
    """
    if out.resolve() == source.resolve():
        raise OptionError(f"expected another file to write to than {source}, which would be gone")
    model, card = read_model(source)
    if "precision" in card.training:
        raise WeightsError(
            f"expected weights in single precision, {source} is {card.training['precision'].get('type')} "
            "already: give the file that it was made from"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    return model, card


def _no_worse(single: Score, half: Score) -> dict[str, Any]:
    if not agree(single, half):
        raise ExportError(
            f"expected half precision within {AGREE} of the mean AP50 of single on {single.on}, got "
            f"{half.mean:.4f} and {single.mean:.4f}; nothing was written"
        )
    return {**half.as_table(), "mean_ap50_single": single.mean}


def joined(body: Graph, tail: Graph) -> Graph:
    """What `split` has parted, in one model again, whatever has been done to the body."""
    tail = _apart(tail)
    tail.ir_version = body.ir_version
    model = compose.merge_models(
        _sorted(body), tail, io_map=[(name, name) for name in (i.name for i in tail.graph.input)]
    )
    onnx.checker.check_model(model)
    return model


def split(model: Graph) -> tuple[Graph, Graph]:
    """The network up to its last convolutions, and what decodes their results: no convolution sees that."""
    seen: set[str] = set()
    tail = []
    for node in reversed(model.graph.node):
        if node.op_type == "Conv" or seen.intersection(node.output):
            seen.update(node.input)
        else:
            tail.append(node)
    made = {name for node in tail for name in node.output} | {i.name for i in model.graph.initializer}
    border = sorted({name for node in tail for name in node.input if name} - made)
    extractor = Extractor(onnx.shape_inference.infer_shapes(model))
    return extractor.extract_model(["tiles"], border), extractor.extract_model(border, ["detections"])


def _sorted(model: Graph) -> Graph:
    """The same graph with every node after those whose results it needs; the converter puts casts last."""
    nodes = list(model.graph.node)
    maker = {name: i for i, node in enumerate(nodes) for name in node.output}
    needs = {i: [maker[n] for n in node.input if n in maker] for i, node in enumerate(nodes)}
    order = list(TopologicalSorter(needs).static_order())
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in order)
    return model


def _apart(model: Graph) -> Graph:
    """The same graph with names of its own for all but its inputs and outputs, so that it can be merged."""
    kept = {value.name for value in [*model.graph.input, *model.graph.output]} | {""}

    def own(names: Iterable[str]) -> list[str]:
        return [name if name in kept else f"tail/{name}" for name in names]

    for node in model.graph.node:
        node.name = f"tail/{node.name}"
        node.input[:], node.output[:] = own(node.input), own(node.output)
    for value in model.graph.initializer:
        (value.name,) = own([value.name])
    del model.graph.value_info[:]
    return model


def _compare(
    single: Iterable[npt.NDArray[np.float32]], half: Iterable[npt.NDArray[np.float32]]
) -> HalfParity:
    rows = lost = 0
    for one, other in zip(single, half, strict=True):
        for sure, all_ in ((one, other), (other, one)):
            some = sure[sure[:, 5] > MIN_SCORE]
            shift = np.abs(some[:, None, :4] - all_[None, :, :4]).max(axis=2)
            near = (shift <= MAX_SHIFT_PX) & (some[:, None, 6] == all_[None, :, 6])
            near &= np.abs(some[:, None, 5] - all_[None, :, 5]) <= MAX_SCORE_CHANGE
            rows += len(some)
            lost += int((match(some[:, 5], near) < 0).sum())
    return HalfParity(rows, lost)
