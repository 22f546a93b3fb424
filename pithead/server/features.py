"""Detections of the mirror as GeoJSON."""

import json
from collections.abc import Mapping
from sqlite3 import Connection, Row
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead import geometry
from pithead.geometry import Floats, fit_box
from pithead.server.screen import shape_to_screen, to_screen
from pithead.vectors import DEGREE_DECIMALS

SELECT: Final = """
SELECT d.*, s.class, s.uncertainty_by, s.measures, s.geometry, r.weights, r.weights_sha256, r.options_sha256,
       r.scene_sha256, c.acquired, c.gsd_x_m, c.gsd_y_m,
       c.west AS scene_west, c.south AS scene_south, c.east AS scene_east, c.north AS scene_north,
       v.decision AS said, v.new_class, v.note, v.reviewer,
       v.time, v.geometry AS redrawn
FROM mirror_detections d
JOIN mirror_shapes s ON s.number = d.number
JOIN mirror_runs r ON r.number = d.run
JOIN mirror_scenes c ON c.id = d.scene
LEFT JOIN mirror_reviews v ON v.seq = d.review
"""
"""All that a feature is made of."""

_LONLAT: Final = "OGC:CRS84"
_DECIMALS: Final = 2


def feature_of(row: Row) -> dict[str, Any]:
    """A detection as a GeoJSON feature in longitude and latitude; one of no place in those of the page."""
    measures = json.loads(row["measures"])
    del measures["site"]
    gsd = row["gsd_x_m"], row["gsd_y_m"]
    shape = shapely.from_wkb(row["geometry"])
    if row["frame"] == "px":
        centre = to_screen([measures["centre_x_px"], measures["centre_y_px"]], gsd).round(DEGREE_DECIMALS)
        measures["centre_lon"], measures["centre_lat"] = centre.tolist()
    more: dict[str, Any] = {}
    if row["said"] == "redraw":
        more["model_geometry"] = shapely.geometry.mapping(_shown(shape, row["frame"], gsd))
        shape = shapely.from_wkb(row["redrawn"])
        measures |= _measured(shape, row["frame"], gsd) | _centre(shape, row["frame"], gsd)
    return {
        "type": "Feature",
        "id": row["id"],
        "geometry": shapely.geometry.mapping(_shown(shape, row["frame"], gsd)),
        "properties": {
            "detection": row["id"],
            "class": row["class"],
            "class_now": row["class_now"],
            "score": row["score"],
            **measures,
            "frame": row["frame"],
            "scene": row["scene"],
            "scene_sha256": row["scene_sha256"],
            "site": row["site"],
            "acquired": row["acquired"],
            "weights": row["weights"],
            "weights_sha256": row["weights_sha256"],
            "options_sha256": row["options_sha256"],
            "uncertainty": row["uncertainty"],
            "uncertainty_by": row["uncertainty_by"],
            "review": None if row["said"] is None else _review(row),
            **more,
        },
    }


def find(connection: Connection, detection: str) -> Row | None:
    """The row of a detection, of the run that is shown, else of the last that has it; None of another id."""
    row: Row | None = connection.execute(
        f"{SELECT} WHERE d.id = ? ORDER BY d.shown DESC, d.last DESC, r.started DESC, r.name DESC LIMIT 1",
        (detection,),
    ).fetchone()
    return row


def review_of(row: Row | Mapping[str, Any], gsd_m: tuple[float, float]) -> dict[str, Any]:
    """A row of `mirror_reviews` as the history of a detection tells it, and the outline as it is shown."""
    shape = shapely.from_wkb(row["geometry"]) if row["decision"] == "redraw" else None
    if shape is not None:
        shape = _shown(shape, row["frame"], gsd_m)
    return {
        "decision": row["decision"],
        "class": row["new_class"],
        "note": row["note"],
        "reviewer": row["reviewer"],
        "time": row["time"],
        "seq": row["seq"],
        "hash": row["hash"],
        "geometry": None if shape is None else shapely.geometry.mapping(shape),
    }


def _review(row: Row) -> dict[str, Any]:
    return {
        "decision": row["said"],
        "class": row["new_class"],
        "note": row["note"],
        "reviewer": row["reviewer"],
        "time": row["time"],
    }


def _shown(shape: BaseGeometry, frame: str, gsd_m: tuple[float, float]) -> BaseGeometry:
    return shape_to_screen(shape, gsd_m) if frame == "px" else shape


def _measured(shape: BaseGeometry, frame: str, gsd_m: tuple[float, float]) -> dict[str, Any]:
    """Length, width and area in metres of an outline as a person has drawn it."""
    points = shapely.get_coordinates(shape)
    if frame == "px":
        points = points * gsd_m
    is_area = isinstance(shape, shapely.Polygon)
    closed, area = points[0].tolist() == points[-1].tolist(), _area_m2(points, frame)
    if not is_area:
        return {
            "length_m": round(_line_m(points, frame), _DECIMALS),
            "closed": closed,
            "enclosed_area_m2": round(area, _DECIMALS) if closed else None,
        }
    plane = points if frame == "px" else _plane(points)
    sides = sorted(fit_box(plane)[2:4].tolist(), reverse=True)
    return {
        "length_m": round(sides[0], _DECIMALS),
        "width_m": round(sides[1], _DECIMALS),
        "area_m2": round(area, _DECIMALS),
    }


def _centre(shape: BaseGeometry, frame: str, gsd_m: tuple[float, float]) -> dict[str, Any]:
    """Where the middle is of an outline as a person has drawn it; in pixels only where they are its frame."""
    middle = np.array(shape.centroid.coords[0])
    placed = to_screen(middle, gsd_m) if frame == "px" else middle
    in_px = middle.round(_DECIMALS).tolist() if frame == "px" else (None, None)
    names = ("centre_x_px", "centre_y_px", "centre_lon", "centre_lat")
    return dict(zip(names, (*in_px, *placed.round(DEGREE_DECIMALS).tolist()), strict=True))


def _line_m(points: Floats, frame: str) -> float:
    if frame == "px":
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    return geometry.ground_length_m(points, _LONLAT)


def _area_m2(points: Floats, frame: str) -> float:
    if frame == "px":
        return float(shapely.Polygon(points).area) if len(points) > 3 else 0.0
    return geometry.ground_area_m2(points, _LONLAT)


def _plane(points_lonlat: Floats) -> Floats:
    """Metres round the middle of a few points that lie near each other."""
    middle = points_lonlat.mean(axis=0)
    unit = 1e-5
    ends = np.array([middle, middle + np.array([unit, 0.0]), middle, middle + np.array([0.0, unit])])
    east = geometry.ground_length_m(ends[:2], _LONLAT) / unit
    north = geometry.ground_length_m(ends[2:], _LONLAT) / unit
    plane: Floats = (points_lonlat - middle) * (east, north)
    return plane
