"""The worst misses and the worst false alarms, cut out of their scenes."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from pithead.card import Card
from pithead.evaluation.result import Course, SceneResult
from pithead.geometry import corners_to_boxes, rotated_iou
from pithead.imagery import Scene, open_scene
from pithead.metrics import NONE

Floats = npt.NDArray[np.float64]
Kind = Literal["miss", "false alarm"]

EACH = 8
"""Chips of each class and kind."""
SIDE_PX = 320
LEAST_M = 100.0
"""A chip shows no less than this: the surroundings say what a thing is."""
MARGIN = 1.9
BESIDE = 0.05
"""Boxes that share less than this IoU have nothing to do with each other."""
MOST_OF_A_LINE = 0.5
"""A line of which less than this share is lacking is no miss, and no false alarm."""

TRUTH, DETECTION, IGNORED, INK = "#2bff6e", "#ff3fd2", "#f4f4f4", "#101010"


@dataclass(frozen=True, slots=True)
class Fault:
    """One object that was not found, or one detection of nothing."""

    kind: Kind
    class_id: int
    scene: str
    outline: Floats
    """(M, 2) scene px; what the chip is cut round."""
    size_m: float
    score: float | None
    words: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A fault and its picture, a JPEG as a data URL."""

    fault: Fault
    picture: str


def worst(results: Sequence[SceneResult], card: Card, each: int = EACH) -> list[Fault]:
    """The largest objects that a plain scan misses and its surest false alarms, class by class.

    Of lines: those of which most metres are missed, and those with most metres where nothing is.
    """
    chosen: list[Fault] = []
    for class_id, known in enumerate(card.classes):
        of = _line_faults if known.geometry == "line" else _box_faults
        faults = [fault for result in results for fault in of(result, class_id)]
        misses = sorted((f for f in faults if f.kind == "miss"), key=lambda f: -f.size_m)
        weight: Callable[[Fault], float] = (
            (lambda f: -f.size_m) if known.geometry == "line" else (lambda f: -(f.score or 0.0))
        )
        alarms = sorted((f for f in faults if f.kind == "false alarm"), key=weight)
        chosen += misses[:each] + alarms[:each]
    return chosen


def _box_faults(result: SceneResult, class_id: int) -> Iterator[Fault]:
    truth, sure = result.truth, result.sure
    found = set(sure.truth[sure.truth[:, 0] >= 0, 0].tolist())
    missed = [i for i in np.flatnonzero(truth.classes == class_id).tolist() if i not in found]
    if missed:
        near = np.flatnonzero(result.every.classes == class_id)
        boxes = (
            corners_to_boxes(truth.corners_scene[missed]),
            corners_to_boxes(result.every.corners_scene[near]),
        )
        overlaps = rotated_iou(*boxes)
        for i, row in zip(missed, overlaps, strict=True):
            best = int(row.argmax()) if row.max(initial=0.0) > BESIDE else None
            score = None if best is None else float(result.every.scores[near[best]])
            words = "nothing there" if best is None else f"best box: IoU {row[best]:.2f}, score {score:.2f}"
            size = float(truth.sizes_m[i])
            yield Fault("miss", class_id, result.scene, truth.corners_scene[i], size, score, words)
    wrong = np.flatnonzero((sure.classes == class_id) & (sure.truth[:, 0] == NONE))
    there = truth.corners_scene[truth.classes == class_id]
    overlaps = rotated_iou(corners_to_boxes(sure.corners_scene[wrong]), corners_to_boxes(there))
    for i, best in zip(wrong.tolist(), overlaps.max(axis=1, initial=0.0).tolist(), strict=True):
        score, size = float(sure.scores[i]), float(sure.sizes_m[i])
        words = f"score {score:.2f}, " + (
            f"IoU {best:.2f} with an object" if best > BESIDE else "nothing there"
        )
        yield Fault("false alarm", class_id, result.scene, sure.corners_scene[i], size, score, words)


def _line_faults(result: SceneResult, class_id: int) -> Iterator[Fault]:
    sides: tuple[tuple[Kind, tuple[Course, ...]], ...] = (
        ("miss", result.true_lines),
        ("false alarm", result.found_lines),
    )
    for kind, lines in sides:
        for line in lines:
            if line.lacking_m < MOST_OF_A_LINE * line.length_m or not line.lacking_m:
                continue
            what = "missed" if kind == "miss" else "where none is"
            words = f"{line.lacking_m:.0f} of {line.length_m:.0f} m {what}"
            words += "" if line.score is None else f", score {line.score:.2f}"
            yield Fault(kind, class_id, result.scene, line.points_scene, line.lacking_m, line.score, words)


def chips(
    faults: Sequence[Fault],
    results: Sequence[SceneResult],
    paths: Mapping[str, Path],
    card: Card,
    gsd_m: float | None,
) -> list[Chip]:
    """Cut each fault out of its scene; truth, detections and what is ignored are drawn over it.

    Args:
        faults: Of `worst`.
        results: What is drawn is that of these.
        paths: The scene of each name; of one that is not there no chip is cut.
        card: Which classes are lines.
        gsd_m: Metres per pixel of scenes without georeference.
    """
    by_scene = {result.scene: result for result in results}
    cut: dict[int, Chip] = {}
    for name in sorted({fault.scene for fault in faults} & paths.keys()):
        with open_scene(paths[name], gsd_m=gsd_m) as scene:
            for i, fault in enumerate(faults):
                if fault.scene == name:
                    image = _cut(scene, fault, by_scene[name], card)
                    cut[i] = Chip(fault, data_url(image))
    return [cut[i] for i in sorted(cut)]


def _cut(scene: Scene, fault: Fault, result: SceneResult, card: Card) -> Image.Image:
    low, high = fault.outline.min(axis=0), fault.outline.max(axis=0)
    metre = 1 / np.array(scene.gsd_m)
    half = np.maximum(MARGIN * (high - low) * scene.gsd_m, LEAST_M).max() / 2 * metre
    start, end = (low + high) / 2 - half, (low + high) / 2 + half
    (x0, y0), (x1, y1) = start.tolist(), end.tolist()
    pixels = scene.read(x0, y0, x1, y1, SIDE_PX, SIDE_PX)
    image = Image.fromarray(pixels.data)
    draw = ImageDraw.Draw(image)

    def stroke(points_scene: Floats, colour: str, width: int, *, closed: bool) -> None:
        course = [(float(x), float(y)) for x, y in (points_scene - start) / (end - start) * SIDE_PX]
        course += course[:2] if closed else []
        draw.line(course, fill=INK, width=width + 2, joint="curve")
        draw.line(course, fill=colour, width=width, joint="curve")

    is_line = card.classes[fault.class_id].geometry == "line"
    for corners in result.ignored.corners_scene[result.ignored.classes == fault.class_id]:
        stroke(corners, IGNORED, 1, closed=True)
    if is_line:
        for lines, colour in ((result.true_lines, TRUTH), (result.found_lines, DETECTION)):
            for line in lines:
                stroke(line.points_scene, colour, 3, closed=line.closed)
        return image
    for shown, colour in ((result.truth, TRUTH), (result.sure, DETECTION)):
        for corners in shown.corners_scene[shown.classes == fault.class_id]:
            stroke(corners, colour, 3, closed=True)
    return image


def data_url(image: Image.Image) -> str:
    """A picture as text that a page can hold."""
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=85, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
