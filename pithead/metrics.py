"""How good detections are: matching, average precision, areas, lines, false alarms.

Everything is counted per scene and added up before it is divided, so that scenes weigh by what they hold.
What cannot be measured (no truth, no prediction) is None, never 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely

from pithead.geometry import boxes_to_corners, rotated_iou

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Method = Literal["all_point", "101_point"]

NONE, LEFT_OUT = -1, -2  # instead of the truth that a prediction finds
IGNORED_FROM = 0.5  # a prediction with at least this share of its area in an ignored region is not counted


@dataclass(frozen=True, slots=True)
class Matches:
    """What was predicted in one scene or more: scores, classes, hit (N,), and the truth's classes (M,).

    Predictions in ignored regions are not among them.
    """

    scores: Floats
    classes: Ints
    hit: Bools
    truth_classes: Ints


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class at one IoU: ap over all scores; counts and what follows from them at `threshold`."""

    class_id: int
    threshold: float
    ap: float | None
    n_truth: int
    true_positives: int
    false_positives: int

    @property
    def precision(self) -> float | None:
        """Share of the predictions that are right."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the truth that is found."""
        return _ratio(self.true_positives, self.n_truth)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.true_positives, self.true_positives + self.false_positives + self.n_truth)


@dataclass(frozen=True, slots=True)
class AreaResult:
    """Areas of the unions: predicted, true and shared, in the square of the unit they came in."""

    shared: float
    predicted: float
    truth: float

    @property
    def precision(self) -> float | None:
        """Share of the predicted area that is right."""
        return _ratio(self.shared, self.predicted)

    @property
    def recall(self) -> float | None:
        """Share of the true area that is found."""
        return _ratio(self.shared, self.truth)

    @property
    def f1(self) -> float | None:
        """2 · shared / (predicted + truth)."""
        return _ratio(2 * self.shared, self.predicted + self.truth)

    def __add__(self, other: "AreaResult") -> "AreaResult":
        """Both scenes together."""
        return AreaResult(
            self.shared + other.shared, self.predicted + other.predicted, self.truth + other.truth
        )


@dataclass(frozen=True, slots=True)
class LineResult:
    """Lengths in metres: of predicted and true lines, and of each the part inside the other's buffer."""

    matched_predicted_m: float
    predicted_m: float
    matched_truth_m: float
    truth_m: float

    @property
    def completeness(self) -> float | None:
        """Share of the true length that is found."""
        return _ratio(self.matched_truth_m, self.truth_m)

    @property
    def correctness(self) -> float | None:
        """Share of the predicted length that is right."""
        return _ratio(self.matched_predicted_m, self.predicted_m)

    @property
    def quality(self) -> float | None:
        """Matched predicted length / (predicted length + true length not found)."""
        return _ratio(self.matched_predicted_m, self.predicted_m + self.truth_m - self.matched_truth_m)

    def __add__(self, other: "LineResult") -> "LineResult":
        """Both scenes together."""
        return LineResult(
            self.matched_predicted_m + other.matched_predicted_m,
            self.predicted_m + other.predicted_m,
            self.matched_truth_m + other.matched_truth_m,
            self.truth_m + other.truth_m,
        )


def match(scores: npt.ArrayLike, overlaps: npt.ArrayLike, iou: float = 0.5) -> Ints:
    """The truth that each prediction finds, (N,), -1 for none: one to one, the surest prediction first.

    Each takes the best truth still free with an overlap (N, M) of at least `iou`, as COCO does. Equal scores
    go by their order.
    """
    free = np.array(overlaps, dtype=np.float64, ndmin=2)
    found = np.full(len(free), NONE, dtype=np.int64)
    if free.size:
        order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        most = free.max(axis=1)[order]  # the many that come near nothing are not gone through
        for i in order[(most >= iou) & (most > 0)]:
            best = int(np.argmax(free[i]))
            if free[i, best] >= iou and free[i, best] > 0:
                found[i] = best
                free[:, best] = -1.0
    return found


@dataclass(frozen=True, slots=True)
class Objects:
    """Oriented boxes (N, 5) of one scene and their classes (N,); class -1 stands for any class."""

    boxes: Floats
    classes: Ints

    @classmethod
    def of(cls, boxes: npt.ArrayLike = (), classes: npt.ArrayLike = ()) -> "Objects":
        """Take anything that numpy makes such arrays of."""
        return cls(_boxes(boxes), _ints(classes))


def truth_found(
    found: Objects, scores: npt.ArrayLike, truth: Objects, ignored: Objects, ious: Sequence[float] = (0.5,)
) -> Ints:
    """Which truth each prediction finds at each IoU, (N, K): its index, `NONE`, or `LEFT_OUT`.

    Each class is matched by itself. A prediction that finds no truth, and of whose area at least half lies in
    one ignored region of its class, is neither right nor wrong and is left out.
    """
    score = np.asarray(scores, dtype=np.float64).reshape(-1)
    number = np.full((len(found.boxes), len(ious)), NONE, dtype=np.int64)
    for class_id in np.unique(found.classes):
        mine, theirs = np.flatnonzero(found.classes == class_id), np.flatnonzero(truth.classes == class_id)
        overlaps = rotated_iou(found.boxes[mine], truth.boxes[theirs])
        for k, iou in enumerate(ious):
            of = match(score[mine], overlaps, iou)
            number[mine[of >= 0], k] = theirs[of[of >= 0]]
    same = (found.classes[:, None] == ignored.classes) | (ignored.classes == -1)
    doubtful = ((_inside(found.boxes, ignored.boxes) >= IGNORED_FROM) & same).any(axis=1)
    number[doubtful[:, None] & (number == NONE)] = LEFT_OUT
    return number


def match_scene(
    boxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    classes: npt.ArrayLike,
    truth_boxes: npt.ArrayLike,
    truth_classes: npt.ArrayLike,
    ignored_boxes: npt.ArrayLike = (),
    ignored_classes: npt.ArrayLike = (),
    *,
    iou: float = 0.5,
) -> Matches:
    """Match the oriented boxes (N, 5) of one scene with its truth (M, 5), as `truth_found` does.

    What lies in ignored regions (J, 5) is left out of what comes back.
    """
    found, truth = Objects.of(boxes, classes), Objects.of(truth_boxes, truth_classes)
    number = truth_found(found, scores, truth, Objects.of(ignored_boxes, ignored_classes), (iou,))[:, 0]
    kept = number != LEFT_OUT
    score = np.asarray(scores, dtype=np.float64).reshape(-1)
    return Matches(score[kept], found.classes[kept], number[kept] != NONE, truth.classes)


def join(matches: Iterable[Matches]) -> Matches:
    """The matches of several scenes as one, in order."""
    several = [Matches(np.zeros(0), _ints(()), np.zeros(0, dtype=np.bool_), _ints(())), *matches]
    return Matches(
        np.concatenate([m.scores for m in several]),
        np.concatenate([m.classes for m in several]),
        np.concatenate([m.hit for m in several]),
        np.concatenate([m.truth_classes for m in several]),
    )


def ap_by_class(
    matches: Iterable[Matches], thresholds: Sequence[float], method: Method = "all_point"
) -> tuple[ClassResult, ...]:
    """One result for each class 0, 1, … of which `thresholds` gives the score to count at."""
    every = join(matches)
    results = []
    for class_id, threshold in enumerate(thresholds):
        mine = every.classes == class_id
        scores, hit = every.scores[mine], every.hit[mine]
        n_truth = int((every.truth_classes == class_id).sum())
        counted = hit[scores >= threshold]
        n_hit = int(counted.sum())
        ap = average_precision(scores, hit, n_truth, method)
        results.append(ClassResult(class_id, threshold, ap, n_truth, n_hit, len(counted) - n_hit))
    return tuple(results)


def average_precision(
    scores: npt.ArrayLike, hit: npt.ArrayLike, n_truth: int, method: Method = "all_point"
) -> float | None:
    """The area under precision over recall, precision made to fall; None without truth.

    "all_point" is the exact area of the steps (Pascal VOC 2010); "101_point" the mean of the precision at
    recall 0, 0.01, …, 1 (COCO). Both leave 0 beyond the recall reached. Hits 1, 0, 1 of 2 truths: precision
    1, 1/2, 2/3, so 1 · 0.5 + 2/3 · 0.5 = 0.8333, or (51 · 1 + 50 · 2/3) / 101 = 0.8350 by 101 points.
    """
    if n_truth == 0:
        return None
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    hits = np.cumsum(np.asarray(hit, dtype=np.bool_)[order])
    recall = hits / n_truth
    precision = hits / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "all_point":
        return float((np.diff(recall, prepend=0.0) * falling).sum())
    places = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.append(falling, 0.0)[places].mean())


def best_threshold(scores: npt.ArrayLike, hit: npt.ArrayLike, n_truth: int) -> float | None:
    """The score at which F1 is highest (the higher one of equals); None without predictions or truth."""
    score = np.asarray(scores, dtype=np.float64)
    if n_truth == 0 or len(score) == 0:
        return None
    order = np.argsort(-score, kind="stable")
    falling, hits = score[order], np.cumsum(np.asarray(hit, dtype=np.bool_)[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + n_truth)
    f1[:-1][falling[:-1] == falling[1:]] = -1.0  # equal scores come or go together
    return float(falling[int(np.argmax(f1))])


def area_f1(
    predicted: Sequence[npt.ArrayLike], truth: Sequence[npt.ArrayLike], ignored: Sequence[npt.ArrayLike] = ()
) -> AreaResult:
    """Compare the union of outlines (K, 2) with the union of the true ones; its `.f1` is what the name says.

    Predicted area in ignored regions and outside the truth is not counted.
    """
    found, true, regions = (shapely.union_all(_outlines(some)) for some in (predicted, truth, ignored))
    found = shapely.difference(found, shapely.difference(regions, true))
    return AreaResult(float(shapely.intersection(found, true).area), float(found.area), float(true.area))


def line_quality(
    predicted: Sequence[npt.ArrayLike],
    truth: Sequence[npt.ArrayLike],
    buffer_m: float = 10.0,
    ignored: Sequence[npt.ArrayLike] = (),
) -> LineResult:
    """Compare lines (K, 2) in metres with the true ones by buffers of `buffer_m` round each.

    A closed line repeats its first point; what two lines share counts once. Predicted length near an ignored
    line and not near a true one is not counted.

    C. Wiedemann, C. Heipke, H. Mayer and O. Jamet: Empirical evaluation of automatically extracted road axes.
    In: Empirical Evaluation Techniques in Computer Vision, IEEE, 1998.
    """
    found, true, doubtful = (shapely.union_all(_lines(some)) for some in (predicted, truth, ignored))
    near_truth = shapely.buffer(true, buffer_m)
    right = shapely.intersection(found, near_truth).length
    beside = shapely.difference(found, near_truth)
    wrong = shapely.difference(beside, shapely.buffer(doubtful, buffer_m)).length
    matched = shapely.intersection(true, shapely.buffer(found, buffer_m)).length
    return LineResult(float(right), float(right + wrong), float(matched), float(true.length))


def line_parts(
    lines: Sequence[npt.ArrayLike],
    others: Sequence[npt.ArrayLike],
    buffer_m: float = 10.0,
    ignored: Sequence[npt.ArrayLike] = (),
) -> list[tuple[float, float]]:
    """Of each line (K, 2) its length and how much of it lies farther than `buffer_m` from all the others.

    What lies near an ignored line is not counted as far from the others.
    """
    near = shapely.buffer(shapely.union_all(_lines([*others, *ignored])), buffer_m)
    return [(float(line.length), float(shapely.difference(line, near).length)) for line in _lines(lines)]


def false_alarms_per_km2(result: ClassResult, area_km2: float) -> float:
    """Wrong detections of a class at its threshold, per square kilometre looked at.

    Raises:
        ValueError: if the area is not above 0.
    """
    if not area_km2 > 0:
        raise ValueError(f"expected an area above 0 km², got {area_km2}: sum up the valid area of the scenes")
    return result.false_positives / area_km2


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _boxes(boxes: npt.ArrayLike) -> Floats:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 5)


def _ints(values: npt.ArrayLike) -> Ints:
    return np.asarray(values, dtype=np.int64).reshape(-1)


def _inside(boxes: Floats, regions: Floats) -> Floats:
    """The share of each box's area that lies in each region: (N, J)."""
    share = np.zeros((len(boxes), len(regions)))
    if share.size:
        a, b = (np.asarray(shapely.polygons(boxes_to_corners(x)), dtype=object) for x in (boxes, regions))
        rows, columns = shapely.STRtree(b).query(a)
        areas = boxes[:, 2] * boxes[:, 3]
        solid = (areas[rows] > 0) & (regions[columns, 2] * regions[columns, 3] > 0)
        rows, columns = rows[solid], columns[solid]
        share[rows, columns] = shapely.area(shapely.intersection(a[rows], b[columns])) / areas[rows]
    return share


def _outlines(some: Sequence[npt.ArrayLike]) -> list[shapely.Geometry]:
    """Polygons only: GEOS cannot intersect a union of areas with one in which lines or points are left."""
    made = [shapely.make_valid(shapely.Polygon(np.asarray(points, dtype=np.float64))) for points in some]
    parts = shapely.get_parts(
        shapely.get_parts(np.array(made, dtype=object))
    )  # of collections, then of these
    return [part for part in parts if part.area > 0]


def _lines(some: Sequence[npt.ArrayLike]) -> list[shapely.LineString]:
    return [shapely.LineString(np.asarray(points, dtype=np.float64)) for points in some]
