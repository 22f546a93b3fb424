"""The figures of all scenes together, and the thresholds that they speak for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pithead.calibration import expected_calibration_error, fit
from pithead.card import Card
from pithead.evaluation.result import IOUS, SceneResult
from pithead.evaluation.scene import LADDER, NEAR_M
from pithead.metrics import (
    AreaResult,
    ClassResult,
    LineResult,
    Matches,
    ap_by_class,
    false_alarms_per_km2,
    join,
)

COLUMNS = (
    "truth",
    "ap50",
    "ap50_95",
    "precision",
    "recall",
    "f1",
    "false_alarms_per_km2",
    "area_f1",
    "area_ratio_median",
)
"""What a table of a class shows, in order; each is a key of what `summary` says of a class."""

BUDGETS = (0.1, 1.0, 10.0)
"""False alarms per km² at which recall is told."""


def summary(results: Sequence[SceneResult], card: Card) -> dict[str, Any]:
    """All scenes together as plain values for JSON; what cannot be measured is None."""
    km2 = sum(r.area_km2 for r in results)
    everything = [0.0] * len(card.classes)
    levels = [ap_by_class([r.matches(i) for r in results], everything) for i in range(len(IOUS))]
    every = join([r.curve for r in results])
    counts = ap_by_class([r.counted for r in results], everything)
    classes: dict[str, Any] = {}
    for class_id, (result, known) in enumerate(zip(counts, card.classes, strict=True)):
        row: dict[str, Any] = {
            "truth": result.n_truth,
            "ap50": levels[0][class_id].ap,
            "ap50_95": mean_of([level[class_id].ap for level in levels]),
            "threshold": known.threshold,
            "precision": result.precision,
            "recall": result.recall,
            "f1": result.f1,
            "false_alarms_per_km2": false_alarms_per_km2(result, km2),
            "recall_at": {f"{budget:g}": recall_within(every, class_id, budget * km2) for budget in BUDGETS},
        }
        if known.geometry != "line":
            row["area_f1"] = sum((r.areas[known.name] for r in results), AreaResult(0, 0, 0)).f1
            ratios = [ratio for r in results for ratio in r.area_ratios[known.name]]
            row["area_ratio_median"] = float(np.median(ratios)) if ratios else None
            row["area_ratio_count"] = len(ratios)
        classes[known.name] = row
    return {
        "calibration_error": calibration_errors(results, card),
        "scenes": len(results),
        "sites": len({r.about.site for r in results if r.about.site}) or None,
        "km2": km2,
        "mean": {key: mean_of([row[key] for row in classes.values()]) for key in ("ap50", "ap50_95")},
        "classes": classes,
        "lines": _lines(results),
    }


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def recall_within(every: Matches, class_id: int, alarms: float) -> float | None:
    """The share of the truth that is found from the lowest score with at most so many false alarms."""
    mine = every.classes == class_id
    n_truth = int((every.truth_classes == class_id).sum())
    if not n_truth:
        return None
    hit = every.hit[mine][np.argsort(-every.scores[mine], kind="stable")]
    return float(np.cumsum(hit)[np.cumsum(~hit) <= alarms].max(initial=0) / n_truth)


def _lines(results: Sequence[SceneResult]) -> dict[str, Any]:
    lines = sum((r.lines for r in results), LineResult(0, 0, 0, 0))
    return {
        "buffer_m": NEAR_M,
        "completeness": lines.completeness,
        "correctness": lines.correctness,
        "quality": lines.quality,
        "truth_km": lines.truth_m / 1000,
    }


def best_thresholds(results: Sequence[SceneResult], card: Card) -> dict[str, float]:
    """The threshold of `LADDER` at which each class has its highest F1 over these scenes, scanned with it.

    The card's own where a class has no truth or nothing is found.
    """
    chosen = {}
    for rungs, known in zip(ladder(results, card), card.classes, strict=True):
        best = max(rungs, key=lambda rung: (rung.f1 or 0.0, rung.threshold))
        chosen[known.name] = best.threshold if best.true_positives else known.threshold
    return chosen


def thresholds_within(results: Sequence[SceneResult], card: Card, per_km2: float) -> dict[str, float]:
    """The lowest threshold of `LADDER` at which each class raises at most so many false alarms per km².

    Each rung was measured as a scan with it would find; the highest rung where none is quiet enough.
    """
    km2 = sum(r.area_km2 for r in results)
    chosen = {}
    for rungs, known in zip(ladder(results, card), card.classes, strict=True):
        loud = [i for i, rung in enumerate(rungs) if false_alarms_per_km2(rung, km2) > per_km2]
        # From the loudest side: under a rung that is too loud, joining may by chance hide false alarms.
        chosen[known.name] = LADDER[min(max(loud, default=-1) + 1, len(LADDER) - 1)]
    return chosen


def ladder(results: Sequence[SceneResult], card: Card) -> list[list[ClassResult]]:
    """Of each class what a scan with each of `LADDER` as its threshold has over all scenes."""
    counts = sum((r.ladder for r in results), np.zeros((len(LADDER), len(card.classes), 2), np.int64))
    of_truth = np.concatenate([np.zeros(0, np.int64), *(r.truth.classes for r in results)])
    return [
        [
            ClassResult(
                class_id,
                rung,
                None,
                int((of_truth == class_id).sum()),
                int(counts[i, class_id, 0]),
                int(counts[i, class_id, 1]),
            )
            for i, rung in enumerate(LADDER)
        ]
        for class_id in range(len(card.classes))
    ]


def calibrate(results: Sequence[SceneResult], card: Card) -> dict[str, dict[str, float]]:
    """The curve of each class from what was found on these scenes, for `Card.calibration`.

    The scenes must have been measured with a card without calibration; a class of which too few detections
    are right or wrong is left out.
    """
    found = join([r.curve for r in results])
    curves = {
        known.name: fit(found.scores[found.classes == i], found.hit[found.classes == i])
        for i, known in enumerate(card.classes)
    }
    return {name: curve.as_table() for name, curve in curves.items() if curve is not None}


def calibration_errors(results: Sequence[SceneResult], card: Card) -> dict[str, float | None]:
    """The expected calibration error of each class and of ``all``, over every detection from `FLOOR`."""
    found = join([r.curve for r in results])
    errors = {
        known.name: expected_calibration_error(
            found.scores[found.classes == i], found.hit[found.classes == i]
        )
        for i, known in enumerate(card.classes)
    }
    return {**errors, "all": expected_calibration_error(found.scores, found.hit)}
