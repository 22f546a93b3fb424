"""The things of a history on the canvas of one of its pictures, by the painters of single scenes."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import datetime

import numpy as np
from scipy import ndimage

from pithead.generate.canvas import Canvas
from pithead.generate.heaps import Heap, heap_surface
from pithead.generate.history.draw import build_plant
from pithead.generate.history.forms import FLIP, REPOSE, Pile, Plant, Ring, Wagons
from pithead.generate.history.ground import take
from pithead.generate.history.history import History
from pithead.generate.history.thing import Thing
from pithead.generate.parts import DIRT, Colour, Points, inside_polygon, offset_line, smooth_noise, vary
from pithead.generate.perimeters import (
    add_gatehouse,
    add_towers,
    build_fence,
    draw_fence,
    draw_gates,
    fill_camp,
)
from pithead.generate.rail import lay_tracks, park
from pithead.generate.roads import lay_road
from pithead.generate.sidings import Yard


def paint_things(canvas: Canvas, history: History, when: datetime, corner_m: Points, coal: Colour) -> None:
    """Build all that stands at a time; what stays is painted alike on every date.

    Args:
        canvas: Where.
        history: What.
        when: When.
        corner_m: (2,) the upper left corner of the canvas in the site's frame.
        coal: Reflectance of the heaps.
    """
    if history.siding is not None and history.siding[1] <= when:
        _siding(canvas, _moved(history.siding[0], corner_m), history.seed)
    for thing in history.things:
        form = thing.form(when)
        rng = np.random.default_rng([history.seed, zlib.crc32(thing.id.encode()), 5])
        if isinstance(form, Ring):
            _compound(canvas, thing, form, corner_m, rng)
        elif isinstance(form, Plant):
            _head(canvas, thing, form, corner_m)
        elif isinstance(form, Pile):
            _pile(canvas, form, corner_m, coal, rng)
        elif isinstance(form, Wagons):
            yard = _moved(form.yard, corner_m)
            whole = canvas.patch(yard.x_m, yard.y_m, yard.angle, yard.length_m / 2, yard.tracks_m[-1] + 8)
            for rake in form.rakes if whole is not None else ():
                park(canvas, whole, yard, rake, np.random.default_rng([history.seed, when.toordinal()]))  # type: ignore[arg-type]


def _moved(yard: Yard, corner_m: Points) -> Yard:
    """A yard, in metres right and down of the middle of the site, on a canvas."""
    return replace(yard, x_m=yard.x_m - float(corner_m[0]), y_m=yard.y_m + float(corner_m[1]))


def _siding(canvas: Canvas, yard: Yard, seed: int) -> None:
    """The tracks, and the line that leads to them from the nearer edge as far as the ground is free."""
    rng = np.random.default_rng([seed, 6])
    patch = canvas.patch(yard.x_m, yard.y_m, yard.angle, yard.length_m / 2, yard.tracks_m[-1] + 8)
    steps = yard.length_m / 2 + np.arange(0.0, 1.5 * max(canvas.size_m), 20.0)
    lines = [yard.on_canvas(end * steps, 0.0) for end in (-1, 1)]
    inside = [line[((line > 0) & (line < canvas.size_m)).all(axis=1)] for line in lines]
    shorter = min(inside, key=len)
    if len(shorter) > 2:
        lay_road(canvas, shorter, "rail", rng)
    if patch is not None:
        lay_tracks(canvas, patch, yard, rng)


def _compound(canvas: Canvas, thing: Thing, form: Ring, corner_m: Points, rng: np.random.Generator) -> None:
    """Fence, gates and towers along the line as it is now, huts where they stood from the first."""
    first = next(one for _, one in thing.changes if isinstance(one, Ring))
    line, old = ((ring.points_m - corner_m)[::-1] * FLIP for ring in (form, first))
    huts = np.random.default_rng(rng.integers(2**31))
    fence, side = replace(draw_fence(rng), height_m=form.height_m), old[1] - old[0]
    low, high = line.min(axis=0), line.max(axis=0)
    found = canvas.window(low[0], low[1], high[0], high[1])
    if found is None:
        return
    _trodden(canvas, line, found, vary(DIRT, rng, 0.2))
    gates = draw_gates(line, rng, closed=form.closed)
    for gate in gates:
        add_gatehouse(canvas, line, gate, rng, closed=form.closed)
    build_fence(canvas, line, fence, gates, closed=form.closed)
    add_towers(canvas, line, fence, np.random.default_rng(rng.integers(2**31)), closed=form.closed)
    room = offset_line(old, fence.strip_m[0] + 6, closed=True)
    fill_camp(canvas, room, float(np.arctan2(side[1], side[0])), huts)
    take(canvas, offset_line(line, -8.0, closed=True))


def _trodden(canvas: Canvas, line: Points, found: tuple[slice, slice], colour: Colour) -> None:
    """Bare ground inside of a ring."""
    x, y = canvas.coordinates(*found)
    inside = inside_polygon(x, y, line).astype(np.float32)[..., None]
    area = canvas.albedo[found]
    area += np.float32(0.5) * inside * (np.asarray(colour, np.float32) - area)


def _head(canvas: Canvas, thing: Thing, form: Plant, corner_m: Points) -> None:
    """The plant of its seed; the canvas is taken under it and no more than before elsewhere."""
    before = canvas.taken.copy()
    at = (np.array([form.x_m, form.y_m]) - corner_m) * FLIP
    build_plant(canvas, (float(at[0]), float(at[1]), -form.angle), thing.kind, form.seed)
    canvas.taken[:] = before
    take(canvas, (form.box - corner_m) * FLIP)


def _pile(canvas: Canvas, form: Pile, corner_m: Points, coal: Colour, rng: np.random.Generator) -> None:
    """A heap whose toe is exactly where it is said to be, and dust round it."""
    at = (np.array([form.x_m, form.y_m]) - corner_m) * FLIP
    reach = form.radius_m + 12
    patch = canvas.patch(at[0], at[1], -form.angle, form.crest_m / 2 + reach, reach)
    if patch is None:
        return
    ends = np.array([[-form.crest_m / 2, 0.0], [form.crest_m / 2, 0.0]])
    crest = ends if form.crest_m else np.zeros((1, 2))
    level = form.height_m if form.flat < 1 else np.inf
    top = heap_surface(patch.u, patch.v, Heap(crest, form.radius_m, level), REPOSE)
    rough = 0.16 * smooth_noise(top.shape, 4 / canvas.gsd_m, rng)
    rough += 0.1 * smooth_noise(top.shape, 1.5 / canvas.gsd_m, rng)
    body = top > 0
    top = np.where(body, np.maximum(top + np.clip(top / 1.5, 0, 1) * rough, 0.05), 0).astype(np.float32)
    away = (ndimage.distance_transform_edt(~body) * canvas.gsd_m).astype(np.float32)
    canvas.paint(patch, 0.6 * np.exp(-away / 3.0), tuple(1.5 * c for c in coal), 0.1)
    tone = 1 + 0.1 * smooth_noise(top.shape, 7 / canvas.gsd_m, rng)
    canvas.paint(patch, body, np.asarray(coal, np.float32) * tone[..., None], 0.08)
    canvas.raise_to(patch, body, top)
    canvas.take(patch, body)
