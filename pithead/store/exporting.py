"""Detections as a file that other programs read: GeoPackage, GeoJSON or CSV, by the ending of its name."""

import csv
import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import shapely

from pithead.errors import OptionError, StoreError
from pithead.store.rows import COLUMNS, frame_of, table_of
from pithead.vectors import DEGREE_DECIMALS

# Of a GeoPackage: the layer, what it holds, and the columns that say nothing of that.
_LAYERS = (
    ("boxes", "Polygon", ["closed", "enclosed_area_m2", "spans"]),
    ("perimeters", "LineString", ["width_m", "area_m2"]),
)


def export(rows: gpd.GeoDataFrame, path: str | Path) -> int:
    """Write rows of a store to .gpkg, .geojson or .csv, whole or not at all; says how many are left out.

    Maps leave out what is in pixels of a scene without georeference (`frame` "px"); a CSV has all rows, with
    their geometry as WKT. A GeoPackage has the layers `boxes` and `perimeters`. The same rows give the same
    bytes.

    Raises:
        OptionError: The name ends otherwise.
        StoreError: These are no rows of a store, or the file cannot be written; what was there is unharmed.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise OptionError(f"expected a file that ends with {', '.join(_WRITERS)}, got {path.name}")
    ordered = frame_of(table_of(rows))
    shown = ordered if write is _csv else ordered[ordered["frame"] == "lonlat"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
            part = Path(folder) / path.name
            write(shown, part)
            part.replace(path)
    except (OSError, pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError) as error:
        raise StoreError(
            f"expected to write {path}, got: {error}; what was there is unharmed: make room, or choose "
            "another place"
        ) from error
    return len(rows) - len(shown)


def _geopackage(rows: gpd.GeoDataFrame, path: Path) -> None:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    placed = rows.set_crs(4326, allow_override=True)  # CRS84 by the name that every GeoPackage has
    for layer, kind, silent in _LAYERS:
        mine = placed[placed.geom_type == kind].drop(columns=silent)
        # 1.2 is what GDAL and QGIS of a stable Linux read without a warning; the second layer finds it made.
        more = {} if path.exists() else {"dataset_options": {"VERSION": "1.2"}}
        mine.to_file(path, layer=layer, driver="GPKG", engine="pyogrio", geometry_type=kind, **more)


def _geojson(rows: gpd.GeoDataFrame, path: Path) -> None:
    """RFC 7946, one feature a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, facts in enumerate(_facts(rows)):
            shape = shapely.geometry.mapping(shapely.from_wkb(facts.pop("geometry")))
            feature = {"type": "Feature", "geometry": shape, "properties": facts}
            file.write((",\n" if number else "\n") + json.dumps(feature, ensure_ascii=False, allow_nan=False))
        file.write("\n]}\n")


def _csv(rows: gpd.GeoDataFrame, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for facts in _facts(rows):
            shape = shapely.from_wkb(facts["geometry"])
            writer.writerow(facts | {"geometry": shapely.to_wkt(shape, rounding_precision=DEGREE_DECIMALS)})


def _facts(rows: gpd.GeoDataFrame) -> Iterator[dict[str, Any]]:
    """Each row by column, times as ISO 8601, geometry as WKB."""
    for row in table_of(rows).to_pylist():
        yield {
            name: value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
            for name, value in row.items()
        }


_WRITERS = {".gpkg": _geopackage, ".geojson": _geojson, ".csv": _csv}
