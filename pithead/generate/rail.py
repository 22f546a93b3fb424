"""Sidings with groups of wagons, loading bunkers and racks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pithead.generate.canvas import Canvas, FloatGrid, Patch, Truth
from pithead.generate.outlines import clip_rectangle
from pithead.generate.parts import (
    Colour,
    Points,
    beam,
    inside_canvas,
    offset_line,
    place,
    rectangle,
    roof_colour,
    sides_m,
    smooth_noise,
    stroke,
    tight_rectangle,
    vary,
)
from pithead.generate.sidings import (
    SAGITTA_M,
    WAGON_GAP_M,
    Rake,
    Yard,
    draw_group,
    draw_groups,
    draw_yard,
    rake_outline,
)

GAUGE_M = 1.5

BALLASTS: tuple[Colour, ...] = (
    (0.24, 0.22, 0.2, 0.24),
    (0.31, 0.29, 0.27, 0.3),
    (0.17, 0.145, 0.125, 0.18),
    (0.12, 0.115, 0.11, 0.13),
)
WAGONS: dict[str, tuple[Colour, ...]] = {
    "open": ((0.2, 0.13, 0.1, 0.22), (0.2, 0.2, 0.21, 0.2), (0.36, 0.36, 0.36, 0.36), (0.13, 0.16, 0.2, 0.2)),
    "covered": (
        (0.28, 0.17, 0.12, 0.3),
        (0.45, 0.45, 0.44, 0.44),
        (0.62, 0.62, 0.6, 0.6),
        (0.16, 0.22, 0.17, 0.25),
        (0.38, 0.33, 0.26, 0.38),
    ),
    "tank": (
        (0.05, 0.05, 0.05, 0.05),
        (0.5, 0.5, 0.5, 0.5),
        (0.68, 0.68, 0.67, 0.66),
        (0.3, 0.28, 0.26, 0.3),
    ),
    "flat": (
        (0.45, 0.13, 0.08, 0.4),
        (0.10, 0.18, 0.38, 0.25),
        (0.55, 0.55, 0.53, 0.55),
        (0.5, 0.32, 0.1, 0.45),
        (0.15, 0.14, 0.13, 0.16),
    ),
}
LOADS: tuple[Colour, ...] = ((0.04, 0.04, 0.04, 0.045), (0.05, 0.048, 0.046, 0.05), (0.16, 0.12, 0.1, 0.17))


def lay_tracks(canvas: Canvas, patch: Patch, yard: Yard, rng: np.random.Generator) -> None:
    """Ballast, sleepers and rails."""
    s, d = yard.along_across(patch)
    ends = np.clip((yard.length_m / 2 - np.abs(s)) / 6, 0, 1)
    half = yard.tracks_m[-1] + rng.uniform(2.2, 4.5)
    bed = half - np.abs(d) + 0.3 * smooth_noise(s.shape, 9 / canvas.gsd_m, rng)
    tone = vary(BALLASTS[int(rng.integers(len(BALLASTS)))], rng)
    stained = 1 + 0.1 * smooth_noise(s.shape, 25 / canvas.gsd_m, rng)
    fill = np.asarray(tone, np.float32) * stained[..., None]
    canvas.paint(patch, np.clip(bed / 1.2, 0, 1) * ends * 0.92, fill, 0.07)
    rail = vary((0.3, 0.26, 0.23, 0.3), rng, 0.3)
    sleeper = tuple(0.72 * c for c in tone)
    for track in yard.tracks_m:
        off = np.abs(d - np.float32(track))
        canvas.paint(patch, (off < 1.3) * ends * 0.55, sleeper, 0.05)
        line = np.clip(1.3 - np.abs(off - GAUGE_M / 2) / (0.6 * canvas.gsd_m), 0, 1)
        canvas.paint(patch, line * ends * 0.5, rail)


def _lead(canvas: Canvas, yard: Yard, end: int, rng: np.random.Generator) -> None:
    """The empty running line beyond one end of the yard, as far as the ground is free (300 m at most)."""
    steps = end * (yard.length_m / 2 + np.arange(-8.0, 300.0, 10.0))
    line = yard.on_canvas(steps, yard.tracks_m[int(rng.integers(len(yard.tracks_m)))])
    good = len(line)
    for number, (x, y) in enumerate(line):
        patch = canvas.patch(x, y, 0.0, 9, 9)
        if patch is None or (number > 2 and not canvas.free(patch)):
            good = number
            break
    if good < 4:
        return
    line = line[:good]
    stroke(canvas, line, 4.4, vary(BALLASTS[0], rng), alpha=0.9, ragged=0.1)
    for side in (-GAUGE_M / 2, GAUGE_M / 2):
        rail = offset_line(line, side, closed=False)
        stroke(canvas, rail, 0.25, (0.3, 0.27, 0.24, 0.3), alpha=0.7)
    found = canvas.band(line[2:], 6.0) if len(line) > 3 else None
    if found is not None:
        canvas.take(found[0], found[1] < 5)


def park(canvas: Canvas, patch: Patch, yard: Yard, rake: Rake, rng: np.random.Generator) -> None:
    """Put the wagons of a rake on their track: bodies, loads, roofs, heights."""
    s, d = yard.along_across(patch)
    length, width = rake.wagon_m
    way = s - np.float32(rake.start_m)
    index = np.floor(way / (length + WAGON_GAP_M)).astype(np.intp)
    inside = way - index * np.float32(length + WAGON_GAP_M)
    off = np.abs(d - np.float32(rake.track_m))
    body = (index >= 0) & (index < rake.count) & (inside <= length) & (off <= width / 2)
    if not body.any():
        return
    rows, cols = np.nonzero(body)
    number, place_m, side = index[rows, cols], inside[rows, cols], off[rows, cols]
    colour, top = _wagons(rake, number, place_m, side, rng)
    area = (rows + patch.rows.start, cols + patch.cols.start)
    canvas.albedo[area] = colour
    canvas.height[area] = np.maximum(canvas.height[area], canvas.ground[area] + top)


def _wagons(
    rake: Rake, number: npt.NDArray[np.intp], along: FloatGrid, side: FloatGrid, rng: np.random.Generator
) -> tuple[FloatGrid, FloatGrid]:
    """Colour (n, 4) and height (n,) of the cells of a rake."""
    palette = WAGONS[rake.kind]
    first = int(rng.integers(len(palette)))
    picks = np.where(rng.random(rake.count) < rake.alike, first, rng.integers(len(palette), size=rake.count))
    tones = np.array([vary(palette[int(pick)], rng, 0.1) for pick in picks], np.float32)
    colour = tones[number]
    length, width = rake.wagon_m
    height = np.full(len(number), rng.uniform(3.0, 3.6), np.float32)
    if rake.kind == "open":
        load = np.array(LOADS[int(rng.choice(len(LOADS), p=[0.5, 0.35, 0.15]))], np.float32)
        full = (rng.random(rake.count) < 0.9)[number]
        within = (side < width / 2 - 0.35) & (along > 0.4) & (along < length - 0.4)
        grain = (1 + 0.15 * rng.standard_normal(len(number))).astype(np.float32)[:, None]
        colour = np.where(within[:, None], np.where(full[:, None], load * grain, colour * 0.5), colour)
        heap = 0.5 * np.sin(np.pi * along / length) - 0.5 * side
        height += np.where(within, np.where(full, heap, np.float32(-1.2)), np.float32(0.0)).astype(np.float32)
    elif rake.kind == "flat":
        box = (along > 0.5) & (along < length - 0.5) & (np.abs(along - length / 2) > 0.2)
        colour = np.where(box[:, None], colour, np.float32(0.1))
        height -= np.where(box, np.float32(0), np.float32(2.4))
    elif rake.kind == "tank":
        height = 1.3 + 2 * np.sqrt(np.clip(1 - (side / (width / 2)) ** 2, 0, 1))
        middle = (np.abs(along - length / 2) < 0.7) & (side < 0.7)
        colour = np.where(middle[:, None], colour * 0.6, colour)
    else:
        height += (0.5 * (1 - side / (width / 2))).astype(np.float32)
        ribs = 1 + 0.06 * np.sign(np.sin(along * np.float32(2.1)))
        colour = colour * ribs[:, None].astype(np.float32)
    return np.asarray(colour, np.float32), np.asarray(height, np.float32)


def add_loader(canvas: Canvas, yard: Yard, along_m: float, rng: np.random.Generator) -> Points:
    """A tall bunker over one or two tracks with a conveyor gallery up to it; its corners (4, 2)."""
    pick = int(rng.integers(len(yard.tracks_m)))
    length, width = float(rng.uniform(10, 20)), float(rng.uniform(8, 12))
    at, ahead = yard.on_canvas([along_m, along_m + 1], yard.tracks_m[pick])
    angle = float(np.arctan2(*(ahead - at)[::-1]))
    corners = rectangle(at[0], at[1], angle, length, width)
    height, roof = float(rng.uniform(14, 28)), roof_colour(rng)
    side = 1.0 if pick * 2 >= len(yard.tracks_m) else -1.0
    lean = angle + side * rng.uniform(0.6, 2.5)
    foot = at + rng.uniform(40, 90) * np.array([np.cos(lean), np.sin(lean)])
    beam(canvas, foot, at, float(rng.uniform(2.5, 4)), (2.0, height - 2), roof_colour(rng))
    _roof(canvas, corners, angle, height, roof)
    return corners


def _roof(canvas: Canvas, corners: Points, angle: float, top_m: float, colour: Colour) -> None:
    centre = corners.mean(axis=0)
    half_u = float(np.hypot(*(corners[1] - corners[0]))) / 2
    half_v = float(np.hypot(*(corners[2] - corners[1]))) / 2
    patch = canvas.patch(centre[0], centre[1], angle, half_u + 1, half_v + 1)
    if patch is None:
        return
    mask = (np.abs(patch.u) <= half_u) & (np.abs(patch.v) <= half_v)
    canvas.level_top(patch, mask, top_m)
    canvas.paint(patch, mask, colour, 0.03)
    joint = mask & (np.mod(patch.u + half_u, 6) < 0.5)
    canvas.paint(patch, joint * 0.6, tuple(0.6 * c for c in colour))
    upper = (np.abs(patch.u) <= half_u * 0.4) & (np.abs(patch.v) <= half_v * 0.6)
    if top_m > 12:
        canvas.level_top(patch, upper, top_m + 4)
        canvas.paint(patch, upper, tuple(min(1.0, 1.15 * c) for c in colour), 0.03)


def add_rack(
    canvas: Canvas, yard: Yard, reach_m: tuple[float, float], rng: np.random.Generator
) -> Points | None:
    """A long light canopy or pipe gantry over one track or two; its corners (4, 2)."""
    length = reach_m[1] - reach_m[0]
    pick = int(rng.integers(len(yard.tracks_m)))
    width = float(rng.uniform(6, 13))
    (at,) = yard.on_canvas([sum(reach_m) / 2], yard.tracks_m[pick])
    ahead = yard.on_canvas([sum(reach_m) / 2 + 1], yard.tracks_m[pick])[0]
    angle = float(np.arctan2(*(ahead - at)[::-1]))
    corners = rectangle(at[0], at[1], angle, length, width)
    light = vary((0.42, 0.42, 0.41, 0.41), rng, 0.25)
    height = float(rng.uniform(6, 9))
    if rng.random() < 0.6:
        _roof(canvas, corners, angle, height, light)
        return corners
    for side in (-1, 1):
        line = place(
            [[-length / 2, side * (width / 2 - 0.4)], [length / 2, side * (width / 2 - 0.4)]],
            at[0],
            at[1],
            angle,
        )
        beam(canvas, line[0], line[1], 0.8, (height, height), light, dash_m=3)
    for step in np.arange(-length / 2 + 0.6, length / 2, rng.uniform(6, 13)):
        line = place([[step, -width / 2], [step, width / 2]], at[0], at[1], angle)
        beam(canvas, line[0], line[1], 1.2, (height, height), light)
    return corners


def _room(canvas: Canvas, yard: Yard) -> Patch | None:
    """The cells of a yard, which may reach over the canvas' edge; None where something stands already."""
    edge = yard.tracks_m[-1] + 7
    ends = yard.length_m / 2 * np.linspace(-1, 1, 9)
    outline = np.concatenate([yard.on_canvas(ends, -edge), yard.on_canvas(ends, edge)])
    if not inside_canvas(canvas, np.array([[yard.x_m, yard.y_m]]), 12) or not canvas.free(
        tight_rectangle(outline)
    ):
        return None
    reach = outline - np.array([yard.x_m, yard.y_m])
    axis = np.array([np.cos(yard.angle), np.sin(yard.angle)])
    half_u, half_v = np.abs(reach @ axis).max(), np.abs(reach @ np.array([-axis[1], axis[0]])).max()
    return canvas.patch(yard.x_m, yard.y_m, yard.angle, float(half_u), float(half_v))


def add_rail_yard(canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> bool:
    """Tracks with wagon groups, sometimes a rack or a bunker; False when there is no free room.

    One label a group: groups are 72 m apart along the tracks or have two empty tracks between them. A yard
    may reach over the edge of the canvas; its labels are cut there.

    Args:
        canvas: Where to build.
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen of the tracks.
        rng: Source of chance.
    """
    yard = draw_yard(x_m, y_m, angle, rng)
    patch = _room(canvas, yard)
    if patch is None:
        return False
    lay_tracks(canvas, patch, yard, rng)
    s, d = yard.along_across(patch)
    canvas.take(patch, (np.abs(d) <= yard.tracks_m[-1] + 7) & (np.abs(s) <= yard.length_m / 2))
    for end in (-1, 1):
        _lead(canvas, yard, end, rng)
    plan = rng.random()
    if plan < 0.2:
        _rack_with_wagons(canvas, patch, yard, rng)
        return True
    groups = draw_groups(yard, rng)
    for rakes in groups:
        outline = np.concatenate([rake_outline(yard, rake) for rake in rakes])
        for rake in rakes:
            park(canvas, patch, yard, rake, rng)
        _label(canvas, tight_rectangle(outline), "wagons", sum(rake.count for rake in rakes))
    if plan > 0.75:
        _load_somewhere(canvas, yard, groups, rng)
    return True


def _rack_with_wagons(canvas: Canvas, patch: Patch, yard: Yard, rng: np.random.Generator) -> None:
    """A rack, mostly with wagons under and beside it: one label round both."""
    length = float(rng.uniform(60, min(200, yard.length_m - 20)))
    if np.isfinite(yard.radius_m):
        length = min(length, float(np.sqrt(8 * SAGITTA_M * yard.radius_m)))
    outlines: list[Points] = []
    if rng.random() < 0.75:
        reach = length / 2 * float(rng.uniform(0.9, 1.25))
        most = min(len(yard.tracks_m), 4)
        for rake in draw_group(yard, list(range(most)), (-reach, reach), rng):
            park(canvas, patch, yard, rake, rng)
            outlines.append(rake_outline(yard, rake))
    near = Yard(yard.x_m, yard.y_m, yard.angle, yard.radius_m, yard.length_m, yard.tracks_m[:4])
    corners = add_rack(canvas, near, (-length / 2, length / 2), rng)
    if corners is not None:
        _label(canvas, tight_rectangle(np.concatenate([corners, *outlines])), "rack", 0)


def _load_somewhere(canvas: Canvas, yard: Yard, groups: list[list[Rake]], rng: np.random.Generator) -> None:
    """A bunker on a free stretch of the tracks, 25 m from any wagon, if there is one."""
    busy = [(rake.start_m - 25, rake.stop_m + 25) for rakes in groups for rake in rakes]
    for along in rng.uniform(-yard.length_m / 2 + 12, yard.length_m / 2 - 12, 12):
        spot = yard.on_canvas([float(along)], 0.0)
        if inside_canvas(canvas, spot, 30) and all(along < low or along > high for low, high in busy):
            _label(canvas, add_loader(canvas, yard, float(along), rng), "rack", 0)
            return


def _label(canvas: Canvas, corners: Points, kind: str, wagons: int) -> None:
    """Leave a truth of what lies on the canvas, if that is as large as two wagons."""
    seen = clip_rectangle(corners, *canvas.size_m, smallest_px2=70.0)
    if seen is None:
        return
    long_m, short_m = sides_m(seen)
    facts: dict[str, str | float] = {"kind": kind, "box_area_m2": round(long_m * short_m, 1)}
    if wagons:
        facts["wagons"] = wagons
    canvas.truths.append(Truth("rail_loading", seen, attributes=facts))
