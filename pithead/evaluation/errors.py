"""How wrong detections are, for the card: recall by size, precision, false alarms, boxes and lines.

Everything is what a plain scan with the card's thresholds has, in metres of the ground.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pithead.card import BoxErrors, Card, ClassErrors
from pithead.errors import DatasetError
from pithead.evaluation import dispersion
from pithead.evaluation.breakdown import LENGTHS_M, RESOLUTIONS_M, SIZES_M
from pithead.evaluation.line_errors import FEWEST, line_errors, lines_of
from pithead.evaluation.objects import boxes_of
from pithead.evaluation.result import SceneResult
from pithead.geometry import corners_to_boxes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def class_errors(results: Sequence[SceneResult], card: Card, on: str) -> tuple[ClassErrors, ...]:
    """The errors of every class, in the order of the ids, for `Card.errors`.

    Lines of several classes are measured together: if a card has more than one such class, none is told.

    Args:
        results: Of scenes that neither training nor the choice of thresholds has seen.
        card: That of the weights.
        on: What the scenes are, in words.

    Raises:
        DatasetError: There are no results, or they were kept by a pithead that did not note the size of
            pixels.
    """
    if not results:
        raise DatasetError("expected results to tell errors from, got none: measure labelled scenes")
    alone = sum(known.geometry == "line" for known in card.classes) == 1
    gsds_m = np.array([r.about.gsd_m or np.mean(r.pixel_m) for r in results], np.float64)
    km2 = np.array([r.area_km2 for r in results])
    told = []
    for class_id, known in enumerate(card.classes):
        line = known.geometry == "line"
        if line and not alone:
            continue
        edges_m = LENGTHS_M if line else SIZES_M
        objects = lines_of(results) if line else boxes_of(results, class_id)
        told.append(
            ClassErrors(
                name=known.name,
                recall=objects.by_size(edges_m),
                precision=objects.rate,
                false_alarms_km2=float(objects.wrong.sum() / km2.sum()),
                box=None if line else box_errors(results, class_id),
                lines=line_errors(results) if line else None,
                on=on,
                scenes=len(results),
                km2=float(km2.sum()),
                gsd_m=(float(gsds_m.min()), float(gsds_m.max())),
                by_gsd=objects.by_gsd(gsds_m, RESOLUTIONS_M),
                recall_dispersion=objects.recall_dispersion(edges_m),
                alarm_dispersion=objects.alarm_dispersion(km2),
            )
        )
    return tuple(told)


def box_errors(results: Sequence[SceneResult], class_id: int) -> BoxErrors | None:
    """Of the pairs of what was found and what is there; None of fewer than two."""
    found, true, scenes = _pairs(results, class_id)
    if len(found) < FEWEST:
        return None
    ratios = np.log(found[:, 2:4] / true[:, 2:4])
    off = found[:, :2] - true[:, :2]
    cos, sin = np.cos(true[:, 4]), np.sin(true[:, 4])
    along, across = off[:, 0] * cos + off[:, 1] * sin, off[:, 1] * cos - off[:, 0] * sin
    area = ratios.sum(axis=1)
    return BoxErrors(
        pairs=len(found),
        centre_m=_size(off),
        length_bias=_mean(ratios[:, 0]),
        length_sd=_sd(ratios[:, 0]),
        width_bias=_mean(ratios[:, 1]),
        width_sd=_sd(ratios[:, 1]),
        area_bias=_mean(area),
        area_sd=_sd(area),
        along_share=_size(along / true[:, 2]),
        across_share=_size(across / true[:, 3]),
        area_scene_sd=dispersion.between(area, scenes),
    )


def _pairs(results: Sequence[SceneResult], class_id: int) -> tuple[Floats, Floats, Ints]:
    """Boxes (N, 5) in metres that were found, those that are there, and the number of the scene (N,)."""
    ours, theirs, scenes = [np.zeros((0, 5))], [np.zeros((0, 5))], [np.zeros(0, np.int64)]
    for i, result in enumerate(results):
        rows = np.flatnonzero((result.sure.classes == class_id) & (result.sure.truth[:, 0] >= 0))
        metres = np.array(result.pixel_m)
        ours.append(corners_to_boxes(result.sure.corners_scene[rows] * metres))
        theirs.append(corners_to_boxes(result.truth.corners_scene[result.sure.truth[rows, 0]] * metres))
        scenes.append(np.full(len(rows), i))
    return np.concatenate(ours), np.concatenate(theirs), np.concatenate(scenes)


def _mean(values: Floats) -> float:
    return float(np.mean(values))


def _sd(values: Floats) -> float:
    return float(np.std(values, ddof=1))


def _size(values: Floats) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(values**2)))
