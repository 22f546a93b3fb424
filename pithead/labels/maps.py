"""Labels on the map: GeoPackage (layers that QGIS opens) and GeoJSON in longitude and latitude.

Reading takes any vector file of GDAL. A label's scene is its field "image"; a label without one belongs to
the scene that holds its middle. What was looked at stands in the layer `scenes` of a GeoPackage (the
whole scene, or parts of it), in GeoJSON as features of the class none (a scene without objects) or seen (a
part).
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.classes import ClassList
from pithead.errors import GroundResolutionError, LabelError
from pithead.files import write_whole
from pithead.imagery import Place
from pithead.labels.label import FACTS, Floats, Label, SceneFacts, record_of
from pithead.labels.places import Places
from pithead.labels.qgis import furnish
from pithead.labels.seen import SEEN, seen_area
from pithead.labels.sheet import Sheet, facts_of, labelled, told

FIELDS = ("class", "confidence", "kind", "material", "note", "image", "site", "date", "sensor")
SCENES = "scenes"
LAYERS = {"areas": "Polygon", "lines": "LineString", SCENES: "Polygon"}
_LONLAT = "OGC:CRS84"
_SAME_PX = 0.5  # what is looked at up to half a pixel from the edge is the whole image
_DECIMALS = 9  # of a degree: 0.1 mm
_SHAPE = ("polygon", "line", "closed")


def read_map(path: Path, classes: ClassList, places: Places) -> list[Sheet]:
    """The sheets of a vector file, in the order in which images appear first.

    Each part of a Multi geometry is a label of its own; holes are left out. A closed line, or the outline of
    a line class, is a ring.

    Raises:
        LabelError: no vector file, a layer without CRS or class, a feature of an unknown class or scene.
    """
    labels: dict[str, list[Label]] = {}
    facts: dict[str, SceneFacts] = {}
    seen: dict[str, list[Floats]] = {}
    for layer, frame in _layers(path):
        for number, row in frame.iterrows():
            where = f"{path}, {layer} {number}"
            record = {str(key): _plain(value) for key, value in row.items() if key != "geometry"}
            record = {key: value for key, value in record.items() if value not in (None, "")}
            shape = row["geometry"]
            image = str(record.pop("image", "")) or _image(shape, frame.crs, places, record, where)
            known = facts_of(record, where)
            old = facts.setdefault(image, known)
            facts[image] = SceneFacts(*((getattr(old, key) or getattr(known, key)) for key in FACTS))
            of_image = labels.setdefault(image, [])
            if shape is None and layer == SCENES:
                continue
            place = places.of(image, where)
            parts = _parts(shape, frame.crs, place.crs_wkt, where)
            outlines = [place.from_map(_points(part)) for part in parts]
            if layer == SCENES or record.get("class") in ("none", SEEN):
                seen.setdefault(image, []).extend(outline[:-1] for outline in outlines)
                continue
            for part, outline in zip(parts, outlines, strict=True):
                of_image += _label(part, outline, record, classes, where)
    return [
        Sheet(i, places.size(i, str(path)), tuple(labels[i]), facts[i], _seen(seen.get(i, ()), places, i))
        for i in labels
    ]


def write_geopackage(path: Path, sheets: Sequence[Sheet], classes: ClassList, places: Places) -> None:
    """Write the layers `areas`, `lines` and `scenes` in the CRS of the scenes, or lon/lat if they differ.

    Raises:
        LabelError: a scene that is not there or has no georeference.
    """
    crs = {_place(places, sheet).crs_wkt for sheet in sheets}
    target = crs.pop() if len(crs) == 1 else _LONLAT
    _write(path, list(_rows(sheets, classes, places, target)), target, classes)


def write_template(path: Path, classes: ClassList, crs: str) -> None:
    """Write the layers `areas`, `lines` and `scenes` without a row, to be drawn into.

    Raises:
        LabelError: a coordinate system that is none.
    """
    try:
        target = gpd.GeoSeries([], crs=crs).crs.to_wkt()
    except RuntimeError as error:  # what pyproj says of a text that is no coordinate system
        raise LabelError(f"a coordinate system is needed, such as EPSG:32652; got {crs} ({error})") from error
    _write(path, [], target, classes)


def _write(path: Path, rows: Sequence[dict[str, Any]], crs: str, classes: ClassList) -> None:
    """Write rows into the three layers, with their styles; the file appears whole or not at all."""
    part = path.with_name(f".{path.stem}.part.gpkg")
    part.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = sorted({key for row in rows for key in row} - set(FIELDS) - {"geometry", "layer"})
    for layer, kind in LAYERS.items():
        of_layer = [row for row in rows if row["layer"] == layer]
        names = ("image", *FACTS) if layer == SCENES else (*FIELDS, *extra)
        table = {name: pd.Series([row.get(name) for row in of_layer], dtype="str") for name in names}
        shapes = gpd.GeoSeries([row["geometry"] for row in of_layer], crs=crs)
        more = {} if part.exists() else {"dataset_options": {"VERSION": "1.2"}}
        gpd.GeoDataFrame(table, geometry=shapes).to_file(
            part, layer=layer, driver="GPKG", engine="pyogrio", geometry_type=kind, **more
        )
    furnish(part, tuple(LAYERS), classes)
    part.replace(path)


def write_geojson(path: Path, sheets: Sequence[Sheet], classes: ClassList, places: Places) -> None:
    """Write a FeatureCollection (RFC 7946), nine decimals of a degree.

    Raises:
        LabelError: a scene that is not there or has no georeference.
    """
    found = {sheet.image for sheet in sheets if sheet.labels}
    seen = {sheet.image: sheet.seen for sheet in sheets}
    features = []
    for row in _rows(sheets, classes, places, _LONLAT):
        if row["layer"] == SCENES and row["image"] in found and not seen[row["image"]]:
            continue
        shape = shapely.set_precision(row.pop("geometry"), 0)
        points = shapely.get_coordinates(shape).round(_DECIMALS).tolist()
        is_area = shape.geom_type == "Polygon"
        named = {"class": SEEN if seen[row["image"]] else "none"} if row.pop("layer") == SCENES else {}
        geometry = {"type": shape.geom_type, "coordinates": [points] if is_area else points}
        features.append({"type": "Feature", "geometry": geometry, "properties": {**named, **row}})
    document = {"type": "FeatureCollection", "features": features}
    write_whole(path, json.dumps(document, ensure_ascii=False) + "\n")


def _rows(sheets: Sequence[Sheet], classes: ClassList, places: Places, crs: str) -> Iterator[dict[str, Any]]:
    """Every label and every scene as a row with its geometry in a coordinate system."""
    for sheet in sheets:
        place = _place(places, sheet)
        common = {"image": sheet.image, **told(sheet.facts)}
        seen = sheet.seen or (place.footprint,)
        shapes: list[object] = [shapely.polygons(place.to_map(outline)) for outline in seen]
        rows: list[dict[str, Any]] = [{"layer": SCENES, **common} for _ in seen]
        for label in sheet.labels:
            record = {key: v for key, v in record_of(label, classes).items() if key not in _SHAPE}
            is_line = label.geometry == "line"
            points = place.to_map(label.points)
            ring = np.vstack([points, points[:1]]) if label.closed else points
            shapes.append(shapely.linestrings(ring) if is_line else shapely.polygons(points))
            rows.append({"layer": "lines" if is_line else "areas", **record, **common})
        moved = gpd.GeoSeries(shapes, crs=place.crs_wkt).to_crs(crs)
        for row, shape in zip(rows, moved, strict=True):
            yield {
                **row,
                "geometry": shapely.geometry.polygon.orient(shape) if shape.geom_type == "Polygon" else shape,
            }


def _seen(outlines: Sequence[Floats], places: Places, image: str) -> tuple[Floats, ...]:
    """What was looked at of an image; nothing, which means all of it, where that is its footprint."""
    if not outlines:
        return ()
    whole = shapely.Polygon(places.of(image, image).footprint)
    missing = shapely.difference(whole, shapely.buffer(seen_area(outlines), _SAME_PX))
    return () if missing.is_empty else tuple(outlines)


def _place(places: Places, sheet: Sheet) -> Place:
    try:
        place = places.of(sheet.image, sheet.image)
        place.to_map(place.footprint)
    except GroundResolutionError as error:
        raise LabelError(str(error)) from error
    return place


def _layers(path: Path) -> Iterator[tuple[str, gpd.GeoDataFrame]]:
    """The layers with geometry, the list of scenes last."""
    try:
        names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        for name in sorted(names, key=lambda name: name == SCENES):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what cannot be read is found below
                frame = gpd.read_file(path, layer=name, engine="pyogrio", fid_as_index=True)
            if "geometry" not in frame or (not len(frame) and name != SCENES):
                continue
            if frame.crs is None:
                raise LabelError(
                    f"{path}, layer {name}: has no coordinate system (CRS): set it and save again"
                )
            if name != SCENES and "class" not in frame:
                raise LabelError(
                    f'{path}, layer {name}: labels have a field "class"; got {list(frame)}: add it'
                )
            yield name, frame
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise LabelError(
            f"{path}: a vector file (GeoPackage, GeoJSON) is needed; {error}: check it"
        ) from error


def _plain(value: object) -> object:
    """A field's value as text or number, None for nothing."""
    if value is None or value != value:  # noqa: PLR0124 (NaN and NaT)
        return None
    if isinstance(value, date):
        return value.isoformat()[:10]
    return value.item() if isinstance(value, np.generic) else value


def _image(
    shape: BaseGeometry | None, crs: object, places: Places, record: dict[str, object], where: str
) -> str:
    """The only scene that holds the middle of a feature."""
    if shape is None or shape.is_empty:
        raise LabelError(f"{where}: has no geometry: draw it or delete it")
    held = places.holding(shape.representative_point(), crs, where)
    if len(held) != 1:
        told_of = f"{len(held)} scenes hold it ({', '.join(held[:4])})" if held else "no scene holds it"
        raise LabelError(f'{where}: {told_of}: fill its field "image", {record.get("class", "")}')
    return held[0]


def _parts(shape: BaseGeometry | None, crs: object, target: str, where: str) -> list[BaseGeometry]:
    if shape is None or shape.is_empty:
        raise LabelError(f"{where}: has no geometry: draw it or delete it")
    moved = gpd.GeoSeries([shape], crs=crs).to_crs(target).iloc[0]
    parts = list(shapely.get_parts(moved))
    wrong = next((part.geom_type for part in parts if part.geom_type not in ("Polygon", "LineString")), None)
    if wrong is not None:
        raise LabelError(f"{where}: a label is a polygon or a line; got {wrong}: draw its outline")
    return parts


def _points(part: BaseGeometry) -> Floats:
    points: Floats = shapely.get_coordinates(
        shapely.get_exterior_ring(part) if part.geom_type == "Polygon" else part
    )
    return points


def _label(
    part: BaseGeometry, points: Floats, record: dict[str, object], classes: ClassList, where: str
) -> list[Label]:
    open_line = part.geom_type == "LineString" and not part.is_closed
    label = labelled({**record, "line" if open_line else "polygon": points.tolist()}, classes, where)
    return [] if label is None else [label]
