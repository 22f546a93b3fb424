"""What looks like the targets and is not: plain industry, houses, ponds, yards, walls, roads.

Every `add_` function has the form of those of the targets: False when there is no free room. Those that
detectors take for a target leave a `hard_negative` truth.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from pithead.generate.canvas import Canvas, FloatGrid, Patch, Truth
from pithead.generate.noise import fractal, lattice, smoothstep
from pithead.generate.parts import (
    CONCRETE,
    DIRT,
    Points,
    beam,
    block,
    disc,
    inside_canvas,
    pad,
    place,
    rectangle,
    roof_colour,
    stroke,
    vary,
)

Colour: TypeAlias = tuple[float, float, float, float]
Adder: TypeAlias = Callable[[Canvas, float, float, float, np.random.Generator], bool]

ASPHALT = (0.13, 0.13, 0.13, 0.14)
DARK_ROOF = (0.07, 0.07, 0.075, 0.08)
TILES = (
    (0.33, 0.16, 0.11, 0.34),
    (0.24, 0.17, 0.14, 0.27),
    (0.42, 0.40, 0.38, 0.42),
    (0.16, 0.22, 0.33, 0.28),
)
CARS = (
    (0.7, 0.7, 0.7, 0.7),
    (0.05, 0.05, 0.05, 0.06),
    (0.3, 0.31, 0.32, 0.3),
    (0.35, 0.06, 0.05, 0.3),
    (0.08, 0.12, 0.3, 0.2),
)
BOXES = (
    (0.45, 0.13, 0.08, 0.4),
    (0.10, 0.18, 0.38, 0.25),
    (0.55, 0.55, 0.53, 0.55),
    (0.12, 0.26, 0.16, 0.3),
    (0.5, 0.32, 0.1, 0.45),
    (0.2, 0.2, 0.21, 0.2),
)


def _site(
    canvas: Canvas, x_m: float, y_m: float, angle: float, length_m: float, width_m: float
) -> tuple[Patch, Points] | None:
    """Room for a rectangle: its patch and corners, taken at once; None when there is none."""
    corners = rectangle(x_m, y_m, angle, length_m, width_m)
    if not inside_canvas(canvas, corners, -0.2 * length_m) or not canvas.free(corners):
        return None
    patch = canvas.patch(x_m, y_m, angle, length_m / 2, width_m / 2)
    if patch is None:
        return None
    canvas.take(patch, (np.abs(patch.u) <= length_m / 2) & (np.abs(patch.v) <= width_m / 2))
    return patch, corners


def _inside(patch: Patch, length_m: float, width_m: float, ragged: FloatGrid | float = 0.0) -> FloatGrid:
    beyond = np.maximum(np.abs(patch.u) - length_m / 2, np.abs(patch.v) - width_m / 2)
    return smoothstep(beyond + ragged, 0.0, -1.2)


def _negative(canvas: Canvas, corners_m: Points, kind: str) -> None:
    canvas.truths.append(Truth("hard_negative", corners_m, attributes={"kind": kind}))


def _fittings(
    canvas: Canvas, at: tuple[float, float, float], size: tuple[float, float], top_m: float
) -> None:
    """Vents, skylights and stains on a level roof."""
    rng = canvas.rng
    for _ in range(int(rng.integers(0, 9))):
        spot = place([rng.uniform(-0.42, 0.42, 2) * size], *at)[0]
        side = rng.uniform(0.8, 3.5, 2)
        colour = vary((0.5, 0.5, 0.5, 0.5), rng, 0.5)
        block(
            canvas, rectangle(spot[0], spot[1], at[2], side[0], side[1]), top_m + rng.uniform(0.5, 2), colour
        )


def add_hall(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """One to four industrial halls with level or low gabled roofs, often dark, on a paved yard."""
    count = int(rng.integers(1, 5))
    length, width = float(rng.uniform(18, 75)), float(rng.uniform(10, 30))
    gap = float(rng.uniform(0, 9))
    deep = count * (width + gap) + 8
    if _site(canvas, x_m, y_m, angle, length + 14, deep + 8) is None:
        return False
    ground = vary(CONCRETE if rng.random() < 0.5 else DIRT, rng, 0.25)
    pad(canvas, rectangle(x_m, y_m, angle, length + 12, deep), ground, float(rng.uniform(0.4, 0.95)), rng)
    dark = bool(rng.random() < 0.35)
    for row in range(count):
        across = (row - (count - 1) / 2) * (width + gap)
        here = place([[rng.uniform(-4, 4), across]], x_m, y_m, angle)[0]
        long_m = length * float(rng.uniform(0.6, 1))
        corners = rectangle(here[0], here[1], angle, long_m, width)
        top = float(rng.uniform(5, 14))
        colour = vary(DARK_ROOF, rng, 0.25) if dark else roof_colour(rng)
        ridge = float(rng.uniform(1, 4)) if rng.random() < 0.5 else 0.0
        block(canvas, corners, top, colour, ridge_m=ridge)
        if ridge == 0:
            _fittings(canvas, (here[0], here[1], angle), (long_m, width), top)
        if dark:
            _negative(canvas, corners, "dark_roof")
    return True


def add_tank_farm(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Round tanks in a grid inside low earth walls."""
    cols, rows = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    radius = float(rng.choice([rng.uniform(3, 8), rng.uniform(10, 28)]))
    pitch = radius * float(rng.uniform(2.5, 3.6))
    length, width = cols * pitch, rows * pitch
    if _site(canvas, x_m, y_m, angle, length + 6, width + 6) is None:
        return False
    pad(canvas, rectangle(x_m, y_m, angle, length, width), vary(DIRT, rng, 0.3), 0.7, rng)
    walls = rectangle(x_m, y_m, angle, length, width)[[0, 1, 2, 3, 0]]
    stroke(canvas, walls, 2.0, vary(DIRT, rng, 0.2), top_m=1.2, ragged=0.2)
    colour = vary(((0.72, 0.71, 0.68, 0.7), (0.30, 0.20, 0.15, 0.32))[int(rng.random() < 0.25)], rng)
    for i in range(cols):
        for j in range(rows):
            if rng.random() < 0.12:
                continue
            spot = place([[(i - (cols - 1) / 2) * pitch, (j - (rows - 1) / 2) * pitch]], x_m, y_m, angle)[0]
            size, top = radius * rng.uniform(0.85, 1), float(rng.uniform(6, 17))
            disc(canvas, spot[0], spot[1], size, top, vary(colour, rng, 0.08))
            if rng.random() < 0.4:  # a floating roof below its rim
                inner = vary((0.35, 0.34, 0.32, 0.35), rng, 0.3)
                found = canvas.patch(spot[0], spot[1], 0.0, size, size)
                if found is not None:
                    lid = np.hypot(found.u, found.v) < size - 0.6
                    canvas.add_height(found, lid * np.float32(-rng.uniform(0.5, top * 0.7)))
                    canvas.paint(found, lid, inner, 0.06)
    return True


def add_pond(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A lined basin with dark, brown or green water inside a low bank."""
    length, width = float(rng.uniform(15, 90)), float(rng.uniform(12, 60))
    found = _site(canvas, x_m, y_m, angle, length + 10, width + 10)
    if found is None:
        return False
    patch, _ = found
    ragged = fractal(rng, patch.u.shape, 30 / canvas.gsd_m, 4) * np.float32(rng.choice([0.2, 3.0]))
    bank = _inside(patch, length + 8, width + 8, ragged)
    wet = _inside(patch, length, width, ragged)
    canvas.paint(patch, bank, vary((0.3, 0.28, 0.24, 0.34), rng, 0.25), 0.08)
    canvas.add_height(patch, bank * np.float32(1.3) - wet * np.float32(2.3))
    water = (
        (0.02, 0.022, 0.025, 0.015),
        (0.12, 0.10, 0.07, 0.06),
        (0.05, 0.09, 0.06, 0.05),
        (0.04, 0.04, 0.045, 0.045),
    )
    canvas.paint(patch, wet, vary(water[int(rng.integers(4))], rng, 0.25), 0.03)
    _negative(canvas, rectangle(x_m, y_m, angle, length, width), "pond")
    return True


def add_tarpaulin_yard(
    canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator
) -> bool:
    """Goods in rows under dark, green or blue sheets: low, with straight edges."""
    cols, rows = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    length, width = float(rng.uniform(6, 20)), float(rng.uniform(4, 10))
    if _site(canvas, x_m, y_m, angle, cols * (length + 3) + 6, rows * (width + 4) + 6) is None:
        return False
    extent = rectangle(x_m, y_m, angle, cols * (length + 3), rows * (width + 4))
    pad(canvas, extent, vary(DIRT, rng, 0.3), 0.8, rng)
    sheet = (
        (0.05, 0.05, 0.055, 0.07),
        (0.06, 0.11, 0.08, 0.14),
        (0.08, 0.15, 0.3, 0.2),
        (0.16, 0.15, 0.13, 0.18),
    )
    colour = sheet[int(rng.integers(4))]
    for i in range(cols):
        for j in range(rows):
            if rng.random() < 0.2:
                continue
            local = [[(i - (cols - 1) / 2) * (length + 3), (j - (rows - 1) / 2) * (width + 4)]]
            spot = place(local, x_m, y_m, angle)[0]
            size = length * rng.uniform(0.7, 1), width * rng.uniform(0.8, 1)
            top = float(rng.uniform(1, 3))
            block(canvas, rectangle(spot[0], spot[1], angle, *size), top, vary(colour, rng), ridge_m=0.6)
    _negative(canvas, extent, "tarpaulin")
    return True


def add_car_park(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Cars or lorries in rows on asphalt or gravel."""
    lorries = bool(rng.random() < 0.4)
    long_m, wide_m, pitch = (12.0, 2.6, 3.8) if lorries else (4.4, 1.8, 2.7)
    count, rows = int(rng.integers(6, 26)), int(rng.integers(1, 5))
    aisle = long_m + (9.0 if lorries else 6.0)
    length, width = count * pitch + 6, rows * aisle + 4
    if _site(canvas, x_m, y_m, angle, length, width) is None:
        return False
    ground = vary((ASPHALT, CONCRETE, DIRT)[int(rng.integers(3))], rng, 0.25)
    pad(canvas, rectangle(x_m, y_m, angle, length, width), ground, 1.0, rng)
    full = float(rng.uniform(0.2, 0.95))
    for row in range(rows):
        for slot in range(count):
            if rng.random() > full:
                continue
            local = [[(slot - (count - 1) / 2) * pitch, (row - (rows - 1) / 2) * aisle + rng.normal(0, 0.2)]]
            spot = place(local, x_m, y_m, angle)[0]
            colour = vary(CARS[int(rng.integers(len(CARS)))], rng, 0.2)
            corners = rectangle(spot[0], spot[1], angle + np.pi / 2 + rng.normal(0, 0.02), long_m, wide_m)
            block(canvas, corners, 3.4 if lorries else 1.5, colour)
    return True


def add_container_yard(
    canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator
) -> bool:
    """Containers 6 or 12 m long in stacks, each of its own colour."""
    long_m = float(rng.choice([6.1, 12.2]))
    count, rows = int(rng.integers(2, 9)), int(rng.integers(2, 9))
    length, width = count * (long_m + 0.5) + 4, rows * 3.4 + 4
    found = _site(canvas, x_m, y_m, angle, length, width)
    if found is None:
        return False
    pad(canvas, found[1], vary(CONCRETE, rng, 0.25), 0.9, rng)
    gap = float(rng.choice([2.5, 3.4]))
    for i in range(count):
        for j in range(rows):
            stack = int(rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.2, 0.1]))
            if stack == 0:
                continue
            local = [[(i - (count - 1) / 2) * (long_m + 0.5), (j - (rows - 1) / 2) * gap]]
            spot = place(local, x_m, y_m, angle)[0]
            colour = vary(BOXES[int(rng.integers(len(BOXES)))], rng, 0.2)
            block(canvas, rectangle(spot[0], spot[1], angle, long_m, 2.44), 2.6 * stack, colour)
    _negative(canvas, rectangle(x_m, y_m, angle, length - 4, width - 4), "containers")
    return True


def add_settlement(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A block of houses with pitched roofs along a lane, garden plots, some inside property walls."""
    cols, rows = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    plot_u, plot_v = float(rng.uniform(13, 26)), float(rng.uniform(18, 34))
    length, width = cols * plot_u + 5, rows * plot_v + 5
    if _site(canvas, x_m, y_m, angle, length, width) is None:
        return False
    pad(
        canvas,
        rectangle(x_m, y_m, angle, length, width),
        vary(DIRT, rng, 0.2),
        float(rng.uniform(0.2, 0.7)),
        rng,
    )
    tiles = TILES[int(rng.integers(len(TILES)))]
    walled = rng.random() < 0.6
    wall = vary((0.38, 0.35, 0.31, 0.38), rng, 0.25)
    for i in range(cols):
        for j in range(rows):
            centre = place([[(i - (cols - 1) / 2) * plot_u, (j - (rows - 1) / 2) * plot_v]], x_m, y_m, angle)[
                0
            ]
            _plot(canvas, (centre[0], centre[1], angle), (plot_u, plot_v), tiles, rng)
            if walled and rng.random() < 0.8:
                ring = rectangle(centre[0], centre[1], angle, plot_u - 1, plot_v - 1)
                stroke(canvas, np.concatenate([ring, ring[:1]]), 0.4, wall, top_m=1.9)
    lane = place([[-length / 2, width / 2 - 1], [length / 2, width / 2 - 1]], x_m, y_m, angle)
    stroke(canvas, lane, float(rng.uniform(2.5, 5)), vary(DIRT, rng, 0.2), alpha=0.8, ragged=0.3)
    return True


def _plot(
    canvas: Canvas,
    at: tuple[float, float, float],
    size: tuple[float, float],
    tiles: Colour,
    rng: np.random.Generator,
) -> None:
    """A garden, a house, perhaps a shed."""
    if rng.random() < 0.6:
        garden = place([[rng.uniform(-3, 3), rng.uniform(-6, 6)]], *at)[0]
        green = vary(((0.09, 0.12, 0.06, 0.36), (0.2, 0.17, 0.12, 0.27))[int(rng.integers(2))], rng, 0.3)
        pad(canvas, rectangle(garden[0], garden[1], at[2], size[0] * 0.6, size[1] * 0.5), green, 0.7, rng)
    if rng.random() < 0.1:
        return
    house = place([rng.uniform(-0.12, 0.12, 2) * size], *at)[0]
    turn = at[2] + float(rng.choice([0, np.pi / 2])) + float(rng.normal(0, 0.03))
    corners = rectangle(house[0], house[1], turn, rng.uniform(8, min(size) - 2), rng.uniform(6, 10))
    block(
        canvas, corners, float(rng.uniform(2.5, 6)), vary(tiles, rng, 0.2), ridge_m=float(rng.uniform(1, 3))
    )
    if rng.random() < 0.5:
        shed = place([rng.uniform(-0.36, 0.36, 2) * size], *at)[0]
        block(
            canvas,
            rectangle(shed[0], shed[1], at[2], rng.uniform(2, 6), rng.uniform(2, 4)),
            2.2,
            roof_colour(rng),
        )


def add_tower(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A chimney, water tower, silo group or power pylon: long shadows that are no mine head."""
    kind = str(rng.choice(["chimney", "pylon", "silos", "mast"]))
    if _site(canvas, x_m, y_m, angle, 22, 22) is None:
        return False
    if rng.random() < 0.5:
        pad(canvas, rectangle(x_m, y_m, angle, 14, 14), vary(CONCRETE, rng, 0.3), 0.6, rng)
    grey = vary((0.45, 0.44, 0.42, 0.45), rng, 0.3)
    if kind == "chimney":
        disc(canvas, x_m, y_m, float(rng.uniform(1.5, 3)), float(rng.uniform(25, 60)), grey)
    elif kind == "silos":
        for spot in place(
            np.stack(np.meshgrid([-6, 0, 6], [-3, 3]), axis=-1).reshape(-1, 2), x_m, y_m, angle
        ):
            disc(canvas, spot[0], spot[1], 2.9, float(rng.uniform(12, 18)), vary(grey, rng, 0.05))
    else:
        foot = 4.0 if kind == "pylon" else 1.0
        for corner in rectangle(x_m, y_m, angle, foot * 2, foot * 2):
            beam(canvas, corner, (x_m, y_m), 0.7, (0.5, float(rng.uniform(22, 38))), grey, dash_m=0.0)
        if kind == "pylon":
            arm = place([[-9, 0], [9, 0]], x_m, y_m, angle)
            beam(canvas, arm[0], arm[1], 0.7, (24, 24), grey)
    _negative(canvas, rectangle(x_m, y_m, angle, 14, 14), kind)
    return True


def add_stain(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Dark flat ground: wet soil, ash, oil, burnt grass; no relief, soft edges."""
    length, width = float(rng.uniform(8, 70)), float(rng.uniform(6, 45))
    corners = rectangle(x_m, y_m, angle, length, width)
    if not canvas.free(corners):
        return False
    patch = canvas.patch(x_m, y_m, angle, length * 0.75, width * 0.75)
    if patch is None:
        return False
    ragged = fractal(rng, patch.u.shape, 0.5 * width / canvas.gsd_m, 7, 0.65)
    way = np.hypot(patch.u / (length / 2), patch.v / (width / 2)) + 0.35 * ragged
    alpha = smoothstep(way, 1.0, float(rng.uniform(0.3, 0.9))) * np.float32(rng.uniform(0.5, 0.98))
    alpha[canvas.taken[patch.rows, patch.cols]] = 0
    canvas.paint(patch, alpha, vary((0.055, 0.05, 0.048, 0.07), rng, 0.35), 0.12)
    canvas.take(patch, way < 0.8)
    _negative(canvas, corners, "dark_ground")
    return True


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


def add_dark_field(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A tilled or burnt plot with straight edges and plough lines, as dark as coal from above."""
    length, width = float(rng.uniform(40, 160)), float(rng.uniform(25, 90))
    found = _site(canvas, x_m, y_m, angle, length, width)
    if found is None:
        return False
    patch, corners = found
    alpha = _inside(patch, length, width, 0.6 * lattice(rng, patch.u.shape, 5 / canvas.gsd_m))
    alpha *= np.clip(0.85 + 0.15 * fractal(rng, patch.u.shape, 30 / canvas.gsd_m, 6, 0.6), 0, 1)
    rows = 1 + np.float32(0.12) * np.sin(patch.v * np.float32(2 * np.pi / rng.uniform(1, 3)))
    colour = np.array(vary((0.07, 0.06, 0.05, 0.1), rng, 0.3), np.float32) * rows[..., None]
    canvas.paint(patch, alpha, colour, 0.08)
    _negative(canvas, corners, "dark_field")
    return True


def add_industry(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A works: buildings of many sizes, pipe bridges and tanks crowded on one dirty pad."""
    length, width = float(rng.uniform(60, 150)), float(rng.uniform(50, 110))
    found = _site(canvas, x_m, y_m, angle, length, width)
    if found is None:
        return False
    ground = vary((CONCRETE, DIRT, (0.16, 0.15, 0.14, 0.19))[int(rng.integers(3))], rng, 0.2)
    pad(canvas, rectangle(x_m, y_m, angle, length - 8, width - 8), ground, 0.9, rng)
    used: list[Points] = []
    for _ in range(int(length * width / 180)):
        local = np.array([rng.uniform(-0.45, 0.45) * length, rng.uniform(-0.45, 0.45) * width])
        size = rng.uniform(3, 22, 2)
        if any(np.abs(local - other).max() < 12 for other in used):
            continue
        used.append(local)
        spot = place([local], x_m, y_m, angle)[0]
        if rng.random() < 0.2:
            disc(
                canvas,
                spot[0],
                spot[1],
                float(rng.uniform(2, 6)),
                float(rng.uniform(4, 14)),
                roof_colour(rng),
            )
        else:
            ridge = float(rng.choice([0, 1.5]))
            top = float(rng.uniform(2.5, 11))
            block(canvas, rectangle(spot[0], spot[1], angle, *size), top, roof_colour(rng), ridge_m=ridge)
    for _ in range(int(rng.integers(0, 4))):
        across = float(rng.uniform(-0.4, 0.4) * width)
        pipe = place([[-length * 0.45, across], [length * 0.45, across]], x_m, y_m, angle)
        stroke(canvas, pipe, 1.6, vary((0.4, 0.39, 0.37, 0.4), rng, 0.3), top_m=4, dash_m=(6, 3))
    return True


def add_property_wall(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Works or farm land behind a plain wall: no cleared strip, no patrol track, no towers."""
    length, width = float(rng.uniform(30, 110)), float(rng.uniform(25, 80))
    found = _site(canvas, x_m, y_m, angle, length + 4, width + 4)
    if found is None:
        return False
    ring = rectangle(x_m, y_m, angle, length, width)
    if rng.random() < 0.6:
        pad(canvas, ring, vary(DIRT, rng, 0.25), float(rng.uniform(0.2, 0.6)), rng)
    wall = vary((0.4, 0.37, 0.33, 0.4), rng, 0.3)
    gate = float(rng.uniform(0, 2 * length))
    line = np.concatenate([ring, ring[:1]])
    stroke(canvas, line, 0.35, wall, top_m=float(rng.uniform(1.2, 2.2)), gaps_m=((gate, gate + 6),))
    for _ in range(int(rng.integers(0, 4))):
        spot = place(
            [[rng.uniform(-0.35, 0.35) * length, rng.uniform(-0.35, 0.35) * width]], x_m, y_m, angle
        )[0]
        corners = rectangle(spot[0], spot[1], angle, rng.uniform(6, 18), rng.uniform(5, 10))
        block(canvas, corners, float(rng.uniform(3, 6)), roof_colour(rng), ridge_m=float(rng.uniform(0, 2)))
    _negative(canvas, ring, "property_wall")
    return True


DISTRACTORS: tuple[tuple[Adder, float], ...] = (
    (add_hall, 3.0),
    (add_industry, 1.5),
    (add_settlement, 2.5),
    (add_tank_farm, 1.0),
    (add_pond, 1.2),
    (add_tarpaulin_yard, 0.8),
    (add_car_park, 1.2),
    (add_container_yard, 0.8),
    (add_tower, 1.0),
    (add_stain, 2.2),
    (add_dark_field, 0.8),
    (add_property_wall, 1.4),
)


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
