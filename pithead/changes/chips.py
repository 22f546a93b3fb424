"""The same ground twice: with what the old weights gave, and with what the new ones give."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import shapely.ops
from PIL import Image, ImageDraw
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.catalog import Entry
from pithead.catalog.state import state_of
from pithead.changes.ground import LONLAT, as_lines
from pithead.errors import PitheadError
from pithead.evaluation.chips import INK, LEAST_M, MARGIN, SIDE_PX, data_url
from pithead.geometry import Floats
from pithead.imagery import Scene, open_scene, parse_stretch

OLD, NEW = "#ff9f1c", "#37c8ff"
"""Orange and blue: told apart by whoever sees no red or no green."""
THICK, THIN, DASH_PX = 4, 2, 7.0

RowsOf = Callable[[str], tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]]
"""Gives the rows of both sides of a scene by its sha256."""


@dataclass(frozen=True, slots=True)
class Chip:
    """Two JPEGs as data URLs, and how many metres they are across."""

    old: str
    new: str
    across_m: float


def chips(
    queue: gpd.GeoDataFrame, entries: Mapping[str, Entry], rows_of: RowsOf, options: Mapping[str, Any]
) -> dict[int, Chip]:
    """Cut changes out of their scenes, by rank; of a scene that is gone, changed or unreadable there is none.

    Args:
        queue: Of `queue_of`; all of it is cut.
        entries: Scenes by sha256.
        rows_of: What is drawn.
        options: Those of the run, for the stretch that the scene was read with.
    """
    cut: dict[int, Chip] = {}
    for sha, mine in queue.groupby("scene_sha256", sort=True):
        entry = entries.get(str(sha))
        # A picture is a help; a scene that cannot be read any more is no reason to tell nothing at all.
        with suppress(PitheadError):
            if entry is None or entry.changed or state_of(entry) not in ("same", "touched"):
                continue
            with _opened(entry, options) as scene:
                sides = rows_of(str(sha))
                for _, change in mine.iterrows():
                    cut[int(change["rank"])] = _cut(scene, change, sides)
    return cut


def _opened(entry: Entry, options: Mapping[str, Any]) -> Scene:
    stretch = options.get("stretch")
    rule = parse_stretch(stretch) if isinstance(stretch, str) else None
    return open_scene(entry.href, gsd_m=entry.gsd_m[0], stretch=rule)


def _cut(scene: Scene, change: pd.Series, sides: Sequence[gpd.GeoDataFrame]) -> Chip:
    was = change["old_geometry"] if change["kind"] != "gained" else None
    now = change["geometry"] if change["kind"] != "lost" else None
    known = [_in_scene(shape, scene, change["frame"]) for shape in (was, now)]
    points = shapely.get_coordinates([shape for shape in known if shape is not None])
    low, high = points.min(axis=0), points.max(axis=0)
    gsd = np.array(scene.gsd_m)
    across_m = float(np.maximum(MARGIN * (high - low) * gsd, LEAST_M).max())
    start, end = (low + high) / 2 - across_m / 2 / gsd, (low + high) / 2 + across_m / 2 / gsd
    (x0, y0), (x1, y1) = start.tolist(), end.tolist()
    pixels = scene.read(x0, y0, x1, y1, SIDE_PX, SIDE_PX)
    pictures: list[str] = []
    for rows, colour, mine, other in ((sides[0], OLD, *known), (sides[1], NEW, *known[::-1])):
        image = Image.fromarray(pixels.data)
        pen = _Pen(ImageDraw.Draw(image), start, SIDE_PX / (end - start))
        for shape in rows.geometry[rows["class"] == change["class"]]:
            pen.draw(_in_scene(shape, scene, change["frame"]), colour, THIN)
        if mine is not None:
            pen.draw(mine, colour, THICK)
        elif other is not None:
            pen.draw(other, "#ffffff", THIN, dashed=True)
        pictures.append(data_url(image))
    return Chip(pictures[0], pictures[1], across_m)


def _in_scene(shape: BaseGeometry | None, scene: Scene, frame: str) -> BaseGeometry | None:
    """A shape of the store in pixels of its scene."""
    if shape is None or frame != LONLAT or scene.crs is None or scene.transform is None:
        return shape
    crs, to_pixel = scene.crs, ~scene.transform

    def place(points: Floats) -> Floats:
        return geometry.affine_points(to_pixel, geometry.from_lonlat(points, crs))

    placed: BaseGeometry = shapely.transform(shape, place)
    return placed


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws shapes of a scene into a picture of a part of it."""

    draws: ImageDraw.ImageDraw
    start: Floats
    scale: Floats

    def draw(self, shape: BaseGeometry | None, colour: str, width: int, *, dashed: bool = False) -> None:
        if shape is None:
            return
        (outline,) = as_lines(np.array([shape], dtype=object))
        course = shapely.transform(outline, lambda points: (points - self.start) * self.scale)
        frame = shapely.box(-width, -width, SIDE_PX + width, SIDE_PX + width)
        for part in shapely.get_parts(shapely.intersection(course, frame)):
            pieces = _dashes(part) if dashed else [part]
            for line, around, ink in [(one, 2, INK) for one in pieces] + [(one, 0, colour) for one in pieces]:
                points = [tuple(point) for point in shapely.get_coordinates(line).tolist()]
                self.draws.line(points, fill=ink, width=width + around, joint="curve")


def _dashes(line: shapely.LineString) -> list[BaseGeometry]:
    starts = np.arange(0.0, line.length, 2 * DASH_PX)
    return [shapely.ops.substring(line, at, min(at + DASH_PX, line.length)) for at in starts.tolist()]
