"""What a comparison leaves: changes.json, changes.gpkg, index.html and queue.geojson; all of them or none."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from pithead.changes import pairs
from pithead.changes.chips import Chip
from pithead.changes.difference import SCORE_STEP, Comparison
from pithead.changes.figures import FIGURES, OF_ALL
from pithead.changes.gate import Judged
from pithead.changes.ground import LONLAT
from pithead.changes.page import page
from pithead.changes.side import Side
from pithead.changes.words import rules
from pithead.results import all_or_nothing

SCHEMA = 1
CRS = "OGC:CRS84"
_SHAPES = ["geometry", "old_geometry"]


def write_changes(
    out: Path,
    comparison: Comparison,
    numbers: Mapping[str, Any],
    queue: gpd.GeoDataFrame,
    chips: Mapping[int, Chip],
    judged: Sequence[Judged] = (),
) -> None:
    """Write the four files into a folder; the same comparison gives the same bytes.

    Args:
        out: The folder.
        comparison: What was compared.
        numbers: Its `figures`.
        queue: Its `queue_of`.
        chips: Pictures of the queue by rank.
        judged: What was asked of the new weights.

    Raises:
        OptionError: The folder cannot be written to.
    """
    with all_or_nothing(out) as folder:
        _write_json(folder / "changes.json", account(comparison, numbers, judged))
        _write_geopackage(folder / "changes.gpkg", comparison, queue)
        _write_json(folder / "queue.geojson", queue_geojson(queue))
        (folder / "index.html").write_text(page(comparison, numbers, queue, chips, judged), encoding="utf-8")


def account(
    comparison: Comparison, numbers: Mapping[str, Any], judged: Sequence[Judged] = ()
) -> dict[str, Any]:
    """All that there is to say, for JSON: sides, rules, figures, scenes of one side, reviews, conditions."""
    changed = comparison.changed.drop(columns=_SHAPES)
    return {
        "schema": SCHEMA,
        "old": _side(comparison.old),
        "new": _side(comparison.new),
        "rules": {
            "told": rules(comparison),
            "same_iou": pairs.SAME_IOU,
            "least_overlap": pairs.LEAST,
            "near_m": pairs.NEAR_M,
            "shift_m": pairs.SHIFT_M,
            "buffer_m": pairs.BUFFER_M,
            "same_course": pairs.SAME_COURSE,
            "score_step": SCORE_STEP,
        },
        "figures": {**FIGURES, **OF_ALL},
        **numbers,
        "scenes": {
            "both": [_scene(comparison.new, sha) for sha in comparison.both],
            "only_old": [_scene(comparison.old, sha) for sha in comparison.only_old],
            "only_new": [_scene(comparison.new, sha) for sha in comparison.only_new],
        },
        "left_out": dict(comparison.left_out),
        "reviews": _records(comparison.reviews.drop(columns="geometry")),
        "reviews_elsewhere": comparison.unheard,
        "changes": _records(changed),
        "conditions": [{**asdict(one.requirement), "value": one.value, "met": one.met} for one in judged],
    }


def queue_geojson(queue: gpd.GeoDataFrame) -> dict[str, Any]:
    """The queue as a FeatureCollection in its order; a scene without georeference has no geometry there."""
    records = _records(pd.DataFrame(queue.drop(columns=_SHAPES)))
    placed = (queue["frame"] == LONLAT).tolist()
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": record["rank"],
                "geometry": json.loads(shapely.to_geojson(shape)) if on_map else None,
                "properties": record,
            }
            for record, shape, on_map in zip(records, queue["geometry"], placed, strict=True)
        ],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "weights_sha256": side.weights_sha256,
        "options_sha256": side.options_sha256,
        "options": dict(side.options),
        "classes": sorted(side.classes),
        "scenes": len(side.scenes),
        "since": side.since,
    }


def _scene(side: Side, sha: str) -> dict[str, Any]:
    scored = side.scenes[sha]
    return {"scene": scored.scene, "sha256": sha, "km2": scored.km2, "sites": list(scored.sites)}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: what is not there is null."""
    names = list(frame.columns)
    rows = frame.astype(object).to_numpy().tolist()
    return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _write_json(path: Path, told: Mapping[str, Any]) -> None:
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_geopackage(path: Path, comparison: Comparison, queue: gpd.GeoDataFrame) -> None:
    """Layers `boxes` and `perimeters`: what changed, each moved one as it was and as it is; and `reviews`.

    The column `side` says whose outline it is, `rank` the place in the queue.
    """
    changed = comparison.changed.copy()
    key = ["old_detection", "new_detection"]
    ranks = {
        tuple(map(str, names)): rank for names, rank in zip(queue[key].to_numpy(), queue["rank"], strict=True)
    }
    changed["rank"] = [ranks.get(tuple(map(str, names))) for names in changed[key].to_numpy()]
    changed["rank"] = changed["rank"].astype("Int64")
    now = changed.assign(side=np.where(changed["kind"] == "lost", "old", "new"))
    was = changed[changed["kind"] == "moved"].assign(side="old")
    was["geometry"] = was["old_geometry"]
    every = pd.concat([now, was], ignore_index=True)
    # The old one first: who rejects it and accepts the new one has said the latter last of that place.
    every = every.sort_values(["rank", "side"], ascending=[True, False], kind="stable")
    every = every[every["frame"] == LONLAT].drop(columns="old_geometry")
    solid = shapely.get_dimensions(np.asarray(every["geometry"], dtype=object)) == 2
    reviews = comparison.reviews[comparison.reviews["frame"] == LONLAT]
    layers = (
        ("boxes", every[solid], "Polygon"),
        ("perimeters", every[~solid], "LineString"),
        ("reviews", reviews, "Unknown"),
    )
    # The time that a GeoPackage carries is fixed, as in the layers of a scan.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    for number, (name, rows, kind) in enumerate(layers):
        frame = gpd.GeoDataFrame(rows.drop(columns="geometry"), geometry=list(rows["geometry"]), crs=CRS)
        more = {} if number else {"dataset_options": {"VERSION": "1.2"}}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*geometry_type.*")
            frame.to_file(path, layer=name, driver="GPKG", engine="pyogrio", geometry_type=kind, **more)
