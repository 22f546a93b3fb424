"""Figures of many resamples of the same scenes at once: intervals of one detector, differences between two.

A resample is how often each scene is in it. The sums of areas, lengths and counts follow by one product of
matrices. So does average precision: precision need be known only where a right detection stands, and there
the right and the wrong ones so far are a sum over scenes, each as often as the resample holds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.errors import DatasetError
from pithead.evaluation.figures import BUDGETS
from pithead.evaluation.result import IOUS, SceneResult
from pithead.intervals import Interval, bootstrap, drawn, interval_of
from pithead.metrics import NONE

Floats = npt.NDArray[np.float64]
Name = tuple[str, str]
"""A class (or "mean", or "lines") and a figure of it."""

TOLERANCE = 1e-9  # of a budget of false alarms: 0.1 × 10 km² is one, whatever the rounding
SAME_PX = 0.01
PARTS = 100  # resamples worked out together


@dataclass(frozen=True, slots=True)
class Steps:
    """The right detections of one class, surest first, and what each scene has down to each of them."""

    right: Floats
    """(H, S) right detections of each scene, this one included."""
    wrong: Floats
    """(H, S)"""
    truth: Floats
    """(S,)"""

    @classmethod
    def of(cls, results: Sequence[SceneResult], class_id: int, level: int = 0) -> "Steps":
        """The detections of all scenes at one of `IOUS`."""
        matches = [result.matches(level) for result in results]
        mine = [m.classes == class_id for m in matches]
        zero = np.zeros(0)
        scores = np.concatenate([zero, *(m.scores[k] for m, k in zip(matches, mine, strict=True))])
        hit = np.concatenate([zero, *(m.hit[k] for m, k in zip(matches, mine, strict=True))]).astype(np.bool_)
        scene = np.repeat(np.arange(len(results)), [int(k.sum()) for k in mine])
        order = np.argsort(-scores, kind="stable")
        hit, scene = hit[order], scene[order]
        step = np.concatenate([np.zeros(1, np.int64), np.cumsum(hit)])[:-1]  # the right one that comes next
        counts = np.zeros((2, int(hit.sum()) + 1, len(results)))
        np.add.at(counts, (hit.astype(np.int64), step, scene), 1.0)
        wrong, right = np.cumsum(counts, axis=1)[:, :-1]
        truth = np.array([(m.truth_classes == class_id).sum() for m in matches], np.float64)
        return cls(right, wrong, truth)

    def ap(self, weights: Floats) -> Floats:
        """Average precision, as `pithead.metrics.average_precision` has it, of each resample (R,)."""
        right, wrong = self.right @ weights.T, self.wrong @ weights.T
        precision = right / np.maximum(right + wrong, 1.0)
        falling = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        return _over((np.diff(right, axis=0, prepend=0.0) * falling).sum(axis=0), weights @ self.truth)

    def recall_within(self, weights: Floats, alarms: Floats) -> Floats:
        """The recall of each resample (R,) with at most so many false alarms (R,)."""
        right, wrong = self.right @ weights.T, self.wrong @ weights.T
        reached = np.where(wrong <= alarms + TOLERANCE, right, 0.0).max(axis=0, initial=0.0)
        return _over(reached, weights @ self.truth)


@dataclass(frozen=True, slots=True)
class Figures:
    """The main figures of one detector on some scenes, for any weights of the scenes."""

    names: tuple[Name, ...]
    steps: tuple[tuple[Steps, ...], ...]
    """Of each class, at each of `IOUS`."""
    ratios: tuple[tuple[Floats, Floats], ...]
    """(S,) what is divided, and by what, of each figure that is a ratio of sums."""
    km2: Floats

    @classmethod
    def of(cls, results: Sequence[SceneResult], card: Card, levels: int = len(IOUS)) -> "Figures":
        """Take apart results; `levels` 1 leaves out all but AP50."""
        known = [c.name for c in card.classes]
        steps = tuple(
            tuple(Steps.of(results, i, level) for level in range(levels)) for i in range(len(known))
        )
        ratios = _ratios(results, card)
        curved = ["ap50", "ap50_95", *(f"recall_at_{budget:g}" for budget in BUDGETS)]
        names = [(name, figure) for name in known for figure in curved]
        names += [("mean", "ap50"), ("mean", "ap50_95"), *ratios]
        km2 = np.array([r.area_km2 for r in results])
        return cls(tuple(names), steps, tuple(ratios.values()), km2)

    def __call__(self, weights: Floats) -> Floats:
        """Every figure of every resample: (R, S) to (R, F), NaN where one cannot be measured."""
        parts = [self._some(weights[i : i + PARTS]) for i in range(0, len(weights), PARTS)]
        return np.concatenate(parts)

    def _some(self, weights: Floats) -> Floats:
        columns: list[Floats] = []
        aps: list[tuple[Floats, Floats]] = []
        for levels in self.steps:
            ap = [level.ap(weights) for level in levels]
            aps.append((ap[0], np.asarray(np.mean(ap, axis=0))))
            alarms = [budget * (weights @ self.km2) for budget in BUDGETS]
            columns += [*aps[-1], *(levels[0].recall_within(weights, most) for most in alarms)]
        columns += [_known_mean([pair[k] for pair in aps]) for k in range(2)]
        columns += [_over(weights @ part, weights @ whole) for part, whole in self.ratios]
        return np.stack(columns, axis=1)


def intervals(results: Sequence[SceneResult], card: Card, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The 95 % interval [low, high] of each figure, by class (and "mean", "lines"); None where there is none.

    Sites are drawn, or scenes where nothing says which site they show.
    """
    figures = Figures.of(results, card)
    found = bootstrap(figures, [r.group for r in results], seed=seed)
    told: dict[str, dict[str, Any]] = {}
    for (of, figure), interval in zip(figures.names, found, strict=True):
        told.setdefault(of, {})[figure] = None if interval is None else [interval.low, interval.high]
    return told


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two detectors on the same scenes: what it is of each, and how far apart they are."""

    of: str
    """A class, "mean" for the mean over classes that have truth, or "lines"."""
    figure: str
    a: float | None
    b: float | None
    interval: Interval | None
    """Of a - b."""
    a_better: float | None
    """The share of resamples in which a's figure is the higher one; a tie counts half."""

    @property
    def difference(self) -> float | None:
        """How much higher the figure of a is."""
        return None if self.a is None or self.b is None else self.a - self.b

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and self.interval.leaves_out_zero


def compare(
    a: Sequence[SceneResult], b: Sequence[SceneResult], card: Card, *, seed: int = 0
) -> tuple[Difference, ...]:
    """Two detectors on the same scenes, the mean first, then class by class; both see the same resamples.

    The results may come from `evaluate_scene` or `result_of`, in any order; what either detector does well on
    easy scenes cancels out, so that the interval of the difference is narrower than those of the figures.

    Raises:
        DatasetError: They are not of the same scenes with the same truth.
    """
    a, b = (sorted(some, key=lambda r: r.scene) for some in (a, b))
    _check_same(a, b)
    first, second = (Figures.of(some, card) for some in (a, b))
    groups = [r.group for r in a]
    whole = np.ones((1, len(a)))
    stated = zip(first(whole)[0].tolist(), second(whole)[0].tolist(), strict=True)
    weights = drawn(groups, seed=seed)
    apart = first(weights) - second(weights)
    alone = len(set(groups)) < 2
    found = []
    for (of, figure), (x, y), column in zip(first.names, stated, apart.T, strict=True):
        known = column[~np.isnan(column)]
        share = float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else None
        left, right = (None if np.isnan(value) else float(value) for value in (x, y))
        found.append(Difference(of, figure, left, right, None if alone else interval_of(column), share))
    order = ["mean", *(known.name for known in card.classes), "lines"]
    return tuple(sorted(found, key=lambda d: order.index(d.of)))


def verdict(differences: Sequence[Difference], a: str, b: str, results: Sequence[SceneResult]) -> str:
    """Which of two detectors is better by mean AP50, by how much and how surely, as a sentence."""
    mean = next(d for d in differences if (d.of, d.figure) == ("mean", "ap50"))
    sites = len({r.about.site for r in results if r.about.site})
    on = f"{len(results)} scenes" + (f" of {sites} sites" if sites else "")
    if mean.difference is None or mean.a is None or mean.b is None:
        return f"{a} and {b} cannot be compared: no class has truth in {on}."
    if mean.interval is None:
        return (
            f"{a} has a mean AP50 of {mean.a:.3f}, {b} of {mean.b:.3f}, on {on}: too few to say how sure "
            "the difference is."
        )
    span = f"95 % interval {mean.interval.low:+.3f} to {mean.interval.high:+.3f}"
    if not mean.sure:
        return (
            f"Neither is shown to be better: mean AP50 {mean.a:.3f} of {a}, {mean.b:.3f} of {b}, difference "
            f"{mean.difference:+.3f} ({span}, {on})."
        )
    (best, top), (worst, low) = sorted([(a, mean.a), (b, mean.b)], key=lambda pair: -pair[1])
    return (
        f"{best} is better than {worst}: mean AP50 {top:.3f} against {low:.3f}, difference of {a} less {b} "
        f"{mean.difference:+.3f} ({span}, {on})."
    )


def _check_same(a: Sequence[SceneResult], b: Sequence[SceneResult]) -> None:
    only = sorted({r.scene for r in a} ^ {r.scene for r in b})
    if only or not a or len(a) != len(b):
        raise DatasetError(
            f"expected results of the same scenes to compare, got {len(a)} and {len(b)} of which "
            f"{', '.join(only[:3]) or 'none'} are in one only; measure both on the same folder"
        )
    for x, y in zip(a, b, strict=True):
        same = x.truth.classes.tolist() == y.truth.classes.tolist() and np.allclose(
            x.truth.corners_scene, y.truth.corners_scene, rtol=0, atol=SAME_PX
        )
        if not same:
            raise DatasetError(
                f"expected the same truth of {x.scene} on both sides, got another; measure both with the "
                "same labels, and weights of the same ground resolution"
            )


def _ratios(results: Sequence[SceneResult], card: Card) -> dict[Name, tuple[Floats, Floats]]:
    """What is divided by what, scene by scene."""
    found: dict[Name, tuple[Floats, Floats]] = {}
    km2 = np.array([r.area_km2 for r in results])
    for i, known in enumerate(card.classes):
        number = [r.sure.truth[r.sure.classes == i, 0] for r in results]
        right, wrong = (
            np.array([int((test(n)).sum()) for n in number], float) for test in (_is_right, _is_wrong)
        )
        truth = np.array([(r.truth.classes == i).sum() for r in results], float)
        found[known.name, "precision"] = right, right + wrong
        found[known.name, "recall"] = right, truth
        found[known.name, "f1"] = 2 * right, right + wrong + truth
        found[known.name, "false_alarms_per_km2"] = wrong, km2
        if known.geometry != "line":
            areas = [r.areas[known.name] for r in results]
            shared, both = ([2 * x.shared for x in areas], [x.predicted + x.truth for x in areas])
            found[known.name, "area_f1"] = np.array(shared), np.array(both)
    lines = [r.lines for r in results]
    matched, predicted = (
        np.array([x.matched_predicted_m for x in lines]),
        np.array([x.predicted_m for x in lines]),
    )
    there, all_truth = np.array([x.matched_truth_m for x in lines]), np.array([x.truth_m for x in lines])
    found["lines", "completeness"] = there, all_truth
    found["lines", "correctness"] = matched, predicted
    found["lines", "quality"] = matched, predicted + all_truth - there
    return found


def _is_right(number: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.asarray(number >= 0, np.bool_)


def _is_wrong(number: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.asarray(number == NONE, np.bool_)


def _over(part: Floats, whole: Floats) -> Floats:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def _known_mean(columns: Sequence[Floats]) -> Floats:
    """The mean over the classes that each resample can measure."""
    values = np.stack(columns)
    known = ~np.isnan(values)
    return _over(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))
