"""How far two annotators of the same scenes agree: the ceiling of any figure measured on their labels.

Everything is counted on both sides alike, so that neither annotator is the truth. What one of them called
"possible", or a heap of another material, is a region in which the other may have an object or none: it is
neither agreement nor disagreement.

J. Cohen: A Coefficient of Agreement for Nominal Scales. Educational and Psychological Measurement 20, 1960.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely
from scipy.optimize import linear_sum_assignment
from shapely.geometry.base import BaseGeometry

from pithead.classes import ClassList
from pithead.geometry import polygon_iou
from pithead.labels.label import Floats, Label
from pithead.metrics import AreaResult, LineResult, line_quality

THRESHOLDS = (0.3, 0.5)
LINE_HALF_M = 10.0  # an open perimeter is compared as a band of this half width
SHARE_IGNORED = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """One object that both have drawn: indices of the labels, and their overlap."""

    first: int
    second: int
    iou: float


@dataclass(frozen=True, slots=True)
class Counts:
    """One class in one scene or more: pairs by least IoU, and what only one of the two has.

    `pairs` and `alone` are by the thresholds of `THRESHOLDS`; `alone` counts both annotators' labels.
    """

    pairs: tuple[int, ...] = (0,) * len(THRESHOLDS)
    alone: tuple[int, ...] = (0,) * len(THRESHOLDS)
    ious: tuple[float, ...] = ()
    area: AreaResult = field(default_factory=lambda: AreaResult(0.0, 0.0, 0.0))

    def f1(self, number: int) -> float | None:
        """2 · pairs / (labels of both) at a threshold; None without labels."""
        whole = 2 * self.pairs[number] + self.alone[number]
        return 2 * self.pairs[number] / whole if whole else None

    @property
    def median_iou(self) -> float | None:
        """Of the pairs at the lowest threshold."""
        return float(np.median(self.ious)) if self.ious else None

    def __add__(self, other: "Counts") -> "Counts":
        """Both scenes together."""
        return Counts(
            tuple(a + b for a, b in zip(self.pairs, other.pairs, strict=True)),
            tuple(a + b for a, b in zip(self.alone, other.alone, strict=True)),
            self.ious + other.ious,
            self.area + other.area,
        )


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A label on which the two do not agree: whose (0 or 1), which, and in what."""

    annotator: int
    index: int
    why: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """All of one scene, or of several: counts by class id, lines, pairs of classes, disagreements.

    `confusion` (C + 1, C + 1) counts objects by the class that each annotator gave; the last row and column
    are "nothing", which is where what only one has drawn stands.
    """

    counts: dict[int, Counts]
    lines: LineResult
    confusion: npt.NDArray[np.int64]
    disagreements: tuple[Disagreement, ...] = ()

    def __add__(self, other: "Agreement") -> "Agreement":
        """Both scenes together, without the lists of disagreements, which are of one scene each."""
        return Agreement(
            {k: self.counts[k] + other.counts[k] for k in self.counts},
            self.lines + other.lines,
            self.confusion + other.confusion,
        )


def compare(first: Sequence[Label], second: Sequence[Label], classes: ClassList, gsd_m: float) -> Agreement:
    """Compare the labels of one scene, both in its px.

    Objects are paired one to one across classes so that the sum of the IoU is largest, from 0.3 on. A label
    that is unsure (weight "ignore") can be a partner, of which nothing is counted then; a sure one without
    partner, half of which lies in an unsure one of the other, is not counted either.
    """
    sides = tuple([label for label in side if label.weight != "negative"] for side in (first, second))
    shapes = tuple([_outline(label, gsd_m) for label in side] for side in sides)
    pairs = matched(polygon_iou(*shapes), THRESHOLDS[0])
    unsure = tuple(np.array([label.weight == "ignore" for label in side], bool) for side in sides)
    alone = _alone(shapes, unsure, pairs)
    counted = [p for p in pairs if not unsure[0][p.first] and not unsure[1][p.second]]
    confusion = np.zeros((len(classes) + 1, len(classes) + 1), dtype=np.int64)
    for pair in counted:
        confusion[sides[0][pair.first].class_id, sides[1][pair.second].class_id] += 1
    for i in alone[0]:
        confusion[sides[0][i].class_id, -1] += 1
    for j in alone[1]:
        confusion[-1, sides[1][j].class_id] += 1
    counts = {info.id: _counts(info.id, sides, shapes, counted, alone) for info in classes}
    return Agreement(
        counts, _lines(sides, classes, gsd_m), confusion, tuple(_why(sides, classes, counted, alone))
    )


def matched(overlaps: Floats, least: float) -> list[Pair]:
    """Pairs one to one with the largest sum of overlaps (N, M), each from `least` on (Kuhn–Munkres)."""
    usable = np.where(overlaps >= least, overlaps, 0.0)
    rows, columns = linear_sum_assignment(usable, maximize=True)
    return [
        Pair(int(i), int(j), float(usable[i, j]))
        for i, j in zip(rows, columns, strict=True)
        if usable[i, j] > 0
    ]


def kappa(confusion: npt.ArrayLike) -> float | None:
    """Cohen's kappa of a square table of counts; None where chance alone agrees in everything.

    Two annotators who agree on 20 + 15 of 50 and say yes 25 and 30 times: 0.7 observed, 0.5 by chance,
    kappa 0.4.
    """
    table = np.asarray(confusion, dtype=np.float64)
    total = table.sum()
    if not total > 0:
        return None
    observed = np.trace(table) / total
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum() / total**2)
    return None if chance >= 1 else float((observed - chance) / (1 - chance))


def total(agreements: Iterable[Agreement], classes: ClassList) -> Agreement:
    """Several scenes together."""
    nothing = Agreement(
        {info.id: Counts() for info in classes},
        LineResult(0.0, 0.0, 0.0, 0.0),
        np.zeros((len(classes) + 1, len(classes) + 1), dtype=np.int64),
    )
    return sum(agreements, start=nothing)


Sides = tuple[list[Label], ...]
Shapes = tuple[list[Floats], ...]


def _outline(label: Label, gsd_m: float) -> Floats:
    """The outline of a label; of an open line, a band of ten metres on both sides."""
    if label.geometry != "line" or (label.closed and len(label.points) >= 3):
        return label.points
    band = shapely.buffer(shapely.LineString(label.points), LINE_HALF_M / gsd_m, cap_style="flat")
    return np.asarray(
        shapely.get_coordinates(band.exterior if band.geom_type == "Polygon" else band.convex_hull)
    )


def _alone(
    shapes: Shapes, unsure: tuple[npt.NDArray[np.bool_], ...], pairs: Sequence[Pair]
) -> tuple[list[int], list[int]]:
    """Sure labels without partner, which do not lie in an unsure one of the other either."""
    found: list[list[int]] = []
    for side, paired in enumerate(({p.first for p in pairs}, {p.second for p in pairs})):
        doubtful = [shapes[1 - side][k] for k in np.flatnonzero(unsure[1 - side])]
        region = _union(shapely.Polygon(one) for one in doubtful)
        found.append([])
        for i, points in enumerate(shapes[side]):
            if i in paired or unsure[side][i]:
                continue
            outline = shapely.make_valid(shapely.Polygon(points))
            if (
                not outline.area > 0
                or shapely.intersection(outline, region).area < SHARE_IGNORED * outline.area
            ):
                found[-1].append(i)
    return found[0], found[1]


def _counts(
    class_id: int, sides: Sides, shapes: Shapes, counted: Sequence[Pair], alone: tuple[list[int], list[int]]
) -> Counts:
    """The counts of one class: a pair of two classes is alone in both."""
    same = [p for p in counted if sides[0][p.first].class_id == sides[1][p.second].class_id == class_id]
    of_pairs = sum(
        (sides[0][p.first].class_id == class_id) + (sides[1][p.second].class_id == class_id) for p in counted
    )
    of_alone = sum(sides[side][i].class_id == class_id for side in (0, 1) for i in alone[side])
    pairs = tuple(sum(p.iou >= least for p in same) for least in THRESHOLDS)
    return Counts(
        pairs,
        tuple(of_pairs + of_alone - 2 * n for n in pairs),
        tuple(p.iou for p in same),
        _areas(class_id, sides, shapes),
    )


def _areas(class_id: int, sides: Sides, shapes: Shapes) -> AreaResult:
    """Sure areas of a class, each without what the other is unsure of and has not drawn as sure."""
    sure, doubtful = (
        [
            _union(
                shapely.Polygon(points)
                for points, label in zip(shapes[k], sides[k], strict=True)
                if label.class_id == class_id and label.weight == weight
            )
            for k in (0, 1)
        ]
        for weight in ("target", "ignore")
    )
    a, b = (_without(sure[k], doubtful[1 - k], sure[1 - k]) for k in (0, 1))
    return AreaResult(float(shapely.intersection(a, b).area), float(a.area), float(b.area))


def _lines(sides: Sides, classes: ClassList, gsd_m: float) -> LineResult:
    """The perimeters as lines in metres, each without what only an unsure line of the other runs along."""
    sure, doubtful = (
        [
            shapely.union_all([_course(one, gsd_m) for one in side if _is_line(one, classes, weight)])
            for side in sides
        ]
        for weight in ("target", "ignore")
    )
    near = [[shapely.buffer(lines, LINE_HALF_M) for lines in of] for of in (sure, doubtful)]
    parts = [_without(sure[k], near[1][1 - k], near[0][1 - k]) for k in (0, 1)]
    courses = [
        [shapely.get_coordinates(line) for line in shapely.get_parts(part) if line.length > 0]
        for part in parts
    ]
    return line_quality(courses[0], courses[1], LINE_HALF_M)


def _is_line(label: Label, classes: ClassList, weight: str) -> bool:
    return label.class_id in classes.line_ids and label.weight == weight


def _course(label: Label, gsd_m: float) -> shapely.LineString:
    ring = np.vstack([label.points, label.points[:1]]) if label.closed else label.points
    return shapely.LineString(ring * gsd_m)


def _union(shapes: Iterable[BaseGeometry]) -> BaseGeometry:
    union: BaseGeometry = shapely.union_all([shapely.make_valid(shape) for shape in shapes])
    return union


def _without(mine: BaseGeometry, doubtful: BaseGeometry, theirs: BaseGeometry) -> BaseGeometry:
    """What is mine, but not where the other is in doubt, unless it is also theirs."""
    left: BaseGeometry = shapely.difference(mine, shapely.difference(doubtful, theirs))
    return left


def _why(
    sides: Sides, classes: ClassList, counted: Sequence[Pair], alone: tuple[list[int], list[int]]
) -> Iterable[Disagreement]:
    for annotator in (0, 1):
        for i in alone[annotator]:
            yield Disagreement(annotator, i, "only one of the two has it")
    for pair in counted:
        a, b = sides[0][pair.first], sides[1][pair.second]
        if a.class_id != b.class_id:
            names = f"{classes[a.class_id].name} or {classes[b.class_id].name}"
            yield Disagreement(0, pair.first, f"class: {names}")
            yield Disagreement(1, pair.second, f"class: {names}")
        elif pair.iou < THRESHOLDS[-1]:
            yield Disagreement(0, pair.first, f"outline: IoU {pair.iou:.2f}")
            yield Disagreement(1, pair.second, f"outline: IoU {pair.iou:.2f}")
