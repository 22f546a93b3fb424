"""A detection cut out of its scene, with its outline."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
import shapely.ops
from PIL import Image, ImageDraw
from shapely.geometry.base import BaseGeometry

from pithead.evaluation.chips import INK, LEAST_M, MARGIN
from pithead.geometry import Floats
from pithead.server.pictures.plate import Place, Plate

_WIDTH: Final = 3
_DASH_PX: Final = 7.0


@dataclass(frozen=True, slots=True)
class Outline:
    """A shape in the longitude and latitude that it is shown in, and how it is drawn."""

    shape: BaseGeometry
    colour: str
    dashed: bool = False


def chip_png(plate: Plate, outlines: list[Outline], *, margin_m: float | None, side_px: int) -> bytes:
    """A square of a scene, along its rows and columns, round outlines that are drawn into it.

    What lies outside the scene is black.

    Args:
        plate: The scene.
        outlines: At least one; the first is in the middle.
        margin_m: Metres round the outline; without it as much as is needed to see what is around.
        side_px: Of the picture.

    Raises:
        SceneError: The file is gone, another or damaged.
    """
    with plate.opened() as scene:
        place = Place.of(scene)
        shapes = [shapely.transform(outline.shape, place.to_px) for outline in outlines]
        start, end = _square(shapes[0], np.array(scene.gsd_m), margin_m)
        (x0, y0), (x1, y1) = start.tolist(), end.tolist()
        pixels = scene.read(x0, y0, x1, y1, side_px, side_px)
    image = Image.fromarray(pixels.data)
    pen = ImageDraw.Draw(image)
    for outline, shape in reversed(list(zip(outlines, shapes, strict=True))):
        on_chip = shapely.transform(shape, lambda points: (points - start) * (side_px / (end - start)))
        _draw(pen, on_chip, outline, side_px)
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def _square(shape: BaseGeometry, gsd_m: Floats, margin_m: float | None) -> tuple[Floats, Floats]:
    """Two corners, in pixels of the scene, of a square in metres round a shape."""
    bounds = np.array(shape.bounds).reshape(2, 2)
    extent_m = float((np.ptp(bounds, axis=0) * gsd_m).max())
    across_m = max(MARGIN * extent_m, LEAST_M) if margin_m is None else extent_m + 2 * margin_m
    middle, half = bounds.mean(axis=0), across_m / 2 / gsd_m
    # A pixel is the least that can be seen.
    half = np.maximum(half, 1.0)
    return middle - half, middle + half


def _draw(pen: ImageDraw.ImageDraw, shape: BaseGeometry, outline: Outline, side_px: int) -> None:
    """A line in its colour on a dark one, so that it is seen on snow and on coal."""
    outside = shape.exterior if isinstance(shape, shapely.Polygon) else shape
    course = shapely.LineString(shapely.get_coordinates(outside))
    frame = shapely.box(-_WIDTH, -_WIDTH, side_px + _WIDTH, side_px + _WIDTH)
    for part in shapely.get_parts(shapely.intersection(course, frame)):
        pieces = _dashes(part) if outline.dashed else [part]
        for around, colour in ((2, INK), (0, outline.colour)):
            for piece in pieces:
                points = [tuple(point) for point in shapely.get_coordinates(piece).tolist()]
                if points[0] == points[-1]:
                    points.append(points[1])  # over the first corner, so that it is joined like the others
                pen.line(points, fill=colour, width=_WIDTH + around, joint="curve")


def _dashes(line: shapely.LineString) -> list[BaseGeometry]:
    starts = np.arange(0.0, line.length, 2 * _DASH_PX).tolist()
    return [shapely.ops.substring(line, start, min(start + _DASH_PX, line.length)) for start in starts]
