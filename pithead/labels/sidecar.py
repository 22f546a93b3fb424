"""What a tile that leaves its scene takes along: where it was cut, so that its labels find back."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.geometry import Window, fit_box
from pithead.labels.label import Floats, Label, SceneFacts
from pithead.labels.seen import rectangle
from pithead.labels.shapes import rectangle_of
from pithead.labels.sheet import Sheet

LEAST_SHOWN = 0.3  # of a box that a tile shows less of, nothing is proposed
LEAST_LENGTH_PX = 8.0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A tile of a scene: its name, window (scene px, whole numbers) and place on the ground.

    `size` is (width, height) of the scene; `crs` (WKT) and `transform` (tile px to map: a, b, c, d, e, f) are
    None without georeference. `sha256` is that of the tile's file, `weights` that of what proposed labels.
    """

    name: str
    scene: str
    size: tuple[int, int]
    window: Window
    crs: str | None
    transform: tuple[float, ...] | None
    gsd_m: tuple[float, float]
    stretch: str
    facts: SceneFacts
    sha256: str
    weights: str | None = None

    def write(self, folder: Path) -> None:
        """Write FOLDER/NAME.json."""
        write_whole(
            folder / f"{self.name}.json", json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        )

    @property
    def shown(self) -> tuple[int, int]:
        """(width, height) of the part of the scene that the tile shows."""
        return min(self.window.width, self.size[0] - self.window.x), min(
            self.window.height, self.size[1] - self.window.y
        )

    @property
    def outline(self) -> Floats:
        """The corners (4, 2) of that part in scene px."""
        x, y = self.window.x, self.window.y
        return rectangle(x, y, x + self.shown[0], y + self.shown[1])


def read_sidecar(folder: Path, name: str) -> Sidecar:
    """The sidecar of a tile.

    Raises:
        LabelError: it is missing, or is none.
    """
    path = folder / f"{name}.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        return Sidecar(
            **{
                **record,
                "window": Window(**record["window"]),
                "facts": SceneFacts(**record["facts"]),
                "size": tuple(record["size"]),
                "gsd_m": tuple(record["gsd_m"]),
                "transform": tuple(record["transform"]) if record["transform"] else None,
            }
        )
    except OSError as error:
        raise LabelError(
            f"{path}: the sidecar of tile {name} is needed to place its labels; it is missing: "
            "give the folder that labeling/propose.py wrote"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise LabelError(
            f"{path}: a sidecar of labeling/propose.py is needed; {error!r}: write it again"
        ) from error


def shown_in(labels: Sequence[Label], sidecar: Sidecar) -> tuple[Label, ...]:
    """Labels in scene px as a tile shows them, in tile px: cut at its edges, boxes refitted."""
    window = shapely.Polygon(sidecar.outline)
    origin = np.array([sidecar.window.x, sidecar.window.y], float)
    found: list[Label] = []
    for label in labels:
        parts = _line_parts(label, window) if label.geometry == "line" else _box_parts(label, window)
        found += [replace(part, points=part.points - origin) for part in parts]
    return tuple(found)


def in_scene(sheet: Sheet, sidecar: Sidecar) -> tuple[Label, ...]:
    """The labels of a tile's sheet in scene px.

    Raises:
        LabelError: the sheet is of an image of another size.
    """
    if sheet.size not in ((0, 0), sidecar.shown):
        raise LabelError(
            f"{sidecar.name}: its labels were drawn on {sheet.size[0]} × {sheet.size[1]} px, the tile has "
            f"{sidecar.shown[0]} × {sidecar.shown[1]}: it is another image; give the folder of its tiles"
        )
    origin = np.array([sidecar.window.x, sidecar.window.y], float)
    return tuple(replace(label, points=label.points + origin) for label in sheet.labels)


def _box_parts(label: Label, window: shapely.Polygon) -> list[Label]:
    outline = shapely.make_valid(shapely.Polygon(label.points))
    if shapely.covers(window, outline):
        return [label]
    part = shapely.intersection(outline, window)
    if part.area < LEAST_SHOWN * outline.area or not part.area > 0:
        return []
    return [replace(label, points=rectangle_of(shapely.get_coordinates(part)))]


def _line_parts(label: Label, window: shapely.Polygon) -> list[Label]:
    ring = np.vstack([label.points, label.points[:1]]) if label.closed else label.points
    line = shapely.LineString(ring)
    if shapely.covers(window, line):
        return [label]
    merged = shapely.line_merge(shapely.intersection(line, window))
    parts = [part for part in shapely.get_parts(merged) if part.length >= LEAST_LENGTH_PX]
    return [
        replace(label, points=shapely.get_coordinates(part), closed=False)
        for part in parts
        if part.geom_type == "LineString"
    ]


def long_side(points: Floats) -> float:
    """The long side of the smallest rectangle round points (M, 2)."""
    return float(fit_box(points)[2])
