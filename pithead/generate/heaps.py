"""Heaps of loose bulk: cones, ridges and flat tops at the angle of repose, and yards of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pithead.generate.canvas import BoolGrid, Canvas, FloatGrid, Patch, Truth
from pithead.generate.parts import (
    Colour,
    Points,
    beam,
    block,
    inside_canvas,
    mask_rectangle,
    pad,
    rectangle,
    roof_colour,
    sides_m,
    smooth_noise,
    vary,
)

SMALLEST_M = 8.0
JOIN_M = 1.8  # heaps nearer than this cannot be told apart at 1.2 m and are one

MATERIALS: dict[str, Colour] = {
    "coal": (0.05, 0.049, 0.05, 0.055),
    "spoil": (0.19, 0.175, 0.155, 0.22),
    "spoil_light": (0.34, 0.325, 0.3, 0.36),
    "sand": (0.44, 0.37, 0.26, 0.5),
    "gravel": (0.4, 0.39, 0.375, 0.41),
    "ore": (0.27, 0.13, 0.085, 0.3),
    "salt": (0.75, 0.75, 0.74, 0.7),
    "unknown": (0.13, 0.105, 0.09, 0.15),
}
TAUGHT = frozenset({"coal", "spoil", "unknown"})
"""Dark bulk: what the guide keeps apart from it (sand, gravel, ore, salt) is a hard negative."""


@dataclass(frozen=True, slots=True)
class Heap:
    """One heap before it is poured: a crest and the radius of the foot round it.

    Attributes:
        crest_m: (K, 2) in the yard's own frame, one point for a cone.
        radius_m: From the crest to the toe.
        level_m: Where the top is cut flat; inf for a sharp crest.
    """

    crest_m: Points
    radius_m: float
    level_m: float


def heap_surface(u: FloatGrid, v: FloatGrid, heap: Heap, slope: float) -> FloatGrid:
    """Height over the ground, rising from the toe at `slope` (tangent) and negative outside.

    Args:
        u: (h, w) metres along the yard.
        v: (h, w) metres across it.
        heap: The heap.
        slope: Tangent of the angle of repose.
    """
    distance = np.full(u.shape, np.inf, np.float32)
    crest = heap.crest_m.astype(np.float32)
    if len(crest) == 1:
        distance = np.hypot(u - crest[0, 0], v - crest[0, 1])
    for first, last in itertools.pairwise(crest):
        way = last - first
        share = ((u - first[0]) * way[0] + (v - first[1]) * way[1]) / np.float32(max(float(way @ way), 1e-6))
        share = np.clip(share, 0, 1)
        distance = np.minimum(
            distance, np.hypot(u - first[0] - share * way[0], v - first[1] - share * way[1])
        )
    rise = np.float32(slope) * (np.float32(heap.radius_m) - distance)
    return np.asarray(np.minimum(rise, heap.level_m), np.float32)


def draw_heap(rng: np.random.Generator, scale: float, slope: float) -> Heap:
    """A heap of a kind drawn by chance: cone, ridge, curved ridge or flat top."""
    radius = float(np.clip(np.exp(rng.normal(np.log(9 * scale), 0.45)), 4.6, 24 * scale))
    kind = rng.choice(["cone", "ridge", "curve", "flat"], p=[0.2, 0.26, 0.17, 0.37])
    if kind == "cone":
        crest = np.zeros((1, 2))
    else:
        longest = 118 * max(scale, 1.0) - 2 * radius
        length = float(np.clip(radius * rng.uniform(0.8, 6), 4, max(longest, 5)))
        bend = rng.uniform(-0.9, 0.9) if kind == "curve" else rng.uniform(-0.12, 0.12)
        t = np.linspace(-1, 1, 9 if kind == "curve" else 4)
        crest = np.stack([t * length / 2, bend * (1 - t * t) * length / 2], axis=1)
        crest[:, 1] -= crest[:, 1].mean()
    level = slope * radius * rng.uniform(0.2, 0.75) if kind == "flat" else np.inf
    return Heap(crest, radius, float(level))


def lay_out(heaps: list[Heap], rng: np.random.Generator) -> list[Heap]:
    """Heaps side by side in up to three rows: mostly a lane between them, sometimes into each other."""
    rows = int(rng.integers(1, min(3, 1 + len(heaps) // 2) + 1))
    across, turned = 0.0, bool(rng.random() < 0.4)
    placed: list[Heap] = []
    for row in range(rows):
        members = heaps[row::rows]
        tall = max(_extent(heap, turned=turned)[1] for heap in members)
        along = float(rng.normal(0, 6))
        for heap in members:
            width, _ = _extent(heap, turned=turned)
            crest = heap.crest_m[:, ::-1] if turned else heap.crest_m
            middle = np.array([along + width / 2, across + tall / 2 + rng.normal(0, 1.5)])
            placed.append(Heap(crest + middle, heap.radius_m, heap.level_m))
            touching = rng.random() < 0.25
            along += width + (-0.35 * heap.radius_m if touching else rng.uniform(4, 16))
        across += tall + rng.uniform(5, 18)
    centre = np.concatenate([heap.crest_m for heap in placed]).mean(axis=0)
    return [Heap(heap.crest_m - centre, heap.radius_m, heap.level_m) for heap in placed]


def _extent(heap: Heap, *, turned: bool) -> tuple[float, float]:
    size = np.ptp(heap.crest_m, axis=0) + 2 * heap.radius_m
    return (float(size[1]), float(size[0])) if turned else (float(size[0]), float(size[1]))


def pour(patch: Patch, heaps: list[Heap], slope: float, gsd_m: float, rng: np.random.Generator) -> FloatGrid:
    """Heights (h, w) of all heaps together: wandering toes, gullies, dozer marks; 0 where there is none."""
    radius = float(np.mean([heap.radius_m for heap in heaps]))
    cell = max(radius * 0.9, 4) / gsd_m
    wander = min(0.09 * radius, 1.6)
    u = patch.u + np.float32(wander) * smooth_noise(patch.u.shape, cell, rng)
    v = patch.v + np.float32(wander) * smooth_noise(patch.u.shape, cell, rng)
    top = np.full(u.shape, -1, np.float32)
    for heap in heaps:
        np.maximum(top, heap_surface(u, v, heap, slope), out=top)
    rough = 0.1 * smooth_noise(u.shape, 1.5 / gsd_m, rng) + 0.16 * smooth_noise(u.shape, 4 / gsd_m, rng)
    depth = np.clip(top / 1.5, 0, 1)
    return np.where(top > 0, np.maximum(top + depth * rough, 0.05), 0).astype(np.float32)


def footprints(top: FloatGrid, gsd_m: float) -> list[BoolGrid]:
    """One mask (h, w) per heap that can be told from the others; heaps that touch are one."""
    solid = top > 0
    reach = max(1, round(JOIN_M / 2 / gsd_m))
    grown = ndimage.distance_transform_edt(~solid) <= reach
    parts, count = ndimage.label(grown, np.ones((3, 3)))
    return [(parts == i) & solid for i in range(1, count + 1)]


def _cover(canvas: Canvas, patch: Patch, top: FloatGrid, colour: Colour, rng: np.random.Generator) -> None:
    """Colour of the heaps, and the dusted ground round them."""
    solid = top > 0
    away = (ndimage.distance_transform_edt(~solid) * canvas.gsd_m).astype(np.float32)
    reach = float(rng.uniform(1.5, 7))
    ragged = away + 0.35 * reach * smooth_noise(top.shape, 8 / canvas.gsd_m, rng)
    border = _ramp(top.shape[0], 9 / canvas.gsd_m)[:, None]
    border = np.minimum(border, _ramp(top.shape[1], 9 / canvas.gsd_m)[None, :])
    strength = rng.uniform(0.35, 0.95)
    dust = strength * np.exp(-np.clip(ragged, 0, None) / reach) * border
    canvas.paint(patch, np.clip(dust, 0, 1), _dust(colour, rng), 0.1)
    tone = 1 + 0.1 * smooth_noise(top.shape, 7 / canvas.gsd_m, rng)
    streak = 1 + 0.06 * np.sin(patch.v * np.float32(rng.uniform(1.2, 2.2)) + tone * 6)
    fill = np.asarray(colour, np.float32) * (tone * streak)[..., None].astype(np.float32)
    canvas.paint(patch, solid, fill, float(rng.uniform(0.05, 0.12)))


def _dust(colour: Colour, rng: np.random.Generator) -> Colour:
    """The stuff trodden into the ground: mostly paler than the heap when it is dark."""
    red, green, blue, infrared = np.array(colour) * rng.uniform(0.95, 1.9 if colour[0] < 0.15 else 1.2)
    return float(red), float(green), float(blue), float(infrared)


def _ramp(count: int, cells: float) -> FloatGrid:
    at = np.arange(count, dtype=np.float32)
    return np.clip(np.minimum(at, count - 1 - at) / np.float32(cells), 0, 1)


def _build(
    canvas: Canvas,
    where: tuple[float, float, float],
    heaps: list[Heap],
    material: str,
    rng: np.random.Generator,
) -> list[Truth]:
    """Pour heaps on free ground; the truths of those that stand, or none where there is no room."""
    x_m, y_m, angle = where
    slope = float(np.tan(np.radians(np.clip(rng.normal(35, 1.5), 32, 38))))
    reach = [np.abs(heap.crest_m).max(axis=0) + heap.radius_m + 2 for heap in heaps]
    half_u, half_v = np.max(reach, axis=0)
    yard = rectangle(x_m, y_m, angle, 2 * half_u + 10, 2 * half_v + 10)
    if not inside_canvas(canvas, yard) or not canvas.free(yard):
        return []
    patch = canvas.patch(x_m, y_m, angle, half_u + 14, half_v + 14)
    if patch is None:
        return []
    top = pour(patch, heaps, slope, canvas.gsd_m, rng)
    colour = vary(MATERIALS[material], rng, 0.45 if material == "coal" else 0.2)
    found: list[Truth] = []
    for mask in footprints(top, canvas.gsd_m):
        box = mask_rectangle(canvas, patch, mask)
        if sides_m(box)[1] < SMALLEST_M:
            top[mask] = 0
            continue
        found.append(_truth(box, mask, top, material, canvas.gsd_m))
    free = ~canvas.taken[patch.rows, patch.cols]
    before = canvas.albedo[patch.rows, patch.cols].copy()
    if rng.random() < 0.6:
        dusted = rectangle(x_m, y_m, angle, *(2 * np.array([half_u, half_v]) * rng.uniform(0.75, 1.05, 2)))
        # A yard that has held the stuff for years has its colour: only relief tells the heap from it.
        same = rng.random() < 0.4
        tone = vary(colour, rng, 0.1) if same else vary(_dust(colour, rng), rng)
        pad(canvas, dusted, tone, float(rng.uniform(0.85, 1.0) if same else rng.uniform(0.4, 0.95)), rng)
    _cover(canvas, patch, top, colour, rng)
    canvas.albedo[patch.rows, patch.cols][~free] = before[~free]
    canvas.raise_to(patch, top > 0, top)
    canvas.take(patch, (np.abs(patch.u) <= half_u + 5) & (np.abs(patch.v) <= half_v + 5))
    canvas.truths.extend(found)
    return found


def _truth(box: Points, mask: BoolGrid, top: FloatGrid, material: str, gsd_m: float) -> Truth:
    long_m, short_m = sides_m(box)
    facts: dict[str, str | float] = {
        "material": material,
        "kind": "heap",
        "height_m": round(float(top[mask].max()), 2),
        "area_m2": round(float(mask.sum()) * gsd_m**2, 1),
        "box_area_m2": round(long_m * short_m, 1),
    }
    return Truth("coal_heap" if material in TAUGHT else "hard_negative", box, attributes=facts)


def _stacker(canvas: Canvas, truth: Truth, rng: np.random.Generator) -> None:
    """A conveyor that rises to the top of a heap from beyond the yard, where the way is free."""
    centre = truth.points_m.mean(axis=0)
    corner = truth.points_m[int(rng.integers(4))]
    way = (corner - centre) / np.hypot(*(corner - centre))
    height = float(truth.attributes["height_m"]) + rng.uniform(1, 4)
    stop = centre + way * (np.hypot(*(corner - centre)) + rng.uniform(10, 45))
    if not inside_canvas(canvas, stop[None, :], 8):
        return
    colour = roof_colour(rng)
    end = rectangle(stop[0], stop[1], float(np.arctan2(way[1], way[0])), 8, 6)
    beam(canvas, stop, centre, float(rng.uniform(1.8, 3.2)), (3.0, height), colour)
    block(canvas, end, float(rng.uniform(3, 7)), colour)


def _bay(canvas: Canvas, truth: Truth, rng: np.random.Generator) -> None:
    """Low walls on two or three sides of a heap."""
    corners = truth.points_m
    centre = corners.mean(axis=0)
    wall = vary((0.4, 0.39, 0.37, 0.4), rng, 0.2)
    for first in range(int(rng.integers(2, 4))):
        ends = centre + (corners[[first, (first + 1) % 4]] - centre) * (
            1 + 1.2 / np.hypot(*(corners[first] - centre))
        )
        beam(canvas, ends[0], ends[1], 1.0, (2.5, 2.5), wall)


def _trucks(canvas: Canvas, x_m: float, y_m: float, reach_m: float, rng: np.random.Generator) -> None:
    """Some lorries and loaders beside the heaps."""
    for _ in range(int(rng.integers(0, 5))):
        at = np.array([x_m, y_m]) + rng.normal(0, reach_m / 2, 2)
        patch = canvas.patch(at[0], at[1], 0, 5, 5)
        if patch is None:
            continue
        near = canvas.height[patch.rows, patch.cols] - canvas.ground[patch.rows, patch.cols]
        if near.max() < 0.3:
            lorry = rectangle(at[0], at[1], rng.uniform(0, np.pi), rng.uniform(6, 10), 2.6)
            block(canvas, lorry, float(rng.uniform(2, 3.2)), roof_colour(rng))


def add_heap_yard(
    canvas: Canvas,
    x_m: float,
    y_m: float,
    angle: float,
    rng: np.random.Generator,
    material: str | None = None,
) -> bool:
    """One to eight heaps of coal, spoil or dark bulk on dusted ground; False when there is no free room.

    Args:
        canvas: Where to build.
        x_m: Centre of the yard.
        y_m: Centre of the yard.
        angle: Radians clockwise on the screen of the rows.
        rng: Source of chance.
        material: One of those taught; by chance, mostly coal, if not given.
    """
    stuff = material or str(rng.choice(["coal", "spoil", "unknown"], p=[0.74, 0.13, 0.13]))
    slope = float(np.tan(np.radians(35)))
    count = int(rng.choice([1, 2, 3, 4, 5, 6, 7, 8], p=[0.28, 0.2, 0.15, 0.12, 0.09, 0.07, 0.05, 0.04]))
    scale = float(np.exp(rng.normal(0.15, 0.42)))
    heaps = [draw_heap(rng, min(scale, 2.0 if count < 4 else 1.4), slope) for _ in range(count)]
    heaps = [_lobed(heap, rng) for heap in heaps]
    found = _build(canvas, (x_m, y_m, angle), lay_out(heaps, rng), stuff, rng)
    if not found:
        return False
    if len(found) == 1 and rng.random() < 0.3:
        _bay(canvas, found[0], rng)
    if rng.random() < 0.4:
        _stacker(canvas, found[int(rng.integers(len(found)))], rng)
    _trucks(canvas, x_m, y_m, 20 + 8 * count, rng)
    return True


def _lobed(heap: Heap, rng: np.random.Generator) -> Heap:
    """A cone, or several cones tipped into each other: a crest that jumps from lobe to lobe."""
    if len(heap.crest_m) > 1 or rng.random() < 0.5:
        return heap
    steps = rng.normal(0, heap.radius_m * 0.7, (int(rng.integers(1, 4)), 2))
    return Heap(np.concatenate([heap.crest_m, np.cumsum(steps, axis=0)]), heap.radius_m, heap.level_m)


def add_distractor_heap(
    canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator
) -> bool:
    """Heaps of another stuff, labelled hard_negative; False when there is no free room.

    Args:
        canvas: Where to build.
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen.
        rng: Source of chance.
    """
    material = str(rng.choice(["sand", "gravel", "ore", "salt"], p=[0.38, 0.36, 0.17, 0.09]))
    scale = float(rng.uniform(0.6, 2.0))
    slope = float(np.tan(np.radians(35)))
    heaps = [_lobed(draw_heap(rng, scale, slope), rng) for _ in range(int(rng.integers(1, 5)))]
    found = _build(canvas, (x_m, y_m, angle), lay_out(heaps, rng), material, rng)
    if found:
        _trucks(canvas, x_m, y_m, 25, rng)
    return bool(found)


def add_small_heap(
    canvas: Canvas, at_m: Points, radius_m: float, material: str, rng: np.random.Generator
) -> None:
    """A cone at the end of a conveyor, part of a plant: poured and coloured, and only coal is labelled."""
    patch = canvas.patch(at_m[0], at_m[1], 0.0, radius_m + 14, radius_m + 14)
    if patch is None:
        return
    heap = Heap(np.zeros((1, 2)), radius_m, np.inf)
    top = pour(patch, [heap], float(np.tan(np.radians(35))), canvas.gsd_m, rng)
    _cover(canvas, patch, top, vary(MATERIALS[material], rng), rng)
    canvas.raise_to(patch, top > 0, top)
    box = mask_rectangle(canvas, patch, top > 0)
    if material == "coal" and sides_m(box)[1] >= SMALLEST_M:
        canvas.truths.append(_truth(box, top > 0, top, material, canvas.gsd_m))
