"""The objects of one class over all scenes, and which of them a plain scan finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pithead.card import Rate, SizeRecall
from pithead.evaluation import dispersion
from pithead.evaluation.result import SceneResult
from pithead.metrics import NONE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Objects:
    """What is there (N) and what was found, in S scenes."""

    sizes_m: Floats
    """(N,) Long side, or length of a line."""
    found: Bools
    """(N,)"""
    scenes: Ints
    """(N,) The number of the scene of each."""
    right: Ints
    """(S,) How many detections of a scene are right; the rest is not counted or false."""
    wrong: Ints
    """(S,)"""

    @property
    def rate(self) -> Rate:
        """How many were found, and how many of those are right."""
        right = int(self.right.sum())
        return Rate(right + int(self.wrong.sum()), right)

    def by_size(self, edges_m: Sequence[float]) -> tuple[SizeRecall, ...]:
        """Recall between each two edges."""
        return _recall(self.sizes_m, self.found, edges_m)

    def by_gsd(self, gsds_m: Floats, edges_m: Sequence[float]) -> tuple[SizeRecall, ...]:
        """Recall by metres per pixel of the scenes (S,)."""
        return _recall(gsds_m[self.scenes], self.found, edges_m)

    def recall_dispersion(self, edges_m: Sequence[float]) -> float:
        """How much more alike objects of a scene fare than chance makes them, size allowed for."""
        return dispersion.of_recall(
            self.found, np.searchsorted(edges_m, self.sizes_m, side="right"), self.scenes
        )

    def alarm_dispersion(self, km2: Floats) -> float:
        """The same of false alarms in scenes of so many km² (S,)."""
        return dispersion.of_counts(self.wrong.astype(np.float64), km2)


def boxes_of(results: Sequence[SceneResult], class_id: int) -> Objects:
    """The objects of a class of boxes or strips; found is what a detection overlaps by an IoU of 0.5."""
    sizes, found, scenes = [np.zeros(0)], [np.zeros(0, np.bool_)], [np.zeros(0, np.int64)]
    right, wrong = np.zeros((2, len(results)), np.int64)
    for i, result in enumerate(results):
        mine = result.truth.classes == class_id
        number = result.sure.truth[result.sure.classes == class_id, 0]
        is_found = np.zeros(len(mine), np.bool_)
        is_found[number[number >= 0]] = True
        sizes.append(result.truth.sizes_m[mine])
        found.append(is_found[mine])
        scenes.append(np.full(int(mine.sum()), i))
        right[i], wrong[i] = int((number >= 0).sum()), int((number == NONE).sum())
    return Objects(np.concatenate(sizes), np.concatenate(found), np.concatenate(scenes), right, wrong)


def _recall(values: Floats, found: Bools, edges: Sequence[float]) -> tuple[SizeRecall, ...]:
    """Between each two edges, how many there are, and how many of them are found."""
    rows = []
    for low, high in pairwise(edges):
        mine = (values >= low) & (values < high)
        rows.append(SizeRecall(low, high, int(mine.sum()), int((mine & found).sum())))
    return tuple(rows)
