"""A picture of a history drawn in about a second: outlines on mottled ground, for archives of rows.

What is wanted of it is that clouds are white, haze is pale, snow is bright, what holds no data is 0, and that
the ground is the same on every date, so that pictures can be laid on each other. No detector is meant for it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from pithead.generate.canvas import FloatGrid
from pithead.generate.history.forms import FLIP, Form, Ring, Wagons
from pithead.generate.history.frame import PixelFrame
from pithead.generate.history.history import History
from pithead.generate.history.picture import facts_of, mask_of
from pithead.generate.history.shot import Shot
from pithead.generate.history.thing import CONFUSER
from pithead.generate.history.truth import leaning
from pithead.generate.parts import Points
from pithead.generate.scene import GeneratedScene
from pithead.generate.sidings import rake_outline

_KNOT_M = 12.0
_GREY = {"coal_heap": 20, "mine_head": 190, "guard_perimeter": 215, "rail_loading": 70}
_TINT = np.array([1.04, 1.0, 0.88, 1.2], np.float32)
_SNOW, _CLOUD, _AIR = 205.0, 250.0, 225.0
_FINE = 0.5  # grey levels of noise that differ from picture to picture


def sketch_shot(history: History, shot: Shot) -> GeneratedScene:
    """The picture as a scene with labels; it depends on the arguments alone."""
    frame = PixelFrame(history, shot)
    width, height = frame.size_px
    rng = np.random.default_rng([history.seed, shot.number, 61])
    grey = _ground(frame)
    if shot.snow:
        grey += np.float32(0.8) * (_SNOW - grey)
    image = Image.fromarray(grey)
    pen = ImageDraw.Draw(image)
    for thing in history.things:
        form = thing.form(shot.date)
        if form is not None:
            _draw(pen, frame, form, 110 if thing.kind == CONFUSER else _GREY[thing.cls])
    grey = np.array(image, np.float32)
    grey += rng.normal(0, _FINE, grey.shape).astype(np.float32)
    light = np.repeat(grey[None], len(shot.sensor.bands), axis=0)
    if len(light) > 1 and not shot.snow:
        light *= _TINT[: len(light), None, None]
    light += np.float32(shot.haze) * (_AIR - light)
    light[:, mask_of(frame, shot.clouds, (height, width))] = _CLOUD
    full = 254.0 if shot.sensor.bits == 8 else 1500.0
    kind = np.uint8 if shot.sensor.bits == 8 else np.uint16
    data = np.clip(light * np.float32(full / 255), 1, full).astype(kind)
    data[:, mask_of(frame, shot.nodata, (height, width))] = 0
    return GeneratedScene(data, shot.sensor.bands, frame.gsd_m, frame.labels(), facts_of(history, shot))


def _ground(frame: PixelFrame) -> FloatGrid:
    """Mottles that lie on the ground, so that they are shifted as the picture is."""
    history, shot = frame.history, frame.shot
    half = history.side_m
    rng = np.random.default_rng([history.seed, 62])
    count = int(2 * half / _KNOT_M)
    knots = Image.fromarray((95 + 22 * rng.standard_normal((count, count))).astype(np.float32))
    west, south, east, north = shot.footprint.bounds
    corners = np.array([[west, north], [east, south]]) - shot.shift_m
    box = ((corners * FLIP + half) / (2 * half) * count).ravel().tolist()
    size = frame.size_px
    return np.array(knots.resize(size, Image.Resampling.BICUBIC, (box[0], box[1], box[2], box[3])))


def _draw(pen: ImageDraw.ImageDraw, frame: PixelFrame, form: Form, grey: int) -> None:
    move = leaning(form, frame.shot) + frame.shot.shift_m

    def spots(points_m: Points) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in frame.to_px(points_m + move) - 0.5]

    if isinstance(form, Ring):
        pen.line(spots(form.course), fill=grey, width=max(1, round(2.5 / frame.gsd_m)))
    elif isinstance(form, Wagons):
        for rake in form.rakes:
            outline = rake_outline(form.yard, rake).reshape(2, 2, -1, 2) * FLIP
            for wagon in range(rake.count):
                corners = outline[[0, 0, 1, 1], [0, 1, 1, 0], wagon]
                pen.polygon(spots(corners), fill=grey)
    else:
        pen.polygon(spots(np.asarray(form.shape.exterior.coords)), fill=grey)
