"""A scene in small with what was found in it: oriented boxes and lines in the colours of their classes."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont

from pithead.card import Card
from pithead.detections import Detections
from pithead.imagery import Scene

MOST_PX = 2000
"""The long side of a picture: what a screen shows and a report can carry."""

INK = (20, 20, 20)
PAPER = (255, 255, 255)


def write_picture(path: Path, scene: Scene, detections: Detections, card: Card) -> None:
    """Write a PNG of at most 2000 px: what was looked at of the scene, boxes and lines, and counts."""
    left, top, right, bottom = _looked_at(scene, detections)
    shrink = min(1.0, MOST_PX / max(right - left, bottom - top))
    width, height = max(1, round((right - left) * shrink)), max(1, round((bottom - top) * shrink))
    pixels = scene.read(left, top, right, bottom, width, height)
    image = Image.fromarray(pixels.data)
    draw = ImageDraw.Draw(image)
    scale, origin = np.array([width / (right - left), height / (bottom - top)]), np.array([left, top])
    if detections.area_scene is not None:
        for part in shapely.get_parts(shapely.boundary(detections.area_scene)):
            line = (shapely.get_coordinates(part) - origin) * scale
            draw.line([(x, y) for x, y in line.tolist()], fill=PAPER, width=1)
    counts: Counter[int] = Counter()
    stroke = max(2, round(max(width, height) / 700))
    for corners, class_id in zip(detections.corners_scene, detections.classes.tolist(), strict=True):
        known = card.classes[class_id]
        if known.geometry != "line":
            _stroke(draw, (corners - origin) * scale, known.colour, stroke, closed=True)
            counts[class_id] += 1
    for line in detections.lines:
        colour = card.classes[line.class_id].colour
        _stroke(draw, (line.points_scene - origin) * scale, colour, stroke, closed=line.closed)
        counts[line.class_id] += 1
    _legend(draw, [(c.colour, f"{c.name}  {counts[i]}") for i, c in enumerate(card.classes)], width, height)
    image.save(path, format="PNG", optimize=True)


def _looked_at(scene: Scene, detections: Detections) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in scene pixels of the ground that tiles looked at."""
    if detections.area_grid is None:
        return 0, 0, scene.width, scene.height
    bounds = np.array(detections.area_grid.bounds).reshape(2, 2)
    (left, top), (right, bottom) = detections.grid.to_scene(bounds).tolist()
    return int(left), int(top), min(scene.width, math.ceil(right)), min(scene.height, math.ceil(bottom))


def _stroke(
    draw: ImageDraw.ImageDraw, points: np.ndarray[tuple[int, int], np.dtype[np.float64]], colour: str,
    stroke: int, *, closed: bool,
) -> None:  # fmt: skip
    """A line in its colour on a dark one, so that it is seen on snow and on coal."""
    course = [(float(x), float(y)) for x, y in points]
    if closed:
        course += course[:2]  # over the first corner, so that it is joined like the others
    draw.line(course, fill=INK, width=stroke + 2, joint="curve")
    draw.line(course, fill=colour, width=stroke, joint="curve")


def _legend(draw: ImageDraw.ImageDraw, entries: list[tuple[str, str]], width: int, height: int) -> None:
    """Bottom left, in a size that can be read; left out of pictures too small for it."""
    size = max(12, round(max(width, height) / 90))
    font = ImageFont.load_default(size)
    row = round(size * 1.6)
    wide = 3 * size + max((round(draw.textlength(text, font)) for _, text in entries), default=0)
    tall = row * len(entries) + size
    if wide > width or tall > height:
        return
    top = height - tall
    draw.rectangle((0, top, wide, height), fill=PAPER)
    for i, (colour, text) in enumerate(entries):
        y = top + size // 2 + i * row
        draw.rectangle((size // 2, y + 2, size // 2 + size, y + 2 + size), fill=colour, outline=INK)
        draw.text((2 * size, y), text, fill=INK, font=font)
