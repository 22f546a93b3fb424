"""Windows, oriented boxes, and every conversion between tile, scene, map and metres.

A box is a row ``cx, cy, w, h, angle``: pixels with x right and y down, ``w >= h``, and the angle in radians
in ``[-pi/2, pi/2)`` from the +x axis towards +y (clockwise on screen) of the side ``w``. Many boxes are an
``(N, 5)`` array of float64, their corners an ``(N, 4, 2)`` array. Map coordinates are x (east or longitude)
before y, whatever the authority of the CRS says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from affine import Affine
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]
from rasterio.crs import CRS

from pithead.errors import GroundResolutionError

Floats = npt.NDArray[np.float64]

_GEOD = pyproj.Geod(ellps="WGS84")
_HALF_PI = np.pi / 2
_UNIT_CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
_PAIRS = np.triu_indices(4, k=1)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of whole pixels; its origin may lie outside the raster, its size is at least 1 × 1."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse an empty window.

        Raises:
            ValueError: if width or height is below 1.
        """
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a window needs a size of at least 1 × 1, got {self.width} × {self.height}")

    @property
    def right(self) -> int:
        """The x of the first column after the window."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The y of the first row after the window."""
        return self.y + self.height

    @property
    def origin(self) -> Floats:
        """The outer corner of the first pixel: add it to tile pixels to get grid pixels."""
        return np.array([self.x, self.y], dtype=np.float64)

    def shared(self, other: Self) -> "Window | None":
        """The rectangle that both windows cover, or None."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Window(x, y, right - x, bottom - y) if right > x and bottom > y else None


# --- oriented boxes -----------------------------------------------------------------------------------------


def canonical(boxes: npt.ArrayLike) -> Floats:
    """The same rectangles with the long side first and the angle in [-pi/2, pi/2): (N, 5) to (N, 5).

    ``[0, 0, 2, 6, 0]`` becomes ``[0, 0, 6, 2, -pi/2]``.
    """
    out = np.array(boxes, dtype=np.float64).reshape(-1, 5)
    upright = out[:, 3] > out[:, 2]
    out[upright, 2:4] = out[upright, 3:1:-1]
    out[upright, 4] += _HALF_PI
    inside = (out[:, 4] >= -_HALF_PI) & (out[:, 4] < _HALF_PI)
    turned = np.mod(out[:, 4] + _HALF_PI, np.pi) - _HALF_PI
    # np.mod of a tiny negative number rounds up to pi itself, which is the one angle that is not allowed.
    turned[turned >= _HALF_PI] = -_HALF_PI
    out[:, 4] = np.where(inside, out[:, 4], turned)
    return out


def boxes_to_corners(boxes: npt.ArrayLike) -> Floats:
    """The corners of each box, (N, 5) to (N, 4, 2): along the long side first, clockwise on screen.

    ``[10, 10, 4, 2, 0]`` has the corners (8, 9), (12, 9), (12, 11), (8, 11).
    """
    b = np.asarray(boxes, dtype=np.float64).reshape(-1, 5)
    local = _UNIT_CORNERS * b[:, None, 2:4]
    cos, sin = np.cos(b[:, 4, None]), np.sin(b[:, 4, None])
    x = local[..., 0] * cos - local[..., 1] * sin
    y = local[..., 0] * sin + local[..., 1] * cos
    return np.stack([x, y], axis=-1) + b[:, None, :2]


def corners_to_boxes(corners: npt.ArrayLike) -> Floats:
    """The minimum-area rectangle of each four points in any order, (N, 4, 2) to canonical boxes (N, 5)."""
    c = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2)
    # A side of the hull joins two of the points: trying all six pairs needs no hull and no convex input.
    return _smallest_rectangles(c, c[:, _PAIRS[1]] - c[:, _PAIRS[0]])


def fit_box(points: npt.ArrayLike) -> Floats:
    """The minimum-area rectangle round points (M, 2), as one canonical box (5,).

    Exact: the smallest rectangle lies along a side of the hull, and every side is tried.
    One point gives a box of size 0, points on one line a box of height 0.

    Raises:
        ValueError: if there is no point, or one is not finite.
    """
    p = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if len(p) == 0 or not np.isfinite(p).all():
        raise ValueError(f"a box needs at least one point and only finite ones, got {p.tolist()[:8]}")
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.multipoints(p)))
    sides = np.diff(hull, axis=0) if len(hull) > 1 else np.zeros((1, 2))
    box: Floats = _smallest_rectangles(hull[None], sides[None])[0]
    return box


def _smallest_rectangles(points: Floats, sides: Floats) -> Floats:
    """For each set of points (N, M, 2), the smallest rectangle with a side along one of (N, K, 2)."""
    if len(points) == 0:
        return np.zeros((0, 5))
    middle = points.mean(axis=1, keepdims=True)  # map coordinates are large: rotate about the middle
    local = points - middle
    angle = np.arctan2(sides[..., 1], sides[..., 0])
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    u = local[:, None, :, 0] * cos + local[:, None, :, 1] * sin
    v = local[:, None, :, 1] * cos - local[:, None, :, 0] * sin
    width, height = np.ptp(u, axis=-1), np.ptp(v, axis=-1)
    best: npt.NDArray[np.int64] = np.argmin(width * height, axis=1)
    rows = np.arange(len(points))
    u, v, cos, sin = u[rows, best], v[rows, best], cos[rows, best, 0], sin[rows, best, 0]
    cu, cv = (u.min(axis=-1) + u.max(axis=-1)) / 2, (v.min(axis=-1) + v.max(axis=-1)) / 2
    centre = np.stack([cu * cos - cv * sin, cu * sin + cv * cos], axis=-1) + middle[:, 0]
    sizes = np.stack([width[rows, best], height[rows, best], angle[rows, best]], axis=-1)
    return canonical(np.concatenate([centre, sizes], axis=1))


def clip_boxes(boxes: npt.ArrayLike, window: Window) -> tuple[Floats, Floats]:
    """What a window shows of each box: the part inside, refitted (N, 5), and its share of the area (N,).

    A box wholly inside is returned as it is with 1.0; one wholly outside, or without area, as zeros with 0.0.
    The refitted rectangle of a slanted box may reach a little over the edge of the window.
    """
    b = np.asarray(boxes, dtype=np.float64).reshape(-1, 5)
    corners = boxes_to_corners(b)
    low, high = corners.min(axis=1), corners.max(axis=1)
    area = b[:, 2] * b[:, 3]
    start, end = window.origin, np.array([window.right, window.bottom])
    inside = (low >= start).all(axis=1) & (high <= end).all(axis=1) & (area > 0)
    cut = (low < end).all(axis=1) & (high > start).all(axis=1) & ~inside & (area > 0)
    clipped, visible = np.where(inside[:, None], b, 0.0), inside.astype(np.float64)
    rectangle = shapely.box(window.x, window.y, window.right, window.bottom)
    for i in np.flatnonzero(cut):
        part = shapely.intersection(shapely.Polygon(corners[i]), rectangle)
        visible[i] = min(part.area / area[i], 1.0)
        if part.area > 0:
            clipped[i] = fit_box(shapely.get_coordinates(part))
    return clipped, visible


# --- overlap ------------------------------------------------------------------------------------------------


def rotated_iou(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Intersection over union of every pair of oriented boxes, (N, 5) and (M, 5) to (N, M); exact.

    Two squares of side 2, one shifted by half a side: 2 / 6 = 0.3333.
    """
    return _pairwise_iou(_solid(boxes_to_corners(a)), _solid(boxes_to_corners(b)))


def polygon_iou(a: Sequence[npt.ArrayLike], b: Sequence[npt.ArrayLike]) -> Floats:
    """Intersection over union of every pair of polygons, N and M outlines of (K, 2) points to (N, M)."""
    return _pairwise_iou(_polygons(a), _polygons(b))


def _solid(corners: Floats) -> npt.NDArray[np.object_]:
    return np.asarray(shapely.polygons(corners), dtype=object)


def _polygons(outlines: Sequence[npt.ArrayLike]) -> npt.NDArray[np.object_]:
    shapes = np.array([shapely.Polygon(np.asarray(o, dtype=np.float64)) for o in outlines], dtype=object)
    return np.asarray(shapely.make_valid(shapes), dtype=object)


def _pairwise_iou(a: npt.NDArray[np.object_], b: npt.NDArray[np.object_]) -> Floats:
    out = np.zeros((len(a), len(b)))
    area_a, area_b = shapely.area(a), shapely.area(b)
    rows, cols = shapely.STRtree(b).query(a) if len(a) and len(b) else np.zeros((2, 0), dtype=np.int64)
    # A box without area is no valid polygon for GEOS, and shares nothing.
    solid = (area_a[rows] > 0) & (area_b[cols] > 0)
    rows, cols = rows[solid], cols[solid]
    both = shapely.area(shapely.intersection(a[rows], b[cols]))
    out[rows, cols] = both / (area_a[rows] + area_b[cols] - both)
    return out


# --- map and ground -----------------------------------------------------------------------------------------


def affine_points(transform: Affine, points: npt.ArrayLike) -> Floats:
    """Points, an array ending in 2, through an affine transform: pixels to map, or back with ``~``."""
    p = np.asarray(points, dtype=np.float64)
    a, b, c, d, e, f = tuple(transform)[:6]
    x, y = p[..., 0], p[..., 1]
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=-1)


@lru_cache(maxsize=64)
def _transformer(source_wkt: str, target_wkt: str) -> pyproj.Transformer:
    # Some builds fetch datum grids unasked, but nothing leaves the machine (DESIGN.md, decision 7).
    set_network_enabled(active=False)
    return pyproj.Transformer.from_crs(source_wkt, target_wkt, always_xy=True)


def _reproject(points: npt.ArrayLike, source: str, target: str) -> Floats:
    p = np.asarray(points, dtype=np.float64)
    x, y = _transformer(source, target).transform(p[..., 0], p[..., 1])
    out = np.stack([x, y], axis=-1).astype(np.float64)
    if not np.isfinite(out).all():
        raise GroundResolutionError(
            f"expected points inside the area of the coordinate system {source[:60]!r}, "
            "got some outside it: check the georeference of the scene"
        )
    return out


def to_lonlat(points_map: npt.ArrayLike, crs: CRS) -> Floats:
    """Points of a map in any CRS, an array ending in 2, as WGS 84 longitude and latitude in degrees.

    Raises:
        GroundResolutionError: if a point has no place on the Earth in that CRS.
    """
    return _reproject(points_map, CRS.from_user_input(crs).to_wkt(), "OGC:CRS84")


def from_lonlat(points_lonlat: npt.ArrayLike, crs: CRS) -> Floats:
    """Points in WGS 84 longitude and latitude as map coordinates of a CRS; the inverse of ``to_lonlat``.

    Raises:
        GroundResolutionError: if a point has no place in that CRS.
    """
    return _reproject(points_lonlat, "OGC:CRS84", CRS.from_user_input(crs).to_wkt())


def ground_area_m2(polygon_map: npt.ArrayLike, crs: CRS) -> float:
    """The area on the ellipsoid of a polygon (M, 2) of the map, in square metres; never negative."""
    lonlat = to_lonlat(polygon_map, crs)
    area, _ = _GEOD.polygon_area_perimeter(lonlat[:, 0], lonlat[:, 1])
    return abs(float(area))


def ground_length_m(line_map: npt.ArrayLike, crs: CRS) -> float:
    """The length on the ellipsoid of a line (M, 2) of the map, in metres; an open line stays open."""
    lonlat = to_lonlat(line_map, crs)
    return float(_GEOD.line_length(lonlat[:, 0], lonlat[:, 1])) if len(lonlat) > 1 else 0.0


def ground_sides_m(corners_map: npt.ArrayLike, crs: CRS) -> Floats:
    """The two sides of each box in metres on the ground, corners (N, 4, 2) to (N, 2), in their order."""
    lonlat = to_lonlat(np.asarray(corners_map, dtype=np.float64).reshape(-1, 4, 2), crs)
    after = np.roll(lonlat, -1, axis=1)
    _, _, metres = _GEOD.inv(lonlat[..., 0], lonlat[..., 1], after[..., 0], after[..., 1])
    return np.stack([(metres[:, 0] + metres[:, 2]) / 2, (metres[:, 1] + metres[:, 3]) / 2], axis=-1)


def gsd_m(transform: Affine, crs: CRS | None, width: int, height: int) -> tuple[float, float]:
    """Metres on the ground of one pixel in x and in y, at the centre of the scene.

    Measured along the ellipsoid, so that degrees, Web Mercator, feet and rotated transforms all come out
    right: a Web Mercator pixel of 1 unit at 60° north is 0.501 m.

    Raises:
        GroundResolutionError: if the CRS is missing or tied to no place on the Earth, or a pixel has no size.
    """
    if crs is None or not (crs.is_geographic or crs.is_projected):
        raise GroundResolutionError(
            "the scene has no coordinate system tied to the Earth, so its ground resolution is unknown: "
            "give it in metres per pixel with --gsd"
        )
    reach = 8.0  # far above rounding, far below where the scale of any map changes
    centre = np.array([width / 2, height / 2])
    ends = centre + reach * np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    lonlat = to_lonlat(affine_points(transform, ends), crs)
    _, _, metres = _GEOD.inv(lonlat[::2, 0], lonlat[::2, 1], lonlat[1::2, 0], lonlat[1::2, 1])
    gx, gy = (float(m) / (2 * reach) for m in metres)
    if not (np.isfinite([gx, gy]).all() and gx > 0 and gy > 0):
        raise GroundResolutionError(
            f"expected pixels with a size on the ground, got {gx} × {gy} m from the transform: "
            "mend the georeference or give --gsd"
        )
    return gx, gy
