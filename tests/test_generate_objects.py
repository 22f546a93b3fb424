import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely import MultiPoint, Polygon, box, minimum_rotated_rectangle

from pithead.generate import heads, heaps, perimeters, rail, sidings
from pithead.generate.canvas import Canvas
from pithead.generate.lots import Adder
from pithead.generate.parts import (
    beam,
    block,
    inside_polygon,
    mask_rectangle,
    offset_line,
    rectangle,
    sides_m,
    stroke,
    tight_rectangle,
)

ADDERS: dict[str, Adder] = {
    "coal_heap": partial(heaps.add_heap_yard, material="coal"),
    "hard_negative": heaps.add_distractor_heap,
    "mine_head": heads.add_mine_head,
    "guard_perimeter": perimeters.add_compound,
    "rail_loading": rail.add_rail_yard,
}


def built(name: str, seed: int, gsd_m: float = 0.6, side_m: float = 420) -> Canvas | None:
    canvas = Canvas.flat(side_m, side_m, gsd_m, seed)
    rng = np.random.default_rng(seed)
    added = ADDERS[name](canvas, side_m / 2, side_m / 2, rng.uniform(0, np.pi), rng)
    assert added == bool(canvas.taken.any())
    return canvas if added else None


_metres = st.floats(-50, 50).map(lambda value: round(value, 6))  # GEOS divides by sides of 1e-301


@given(st.lists(st.tuples(_metres, _metres), min_size=4, max_size=30))
@settings(max_examples=60, deadline=None)
def test_tight_rectangle_has_the_area_shapely_finds(points: list[tuple[float, float]]) -> None:
    hull = MultiPoint(points).convex_hull
    if hull.area < 1:
        return
    found = tight_rectangle(points)
    expected = minimum_rotated_rectangle(hull)
    assert Polygon(found).area <= expected.area * (1 + 1e-6)
    assert Polygon(found).buffer(1e-6).covers(hull)


def test_cone_rises_at_the_given_slope_to_radius_times_slope() -> None:
    u, v = np.meshgrid(np.arange(-20, 20.5, 0.5, np.float32), np.arange(-20, 20.5, 0.5, np.float32))
    cone = heaps.Heap(np.zeros((1, 2)), 10.0, np.inf)
    top = heaps.heap_surface(u, v, cone, 0.7)
    assert top.max() == pytest.approx(7.0)
    assert top[40, 60] == pytest.approx(0.0, abs=1e-5)  # 10 m to the right: the toe
    assert heaps.heap_surface(u, v, heaps.Heap(np.zeros((1, 2)), 10.0, 4.0), 0.7).max() == 4


def test_slopes_of_heaps_are_near_35_degrees() -> None:
    angles = []
    for seed in range(4):
        canvas = Canvas.flat(200, 200, 0.5, seed)
        patch = canvas.patch(100, 100, 0.0, 40, 40)
        assert patch is not None
        heap = heaps.Heap(np.zeros((1, 2)), 20.0, np.inf)
        top = heaps.pour(patch, [heap], np.tan(np.radians(35)), 0.5, np.random.default_rng(seed))
        smooth = ndimage.gaussian_filter(top, 3)  # without the dozer's marks
        steep = np.hypot(*np.gradient(smooth, 0.5))[(top > 3) & (top < 11)]
        angles.append(np.degrees(np.arctan(np.median(steep))))
    assert 30 < np.mean(angles) < 39


@pytest.mark.parametrize("seed", range(6))
def test_heap_label_is_the_tightest_rectangle_of_what_stands_there(seed: int) -> None:
    canvas = built("coal_heap", seed)
    if canvas is None:
        return
    for truth in canvas.truths:
        x, y = canvas.coordinates(*(slice(0, n) for n in canvas.taken.shape))
        within = inside_polygon(x, y, truth.points_m) & (canvas.albedo[..., 0] < 0.2) & (canvas.height > 0)
        part, count = ndimage.label(within)
        assert count
        largest = part == 1 + np.argmax(np.bincount(part.ravel())[1:])
        rows, cols = np.nonzero(largest)
        corners = [(c + i, r + j) for r, c in zip(rows, cols, strict=True) for i in (0, 1) for j in (0, 1)]
        area = minimum_rotated_rectangle(MultiPoint(corners)).area * canvas.gsd_m**2
        long_m, short_m = sides_m(truth.points_m)
        cell = canvas.gsd_m
        assert (long_m - cell) * (short_m - cell) <= area * 1.02
        assert truth.attributes["box_area_m2"] == pytest.approx(long_m * short_m, rel=0.01)
        assert float(truth.attributes["area_m2"]) <= long_m * short_m + 1
        assert short_m >= heaps.SMALLEST_M


def test_rectangle_of_a_mask_is_exact_to_a_cell() -> None:
    canvas = Canvas.flat(100, 100, 0.25)
    patch = canvas.patch(50, 50, 0.6, 25, 25)
    assert patch is not None
    mask = (np.abs(patch.u) <= 20) & (np.abs(patch.v) <= 7)
    long_m, short_m = sides_m(mask_rectangle(canvas, patch, mask))
    assert long_m == pytest.approx(40, abs=0.5)
    assert short_m == pytest.approx(14, abs=0.5)


def test_heaps_that_touch_are_one_and_heaps_with_a_lane_are_two() -> None:
    canvas = Canvas.flat(120, 60, 0.5)
    patch = canvas.patch(60, 30, 0.0, 60, 30)
    assert patch is not None
    for gap, count in ((-2, 1), (0.5, 1), (6, 2)):
        pair = [heaps.Heap(np.array([[side * (10 + gap / 2), 0.0]]), 10.0, np.inf) for side in (-1, 1)]
        top = np.maximum(*(heaps.heap_surface(patch.u, patch.v, heap, 0.7) for heap in pair))
        assert len(heaps.footprints(top, 0.5)) == count


def test_rake_of_ten_wagons_is_as_long_as_ten_wagons_and_nine_gaps() -> None:
    yard = sidings.Yard(100, 50, 0.0, np.inf, 180, np.array([-2.5, 2.5]))
    rake = sidings.Rake(2.5, -70.0, 10, (14.0, 3.0), "covered")
    assert rake.stop_m == pytest.approx(-70 + 10 * 14 + 9 * sidings.WAGON_GAP_M)
    assert sides_m(tight_rectangle(sidings.rake_outline(yard, rake))) == pytest.approx((149, 3))
    canvas = Canvas.flat(200, 100, 0.25)
    patch = canvas.patch(100, 50, 0.0, 95, 10)
    assert patch is not None
    rail.park(canvas, patch, yard, rake, np.random.default_rng(0))
    _, wagons = ndimage.label(canvas.height > 1)
    assert wagons == 10
    assert (canvas.height > 1).sum() * 0.25**2 == pytest.approx(10 * 14 * 3, rel=0.05)
    assert 3 <= canvas.height.max() <= 4.3


@given(st.floats(900, 4000), st.floats(-80, 80), st.floats(-12, 12))
@settings(max_examples=40, deadline=None)
def test_way_on_an_arc_there_and_back(radius: float, along: float, across: float) -> None:
    yard = sidings.Yard(200, 200, 0.4, radius, 300, np.array([0.0]))
    x, y = yard.on_canvas([along], across)[0]
    canvas = Canvas.flat(400, 400, 2.0)
    patch = canvas.patch(200, 200, 0.4, 150, 60)
    assert patch is not None
    s, d = yard.along_across(patch)
    row, col = int(y / 2) - patch.rows.start, int(x / 2) - patch.cols.start
    assert s[row, col] == pytest.approx(along, abs=1.6)
    assert d[row, col] == pytest.approx(across, abs=1.6)


@pytest.mark.parametrize("seed", range(8))
def test_rail_labels_hold_their_wagons_and_lie_apart(seed: int) -> None:
    canvas = built("rail_loading", seed, side_m=640)
    if canvas is None:
        return
    boxes = [Polygon(truth.points_m) for truth in canvas.truths]
    for one, label in enumerate(boxes):
        for other in boxes[:one]:
            assert label.intersection(other).area < 0.1 * min(label.area, other.area)
    for truth in canvas.truths:
        if truth.attributes["kind"] == "wagons":
            assert 2 <= float(truth.attributes["wagons"]) <= 240


def test_offset_of_a_square_clockwise_on_the_screen_lies_inside() -> None:
    square = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    assert offset_line(square, 2, closed=True).tolist() == [[2, 2], [8, 2], [8, 8], [2, 8]]
    assert offset_line(square, -1, closed=True)[0].tolist() == [-1, -1]
    assert perimeters.line_length_m(square, closed=True) == 40
    assert perimeters.line_length_m(square, closed=False) == 30


def test_wall_stands_on_its_line_and_is_open_at_the_gate() -> None:
    canvas = Canvas.flat(100, 40, 0.25)
    stroke(canvas, np.array([[10.0, 20], [90, 20]]), 1.0, (0.4, 0.4, 0.4, 0.4), top_m=4, gaps_m=((30, 36),))
    rows, cols = np.nonzero(canvas.height > 3)
    assert rows.min() * 0.25 == pytest.approx(19.5, abs=0.26)
    assert (rows.max() + 1) * 0.25 == pytest.approx(20.5, abs=0.26)
    assert not ((cols * 0.25 > 40.5) & (cols * 0.25 < 45.5)).any()


@pytest.mark.parametrize("seed", range(6))
def test_perimeter_length_is_that_of_its_vertices_and_its_strip_is_bare(seed: int) -> None:
    canvas = built("guard_perimeter", seed)
    if canvas is None:
        return
    (truth,) = canvas.truths
    ring = np.concatenate([truth.points_m, truth.points_m[:1]]) if truth.closed else truth.points_m
    by_hand = sum(np.hypot(*(b - a)) for a, b in itertools.pairwise(ring))
    assert truth.attributes["length_m"] == pytest.approx(by_hand, abs=0.06)
    assert by_hand >= 60
    middles = ((ring[:-1] + ring[1:]) / 2 / canvas.gsd_m).astype(int)
    assert canvas.taken[middles[:, 1], middles[:, 0]].all()


@pytest.mark.parametrize("kind", sorted(heads.VARIANTS))
@pytest.mark.parametrize("seed", range(3))
def test_head_label_covers_all_that_is_tall(kind: str, seed: int) -> None:
    canvas = Canvas.flat(360, 360, 0.6, seed)
    assert heads.add_mine_head(canvas, 180, 180, 0.3 * seed, np.random.default_rng(seed), kind)
    truth = next(truth for truth in canvas.truths if truth.class_name == "mine_head")
    long_m, short_m = sides_m(truth.points_m)
    assert 15 < short_m <= long_m < 260
    if kind in {"headframe", "prep_plant"}:
        rows, cols = np.nonzero(canvas.height > 11)
        tall = MultiPoint(np.stack([cols + 0.5, rows + 0.5], axis=1) * 0.6)
        assert Polygon(truth.points_m).buffer(1.5).covers(tall)


@pytest.mark.parametrize("name", sorted(ADDERS))
def test_nothing_is_built_or_labelled_without_room(name: str) -> None:
    canvas = Canvas.flat(420, 420, 0.6)
    canvas.taken[:] = True
    before = canvas.albedo.copy()
    for seed in range(3):
        assert not ADDERS[name](canvas, 210, 210, 0.5, np.random.default_rng(seed))
    assert canvas.truths == []
    assert not canvas.height.any()
    assert np.array_equal(canvas.albedo, before)


@pytest.mark.parametrize("name", sorted(ADDERS))
def test_nothing_leaves_the_canvas(name: str) -> None:
    assert all(
        box(0, 0, 640, 640).covers(Polygon(truth.points_m))
        for seed in range(5)
        if (canvas := built(name, seed, gsd_m=1.0, side_m=640)) is not None
        for truth in canvas.truths
    )


@pytest.mark.parametrize("name", sorted(ADDERS))
def test_same_seed_same_object(name: str) -> None:
    first, second = built(name, 3, gsd_m=1.0), built(name, 3, gsd_m=1.0)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert np.array_equal(first.albedo, second.albedo)
        assert np.array_equal(first.height, second.height)


def test_block_and_beam_have_their_heights() -> None:
    canvas = Canvas.flat(60, 60, 0.25)
    block(canvas, rectangle(20, 20, 0.0, 20, 10), 5.0, (0.5, 0.5, 0.5, 0.5), ridge_m=2.0)
    assert canvas.height.max() == pytest.approx(7, abs=0.1)
    assert (canvas.height > 0).sum() * 0.25**2 == pytest.approx(200, rel=0.02)
    beam(canvas, (10, 45), (50, 45), 3.0, (0.0, 20.0), (0.3, 0.3, 0.3, 0.3))
    assert canvas.height[180, 120] == pytest.approx(10, abs=0.2)
