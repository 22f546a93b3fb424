"""One whole scene: a land, what people built on it, one sun, one camera, exact labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.generate import heads, heaps, perimeters, rail, terrain, works
from pithead.generate.backdrop import Backdrop, lay
from pithead.generate.canvas import Canvas, Truth
from pithead.generate.distractors import DISTRACTORS
from pithead.generate.lots import Adder
from pithead.generate.outlines import clip_line, clip_rectangle
from pithead.generate.parts import Points, inside_polygon, offset_line
from pithead.generate.render import Sun, render
from pithead.generate.roads import blacken, lay_road
from pithead.generate.sensor import BANDS, Sensor, draw_sensor, sense, softened

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
        facts: Biome and ground (snow or no snow) or backdrop, sun, sensor.
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


@dataclass(frozen=True, slots=True)
class _Place:
    """The ground of a scene before anybody built on it, and the sun over it.

    Attributes:
        canvas: The ground.
        angle: Radians clockwise on the screen of the way in which fields and works run.
        built_up: Whether the ground is that of works.
        dirt: Reflectance of tracks.
        biome: The land; None on a backdrop, which has its own trees and snow.
        sun: The light.
        soft_px: Least blur in scene pixels: what is built is not to be sharper than a backdrop.
        facts: For people and tests.
    """

    canvas: Canvas
    angle: float
    built_up: bool
    dirt: terrain.Colour
    biome: terrain.Biome | None
    sun: Sun
    soft_px: float
    facts: dict[str, str | float]


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
    backdrop: Backdrop | None = None,
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
        backdrop: An image to build on, instead of land of its own.
    """
    rng = np.random.default_rng([seed, 20_240_601])
    shape, cell_m = (height_px * supersampling, width_px * supersampling), gsd_m / supersampling
    if backdrop is None:
        place = _land(shape, cell_m, rng, fast=supersampling == FAST)
    else:
        place = _on_backdrop(shape, cell_m, backdrop, supersampling, rng)
    _build(place, kind, density, rng)
    cloud = terrain.cloud_shade(shape, cell_m, rng)
    light = render(place.canvas, place.sun, cloud)
    sensor = softened(draw_sensor(rng, mode, bits, gsd_m), place.soft_px)
    data = sense(light, sensor, rng, supersampling)
    truths = _in_pixels(place.canvas.truths, gsd_m, width_px, height_px)
    return GeneratedScene(data, BANDS[sensor.mode], gsd_m, truths, _facts(place, sensor))


def _build(place: _Place, kind: str, density: float, rng: np.random.Generator) -> None:
    """All that stands on the ground, from the largest to the smallest."""
    canvas, angle = place.canvas, place.angle
    rings = _works(canvas, kind, density, angle, rng)
    roads = _roads(canvas, place.dirt, rings, rng)
    if kind != "empty":
        _targets(canvas, kind, density, angle, rng)
    crowded = density * (1.0 if kind != "mixed" else 0.6) * (1.7 if place.built_up else 0.8)
    _others(canvas, crowded, angle, rng)
    _tracks(canvas, roads, place.dirt, rings, rng)
    if place.biome is not None:
        terrain.add_trees(canvas, place.biome, rng)
        if place.biome.snow:
            terrain.lay_snow(canvas, rng)


_WORKS = {"training": 0.8, "mixed": 0.25, "empty": 0.5}


def _works(canvas: Canvas, kind: str, density: float, angle: float, rng: np.random.Generator) -> list[Points]:
    """Large works, some of them without a fence; their lines."""
    rings: list[Points] = []
    targets = kind != "empty"
    for _ in range(min(3, int(rng.poisson(_WORKS[kind] * density)))):
        fenced = targets and bool(rng.random() < 0.75)
        for _ in range(4):
            turn = angle + float(rng.normal(0, 0.05))
            ring = works.add_works(canvas, turn, rng, fenced=fenced, targets=targets)
            if ring is not None:
                rings.append(ring)
                break
    return rings


def _on_backdrop(
    shape: tuple[int, int], cell_m: float, backdrop: Backdrop, cells: int, rng: np.random.Generator
) -> _Place:
    """A piece of a real image; what it shows stays where it is."""
    noon = float(rng.uniform(105, 255))  # such images are taken from late morning, north of the tropics
    laid = lay(backdrop, shape, cell_m, noon, rng)
    sun = Sun(laid.sun_azimuth_deg, float(rng.uniform(30, 68)), float(rng.uniform(0.16, 0.38)))
    facts: dict[str, str | float] = {"backdrop": backdrop.name, "backdrop_sha256": backdrop.sha256}
    soft_px = 0.5 * laid.soft_px / cells if laid.soft_px > 1 else 0.0
    angle = float(rng.uniform(0, np.pi))
    return _Place(laid.canvas, angle, bool(rng.random() < 0.4), laid.dirt, None, sun, soft_px, facts)


def _land(shape: tuple[int, int], cell_m: float, rng: np.random.Generator, *, fast: bool) -> _Place:
    """Relief, soil, plants, fields and water.

    Fast, it is drawn on cells of twice the size, and the grain of single cells is added after.
    """
    biome = terrain.BIOMES[int(rng.choice(len(terrain.BIOMES), p=_BIOME_SHARES))]
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
    sun = Sun(float(rng.uniform(95, 265)), float(rng.uniform(22, 68)), float(rng.uniform(0.16, 0.38)))
    ground = terrain.finer(canvas, shape) if fast else canvas
    facts: dict[str, str | float] = {"biome": biome.name, "ground": "snow" if biome.snow else "no snow"}
    return _Place(ground, angle, built_up, biome.dirt, biome, sun, 0.0, facts)


_BIOME_SHARES = (0.17, 0.15, 0.15, 0.12, 0.1, 0.13, 0.1, 0.08)


def _facts(place: _Place, sensor: Sensor) -> dict[str, str | float]:
    return place.facts | {
        "sun_azimuth_deg": round(place.sun.azimuth_deg, 2),
        "sun_elevation_deg": round(place.sun.elevation_deg, 2),
        "sensor": sensor.kind,
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


def _roads(
    canvas: Canvas, dirt: terrain.Colour, rings: list[Points], rng: np.random.Generator
) -> list[Points]:
    """Roads and railways across the canvas, round the works and along them; their lines."""
    lines: list[tuple[str, Points]] = []
    for kind, chance, bend in (
        ("paved", 0.45, 0.8),
        ("rail", 0.14, 0.12),
        ("dirt", 0.55, 2.2),
        ("dirt", 0.25, 2.2),
    ):
        if rng.random() < chance:
            tries = [_line(canvas, rng, bend) for _ in range(4 if rings else 1)]
            lines += [(kind, line) for line in tries if not _crosses(line, rings)][:1]
    for ring in rings:
        side = int(rng.integers(len(ring)))
        first, last = offset_line(ring, -float(rng.uniform(13, 30)), closed=True)[[side - 1, side]]
        line = first + np.linspace(-0.8, 1.8, 40)[:, None] * (last - first)
        if rng.random() < 0.6 and not _crosses(line, rings):
            lines.append((str(rng.choice(["paved", "dirt"])), line))
    for kind, line in lines:
        lay_road(canvas, line, kind, rng, dirt)
    return [line for _, line in lines]


def _crosses(line: Points, rings: list[Points]) -> bool:
    """Whether a line comes into works or within 10 m of their line."""
    around = [offset_line(ring, -10.0, closed=True) for ring in rings]
    x, y = line.astype(np.float32).T
    return any(bool(inside_polygon(x, y, ring).any()) for ring in around)


def _tracks(
    canvas: Canvas, roads: list[Points], dirt: terrain.Colour, rings: list[Points], rng: np.random.Generator
) -> None:
    """A way from the road to most objects; wheel ruts and hedges on what is left."""
    goals = np.concatenate(roads) if roads else np.array(canvas.size_m) * rng.random((6, 2))
    for truth in list(canvas.truths):
        start = truth.points_m.mean(axis=0)
        if rng.random() < 0.3 or _crosses(start[None], rings):
            continue
        goal = goals[int(np.argmin(np.hypot(*(goals - start).T)))]
        length = float(np.hypot(*(goal - start)))
        if not 15 < length < 400:
            continue
        share = np.linspace(0, 1, 7)[:, None]
        sway = np.sin(np.pi * share) * rng.normal(0, 0.08 * length, 2)
        line = start + share * (goal - start) + sway + rng.normal(0, 1.2, (7, 2))
        lay_road(canvas, line, str(rng.choice(["dirt", "ruts"])), rng, dirt)
    for _ in range(int(rng.integers(0, 5))):
        lay_road(canvas, _line(canvas, rng, 3.0), "ruts", rng, dirt)
    if rng.random() < 0.25:
        lay_road(canvas, _line(canvas, rng, 0.7), "hedge", rng)


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
            blacken(canvas, float(centre[0]), float(centre[1]), turn, rng)
        for name, most, spread_m in _SITE:
            for _ in range(int(rng.integers(0, most + 1))):
                _try(canvas, TARGETS[name], centre, turn, 12, spread_m)
    singles = area_ha / (10 if kind == "training" else 80) * density
    for name in rng.choice(list(TARGETS), int(rng.poisson(singles)), p=(0.18, 0.31, 0.34, 0.17)):
        spot = None
        if str(name) == "coal_heap" and rng.random() < 0.6:
            spot = np.array([width_m, height_m]) * rng.uniform(0.1, 0.9, 2)
            blacken(canvas, float(spot[0]), float(spot[1]), angle, rng)
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
    adders: list[Adder] = [adder for adder, _ in DISTRACTORS]
    weights = np.array([weight for _, weight in DISTRACTORS])
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
