"""A perfect detector's boxes come out of the merge once each."""

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from oracle import Floats, place, seen, windows_of

from pithead.geometry import Window, boxes_to_corners, rotated_iou
from pithead.seams import Merged, merge

TILE = 640
NOTHING = np.zeros((0, 7), np.float32)


def row(
    cx: float, cy: float, w: float, h: float, angle: float = 0.0, score: float = 0.9, class_id: int = 0
) -> list[float]:
    return [cx, cy, w, h, angle, score, class_id]


def rows(*found: list[float]) -> npt.NDArray[np.float32]:
    return np.array(found, np.float32).reshape(-1, 7)


LEFT, RIGHT = Window(0, 0, 640, 640), Window(512, 0, 640, 640)

# What the left and the right tile saw (tile px; they share x 512-640), and what is there (grid px).
CASES = {
    "nothing": (NOTHING, NOTHING, []),
    "whole in both, the surer one stays": (
        rows(row(576, 100, 40, 20, score=0.6)),
        rows(row(65, 100, 40, 20, score=0.8)),
        [(577, 100, 40, 20)],
    ),
    "cut on the left, whole on the right": (
        rows(row(615, 100, 50, 20)),
        rows(row(128, 100, 100, 20, score=0.5)),
        [(640, 100, 100, 20)],
    ),
    "cut in both: joined": (
        rows(row(540, 100, 200, 20)),
        rows(row(100, 100, 200, 20)),
        [(576, 100, 272, 20)],
    ),
    "neighbours of one tile stay two": (
        rows(row(100, 100, 40, 20), row(110, 100, 40, 20)),
        NOTHING,
        [(100, 100, 40, 20), (110, 100, 40, 20)],
    ),
    "two stumps of what the right sees whole": (
        rows(row(600, 95, 80, 30), row(620, 125, 40, 20)),
        rows(row(148, 110, 200, 60)),
        [(660, 110, 200, 60)],
    ),
    "seen by one only": (rows(row(576, 100, 40, 20)), NOTHING, [(576, 100, 40, 20)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_two_tiles(case: str) -> None:
    left, right, there = CASES[case]
    merged = merge([LEFT, RIGHT], [left, right])
    assert sorted(merged.boxes[:, :4].round(3).tolist()) == sorted(list(map(float, b)) for b in there)


def test_a_stump_that_is_absorbed_leaves_its_score() -> None:
    left, right, there = CASES["two stumps of what the right sees whole"]
    for stump in (0, 1):
        surer = left.copy()
        surer[stump, 5] = 0.95
        merged = merge([LEFT, RIGHT], [surer, right])
        assert merged.scores.tolist() == pytest.approx([0.95])
        assert merged.boxes[:, :4].round(3).tolist() == [list(map(float, there[0]))]


def test_no_tiles() -> None:
    assert merge([], []).boxes.shape == (0, 5)


def test_classes_are_never_matched_with_each_other() -> None:
    merged = merge([LEFT, RIGHT], [rows(row(576, 100, 40, 20)), rows(row(64, 100, 40, 20, class_id=1))])
    assert merged.classes.tolist() == [0, 1]


def test_of_a_span_seen_twice_the_one_farther_from_its_tile_edge_is_kept_and_none_are_joined() -> None:
    left = rows(row(528, 100, 32, 20), row(560, 100, 32, 20), row(592, 100, 32, 20), row(624, 100, 31, 20))
    right = rows(row(16, 100, 31, 20), row(48, 100, 32, 20), row(80, 100, 32, 20), row(112, 100, 32, 20))
    merged = merge([LEFT, RIGHT], [left, right], frozenset({0}))
    assert sorted(merged.boxes[:, 0].tolist()) == [528, 560, 592, 624]
    assert (merged.boxes[:, 2] == 32).all()


def test_an_edge_that_no_other_tile_looks_across_cuts_nothing() -> None:
    # Both see the object reach the scene's own right edge; only the lower tile's top edge cuts it.
    upper, lower = Window(0, 0, 640, 640), Window(0, 512, 640, 640)
    merged = merge([upper, lower], [rows(row(620, 500, 40, 100)), rows(row(620, 20, 40, 40, score=0.99))])
    assert merged.boxes[:, :4].tolist() == [[620, 500, 40, 100]]


def strips(angle_deg: float, at: Floats) -> Floats:
    angle = np.radians(angle_deg)
    across = np.array([-np.sin(angle), np.cos(angle)])
    return np.array([[*(at + across * 60 * (i - 4.5)), 300, 40, angle] for i in range(10)])


def long_objects(rng: np.random.Generator, count: int, size: int) -> Floats:
    boxes: list[Floats] = []
    shapes: list[shapely.Geometry] = []
    while len(boxes) < count:
        length, width = rng.uniform(1.5, 3) * TILE, rng.uniform(20, 80)
        x, y = rng.uniform(length / 2, size - length / 2, 2)
        box = np.array([x, y, length, width, rng.uniform(-np.pi / 2, np.pi / 2)])
        shape = shapely.Polygon(boxes_to_corners(box[None])[0])
        if all(shapely.distance(shape, other) > 20 for other in shapes):
            boxes.append(box)
            shapes.append(shape)
    return np.array(boxes)


def scene_of(kind: str, rng: np.random.Generator) -> tuple[Floats, int]:
    if kind == "small":
        return place(rng, 200, 10, 60, 3000), 3000
    if kind == "big":
        return place(rng, 60, 80, 500, 5500), 5500
    if kind == "long":
        return long_objects(rng, 8, 5000), 5000
    return strips(float(kind), rng.uniform(900, 2100, 2)), 3000


def looked_at(boxes: Floats, windows: list[Window], rng: np.random.Generator | None) -> Merged:
    classes = np.zeros(len(boxes), np.int64)
    return merge(windows, [seen(boxes, classes, window, rng=rng) for window in windows])


@pytest.mark.parametrize("overlap_px", [64, 128, 256])
@pytest.mark.parametrize("kind", ["small", "big", "0", "15", "30", "45", "long"])
def test_every_object_comes_out_once(kind: str, overlap_px: int) -> None:
    for seed in range(3):
        boxes, size = scene_of(kind, np.random.default_rng(seed))
        windows = windows_of(size, size, TILE, overlap_px)
        merged = looked_at(boxes, windows, None)
        assert len(merged.boxes) == len(boxes)
        best = rotated_iou(boxes, merged.boxes).max(axis=1)
        assert np.median(best) > 0.92  # parts of under 30 % were never seen
        assert len(looked_at(boxes, windows, np.random.default_rng(seed)).boxes) == len(boxes)


def test_the_order_of_tiles_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    boxes, size = scene_of("big", rng)
    windows = windows_of(size, size, TILE, 128)
    found = [seen(boxes, np.zeros(len(boxes), np.int64), window, rng=rng) for window in windows]
    first = merge(windows, found)
    for _ in range(3):
        order = rng.permutation(len(windows))
        again = merge([windows[i] for i in order], [found[i][rng.permutation(len(found[i]))] for i in order])
        assert again.boxes.tobytes() == first.boxes.tobytes()
        assert again.scores.tobytes() == first.scores.tobytes()
