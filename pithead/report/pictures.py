"""The same ground on every date, and each change before and after it, cut out of the scenes.

What was found is no part of a picture: it is drawn over it, as lines that a page and a printer keep sharp.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from PIL import Image
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.catalog import Entry
from pithead.catalog.state import state_of
from pithead.errors import PitheadError
from pithead.evaluation.chips import LEAST_M, MARGIN, SIDE_PX, data_url
from pithead.geometry import Floats
from pithead.imagery import Scene, open_scene, parse_stretch
from pithead.report.discretion import GRAIN_M, Discretion
from pithead.sites import Change, Chronicle, Frame, View

STRIP_PX = 420
COARSE_LEAST_M = 600.0
"""A picture made for publication shows no less: of less ground nothing would be left."""
MOST_M = 20_000.0


@dataclass(frozen=True, slots=True)
class Square:
    """Ground to be cut out: its middle in the frame, corrected by the shift of the scene, and its side.

    `meant` is drawn dashed: something that another date shows there, and this one does not.
    """

    x_m: float
    y_m: float
    across_m: float
    side_px: int = STRIP_PX
    meant: BaseGeometry | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """Something drawn over a picture, in its pixels: a class, "hidden" or "meant"."""

    shape: BaseGeometry
    cls: str
    title: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A square of one scene as a JPEG in a data URL, and what is drawn over it."""

    url: str
    side_px: int
    across_m: float
    outlines: tuple[Outline, ...] = ()


def site_square(chronicle: Chronicle) -> Square | None:
    """The ground of a site: its polygon, else where something was found, else what its scenes show."""
    frame = chronicle.frame
    if frame is None or not chronicle.views:
        return None
    shapes = [] if chronicle.site.polygon is None else [frame.in_metres(chronicle.site.polygon)]
    shapes = shapes or [track.shape for track in chronicle.tracks] or [one.looked for one in chronicle.views]
    solid = [shape for shape in shapes if not shape.is_empty]
    return _square(solid, 1.02, LEAST_M, STRIP_PX) if solid else None


def change_squares(change: Change, *, coarse: bool) -> tuple[Square, Square] | None:
    """The ground of a change before and after; None of a quantity, whose ground is the site."""
    if change.shape is None or change.shape.is_empty:
        return None
    square = _square([change.shape], MARGIN, COARSE_LEAST_M if coarse else LEAST_M, SIDE_PX)
    marked = replace(square, meant=change.shape)
    if change.kind in ("appeared", "span_new", "span_moved"):
        return marked, square
    return (square, marked) if change.kind in ("vanished", "span_vanished") else (square, square)


def _square(shapes: Sequence[BaseGeometry], margin: float, least_m: float, side_px: int) -> Square:
    west, south, east, north = (float(v) for v in shapely.total_bounds(np.array(shapes, dtype=object)))
    across = min(max(margin * max(east - west, north - south), least_m), MOST_M)
    return Square((west + east) / 2, (south + north) / 2, across, side_px)


def cut(
    chronicle: Chronicle,
    wanted: Mapping[tuple[str, int], Square],
    entries: Mapping[str, Entry],
    options: Mapping[str, Mapping[str, Any]],
    discretion: Discretion,
) -> dict[tuple[str, int], Picture]:
    """Cut squares out of scenes; of a scene that is gone, changed or unreadable there is none.

    Args:
        chronicle: The history.
        wanted: Squares by a name and the number of their view.
        entries: Scenes by sha256.
        options: Those of the run of each scene by its sha256, for the stretch that it was read with.
        discretion: Whether pictures are blurred.
    """
    by_view: dict[int, list[tuple[tuple[str, int], Square]]] = defaultdict(list)
    for key, square in wanted.items():
        by_view[key[1]].append((key, square))
    found: dict[tuple[str, int], Picture] = {}
    for number, squares in sorted(by_view.items()):
        view, frame = chronicle.views[number], chronicle.frame
        entry = entries.get(view.scene_sha256)
        # A picture is a help; a scene that cannot be read any more is no reason to tell nothing at all.
        with suppress(PitheadError):
            if frame is None or entry is None or entry.changed or state_of(entry) not in ("same", "touched"):
                continue
            with _opened(entry, options.get(view.scene_sha256, {})) as scene:
                for key, square in squares:
                    found[key] = _picture(scene, view, frame, square, discretion)
    return found


def _opened(entry: Entry, options: Mapping[str, Any]) -> Scene:
    stretch = options.get("stretch")
    rule = parse_stretch(stretch) if isinstance(stretch, str) else None
    return open_scene(entry.href, gsd_m=entry.gsd_m[0], stretch=rule)


def _picture(scene: Scene, view: View, frame: Frame, square: Square, discretion: Discretion) -> Picture:
    gsd = np.array(scene.gsd_m)
    spot = np.array([[square.x_m + view.shift.dx_m, square.y_m + view.shift.dy_m]])
    middle = in_pixels(spot, frame, scene)[0]
    start, end = middle - square.across_m / 2 / gsd, middle + square.across_m / 2 / gsd
    (x0, y0), (x1, y1) = start.tolist(), end.tolist()
    pixels = scene.read(x0, y0, x1, y1, square.side_px, square.side_px)
    image = Image.fromarray(pixels.data)
    if discretion.coarse:
        cells = max(4, round(square.across_m / GRAIN_M))
        # What averages away is gone for good, where a blur of all pixels could be undone in part.
        image = image.resize((cells, cells), Image.Resampling.BOX)
        image = image.resize((square.side_px // 2, square.side_px // 2), Image.Resampling.BICUBIC)

    def place(points: Floats) -> Floats:
        placed: Floats = (in_pixels(points, frame, scene) - start) * (square.side_px / (end - start))
        return placed

    window = shapely.box(0, 0, square.side_px, square.side_px)
    outlines = []
    for cls, title, shape in _over(view, square, discretion):
        # A filled shape would be closed along the edge of the picture; of what was found the line is drawn.
        drawn = shape if cls == "hidden" else _course(shape)
        inside = shapely.intersection(shapely.transform(drawn, place), window)
        if not inside.is_empty:
            outlines.append(Outline(inside, cls, title))
    return Picture(data_url(image), square.side_px, square.across_m, tuple(outlines))


def in_pixels(points_m: Floats, frame: Frame, scene: Scene) -> Floats:
    """Points (N, 2) of a frame in pixels of a scene with a georeference."""
    if scene.crs is None or scene.transform is None:
        raise PitheadError(f"{scene.told}: expected a georeference, got none")
    lonlat = geometry.to_lonlat(points_m, frame.crs)
    return geometry.affine_points(~scene.transform, geometry.from_lonlat(lonlat, scene.crs))


def _over(view: View, square: Square, discretion: Discretion) -> list[tuple[str, str, BaseGeometry]]:
    """What is drawn over a scene, in the frame as the scene shows it: hidden, found, and meant."""
    hidden = [("hidden", reason, discretion.drawn(shape)) for shape, reason in view.hidden]
    found = [(one.cls, one.cls, discretion.drawn(one.shape)) for one in view.sightings]
    if square.meant is None:
        return [*hidden, *found]
    raw = shapely.affinity.translate(square.meant, view.shift.dx_m, view.shift.dy_m)
    return [*hidden, *found, ("meant", "meant", discretion.drawn(raw))]


def _course(shape: BaseGeometry) -> BaseGeometry:
    return shapely.boundary(shape) if shape.area > 0 else shape
