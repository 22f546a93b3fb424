"""A picture of a history as a scene: land, things, season, snow, sun, lean, clouds, haze, sensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
import shapely.affinity
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from pithead.generate import sensor as camera
from pithead.generate import terrain
from pithead.generate.canvas import BoolGrid, Canvas, FloatGrid
from pithead.generate.history.forms import FLIP
from pithead.generate.history.frame import PixelFrame
from pithead.generate.history.ground import Ground, finer, lay_ground
from pithead.generate.history.history import History
from pithead.generate.history.shot import Shot
from pithead.generate.history.things import paint_things
from pithead.generate.noise import fractal
from pithead.generate.parts import Points
from pithead.generate.render import Sun, render
from pithead.generate.scene import FAST, GeneratedScene

_FADED = {"spring": 0.25, "summer": 0.0, "autumn": 0.45, "winter": 0.7}
"""How much of the green is gone."""
_STRAW = np.array([0.30, 0.25, 0.17, 0.33], np.float32)
_WALL = np.float32(0.55)  # how bright walls are beside roofs
_TALL_M = 0.4
_CLOUD_M = 450.0  # height of clouds: how far from them their shadows fall
_HAZE = (0.93, 0.98, 1.06, 0.7)
_MODES = {1: "pan", 3: "rgb", 4: "rgbn"}


def render_shot(
    history: History, shot: Shot, ground: Ground | None = None, *, supersampling: int = FAST
) -> GeneratedScene:
    """The picture as a scene with labels; it depends on the arguments alone.

    Args:
        history: The site.
        shot: The picture.
        ground: The land of the history, `lay_ground(history)`, which is laid anew if it is not given.
        supersampling: Cells of the canvas to a pixel, in each direction: FAST or FINE.
    """
    land, frame = ground or lay_ground(history), PixelFrame(history, shot)
    rng = np.random.default_rng([history.seed, shot.number, 53])
    width, height = frame.size_px
    west, south, east, north = shot.footprint.bounds
    true = np.array([[west, north], [east, south]]) - shot.shift_m
    window = land.on_canvas(true).ravel().tolist()
    cells = (height * supersampling, width * supersampling)
    canvas = finer(land, (window[0], window[1], window[2], window[3]), cells)
    canvas.rng = rng
    _fade(canvas, _FADED[shot.season])
    paint_things(canvas, history, shot.date, true[0], land.coal)
    if shot.snow:
        terrain.lay_snow(canvas, np.random.default_rng([history.seed, shot.number, 54]))
    sun = Sun(shot.sun_azimuth_deg, shot.sun_elevation_deg, 0.2 + 0.3 * shot.haze)
    light = render(canvas, sun, _shade(frame, cells, sun))
    light = leaned(light, canvas, shot)
    _cloud(light, frame, cells, rng)
    data = camera.sense(light, _camera(history, shot), rng, supersampling)
    data[:, mask_of(frame, shot.nodata, (height, width))] = 0
    return GeneratedScene(data, shot.sensor.bands, frame.gsd_m, frame.labels(), facts_of(history, shot))


def _fade(canvas: Canvas, faded: float) -> None:
    """Turn green to straw, as far as the season says."""
    if not faded:
        return
    red, infrared = canvas.albedo[..., 0], canvas.albedo[..., 3]
    green = np.clip((infrared - red) / (infrared + red) / 0.5, 0, 1) * np.float32(faded)
    canvas.albedo += green[..., None] * (
        _STRAW * (canvas.albedo.mean(axis=2) / 0.2)[..., None] - canvas.albedo
    )
    np.clip(canvas.albedo, 0.004, 1, out=canvas.albedo)


def leaned(light: FloatGrid, canvas: Canvas, shot: Shot) -> FloatGrid:
    """The light as a sensor off to one side sees it: roofs away from it, and the walls that face it.

    A cell of height h over the ground is drawn h · tan(off nadir) further away from the sensor; on the way
    from its foot to there lies its wall. What is lower is drawn first.

    Args:
        light: (H, W, 4) from straight above.
        canvas: Its heights.
        shot: From where it is seen.
    """
    over = canvas.height - canvas.ground
    lean = shot.lean * FLIP / canvas.gsd_m
    reach = float(np.hypot(*lean))
    steps = round(float(over.max()) * reach)
    if steps < 1:
        return light
    rows, cols = np.nonzero(over > _TALL_M)
    spots, tall = np.stack([cols, rows], axis=1), np.rint(over[rows, cols] * reach).astype(np.int64)
    roofs, out = light[rows, cols], light.copy()
    size = np.array([light.shape[1], light.shape[0]])
    for step in range(steps + 1):
        move = np.rint(step * lean / reach).astype(np.int64)
        for members, shade in ((tall > step, _WALL), (tall == step, np.float32(1))):
            to = spots[members] + move
            inside = ((to >= 0) & (to < size)).all(axis=1)
            out[to[inside, 1], to[inside, 0]] = shade * roofs[members][inside]
    return out


def mask_of(frame: PixelFrame, parts: tuple[shapely.Polygon, ...], shape: tuple[int, int]) -> BoolGrid:
    """Cells (H, W) whose middle lies in one of some polygons of the frame of the picture."""
    image = Image.new("1", (shape[1], shape[0]))
    scale = shape[1] / frame.size_px[0]
    for part in parts:
        points: Points = frame.to_px(np.asarray(part.exterior.coords)) * scale
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points - 0.5], fill=1)
    return np.array(image, np.bool_)


def _shade(frame: PixelFrame, cells: tuple[int, int], sun: Sun) -> FloatGrid | None:
    """The shadows of the clouds."""
    if not frame.shot.clouds:
        return None
    far = _CLOUD_M / np.tan(np.radians(sun.elevation_deg))
    away = -np.array(sun.towards) * FLIP * far
    moved = tuple(shapely.affinity.translate(cloud, *away.tolist()) for cloud in frame.shot.clouds)
    soft = gaussian_filter(mask_of(frame, moved, cells).astype(np.float32), 6 / _cell_m(frame, cells))
    return np.asarray(np.float32(0.6) * soft, np.float32)


def _cloud(light: FloatGrid, frame: PixelFrame, cells: tuple[int, int], rng: np.random.Generator) -> None:
    """White over what clouds hide, with a thin edge beyond."""
    if not frame.shot.clouds:
        return
    wide = tuple(shapely.Polygon(cloud.buffer(4.0).exterior) for cloud in frame.shot.clouds)
    soft = gaussian_filter(mask_of(frame, wide, cells).astype(np.float32), 4 / _cell_m(frame, cells))
    hidden = np.maximum(soft, mask_of(frame, frame.shot.clouds, cells))
    tone = 0.97 + 0.05 * fractal(rng, cells, 120 / _cell_m(frame, cells), 5, 0.5)
    white = np.array([1.0, 1.0, 1.02, 0.95], np.float32)
    light += hidden[..., None] * (np.clip(tone, 0.87, 1.1)[..., None] * white - light)


def _cell_m(frame: PixelFrame, cells: tuple[int, int]) -> float:
    return frame.gsd_m * frame.size_px[1] / cells[0]


def _camera(history: History, shot: Shot) -> camera.Sensor:
    """One camera for all pictures of a sensor; only the air differs."""
    rng = np.random.default_rng([history.seed, round(1000 * shot.sensor.gsd_m), shot.sensor.bits, 55])
    mode = _MODES[len(shot.sensor.bands)]
    drawn = camera.draw_sensor(rng, mode, shot.sensor.bits, shot.sensor.gsd_m)
    return replace(
        drawn,
        haze=shot.haze,
        haze_colour=_HAZE,
        exposure=max(0.9, drawn.exposure),  # else clouds would be grey
        saturation=min(1.0, drawn.saturation),
        jpeg_quality=0,
    )


def facts_of(history: History, shot: Shot) -> dict[str, str | float]:
    """What labels say of their scene."""
    return {
        "site": history.name,
        "date": shot.date.date().isoformat(),
        "sensor": shot.sensor.name,
        "ground": "snow" if shot.snow else "no snow",
        "off_nadir_deg": round(shot.off_nadir_deg, 2),
        "season": shot.season,
    }
