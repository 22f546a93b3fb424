"""Large works behind a boundary line: tank farms, depots and plants, often larger than the scene."""

from __future__ import annotations

import numpy as np

from pithead.generate import buildings, heaps, rail, yards
from pithead.generate.canvas import Canvas, FloatGrid, Patch, Truth
from pithead.generate.lots import Adder
from pithead.generate.parts import (
    CONCRETE,
    DIRT,
    Colour,
    Points,
    inside_polygon,
    offset_line,
    place,
    smooth_noise,
    stroke,
    vary,
)
from pithead.generate.perimeters import (
    Fence,
    add_gatehouse,
    build_fence,
    draw_gates,
    draw_ring,
    line_length_m,
)

GROUNDS: tuple[Colour, ...] = (
    CONCRETE,
    DIRT,
    (0.21, 0.2, 0.185, 0.22),
    (0.42, 0.38, 0.31, 0.44),
    (0.1, 0.13, 0.065, 0.36),
    (0.14, 0.135, 0.13, 0.15),
)
ROAD: Colour = (0.24, 0.235, 0.225, 0.24)
LEAST_LINE_M, ROOM_M = 120.0, 9.0

_INSIDE: tuple[tuple[Adder, float], ...] = (
    (buildings.add_tank_farm, 4.0),
    (buildings.add_industry, 2.0),
    (buildings.add_hall, 2.2),
    (yards.add_container_yard, 1.0),
    (yards.add_car_park, 0.8),
    (yards.add_tarpaulin_yard, 0.4),
    (yards.add_pond, 0.5),
    (yards.add_stain, 0.6),
    (heaps.add_heap_yard, 1.0),
    (heaps.add_distractor_heap, 0.8),
    (rail.add_rail_yard, 0.8),
)
_TARGETS = (heaps.add_heap_yard, rail.add_rail_yard)


def draw_boundary(rng: np.random.Generator) -> Fence:
    """A plain wall or fence with a narrow strip or none: what stands round most works."""
    wall = bool(rng.random() < 0.5)
    pale = bool(rng.random() < 0.6)
    colour = vary((0.46, 0.44, 0.4, 0.46) if pale else (0.12, 0.115, 0.11, 0.14), rng, 0.25)
    strip = float(rng.choice([0.3, rng.uniform(1, 6)])), float(rng.choice([0.3, rng.uniform(0.5, 3)]))
    soil = vary(DIRT if rng.random() < 0.5 else CONCRETE, rng, 0.3)
    height, width = float(rng.uniform(2, 3.5)), float(rng.uniform(0.4, 1.2))
    return Fence("wall" if wall else "fence", strip, 0.0, height, width, colour, soil, track=False)


def add_works(
    canvas: Canvas, angle: float, rng: np.random.Generator, *, fenced: bool = True, targets: bool = True
) -> Points | None:
    """Works of 150 m to over a kilometre on the canvas or over its edge; their line, None without room.

    The ground inside is paved, bare or mown up to the line; a road often runs along the inside; tanks, halls,
    yards, heaps and sidings stand in the blocks between the roads. The truth is the line.

    Args:
        canvas: Where to build.
        angle: Radians clockwise on the screen of sides and roads.
        rng: Source of chance.
        fenced: Without a fence the ground frays out, and there is no truth.
        targets: Whether heaps and sidings may stand inside.
    """
    size = float(np.clip(np.exp(rng.normal(np.log(430), 0.55)), 150, 1500))
    centre = np.array(canvas.size_m) * rng.uniform(-0.1, 1.1, 2)
    ring = place(draw_ring(rng, size), centre[0], centre[1], angle)
    found = _room(canvas, ring)
    if found is None:
        return None
    patch, inside, line = found
    ground = vary(GROUNDS[int(rng.choice(len(GROUNDS), p=(0.2, 0.25, 0.17, 0.13, 0.15, 0.1)))], rng, 0.2)
    patchy = 1 + 0.25 * smooth_noise(inside.shape, 30 / canvas.gsd_m, rng)
    if not fenced:
        patchy = np.clip(0.5 + 0.9 * smooth_noise(inside.shape, 45 / canvas.gsd_m, rng), 0, 1)
    canvas.paint(patch, inside * np.clip(rng.uniform(0.45, 1.0) * patchy, 0, 1), ground, 0.06)
    if fenced:
        canvas.truths.append(_enclose(canvas, ring, rng))
        canvas.taken[line[0].rows, line[0].cols] |= line[1] < ROOM_M
    inner = [pair for pair in _INSIDE if targets or pair[0] not in _TARGETS]
    _fill(canvas, (patch, inside), (float(centre[0]), float(centre[1]), angle), inner, rng)
    return ring


def _enclose(canvas: Canvas, ring: Points, rng: np.random.Generator) -> Truth:
    """Road and hedge along the line, fence or wall with its gates on it; the truth."""
    fence = draw_boundary(rng)
    if rng.random() < 0.65:
        way = offset_line(ring, float(rng.uniform(7, 16)), closed=True)
        road = vary(ROAD, rng, 0.3)
        stroke(canvas, np.concatenate([way, way[:1]]), float(rng.uniform(4, 8)), road, alpha=0.9)
    if rng.random() < 0.25:
        hedge = offset_line(ring, -float(rng.uniform(3, 7)), closed=True)
        green = vary((0.06, 0.085, 0.045, 0.3), rng, 0.25)
        stroke(canvas, hedge, float(rng.uniform(2, 5)), green, top_m=3, ragged=0.4, texture=0.2)
    gates = draw_gates(ring, rng, closed=True)
    for gate in gates:
        add_gatehouse(canvas, ring, gate, rng, closed=True)
    build_fence(canvas, ring, fence, gates, closed=True)
    facts: dict[str, str | float] = {
        "kind": "industrial",
        "fence": fence.kind,
        "length_m": round(line_length_m(ring, closed=True), 1),
    }
    return Truth("guard_perimeter", ring, closed=True, attributes=facts)


def _room(canvas: Canvas, ring_m: Points) -> tuple[Patch, FloatGrid, tuple[Patch, FloatGrid]] | None:
    """The hull of a ring, what lies inside, the distance from its line; None if too little is seen of it."""
    band = canvas.band(np.concatenate([ring_m, ring_m[:1]]), 14.0)
    if band is None or canvas.taken[band[0].rows, band[0].cols][band[1] < ROOM_M].any():
        return None
    if float((band[1] < ROOM_M).sum()) * canvas.gsd_m**2 / (2 * ROOM_M) < LEAST_LINE_M:
        return None
    low, high = ring_m.min(axis=0), ring_m.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    patch = canvas.patch(middle[0], middle[1], 0.0, half[0], half[1])
    if patch is None:
        return None
    x, y = canvas.coordinates(patch.rows, patch.cols)
    inside = inside_polygon(x, y, ring_m).astype(np.float32)
    return (patch, inside, (band[0], band[1])) if inside.sum() * canvas.gsd_m**2 > 6000 else None


def _fill(
    canvas: Canvas,
    ground: tuple[Patch, FloatGrid],
    at: tuple[float, float, float],
    inner: list[tuple[Adder, float]],
    rng: np.random.Generator,
) -> None:
    """Plant crowded inside the line, all in one direction, and a grid of roads on what it leaves free."""
    patch, inside = ground
    adders = [adder for adder, _ in inner]
    weights = np.array([weight for _, weight in inner]) * rng.uniform(0.1, 2, len(adders)) ** 2
    area_m2 = float(inside.sum()) * canvas.gsd_m**2
    rows, cols = np.nonzero(inside[::8, ::8])
    picks = rng.integers(len(rows), size=int(min(220, area_m2 / 1500 * rng.uniform(0.3, 1.6))))
    for pick in picks.tolist():
        spot = (
            np.array([cols[pick] * 8 + patch.cols.start, rows[pick] * 8 + patch.rows.start]) + 4
        ) * canvas.gsd_m
        turn = at[2] + float(rng.choice([0, np.pi / 2]))
        adder = adders[int(rng.choice(len(adders), p=weights / weights.sum()))]
        adder(canvas, float(spot[0]), float(spot[1]), turn, rng)
    pitch, road, width = rng.uniform(55, 170, 2), vary(ROAD, rng, 0.3), float(rng.uniform(4, 7))
    x, y = canvas.coordinates(patch.rows, patch.cols)
    cos, sin = np.float32(np.cos(at[2])), np.float32(np.sin(at[2]))
    u = (x - np.float32(at[0])) * cos + (y - np.float32(at[1])) * sin
    v = (y - np.float32(at[1])) * cos - (x - np.float32(at[0])) * sin
    ways = (np.mod(u, np.float32(pitch[0])) < width) | (np.mod(v, np.float32(pitch[1])) < width)
    ways &= (inside > 0) & ~canvas.taken[patch.rows, patch.cols]
    canvas.paint(patch, ways * np.float32(rng.uniform(0.4, 0.95)), road, 0.05)
    canvas.take(patch, (inside > 0) if rng.random() < 0.6 else ways)
