"""What to label next: how unsure a model is of a tile, what the tile looks like, and which tiles to take.

A person labels a few hundred tiles, of an archive of millions. The best ones are those that the model is
unsure of, that do not look like each other, and that come from all sites and seasons.

B. Settles: Active Learning Literature Survey. University of Wisconsin–Madison, 2009 (uncertainty sampling).
O. Sener and S. Savarese: Active Learning for Convolutional Neural Networks: A Core-Set Approach. ICLR 2018
(farthest-first choice in an embedding).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.errors import OptionError
from pithead.geometry import Window, rotated_iou
from pithead.metrics import match

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]

PER_CLASS = 5
"""Rows of a class that count: a fence of thirty spans is no thirty doubts."""

_CELLS = 8  # a tile is described by the statistics of 8 × 8 cells
_ORIENTATIONS = 8
_SMALLEST = 1e-6
_BESIDE = 0.5  # how much the neighbour of a chosen tile is worth still


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tile that could be labelled: where it is, and what speaks for it.

    `window` is in one frame per scene (grid px); `uncertainty` and `disagreement` (C,) are by class;
    `embedding` (D,) is what `describe` gives.
    """

    scene: str
    window: Window
    site: str
    season: str
    uncertainty: Floats
    disagreement: Floats
    embedding: Floats

    @property
    def doubt(self) -> Floats:
        """Uncertainty and disagreement together, by class (C,)."""
        return self.uncertainty + self.disagreement


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen candidate: its index, and its worth when it was chosen (doubt, novelty, balance)."""

    index: int
    worth: float
    novelty: float


def odds(scores: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """Scores (N,) as chances that a person would agree: 1/2 at the threshold, by a shift of the logits."""
    s, t = (np.clip(np.asarray(v, np.float64), _SMALLEST, 1 - _SMALLEST) for v in (scores, thresholds))
    out: Floats = 1 / (1 + np.exp(np.log(t / (1 - t)) - np.log(s / (1 - s))))
    return out


def entropy(chances: npt.ArrayLike) -> Floats:
    """Bits of doubt of chances (N,): 1 at 1/2, 0 at 0 and 1."""
    p = np.clip(np.asarray(chances, np.float64), _SMALLEST, 1 - _SMALLEST)
    out: Floats = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return out


def uncertainty(rows: Rows, thresholds: Sequence[float]) -> Floats:
    """Bits of doubt in one tile by class (C,): of each the five rows nearest to its threshold, added up.

    Args:
        rows: (k, 7) of `detect` with a low threshold: box, score, class.
        thresholds: Of each class.
    """
    classes = rows[:, 6].astype(np.int64)
    bits = entropy(odds(rows[:, 5], np.asarray(thresholds)[classes]))
    return _top(bits, classes, len(thresholds))


def disagreement(first: Rows, second: Rows, thresholds: Sequence[float], iou: float = 0.5) -> Floats:
    """How far two models differ about one tile, by class (C,): the five largest differences, added up.

    A box that both found (one to one, IoU from `iou`) counts by how far their chances differ, a box that only
    one found by its chance. The same rows twice give 0.
    """
    of = np.asarray(thresholds)
    differences: list[Floats] = []
    classes: list[npt.NDArray[np.int64]] = []
    for class_id in range(len(thresholds)):
        a, b = (rows[rows[:, 6] == class_id] for rows in (first, second))
        p, q = (odds(rows[:, 5], of[class_id]) for rows in (a, b))
        found = match(a[:, 5], rotated_iou(a[:, :5], b[:, :5]), iou)
        alone = np.ones(len(b), dtype=np.bool_)
        alone[found[found >= 0]] = False
        both = np.flatnonzero(found >= 0)
        mine = p.copy()
        mine[both] = np.abs(p[both] - q[found[both]])
        differences += [mine, q[alone]]
        classes.append(np.full(len(mine) + int(alone.sum()), class_id))
    return _top(np.concatenate(differences), np.concatenate(classes), len(thresholds))


def describe(pixels: npt.NDArray[np.uint8]) -> Floats:
    """What a tile (H, W, 3) looks like, as 36 numbers that do not say where in it things are.

    Mean, deviation and 90th percentile over 8 × 8 cells of: three mean colours, contrast, and a histogram of
    eight orientations of the gradient weighted by its strength. Tiles of the same ground moved by some
    pixels, or of the same kind of ground, lie close to each other.

    N. Dalal and B. Triggs: Histograms of Oriented Gradients for Human Detection. CVPR 2005.
    """
    side = min(pixels.shape[:2]) // _CELLS
    cut = pixels[: side * _CELLS, : side * _CELLS].astype(np.float32) / 255
    grey = cut.mean(axis=2)
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    turn = np.floor((np.arctan2(down, right) % math.pi) / math.pi * _ORIENTATIONS).astype(np.int64)
    planes = [
        cut[..., 0],
        cut[..., 1],
        cut[..., 2],
        (grey - _mean(grey, side).repeat(side, 0).repeat(side, 1)) ** 2,
    ]
    planes += [strength * (turn % _ORIENTATIONS == k) for k in range(_ORIENTATIONS)]
    cells = np.stack([_mean(plane, side).ravel() for plane in planes], axis=1)
    cells[:, 3:] = np.sqrt(cells[:, 3:])
    parts = [cells.mean(axis=0), cells.std(axis=0), np.quantile(cells, 0.9, axis=0)]
    return np.concatenate(parts).astype(np.float64)


def choose(candidates: Sequence[Candidate], count: int) -> list[Pick]:
    """The best `count` candidates, best first: unsure, unlike each other, from all sites and seasons.

    Each next one has the most doubt (`doubts_of`) × novelty ÷ (1 + how many its site and season have).
    Novelty is 0 for the twin of a chosen tile and 1 from the median distance of tiles on; beside a chosen
    tile of its scene it is halved. Equals go by their order, so the same candidates give the same choice.

    Raises:
        OptionError: fewer candidates than asked for, or none asked for.
    """
    if not 1 <= count <= len(candidates):
        raise OptionError(
            f"expected a count of 1 to {len(candidates)} tiles (as many as there are), got {count}: "
            "ask for fewer or give more scenes"
        )
    features = _standard(np.stack([c.embedding for c in candidates]))
    doubt = doubts_of(candidates)
    groups = _numbers([(c.site, c.season) for c in candidates])
    taken = np.zeros(groups.max() + 1)
    novelty, beside = np.ones(len(candidates)), np.ones(len(candidates))
    usual, scenes = _usual_distance(features), _by_scene(candidates)
    picks: list[Pick] = []
    left = np.ones(len(candidates), dtype=np.bool_)
    for _ in range(count):
        worth = np.where(left, doubt * (novelty * beside + _SMALLEST) / (1 + taken[groups]), -1.0)
        best = int(np.argmax(worth))
        picks.append(Pick(best, float(worth[best]), float(novelty[best] * beside[best])))
        left[best] = False
        taken[groups[best]] += 1
        distance = np.sqrt(((features - features[best]) ** 2).sum(axis=1))
        novelty = np.minimum(novelty, np.minimum(1.0, distance / usual))
        beside[_neighbours(candidates, scenes[candidates[best].scene], best)] = _BESIDE
    return picks


def doubts_of(candidates: Sequence[Candidate]) -> Floats:
    """The doubt of each candidate (N,): that of each class over its mean, added up.

    So a class of which a model has few doubts, being rare, counts as much as one that is everywhere.
    """
    by_class = np.stack([c.doubt for c in candidates])
    mean = by_class.mean(axis=0)
    out: Floats = (by_class / np.where(mean > 0, mean, 1.0)).sum(axis=1) + _SMALLEST
    return out


def season_of(date: str | None, latitude: float | None = None) -> str:
    """The season of a date (ISO 8601) at a latitude (the north without one); "unknown" without a date."""
    try:
        month = int(str(date)[5:7])
        names = ("winter", "spring", "summer", "autumn")
        return names[(month % 12 // 3 + (2 if (latitude or 0) < 0 else 0)) % 4]
    except ValueError:
        return "unknown"


def _top(values: Floats, classes: npt.NDArray[np.int64], n: int) -> Floats:
    return np.array([np.sort(values[classes == k])[::-1][:PER_CLASS].sum() for k in range(n)], np.float64)


def _mean(plane: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    out: npt.NDArray[np.float32] = plane.reshape(_CELLS, side, _CELLS, side).mean(axis=(1, 3))
    return out


def _standard(features: Floats) -> Floats:
    deviation = features.std(axis=0)
    out: Floats = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return out


def _usual_distance(features: Floats) -> float:
    """The median distance between tiles, of up to 512 spread over them; above 0."""
    some = features[:: max(1, len(features) // 512)]
    square = (some**2).sum(axis=1)
    distances = np.sqrt(np.maximum(square[:, None] + square - 2 * some @ some.T, 0))
    upper = distances[np.triu_indices(len(some), 1)]
    return max(float(np.median(upper)) if len(upper) else 1.0, _SMALLEST)


def _numbers(keys: Sequence[tuple[str, str]]) -> npt.NDArray[np.int64]:
    number = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([number[key] for key in keys], dtype=np.int64)


def _by_scene(candidates: Sequence[Candidate]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, candidate in enumerate(candidates):
        found.setdefault(candidate.scene, []).append(i)
    return found


def _neighbours(candidates: Sequence[Candidate], scene: Sequence[int], chosen: int) -> list[int]:
    """The tiles among those of its scene that touch or overlap the chosen one."""
    a = candidates[chosen].window
    windows = ((i, candidates[i].window) for i in scene)
    return [
        i
        for i, b in windows
        if max(a.x, b.x) <= min(a.right, b.right) and max(a.y, b.y) <= min(a.bottom, b.bottom)
    ]
