"""Ground that looks like a target from above: ponds, docks, yards of goods, car parks, dark soil."""

import numpy as np

from pithead.generate.canvas import Canvas
from pithead.generate.lots import claim, confuser, within
from pithead.generate.noise import fractal, lattice, smoothstep
from pithead.generate.parts import (
    CONCRETE,
    DIRT,
    block,
    pad,
    place,
    rectangle,
    vary,
)
from pithead.generate.roads import ASPHALT

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


def add_pond(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A lined basin with dark, brown or green water inside a low bank."""
    length, width = float(rng.uniform(15, 90)), float(rng.uniform(12, 60))
    found = claim(canvas, x_m, y_m, angle, length + 10, width + 10)
    if found is None:
        return False
    patch, _ = found
    ragged = fractal(rng, patch.u.shape, 30 / canvas.gsd_m, 4) * np.float32(rng.choice([0.2, 3.0]))
    bank = within(patch, length + 8, width + 8, ragged)
    wet = within(patch, length, width, ragged)
    canvas.paint(patch, bank, vary((0.3, 0.28, 0.24, 0.34), rng, 0.25), 0.08)
    canvas.add_height(patch, bank * np.float32(1.3) - wet * np.float32(2.3))
    water = (
        (0.02, 0.022, 0.025, 0.015),
        (0.12, 0.10, 0.07, 0.06),
        (0.05, 0.09, 0.06, 0.05),
        (0.04, 0.04, 0.045, 0.045),
    )
    canvas.paint(patch, wet, vary(water[int(rng.integers(4))], rng, 0.25), 0.03)
    confuser(canvas, rectangle(x_m, y_m, angle, length, width), "pond")
    return True


def add_dock(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A basin of dark water behind a quay, with up to three ships or barges along it."""
    length, width = float(rng.uniform(90, 320)), float(rng.uniform(35, 110))
    found = claim(canvas, x_m, y_m, angle, length + 24, width + 24)
    if found is None:
        return False
    patch, _ = found
    wet = within(patch, length, width)
    canvas.paint(patch, within(patch, length + 20, width + 20), vary(CONCRETE, rng, 0.25), 0.05)
    water = ((0.03, 0.045, 0.05, 0.02), (0.07, 0.08, 0.06, 0.04), (0.04, 0.08, 0.085, 0.03))
    canvas.paint(patch, wet, vary(water[int(rng.integers(3))], rng, 0.2), 0.03)
    canvas.add_height(patch, wet * np.float32(-2.0))
    at = -length / 2 + 6
    for _ in range(int(rng.integers(0, 4))):
        long_m = float(rng.uniform(25, 120))
        beam_m = long_m * float(rng.uniform(0.13, 0.2))
        if at + long_m > length / 2 - 4:
            break
        ship = place([[at + long_m / 2, width / 2 - beam_m / 2 - 1]], x_m, y_m, angle)[0]
        hull = vary(BOXES[int(rng.integers(len(BOXES)))], rng, 0.3)
        block(canvas, rectangle(ship[0], ship[1], angle, long_m, beam_m), float(rng.uniform(2, 7)), hull)
        bridge = place([[at + 0.12 * long_m, width / 2 - beam_m / 2 - 1]], x_m, y_m, angle)[0]
        block(
            canvas,
            rectangle(bridge[0], bridge[1], angle, 0.14 * long_m, 0.8 * beam_m),
            12.0,
            (0.6, 0.6, 0.6, 0.6),
        )
        at += long_m + float(rng.uniform(5, 30))
    confuser(canvas, rectangle(x_m, y_m, angle, length, width), "dock")
    return True


def add_tarpaulin_yard(
    canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator
) -> bool:
    """Goods in rows under dark, green or blue sheets: low, with straight edges."""
    cols, rows = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    length, width = float(rng.uniform(6, 20)), float(rng.uniform(4, 10))
    if claim(canvas, x_m, y_m, angle, cols * (length + 3) + 6, rows * (width + 4) + 6) is None:
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
    confuser(canvas, extent, "tarpaulin")
    return True


def add_car_park(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Cars or lorries in rows on asphalt or gravel."""
    lorries = bool(rng.random() < 0.4)
    long_m, wide_m, pitch = (12.0, 2.6, 3.8) if lorries else (4.4, 1.8, 2.7)
    count, rows = int(rng.integers(6, 26)), int(rng.integers(1, 5))
    aisle = long_m + (9.0 if lorries else 6.0)
    length, width = count * pitch + 6, rows * aisle + 4
    if claim(canvas, x_m, y_m, angle, length, width) is None:
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
    found = claim(canvas, x_m, y_m, angle, length, width)
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
    confuser(canvas, rectangle(x_m, y_m, angle, length - 4, width - 4), "containers")
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
    confuser(canvas, corners, "dark_ground")
    return True


def add_dark_field(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A tilled or burnt plot with straight edges and plough lines, as dark as coal from above."""
    length, width = float(rng.uniform(40, 160)), float(rng.uniform(25, 90))
    found = claim(canvas, x_m, y_m, angle, length, width)
    if found is None:
        return False
    patch, corners = found
    alpha = within(patch, length, width, 0.6 * lattice(rng, patch.u.shape, 5 / canvas.gsd_m))
    alpha *= np.clip(0.85 + 0.15 * fractal(rng, patch.u.shape, 30 / canvas.gsd_m, 6, 0.6), 0, 1)
    rows = 1 + np.float32(0.12) * np.sin(patch.v * np.float32(2 * np.pi / rng.uniform(1, 3)))
    colour = np.array(vary((0.07, 0.06, 0.05, 0.1), rng, 0.3), np.float32) * rows[..., None]
    canvas.paint(patch, alpha, colour, 0.08)
    confuser(canvas, corners, "dark_field")
    return True
