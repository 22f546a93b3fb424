"""Labels on the map: GeoJSON in longitude and latitude."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import shapely

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.labels.grid import Transform
from pithead.labels.label import NO_LABEL, Floats, Label, class_named, label_of, text_of


def read_geojson(path: str | Path, classes: ClassList, to_scene: Transform) -> tuple[Label, ...]:
    """Labels of one scene from a GeoJSON FeatureCollection (RFC 7946): polygons and lines, lon/lat.

    `to_scene` turns (M, 2) lon/lat into scene px. Each part of a Multi geometry is a label of its own; holes
    are left out. The properties are the keys of the JSONL format.

    Raises:
        LabelError: no GeoJSON, projected coordinates, an unknown class or another geometry.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        features = document["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelError(
            f"{path}: a GeoJSON FeatureCollection is needed; got {error!r}: export it again"
        ) from error
    _refuse_projected(document, path)
    found = []
    for i, feature in enumerate(features):
        where = f"{path}, feature {i}"
        properties = feature.get("properties") or {}
        name = text_of(properties, "class", where)
        if name in NO_LABEL:
            continue
        info = class_named(classes, name, where)
        for kind, points in _parts(feature.get("geometry") or {}, where):
            scene = to_scene(points)
            found.append(
                label_of({**properties, kind: scene.tolist(), "closed": kind == "polygon"}, info, where)
            )
    return tuple(found)


def _refuse_projected(document: Mapping[str, object], path: str | Path) -> None:
    """GeoJSON is lon/lat (RFC 7946); some programs write projected metres with an old "crs" member."""
    crs = document.get("crs")
    if crs is not None and not any(ok in json.dumps(crs) for ok in ("CRS84", "EPSG::4326", "EPSG:4326")):
        raise LabelError(
            f"{path}: GeoJSON is longitude and latitude; got {json.dumps(crs)}: export it in EPSG:4326"
        )


def _parts(geometry: Mapping[str, object], where: str) -> Iterator[tuple[Literal["polygon", "line"], Floats]]:
    """The outlines ("polygon") and lines ("line") of a GeoJSON geometry, (M, 2) each, heights dropped."""
    try:
        shape = shapely.from_geojson(json.dumps(geometry))
    except shapely.errors.GEOSException as error:
        raise LabelError(f"{where}: the geometry cannot be read ({error}): draw it again") from error
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon":
            yield "polygon", shapely.get_coordinates(part.exterior)
        elif part.geom_type == "LineString":
            yield "line", shapely.get_coordinates(part)
        else:
            raise LabelError(
                f"{where}: a label is a polygon or a line; got {part.geom_type}: draw its outline"
            )
