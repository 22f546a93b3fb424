"""Which head of a network is shipped, by measuring both, and the file that is shipped."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import ExportError
from pithead.export.contract import Contract, Head, Network, has_heads
from pithead.export.graph import export
from pithead.export.parity import Parity
from pithead.stamp import stamp
from pithead.trial import AGREE, Score, Yardstick, agree


@dataclass(frozen=True, slots=True)
class Shipped:
    """What was shipped: the head and why, how good each is, and how near ONNX Runtime is to torch."""

    head: Head
    why: str
    scores: Mapping[Head, Score]
    parity: Parity
    torch: Score

    def __str__(self) -> str:
        """What a person wants to know of it."""
        return (
            f"{self.parity.rows} rows of {self.parity.tiles} tiles agree with torch within "
            f"{self.parity.shift_px:.2g} px and {self.parity.score_change:.2g} of score; "
            f"the {self.head} head, {self.why}"
        )

    def as_facts(self) -> dict[str, Any]:
        """For the `training` of a card."""
        return {
            "head": {
                "shipped": self.head,
                "why": self.why,
                **{head: score.as_table() for head, score in self.scores.items()},
            },
            "parity": {
                "tiles": self.parity.tiles,
                "rows": self.parity.rows,
                "shift_px": self.parity.shift_px,
                "score_change": self.parity.score_change,
                "on": self.torch.on,
                "mean_ap50": self.scores[self.head].mean,
                "mean_ap50_torch": self.torch.mean,
            },
        }


def ship(
    model: Network,
    card: Card,
    path: Path,
    tiles: npt.NDArray[np.uint8],
    measure: Yardstick,
    head: Head | Literal["auto"] = "auto",
) -> Shipped:
    """Write the better head of a network as an ONNX file, with a card that says which one and why.

    Args:
        model: A network of ultralytics with one output per class of the card; it stays as it is.
        card: The facts to put into the file, beside those of `Shipped.as_facts`.
        path: The file to write.
        tiles: Tiles (N, tile_px, tile_px, 3) on which ONNX Runtime is held against torch, row by row.
        measure: Labelled tiles or scenes that choose the head; ONNX Runtime and torch must agree on them.
        head: Which one; auto measures those that are there.

    Raises:
        ExportError: Classes differ, there is no such head, or ONNX Runtime does not give what torch gave.
    """
    heads = has_heads(model) if head == "auto" else (head,)
    with tempfile.TemporaryDirectory() as folder:
        files = {each: Path(folder) / f"{each}.onnx" for each in heads}
        parities = {each: export(model, card, file, tiles, head=each) for each, file in files.items()}
        scores = {each: measure(Detector.open(file)) for each, file in files.items()}
        chosen, why = choose(scores)
        ours = measure(Contract(model, card, chosen).eval())
        if not agree(ours, scores[chosen]):
            raise ExportError(
                f"expected ONNX Runtime within {AGREE} of torch's mean AP50 on {ours.on}, got "
                f"{scores[chosen].mean:.4f} and {ours.mean:.4f}; nothing was written"
            )
        shipped = Shipped(chosen, why if head == "auto" else "asked for", scores, parities[chosen], ours)
        stamp(files[chosen], path, replace(card, training={**card.training, **shipped.as_facts()}))
    return shipped


def choose(scores: Mapping[Head, Score]) -> tuple[Head, str]:
    """The head to ship, and why; the one-to-one head unless the other is better by more than 0.002."""
    if len(scores) < 2:
        return next(iter(scores)), "the only head of the network"
    one, many = scores["one-to-one"], scores["one-to-many"]
    if one.mean is None or many.mean is None:
        return "one-to-one", f"nothing could be measured on {one.on}"
    figures = f"mean AP50 on {one.on}: one-to-one {one.mean:.4f}, one-to-many {many.mean:.4f}"
    if many.mean - one.mean > AGREE:
        return "one-to-many", f"the better of both, {figures}"
    if agree(one, many):
        return "one-to-one", f"as good as the other within {AGREE} and without suppression, {figures}"
    return "one-to-one", f"the better of both, {figures}"
