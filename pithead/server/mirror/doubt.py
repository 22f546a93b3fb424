"""How unsure weights are of a detection, so that people look first where they decide most."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from sqlite3 import Row
from typing import Final, Literal

import numpy as np

from pithead.calibration import Beta
from pithead.card import Card
from pithead.geometry import Floats

By = Literal["probability", "threshold"]
MIDDLE: Final = 0.5
"""Taken for the threshold of a class of which nobody has said one."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of weights: the threshold of each class, and the curve of those that are calibrated."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Beta] = field(default_factory=dict)

    @classmethod
    def of_card(cls, card: Card) -> "Doubt":
        """What a card says."""
        curves = {name: Beta.of(table) for name, table in (card.calibration or {}).items()}
        return cls({known.name: known.threshold for known in card.classes}, curves)

    @classmethod
    def of_row(cls, row: Row | None) -> "Doubt":
        """What a row of `mirror_weights` says; of None nothing is known."""
        if row is None:
            return cls()
        curves = json.loads(row["calibration"] or "{}")
        return cls(json.loads(row["thresholds"]), {name: Beta.of(table) for name, table in curves.items()})

    def as_texts(self) -> tuple[str, str | None]:
        """Thresholds and curves as a row of `mirror_weights` has them."""
        curves = {name: curve.as_table() for name, curve in sorted(self.curves.items())}
        return json.dumps(dict(sorted(self.thresholds.items()))), json.dumps(curves) if curves else None

    def of(self, class_name: str, scores: Sequence[float]) -> tuple[Floats, By]:
        """The doubt of scores (N,) of a class, 0 to 1, and what it rests on.

        With a probability p it is 4 p (1 - p): 1 for even odds. Without, it falls from 1 at the threshold t
        of the class to 0 at the far end: 1 - |score - t| / max(t, 1 - t).
        """
        score = np.asarray(scores, np.float64)
        curve = self.curves.get(class_name)
        if curve is not None:
            probability = curve(score)
            return (4 * probability * (1 - probability)).round(6), "probability"
        threshold = self.thresholds.get(class_name, MIDDLE)
        far = max(threshold, 1 - threshold)
        return np.clip(1 - np.abs(score - threshold) / far, 0, 1).round(6), "threshold"
