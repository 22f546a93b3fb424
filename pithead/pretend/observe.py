"""A pretended scan: what a detector of known errors would find in a picture, as rows of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors
from pithead.generate.history import History, Shot
from pithead.generate.parts import sides_m
from pithead.pretend.boxes import boxes_of
from pithead.pretend.errors import TYPICAL
from pithead.pretend.found import Found, cut
from pithead.pretend.lines import lines_of
from pithead.store.rows import COLUMNS, detection_id, finished_rows, rounded
from pithead.vectors import DEGREE_DECIMALS

THING = "thing"
"""The column that a store does not have: the id of the thing that a detection is of, empty of nothing."""


@dataclass(frozen=True, slots=True)
class Names:
    """By which names rows are filed.

    Attributes:
        scene: The id of the scene.
        scene_sha256: Of its bytes.
        weights_sha256: Of the weights.
        options_sha256: Of the options.
    """

    scene: str
    scene_sha256: str
    weights_sha256: str
    options_sha256: str

    @classmethod
    def of(cls, history: History, shot: Shot) -> Names:
        """Names for rows of no archive, by the seed of the history and the number of the shot."""
        digest = _sha256(f"history {history.seed} {history.side_m} {shot.number} {shot.date.isoformat()}")
        scene = f"history_{history.seed:04d}_{shot.number:02d}-{digest[:12]}"
        return cls(scene, digest, _sha256("pretended"), _sha256("options"))


def observe(
    history: History,
    shot: Shot,
    errors: Sequence[ClassErrors] = TYPICAL,
    rng: np.random.Generator | None = None,
    names: Names | None = None,
) -> gpd.GeoDataFrame:
    """What a detector of these errors would find in a picture, as rows of schema 2.

    A column more, `thing`, tells of what a detection is: the id of a thing, of a confuser too, or empty.
    Nothing is found under cloud, in thick haze or outside of the frame; of a heap under snow seldom anything.
    Everything is shifted as the picture is, and what stands high leans.

    Args:
        history: The site.
        shot: The picture.
        errors: Of the classes that the detector knows.
        rng: Source of chance; by default that of the seed of the history and the number of the shot.
        names: By which the rows are filed; by default `Names.of`.
    """
    chance = np.random.default_rng([history.seed, shot.number, 29]) if rng is None else rng
    filed = names or Names.of(history, shot)
    found: list[Found] = []
    for one in errors:
        found += (boxes_of if one.lines is None else lines_of)(history, shot, one, chance)
    shapes = [_lonlat(history, one) for one in found]
    table = pd.DataFrame(
        [_row(history, shot, one, filed) for one in found], columns=list(COLUMNS), dtype=object
    )
    rows = finished_rows(table, shapes)
    things = {_id(filed, one, shape): one.thing for one, shape in zip(found, shapes, strict=True)}
    return rows.assign(**{THING: rows["detection"].map(things).astype(object)})


def _row(history: History, shot: Shot, found: Found, names: Names) -> dict[str, object]:
    """The columns of a detection but its geometry."""
    points, gsd_m = found.points_m, shot.sensor.gsd_m
    west, _, _, north = shot.footprint.bounds
    middle = points.mean(axis=0)
    lon, lat = history.to_lonlat(middle)
    shape = _shape(found)
    sizes: dict[str, object]
    if found.line:
        area = float(shapely.Polygon(points).area) if found.closed else None
        sizes = {
            "length_m": round(shape.length, 2),
            "closed": found.closed,
            "enclosed_area_m2": None if area is None else round(area, 2),
            "spans": max(1, round(shape.length / 24)),
        }
    else:
        length, width = sides_m(points)
        sizes = {"length_m": round(length, 2), "width_m": round(width, 2), "area_m2": round(shape.area, 2)}
    inside = shapely.intersects(shape, history.outline)
    return {
        "class": found.cls,
        "score": found.score,
        **sizes,
        "centre_x_px": round(float(middle[0] - west) / gsd_m, 2),
        "centre_y_px": round(float(north - middle[1]) / gsd_m, 2),
        "centre_lon": round(float(lon), DEGREE_DECIMALS),
        "centre_lat": round(float(lat), DEGREE_DECIMALS),
        "cut": cut(points, shot),
        "tiles": "0",
        "scene": names.scene,
        "scene_sha256": names.scene_sha256,
        "weights_sha256": names.weights_sha256,
        "options_sha256": names.options_sha256,
        "site": history.name if inside else None,
        "acquired": shot.date,
        "frame": "lonlat",
    }


def _shape(found: Found) -> BaseGeometry:
    if not found.line:
        return shapely.Polygon(found.points_m)
    points = found.points_m
    return shapely.LineString(np.concatenate([points, points[:1]]) if found.closed else points)


def _lonlat(history: History, found: Found) -> BaseGeometry:
    return rounded(shapely.transform(_shape(found), history.to_lonlat), DEGREE_DECIMALS)


def _id(names: Names, found: Found, shape: BaseGeometry) -> str:
    wkb = shapely.to_wkb(shape, byte_order=1, output_dimension=2)
    return detection_id(names.scene_sha256, names.weights_sha256, found.cls, wkb)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
