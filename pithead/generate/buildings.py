"""Plain buildings: halls, works, tanks, houses, towers, walled yards."""

import numpy as np

from pithead.generate.canvas import Canvas
from pithead.generate.lots import claim, confuser
from pithead.generate.parts import (
    CONCRETE,
    DIRT,
    Colour,
    Points,
    beam,
    block,
    disc,
    pad,
    place,
    rectangle,
    roof_colour,
    stroke,
    vary,
)

DARK_ROOF = (0.07, 0.07, 0.075, 0.08)
TILES = (
    (0.33, 0.16, 0.11, 0.34),
    (0.24, 0.17, 0.14, 0.27),
    (0.42, 0.40, 0.38, 0.42),
    (0.16, 0.22, 0.33, 0.28),
)


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
    if rng.random() < 0.25:  # a warehouse
        count, length, width = 1 + int(rng.random() < 0.3), length * 2.4, width * 2.4
    gap = float(rng.uniform(0, 9))
    deep = count * (width + gap) + 8
    if claim(canvas, x_m, y_m, angle, length + 14, deep + 8) is None:
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
            confuser(canvas, corners, "dark_roof")
    return True


def add_tank_farm(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Round tanks in a grid inside low earth walls."""
    cols, rows = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    radius = float(rng.choice([rng.uniform(3, 8), rng.uniform(9, 26)]))
    pitch = radius * float(rng.uniform(2.5, 3.6))
    length, width = cols * pitch, rows * pitch
    if claim(canvas, x_m, y_m, angle, length + 6, width + 6) is None:
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


def add_settlement(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A block of houses with pitched roofs along a lane, garden plots, some inside property walls."""
    cols, rows = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    if rng.random() < 0.2:  # a quarter of a town
        cols, rows = int(rng.integers(8, 16)), int(rng.integers(3, 8))
    plot_u, plot_v = float(rng.uniform(13, 26)), float(rng.uniform(18, 34))
    length, width = cols * plot_u + 5, rows * plot_v + 5
    if claim(canvas, x_m, y_m, angle, length, width) is None:
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
    if claim(canvas, x_m, y_m, angle, 22, 22) is None:
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
    confuser(canvas, rectangle(x_m, y_m, angle, 14, 14), kind)
    return True


def add_industry(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A works: buildings of many sizes, pipe bridges and tanks crowded on one dirty pad."""
    length, width = float(rng.uniform(60, 150)), float(rng.uniform(50, 110))
    found = claim(canvas, x_m, y_m, angle, length, width)
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
    found = claim(canvas, x_m, y_m, angle, length + 4, width + 4)
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
    confuser(canvas, ring, "property_wall")
    return True
