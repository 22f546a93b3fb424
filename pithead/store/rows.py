"""Rows of schema 2: boxes and perimeters of a scene in one table, with what each needs to be found again."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.errors import StoreError
from pithead.imagery import Scene
from pithead.vectors import DEGREE_DECIMALS, PIXEL_DECIMALS, Layers, Origin

SCHEMA = 2
SCHEMA_FILE = "schema.json"
LONLAT = "OGC:CRS84"
_KINDS = {
    "detection": pa.string(),
    "class": pa.string(),
    "score": pa.float64(),
    "length_m": pa.float64(),
    "width_m": pa.float64(),
    "area_m2": pa.float64(),
    "closed": pa.bool_(),
    "enclosed_area_m2": pa.float64(),
    "spans": pa.int64(),
    "centre_x_px": pa.float64(),
    "centre_y_px": pa.float64(),
    "centre_lon": pa.float64(),
    "centre_lat": pa.float64(),
    "cut": pa.bool_(),
    "tiles": pa.string(),
    "scene": pa.string(),
    "scene_sha256": pa.string(),
    "weights_sha256": pa.string(),
    "options_sha256": pa.string(),
    "site": pa.string(),
    "acquired": pa.timestamp("ms", "UTC"),
    "frame": pa.string(),
    "geometry": pa.binary(),
}
COLUMNS = tuple(_KINDS)
TABLE = pa.schema([pa.field(name, kind) for name, kind in _KINDS.items()])
"""The columns on disk; geometry is WKB."""
ROW_GROUP = 65_536
_FACTS = "pithead"


def rows_of(
    layers: Layers,
    scene: Scene,
    origin: Origin,
    *,
    scene_id: str,
    options_sha256: str,
    site_of: Callable[[BaseGeometry], str | None],
    acquired: datetime | None,
) -> gpd.GeoDataFrame:
    """What was found in a scene as rows of schema 2, sorted by class, falling score and geometry.

    Args:
        layers: The map layers of the scene.
        scene: The scene; with a georeference rows are in longitude and latitude (8 decimals, 1 mm) and their
            `frame` is "lonlat", else in pixels (2 decimals) and it is "px".
        origin: The hashes of scene and weights.
        scene_id: The name of the scene in the catalogue.
        options_sha256: The hash of what was asked for.
        site_of: Names the site of a geometry in the frame of the row, or None.
        acquired: When the scene was taken; without a zone it is UTC.

    Raises:
        StoreError: The sha256 of the scene is unknown: nobody could say later what was looked at.
    """
    if origin.scene_sha256 is None:
        raise StoreError(f"expected the sha256 of scene {scene_id}, got none: hash its bytes first")
    frames = [layers.boxes, layers.perimeters]
    shapes = [placed(shape, scene) for frame in frames for shape in frame.geometry]
    table = pd.concat([_columns(frame) for frame in frames], ignore_index=True)
    table["scene"] = scene_id
    table["scene_sha256"] = origin.scene_sha256
    table["weights_sha256"] = origin.weights_sha256
    table["options_sha256"] = options_sha256
    table["site"] = pd.Series([site_of(shape) for shape in shapes], dtype=object)
    table["acquired"] = pd.Series([_moment(acquired)] * len(table), dtype=object)
    table["frame"] = "px" if scene.crs is None else "lonlat"
    return finished_rows(table, shapes)


def _moment(acquired: datetime | None) -> datetime | None:
    """A time in UTC to the millisecond."""
    if acquired is None:
        return None
    known = acquired if acquired.tzinfo else acquired.replace(tzinfo=UTC)
    return known.astimezone(UTC).replace(microsecond=known.microsecond // 1000 * 1000)


def placed(shape: BaseGeometry, scene: Scene) -> BaseGeometry:
    """A geometry in scene pixels on the ground, rounded, exteriors anticlockwise; in pixels without one."""
    decimals = PIXEL_DECIMALS
    if scene.crs is not None:
        shape, decimals = shapely.transform(shape, scene.to_lonlat), DEGREE_DECIMALS
    return rounded(shape, decimals)


def rounded(shape: BaseGeometry, decimals: int) -> BaseGeometry:
    """A geometry with so many decimals, so that the last bits of a library's sums change no hash."""
    shape = shapely.transform(shape, lambda points: points.round(decimals) + 0.0)  # no -0.0
    return shapely.geometry.polygon.orient(shape) if isinstance(shape, shapely.Polygon) else shape


def finished_rows(table: pd.DataFrame, shapes: list[BaseGeometry]) -> gpd.GeoDataFrame:
    """Rows with their ids, columns and rows in their order; `shapes` are their geometries."""
    wkb = _wkb(shapes)
    facts = zip(table["scene_sha256"], table["weights_sha256"], table["class"], wkb, strict=True)
    table["detection"] = pd.Series([detection_id(*fact) for fact in facts], dtype=object)
    return frame_of(in_order(_table(table, wkb)))


def detection_id(scene_sha256: str, weights_sha256: str, class_name: str, wkb: bytes) -> str:
    """The name of a detection: 16 digits of the sha256 of scene, weights, class and WKB in hex, by lines."""
    text = f"{scene_sha256}\n{weights_sha256}\n{class_name}\n{wkb.hex()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def in_order(table: pa.Table) -> pa.Table:
    """Rows by class, falling score and geometry (WKB); of several scenes, by scene and options first."""
    falling = {"score"}
    keys = ("scene", "options_sha256", "class", "score", "geometry", "tiles")
    return table.sort_by([(key, "descending" if key in falling else "ascending") for key in keys])


def table_of(frame: gpd.GeoDataFrame) -> pa.Table:
    """Rows as they are stored, in their order.

    Raises:
        StoreError: A column is missing, or of another type.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise StoreError(f"expected rows of schema {SCHEMA}, got none of the columns {', '.join(missing)}")
    plain = pd.DataFrame(frame.drop(columns="geometry"))
    try:
        return in_order(_table(plain, _wkb(list(frame.geometry))))
    except pa.ArrowException as error:
        raise StoreError(f"expected rows of schema {SCHEMA}, got other types: {error}") from error


def frame_of(table: pa.Table) -> gpd.GeoDataFrame:
    """Stored rows as a table of geometries in longitude and latitude; `frame` tells which are pixels."""
    kinds = {pa.bool_(): pd.BooleanDtype(), pa.int64(): pd.Int64Dtype()}
    plain = table.drop_columns("geometry").to_pandas(types_mapper=kinds.get)
    shapes = shapely.from_wkb(np.array(table["geometry"].to_pylist(), dtype=object))
    return gpd.GeoDataFrame(plain, geometry=gpd.GeoSeries(shapes, crs=LONLAT, index=plain.index))


def content_sha256(frame: gpd.GeoDataFrame) -> str:
    """The sha256 of what rows say, whatever file they lie in and in whatever order they come.

    Of the names of the columns, then of each row in the order of `in_order`, each a JSON array on a line
    of its own: numbers as Python writes them, times in ISO 8601 with milliseconds, geometry as WKB in hex.
    """
    return table_sha256(table_of(frame))


def table_sha256(table: pa.Table) -> str:
    """As `content_sha256`, of stored rows in order."""
    told = hashlib.sha256(_line(list(COLUMNS)))
    for row in table.select(list(COLUMNS)).to_pylist():
        told.update(_line([_plain(value) for value in row.values()]))
    return told.hexdigest()


def to_parquet(table: pa.Table, holds: Iterable[str] | None = None) -> bytes:
    """Stored rows as the bytes of a GeoParquet file (1.1), the same for the same rows.

    Args:
        table: Rows in order, all in longitude and latitude or all in pixels (then the file has no CRS).
        holds: For a compacted file, the names of the files that it stands for.
    """
    shapes = shapely.from_wkb(np.array(table["geometry"].to_pylist(), dtype=object))
    column: dict[str, object] = {
        "encoding": "WKB",
        "geometry_types": sorted({shape.geom_type for shape in shapes}),
    }
    if len(shapes):
        column["bbox"] = shapely.total_bounds(shapes).tolist()
    if is_px(table):
        column["crs"] = None  # no "crs" at all is longitude and latitude
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    facts = {"schema": SCHEMA} if holds is None else {"schema": SCHEMA, "holds": sorted(holds)}
    told = {"geo": json.dumps(geo), _FACTS: json.dumps(facts)}
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(told),
        sink,
        row_group_size=ROW_GROUP,
        version="2.6",
        compression="zstd",
        compression_level=3,
        data_page_version="1.0",
    )
    return sink.getvalue()


def rows_in(source: IO[bytes], told: str, wanted: pc.Expression | None = None) -> pa.Table:
    """The rows of a stored file, of which some may be wanted only.

    Raises:
        StoreError: The bytes are damaged, or of another schema.
    """
    with _undamaged(told):
        if wanted is None:
            table = pq.ParquetFile(source).read(use_threads=False)  # many files are read at once instead
        else:
            # A handle and not a path: of a path "weights=…" would become a column.
            table = pq.read_table(source, filters=wanted, partitioning=None)
        return table.replace_schema_metadata(None).cast(TABLE)


def holds_of(source: IO[bytes], told: str) -> list[str]:
    """The names of the files that a compacted file stands for; its rows are not read.

    Raises:
        StoreError: The bytes are damaged, or of another schema.
    """
    with _undamaged(told):
        facts = json.loads((pq.read_metadata(source).metadata or {}).get(_FACTS.encode(), b"{}"))
        return [str(name) for name in facts.get("holds", [])]


@contextmanager
def _undamaged(told: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(
            f"expected detections of schema {SCHEMA} at {told}, got a damaged or foreign file "
            f"({' '.join(str(error).split())[:200]}): bring it back from a copy, or remove the run "
            "records of its scenes and score them again"
        ) from error


def is_px(table: pa.Table) -> bool:
    """Whether rows are in pixels."""
    return bool(len(table)) and table["frame"][0].as_py() == "px"


def _columns(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """The columns that a layer has, and nothing in the others."""
    return pd.DataFrame(frame.drop(columns="geometry")).reindex(columns=list(COLUMNS)).astype(object)


def _table(plain: pd.DataFrame, wkb: list[bytes]) -> pa.Table:
    table = plain.assign(geometry=pd.Series(wkb, dtype=object, index=plain.index))[list(COLUMNS)]
    return pa.Table.from_pandas(table, schema=TABLE, preserve_index=False).replace_schema_metadata(None)


def _wkb(shapes: list[BaseGeometry]) -> list[bytes]:
    made: list[bytes] = shapely.to_wkb(
        np.array(shapes, dtype=object), byte_order=1, output_dimension=2
    ).tolist()
    return made


def _line(values: list[object]) -> bytes:
    return json.dumps(values, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
