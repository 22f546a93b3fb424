"""A history as a GeoPackage: things, detections, changes and what was looked at, and figures as a table.

Longitude and latitude (CRS84), corrected by the shift of each scene. In a coarsened dossier every row lies at
one point, the middle of the cell in which the site lies.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.report import tables
from pithead.report.dossier import Dossier
from pithead.sites import Frame, Sighting, View
from pithead.vectors import DEGREE_DECIMALS

CRS = "OGC:CRS84"
Row = Mapping[str, object]
Placed = tuple[Row, BaseGeometry | None]
Layer = tuple[str, str, list[Placed]]


def write_layers(path: Path, dossier: Dossier) -> None:
    """Write the layers site, scenes, hidden, boxes, perimeters, things, changes, and the table quantities.

    The same dossier gives the same bytes. Of a site of which nobody knows where it is there are only tables.
    """
    frame = dossier.chronicle.frame
    # The time that a GeoPackage carries is fixed, as in the layers of a scan.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    more: dict[str, object] = {"dataset_options": {"VERSION": "1.2"}}
    for name, kind, rows in [] if frame is None else _layers(dossier, frame):
        shown = kind if not dossier.discretion.coarse else "Point"
        shapes = [_told(dossier, frame, shape) for _, shape in rows if frame is not None]
        table = (
            pd.DataFrame([dict(row) for row, _ in rows]) if rows else pd.DataFrame({"site": []}, dtype=str)
        )
        layer = gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(shapes, crs=CRS), crs=CRS)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*geometry_type.*")
            layer.to_file(path, layer=name, driver="GPKG", engine="pyogrio", geometry_type=shown, **more)
        more = {}
    figures = pd.DataFrame([dict(row) for row in tables.quantities(dossier)], columns=list(tables.QUANTITIES))
    for column in ("found", "value", "low", "high", "checked"):
        figures[column] = figures[column].astype("float64")
    pyogrio.write_dataframe(
        figures.astype({"observable": "bool"}), path, layer="quantities", driver="GPKG", **more
    )


def _told(dossier: Dossier, frame: Frame, shape: BaseGeometry | None) -> BaseGeometry | None:
    """A shape of the frame in degrees; of a coarsened dossier the one point that may be told."""
    if dossier.discretion.coarse:
        return shapely.Point(dossier.discretion.place(frame.lon, frame.lat))
    if shape is None or shape.is_empty:
        return None
    rounded: BaseGeometry = shapely.transform(
        frame.in_degrees(shape), lambda points: points.round(DEGREE_DECIMALS)
    )
    return rounded


def _layers(dossier: Dossier, frame: Frame) -> list[Layer]:
    chronicle = dossier.chronicle
    polygon = chronicle.site.polygon
    site = [({"site": dossier.name}, None if polygon is None else frame.in_metres(polygon))]
    found = [(view, one) for view in chronicle.views for one in view.sightings]
    things = {
        detection: track.id for track in chronicle.tracks for names in track.sightings for detection in names
    }
    boxes, lines = (
        [_sighting(dossier, view, one, things) for view, one in found if one.is_line is flat]
        for flat in (False, True)
    )
    return [
        ("site", "Unknown", [(row, shape) for row, shape in site]),
        ("scenes", "Unknown", [_scene(dossier, view) for view in chronicle.views]),
        ("hidden", "Unknown", [one for view in chronicle.views for one in _hidden(dossier, view)]),
        ("boxes", "Unknown", boxes),
        ("perimeters", "Unknown", lines),
        ("things", "Unknown", _things(dossier)),
        ("changes", "Unknown", _changes(dossier)),
    ]


def _of(dossier: Dossier, view: View) -> dict[str, object]:
    return {
        "site": dossier.name,
        "acquired": dossier.discretion.when(view),
        "scene": dossier.discretion.scene(view.scene),
        "scene_sha256": view.scene_sha256,
    }


def _scene(dossier: Dossier, view: View) -> Placed:
    row = {
        **_of(dossier, view),
        "sensor": view.sensor,
        "gsd_m": view.gsd_m,
        "off_nadir_deg": view.off_nadir_deg,
        "shift_east_m": round(view.shift.dx_m, 3),
        "shift_north_m": round(view.shift.dy_m, 3),
        "shift_sd_m": round(view.shift.sd_m, 3),
        "shift_from": view.shift.how,
        "weights_sha256": view.weights_sha256,
        "options_sha256": view.options_sha256,
    }
    return row, view.placed(view.looked)


def _hidden(dossier: Dossier, view: View) -> list[Placed]:
    return [({**_of(dossier, view), "reason": reason}, view.placed(shape)) for shape, reason in view.hidden]


def _sighting(dossier: Dossier, view: View, one: Sighting, things: Mapping[str, str]) -> Placed:
    row = {
        **_of(dossier, view),
        "detection": one.detection,
        "thing": things.get(one.detection),
        "class": one.cls,
        "score": one.score,
        "p": one.p,
        "length_m": one.length_m,
        "width_m": one.width_m,
        "area_m2": one.area_m2,
        "enclosed_m2": one.enclosed_m2,
        "cut": one.cut,
        "decision": one.decision,
    }
    if not dossier.discretion.redact:
        row["reviewer"] = one.reviewer
    return row, view.placed(one.shape)


def _things(dossier: Dossier) -> list[Placed]:
    views, when = dossier.chronicle.views, dossier.discretion.when
    return [
        (
            {
                "site": dossier.name,
                "thing": one.id,
                "class": one.cls,
                "first_seen": when(views[one.first_seen]),
                "last_seen": when(views[one.last_seen]),
                "last_state": one.states[-1].kind,
                "last_reason": one.states[-1].reason,
            },
            one.shape,
        )
        for one in dossier.chronicle.tracks
    ]


def _changes(dossier: Dossier) -> list[Placed]:
    every = [*dossier.sure, *dossier.doubtful]
    return [(row, change.shape) for row, change in zip(tables.changes(dossier), every, strict=True)]
