"""One whole scene: a land, what people built on it, one sun, one camera, exact labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.generate import distractors, heads, heaps, perimeters, rail, terrain
from pithead.generate.canvas import Canvas, Truth
from pithead.generate.distractors import Adder
from pithead.generate.outlines import clip_line, clip_rectangle
from pithead.generate.render import Sun, render
from pithead.generate.sensor import BANDS, Sensor, draw_sensor, sense

FINE, FAST = 2, 1
"""Cells of the canvas to a pixel, in each direction."""


@dataclass(frozen=True, slots=True)
class GeneratedScene:
    """Pixels and truth of one scene.

    Attributes:
        data: (B, H, W) uint8 or uint16.
        bands: Names of the bands: grey, or red, green, blue and perhaps nir.
        gsd_m: Metres per pixel.
        truths: Labels; their `points_m` are scene **pixels** here, clipped to the scene.
        facts: Biome, sun, sensor: for people and for tests.
    """

    data: npt.NDArray[np.uint8 | np.uint16]
    bands: tuple[str, ...]
    gsd_m: float
    truths: tuple[Truth, ...]
    facts: dict[str, str | float]


TARGETS: dict[str, Adder] = {
    "guard_perimeter": perimeters.add_compound,
    "rail_loading": rail.add_rail_yard,
    "mine_head": heads.add_mine_head,
    "coal_heap": heaps.add_heap_yard,
}


def generate_scene(  # noqa: PLR0913 (all that a scene depends on)
    seed: int,
    *,
    width_px: int = 1024,
    height_px: int = 1024,
    gsd_m: float = 0.6,
    kind: str = "mixed",
    density: float = 1.0,
    mode: str | None = None,
    bits: int | None = None,
    supersampling: int = FINE,
) -> GeneratedScene:
    """A scene that depends on its arguments alone.

    Args:
        seed: Any int from 0.
        width_px: Width of the scene.
        height_px: Height of the scene.
        gsd_m: Metres per pixel, 0.3 to 1.2.
        kind: "training" (many objects and distractors), "mixed" (a mine, its railway, a compound, and
            land between), "empty" (distractors only).
        density: Factor of the numbers of everything.
        mode: pan, rgb or rgbn; by chance if not given.
        bits: 8 or 11; by chance if not given.
        supersampling: FINE, or FAST for a quarter of the time: edges, shadows and soil are coarser, and it is
            another scene.
    """
    rng = np.random.default_rng([seed, 20_240_601])
    biome = terrain.BIOMES[int(rng.choice(len(terrain.BIOMES), p=_BIOME_SHARES))]
    shape = (height_px * supersampling, width_px * supersampling)
    canvas, angle, built_up = _land(shape, gsd_m / supersampling, biome, rng, fast=supersampling == FAST)
    roads = _roads(canvas, biome.dirt, rng)
    if kind != "empty":
        _targets(canvas, kind, density, angle, rng)
    _others(canvas, density * (1.0 if kind != "mixed" else 0.6) * (1.7 if built_up else 0.8), angle, rng)
    _tracks(canvas, roads, biome.dirt, rng)
    terrain.add_trees(canvas, biome, rng)
    if biome.snow:
        terrain.lay_snow(canvas, rng)
    sun = Sun(float(rng.uniform(95, 265)), float(rng.uniform(22, 68)), float(rng.uniform(0.16, 0.38)))
    light = render(canvas, sun, terrain.cloud_shade(shape, canvas.gsd_m, rng))
    sensor = draw_sensor(rng, mode, bits)
    data = sense(light, sensor, rng, supersampling)
    truths = _in_pixels(canvas.truths, gsd_m, width_px, height_px)
    return GeneratedScene(data, BANDS[sensor.mode], gsd_m, truths, _facts(biome, sun, sensor))


def _land(
    shape: tuple[int, int], cell_m: float, biome: terrain.Biome, rng: np.random.Generator, *, fast: bool
) -> tuple[Canvas, float, bool]:
    """Relief, soil, plants, fields and water; the way fields run, and whether the ground is built up.

    Fast, it is drawn on cells of twice the size, and the grain of single cells is added after.
    """
    half = (-(-shape[0] // 2), -(-shape[1] // 2))
    canvas = terrain.raw_land(half if fast else shape, cell_m * (2 if fast else 1), biome, rng)
    angle = float(rng.uniform(0, np.pi))
    if rng.random() < biome.fields:
        terrain.add_fields(canvas, biome.crops, float(rng.choice([angle, rng.uniform(0, np.pi)])), rng)
    built_up = bool(rng.random() < 0.4)
    if built_up:
        terrain.add_fields(canvas, terrain.INDUSTRIAL_GROUND, angle, rng, ploughed=False)
    if rng.random() < 0.2:
        terrain.add_water(canvas, rng)
    return (terrain.finer(canvas, shape) if fast else canvas), angle, built_up


_BIOME_SHARES = (0.17, 0.15, 0.15, 0.12, 0.1, 0.13, 0.1, 0.08)


def _facts(biome: terrain.Biome, sun: Sun, sensor: Sensor) -> dict[str, str | float]:
    return {
        "biome": biome.name,
        "sun_azimuth_deg": round(sun.azimuth_deg, 2),
        "sun_elevation_deg": round(sun.elevation_deg, 2),
        "mode": sensor.mode,
        "bits": sensor.bits,
        "jpeg_quality": sensor.jpeg_quality,
    }


def _line(canvas: Canvas, rng: np.random.Generator, bend: float) -> npt.NDArray[np.float64]:
    """A line across the whole canvas, more or less winding."""
    size = np.array(canvas.size_m)
    angle = float(rng.uniform(0, 2 * np.pi))
    way = np.array([np.cos(angle), np.sin(angle)])
    reach = float(np.hypot(*size)) * 0.75
    steps = np.linspace(-reach, reach, max(9, int(reach / 22)))
    turn = np.cumsum(np.cumsum(rng.normal(0, bend, len(steps))))
    turn -= np.linspace(0, turn[-1], len(steps))
    centre = size * rng.uniform(0.1, 0.9, 2)
    return np.asarray(centre + steps[:, None] * way + turn[:, None] * np.array([-way[1], way[0]]), np.float64)


def _roads(canvas: Canvas, dirt: terrain.Colour, rng: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """Roads and railways across the canvas; their lines."""
    lines = []
    for kind, chance, bend in (
        ("paved", 0.45, 0.8),
        ("rail", 0.14, 0.12),
        ("dirt", 0.55, 2.2),
        ("dirt", 0.25, 2.2),
    ):
        if rng.random() < chance:
            lines.append(_line(canvas, rng, bend))
            distractors.lay_road(canvas, lines[-1], kind, rng, dirt)
    return lines


def _tracks(
    canvas: Canvas, roads: list[npt.NDArray[np.float64]], dirt: terrain.Colour, rng: np.random.Generator
) -> None:
    """A way from the road to most objects; wheel ruts and hedges on what is left."""
    goals = np.concatenate(roads) if roads else np.array(canvas.size_m) * rng.random((6, 2))
    for truth in list(canvas.truths):
        if rng.random() < 0.3:
            continue
        start = truth.points_m.mean(axis=0)
        goal = goals[int(np.argmin(np.hypot(*(goals - start).T)))]
        length = float(np.hypot(*(goal - start)))
        if not 15 < length < 400:
            continue
        share = np.linspace(0, 1, 7)[:, None]
        sway = np.sin(np.pi * share) * rng.normal(0, 0.08 * length, 2)
        line = start + share * (goal - start) + sway + rng.normal(0, 1.2, (7, 2))
        distractors.lay_road(canvas, line, str(rng.choice(["dirt", "ruts"])), rng, dirt)
    for _ in range(int(rng.integers(0, 5))):
        distractors.lay_road(canvas, _line(canvas, rng, 3.0), "ruts", rng, dirt)
    if rng.random() < 0.25:
        distractors.lay_road(canvas, _line(canvas, rng, 0.7), "hedge", rng)


def _try(
    canvas: Canvas,
    adder: Adder,
    near: npt.NDArray[np.float64] | None,
    angle: float,
    tries: int,
    spread_m: float = 110.0,
) -> bool:
    """Put an object near a place (or anywhere), in the site's direction or any."""
    rng = canvas.rng
    size = np.array(canvas.size_m)
    for _ in range(tries):
        spot = size * rng.uniform(0.03, 0.97, 2) if near is None else near + rng.normal(0, spread_m, 2)
        turn = angle + float(rng.choice([0, np.pi / 2])) + float(rng.normal(0, 0.06))
        chosen = turn if rng.random() < 0.6 else float(rng.uniform(0, 2 * np.pi))
        if adder(canvas, float(spot[0]), float(spot[1]), chosen, rng):
            return True
    return False


def _targets(canvas: Canvas, kind: str, density: float, angle: float, rng: np.random.Generator) -> None:
    """Sites where heads, heaps, sidings and a compound stand together, and some objects on their own."""
    width_m, height_m = canvas.size_m
    area_ha = width_m * height_m / 10_000
    sites = max(1, round(area_ha / (40 if kind == "training" else 150) * density))
    for _ in range(sites):
        centre = np.array([width_m, height_m]) * rng.uniform(0.15, 0.85, 2)
        turn = angle if rng.random() < 0.6 else float(rng.uniform(0, np.pi))
        if rng.random() < 0.75:
            distractors.blacken(canvas, float(centre[0]), float(centre[1]), turn, rng)
        for name, most, spread_m in _SITE:
            for _ in range(int(rng.integers(0, most + 1))):
                _try(canvas, TARGETS[name], centre, turn, 12, spread_m)
    singles = area_ha / (10 if kind == "training" else 80) * density
    for name in rng.choice(list(TARGETS), int(rng.poisson(singles)), p=(0.3, 0.26, 0.27, 0.17)):
        spot = None
        if str(name) == "coal_heap" and rng.random() < 0.6:
            spot = np.array([width_m, height_m]) * rng.uniform(0.1, 0.9, 2)
            distractors.blacken(canvas, float(spot[0]), float(spot[1]), angle, rng)
        _try(canvas, TARGETS[str(name)], spot, angle, 8, 35.0)


_SITE = (
    ("coal_heap", 1, 40.0),
    ("mine_head", 2, 90.0),
    ("coal_heap", 2, 60.0),
    ("rail_loading", 1, 120.0),
    ("guard_perimeter", 1, 160.0),
)


def _others(canvas: Canvas, density: float, angle: float, rng: np.random.Generator) -> None:
    """Distractors, some crowded round one place."""
    adders: list[Adder] = [adder for adder, _ in distractors.DISTRACTORS]
    weights = np.array([weight for _, weight in distractors.DISTRACTORS])
    adders += [heaps.add_distractor_heap, perimeters.add_distractor_wall]
    weights = np.append(weights, [2.4, 2.0])
    width_m, height_m = canvas.size_m
    count = int(rng.poisson(width_m * height_m / 10_000 * 0.55 * density * rng.uniform(0.2, 1.4)))
    home = np.array([width_m, height_m]) * rng.uniform(0.2, 0.8, 2)
    for index in rng.choice(len(adders), count, p=weights / weights.sum()):
        _try(canvas, adders[int(index)], home if rng.random() < 0.4 else None, angle, 3)


def _in_pixels(truths: Sequence[Truth], gsd_m: float, width_px: int, height_px: int) -> tuple[Truth, ...]:
    """Labels in scene pixels, cut at the edge; what is left of an object under 10 px² is no label."""
    out: list[Truth] = []
    for truth in truths:
        points = np.asarray(truth.points_m, np.float64) / gsd_m
        if truth.class_name == "guard_perimeter" or len(points) != 4:
            for piece, closed in clip_line(points, width_px, height_px, closed=truth.closed):
                out.append(Truth(truth.class_name, piece, closed=closed, attributes=truth.attributes))
            continue
        corners = clip_rectangle(points, width_px, height_px, smallest_px2=10.0)
        if corners is not None:
            out.append(Truth(truth.class_name, corners, attributes=truth.attributes))
    return tuple(out)
