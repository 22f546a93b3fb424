"""How good a detector is on labelled scenes, measured through the real scan path.

Every number comes of whole scenes, seams and lines included, in the square metres of the detector's grid.
Average precision is taken over all scores from `FLOOR`; counts, areas and lines at the card's thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.card import Card
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
    best_threshold,
    false_alarms_per_km2,
    join,
    line_quality,
    match_scene,
)
from pithead.scan import Detections, lines_of, scan
from pithead.seams import Merged

Floats = npt.NDArray[np.float64]

FLOOR = 0.02
"""Rows under this score are not looked at, not even for average precision."""

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
    """Of the whole scene, nodata included."""
    matches: Matches
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
        found = scan(scene, Sensitive(detector, FLOOR), overlap_px=overlap_px)
    span_width_px = card.span_width_m / card.gsd_m
    truth = in_grid(labels, found.grid.to_grid, cell_px=card.cell_px, span_width_px=span_width_px)
    boxes = corners_to_boxes(found.grid.to_grid(found.corners_scene))
    sure = found.scores >= np.array(card.thresholds)[found.classes]
    matches = match_scene(
        boxes,
        found.scores,
        found.classes,
        truth.boxes[~truth.ignore],
        truth.classes[~truth.ignore],
        truth.boxes[truth.ignore],
        truth.classes[truth.ignore],
    )
    merged = Merged(boxes[sure], found.scores[sure], found.classes[sure])
    return SceneResult(
        scene=path.stem,
        area_km2=found.grid.width * found.grid.height * card.gsd_m**2 / 1e6,
        matches=matches,
        areas={name: _areas(merged, truth, i, card.gsd_m) for i, name in _box_classes(card)},
        lines=_lines(merged, labels, found, card),
        area_ratios={name: _ratios(merged, truth, i) for i, name in _box_classes(card)},
    )


def summary(results: Sequence[SceneResult], card: Card) -> dict[str, Any]:
    """All scenes together as plain values for JSON; what cannot be measured is None."""
    km2 = sum(r.area_km2 for r in results)
    every = [r.matches for r in results]
    classes: dict[str, Any] = {}
    for result, known in zip(ap_by_class(every, card.thresholds), card.classes, strict=True):
        row: dict[str, Any] = {
            "truth": result.n_truth,
            "ap50": result.ap,
            "threshold": known.threshold,
            "precision": result.precision,
            "recall": result.recall,
            "f1": result.f1,
            "false_alarms_per_km2": false_alarms_per_km2(result, km2),
        }
        if known.geometry == "box":
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
    """The score of each class at which its F1 over these scenes is highest; the card's own where none is."""
    every = join(r.matches for r in results)
    chosen = {}
    for i, known in enumerate(card.classes):
        mine = every.classes == i
        n_truth = int((every.truth_classes == i).sum())
        best = best_threshold(every.scores[mine], every.hit[mine], n_truth)
        chosen[known.name] = known.threshold if best is None else best
    return chosen


def _box_classes(card: Card) -> list[tuple[int, str]]:
    return [(i, known.name) for i, known in enumerate(card.classes) if known.geometry == "box"]


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


def _lines(sure: Merged, labels: Sequence[Label], found: Detections, card: Card) -> LineResult:
    """Compare the lines in metres of the grid; a ring repeats its first point."""
    grid = found.grid

    def metres(points_scene: Floats, *, closed: bool) -> Floats:
        points = grid.to_grid(points_scene) * card.gsd_m
        return np.vstack([points, points[:1]]) if closed else points

    predicted = [metres(line.points_scene, closed=line.closed) for line in lines_of(sure, grid, card)]
    known = [label for label in labels if label.geometry == "line"]
    target, doubtful = (
        [metres(label.points, closed=label.closed) for label in known if label.weight == weight]
        for weight in ("target", "ignore")
    )
    return line_quality(predicted, target, ignored=doubtful)
