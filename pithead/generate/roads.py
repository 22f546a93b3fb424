"""Roads, tracks, hedges, bare railways, and the worked ground of a mine."""

import numpy as np

from pithead.generate.canvas import Canvas, FloatGrid, Patch
from pithead.generate.noise import fractal, lattice, smoothstep
from pithead.generate.parts import (
    DIRT,
    Colour,
    Points,
    place,
    vary,
)

ASPHALT = (0.13, 0.13, 0.13, 0.14)


def lay_road(
    canvas: Canvas,
    points_m: Points,
    kind: str,
    rng: np.random.Generator,
    dirt: Colour = (0.36, 0.31, 0.24, 0.4),
) -> None:
    """A paved road, dirt track, wheel ruts, hedge or bare railway along a line; roads and rails are taken."""
    half = {
        "paved": rng.uniform(2.8, 6),
        "dirt": rng.uniform(1.4, 3.2),
        "ruts": 1.1,
        "hedge": rng.uniform(0.8, 2),
    }.get(kind, 2.6)
    reach = float(half) * 2 + 3
    base = ASPHALT if half > 4 else (0.2, 0.195, 0.18, 0.22)
    tone = vary(
        {"paved": base, "rail": (0.23, 0.21, 0.19, 0.24), "hedge": (0.05, 0.07, 0.04, 0.3)}.get(kind, dirt),
        rng,
    )
    for first in range(0, len(points_m) - 1, 3):
        found = canvas.band(points_m[first : first + 4], reach)
        if found is None:
            continue
        patch, distance, along = found
        distance = np.minimum(distance, reach)
        keep = np.ones_like(distance)
        if kind in {"ruts", "hedge", "dirt"}:
            keep[canvas.taken[patch.rows, patch.cols]] = 0
        wander = np.float32(0.12 * half + 0.15) * fractal(rng, distance.shape, 9 / canvas.gsd_m, 4)
        _surface(canvas, patch, (distance, along), (distance + wander, keep), kind, float(half), tone)
    for first in range(0, len(points_m) - 1, 3):
        found = canvas.band(points_m[first : first + 4], reach)
        if found is not None and kind in {"paved", "rail", "dirt"}:
            canvas.take(found[0], found[1] <= half + 1)


def _surface(
    canvas: Canvas,
    patch: Patch,
    way: tuple[FloatGrid, FloatGrid],
    edge: tuple[FloatGrid, FloatGrid],
    kind: str,
    half: float,
    tone: Colour,
) -> None:
    distance, along = way
    ragged, keep = edge
    verge = smoothstep(ragged, half * 1.9 + 1.5, half) * keep
    body = smoothstep(ragged if kind != "paved" else distance, half + 0.35, half - 0.35) * keep
    if kind == "hedge":
        canvas.paint(patch, body, tone, 0.2)
        canvas.add_height(patch, body * np.float32(2.2) * (0.7 + 0.3 * lattice(canvas.rng, body.shape, 5)))
        return
    if kind == "ruts":
        tread = smoothstep(np.abs(distance - 0.75), 0.5, 0.15) * keep
        canvas.paint(patch, tread * np.float32(0.55), tone, 0.1)
        return
    canvas.paint(patch, verge * np.float32(0.4), np.array(tone) * 0.5 + np.array(DIRT) * 0.5, 0.1)
    canvas.paint(patch, body * np.float32(0.92), tone, 0.06)
    if kind == "rail":
        sleepers = (np.mod(along, 1.2) < 0.4) & (distance < 1.3)
        canvas.paint(patch, sleepers * np.float32(0.3), (0.12, 0.11, 0.1, 0.13))
        rails = smoothstep(np.abs(distance - 0.72), 0.3, 0.1)
        canvas.paint(patch, rails * np.float32(0.7), (0.3, 0.28, 0.26, 0.3))
        canvas.add_height(patch, body * np.float32(0.5))
    elif kind == "paved" and half > 3.5:
        marks = (distance < 0.12 + canvas.gsd_m / 2) & (np.mod(along, 9) < 3.5)
        canvas.paint(patch, marks * np.float32(0.35), (0.6, 0.6, 0.58, 0.6))
    elif kind == "dirt":
        worn = smoothstep(np.abs(distance - 0.8), 0.7, 0.2) * body
        canvas.paint(patch, worn * np.float32(0.4), np.array(tone) * 1.15, 0.05)


def blacken(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> None:
    """The working ground of a mine: bare, often black with coal dust, rutted by lorries; takes no room."""
    reach_u, reach_v = float(rng.uniform(60, 190)), float(rng.uniform(40, 130))
    patch = canvas.patch(x_m, y_m, angle, reach_u * 1.4, reach_v * 1.4)
    if patch is None:
        return
    shape = patch.u.shape
    grounds = ((0.055, 0.052, 0.05, 0.065), (0.09, 0.085, 0.08, 0.10), (0.15, 0.14, 0.13, 0.17), DIRT)
    square = float(rng.uniform(2, 6))
    way = (np.abs(patch.u / reach_u) ** square + np.abs(patch.v / reach_v) ** square) ** np.float32(
        1 / square
    )
    way += np.float32(0.22) * fractal(rng, shape, 60 / canvas.gsd_m, 7, 0.6)
    for strength, edge in ((0.75, 1.0), (0.7, float(rng.uniform(0.5, 0.9)))):
        alpha = smoothstep(way, edge, edge - float(rng.uniform(0.08, 0.4))) * np.float32(strength)
        alpha *= np.clip(0.8 + 0.25 * fractal(rng, shape, 25 / canvas.gsd_m, 7, 0.75), 0, 1)
        alpha[canvas.taken[patch.rows, patch.cols]] = 0
        colour = vary(grounds[int(rng.choice(4, p=(0.4, 0.25, 0.15, 0.2)))], rng, 0.2)
        canvas.paint(patch, alpha, colour, float(rng.uniform(0.06, 0.14)))
    for _ in range(int(rng.integers(2, 8))):
        ends = place(rng.uniform(-0.9, 0.9, (2, 2)) * (reach_u, reach_v), x_m, y_m, angle)
        bend = rng.normal(0, 18, 2)
        share = np.linspace(0, 1, 10)[:, None]
        lay_road(canvas, ends[0] + share * (ends[1] - ends[0]) + np.sin(np.pi * share) * bend, "ruts", rng)
