"""Detections as map layers: GeoJSON, GeoPackage, GeoParquet.

GeoJSON and GeoParquet are in longitude and latitude, the GeoPackage in the CRS of the scene. A scene without
georeference gives pixels, y down, and the GeoJSON says so. Metres are measured on the ground in every case.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import shapely

from pithead.card import Card
from pithead.detections import Detections, SceneLine
from pithead.imagery import Scene

Floats = npt.NDArray[np.float64]

PIXEL_NOTE = (
    "The scene has no georeference: coordinates are pixels of the scene, x right and y down from the outer "
    "corner of the first pixel, not longitude and latitude."
)
DEGREE_DECIMALS = 8  # 1 mm
PIXEL_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Where detections come from: it stands on every one of them."""

    scene: str
    scene_sha256: str | None
    """None of a scene that was read by ranges over a network."""
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class Layers:
    """What a map shows of a scene, in scene pixels, with what can be said of it in metres."""

    boxes: gpd.GeoDataFrame
    """Polygons: class, score, length_m, width_m, area_m2, centre, cut by the edge, tiles, and the origin."""
    perimeters: gpd.GeoDataFrame
    """LineStrings, rings closed: as boxes, but closed, enclosed_area_m2 and spans for width and area."""


def layers(detections: Detections, scene: Scene, card: Card, origin: Origin) -> Layers:
    """The layers of a scene's detections; spans of perimeters are left out, their lines speak for them."""
    names = [known.name for known in card.classes]
    shown = np.array([known.geometry != "line" for known in card.classes])[detections.classes]
    corners = detections.corners_scene[shown]
    sides = scene.sides_m(corners) if len(corners) else np.zeros((0, 2))
    boxes = {
        "class": [names[i] for i in detections.classes[shown]],
        "score": detections.scores[shown].astype(np.float64).round(4),
        "length_m": sides.max(axis=1, initial=0).round(2),
        "width_m": sides.min(axis=1, initial=np.inf).round(2),
        "area_m2": np.array([scene.area_m2(box) for box in corners], np.float64).round(2),
        **_centres(corners.mean(axis=1), scene),
        "cut": np.array([detections.cut(box) for box in corners], np.bool_),
        "tiles": [_numbers(detections.tiles[i]) for i in np.flatnonzero(shown)],
    }
    lines = detections.lines
    courses = [_course(line) for line in lines]
    perimeters = {
        "class": [names[line.class_id] for line in lines],
        "score": np.array([line.score for line in lines], np.float64).round(4),
        "length_m": np.array([scene.length_m(course) for course in courses], np.float64).round(2),
        "closed": np.array([line.closed for line in lines], np.bool_),
        "enclosed_area_m2": np.array(
            [scene.area_m2(line.points_scene) if line.closed else np.nan for line in lines], np.float64
        ).round(2),
        "spans": np.array([line.spans for line in lines], np.int64),
        **_centres(np.array([course.mean(axis=0) for course in courses]).reshape(-1, 2), scene),
        "cut": np.array([detections.cut(line.points_scene) for line in lines], np.bool_),
        "tiles": [_numbers(line.tiles) for line in lines],
    }
    return Layers(
        _frame(boxes, [shapely.Polygon(box) for box in corners], origin),
        _frame(perimeters, [shapely.LineString(course) for course in courses], origin),
    )


def _centres(points_scene: Floats, scene: Scene) -> dict[str, Floats]:
    """The columns that say where the middle of each object (N, 2) is: in pixels, and on the ground."""
    lonlat = np.full(points_scene.shape, np.nan)
    if scene.crs is not None and len(points_scene):
        lonlat = scene.to_lonlat(points_scene)
    return {
        "centre_x_px": points_scene[:, 0].round(PIXEL_DECIMALS),
        "centre_y_px": points_scene[:, 1].round(PIXEL_DECIMALS),
        "centre_lon": lonlat[:, 0].round(DEGREE_DECIMALS),
        "centre_lat": lonlat[:, 1].round(DEGREE_DECIMALS),
    }


def _numbers(tiles: tuple[int, ...]) -> str:
    """The tiles that saw something, as their numbers in the grid of run.json."""
    return " ".join(map(str, tiles))


def _course(line: SceneLine) -> Floats:
    points = line.points_scene
    return np.concatenate([points, points[:1]]) if line.closed else points


def _frame(columns: dict[str, object], shapes: list[shapely.Geometry], origin: Origin) -> gpd.GeoDataFrame:
    table = pd.DataFrame(columns).astype({"class": "object", "tiles": "object"})
    table["scene"] = pd.Series([origin.scene] * len(table), dtype="object")
    table["scene_sha256"] = pd.Series([origin.scene_sha256] * len(table), dtype="object")
    table["weights_sha256"] = pd.Series([origin.weights_sha256] * len(table), dtype="object")
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(shapes))


def _in_lonlat(frame: gpd.GeoDataFrame, scene: Scene) -> gpd.GeoDataFrame:
    """In longitude and latitude, or as it is without georeference; exteriors run anticlockwise."""
    shapes = frame.geometry.array
    if scene.crs is not None:
        shapes = shapely.transform(np.asarray(shapes), scene.to_lonlat)
    shapes = [shapely.geometry.polygon.orient(s) if s.geom_type == "Polygon" else s for s in shapes]
    crs = None if scene.crs is None else "OGC:CRS84"
    return gpd.GeoDataFrame(frame.drop(columns="geometry"), geometry=gpd.GeoSeries(shapes), crs=crs)


def write_geojson(path: Path, found: Layers, scene: Scene) -> None:
    """Write RFC 7946: longitude and latitude, exteriors anticlockwise, perimeters as (closed) LineStrings."""
    path.write_text(json.dumps(geojson(found, scene), ensure_ascii=False) + "\n", encoding="utf-8")


def geojson(found: Layers, scene: Scene) -> dict[str, object]:
    """The FeatureCollection of a scene, boxes before perimeters; a member "note" if it is in pixels."""
    decimals = PIXEL_DECIMALS if scene.crs is None else DEGREE_DECIMALS
    features = [
        feature
        for frame in (found.boxes, found.perimeters)
        for feature in _features(_in_lonlat(frame, scene), decimals)
    ]
    note = {"note": PIXEL_NOTE} if scene.crs is None else {}
    return {"type": "FeatureCollection", **note, "features": features}


def _features(frame: gpd.GeoDataFrame, decimals: int) -> Iterator[dict[str, object]]:
    names = [name for name in frame.columns if name != "geometry"]
    rows = frame[names].astype(object).to_numpy().tolist()
    for row, shape in zip(rows, frame.geometry, strict=True):
        is_box = shape.geom_type == "Polygon"
        points = shapely.get_coordinates(shape).round(decimals).tolist()
        yield {
            "type": "Feature",
            "geometry": {"type": shape.geom_type, "coordinates": [points] if is_box else points},
            "properties": {n: None if v != v else v for n, v in zip(names, row, strict=True)},  # noqa: PLR0124 (NaN)
        }


def write_geopackage(path: Path, found: Layers, scene: Scene) -> None:
    """Write the layers `boxes` and `perimeters` in the CRS of the scene, or in its pixels.

    The time that a GeoPackage carries is fixed: the same detections give the same bytes.
    """
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    for name, frame, kind in (
        ("boxes", found.boxes, "Polygon"),
        ("perimeters", found.perimeters, "LineString"),
    ):
        shapes = np.asarray(frame.geometry.array)
        crs = None
        if scene.crs is not None:
            shapes, crs = shapely.transform(shapes, scene.to_map), scene.crs.to_wkt()
        placed = gpd.GeoDataFrame(frame.drop(columns="geometry"), geometry=gpd.GeoSeries(shapes), crs=crs)
        # 1.2 is what GDAL and QGIS of a stable Linux read without a warning; the second layer finds it made.
        more = {} if path.exists() else {"dataset_options": {"VERSION": "1.2"}}
        with warnings.catch_warnings():
            # Pixels have no CRS, which is meant; pyogrio says so each time.
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            placed.to_file(path, layer=name, driver="GPKG", engine="pyogrio", geometry_type=kind, **more)


def write_geoparquet(path: Path, found: Layers, scene: Scene) -> None:
    """Write all features in one table in longitude and latitude, or in pixels and then without a CRS."""
    boxes, lines = _in_lonlat(found.boxes, scene), _in_lonlat(found.perimeters, scene)
    columns = list(dict.fromkeys([*boxes.columns, *lines.columns]))
    table = {
        name: pd.concat([_column(boxes, name), _column(lines, name)], ignore_index=True)
        for name in columns
        if name != "geometry"
    }
    shapes = [*boxes.geometry, *lines.geometry]
    frame = gpd.GeoDataFrame(pd.DataFrame(table), geometry=gpd.GeoSeries(shapes), crs=boxes.crs)
    frame.to_parquet(path, index=False)


def _column(frame: gpd.GeoDataFrame, name: str) -> pd.Series:
    """A column, or one of nothing; with types that know nothing beside True and 3."""
    kinds = {"closed": "boolean", "cut": "boolean", "spans": "Int64"}
    kind = kinds.get(
        name, "object" if name in {"class", "scene", "tiles"} or name.endswith("256") else "float64"
    )
    if name in frame.columns:
        column: pd.Series = frame[name].astype(kind)
        return column
    return pd.Series([None] * len(frame), dtype=kind)
