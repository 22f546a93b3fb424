import itertools
import time

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.crs import CRS
from shapely import affinity

from pithead import geometry
from pithead.errors import GroundResolutionError
from pithead.geometry import Window

Floats = npt.NDArray[np.float64]

UTM52 = CRS.from_epsg(32652)
MERCATOR = CRS.from_epsg(3857)
LONLAT = CRS.from_epsg(4326)

_centre = st.floats(-500, 500)
_side = st.floats(1, 300)
_box = st.tuples(_centre, _centre, _side, _side, st.floats(-10, 10)).map(
    lambda b: np.array(b, dtype=np.float64),
)
_points = hnp.arrays(np.float64, st.tuples(st.integers(3, 12), st.just(2)), elements=st.integers(-100, 100))


def _shape(box: Floats) -> shapely.Polygon:
    cx, cy, w, h, angle = (float(v) for v in box)
    flat = shapely.box(-w / 2, -h / 2, w / 2, h / 2)
    return affinity.translate(affinity.rotate(flat, angle, origin=(0, 0), use_radians=True), cx, cy)


# --- windows


def test_window_knows_its_edges() -> None:
    window = Window(32, 64, 640, 320)
    assert (window.right, window.bottom) == (672, 384)
    assert window.origin.tolist() == [32, 64]


def test_window_shared() -> None:
    assert Window(0, 0, 640, 640).shared(Window(512, 0, 640, 640)) == Window(512, 0, 128, 640)
    assert Window(0, 0, 640, 640).shared(Window(640, 0, 640, 640)) is None


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5)])
def test_window_refuses_to_be_empty(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="at least 1 × 1"):
        Window(0, 0, width, height)


# --- oriented boxes


def test_nothing_gives_nothing() -> None:
    none = np.zeros((0, 5))
    assert geometry.canonical(none).shape == (0, 5)
    assert geometry.boxes_to_corners(none).shape == (0, 4, 2)
    assert geometry.corners_to_boxes(np.zeros((0, 4, 2))).shape == (0, 5)
    clipped, visible = geometry.clip_boxes(none, Window(0, 0, 1, 1))
    assert (clipped.shape, visible.shape) == ((0, 5), (0,))
    assert geometry.rotated_iou(none, [[0, 0, 1, 1, 0]]).shape == (0, 1)
    assert geometry.polygon_iou([], []).shape == (0, 0)


@pytest.mark.parametrize(
    ("given_box", "expected"),
    [
        ([0, 0, 6, 2, 0], [0, 0, 6, 2, 0]),
        ([0, 0, 2, 6, 0], [0, 0, 6, 2, -np.pi / 2]),
        ([0, 0, 6, 2, np.pi / 2], [0, 0, 6, 2, -np.pi / 2]),
        ([0, 0, 6, 2, np.pi], [0, 0, 6, 2, 0]),
        ([0, 0, 6, 2, -np.pi / 2 - 1e-18], [0, 0, 6, 2, -np.pi / 2]),
    ],
)
def test_canonical(given_box: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(geometry.canonical([given_box]), [expected], atol=1e-12)


@given(_box)
def test_canonical_keeps_the_rectangle(box: Floats) -> None:
    [out] = geometry.canonical([box])
    assert out[2] >= out[3]
    assert -np.pi / 2 <= out[4] < np.pi / 2
    assert _shape(out).symmetric_difference(_shape(box)).area <= 1e-6 * box[2] * box[3] + 1e-6


def test_corners_of_a_flat_box() -> None:
    assert geometry.boxes_to_corners([[10, 10, 4, 2, 0]]).tolist() == [[[8, 9], [12, 9], [12, 11], [8, 11]]]


def test_positive_angles_turn_clockwise_on_screen() -> None:
    # The long side points right and down: its far end has a larger x and a larger y.
    corners = geometry.boxes_to_corners([[0, 0, 10, 2, np.pi / 4]])[0]
    far_end = corners[1:3].mean(axis=0)
    np.testing.assert_allclose(far_end, [5 / np.sqrt(2)] * 2)


@given(_box)
def test_corners_agree_with_shapely(box: Floats) -> None:
    corners = geometry.boxes_to_corners([box])[0]
    assert shapely.Polygon(corners).symmetric_difference(_shape(box)).area < 1e-6 * box[2] * box[3] + 1e-6


@given(_box, st.permutations(range(4)))
def test_boxes_survive_the_way_to_corners_and_back(box: Floats, order: list[int]) -> None:
    corners = geometry.boxes_to_corners([box])[:, order]
    [back] = geometry.corners_to_boxes(corners)
    np.testing.assert_allclose(back[:2], box[:2], atol=1e-7)
    np.testing.assert_allclose(back[2:4], sorted(box[2:4], reverse=True), atol=1e-7)
    assert _shape(back).symmetric_difference(_shape(box)).area <= 1e-5


def test_corners_to_boxes_at_map_coordinates_loses_nothing() -> None:
    box = np.array([[512_345.25, 4_512_345.75, 30, 8, 0.3]])
    np.testing.assert_allclose(geometry.corners_to_boxes(geometry.boxes_to_corners(box)), box, atol=1e-6)


def _brute_force_area(points: Floats) -> float:
    """The smallest rectangle over the sides of the hull, each turned flat by shapely."""
    hull = shapely.MultiPoint(points).convex_hull
    ring = shapely.get_coordinates(hull)
    areas = []
    for (x0, y0), (x1, y1) in itertools.pairwise(ring):
        flat = affinity.rotate(hull, -np.arctan2(y1 - y0, x1 - x0), origin=(0, 0), use_radians=True)
        left, top, right, bottom = flat.bounds
        areas.append((right - left) * (bottom - top))
    return min(areas, default=0.0)


@given(_points)
def test_fit_box_is_the_smallest_rectangle(points: Floats) -> None:
    box = geometry.fit_box(points)
    assert box[2] * box[3] == pytest.approx(_brute_force_area(points), rel=1e-9, abs=1e-6)
    # ... and holds every point, and no direction of a fine fan does better.
    cos, sin = np.cos(box[4]), np.sin(box[4])
    local = (points - box[:2]) @ np.array([[cos, -sin], [sin, cos]])
    assert (np.abs(local) <= box[2:4] / 2 + 1e-7).all()
    for angle in np.linspace(0, np.pi / 2, 91):
        turned = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert box[2] * box[3] <= np.prod(np.ptp(turned, axis=0)) + 1e-6


@given(hnp.arrays(np.float64, (4, 2), elements=st.integers(-50, 50)))
def test_four_points_in_any_shape_agree_with_fit_box(points: Floats) -> None:
    [box] = geometry.corners_to_boxes(points[None])
    assert box[2] * box[3] == pytest.approx(np.prod(geometry.fit_box(points)[2:4]), rel=1e-9, abs=1e-6)


def test_fit_box_of_a_point_and_of_a_line() -> None:
    np.testing.assert_allclose(geometry.fit_box([[1, 2]]), [1, 2, 0, 0, 0])
    np.testing.assert_allclose(
        geometry.fit_box([[0, 0], [3, 4], [6, 8]]),
        [3, 4, 10, 0, np.arctan2(4, 3)],
        atol=1e-9,
    )


@pytest.mark.parametrize("points", [[], [[0, np.nan]]])
def test_fit_box_refuses_what_has_no_box(points: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one point"):
        geometry.fit_box(points)


# --- clipping


def test_clip_boxes_by_hand() -> None:
    boxes = [[0, 0, 10, 4, 0], [50, 50, 4, 4, 0.2], [500, 0, 3, 3, 0], [100, 50, 8, 2, 0], [5, 5, 0, 0, 0]]
    clipped, visible = geometry.clip_boxes(boxes, Window(0, 0, 100, 100))
    np.testing.assert_allclose(visible, [0.25, 1, 0, 0.5, 0])
    assert clipped[1].tolist() == boxes[1]
    np.testing.assert_allclose(clipped[0], [2.5, 1, 5, 2, 0])
    np.testing.assert_allclose(clipped[3], [98, 50, 4, 2, 0])
    assert not clipped[[2, 4]].any()


def test_a_slanted_strip_is_cut_not_dropped() -> None:
    # 1000 px at 45° through a window of 100 px: a diagonal of 141 px is left.
    clipped, visible = geometry.clip_boxes([[50, 50, 1000, 10, np.pi / 4]], Window(0, 0, 100, 100))
    assert visible[0] == pytest.approx((10 * 100 * np.sqrt(2) - 50) / 10_000)
    assert clipped[0, 2] == pytest.approx(100 * np.sqrt(2))
    assert clipped[0, 4] == pytest.approx(np.pi / 4)


@given(_box, st.integers(-600, 500), st.integers(-600, 500), st.integers(1, 640))
def test_clip_agrees_with_shapely(box: Floats, x: int, y: int, side: int) -> None:
    window = Window(x, y, side, side)
    clipped, visible = geometry.clip_boxes([box], window)
    part = _shape(box).intersection(shapely.box(x, y, x + side, y + side))
    assert visible[0] == pytest.approx(part.area / (box[2] * box[3]), abs=1e-6)
    if part.area > 1e-3:
        assert part.difference(_shape(clipped[0]).buffer(1e-6)).area < 1e-6


# --- overlap


def test_rotated_iou_by_hand() -> None:
    square = [0, 0, 2, 2, 0]
    others = [square, [1, 0, 2, 2, 0], [5, 5, 2, 2, 0], [0, 0, 2, 2, np.pi / 4], [0, 0, 0, 0, 0]]
    octagon = 8 * (np.sqrt(2) - 1)
    expected = [[1, 1 / 3, 0, octagon / (8 - octagon), 0]]
    np.testing.assert_allclose(geometry.rotated_iou([square], others), expected, atol=1e-12)


@given(st.lists(_box, min_size=1, max_size=4), st.lists(_box, min_size=1, max_size=4))
def test_rotated_iou_agrees_with_shapely_pair_by_pair(a: list[Floats], b: list[Floats]) -> None:
    iou = geometry.rotated_iou(a, b)
    for i, one in enumerate(map(_shape, a)):
        for j, other in enumerate(map(_shape, b)):
            expected = one.intersection(other).area / one.union(other).area
            assert iou[i, j] == pytest.approx(expected, abs=1e-6)


def test_polygon_iou_takes_any_shape() -> None:
    ell = [[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    bow_tie = [[0, 0], [2, 2], [2, 0], [0, 2]]
    np.testing.assert_allclose(geometry.polygon_iou([ell, bow_tie], [square]), [[3 / 4], [2 / 4]])


def test_sparse_iou_of_2000_boxes_takes_less_than_a_second() -> None:
    random = np.random.default_rng(0)
    sides = random.uniform(10, 80, (2000, 2))
    boxes = np.c_[random.uniform(0, 20_000, (2000, 2)), sides, random.uniform(-1.5, 1.5, 2000)]
    start = time.process_time()
    iou = geometry.rotated_iou(boxes, boxes)
    assert time.process_time() - start < 1
    np.testing.assert_allclose(np.diag(iou), 1)


# --- map and ground


@given(_points)
def test_affine_points_there_and_back(points: Floats) -> None:
    transform = Affine.translation(5e5, 4e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
    mapped = geometry.affine_points(transform, points)
    np.testing.assert_allclose(mapped[0], transform @ tuple(points[0]))
    np.testing.assert_allclose(geometry.affine_points(~transform, mapped), points, atol=1e-6)


def test_the_outer_edge_of_the_first_pixel_is_the_origin_of_the_map() -> None:
    transform = Affine(0.6, 0, 500_000, 0, -0.6, 4_000_000)
    assert geometry.affine_points(transform, [[0, 0], [1, 1]]).tolist() == [
        [500_000, 4_000_000],
        [500_000.6, 3_999_999.4],
    ]


@pytest.mark.parametrize("crs", [UTM52, MERCATOR, LONLAT])
def test_lonlat_there_and_back(crs: CRS) -> None:
    places = np.array([[129.0, 39.5], [128.5, 40.1]])
    np.testing.assert_allclose(geometry.to_lonlat(geometry.from_lonlat(places, crs), crs), places, atol=1e-9)


def test_longitude_comes_first_even_where_the_authority_says_latitude() -> None:
    assert geometry.to_lonlat([[129, 39.5]], LONLAT).tolist() == [[129, 39.5]]
    central_meridian = geometry.to_lonlat([[500_000, 4_400_000]], UTM52)
    assert central_meridian[0, 0] == pytest.approx(129)


def test_a_place_outside_the_map_is_an_error() -> None:
    with pytest.raises(GroundResolutionError, match="outside it"):
        geometry.from_lonlat([[0, 95]], UTM52)


def test_ground_measures_are_the_same_in_every_crs() -> None:
    # A rectangle of 200 × 100 m at 60° N, where a Web Mercator metre is half a metre.
    corners_utm = np.array(
        [[500_000, 6_650_000], [500_200, 6_650_000], [500_200, 6_650_100], [500_000, 6_650_100]],
    )
    lonlat = geometry.to_lonlat(corners_utm, UTM52)
    for crs in (UTM52, MERCATOR, LONLAT):
        corners = geometry.from_lonlat(lonlat, crs)
        assert geometry.ground_area_m2(corners, crs) == pytest.approx(20_000 / 0.9996**2, rel=1e-6)
        assert geometry.ground_length_m(corners[:3], crs) == pytest.approx(300 / 0.9996, rel=1e-6)
        np.testing.assert_allclose(
            geometry.ground_sides_m([corners], crs),
            [[200 / 0.9996, 100 / 0.9996]],
            rtol=1e-5,
        )
    assert geometry.ground_area_m2(corners_utm[::-1], UTM52) > 0
    assert geometry.ground_length_m(corners_utm[:1], UTM52) == 0


def _at_60_north(crs: CRS, pixel: Affine) -> tuple[float, float]:
    x, y = geometry.from_lonlat([[129, 60]], crs)[0]
    return geometry.gsd_m(Affine.translation(x, y) @ pixel @ Affine.translation(-50, -50), crs, 100, 100)


def test_gsd_of_every_kind_of_map() -> None:
    metre, foot, survey_foot = 1 / 0.9996, 0.3048, 1200 / 3937
    assert _at_60_north(UTM52, Affine.scale(0.6, -0.6)) == pytest.approx((0.6 * metre, 0.6 * metre), rel=1e-6)
    # Along a meridian an ellipsoidal second of arc is shorter than along a parallel of the Mercator sphere.
    assert _at_60_north(MERCATOR, Affine.scale(1, -1)) == pytest.approx((0.50126, 0.50042), rel=1e-4)
    assert _at_60_north(LONLAT, Affine.scale(1e-5, -1e-5)) == pytest.approx((0.55800, 1.11412), rel=1e-4)
    in_feet = CRS.from_proj4("+proj=tmerc +lon_0=129 +k=1 +ellps=WGS84 +units=ft")
    assert _at_60_north(in_feet, Affine.scale(2, -2)) == pytest.approx((2 * foot, 2 * foot), rel=1e-6)
    in_us_feet = CRS.from_proj4("+proj=tmerc +lon_0=129 +k=1 +ellps=WGS84 +units=us-ft")
    assert _at_60_north(in_us_feet, Affine.scale(2, -2)) == pytest.approx((2 * survey_foot,) * 2, rel=1e-6)


@given(st.floats(-180, 180))
def test_gsd_does_not_change_when_the_scene_is_turned(angle: float) -> None:
    turned = _at_60_north(UTM52, Affine.rotation(angle) @ Affine.scale(0.5, -0.8))
    assert turned == pytest.approx((0.5 / 0.9996, 0.8 / 0.9996), rel=1e-6)


@pytest.mark.parametrize("crs", [None, CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')])
def test_gsd_without_a_place_on_the_earth_asks_for_it(crs: CRS | None) -> None:
    with pytest.raises(GroundResolutionError, match="--gsd"):
        geometry.gsd_m(Affine.identity(), crs, 10, 10)


def test_gsd_of_a_pixel_without_size_is_an_error() -> None:
    with pytest.raises(GroundResolutionError, match="with a size"):
        geometry.gsd_m(Affine(0.5, 0, 5e5, 0, 0, 4e6), UTM52, 10, 10)
