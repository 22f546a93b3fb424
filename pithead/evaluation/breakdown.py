"""The same figures by the size of objects, and by site, sensor, season, land, resolution and angle."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.card.words import in_order
from pithead.evaluation.figures import mean_of, summary
from pithead.evaluation.result import Found, SceneResult
from pithead.metrics import NONE, average_precision

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIZES_M = (0.0, 20.0, 50.0, 100.0, 200.0, float("inf"))
"""Long sides between which objects are put together; one of exactly 20 m is of the second kind."""

LENGTHS_M = (0.0, 200.0, 500.0, 1000.0, float("inf"))
"""The same of whole perimeters."""

RESOLUTIONS_M = (0.0, 0.45, 0.75, 1.05, float("inf"))
OFF_NADIR_DEG = (0.0, 10.0, 20.0, 30.0, float("inf"))

UNKNOWN = "unknown"


def by_circumstance(results: Sequence[SceneResult], card: Card) -> dict[str, dict[str, Any]]:
    """For site, sensor, season, land, resolution and angle: what is measured on the scenes of each kind."""
    kinds: dict[str, Callable[[SceneResult], str]] = {
        "site": lambda r: r.about.site or UNKNOWN,
        "sensor": lambda r: r.about.sensor or UNKNOWN,
        "season": lambda r: r.about.season or UNKNOWN,
        "biome": lambda r: r.about.biome or UNKNOWN,
        "ground": lambda r: r.about.ground or UNKNOWN,
        "ground resolution": lambda r: _between(r.about.gsd_m, RESOLUTIONS_M),
        "off nadir": lambda r: _between(r.about.off_nadir_deg, OFF_NADIR_DEG, "°"),
    }
    return {kind: _grouped(results, card, told) for kind, told in kinds.items()}


def _grouped(
    results: Sequence[SceneResult], card: Card, told: Callable[[SceneResult], str]
) -> dict[str, Any]:
    groups: dict[str, list[SceneResult]] = {}
    for result in results:
        groups.setdefault(told(result), []).append(result)
    kept = ("truth", "ap50", "recall", "f1", "false_alarms_per_km2")
    found: dict[str, Any] = {}
    for name in in_order(groups):
        numbers = summary(groups[name], card)
        rows = numbers["classes"]
        found[name] = {
            "scenes": numbers["scenes"],
            "km2": numbers["km2"],
            "mean_ap50": numbers["mean"]["ap50"],
            "classes": {known: {key: row[key] for key in kept} for known, row in rows.items()},
            "line_quality": numbers["lines"]["quality"],
        }
    return found


def by_size(results: Sequence[SceneResult], card: Card) -> dict[str, dict[str, Any]]:
    """By class: of the objects of each size, how many there are, how many are found, and AP50.

    As COCO has it, objects of other sizes and what finds them are neither right nor wrong; of what finds
    nothing, that of this size is wrong. Lines go by their length, and what is told is completeness.
    """
    found: dict[str, dict[str, Any]] = {}
    for class_id, known in enumerate(card.classes):
        if known.geometry == "line":
            found[known.name] = _by_length(results)
            continue
        rows: dict[str, Any] = {}
        for low, high in pairwise(SIZES_M):
            rows[_named(low, high)] = _of_size(results, class_id, (low, high))
        found[known.name] = rows
    return found


def _of_size(results: Sequence[SceneResult], class_id: int, size_m: tuple[float, float]) -> dict[str, Any]:
    scores, hits, n_truth, n_found = [np.zeros(0)], [np.zeros(0, np.bool_)], 0, 0
    for result in results:
        wanted = (result.truth.classes == class_id) & _within(result.truth.sizes_m, size_m)
        counts, hit = _in_size(result.every, class_id, size_m, wanted)
        _, sure = _in_size(result.sure, class_id, size_m, wanted)
        scores.append(result.every.scores[counts])
        hits.append(hit[counts])
        n_truth, n_found = n_truth + int(wanted.sum()), n_found + int(sure.sum())
    return {
        "truth": n_truth,
        "found": n_found,
        "recall": n_found / n_truth if n_truth else None,
        "ap50": average_precision(np.concatenate(scores), np.concatenate(hits), n_truth),
    }


def _in_size(found: Found, class_id: int, size_m: tuple[float, float], wanted: Bools) -> tuple[Bools, Bools]:
    """Which detections count for a size (N,), and which of them are right (N,)."""
    number = found.truth[:, 0]
    hit = np.zeros(len(number), np.bool_)
    right = (number >= 0) & (found.classes == class_id)
    hit[right] = wanted[number[right]]
    wrong = (number == NONE) & (found.classes == class_id) & _within(found.sizes_m, size_m)
    return hit | wrong, hit


def _by_length(results: Sequence[SceneResult]) -> dict[str, Any]:
    lines = [line for result in results for line in result.true_lines]
    rows: dict[str, Any] = {}
    for low, high in pairwise(LENGTHS_M):
        mine = [line for line in lines if low <= line.length_m < high]
        length = sum(line.length_m for line in mine)
        lacking = sum(line.lacking_m for line in mine)
        shares = [1 - line.lacking_m / line.length_m for line in mine if line.length_m > 0]
        rows[_named(low, high)] = {
            "truth": len(mine),
            "truth_km": length / 1000,
            "completeness": 1 - lacking / length if length else None,
            "completeness_of_a_line": mean_of(shares),
        }
    return rows


def _within(sizes_m: Floats, size_m: tuple[float, float]) -> Bools:
    return np.asarray((sizes_m >= size_m[0]) & (sizes_m < size_m[1]), np.bool_)


def _between(value: float | None, edges: Sequence[float], unit: str = " m") -> str:
    if value is None:
        return UNKNOWN
    low, high = next(pair for pair in pairwise(edges) if pair[0] <= value < pair[1])
    return _named(low, high, unit)


def _named(low: float, high: float, unit: str = " m") -> str:
    if low == 0:
        return f"under {high:g}{unit}"
    return f"from {low:g}{unit}" if high == float("inf") else f"{low:g} to {high:g}{unit}"
