"""Scenes of fences as a fair detector sees them: spans jittered, some missing, some false."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from oracle import Floats
from scipy.optimize import linear_sum_assignment

from pithead.geometry import canonical
from pithead.labels import Label, spans_of
from pithead.lines import Line, link
from pithead.metrics import LineResult, line_quality

GSD_M = 0.6
BUFFER_PX = 6.0
SHARE = 0.1
"""Of spans dropped, and of false ones added."""

JITTER_PX = 3.0
JITTER = np.radians(4)
MARGIN_PX = 100.0
"""How far about the fences false spans stand."""

KINDS = (
    "straight",
    "bent",
    "rectangle",
    "polygon",
    "L",
    "rounded",
    "double line",
    "double ring",
    "T",
    "shared wall",
    "gap in a line",
    "gap in a ring",
)


@dataclass(frozen=True, slots=True)
class Fences:
    """True fences in px: lines (M, 2) with no stretch twice, the enclosed rings (M, 2), and what is seen."""

    lines: list[Floats]
    """A ring repeats its first point. Of a wall shared by two rings only the first has it."""
    rings: list[Floats]
    boxes: Floats
    scores: npt.NDArray[np.float32]


def fences(kind: str, seed: int, *, clean: bool = False) -> Fences:
    """One scene of one of `KINDS`; clean ones have no jitter, no missing and no false spans.

    straight and bent: 100 m to 3 km, up to five bends of 15 to 90 degrees.
    rectangle, polygon (5 to 9 corners), L, rounded (corners of 15 to 50 % of the short side): rings of 60 m
    to 5 km. double line and double ring: 10 to 20 m apart, from 300 m up.
    T: a fence from the middle of another, at 50 to 130 degrees.
    shared wall: two rectangles of 200 m to 5 km side by side, of one height or of two.
    gap in a line and gap in a ring (from 200 m): one whole span that is not at an end is missing beside those
    dropped.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    lines, rings = _truth(kind, rng)
    turn = rng.uniform(0, 2 * np.pi)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    shift = rng.uniform(0, 64, 2) - np.concatenate(lines).min(axis=0)
    lines, rings = ([points @ matrix + shift for points in some] for some in (lines, rings))
    seen = [_spans(points) for points in lines]
    if kind.startswith("gap"):
        seen = [np.delete(s, rng.integers(1, len(s) - 1), axis=0) for s in seen]
    boxes = np.concatenate(seen)
    if not clean:
        boxes = _noisy(boxes, rng)
    return Fences(lines, rings, boxes, rng.uniform(0.5, 1, len(boxes)).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Measured:
    """One scene: lengths inside the buffer in px, rings too many or too few, errors of areas (R,)."""

    length: LineResult
    rings_wrong: int
    area_errors: list[float]


def measure(scene: Fences, found: Sequence[Line]) -> Measured:
    """Compare by buffers of `BUFFER_PX`, and each true ring's area with that of the found one it shares most.

    An error of area is a share of the true area; 1 for a ring that is not found.
    """
    lines = [np.concatenate([line.points, line.points[:1]]) if line.closed else line.points for line in found]
    rings = [shapely.make_valid(shapely.Polygon(line.points)) for line in found if line.closed]
    true = [shapely.Polygon(ring) for ring in scene.rings]
    errors = np.ones(len(true))
    if rings and true:
        shared = np.array([[shapely.intersection(a, b).area for b in rings] for a in true])
        union = np.array([[shapely.union(a, b).area for b in rings] for a in true])
        for a, b in zip(*linear_sum_assignment(-shared / union), strict=True):
            if shared[a, b] > 0.5 * union[a, b]:
                errors[a] = abs(rings[b].area / true[a].area - 1)
    length = line_quality(lines, scene.lines, buffer_m=BUFFER_PX)
    return Measured(length, abs(len(rings) - len(true)), errors.tolist())


def measured(kind: str, seeds: Sequence[int]) -> list[Measured]:
    """Link the scenes of one kind and measure them."""
    scenes = [fences(kind, seed) for seed in seeds]
    return [measure(scene, link(scene.boxes, scene.scores)) for scene in scenes]


def _spans(points: Floats) -> Floats:
    closed = bool((points[0] == points[-1]).all())
    label = Label(0, "line", points[:-1] if closed else points, closed, "full", {})
    return spans_of(label, lambda scene: np.asarray(scene, np.float64))


def _noisy(boxes: Floats, rng: np.random.Generator) -> Floats:
    """Some dropped, the rest jittered (centre, each end, angle), false ones added; shuffled."""
    count = int(SHARE * len(boxes) + rng.random())  # 10 % on the average, and never more than one above it
    low, high = boxes[:, :2].min(axis=0) - MARGIN_PX, boxes[:, :2].max(axis=0) + MARGIN_PX
    angle = rng.uniform(-np.pi / 2, np.pi / 2, count)
    long = 32 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle)))
    false = np.column_stack([rng.uniform(low, high, (count, 2)), long, np.full(count, 20.0), angle])
    left = boxes[rng.permutation(len(boxes))[count:]]
    # The boxes come with the long side first: a stub's line may run across it.
    along = left[:, 2].copy(), left[:, 4].copy()
    stub = np.isclose(left[:, 2], 20) & (left[:, 3] < 20)
    along[0][stub], along[1][stub] = left[stub, 3], left[stub, 4] + np.pi / 2
    axis = np.stack([np.cos(along[1]), np.sin(along[1])], axis=1)
    ends = rng.uniform(-JITTER_PX, JITTER_PX, (2, len(left)))
    centre = left[:, :2] + rng.uniform(-JITTER_PX, JITTER_PX, (len(left), 2))
    centre += axis * (ends[0] + ends[1])[:, None] / 2
    length = np.maximum(along[0] + ends[1] - ends[0], 4)
    turned = along[1] + rng.uniform(-JITTER, JITTER, len(left))
    seen = np.column_stack([centre, length, np.full(len(left), 20.0), turned])
    return canonical(rng.permutation(np.concatenate([seen, false])))


def _truth(kind: str, rng: np.random.Generator) -> tuple[list[Floats], list[Floats]]:
    if kind in ("straight", "bent", "gap in a line"):
        bends = (
            0 if kind == "straight" or (kind != "bent" and rng.random() < 0.5) else int(rng.integers(1, 6))
        )
        return [_bent(_length_px(rng, 200 if "gap" in kind else 100, 3000), bends, rng)], []
    if kind == "double line":
        one = _bent(_length_px(rng, 300, 3000), int(rng.integers(0, 4)), rng)
        other = shapely.LineString(one).offset_curve(rng.uniform(10, 20) / GSD_M, join_style="mitre")
        return [one, shapely.get_coordinates(other)], []
    if kind == "T":
        return _tee(rng), []
    if kind == "shared wall":
        return _shared(rng)
    shapes = ("rectangle", "polygon", "L", "rounded")
    shape = kind if kind in shapes else str(rng.choice(shapes))
    least = 300 if kind == "double ring" else 200 if "gap" in kind else 60
    rings = [_ring(shape, _length_px(rng, least, 5000), rng)]
    if kind == "double ring":
        inner = shapely.Polygon(rings[0]).buffer(-rng.uniform(10, 20) / GSD_M, join_style="mitre")
        rings.append(shapely.get_coordinates(inner.exterior)[:-1])
    return [np.concatenate([ring, ring[:1]]) for ring in rings], rings


def _length_px(rng: np.random.Generator, least_m: float, most_m: float) -> float:
    return float(np.exp(rng.uniform(np.log(least_m), np.log(most_m)))) / GSD_M


def _bent(length: float, bends: int, rng: np.random.Generator) -> Floats:
    """A polyline that keeps its distance from itself."""
    while True:
        parts = rng.uniform(0.5, 1, bends + 1)
        turns = np.radians(rng.uniform(15, 90, bends)) * rng.choice([-1, 1], bends)
        angle = np.concatenate([[0], np.cumsum(turns)])
        steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (parts / parts.sum() * length)[:, None]
        points = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
        line = shapely.LineString(points)
        room = min(length / 8, 120.0)
        if line.is_simple and not shapely.Polygon(line.buffer(room, cap_style="flat")).interiors:
            ends = np.hypot(*(points[-1] - points[0]))
            if not bends or ends > max(0.4 * length, 250.0) or (length < 500 and ends > 0.6 * length):
                return points


def _ring(shape: str, perimeter: float, rng: np.random.Generator) -> Floats:
    if shape == "polygon":
        while True:
            count = int(rng.integers(5, 10))
            angle = np.sort(rng.uniform(0, 2 * np.pi, count))
            gaps = np.diff(np.concatenate([angle, angle[:1] + 2 * np.pi]))
            if gaps.min() > np.radians(20) and gaps.max() < np.radians(120):
                break
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(0.8, 1.2, (count, 1))
    else:
        side = rng.uniform(0.4, 1)
        points = np.array([[0, 0], [1, 0], [1, side], [0, side]], np.float64)
        if shape == "L":
            x, y = rng.uniform(0.35, 0.65), side * rng.uniform(0.35, 0.65)
            points = np.array([[0, 0], [1, 0], [1, y], [x, y], [x, side], [0, side]])
        if shape == "rounded":
            radius = side * rng.uniform(0.15, 0.5)
            core = shapely.Polygon(points).buffer(-radius * 0.999, join_style="mitre")
            points = shapely.get_coordinates(core.buffer(radius, quad_segs=int(rng.integers(3, 7))))[:-1]
    return np.asarray(points * perimeter / shapely.Polygon(points).length, np.float64)


def _tee(rng: np.random.Generator) -> list[Floats]:
    bar, stem = _length_px(rng, 200, 3000), _length_px(rng, 100, 1500)
    angle = np.radians(rng.uniform(50, 130))
    foot = np.array([bar * rng.uniform(0.3, 0.7), 0.0])
    tip = foot + stem * np.array([np.cos(angle), np.sin(angle)])
    return [np.array([[0.0, 0.0], [bar, 0.0]]), np.stack([foot, tip])]


def _shared(rng: np.random.Generator) -> tuple[list[Floats], list[Floats]]:
    """Two rectangles with x = 0 between them: as high as each other, or the second lower by 60 px or more."""
    perimeter = _length_px(rng, 200, 5000)
    side = rng.uniform(0.4, 2.5)
    width, height = np.array([1, side]) * perimeter / 2 / (1 + side)
    low, high = 0.0, height
    if rng.random() < 0.5 and height > 240:
        low, high = rng.uniform(60, 0.3 * height), rng.uniform(0.6 * height, height - 60)
    other = width * rng.uniform(0.5, 1.5)
    first = np.array([[0, 0], [-width, 0], [-width, height], [0, height]])
    rest = np.array([[0, low], [other, low], [other, high], [0, high]])
    # No stretch twice: where the heights differ the first has the whole wall all the same.
    return [np.concatenate([first, first[:1]]), rest], [first, rest]
