"""What precision, recall, F1 and false alarms are at every score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.evaluation.figures import ladder
from pithead.evaluation.result import SceneResult
from pithead.metrics import false_alarms_per_km2, join

MOST_POINTS = 400
"""A curve of more points is thinned evenly: no picture shows more."""


def curves(results: Sequence[SceneResult], card: Card) -> dict[str, dict[str, Any]]:
    """The curves of each class as lists of numbers.

    "by_score" goes down from the surest detection: score, precision, recall, false alarms per km². "by_rung"
    is what a scan with each threshold of the ladder has, joined at its seams anew.
    """
    km2 = sum(r.area_km2 for r in results)
    every = join([r.curve for r in results])
    found: dict[str, dict[str, Any]] = {}
    for class_id, (rungs, known) in enumerate(zip(ladder(results, card), card.classes, strict=True)):
        mine = every.classes == class_id
        n_truth = int((every.truth_classes == class_id).sum())
        found[known.name] = {
            "by_score": _by_score(every.scores[mine], every.hit[mine], n_truth, km2),
            "by_rung": {
                "threshold": [rung.threshold for rung in rungs],
                "precision": [rung.precision for rung in rungs],
                "recall": [rung.recall for rung in rungs],
                "f1": [rung.f1 for rung in rungs],
                "false_alarms_per_km2": [false_alarms_per_km2(rung, km2) for rung in rungs],
            },
        }
    return found


def _by_score(
    scores: npt.NDArray[np.float64], hit: npt.NDArray[np.bool_], n_truth: int, km2: float
) -> dict[str, list[float]]:
    """Empty lists of a class without truth or without detections."""
    keys = ("score", "precision", "recall", "false_alarms_per_km2")
    if not n_truth or not len(scores):
        return {key: [] for key in keys}
    order = np.argsort(-scores, kind="stable")
    falling, right = scores[order], np.cumsum(hit[order])
    number = np.arange(1, len(falling) + 1)
    columns = (falling, right / number, right / n_truth, (number - right) / km2)
    last = np.append(falling[:-1] != falling[1:], True)  # equal scores come or go together
    places = np.flatnonzero(last)
    thin = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), MOST_POINTS)).astype(np.int64))]
    return {key: np.round(column[thin], 6).tolist() for key, column in zip(keys, columns, strict=True)}
