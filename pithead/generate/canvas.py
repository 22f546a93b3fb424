"""The sheet a scene is built on: heights, reflectances, what is taken and what is true."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

FloatGrid: TypeAlias = npt.NDArray[np.float32]
BoolGrid: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Truth:
    """One labelled object in metres: x right, y down, 0 at the canvas' outer corner.

    Attributes:
        class_name: One of mine_head, coal_heap, guard_perimeter, rail_loading, hard_negative.
        points_m: (M, 2): four corners of the tightest oriented rectangle, or the vertices of a line.
        closed: Whether a line is a ring. Its first vertex is not repeated.
        attributes: kind, material, height_m, area_m2 and the like.
    """

    class_name: str
    points_m: npt.NDArray[np.float64]
    closed: bool = False
    attributes: dict[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of cells around an object, with each cell's local coordinates.

    Attributes:
        rows: Rows of the canvas.
        cols: Columns of the canvas.
        u: (h, w) metres from the centre along the angle.
        v: (h, w) metres from the centre across it (u turned clockwise on the screen).
    """

    rows: slice
    cols: slice
    u: FloatGrid
    v: FloatGrid


@dataclass(slots=True)
class Canvas:
    """A scene under construction, finer than the sensor will see it.

    Attributes:
        gsd_m: Metres per cell.
        height: (H, W) metres, the ground and everything built on it.
        albedo: (H, W, 4) reflectance of red, green, blue and near infrared, 0 to 1.
        taken: (H, W) cells in use: objects are kept apart by it.
        truths: What the labels will say.
        rng: Source of chance of everything that has no own.
        ground: (H, W) metres, the terrain without objects.
    """

    gsd_m: float
    height: FloatGrid
    albedo: FloatGrid
    taken: BoolGrid
    truths: list[Truth]
    rng: np.random.Generator
    ground: FloatGrid

    @classmethod
    def flat(cls, width_m: float, height_m: float, gsd_m: float, seed: int = 0) -> Self:
        """An empty level canvas of one grey brown: for tests and trials."""
        shape = (round(height_m / gsd_m), round(width_m / gsd_m))
        albedo = np.empty((*shape, 4), np.float32)
        albedo[:] = (0.24, 0.21, 0.16, 0.28)
        ground = np.zeros(shape, np.float32)
        rng = np.random.default_rng(seed)
        return cls(gsd_m, ground.copy(), albedo, np.zeros(shape, np.bool_), [], rng, ground)

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height in metres."""
        rows, cols = self.taken.shape
        return cols * self.gsd_m, rows * self.gsd_m

    def window(self, x0_m: float, y0_m: float, x1_m: float, y1_m: float) -> tuple[slice, slice] | None:
        """Rows and columns that cover an upright rectangle, cut at the edge; None when none do."""
        rows, cols = self.taken.shape
        left, top = max(0, int(np.floor(x0_m / self.gsd_m))), max(0, int(np.floor(y0_m / self.gsd_m)))
        right = min(cols, int(np.ceil(x1_m / self.gsd_m)))
        bottom = min(rows, int(np.ceil(y1_m / self.gsd_m)))
        if right <= left or bottom <= top:
            return None
        return slice(top, bottom), slice(left, right)

    def coordinates(self, rows: slice, cols: slice) -> tuple[FloatGrid, FloatGrid]:
        """Metres x (1, w) and y (h, 1) of the cells' centres."""
        x = (np.arange(cols.start, cols.stop, dtype=np.float32) + np.float32(0.5)) * np.float32(self.gsd_m)
        y = (np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5)) * np.float32(self.gsd_m)
        return x[None, :], y[:, None]

    def patch(self, cx_m: float, cy_m: float, angle: float, half_u_m: float, half_v_m: float) -> Patch | None:
        """Cells of the hull of a turned rectangle, cut at the edge; None when it lies outside.

        Args:
            cx_m: Centre, metres right.
            cy_m: Centre, metres down.
            angle: Radians from +x towards +y (clockwise on the screen) of the u axis.
            half_u_m: Half of the extent along u.
            half_v_m: Half of the extent along v.
        """
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        reach_x = abs(cos) * half_u_m + abs(sin) * half_v_m
        reach_y = abs(sin) * half_u_m + abs(cos) * half_v_m
        found = self.window(cx_m - reach_x, cy_m - reach_y, cx_m + reach_x, cy_m + reach_y)
        if found is None:
            return None
        x, y = self.coordinates(*found)
        dx, dy = x - np.float32(cx_m), y - np.float32(cy_m)
        u = dx * np.float32(cos) + dy * np.float32(sin)
        v = dy * np.float32(cos) - dx * np.float32(sin)
        return Patch(found[0], found[1], u, v)

    def band(self, points_m: npt.ArrayLike, half_width_m: float) -> tuple[Patch, FloatGrid, FloatGrid] | None:
        """Distance from and way along a polyline for the cells of its hull; None when it lies outside.

        Args:
            points_m: (M, 2) vertices, M >= 2.
            half_width_m: How far beyond the vertices the hull reaches. Cells further away than this
                have distance inf.

        Returns:
            The patch (u, v are metres from the first vertex, unturned), the distance in metres (h, w)
            and the metres along the line (h, w) of each cell's nearest point of it.
        """
        points = np.asarray(points_m, np.float64)
        low, high = points.min(axis=0) - half_width_m, points.max(axis=0) + half_width_m
        found = self.window(low[0], low[1], high[0], high[1])
        if found is None:
            return None
        x, y = self.coordinates(*found)
        shape = (y.shape[0], x.shape[1])
        distance = np.full(shape, np.inf, np.float32)
        along = np.zeros(shape, np.float32)
        start = 0.0
        for first, last in pairwise(points):
            self._near_segment(found, first, last, half_width_m, start, distance, along)
            start += float(np.hypot(*(last - first)))
        u = np.broadcast_to(x - np.float32(points[0, 0]), shape)
        v = np.broadcast_to(y - np.float32(points[0, 1]), shape)
        return Patch(found[0], found[1], u, v), distance, along

    def _near_segment(
        self,
        hull: tuple[slice, slice],
        first: npt.NDArray[np.float64],
        last: npt.NDArray[np.float64],
        half_width_m: float,
        start_m: float,
        distance: FloatGrid,
        along: FloatGrid,
    ) -> None:
        low, high = np.minimum(first, last) - half_width_m, np.maximum(first, last) + half_width_m
        found = self.window(low[0], low[1], high[0], high[1])
        length = float(np.hypot(*(last - first)))
        if found is None or length == 0:
            return
        rows, cols = found
        x, y = self.coordinates(rows, cols)
        cos, sin = (last - first).astype(np.float64) / length
        dx, dy = x - np.float32(first[0]), y - np.float32(first[1])
        way = dx * np.float32(cos) + dy * np.float32(sin)
        across = dy * np.float32(cos) - dx * np.float32(sin)
        on_line = np.clip(way, 0, np.float32(length))
        near = np.hypot(across, way - on_line)
        inner = (
            slice(rows.start - hull[0].start, rows.stop - hull[0].start),
            slice(cols.start - hull[1].start, cols.stop - hull[1].start),
        )
        better = (near < distance[inner]) & (near <= half_width_m)
        distance[inner] = np.where(better, near, distance[inner])
        along[inner] = np.where(better, on_line + np.float32(start_m), along[inner])

    def free(self, where: Patch | npt.ArrayLike, margin_m: float = 0.0) -> bool:
        """Whether no cell of the place is taken; a place wholly outside is not free.

        Args:
            where: A patch (its whole hull is looked at) or (4, 2) corners in metres of a rectangle in
                order round it.
            margin_m: Room asked for round the corners' rectangle. Unused for a patch.
        """
        if isinstance(where, Patch):
            return not bool(self.taken[where.rows, where.cols].any())
        corners = np.asarray(where, np.float64)
        centre, side, other = corners.mean(axis=0), corners[1] - corners[0], corners[2] - corners[1]
        half_u, half_v = np.hypot(*side) / 2 + margin_m, np.hypot(*other) / 2 + margin_m
        found = self.patch(centre[0], centre[1], float(np.arctan2(side[1], side[0])), half_u, half_v)
        if found is None:
            return False
        inside = (np.abs(found.u) <= half_u) & (np.abs(found.v) <= half_v)
        return not bool((self.taken[found.rows, found.cols] & inside).any())

    def take(self, patch: Patch, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Mark the cells of the mask (or the whole hull) as used."""
        self.taken[patch.rows, patch.cols] |= np.True_ if mask is None else mask

    def paint(
        self,
        patch: Patch,
        alpha: npt.NDArray[np.floating] | npt.NDArray[np.bool_],
        colour: npt.ArrayLike,
        texture: float = 0.0,
    ) -> None:
        """Lay a colour over the patch.

        Args:
            patch: Where.
            alpha: (h, w) 0 to 1, how much of the old surface is hidden.
            colour: (4,) reflectances, or (h, w, 4).
            texture: Standard deviation of the relative brightness noise, over several scales.
        """
        weight = np.asarray(alpha, np.float32)[..., None]
        fill = np.asarray(colour, np.float32)
        if texture > 0:
            fill = fill * (1 + np.float32(texture) * self.noise(weight.shape[:2]))[..., None]
        area = self.albedo[patch.rows, patch.cols]
        area += weight * (fill - area)
        np.clip(area, 0.004, 1, out=area)

    def noise(self, shape: tuple[int, int]) -> FloatGrid:
        """Noise of standard deviation 1 or so: half of it cell by cell, half in 4-cell lumps."""
        fine = self.rng.standard_normal(shape, np.float32)
        lumps = self.rng.standard_normal((shape[0] // 4 + 1, shape[1] // 4 + 1), np.float32)
        coarse = np.repeat(np.repeat(lumps, 4, axis=0), 4, axis=1)[: shape[0], : shape[1]]
        return np.float32(0.7) * (fine + coarse)

    def raise_to(
        self, patch: Patch, mask: npt.NDArray[np.bool_], top_m: float | npt.NDArray[np.floating]
    ) -> None:
        """Build up to at least `top_m` (a number or (h, w)) above the local ground, under the mask."""
        area = self.height[patch.rows, patch.cols]
        top = self.ground[patch.rows, patch.cols] + np.asarray(top_m, np.float32)
        np.copyto(area, np.maximum(area, top), where=mask)

    def level_top(self, patch: Patch, mask: npt.NDArray[np.bool_], top_m: float) -> None:
        """Build a level top, `top_m` above the mean ground under the mask: roofs, tanks, towers."""
        if not mask.any():
            return
        area = self.height[patch.rows, patch.cols]
        level = np.float32(self.ground[patch.rows, patch.cols][mask].mean() + top_m)
        np.copyto(area, np.maximum(area, level), where=mask)

    def add_height(self, patch: Patch, extra_m: npt.NDArray[np.floating]) -> None:
        """Add metres (h, w) to what stands there, negative to dig."""
        self.height[patch.rows, patch.cols] += np.asarray(extra_m, np.float32)
