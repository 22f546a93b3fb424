"""The Items of a catalogue as one table: a cache beside them, which knows what it was made of.

It is GeoParquet, so that DuckDB, QGIS and geopandas read the archive's scenes from it.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from pithead.catalog.entry import Entry
from pithead.files import write_whole

INDEX = "index.parquet"
_SCHEMA = 1  # of this table: one of another schema is stale
_KEY, _SITES_KEY = b"pithead:made_of", b"pithead:sites"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = pa.timestamp("us", "UTC")
_LISTS = ("sites", "named_sites", "copies")
_KINDS = {
    **dict.fromkeys(("bytes", "mtime_ns", "width", "height"), pa.int64()),
    **dict.fromkeys(("acquired", "added"), _TIME),
    **dict.fromkeys(
        ("off_nadir_deg", "incidence_deg", "sun_azimuth_deg", "sun_elevation_deg", "cloud_percent", "km2"),
        pa.float64(),
    ),
    **dict.fromkeys(("gsd_m", "transform"), pa.list_(pa.float64())),
    **dict.fromkeys(_LISTS, pa.list_(pa.string())),
    "footprint": pa.binary(),
    "changed": pa.bool_(),
}
_NAMES = tuple(field.name for field in fields(Entry))
# What a cache whose bytes have rotted gives: pyarrow has no error of its own for it.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, pa.ArrowException, shapely.errors.ShapelyError)
_GEO = {
    "version": "1.1.0",
    "primary_column": "footprint",
    "columns": {"footprint": {"encoding": "WKB", "geometry_types": []}},
}


@dataclass(frozen=True, slots=True)
class Index:
    """What the table holds."""

    entries: tuple[Entry, ...]
    """Sorted by id."""
    sites: str
    """The hash of the sites that were assigned to them."""


def write_index(folder: Path, index: Index, made_of: str) -> None:
    """Write the table, whole or not at all; `made_of` is the hash of what its entries were read from."""
    entries = index.entries
    columns = {name: _column(entries, name) for name in _NAMES}
    table = pa.table(columns).replace_schema_metadata(
        {b"geo": json.dumps(_GEO).encode(), _KEY: _made_of(made_of), _SITES_KEY: index.sites.encode()}
    )
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd", write_page_checksum=True)
    write_whole(folder / INDEX, content.getvalue())


def read_index(folder: Path, made_of: str) -> Index | None:
    """The table, or None if there is none, it is damaged or it was made of something else."""
    try:
        with pq.ParquetFile(folder / INDEX, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            if metadata.get(_KEY) != _made_of(made_of):
                return None
            table = file.read()
        columns = [_values(table, name) for name in _NAMES]
        entries = tuple(Entry(*row) for row in zip(*columns, strict=True))
        return Index(entries, metadata[_SITES_KEY].decode())
    except _DAMAGED:
        return None


def drop_index(folder: Path) -> None:
    """Remove the table before what it was made of is changed."""
    (folder / INDEX).unlink(missing_ok=True)


def _made_of(made_of: str) -> bytes:
    return f"{_SCHEMA} {made_of}".encode()


def _column(entries: Sequence[Entry], name: str) -> Any:  # noqa: ANN401 (pyarrow publishes no types)
    values = [getattr(entry, name) for entry in entries]
    if name == "footprint":
        values = list(shapely.to_wkb(np.array(values, dtype=object)))
    return pa.array(values, _KINDS.get(name, pa.string()))


def _values(table: Any, name: str) -> list[Any]:  # noqa: ANN401
    """A column as Python values; Arrow's own way is several times slower for lists and times."""
    column = table.column(name).combine_chunks()
    if name == "footprint":
        return list(shapely.from_wkb(np.asarray(column.to_numpy(zero_copy_only=False))))
    if pa.types.is_list(column.type):
        values, ends = column.values.to_pylist(), column.offsets.to_pylist()
        there = column.is_valid().to_pylist()
        spans = zip(ends, ends[1:], there, strict=False)
        return [tuple(values[start:end]) if valid else None for start, end, valid in spans]
    if pa.types.is_timestamp(column.type):
        ticks = column.cast(pa.int64()).to_pylist()
        return [None if tick is None else _EPOCH + timedelta(microseconds=tick) for tick in ticks]
    return list(column.to_pylist())
