"""What objects are put together from: outlines, roofs, galleries, strokes and smooth noise."""

from __future__ import annotations

import itertools
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull

from pithead.generate.canvas import BoolGrid, Canvas, FloatGrid, Patch

Points: TypeAlias = npt.NDArray[np.float64]
Colour: TypeAlias = tuple[float, float, float, float]

CONCRETE: Colour = (0.36, 0.35, 0.33, 0.34)
DIRT: Colour = (0.27, 0.235, 0.19, 0.31)
STEEL: Colour = (0.2, 0.2, 0.2, 0.2)
ROOFS: tuple[Colour, ...] = (
    (0.42, 0.42, 0.42, 0.42),
    (0.55, 0.56, 0.57, 0.55),
    (0.25, 0.25, 0.26, 0.25),
    (0.36, 0.19, 0.14, 0.34),
    (0.2, 0.28, 0.38, 0.3),
    (0.33, 0.29, 0.25, 0.33),
    (0.68, 0.68, 0.67, 0.66),
    (0.17, 0.17, 0.17, 0.18),
)


def tight_rectangle(points_m: npt.ArrayLike) -> Points:
    """The rectangle of least area round points has a side along a side of their hull.

    Args:
        points_m: (M, 2), M >= 3 and not all on one line.

    Returns:
        (4, 2) corners in order round it. Rotating calipers, Freeman and Shapira 1975.
    """
    points = np.asarray(points_m, np.float64)
    hull = points[ConvexHull(points).vertices]
    sides = np.roll(hull, -1, axis=0) - hull
    angles = np.arctan2(sides[:, 1], sides[:, 0])
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    normals = np.stack([-axes[:, 1], axes[:, 0]], axis=1)
    along, across = hull @ axes.T, hull @ normals.T
    best = int(np.argmin(np.ptp(along, axis=0) * np.ptp(across, axis=0)))
    u0, u1 = along[:, best].min(), along[:, best].max()
    v0, v1 = across[:, best].min(), across[:, best].max()
    local = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])
    return np.asarray(local @ np.stack([axes[best], normals[best]]), np.float64)


def sides_m(rectangle_m: Points) -> tuple[float, float]:
    """Long and short side of a rectangle of four corners, metres."""
    first, second = np.hypot(*(rectangle_m[1] - rectangle_m[0])), np.hypot(*(rectangle_m[2] - rectangle_m[1]))
    return float(max(first, second)), float(min(first, second))


def mask_rectangle(canvas: Canvas, patch: Patch, mask: BoolGrid) -> Points:
    """The tightest rectangle (4, 2) in metres round the cells of a mask, their corners included."""
    rows, cols = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    x, y = cols + patch.cols.start, rows + patch.rows.start
    cells = np.concatenate([np.stack([x + i, y + j], axis=1) for i in (0, 1) for j in (0, 1)])
    return tight_rectangle(cells * canvas.gsd_m)


def place(local_m: npt.ArrayLike, x_m: float, y_m: float, angle: float) -> Points:
    """Local (M, 2) metres along and across an angle to canvas metres."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.asarray(local_m, np.float64) @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(turned + np.array([x_m, y_m]), np.float64)


def rectangle(x_m: float, y_m: float, angle: float, length_m: float, width_m: float) -> Points:
    """Corners (4, 2) of a turned rectangle."""
    u, v = length_m / 2, width_m / 2
    return place([[-u, -v], [u, -v], [u, v], [-u, v]], x_m, y_m, angle)


def inside_canvas(canvas: Canvas, points_m: Points, margin_m: float = 0.0) -> bool:
    """Whether all points lie on the canvas, `margin_m` from its edge."""
    low, high = points_m.min(axis=0) - margin_m, points_m.max(axis=0) + margin_m
    return bool(low.min() >= 0 and (high <= np.array(canvas.size_m)).all())


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> FloatGrid:
    """Noise of standard deviation near 1 whose lumps are `cell` cells wide."""
    rows, cols = (int(np.ceil(n / cell)) + 4 for n in shape)
    lumps = rng.standard_normal((rows, cols)).astype(np.float32)
    at_rows = np.arange(shape[0], dtype=np.float32) / np.float32(cell) + 1
    at_cols = np.arange(shape[1], dtype=np.float32) / np.float32(cell) + 1
    return _stretch(_stretch(lumps, at_rows).T, at_cols).T * np.float32(1.4)


def _stretch(values: FloatGrid, at: FloatGrid) -> FloatGrid:
    low = at.astype(np.intp)
    share = at - low
    share = (share * share * (3 - 2 * share))[:, None]
    return np.asarray(values[low] * (1 - share) + values[low + 1] * share, np.float32)


def vary(colour: Colour, rng: np.random.Generator, spread: float = 0.12) -> Colour:
    """A colour of the same kind: brighter or darker, and a little of another hue."""
    factor = np.exp(rng.normal(0, spread)) * np.exp(rng.normal(0, spread / 5, 4))
    red, green, blue, infrared = np.clip(np.array(colour) * factor, 0.01, 0.9)
    return float(red), float(green), float(blue), float(infrared)


def roof_colour(rng: np.random.Generator) -> Colour:
    """The colour of a roof, drawn by chance."""
    return vary(ROOFS[int(rng.integers(len(ROOFS)))], rng)


def pad(canvas: Canvas, corners_m: Points, colour: Colour, strength: float, rng: np.random.Generator) -> None:
    """Trodden bare ground under and round a rectangle, with a ragged, fading edge."""
    centre, side, other = corners_m.mean(axis=0), corners_m[1] - corners_m[0], corners_m[2] - corners_m[1]
    half_u, half_v = float(np.hypot(*side)) / 2, float(np.hypot(*other)) / 2
    angle = float(np.arctan2(side[1], side[0]))
    fade = min(12.0, 0.4 * half_u, 0.4 * half_v) + 2
    found = canvas.patch(centre[0], centre[1], angle, half_u + fade, half_v + fade)
    if found is None:
        return
    beyond = np.maximum(np.abs(found.u) - half_u, np.abs(found.v) - half_v)
    ragged = beyond + fade * 0.5 * smooth_noise(beyond.shape, 9 / canvas.gsd_m, rng)
    patchy = 1 + 0.2 * smooth_noise(beyond.shape, 14 / canvas.gsd_m, rng)
    alpha = np.clip(0.5 - ragged / fade, 0, 1) * np.clip(strength * patchy, 0, 1)
    canvas.paint(found, alpha, colour, 0.08)


def block(canvas: Canvas, corners_m: Points, top_m: float, colour: Colour, *, ridge_m: float = 0.0) -> Points:
    """A building on a rectangle: level or gabled roof; its corners come back for the label.

    Args:
        canvas: Where to build.
        corners_m: (4, 2) from `rectangle`; the ridge runs along the first side.
        top_m: Height of the eaves above the ground.
        colour: Of the roof.
        ridge_m: How much higher the ridge is.
    """
    centre, side, other = corners_m.mean(axis=0), corners_m[1] - corners_m[0], corners_m[2] - corners_m[1]
    half_u, half_v = float(np.hypot(*side)) / 2, float(np.hypot(*other)) / 2
    angle = float(np.arctan2(side[1], side[0]))
    found = canvas.patch(centre[0], centre[1], angle, half_u + canvas.gsd_m, half_v + canvas.gsd_m)
    if found is None:
        return corners_m
    mask = (np.abs(found.u) <= half_u) & (np.abs(found.v) <= half_v)
    if ridge_m > 0:
        top = top_m + ridge_m * (1 - np.abs(found.v) / half_v)
        canvas.raise_to(found, mask, top.astype(np.float32))
    else:
        canvas.level_top(found, mask, top_m)
    canvas.paint(found, mask, colour, 0.04)
    return corners_m


def beam(
    canvas: Canvas,
    start_m: npt.ArrayLike,
    stop_m: npt.ArrayLike,
    width_m: float,
    tops_m: tuple[float, float],
    colour: Colour,
    *,
    dash_m: float = 0.0,
) -> Points:
    """A straight gallery, conveyor or strut whose top runs evenly from one height to another.

    Args:
        canvas: Where to build.
        start_m: (2,) metres.
        stop_m: (2,) metres.
        width_m: Of the beam.
        tops_m: Heights above the ground at start and stop.
        colour: Of the roof.
        dash_m: Above 0: only every second stretch of this length has height (trestles, lattices), so
            that light passes.

    Returns:
        (4, 2) corners.
    """
    first, last = np.asarray(start_m, np.float64), np.asarray(stop_m, np.float64)
    length = float(np.hypot(*(last - first)))
    angle = float(np.arctan2(*(last - first)[::-1]))
    centre = (first + last) / 2
    half = max(width_m, canvas.gsd_m * 1.01) / 2
    corners = rectangle(centre[0], centre[1], angle, length, 2 * half)
    found = canvas.patch(centre[0], centre[1], angle, length / 2 + canvas.gsd_m, half + canvas.gsd_m)
    if found is None:
        return corners
    mask = (np.abs(found.u) <= length / 2) & (np.abs(found.v) <= half)
    share = np.clip(found.u / max(length, 0.1) + 0.5, 0, 1)
    canvas.paint(found, mask, colour, 0.04)
    if dash_m > 0:
        mask &= np.mod(found.u + length / 2, 2 * dash_m) < dash_m
    canvas.raise_to(found, mask, tops_m[0] + (tops_m[1] - tops_m[0]) * share)
    return corners


def disc(canvas: Canvas, x_m: float, y_m: float, radius_m: float, top_m: float, colour: Colour) -> None:
    """A round level thing: tank, silo, sheave."""
    found = canvas.patch(x_m, y_m, 0.0, radius_m + 1, radius_m + 1)
    if found is None:
        return
    mask = np.hypot(found.u, found.v) <= radius_m
    canvas.level_top(found, mask, top_m)
    canvas.paint(found, mask, colour, 0.03)


def pieces(points_m: Points, longest_m: float = 50.0) -> list[tuple[Points, Points, float]]:
    """A polyline as short straight pieces: start (2,), stop (2,), metres along the line of the start."""
    cut: list[tuple[Points, Points, float]] = []
    along = 0.0
    for first, last in itertools.pairwise(points_m):
        length = float(np.hypot(*(last - first)))
        steps = max(1, int(np.ceil(length / longest_m)))
        marks = first + np.linspace(0, 1, steps + 1)[:, None] * (last - first)
        cut += [(marks[i], marks[i + 1], along + length * i / steps) for i in range(steps)]
        along += length
    return cut


def stroke(  # noqa: PLR0913  (a pen has many settings, each with a plain default)
    canvas: Canvas,
    points_m: Points,
    width_m: float,
    colour: Colour,
    *,
    alpha: float = 1.0,
    top_m: float = 0.0,
    dash_m: tuple[float, float] = (0.0, 0.0),
    gaps_m: tuple[tuple[float, float], ...] = (),
    ragged: float = 0.0,
    texture: float = 0.05,
) -> None:
    """Draw a polyline of a width, with or without height, left out in gaps given in metres along it.

    Args:
        canvas: Where.
        points_m: (M, 2); a ring repeats its first vertex here.
        width_m: Of the stroke; thinner than a cell gives a fainter line of one cell.
        colour: Reflectances.
        alpha: How much of the ground it hides.
        top_m: Height above the ground, following it.
        dash_m: Period and length of what is raised (posts); (0, 0) raises everywhere.
        gaps_m: (start, stop) along the line that stay as they are.
        ragged: 0 to 1, how far the edges wander.
        texture: As in `Canvas.paint`.
    """
    half = max(width_m, canvas.gsd_m * 1.01) / 2
    faint = alpha * min(1.0, width_m / (2 * half))
    reach = half * (1 + ragged)
    for first, last, start in pieces(points_m):
        length = float(np.hypot(*(last - first)))
        angle, centre = float(np.arctan2(*(last - first)[::-1])), (first + last) / 2
        found = canvas.patch(centre[0], centre[1], angle, length / 2 + reach, reach)
        if found is None or length == 0:
            continue
        along = found.u + np.float32(start + length / 2)
        end = np.maximum(np.abs(found.u) - length / 2, 0)
        edge = half - np.hypot(found.v, end)
        if ragged > 0:
            edge = edge + half * ragged * 0.6 * np.sin(along / 3.1 + 2 * np.sin(along / 7.7)) * np.sign(
                found.v
            )
        mask = edge >= 0
        for low, high in gaps_m:
            mask &= (along < low) | (along > high)
        body = mask & (np.abs(found.u) <= length / 2 + min(half, 1.0))
        canvas.paint(found, body * np.float32(faint), colour, texture)
        if top_m > 0:
            post = np.mod(along, dash_m[0]) < dash_m[1] if dash_m[0] > 0 else True
            canvas.raise_to(found, body & post, top_m)


def offset_line(points_m: Points, distance_m: float, *, closed: bool) -> Points:
    """A line or ring (M, 2) moved `distance_m` to the right of its way on the screen, with mitred corners."""
    before, after = np.roll(points_m, 1, axis=0), np.roll(points_m, -1, axis=0)
    if not closed:
        before[0], after[-1] = 2 * points_m[0] - points_m[1], 2 * points_m[-1] - points_m[-2]
    into, out = points_m - before, after - points_m
    into /= np.hypot(into[:, 0], into[:, 1])[:, None]
    out /= np.hypot(out[:, 0], out[:, 1])[:, None]
    normals = np.stack([-(into + out)[:, 1], (into + out)[:, 0]], axis=1)
    mitre = np.maximum(1 + (into * out).sum(axis=1), 0.3)[:, None]
    return np.asarray(points_m + distance_m * normals / mitre, np.float64)


def inside_polygon(x: FloatGrid, y: FloatGrid, ring_m: Points) -> BoolGrid:
    """Which points lie inside a ring (even-odd rule); x and y broadcast together."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)
    for (x0, y0), (x1, y1) in zip(ring_m, np.roll(ring_m, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y >= min(y0, y1)) & (y < max(y0, y1))
        inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
    return inside
