"""The land before anybody built on it: relief, soils, fields, water, forest, snow."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pithead.generate.canvas import BoolGrid, Canvas, FloatGrid
from pithead.generate.noise import fractal, grown, lattice, smoothstep

Colour: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Biome:
    """How a region looks.

    Attributes:
        name: For the scene's facts.
        soils: Reflectances that are mixed over several scales.
        plants: Reflectances of the low vegetation.
        cover: Least and most part of the ground under low vegetation.
        relief_m: Least and most standard deviation of the height.
        trees: Least and most part under trees.
        crown: Reflectance of trees.
        fields: Chance that farmland exists.
        crops: Reflectances of fields.
        dirt: Tracks and yards.
        snow: Whether snow lies.
    """

    name: str
    soils: tuple[Colour, ...]
    plants: tuple[Colour, ...]
    cover: tuple[float, float]
    relief_m: tuple[float, float]
    trees: tuple[float, float]
    crown: Colour = (0.055, 0.075, 0.04, 0.30)
    fields: float = 0.2
    crops: tuple[Colour, ...] = field(
        default=(
            (0.22, 0.18, 0.13, 0.28),
            (0.16, 0.13, 0.10, 0.20),
            (0.10, 0.14, 0.06, 0.42),
            (0.30, 0.27, 0.16, 0.38),
            (0.13, 0.16, 0.08, 0.36),
            (0.075, 0.065, 0.055, 0.11),
        )
    )
    dirt: Colour = (0.36, 0.31, 0.24, 0.40)
    snow: bool = False


BIOMES = (
    Biome(
        "steppe",
        ((0.26, 0.22, 0.16, 0.32), (0.32, 0.28, 0.20, 0.38), (0.20, 0.17, 0.13, 0.26)),
        ((0.14, 0.14, 0.09, 0.30), (0.19, 0.18, 0.11, 0.31)),
        (0.2, 0.7), (2, 10), (0.0, 0.03), fields=0.25,
    ),
    Biome(
        "loess",
        ((0.38, 0.31, 0.21, 0.44), (0.31, 0.25, 0.17, 0.38), (0.43, 0.36, 0.26, 0.48)),
        ((0.13, 0.14, 0.08, 0.32), (0.18, 0.17, 0.10, 0.30)),
        (0.15, 0.6), (5, 18), (0.0, 0.08), fields=0.4, dirt=(0.44, 0.37, 0.27, 0.5),
    ),
    Biome(
        "green hills",
        ((0.20, 0.17, 0.12, 0.28), (0.26, 0.22, 0.16, 0.33)),
        ((0.065, 0.09, 0.045, 0.38), (0.095, 0.115, 0.055, 0.36), (0.13, 0.14, 0.08, 0.34)),
        (0.55, 0.9), (4, 18), (0.1, 0.5), fields=0.35, dirt=(0.32, 0.28, 0.22, 0.36),
    ),
    Biome(
        "desert",
        ((0.46, 0.38, 0.27, 0.53), (0.40, 0.33, 0.23, 0.47), (0.50, 0.43, 0.32, 0.56)),
        ((0.28, 0.25, 0.17, 0.36), (0.33, 0.29, 0.2, 0.38)),
        (0.03, 0.3), (1, 9), (0.0, 0.004), fields=0.03, dirt=(0.50, 0.43, 0.32, 0.55),
    ),
    Biome(
        "red earth",
        ((0.33, 0.20, 0.13, 0.40), (0.28, 0.18, 0.12, 0.35), (0.38, 0.25, 0.17, 0.44)),
        ((0.12, 0.12, 0.07, 0.31), (0.17, 0.15, 0.09, 0.30)),
        (0.15, 0.6), (1, 7), (0.0, 0.15), fields=0.2, dirt=(0.42, 0.28, 0.19, 0.46),
    ),
    Biome(
        "dark industry",
        ((0.13, 0.12, 0.11, 0.17), (0.18, 0.165, 0.145, 0.22), (0.10, 0.095, 0.09, 0.13)),
        ((0.09, 0.10, 0.06, 0.25), (0.12, 0.12, 0.08, 0.26)),
        (0.1, 0.5), (1, 6), (0.0, 0.06), fields=0.05, dirt=(0.22, 0.20, 0.17, 0.26),
    ),
    Biome(
        "farmland",
        ((0.24, 0.19, 0.13, 0.30), (0.19, 0.15, 0.10, 0.25)),
        ((0.085, 0.115, 0.05, 0.40), (0.12, 0.135, 0.07, 0.36)),
        (0.3, 0.8), (0.5, 4), (0.0, 0.12), fields=0.95, dirt=(0.36, 0.31, 0.24, 0.4),
    ),
    Biome(
        "snow",
        ((0.26, 0.22, 0.17, 0.32), (0.20, 0.17, 0.13, 0.25)),
        ((0.15, 0.13, 0.10, 0.22), (0.20, 0.17, 0.12, 0.26)),
        (0.2, 0.7), (2, 14), (0.0, 0.2), crown=(0.09, 0.08, 0.065, 0.17), fields=0.3, snow=True,
    ),
)  # fmt: skip


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> FloatGrid:
    """One of the colours, a little changed in brightness and tint."""
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float64)
    changed = colour * np.exp(rng.normal(0, 0.10)) * np.exp(rng.normal(0, 0.03, 4))
    return np.asarray(np.clip(changed, 0.01, 0.95), np.float32)


def raw_land(shape: tuple[int, int], gsd_m: float, biome: Biome, rng: np.random.Generator) -> Canvas:
    """A canvas with relief, soil and low vegetation."""
    relief = float(rng.uniform(*biome.relief_m))
    ground = fractal(rng, shape, 420 / gsd_m, 6, 0.42) * np.float32(relief)
    if relief > 6 and rng.random() < 0.6:  # gullies and ridges
        ground -= np.abs(fractal(rng, shape, 260 / gsd_m, 4, 0.45)) * np.float32(relief * 0.6)
    rough = lattice(rng, shape, 2.2 / gsd_m) + np.float32(0.6) * lattice(rng, shape, 0.9 / gsd_m)
    ground += np.float32(rng.uniform(0.02, 0.07)) * rough
    albedo = _soil(shape, gsd_m, biome, rng)
    canvas = Canvas(gsd_m, ground.copy(), albedo, np.zeros(shape, np.bool_), [], rng, ground)
    _plants(canvas, biome, rng)
    return canvas


def finer(canvas: Canvas, shape: tuple[int, int]) -> Canvas:
    """The same land on cells of half the size, cut to (H, W), with a grain of single cells."""
    rows, cols = shape
    twice = (canvas.taken.shape[0] * 2, canvas.taken.shape[1] * 2)
    height, ground = (grown(grid, twice)[:rows, :cols].copy() for grid in (canvas.height, canvas.ground))
    albedo = np.empty((*shape, 4), np.float32)
    grain = canvas.rng.standard_normal(shape, np.float32)
    grain *= np.float32(0.04)
    grain += 1
    for band in range(4):
        layer = grown(np.ascontiguousarray(canvas.albedo[..., band]), twice)[:rows, :cols]
        np.clip(layer * grain, 0.004, 1, out=albedo[..., band])
    taken = canvas.taken.repeat(2, axis=0).repeat(2, axis=1)[:rows, :cols].copy()
    return Canvas(canvas.gsd_m / 2, height, albedo, taken, canvas.truths, canvas.rng, ground)


def _soil(shape: tuple[int, int], gsd_m: float, biome: Biome, rng: np.random.Generator) -> FloatGrid:
    albedo = np.empty((*shape, 4), np.float32)
    albedo[:] = pick(rng, biome.soils)
    for largest_m in (300.0, 60.0):
        share = smoothstep(fractal(rng, shape, largest_m / gsd_m, 8, 0.66), -0.8, 1.5)[..., None]
        albedo += share * np.float32(0.85) * (pick(rng, biome.soils) - albedo)
    tone = 1 + np.float32(rng.uniform(0.05, 0.11)) * fractal(rng, shape, 50 / gsd_m, 8, 0.8)
    tone += np.float32(rng.uniform(0.02, 0.06)) * lattice(rng, shape, 1.1)
    albedo *= np.clip(tone, 0.5, 1.6)[..., None]
    return albedo


def _plants(canvas: Canvas, biome: Biome, rng: np.random.Generator) -> None:
    shape = canvas.taken.shape
    cover = float(rng.uniform(*biome.cover))
    for share in (0.7, 0.5):
        where = fractal(
            rng, shape, float(rng.uniform(60, 250)) / canvas.gsd_m, 8, float(rng.uniform(0.68, 0.85))
        )
        where += np.float32(0.25) * lattice(rng, shape, 1.6 / canvas.gsd_m)
        limit, soft = float(np.quantile(where[::8, ::8], 1 - cover * share)), float(rng.uniform(0.4, 1.3))
        alpha = smoothstep(where, limit - soft, limit + soft)[..., None] * np.float32(rng.uniform(0.5, 0.95))
        canvas.albedo += alpha * (pick(rng, biome.plants) - canvas.albedo)
    # Shrubs and tussocks: single dark cells.
    dots = lattice(rng, shape, 2.4 / canvas.gsd_m) > float(rng.uniform(1.1, 1.9))
    bushy = lattice(rng, shape, 120 / canvas.gsd_m) > -0.2
    dots &= bushy
    canvas.albedo[dots] *= np.float32(rng.uniform(0.55, 0.85))


INDUSTRIAL_GROUND: tuple[Colour, ...] = (
    (0.34, 0.33, 0.31, 0.34),
    (0.27, 0.235, 0.19, 0.31),
    (0.40, 0.35, 0.28, 0.43),
    (0.17, 0.16, 0.15, 0.19),
    (0.10, 0.095, 0.09, 0.11),
    (0.21, 0.19, 0.16, 0.24),
    (0.11, 0.13, 0.07, 0.34),
    (0.16, 0.165, 0.10, 0.32),
)


def add_fields(
    canvas: Canvas,
    colours_of: tuple[Colour, ...],
    angle: float,
    rng: np.random.Generator,
    *,
    ploughed: bool = True,
) -> None:
    """Plots over a part of the canvas: crops with ploughing lines, or the parcels of an industrial area."""
    shape = canvas.taken.shape
    x, y = canvas.coordinates(slice(0, shape[0]), slice(0, shape[1]))
    bend = np.float32(rng.uniform(0, 9)) * lattice(rng, shape, 150 / canvas.gsd_m)
    u = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) + bend
    v = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    plots, edge = _plots(u, v, rng)
    colours = np.stack([pick(rng, colours_of) for _ in range(64)])
    reach = fractal(rng, shape, 330 / canvas.gsd_m, 8, 0.5)
    border, soft = float(rng.uniform(-1.2, 0.3)), float(rng.uniform(0.02, 0.3))
    share = smoothstep(reach, border - soft, border + soft)
    share *= np.float32(rng.uniform(0.75, 1.0)) * (0.85 + 0.15 * lattice(rng, shape, 8 / canvas.gsd_m))
    np.clip(share, 0, 1, out=share)
    pitch = float(rng.uniform(1.0, 3.5))
    rows = np.sin(np.where(plots % 3 == 0, u, v) * np.float32(2 * np.pi / pitch))
    strength = rng.uniform(0, 0.12 if ploughed else 0.015, 64).astype(np.float32)
    tone = 1 + rows * strength[plots]
    tone += np.float32(0.06 if ploughed else 0.13) * fractal(rng, shape, 30 / canvas.gsd_m, 7, 0.75)
    tone *= np.where(edge, np.float32(rng.uniform(0.8, 1.25)), np.float32(1))
    crop = colours[plots]
    crop *= tone[..., None]
    canvas.albedo += share[..., None] * (crop - canvas.albedo)


def _plots(u: FloatGrid, v: FloatGrid, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], BoolGrid]:
    """Plot number 0..63 and whether the cell lies on a baulk between plots."""
    low, high = int(min(u.min(), v.min())) - 1, int(max(u.max(), v.max())) + 2
    size_u, size_v = float(rng.uniform(15, 120)), float(rng.uniform(40, 250))
    cuts_u = np.cumsum(rng.uniform(0.5, 1.6, int((high - low) / size_u * 1.6) + 9) * size_u) + low - size_u
    cuts_v = np.cumsum(rng.uniform(0.5, 1.6, int((high - low) / size_v * 1.6) + 9) * size_v) + low - size_v
    half_metres = np.arange(low, high, 0.5)
    table_u = np.searchsorted(cuts_u, half_metres)
    table_v = np.searchsorted(cuts_v, half_metres)
    iu = table_u[((u - low) * 2).astype(np.int32)]
    iv = table_v[((v - low) * 2).astype(np.int32)]
    near_u = np.minimum.reduce([np.abs(half_metres - cut) for cut in cuts_u]) < 0.8
    near_v = np.minimum.reduce([np.abs(half_metres - cut) for cut in cuts_v]) < 0.8
    edge = near_u[((u - low) * 2).astype(np.int32)] | near_v[((v - low) * 2).astype(np.int32)]
    return (iu * 37 + iv * 11 + iu * iv) % 64, edge


def add_water(canvas: Canvas, rng: np.random.Generator) -> None:
    """A river or stream across the canvas, or a shore: flat, dark, taken."""
    width_m, height_m = canvas.size_m
    half = float(
        rng.choice([rng.uniform(1.5, 5), rng.uniform(8, 30), rng.uniform(60, 200)], p=[0.5, 0.3, 0.2])
    )
    angle = float(rng.uniform(0, 2 * np.pi))
    way = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-way[1], way[0]])
    centre = np.array([width_m, height_m]) * rng.uniform(0.1, 0.9, 2)
    steps = np.linspace(-0.8, 0.8, 26)[:, None] * max(width_m, height_m) * 1.5
    wander = np.cumsum(rng.normal(0, 0.055 * min(width_m, 1200), 26))
    points = centre + steps * way + (wander - wander[13])[:, None] * side
    reach = half + 2 * min(half, 30.0) + 12
    found = canvas.band(points, reach)
    if found is None:
        return
    patch, distance, _ = found
    distance = np.minimum(distance, reach)
    distance = distance + fractal(rng, distance.shape, 40 / canvas.gsd_m, 5, 0.55) * np.float32(
        0.25 * min(half, 30.0) + 0.5
    )
    wet = smoothstep(distance, half + 0.8, half - 0.4)
    shore = min(half, 30.0)
    bank = smoothstep(distance, half + 1.4 * shore + 8, half)
    canvas.paint(patch, bank * 0.55, pick(rng, ((0.33, 0.3, 0.25, 0.36), (0.10, 0.13, 0.06, 0.36))), 0.08)
    dig = bank * np.float32(-0.12 * shore - 0.6)
    canvas.height[patch.rows, patch.cols] += dig
    canvas.ground[patch.rows, patch.cols] += dig
    water = pick(rng, ((0.035, 0.05, 0.05, 0.02), (0.10, 0.11, 0.085, 0.06), (0.05, 0.085, 0.08, 0.03)))
    canvas.paint(patch, wet, water, 0.03)
    canvas.take(patch, distance < half + 2)


def add_trees(canvas: Canvas, biome: Biome, rng: np.random.Generator) -> None:
    """Woods, thickets and single trees on ground that nothing uses; they stand up and cast shadows."""
    shape = canvas.taken.shape
    part = float(rng.uniform(*biome.trees))
    area_m2 = shape[0] * shape[1] * canvas.gsd_m**2
    wood = fractal(rng, shape, float(rng.uniform(80, 350)) / canvas.gsd_m, 6, 0.55)
    limit = float(np.quantile(wood[::8, ::8], 1 - part)) if part > 0 else np.inf
    spacing = float(rng.uniform(1.9, 3.4))
    count = int(min(area_m2 / spacing**2, 160_000))
    centres = rng.integers(0, shape, (count, 2)) if part > 0 else np.zeros((0, 2), np.int64)
    centres = centres[wood[centres[:, 0], centres[:, 1]] + rng.normal(0, 0.12, len(centres)) > limit]
    loose = rng.integers(0, shape, (int(area_m2 / 10_000 * rng.uniform(0, 8) * (0.15 + 4 * part)), 2))
    plant_trees(canvas, np.concatenate([centres, loose]), biome.crown, rng)


def plant_trees(
    canvas: Canvas, centres: npt.NDArray[np.int64], crown: Colour, rng: np.random.Generator
) -> None:
    """Stand a tree at each centre (row, column) that is free ground."""
    shape = canvas.taken.shape
    reach = max(1, round(2.0 / canvas.gsd_m))
    ok = np.ones(len(centres), np.bool_)
    for row, col in ((0, 0), (reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        rows = np.clip(centres[:, 0] + row, 0, shape[0] - 1)
        cols = np.clip(centres[:, 1] + col, 0, shape[1] - 1)
        ok &= ~canvas.taken[rows, cols]
    centres = centres[ok]
    if not len(centres):
        return
    tall = np.zeros(shape, np.float32)
    stamps = _crowns(canvas.gsd_m, rng)
    kinds = rng.integers(0, len(stamps), len(centres))
    sizes = rng.uniform(0.35, 1.15, len(centres)).astype(np.float32)
    for (row, col), kind, size in zip(centres.tolist(), kinds.tolist(), sizes.tolist(), strict=True):
        _stamp(tall, row, col, stamps[kind], np.float32(size))
    tall[canvas.taken] = 0
    leafy = tall > 0.5
    tone = 0.9 + 0.07 * np.clip(tall, 0, 9) + np.float32(0.14) * lattice(rng, shape, 4 / canvas.gsd_m)
    colour = pick(rng, (crown,)) * np.clip(tone[leafy], 0.4, 1.6)[:, None]
    canvas.albedo[leafy] = colour * (1 + 0.15 * rng.standard_normal((len(colour), 1), np.float32))
    np.clip(canvas.albedo, 0.01, 1, out=canvas.albedo)
    canvas.height += tall


def _crowns(gsd_m: float, rng: np.random.Generator) -> list[FloatGrid]:
    stamps = []
    for radius_m in 0.9 + 2.2 * rng.random(18) ** 1.6:
        radius = max(1, round(radius_m / gsd_m))
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32) / (radius + 0.4)
        dome = np.clip(1 - x * x - y * y, 0, 1) ** 0.5
        lumpy = dome * (1 + 0.25 * rng.standard_normal(dome.shape).astype(np.float32))
        stamps.append(np.asarray(np.clip(lumpy, 0, 2) * (1.0 + 1.5 * radius_m), np.float32))
    return stamps


def _stamp(tall: FloatGrid, row: int, col: int, stamp: FloatGrid, size: np.float32) -> None:
    reach = stamp.shape[0] // 2
    top, left = row - reach, col - reach
    if top < 0 or left < 0 or row + reach >= tall.shape[0] or col + reach >= tall.shape[1]:
        return
    view = tall[top : row + reach + 1, left : col + reach + 1]
    np.maximum(view, stamp * size, out=view)


def lay_snow(canvas: Canvas, rng: np.random.Generator) -> None:
    """Snow on what nobody works or walks on: patchy, thin on steep and dark worked ground."""
    shape = canvas.taken.shape
    depth = float(rng.uniform(0.25, 0.95))
    drift = fractal(rng, shape, 120 / canvas.gsd_m, 9, float(rng.uniform(0.6, 0.85)))
    middle, soft = 1.6 - 3.6 * depth, float(rng.uniform(0.3, 1.4))
    cover = smoothstep(drift, middle - soft, middle + soft)
    worked = canvas.albedo[..., :3].mean(axis=2) < 0.085
    cover *= np.where(canvas.taken, np.float32(rng.uniform(0.15, 0.8)), np.float32(1))
    cover *= np.where(worked, np.float32(rng.uniform(0.05, 0.4)), np.float32(1))
    drop = np.abs(np.diff(canvas.height, axis=0, prepend=canvas.height[:1])) / np.float32(canvas.gsd_m)
    cover *= smoothstep(drop, 1.4, 0.5)
    snow = np.array([0.72, 0.74, 0.77, 0.68], np.float32) * np.float32(rng.uniform(0.75, 1.05))
    canvas.albedo += cover[..., None] * (snow - canvas.albedo)


def cloud_shade(shape: tuple[int, int], gsd_m: float, rng: np.random.Generator) -> FloatGrid | None:
    """Shadows of clouds (part of the sunlight lost), or None on a clear day."""
    if rng.random() > 0.12:
        return None
    small = (max(8, shape[0] // 8), max(8, shape[1] // 8))
    lumps = fractal(rng, small, 300 / gsd_m / 8, 4, 0.45)
    return grown(smoothstep(lumps, 0.9, 1.5) * np.float32(rng.uniform(0.3, 0.75)), shape)
