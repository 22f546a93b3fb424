"""What a job has found, as a file: GeoJSON, GeoPackage or GeoParquet; the same rows give the same bytes."""

import json
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import geopandas as gpd
import pyogrio
import shapely

from pithead.errors import StoreError
from pithead.store import RunRecord, Store, content_sha256, export
from pithead.store.rows import is_px, table_of, to_parquet
from pithead.vectors import PIXEL_NOTE

Format = Literal["geojson", "gpkg", "parquet"]
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "geojson": "application/geo+json",
    "gpkg": "application/geopackage+sqlite3",
    "parquet": "application/vnd.apache.parquet",
}
PIXELS: Final = "application/json"
"""What GeoJSON is called that is none, as it is in pixels."""
_LAYERS: Final = (
    ("boxes", "Polygon", ["closed", "enclosed_area_m2", "spans"]),
    ("perimeters", "LineString", ["width_m", "area_m2"]),
)


def rows_of(store: Store, record: RunRecord) -> gpd.GeoDataFrame:
    """The rows of a run, as they were put.

    Raises:
        StoreError: They are missing, damaged, or others than the record tells of.
    """
    rows = store.detections(record.weights_sha256, scenes=[record.scene])
    rows = rows[(rows["options_sha256"] == record.options_sha256).to_numpy()].reset_index(drop=True)
    if content_sha256(rows) != record.result_sha256:
        raise StoreError(
            f"expected the rows of {record.name} as it tells of them, got others: verify the archive"
        )
    return rows


def write(rows: gpd.GeoDataFrame, path: Path, kind: Format) -> str:
    """Write rows to a file that is not there yet, and say of what media type it is.

    Those of a scene with georeference are in longitude and latitude. Those of one without are in its pixels:
    then the GeoJSON has the members `frame` and `note`, and the others have no CRS.

    Args:
        rows: Of one run.
        path: Ends as the kind does.
        kind: What to write.

    Raises:
        StoreError: It cannot be written.
    """
    in_pixels = is_px(table_of(rows))
    try:
        if kind == "parquet":
            path.write_bytes(to_parquet(table_of(rows)))
        elif not in_pixels:
            export(rows, path)
        elif kind == "gpkg":
            _geopackage_px(rows, path)
        else:
            _geojson_px(rows, path)
    except StoreError:
        raise
    except (OSError, pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError) as error:
        raise StoreError(f"expected to write {path.name}, got: {error}; make room") from error
    return PIXELS if in_pixels and kind == "geojson" else MEDIA_TYPES[kind]


def _geojson_px(rows: gpd.GeoDataFrame, path: Path) -> None:
    """One feature a line."""
    with path.open("w", encoding="utf-8") as file:
        head = json.dumps({"type": "FeatureCollection", "frame": "px", "note": PIXEL_NOTE})
        file.write(head.removesuffix("}") + ', "features": [')
        for number, facts in enumerate(table_of(rows).to_pylist()):
            shape = shapely.geometry.mapping(shapely.from_wkb(facts.pop("geometry")))
            plain = {name: _plain(value) for name, value in facts.items()}
            feature = {"type": "Feature", "geometry": shape, "properties": plain}
            file.write((",\n" if number else "\n") + json.dumps(feature, ensure_ascii=False, allow_nan=False))
        file.write("\n]}\n")


def _geopackage_px(rows: gpd.GeoDataFrame, path: Path) -> None:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    placed = rows.set_crs(None, allow_override=True)
    for layer, kind, silent in _LAYERS:
        mine = placed[placed.geom_type == kind].drop(columns=silent)
        more = {} if path.exists() else {"dataset_options": {"VERSION": "1.2"}}
        with warnings.catch_warnings():
            # Pixels have no CRS, which is meant; pyogrio says so each time.
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            mine.to_file(path, layer=layer, driver="GPKG", engine="pyogrio", geometry_type=kind, **more)


def _plain(value: object) -> object:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
