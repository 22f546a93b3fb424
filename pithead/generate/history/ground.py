"""The land of a history: the same under every picture, with buildings and roads that do not change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from PIL import Image

from pithead.generate import terrain
from pithead.generate.canvas import Canvas, FloatGrid
from pithead.generate.distractors import DISTRACTORS
from pithead.generate.history.forms import FLIP, Pile
from pithead.generate.history.history import History
from pithead.generate.history.thing import CONFUSER
from pithead.generate.parts import Points, inside_polygon
from pithead.generate.roads import blacken, lay_road

CELL_M = 0.6
MARGIN_M = 110.0
"""How far the land reaches beyond the site: over every frame and shift."""

_ROOM_M = 14.0
_BIOMES = ("steppe", "loess", "green hills", "farmland", "dark industry")
_OTHERS = 60  # tries to put a building for a site of 1.2 km


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Land without what changes, on cells of CELL_M.

    Attributes:
        canvas: Heights, reflectances and what is taken; its corner is MARGIN_M beyond that of the site.
        biome: The land.
        coal: Reflectance of the coal of the site.
        half_m: Half of the side of the canvas.
    """

    canvas: Canvas
    biome: terrain.Biome
    coal: terrain.Colour
    half_m: float

    def on_canvas(self, points_m: Points) -> Points:
        """Points (M, 2) of the site's frame in metres of the canvas: right and down from its corner."""
        return np.asarray(points_m * FLIP + self.half_m, np.float64)


def lay_ground(history: History) -> Ground:
    """Land, the black ground of the yard, roads, buildings and trees, where no thing ever stands."""
    rng = np.random.default_rng([history.seed, 41])
    half = history.side_m / 2 + MARGIN_M
    cells = round(2 * half / CELL_M)
    name = str(rng.choice(_BIOMES))
    biome = next(one for one in terrain.BIOMES if one.name == name)
    canvas = terrain.raw_land((cells, cells), CELL_M, biome, rng)
    angle = float(rng.uniform(0, np.pi))
    if rng.random() < biome.fields:
        terrain.add_fields(canvas, biome.crops, angle, rng)
    coal = tuple(float(c) for c in np.array((0.05, 0.049, 0.05, 0.055)) * np.exp(rng.normal(0, 0.25)))
    ground = Ground(canvas, biome, (coal[0], coal[1], coal[2], coal[3]), half)
    _blacken(ground, history, rng)
    _reserve(ground, history)
    _roads(ground, rng)
    for _ in range(round(_OTHERS * (history.side_m / 1200) ** 2)):
        adder = DISTRACTORS[int(rng.choice(len(DISTRACTORS), p=_SHARES))][0]
        x_m, y_m = rng.uniform(0.03, 0.97, 2) * 2 * half
        adder(canvas, float(x_m), float(y_m), angle + float(rng.choice([0, np.pi / 2])), rng)
    terrain.add_trees(canvas, biome, rng)
    canvas.truths.clear()
    return ground


_WEIGHTS = np.array([weight for _, weight in DISTRACTORS])
_SHARES = _WEIGHTS / _WEIGHTS.sum()


def _blacken(ground: Ground, history: History, rng: np.random.Generator) -> None:
    """Coal dust where heaps stand."""
    forms = [form for thing in history.things for _, form in thing.changes if isinstance(form, Pile)]
    spots = np.array([[form.x_m, form.y_m] for form in forms])
    for at in ground.on_canvas(spots)[:: max(1, len(spots) // 4)]:
        blacken(ground.canvas, float(at[0]), float(at[1]), float(rng.uniform(0, np.pi)), rng)


def _reserve(ground: Ground, history: History) -> None:
    """Take the ground of everything that ever stands somewhere."""
    shapes = [
        shapely.Polygon(form.box).buffer(_ROOM_M, join_style="mitre")
        for thing in history.things
        if thing.kind != CONFUSER
        for _, form in thing.changes
        if form is not None
    ]
    if history.siding is not None:
        yard, _ = history.siding
        ends = yard.on_canvas(np.array([-0.5, 0.5]) * yard.length_m, 0.0) * FLIP
        shapes.append(shapely.LineString(ends).buffer(yard.tracks_m[-1] + _ROOM_M))
    for shape in shapely.get_parts(shapely.union_all(shapes, grid_size=0.01)):
        take(ground.canvas, ground.on_canvas(shapely.get_coordinates(shape.exterior)[:-1]))


def take(canvas: Canvas, outline_m: Points) -> None:
    """Take the cells inside an outline (M, 2) in metres of the canvas."""
    low, high = outline_m.min(axis=0), outline_m.max(axis=0)
    found = canvas.window(low[0], low[1], high[0], high[1])
    if found is not None:
        x, y = canvas.coordinates(*found)
        canvas.taken[found] |= inside_polygon(x, y, outline_m)


def _roads(ground: Ground, rng: np.random.Generator) -> None:
    """Two roads round what is taken: along the edges of the site, and tracks from them."""
    side = 2 * ground.half_m
    inset = float(rng.uniform(0.05, 0.1)) * side
    bends = rng.normal(0, 0.008 * side, (4, 9))
    for number, kind in enumerate(("paved", "dirt", "dirt", "paved")[: int(rng.integers(2, 5))]):
        along = np.linspace(0, side, 9)
        across = (inset if number < 2 else side - inset) + bends[number]
        line = np.stack([along, across] if number % 2 else [across, along], axis=1)
        lay_road(ground.canvas, line, kind, rng, ground.biome.dirt)


def finer(ground: Ground, window_m: tuple[float, float, float, float], shape: tuple[int, int]) -> Canvas:
    """A window of the land (left, top, right, bottom; metres of its canvas) on (H, W) cells of a picture."""
    left, top, right, bottom = (value / CELL_M for value in window_m)
    source = ground.canvas
    rows, cols = source.taken.shape
    low = np.clip(np.floor([left, top]).astype(int) - 2, 0, [cols, rows])
    high = np.clip(np.ceil([right, bottom]).astype(int) + 2, 0, [cols, rows])
    part = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    box = (left - int(low[0]), top - int(low[1]), right - int(low[0]), bottom - int(low[1]))
    height, land = (_resized(grid[part], shape, box) for grid in (source.height, source.ground))
    albedo = np.empty((*shape, 4), np.float32)
    for band in range(4):
        layer: FloatGrid = np.ascontiguousarray(source.albedo[part][..., band])
        np.clip(_resized(layer, shape, box), 0.004, 1, out=albedo[..., band])
    gsd_m = (window_m[3] - window_m[1]) / shape[0]
    return Canvas(gsd_m, height, albedo, np.zeros(shape, np.bool_), [], source.rng, land)


def _resized(grid: FloatGrid, shape: tuple[int, int], box: tuple[float, float, float, float]) -> FloatGrid:
    """A box of a grid (left, top, right, bottom in its cells) on (H, W) cells."""
    image = Image.fromarray(np.ascontiguousarray(grid))
    return np.array(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box), np.float32)
