"""Compounds behind a fence or wall with strip, towers and gates, and boundaries that are no such thing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from pithead.generate.canvas import Canvas, Truth
from pithead.generate.parts import (
    CONCRETE,
    DIRT,
    Colour,
    Points,
    block,
    disc,
    inside_canvas,
    inside_polygon,
    offset_line,
    place,
    rectangle,
    roof_colour,
    smooth_noise,
    stroke,
    vary,
)

MARGIN_M = 16.0  # kept free outside the line


@dataclass(frozen=True, slots=True)
class Fence:
    """How a boundary looks in section; its line is the outer fence or wall.

    Attributes:
        kind: fence, double or wall.
        strip_m: Cleared width inside the line and outside it.
        second_m: Distance of the inner fence from the outer, 0 for none.
        height_m: Of the fence or wall.
        width_m: Of the wall, or how wide the fence appears.
        colour: Of the fence or wall.
        soil: Of the cleared strip.
        track: Whether a patrol track runs along the inside.
    """

    kind: str
    strip_m: tuple[float, float]
    second_m: float
    height_m: float
    width_m: float
    colour: Colour
    soil: Colour
    track: bool


def draw_fence(rng: np.random.Generator) -> Fence:
    """A fence, double fence or wall, drawn by chance."""
    kind = str(rng.choice(["fence", "double", "wall"], p=[0.35, 0.3, 0.35]))
    inner, outer = float(rng.uniform(4, 9)), float(rng.uniform(0, 4))
    soil = vary(DIRT, rng, 0.2)
    if rng.random() < 0.3:
        soil = vary((0.4, 0.36, 0.29, 0.42), rng)
    track = bool(rng.random() < 0.5)
    if kind == "wall":
        colour = vary(CONCRETE, rng, 0.25)
        wall = float(rng.uniform(3, 5)), float(rng.uniform(0.5, 1.0))
        return Fence(kind, (inner, outer), 0.0, wall[0], wall[1], colour, soil, track)
    dark = rng.random() < 0.6
    colour = vary((0.1, 0.1, 0.1, 0.12) if dark else (0.55, 0.55, 0.54, 0.52), rng, 0.2)
    second = float(rng.uniform(4, 9)) if kind == "double" else 0.0
    strip = (max(inner, second + 1.5), outer)
    return Fence(
        kind, strip, second, float(rng.uniform(2.4, 3.5)), float(rng.uniform(0.3, 0.5)), colour, soil, track
    )


def draw_ring(rng: np.random.Generator, size_m: float | None = None) -> Points:
    """A ring (M, 2) round 0: rectangle, L or irregular, of a width or 70 to 700 m, clockwise as seen."""
    size = size_m or float(np.clip(np.exp(rng.normal(np.log(190), 0.5)), 70, 700))
    shape = rng.choice(["rectangle", "l", "irregular"], p=[0.5, 0.2, 0.3])
    a, b = size / 2, size / 2 * rng.uniform(0.5, 1.0)
    if shape == "rectangle":
        ring = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
        return ring + rng.normal(0, 0.02 * size, (4, 2)) * (rng.random() < 0.4)
    if shape == "l":
        cut_u, cut_v = rng.uniform(0.3, 0.6) * 2 * a, rng.uniform(0.3, 0.6) * 2 * b
        return np.array([[-a, -b], [a, -b], [a, b - cut_v], [a - cut_u, b - cut_v], [a - cut_u, b], [-a, b]])
    count = int(rng.integers(5, 12 if size > 150 else 8))
    turns = (np.arange(count) + rng.uniform(-0.28, 0.28, count)) * 2 * np.pi / count
    reach = rng.uniform(0.78, 1.1, (count, 1))
    return np.asarray(np.stack([a * np.cos(turns), b * np.sin(turns)], axis=1) * reach, np.float64)


def line_length_m(points_m: Points, *, closed: bool) -> float:
    """Length of a line or ring in metres."""
    ring = np.concatenate([points_m, points_m[:1]]) if closed else points_m
    return float(np.hypot(*np.diff(ring, axis=0).T).sum())


def build_fence(
    canvas: Canvas, line_m: Points, fence: Fence, gates_m: tuple[tuple[float, float], ...], *, closed: bool
) -> None:
    """Strip, patrol track, fences or wall along a line; gates are left out of all but the strip."""
    ring = np.concatenate([line_m, line_m[:1]]) if closed else line_m
    inner, outer = fence.strip_m

    def beside(distance_m: float) -> Points:
        moved = offset_line(line_m, distance_m, closed=closed)
        return np.concatenate([moved, moved[:1]]) if closed else moved

    middle = beside((inner - outer) / 2)
    stroke(canvas, middle, inner + outer, fence.soil, alpha=0.85, ragged=0.12, texture=0.07)
    if fence.track:
        light = tuple(min(1.0, 1.3 * c) for c in fence.soil)
        path = beside(max(inner - 2.2, 1.5))
        stroke(canvas, path, 2.8, light, alpha=0.7)  # type: ignore[arg-type]
    posts = (0.0, 0.0) if fence.kind == "wall" else (3.0, 0.6)
    faint = 1.0 if fence.kind == "wall" else 0.85
    for distance in [0.0] + [fence.second_m] * (fence.second_m > 0):
        line = ring if distance == 0 else beside(distance)
        stroke(
            canvas,
            line,
            fence.width_m,
            fence.colour,
            alpha=faint,
            top_m=fence.height_m,
            dash_m=posts,
            gaps_m=gates_m,
        )


def add_towers(
    canvas: Canvas, line_m: Points, fence: Fence, rng: np.random.Generator, *, closed: bool
) -> None:
    """Watch towers at the corners, and between them where a side is long."""
    inside = offset_line(line_m, float(rng.choice([-1.0, 2.0, fence.strip_m[0] / 2])), closed=closed)
    spots = list(inside)
    ring = np.concatenate([inside, inside[:1]]) if closed else inside
    for first, last in itertools.pairwise(ring):
        length, step = float(np.hypot(*(last - first))), rng.uniform(90, 190)
        spots += [first + (last - first) * share for share in np.arange(1, length // step) / (length // step)]
    height, size, colour = float(rng.uniform(6, 10)), float(rng.uniform(2.6, 4.2)), roof_colour(rng)
    for spot in spots:
        if rng.random() < 0.88:
            block(
                canvas,
                rectangle(spot[0], spot[1], rng.uniform(0, 0.3), size, size),
                height,
                colour,
                ridge_m=1.0,
            )


def draw_gates(line_m: Points, rng: np.random.Generator, *, closed: bool) -> tuple[tuple[float, float], ...]:
    """One or two gates, each 6 m wide, well inside a side."""
    ring = np.concatenate([line_m, line_m[:1]]) if closed else line_m
    sides = np.hypot(*np.diff(ring, axis=0).T)
    starts = np.cumsum(sides) - sides
    picks = rng.choice(len(sides), size=int(rng.integers(1, 3)), p=sides / sides.sum())
    marks = starts[picks] + sides[picks] * rng.uniform(0.3, 0.7, len(picks))
    return tuple((float(mark - 3), float(mark + 3)) for mark in marks)


def _along(line_m: Points, metres: float, *, closed: bool) -> tuple[Points, float]:
    """The point and the direction at a way along a line."""
    ring = np.concatenate([line_m, line_m[:1]]) if closed else line_m
    for first, last in itertools.pairwise(ring):
        length = float(np.hypot(*(last - first)))
        if metres <= length:
            way = (last - first) / length
            return first + way * metres, float(np.arctan2(way[1], way[0]))
        metres -= length
    return ring[-1], 0.0


def add_gatehouse(
    canvas: Canvas, line_m: Points, gate_m: tuple[float, float], rng: np.random.Generator, *, closed: bool
) -> None:
    """A road through the gate and a guard house beside it."""
    at, angle = _along(line_m, sum(gate_m) / 2, closed=closed)
    road = place([[0, -30], [0, 34]], at[0], at[1], angle)
    stroke(canvas, road, 5.0, vary((0.3, 0.29, 0.28, 0.3), rng), alpha=0.8)
    house = place([[7.5, 7.5]], at[0], at[1], angle)[0]
    size = rng.uniform(5, 9), rng.uniform(4, 6)
    block(canvas, rectangle(house[0], house[1], angle, *size), float(rng.uniform(3, 4.5)), roof_colour(rng))


def _fits(ring_m: Points, corners_m: Points) -> bool:
    corners = np.concatenate([corners_m, (corners_m + np.roll(corners_m, 1, axis=0)) / 2])
    return bool(inside_polygon(corners[:, 0], corners[:, 1], ring_m).all())


def _field(ring_m: Points, angle: float, step_m: tuple[float, float]) -> Points:
    """Points of a grid turned by an angle that covers a ring."""
    centre = ring_m.mean(axis=0)
    reach = float(np.hypot(*(ring_m - centre).T).max())
    u, v = np.meshgrid(np.arange(-reach, reach, step_m[0]), np.arange(-reach, reach, step_m[1]))
    return place(np.stack([u.ravel(), v.ravel()], axis=1), centre[0], centre[1], angle)


def fill_camp(canvas: Canvas, ring_m: Points, angle: float, rng: np.random.Generator) -> None:
    """Rows of barracks, a parade ground, sheds of a work zone."""
    across = float(np.ptp(ring_m, axis=0).min())
    length, width = float(np.clip(rng.uniform(30, 75), 10, 0.42 * across)), float(rng.uniform(7, 12))
    step = length + rng.uniform(8, 20), width + rng.uniform(8, 18)
    colour, height = roof_colour(rng), float(rng.uniform(3, 5))
    centre, parade = ring_m.mean(axis=0), float(rng.uniform(12, 40))
    reach = float(np.hypot(*(ring_m - centre).T).max())
    work = float(rng.uniform(0, 2 * np.pi))
    for spot in _field(ring_m, angle, step):
        away = spot - centre
        if np.hypot(*away) < min(parade, reach / 3) or rng.random() < 0.15:
            continue
        working = away @ np.array([np.cos(work), np.sin(work)]) > 0.35 * reach
        size = (length * rng.uniform(0.5, 0.9), width * 1.2) if working else (length, width)
        if working and rng.random() < 0.4:
            continue
        corners = rectangle(spot[0], spot[1], angle, *size)
        if _fits(ring_m, corners):
            roof = roof_colour(rng) if working else vary(colour, rng, 0.05)
            block(canvas, corners, height * (1.5 if working else 1), roof, ridge_m=float(rng.uniform(1, 2.5)))


def fill_plant(canvas: Canvas, ring_m: Points, angle: float, rng: np.random.Generator) -> None:
    """Tanks in rows, sheds, or both."""
    radius = float(min(rng.uniform(5, 20), np.ptp(ring_m, axis=0).min() / 7))
    step = 2 * radius + rng.uniform(8, 25)
    white = vary((0.7, 0.7, 0.69, 0.66), rng)
    tanks = rng.random() < 0.6
    for spot in _field(ring_m, angle, (step, step)):
        if rng.random() < 0.3:
            continue
        size = rng.uniform(0.7, 1.8) * radius, rng.uniform(0.7, 1.6) * radius
        corners = (
            rectangle(spot[0], spot[1], angle, *size)
            if not tanks
            else rectangle(spot[0], spot[1], angle, 2 * radius, 2 * radius)
        )
        if not _fits(ring_m, corners):
            continue
        if tanks and rng.random() < 0.85:
            disc(canvas, spot[0], spot[1], radius, float(rng.uniform(8, 15)), vary(white, rng, 0.04))
        else:
            block(
                canvas, corners, float(rng.uniform(4, 10)), roof_colour(rng), ridge_m=float(rng.uniform(0, 2))
            )


def _ground(canvas: Canvas, ring_m: Points, rng: np.random.Generator) -> None:
    """Trodden or grassy ground inside, and the whole place taken."""
    low, high = ring_m.min(axis=0) - MARGIN_M, ring_m.max(axis=0) + MARGIN_M
    centre, half = (low + high) / 2, (high - low) / 2
    patch = canvas.patch(centre[0], centre[1], 0.0, half[0], half[1])
    if patch is None:
        return
    x, y = canvas.coordinates(patch.rows, patch.cols)
    inside = inside_polygon(x, y, ring_m)
    alpha = inside * np.clip(
        rng.uniform(0, 0.7) + 0.25 * smooth_noise(inside.shape, 30 / canvas.gsd_m, rng), 0, 1
    )
    canvas.paint(patch, alpha, vary(DIRT, rng, 0.2))
    canvas.take(patch, inside_polygon(x, y, offset_line(ring_m, -MARGIN_M, closed=True)))


def add_compound(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """A compound behind a closed or open security line; False when there is no free room.

    The truth is the outer fence or wall, as a line that goes through its gates. The strip, the second
    fence and the patrol track lie inside of it (a little of the strip outside).

    Args:
        canvas: Where to build.
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen.
        rng: Source of chance.
    """
    ring = place(draw_ring(rng), x_m, y_m, angle)
    outside = offset_line(ring, -MARGIN_M, closed=True)
    low, high = outside.min(axis=0), outside.max(axis=0)
    if not inside_canvas(canvas, outside):
        return False
    window = canvas.window(low[0], low[1], high[0], high[1])
    if window is None:
        return False
    x, y = canvas.coordinates(*window)
    if (canvas.taken[window] & inside_polygon(x, y, outside)).any():
        return False
    closed = bool(rng.random() < 0.8) or len(ring) < 4
    fence = draw_fence(rng)
    kind = str(rng.choice(["prison_like", "military_like", "industrial"], p=[0.5, 0.2, 0.3]))
    _ground(canvas, ring, rng)
    line = ring if closed else np.roll(ring, int(rng.integers(len(ring))), axis=0)[: max(3, len(ring) - 1)]
    gates = draw_gates(line, rng, closed=closed)
    for gate in gates:
        add_gatehouse(canvas, line, gate, rng, closed=closed)
    build_fence(canvas, line, fence, gates, closed=closed)
    if kind != "industrial" or rng.random() < 0.2:
        add_towers(canvas, line, fence, rng, closed=closed)
    room = offset_line(ring, fence.strip_m[0] + 6, closed=True)
    (fill_plant if kind == "industrial" else fill_camp)(canvas, room, angle, rng)
    facts: dict[str, str | float] = {
        "kind": kind,
        "fence": fence.kind,
        "length_m": round(line_length_m(line, closed=closed), 1),
    }
    canvas.truths.append(Truth("guard_perimeter", line, closed=closed, attributes=facts))
    return True


def add_distractor_wall(
    canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator
) -> bool:
    """A hedge, garden wall, cattle fence or plain track: no truth; False when there is no free room.

    Args:
        canvas: Where to build.
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen.
        rng: Source of chance.
    """
    kind = str(rng.choice(["hedge", "property", "fence", "track"]))
    a, b = (
        rng.uniform(12, 40 if kind == "property" else 120),
        rng.uniform(12, 30 if kind == "property" else 90),
    )
    ring = place([[-a, -b], [a, -b], [a, b], [-a, b], [-a, -b]], x_m, y_m, angle)
    if kind in {"hedge", "track"}:
        t = np.linspace(-1, 1, 7)
        ring = place(np.stack([t * a * 1.5, np.cumsum(rng.normal(0, a / 18, 7))], axis=1), x_m, y_m, angle)
    low, high = ring.min(axis=0) - 6, ring.max(axis=0) + 6
    window = canvas.window(low[0], low[1], high[0], high[1])
    if window is None or canvas.taken[window].any():
        return False
    if kind == "hedge":
        green = vary((0.05, 0.08, 0.04, 0.3), rng, 0.2)
        stroke(
            canvas, ring, rng.uniform(2, 4), green, top_m=float(rng.uniform(1.5, 4)), ragged=0.4, texture=0.2
        )
    elif kind == "track":
        stroke(canvas, ring, rng.uniform(3, 6), vary(DIRT, rng, 0.2), alpha=0.7, ragged=0.2, texture=0.08)
    elif kind == "fence":
        grey = vary((0.2, 0.19, 0.18, 0.2), rng)
        stroke(canvas, ring, 0.2, grey, alpha=0.6, top_m=1.3, dash_m=(4.0, 0.4))
    else:
        wall = vary(CONCRETE, rng, 0.3)
        stroke(canvas, ring, 0.4, wall, top_m=float(rng.uniform(1.2, 2.2)), gaps_m=((3.0, 7.0),))
        house = rectangle(x_m, y_m, angle, a * rng.uniform(0.6, 1.1), b * rng.uniform(0.5, 0.9))
        block(canvas, house, float(rng.uniform(3, 7)), roof_colour(rng), ridge_m=float(rng.uniform(0, 2.5)))
    return True
