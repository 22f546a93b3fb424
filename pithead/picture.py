"""A scene in small with what was found in it: oriented boxes and lines in the colours of their classes."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pithead.card import Card
from pithead.detections import Detections
from pithead.imagery import Scene

MOST_PX = 2000
"""The long side of a picture: what a screen shows and a report can carry."""

INK = (20, 20, 20)
PAPER = (255, 255, 255)


def write_picture(path: Path, scene: Scene, detections: Detections, card: Card) -> None:
    """Write a PNG of at most 2000 px: the scene, boxes and lines, and a legend with counts."""
    shrink = min(1.0, MOST_PX / max(scene.width, scene.height))
    width, height = max(1, round(scene.width * shrink)), max(1, round(scene.height * shrink))
    pixels = scene.read(0, 0, scene.width, scene.height, width, height)
    image = Image.fromarray(pixels.data)
    draw = ImageDraw.Draw(image)
    scale = np.array([width / scene.width, height / scene.height])
    counts: Counter[int] = Counter()
    stroke = max(2, round(max(width, height) / 700))
    for corners, class_id in zip(detections.corners_scene, detections.classes.tolist(), strict=True):
        known = card.classes[class_id]
        if known.geometry != "line":
            _stroke(draw, corners * scale, known.colour, stroke, closed=True)
            counts[class_id] += 1
    for line in detections.lines:
        _stroke(
            draw, line.points_scene * scale, card.classes[line.class_id].colour, stroke, closed=line.closed
        )
        counts[line.class_id] += 1
    _legend(draw, [(c.colour, f"{c.name}  {counts[i]}") for i, c in enumerate(card.classes)], width, height)
    image.save(path, format="PNG", optimize=True)


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
