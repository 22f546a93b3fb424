"""Results of inference/scan.py (NAME.parquet and NAME.run.json, schema 1) taken into a store (schema 2)."""

import io
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from pithead.errors import StoreError
from pithead.results import RECORD
from pithead.store.record import RunRecord, options_sha256
from pithead.store.rows import COLUMNS, finished_rows, rounded
from pithead.store.store import Store
from pithead.vectors import DEGREE_DECIMALS, PIXEL_DECIMALS


def take_scans(store: Store, folder: str | Path, site: str | None = None) -> tuple[RunRecord, ...]:
    """Take in every result of inference/scan.py that lies in a folder; one taken twice is there once.

    All are read before any is put.

    Args:
        store: Where they go.
        folder: What was scan.py's --out.
        site: The site that they show.

    Raises:
        StoreError: There is none, or one is changed, incomplete, or of a scene whose sha256 is not known.
    """
    found = sorted(Path(folder).glob(f"*{RECORD}"))
    if not found:
        raise StoreError(f"expected results of inference/scan.py (*{RECORD}) in {folder}, got none")
    read = [_read(path, site) for path in found]
    return tuple(store.put(record, rows) for record, rows in read)


def _read(path: Path, site: str | None) -> tuple[RunRecord, gpd.GeoDataFrame]:
    """The record and the rows of one result.

    Raises:
        StoreError: It cannot be relied on.
    """
    name = path.name.removesuffix(RECORD)
    file = path.with_name(f"{name}.parquet")
    try:
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
        content = file.read_bytes()
        if sha256(content).hexdigest() != facts["results"][file.name]:
            raise StoreError(f"expected {file} as its record has it, got another one: scan the scene again")
        if facts["scene"]["sha256"] is None:
            raise StoreError(
                f"expected the sha256 of the scene of {path}, got none: it was read over a network; fetch it "
                "and scan it again"
            )
        rows = _rows(name, facts, gpd.read_parquet(io.BytesIO(content)), site)
        return _record(name, facts, site), rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"expected a result of inference/scan.py at {path}, got a damaged one ({error!r})"
        ) from error


def _rows(name: str, facts: dict[str, Any], old: gpd.GeoDataFrame, site: str | None) -> gpd.GeoDataFrame:
    decimals = PIXEL_DECIMALS if old.crs is None else DEGREE_DECIMALS
    table = pd.DataFrame(old.drop(columns="geometry")).reindex(columns=list(COLUMNS)).astype(object)
    acquired = facts["scene"]["acquired"]
    taken = None if acquired is None else datetime.fromisoformat(acquired).astimezone(UTC)
    fixed = {
        "scene": _id(name, facts),
        "scene_sha256": facts["scene"]["sha256"],
        "weights_sha256": facts["weights"]["sha256"],
        "options_sha256": options_sha256(_options(facts)),
        "site": site,
        "acquired": taken,
        "frame": "px" if old.crs is None else "lonlat",
    }
    for column, value in fixed.items():
        table[column] = pd.Series([value] * len(table), dtype=object, index=table.index)
    return finished_rows(
        table, [rounded(shape, decimals) for shape in shapely.from_wkb(old.geometry.to_wkb())]
    )


def _record(name: str, facts: dict[str, Any], site: str | None) -> RunRecord:
    classes = facts["counts"]["classes"]
    options = _options(facts)
    return RunRecord(
        scene=_id(name, facts),
        scene_sha256=facts["scene"]["sha256"],
        weights_sha256=facts["weights"]["sha256"],
        weights=facts["weights"]["name"],
        options_sha256=options_sha256(options),
        options=options,
        site=site,
        sites=() if site is None else (site,),
        version=facts["versions"]["pithead"],
        host="",
        started=facts["times"]["started"],
        seconds=facts["times"]["scan_s"],
        tiles=facts["counts"]["tiles"],
        valid_km2=facts["counts"].get("valid_km2", 0.0),
        counts=classes,
    )


def _id(name: str, facts: dict[str, Any]) -> str:
    return f"{name}-{facts['scene']['sha256'][:12]}"


def _options(facts: dict[str, Any]) -> dict[str, Any]:
    """What was asked for; the area of interest by its hash, since its file may be another by now."""
    return dict(facts["options"]) | {"aoi_sha256": facts["aoi_sha256"]}
