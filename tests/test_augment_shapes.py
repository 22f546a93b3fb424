import math

import numpy as np
import pytest
from augment_scenes import (
    FENCE,
    GEOMETRIES,
    HEAP,
    RAIL,
    SIDE,
    generated,
    inside,
    iou,
    label,
    rectangle,
    view_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pithead.augment.pieces import whole_strips
from pithead.augment.shapes import Cutting, cut, shapes_of
from pithead.augment.spans import whole_lines
from pithead.augment.turns import turn
from pithead.augment.view import View
from pithead.augment.warp import Move, drawn, warped
from pithead.geometry import Window, boxes_to_corners, corners_to_boxes, rotated_iou
from pithead.labels import in_grid, pieces_of, spans_of, tile_rows
from pithead.recipe import Augmentation

CUTTING = Cutting(GEOMETRIES)
BLANK = np.full((SIDE, SIDE, 3), 90, np.uint8)
SITE = [
    label(HEAP, rectangle(200, 200, 70, 40, 0.5)),
    label(HEAP, rectangle(330, 180, 30, 25, -1.1)),
    label(RAIL, rectangle(320, 430, 270, 9, 0.2)),
    label(RAIL, rectangle(420, 330, 50, 14, 1.3)),
    label(FENCE, [[150, 130], [420, 110], [470, 260], [180, 300]]),
    label(FENCE, [[170, 520], [260, 470], [500, 510]], closed=False),
]
"""Objects so near the middle of a tile that no turn takes them to its edge."""


def moved_view(view: View, move: Move) -> View:
    return cut(shapes_of(view, CUTTING), view.pixels, CUTTING, move)


def assert_same(one: View, boxes: np.ndarray, classes: np.ndarray, least: float) -> None:
    """Box for box the same, in any order."""
    assert sorted(one.classes.tolist()) == sorted(classes.tolist())
    for class_id in set(classes.tolist()):
        shared = rotated_iou(
            corners_to_boxes(one.corners[one.classes == class_id]), boxes[classes == class_id]
        )
        assert shared.max(axis=0).min() > least
        assert shared.max(axis=1).min() > least


# --- what is put together ------------------------------------------------------------------------------


def test_spans_become_the_line_that_they_were_cut_from() -> None:
    line = label(FENCE, [[40, 50], [300, 80], [330, 400]], closed=False)
    (course,), lost = whole_lines(spans_of(line, lambda p: p), 20.0, SIDE)
    assert not len(lost)
    assert not course.closed
    ends = sorted([course.points[0].tolist(), course.points[-1].tolist()])
    assert np.allclose(ends, [[40, 50], [330, 400]])


def test_spans_of_a_compound_become_a_ring_that_begins_at_a_corner() -> None:
    corners = [[100, 100], [300, 120], [280, 330], [90, 310]]
    (course,), _ = whole_lines(spans_of(label(FENCE, corners), lambda p: p), 20.0, SIDE)
    assert course.closed
    assert min(np.hypot(*(np.array(corners) - course.points[0]).T)) < 1e-6


def test_a_part_too_short_for_a_span_is_bridged() -> None:
    line = label(FENCE, [[40, 100], [200, 100], [205, 104], [205, 300]], closed=False)
    (course,), _ = whole_lines(spans_of(line, lambda p: p), 20.0, SIDE)
    assert len(course.points) > 3


def test_a_fence_that_meets_another_one_in_its_middle_stays_another_one() -> None:
    long = label(FENCE, [[40, 200], [400, 200]], closed=False)
    other = label(FENCE, [[224, 200], [224, 400]], closed=False)
    spans = np.vstack([spans_of(line, lambda p: p) for line in (long, other)])
    courses, _ = whole_lines(spans, 20.0, SIDE)
    lengths = sorted(float(np.hypot(*np.diff(c.points, axis=0).T).sum()) for c in courses)
    assert np.allclose(lengths, [200, 360])


def test_a_stub_lies_along_its_line_and_not_along_its_long_side() -> None:
    line = label(FENCE, [[0, 100], [12, 100], [12, 300]], closed=False)  # the first span is 12 long, 20 wide
    (course,), _ = whole_lines(spans_of(line, lambda p: p), 20.0, SIDE)
    assert np.hypot(*np.diff(course.points, axis=0).T).sum() == pytest.approx(212)


def test_a_fence_along_the_edge_that_only_half_is_seen_is_given_up() -> None:
    fence = label(FENCE, [[100, 6], [400, 6]], closed=False)
    view = view_of(in_grid([fence], lambda p: p), BLANK)
    _, lost = whole_lines(corners_to_boxes(view.corners), 20.0, SIDE)
    assert len(lost) == len(view.classes) > 0
    after = moved_view(view, Move(SIDE))
    assert not len(after.classes)
    assert len(after.ignored) == len(lost)


def test_a_fence_that_leaves_aslant_goes_on_to_the_edge() -> None:
    fence = label(FENCE, [[200, 300], [290, -300]], closed=False)
    view = view_of(in_grid([fence], lambda p: p), BLANK)
    (course,), lost = whole_lines(corners_to_boxes(view.corners), 20.0, SIDE)
    assert not len(lost)
    assert course.points[:, 1].min() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.8, 1.4])
def test_pieces_become_the_strip_that_they_were_cut_from(angle: float) -> None:
    strip = [320.0, 300.0, 250.0, 8.0, angle]
    pieces = pieces_of(label(RAIL, rectangle(*strip)), lambda p: p)
    assert len(pieces) > 3
    (whole,) = whole_strips(pieces, 3.0, SIDE)
    assert np.allclose(whole, strip, atol=1e-6)


def test_strips_beside_and_behind_each_other_stay_apart() -> None:
    strips = [[200, 200, 100, 8, 0], [200, 214, 100, 8, 0], [310, 200, 110, 8, 0]]
    pieces = np.vstack([pieces_of(label(RAIL, rectangle(*strip)), lambda p: p) for strip in strips])
    assert len(whole_strips(pieces, 3.0, SIDE)) == 3


# --- what is cut again ---------------------------------------------------------------------------------


@given(
    angle=st.floats(-math.pi, math.pi),
    scale=st.floats(0.5, 1.05),
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)
@settings(max_examples=40, deadline=None)
def test_a_moved_view_is_what_cutting_the_moved_scene_gives(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    move = Move(SIDE, angle, scale, shift)
    before = view_of(in_grid(SITE, lambda p: p), BLANK)
    truth = tile_rows(in_grid(SITE, move), Window(0, 0, SIDE, SIDE))
    after = moved_view(before, move)
    # A piece may begin at the next cell if an end lies within a thousandth of the limit.
    if sorted(after.classes.tolist()) == sorted(truth.classes.tolist()):
        assert_same(after, truth.boxes, truth.classes, 0.99)
    else:
        assert abs(len(after.classes) - len(truth.classes)) <= 1


def test_enlarged_views_are_cut_as_enlarged_scenes_are() -> None:
    before = view_of(in_grid(SITE, lambda p: p), BLANK)
    for angle, x in ((0.0, 0.0), (0.4, 120.0), (-1.0, -200.0)):
        move = Move(SIDE, angle, 1.7, (x, 50.0))
        truth = tile_rows(in_grid(SITE, move), Window(0, 0, SIDE, SIDE))
        after = moved_view(before, move)
        assert_same(after, truth.boxes, truth.classes, 0.98)
        assert len(after.ignored) == len(truth.ignored)


@pytest.mark.parametrize("angle", [0.1, 0.7, -1.2, 2.5])
def test_a_turned_fence_is_cut_at_the_lines_of_the_grid_and_keeps_its_length(angle: float) -> None:
    fence = label(FENCE, [[170, 300], [490, 300]], closed=False)
    after = moved_view(view_of(in_grid([fence], lambda p: p), BLANK), Move(SIDE, angle))
    spans = corners_to_boxes(after.corners)
    lengths = np.where(np.abs(spans[:, 3] - 20) < 0.01, spans[:, 2], spans[:, 3])
    assert lengths.sum() == pytest.approx(320, abs=0.01)
    way = np.array([math.cos(angle), math.sin(angle)])
    axis = int(abs(way[1]) > abs(way[0]))
    ends = np.concatenate(
        [spans[:, :2] - way * lengths[:, None] / 2, spans[:, :2] + way * lengths[:, None] / 2]
    )
    at = np.sort(ends[:, axis])[1:-1]  # all but the two ends of the fence itself
    assert np.abs(at - np.round(at / 32) * 32).max() < 0.01


@pytest.mark.parametrize("quarters", range(4))
def test_a_quarter_turn_by_any_angle_is_the_exact_one(quarters: int) -> None:
    grid = in_grid(SITE, lambda p: p)
    rows = tile_rows(grid, Window(0, 0, SIDE, SIDE))
    noise = np.random.default_rng(0).integers(0, 256, BLANK.shape, np.uint8)
    before = View(noise, rows.classes, boxes_to_corners(rows.boxes), np.zeros((0, 4, 2)))
    exact = turn(before, quarters, mirror=False)
    move = Move(SIDE, -quarters * math.pi / 2)  # counter-clockwise on screen
    after = cut(shapes_of(before, CUTTING), warped(before.pixels, move), CUTTING, move)
    middles = [np.array(sorted(view.corners.mean(axis=1).round(4).tolist())) for view in (after, exact)]
    assert np.abs(middles[0] - middles[1]).max() < 1e-3
    for outline in after.corners:
        off = np.abs(outline[None, :, None] - exact.corners[:, None]).max(axis=-1).min(axis=-1).max(axis=-1)
        assert off.min() < 1e-6
    assert np.abs(after.pixels.astype(int) - exact.pixels).max() <= 1


def test_what_an_edge_leaves_of_an_object_is_painted_over_and_ignored() -> None:
    heap = label(HEAP, rectangle(560, 320, 100, 60, 0))
    view = view_of(in_grid([heap], lambda p: p), BLANK)
    pixels = BLANK.copy()
    pixels[inside(view.corners[0])] = 10
    before = View(pixels, view.classes, view.corners, view.ignored)
    move = Move(SIDE, shift=(60.0, 0.0))  # the heap from 570 to 670: 70 px of 100 are left
    seen = cut(shapes_of(before, CUTTING), warped(pixels, move), CUTTING, move)
    assert corners_to_boxes(seen.corners)[0, :4].tolist() == pytest.approx([605, 320, 70, 60])
    move = Move(SIDE, shift=(90.0, 0.0))  # 40 of 100
    gone = cut(shapes_of(before, CUTTING), warped(pixels, move), CUTTING, move)
    assert not len(gone.classes)
    assert corners_to_boxes(gone.ignored)[0, :4].tolist() == pytest.approx([620, 320, 60, 40])
    assert np.median(gone.pixels[inside(gone.ignored[0])]) > 60


def test_spans_and_pads_keep_their_width_whatever_the_scale() -> None:
    before = view_of(in_grid([SITE[2], SITE[5]], lambda p: p), BLANK)
    after = moved_view(before, Move(SIDE, 0.3, 0.6))
    boxes = corners_to_boxes(after.corners)
    spans, pieces = boxes[after.classes == FENCE], boxes[after.classes == RAIL]
    assert (np.abs(spans[:, 2:4] - 20).min(axis=1) < 0.01).all()
    assert pieces[:, 3] == pytest.approx(9 * 0.6 + 6, abs=0.01)


@pytest.mark.parametrize("seed", [3, 5])
def test_on_generated_tiles_the_boxes_lie_where_the_ground_went(seed: int) -> None:
    view = generated(seed)
    rng = np.random.default_rng(seed)
    plan = Augmentation(any_angle=1.0, scale=0.5, scale_least=0.8, scale_most=1.2)
    for _ in range(3):
        move = drawn(SIDE, plan, rng)
        assert move is not None
        after = cut(shapes_of(view, CUTTING), warped(view.pixels, move), CUTTING, move)
        for class_id in (0, 1, 2):
            before = _mask(view.corners[view.classes == class_id], view.ignored)
            ground = (
                warped(np.repeat(before[..., None], 3, axis=2).astype(np.uint8) * 200, move)[..., 0] > 100
            )
            found = _mask(after.corners[after.classes == class_id], after.ignored)
            free = ~_mask(after.ignored, after.ignored)
            if (ground & free).sum() > 2000 and class_id != 2:
                assert iou(ground & free, found & free) > 0.9
            elif (ground & free).sum() > 2000:  # spans keep 20 px of width when the ground does not
                assert iou(ground & free, found & free) > 0.7


def _mask(corners: np.ndarray, like: np.ndarray) -> np.ndarray:
    assert like.shape[1:] == (4, 2)
    return np.any([np.zeros((SIDE, SIDE), bool), *(inside(outline) for outline in corners)], axis=0)


@pytest.mark.parametrize("seed", [3, 5])
def test_put_together_and_cut_where_they_were_boxes_are_as_before(seed: int) -> None:
    view = generated(seed)
    shapes = shapes_of(view, CUTTING)
    after = cut(shapes, view.pixels, CUTTING, Move(SIDE))
    assert not len(shapes.lost)
    assert_same(after, corners_to_boxes(view.corners), view.classes, 0.98)
    assert after.pixels.tobytes() == view.pixels.tobytes()


# --- pixels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "angle"), [(0.5, 0.0), (0.7, 0.5), (1.0, -0.4), (2.0, 0.2)])
def test_pixels_go_where_points_go(scale: float, angle: float) -> None:
    pixels = BLANK.copy()
    outline = rectangle(300, 340, 60, 60, 0)
    pixels[inside(outline)] = 250
    move = Move(SIDE, angle, scale, (10.0, -5.0))
    after = warped(pixels, move)[..., 0].astype(float)
    after[after < 100] = 0
    spot = np.array([(after.sum(axis=axis) * (np.arange(SIDE) + 0.5)).sum() for axis in (0, 1)]) / after.sum()
    assert np.abs(spot - move(np.array([300.0, 340.0]))).max() < 0.1
    assert (after > 0).sum() == pytest.approx((60 * scale) ** 2, rel=0.1)


def test_unknown_ground_is_painted_in_the_mean() -> None:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2] = [100, 50, 30]
    after = warped(pixels, Move(SIDE, scale=0.5))
    assert after[5, 5].tolist() == [50, 25, 15]


def test_a_drawn_move_shows_all_of_what_is_smaller_and_nothing_but_it_of_what_is_larger() -> None:
    rng = np.random.default_rng(0)
    corners = rectangle(SIDE / 2, SIDE / 2, SIDE, SIDE, 0)
    plan = Augmentation(scale=1.0)
    for _ in range(50):
        move = drawn(SIDE, plan, rng)
        assert move is not None
        assert 0.5 <= move.scale <= 2.0
        low, high = move(corners).min(axis=0), move(corners).max(axis=0)
        if move.scale < 1:
            assert (low > -0.01).all()
            assert (high < SIDE + 0.01).all()
        else:
            assert (low < 0.01).all()
            assert (high > SIDE - 0.01).all()
    assert drawn(SIDE, Augmentation(), rng) is None
