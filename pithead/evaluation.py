"""How good a detector is on labelled scenes, measured through the real scan path.

Every number comes of whole scenes, seams and lines included, in the square metres of the detector's grid.
Average precision is taken over all scores from `FLOOR`; counts, areas and lines are what a plain scan with
the card's thresholds has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.detections import Detections
from pithead.detector import Detector
from pithead.geometry import boxes_to_corners, corners_to_boxes, rotated_iou
from pithead.imagery import open_scene
from pithead.labels import GridLabels, Label, in_grid
from pithead.metrics import (
    AreaResult,
    LineResult,
    Matches,
    ap_by_class,
    area_f1,
    false_alarms_per_km2,
    line_quality,
    match_scene,
)
from pithead.scan import Way, assemble, detect_tiles
from pithead.seams import Merged

Floats = npt.NDArray[np.float64]

FLOOR = 0.02
"""Rows under this score are not looked at, not even for average precision."""

STRIP_FLOOR = 0.1
"""The same for pieces of strips, which are joined: at 0.02 the noise would glue strips together."""

LADDER = tuple(round(0.05 * i, 2) for i in range(1, 16))
"""Thresholds that are tried out to find the best."""

COLUMNS = (
    "truth",
    "ap50",
    "precision",
    "recall",
    "f1",
    "false_alarms_per_km2",
    "area_f1",
    "area_ratio_median",
)
"""What a table of a class shows, in order; each is a key of what `summary` says of a class."""

SAME_OBJECT = 0.8
"""From this IoU on the area of a detection is compared with the true one."""


class Sensitive:
    """A detector that keeps every row from a low score on, whatever thresholds its card names."""

    def __init__(self, detector: Detector, floor: float) -> None:
        """Take an open detector."""
        self.card, self._detector, self._floor = detector.card, detector, floor

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Rows (k, 7) of each tile, best score first."""
        found = [rows[rows[:, 5] >= self._floor] for rows in self._detector.raw(tiles)]
        return [rows[np.argsort(-rows[:, 5], kind="stable")] for rows in found]


@dataclass(frozen=True, slots=True)
class SceneResult:
    """What one scene adds to the sums."""

    scene: str
    area_km2: float
    """Of the valid pixels."""
    curve: Matches
    """From the lowest scores, for average precision."""
    counted: Matches
    """As a plain scan with the card's thresholds would have it."""
    ladder: tuple[Matches, ...]
    """The same with each of `LADDER` as the threshold of every class."""
    areas: Mapping[str, AreaResult]
    """By the name of each box class, in m²."""
    lines: LineResult
    area_ratios: Mapping[str, tuple[float, ...]]
    """Detected over true area of each matched pair with IoU >= 0.8, by box class."""


def evaluate_scene(
    path: Path, labels: Sequence[Label], detector: Detector, *, gsd_m: float | None, overlap_px: int = 128
) -> SceneResult:
    """Scan one labelled scene and compare.

    Raises:
        SceneError: the scene cannot be read.
    """
    card = detector.card
    with open_scene(path, gsd_m=gsd_m) as scene:
        seen = detect_tiles(scene, Sensitive(detector, FLOOR), Way(overlap_px))
    grid = seen.grid
    truth = in_grid(
        labels,
        grid.to_grid,
        cell_px=card.cell_px,
        span_width_px=card.span_width_m / card.gsd_m,
        strip_pad_px=None,
    )
    lowest = [STRIP_FLOOR if known.geometry == "strip" else FLOOR for known in card.classes]
    sure = assemble(seen.above(card.thresholds), card)
    boxes = corners_to_boxes(grid.to_grid(sure.corners_scene))
    merged = Merged(boxes, sure.scores, sure.classes, sure.tiles)
    return SceneResult(
        scene=path.stem,
        area_km2=seen.valid_px * card.gsd_m**2 / 1e6,
        curve=_matches(assemble(seen.above(lowest), card), truth),
        counted=_matches(sure, truth),
        ladder=tuple(_matches(assemble(seen.above(rung), card), truth) for rung in LADDER),
        areas={name: _areas(merged, truth, i, card.gsd_m) for i, name in _outlined(card)},
        lines=_lines(sure, labels, card),
        area_ratios={name: _ratios(merged, truth, i) for i, name in _outlined(card)},
    )


def _matches(found: Detections, truth: GridLabels) -> Matches:
    return match_scene(
        corners_to_boxes(found.grid.to_grid(found.corners_scene)),
        found.scores,
        found.classes,
        truth.boxes[~truth.ignore],
        truth.classes[~truth.ignore],
        truth.boxes[truth.ignore],
        truth.classes[truth.ignore],
    )


def summary(results: Sequence[SceneResult], card: Card) -> dict[str, Any]:
    """All scenes together as plain values for JSON; what cannot be measured is None."""
    km2 = sum(r.area_km2 for r in results)
    everything = [0.0] * len(card.classes)
    curves = ap_by_class([r.curve for r in results], everything)
    counts = ap_by_class([r.counted for r in results], everything)
    classes: dict[str, Any] = {}
    for curve, result, known in zip(curves, counts, card.classes, strict=True):
        row: dict[str, Any] = {
            "truth": result.n_truth,
            "ap50": curve.ap,
            "threshold": known.threshold,
            "precision": result.precision,
            "recall": result.recall,
            "f1": result.f1,
            "false_alarms_per_km2": false_alarms_per_km2(result, km2),
        }
        if known.geometry != "line":
            row["area_f1"] = sum((r.areas[known.name] for r in results), AreaResult(0, 0, 0)).f1
            ratios = [ratio for r in results for ratio in r.area_ratios[known.name]]
            row["area_ratio_median"] = float(np.median(ratios)) if ratios else None
            row["area_ratio_count"] = len(ratios)
        classes[known.name] = row
    lines = sum((r.lines for r in results), LineResult(0, 0, 0, 0))
    return {
        "scenes": len(results),
        "km2": km2,
        "classes": classes,
        "lines": {
            "buffer_m": 10.0,
            "completeness": lines.completeness,
            "correctness": lines.correctness,
            "quality": lines.quality,
            "truth_km": lines.truth_m / 1000,
        },
    }


def best_thresholds(results: Sequence[SceneResult], card: Card) -> dict[str, float]:
    """The threshold of `LADDER` at which each class has its highest F1 over these scenes, scanned with it.

    The card's own where a class has no truth or nothing is found.
    """
    nothing = [0.0] * len(card.classes)
    rungs = [ap_by_class([r.ladder[i] for r in results], nothing) for i in range(len(LADDER))]
    chosen = {}
    for class_id, known in enumerate(card.classes):
        best = max(range(len(LADDER)), key=lambda i: (rungs[i][class_id].f1 or 0.0, LADDER[i]))
        found = bool(rungs[best][class_id].true_positives)
        chosen[known.name] = LADDER[best] if found else known.threshold
    return chosen


def _outlined(card: Card) -> list[tuple[int, str]]:
    return [(i, known.name) for i, known in enumerate(card.classes) if known.geometry != "line"]


def _areas(found: Merged, truth: GridLabels, class_id: int, gsd_m: float) -> AreaResult:
    """Compare the areas of one class in m²."""
    target = (truth.classes == class_id) & ~truth.ignore
    ignored = (truth.classes == class_id) & truth.ignore
    outlines = (found.boxes[found.classes == class_id], truth.boxes[target], truth.boxes[ignored])
    predicted, true, regions = (list(boxes_to_corners(boxes) * gsd_m) for boxes in outlines)
    return area_f1(predicted, true, regions)


def _ratios(found: Merged, truth: GridLabels, class_id: int) -> tuple[float, ...]:
    """Detected over true area of each pair of one class with IoU >= 0.8."""
    mine = found.boxes[found.classes == class_id]
    theirs = truth.boxes[(truth.classes == class_id) & ~truth.ignore]
    i, j = np.nonzero(rotated_iou(mine, theirs) >= SAME_OBJECT)
    areas, true = mine[i, 2] * mine[i, 3], theirs[j, 2] * theirs[j, 3]
    return tuple(float(ratio) for ratio in areas / true)


def _lines(found: Detections, labels: Sequence[Label], card: Card) -> LineResult:
    """Compare the lines in metres of the grid; a ring repeats its first point."""
    grid = found.grid

    def metres(points_scene: Floats, *, closed: bool) -> Floats:
        points = grid.to_grid(points_scene) * card.gsd_m
        return np.vstack([points, points[:1]]) if closed else points

    predicted = [metres(line.points_scene, closed=line.closed) for line in found.lines]
    known = [label for label in labels if label.geometry == "line"]
    target, doubtful = (
        [metres(label.points, closed=label.closed) for label in known if label.weight == weight]
        for weight in ("target", "ignore")
    )
    return line_quality(predicted, target, ignored=doubtful)
