"""Detections as features of GeoJSON, one by one: what `pithead.vectors` gives, which makes tables first.

One tile has a handful of detections, and making and converting tables of them takes longer than finding them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pithead.card import Card
from pithead.detections import Detections, SceneLine
from pithead.geometry import Floats
from pithead.imagery import Scene

DEGREE_DECIMALS: Final = 8  # 1 mm
PIXEL_DECIMALS: Final = 2


@dataclass(frozen=True, slots=True)
class Teller:
    """What is told of every detection of one scene; `origin` stands on each of them."""

    found: Detections
    scene: Scene
    card: Card
    origin: Mapping[str, object]

    def features(self) -> Iterator[dict[str, object]]:
        """Boxes and strips, then perimeters; longitude and latitude, or pixels without georeference."""
        lines = self.card.line_classes
        for i in range(len(self.found.scores)):
            if int(self.found.classes[i]) not in lines:
                yield self._box(i)
        for line in self.found.lines:
            yield self._perimeter(line)

    def _box(self, i: int) -> dict[str, object]:
        corners = self.found.corners_scene[i]
        sides = self.scene.sides_m(corners[None])[0]
        properties = {
            "class": self.card.classes[int(self.found.classes[i])].name,
            "score": _rounded(self.found.scores[i], 4),
            "length_m": _rounded(sides.max(), 2),
            "width_m": _rounded(sides.min(), 2),
            "area_m2": _rounded(self.scene.area_m2(corners), 2),
            **self._centre(corners.mean(axis=0)),
            "cut": self.found.cut(corners),
            "tiles": " ".join(map(str, self.found.tiles[i])),
            **self.origin,
        }
        ring = self._placed(np.concatenate([corners, corners[:1]]))
        if _area(ring) < 0:
            ring = ring[::-1]
        return _feature("Polygon", [self._told(ring)], properties)

    def _perimeter(self, line: SceneLine) -> dict[str, object]:
        points = line.points_scene
        course = np.concatenate([points, points[:1]]) if line.closed else points
        properties = {
            "class": self.card.classes[line.class_id].name,
            "score": _rounded(line.score, 4),
            "length_m": _rounded(self.scene.length_m(course), 2),
            "closed": line.closed,
            "enclosed_area_m2": _rounded(self.scene.area_m2(points), 2) if line.closed else None,
            "spans": line.spans,
            **self._centre(course.mean(axis=0)),
            "cut": self.found.cut(points),
            "tiles": " ".join(map(str, line.tiles)),
            **self.origin,
        }
        return _feature("LineString", self._told(self._placed(course)), properties)

    def _centre(self, point_scene: Floats) -> dict[str, object]:
        placed = (
            [math.nan, math.nan] if self.scene.crs is None else self.scene.to_lonlat(point_scene[None])[0]
        )
        return {
            "centre_x_px": _rounded(point_scene[0], PIXEL_DECIMALS),
            "centre_y_px": _rounded(point_scene[1], PIXEL_DECIMALS),
            "centre_lon": _rounded(placed[0], DEGREE_DECIMALS),
            "centre_lat": _rounded(placed[1], DEGREE_DECIMALS),
        }

    def _placed(self, points_scene: Floats) -> Floats:
        return points_scene if self.scene.crs is None else self.scene.to_lonlat(points_scene)

    def _told(self, points: Floats) -> list[list[float]]:
        decimals = PIXEL_DECIMALS if self.scene.crs is None else DEGREE_DECIMALS
        told: list[list[float]] = points.round(decimals).tolist()
        return told


def _feature(kind: str, coordinates: object, properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
    }


def _rounded(value: float | np.floating, decimals: int) -> float | None:
    """Rounded as numpy does, which differs from Python in the last digit; not a number is none."""
    told = float(np.round(np.float64(value), decimals))
    return None if math.isnan(told) else told


def _area(ring: Floats) -> float:
    """Twice the signed area of a closed ring, above 0 if it runs anticlockwise with y up."""
    x, y = ring.T - ring[0][:, None]  # near 0, else nothing is left of a small ring's area
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
