"""Weights tried on labelled tiles or scenes, so that two of them can be held against each other.

What is tried is anything that has a card and gives rows: ONNX Runtime, torch, another precision. AP50 is over
all scores from `evaluation.FLOOR`, with the same matching for all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.classes import ClassList
from pithead.detector import Detector
from pithead.evaluation import FLOOR, evaluate_scene, labelled_scenes, whole_scenes
from pithead.metrics import Matches, ap_by_class, match_scene

AGREE = 0.002
"""Two AP50 that are as near as this are the same."""


class Rows(Protocol):
    """What can be tried."""

    @property
    def card(self) -> Card:
        """The facts of the weights."""

    def raw(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Every row (N, K, 7) of tiles (N, H, W, 3)."""


@dataclass(frozen=True, slots=True)
class LabelledTile:
    """One tile (H, W, 3) and what is on it in tile px: boxes (N, 5), classes (N,), ignored boxes (M, 5)."""

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """AP50 of each class, None where it cannot be measured, and on what."""

    on: str
    ap50: Mapping[str, float | None]

    @property
    def mean(self) -> float | None:
        """The mean over the classes that could be measured."""
        known = [value for value in self.ap50.values() if value is not None]
        return fmean(known) if known else None

    def as_table(self) -> dict[str, Any]:
        """For a card."""
        return {"on": self.on, "mean_ap50": self.mean, "ap50": dict(self.ap50)}


Yardstick = Callable[[Rows], Score]


def over_tiles(tiles: Iterable[LabelledTile], name: str) -> Yardstick:
    """Measure on tiles that can be gone through again and again, each by itself: `name` says which."""

    def measure(weights: Rows) -> Score:
        return _score(name, [_on_tile(weights, tile) for tile in tiles], weights.card)

    return measure


def over_scenes(scenes: Path, labels: Path, known: ClassList, gsd_m: float | None) -> Yardstick:
    """Measure on the labelled scenes of a folder, whole, through the real scan path.

    Raises:
        DatasetError: A labelled scene is missing, or was only partly looked at.
        LabelError: The labels cannot be read.
    """
    pairs = labelled_scenes(scenes, whole_scenes(labels, known), labels)
    taught = [(path, [x for x in sheet.labels if x.weight != "negative"]) for path, sheet in pairs]

    def measure(weights: Rows) -> Score:
        detector = cast("Detector", weights)  # of a detector, measuring asks card and rows
        curves = [evaluate_scene(path, some, detector, gsd_m=gsd_m).curve for path, some in taught]
        return _score(f"{len(taught)} scenes", curves, weights.card)

    return measure


def agree(one: Score, other: Score) -> bool:
    """Whether the mean AP50 of two is the same within 0.002; where nothing can be measured it is."""
    return one.mean is None or other.mean is None or abs(one.mean - other.mean) <= AGREE


def _on_tile(weights: Rows, tile: LabelledTile) -> Matches:
    rows = weights.raw(tile.pixels[None])[0]
    rows = rows[rows[:, 5] >= FLOOR]
    anything = np.full(len(tile.ignored), -1)
    return match_scene(rows[:, :5], rows[:, 5], rows[:, 6], tile.boxes, tile.classes, tile.ignored, anything)


def _score(name: str, matches: Sequence[Matches], card: Card) -> Score:
    results = ap_by_class(matches, [0.0] * len(card.classes))
    return Score(name, {known.name: r.ap for known, r in zip(card.classes, results, strict=True)})
