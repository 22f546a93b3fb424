"""Lines as objects that are found or missed, and how far those that are found are from the true ones."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import shapely

from pithead.card import LineErrors
from pithead.evaluation.objects import Objects
from pithead.evaluation.result import Course, SceneResult
from pithead.evaluation.scene import NEAR_M
from pithead.metrics import LineResult, match

Floats = npt.NDArray[np.float64]
Pair = tuple[shapely.LineString, shapely.LineString]

HALF = 0.5
"""A line is found, or right, from this share of its length on."""

STEP_M = 1.0
"""How far apart the places are at which the distance between lines is taken."""

FEWEST = 2
"""Pairs without which nothing is said of how errors scatter."""


def lines_of(results: Sequence[SceneResult]) -> Objects:
    """Half of a line has to be drawn for it to be found, and half of what is drawn has to be there."""
    truth = [(line, i) for i, result in enumerate(results) for line in result.true_lines]
    right, wrong = np.zeros((2, len(results)), np.int64)
    for i, result in enumerate(results):
        near = shapely.buffer(shapely.union_all(_metres(result, result.true_lines)), NEAR_M)
        for drawn, shape in zip(result.found_lines, _metres(result, result.found_lines), strict=True):
            true_m = float(shapely.intersection(shape, near).length)
            # What is neither there nor lacking runs along an ignored line.
            ignored_m = drawn.length_m - true_m - drawn.lacking_m
            is_right = true_m >= HALF * drawn.length_m
            right[i] += is_right
            wrong[i] += not is_right and ignored_m < HALF * drawn.length_m
    return Objects(
        sizes_m=np.array([line.length_m for line, _ in truth], np.float64),
        found=np.array([line.lacking_m <= HALF * line.length_m for line, _ in truth], np.bool_),
        scenes=np.array([i for _, i in truth], np.int64),
        right=right,
        wrong=wrong,
    )


def line_errors(results: Sequence[SceneResult]) -> LineErrors:
    """How far lines are from the true ones; None of what these scenes cannot tell."""
    lengths = sum((r.lines for r in results), LineResult(0, 0, 0, 0))
    pairs = [pair for result in results for pair in _pairs(result)]
    rings = [pair for pair in pairs if pair[0].is_ring and pair[1].is_ring]
    length = _spread(pairs, lambda line: float(line.length))
    area = _spread(rings, lambda line: float(shapely.Polygon(line).area))
    offsets = np.concatenate([np.zeros(0), *map(_offsets, results)])
    return LineErrors(
        completeness=lengths.completeness,
        correctness=lengths.correctness,
        offset_m=float(np.sqrt(np.mean(offsets**2))) if len(offsets) else None,
        length_bias=length[0],
        length_sd=length[1],
        pairs=len(pairs),
        rings=len(rings),
        area_bias=area[0],
        area_sd=area[1],
    )


def _pairs(result: SceneResult) -> list[Pair]:
    """Lines found and true, one to one: at least half of each lies near the other."""
    ours, theirs = _metres(result, result.found_lines), _metres(result, result.true_lines)
    shares = np.zeros((len(ours), len(theirs)))
    for i, drawn in enumerate(ours):
        for j, true in enumerate(theirs):
            shares[i, j] = min(_near(drawn, true), _near(true, drawn))
    scores = [line.score or 0.0 for line in result.found_lines]
    number = match(scores, shares, HALF) if shares.size else np.zeros(0, np.int64)
    return [(ours[i], theirs[j]) for i, j in enumerate(number) if j >= 0]


def _near(one: shapely.LineString, other: shapely.LineString) -> float:
    """The share of one line that lies near another."""
    if not one.length:
        return 0.0
    return float(shapely.intersection(one, shapely.buffer(other, NEAR_M)).length / one.length)


def _spread(
    pairs: Sequence[Pair], measure: Callable[[shapely.LineString], float]
) -> tuple[float | None, float | None]:
    """Mean and standard deviation of ln(found / true); None of fewer than two pairs."""
    sizes = np.array([[measure(drawn), measure(true)] for drawn, true in pairs]).reshape(-1, 2)
    sizes = sizes[(sizes > 0).all(axis=1)]
    if len(sizes) < FEWEST:
        return None, None
    ratios = np.log(sizes[:, 0] / sizes[:, 1])
    return float(np.mean(ratios)), float(np.std(ratios, ddof=1))


def _offsets(result: SceneResult) -> Floats:
    """How far what is drawn is from the nearest true line, metre by metre, where that is near."""
    truth = shapely.union_all(_metres(result, result.true_lines))
    drawn = _metres(result, result.found_lines)
    if truth.is_empty or not drawn:
        return np.zeros(0)
    places = [
        shapely.line_interpolate_point(line, np.arange(STEP_M / 2, line.length, STEP_M)) for line in drawn
    ]
    far = np.asarray(shapely.distance(np.concatenate(places), truth), np.float64)
    return far[far <= NEAR_M]


def _metres(result: SceneResult, lines: Sequence[Course]) -> list[shapely.LineString]:
    """Lines in metres; a ring comes back to where it began."""
    points = [line.points_scene * np.array(result.pixel_m) for line in lines]
    return [
        shapely.LineString(np.vstack([one, one[:1]]) if line.closed else one)
        for line, one in zip(lines, points, strict=True)
    ]
