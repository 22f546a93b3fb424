"""An archive whose detections are known: small scenes, and runs that found what a test says they found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry
from starlette.testclient import TestClient

from pithead.card import Card, CardClass
from pithead.catalog import Entry
from pithead.imagery import open_scene
from pithead.rescore import Archive
from pithead.rescore.drive import run_facts
from pithead.rescore.whereabouts import site_of
from pithead.server.settings import Settings
from pithead.sidefiles import Facts
from pithead.store import RunRecord, options_sha256
from pithead.store.rows import COLUMNS, finished_rows, placed

SERVED, OTHER = "5e" * 32, "07" * 32
GSD_M = 0.5
EAST, NORTH = 500_000.0, 4_400_000.0
CARD = Card(
    "constant",
    (
        CardClass("mine_head", "box", "#e6194b", 0.25),
        CardClass("coal_heap", "box", "#ffe119", 0.25),
        CardClass("guard_perimeter", "line", "#f58231", 0.25),
        CardClass("rail_loading", "strip", "#42d4f4", 0.25),
    ),
    tile_px=256,
    gsd_m=0.6,
    licence="AGPL-3.0-or-later",
)
"""Of the weights that are served."""
SIDE = 400
"""Pixels of a scene across; it is 300 high."""


@dataclass(frozen=True, slots=True)
class Found:
    """A detection in pixels of its scene: a box from corner to corner, or a line."""

    class_name: str
    score: float
    at: tuple[float, ...] = (100, 100, 160, 130)
    line: bool = False

    @property
    def shape(self) -> BaseGeometry:
        if self.line:
            return shapely.LineString(np.array(self.at).reshape(-1, 2))
        return shapely.box(*self.at)


def write_scene(path: Path, value: int = 128, *, east: float = EAST, north: float = NORTH) -> Path:
    """A grey scene of 200 × 150 m in UTM zone 52 N."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=300, count=3, dtype="uint8", crs=CRS.from_epsg(32652),
        transform=Affine(GSD_M, 0, east, 0, -GSD_M, north),
    ) as out:  # fmt: skip
        out.write(np.full((3, 300, SIDE), value, np.uint8))
    return path


def write_flat(path: Path, value: int = 128) -> Path:
    """The same without georeference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, 300), (value,) * 3).save(path)
    return path


def add(archive: Archive, path: Path, site: str | None = None, date: str | None = None) -> Entry:
    taken = None if date is None else datetime.fromisoformat(date).replace(tzinfo=UTC)
    flat = path.suffix == ".png"
    (entry,) = archive.catalog.add([path], site, Facts(acquired=taken, gsd_m=GSD_M if flat else None))
    return entry


def put(
    archive: Archive,
    entry: Entry,
    found: Sequence[Found],
    *,
    weights: str = SERVED,
    started: str = "2026-01-01T00:00:00.000+00:00",
    options: dict[str, Any] | None = None,
    logged: bool = True,
) -> RunRecord:
    """Keep a run of a scene that found this, and log it."""
    told = options or {"overlap_px": 128, "stretch": None}
    rows = rows_for(entry, found, weights, options_sha256(told), archive)
    counts = dict.fromkeys(("mine_head", "coal_heap", "guard_perimeter", "rail_loading"), 0)
    for one in found:
        counts[one.class_name] += 1
    record = RunRecord(
        scene=entry.id, scene_sha256=entry.sha256, weights_sha256=weights,
        weights="constant" if weights == SERVED else "other", options_sha256=options_sha256(told),
        options=told, site=entry.sites[0] if entry.sites else None, sites=entry.sites, version="0",
        host="here",
        started=started, seconds=1.0, tiles={"all": 1, "run": 1, "empty": 0, "plain": 0, "outside": 0},
        valid_km2=entry.km2, counts=counts,
    )  # fmt: skip
    kept = archive.store.put(record, rows)
    if logged:
        archive.log.append("run.finished", run_facts(kept))
    return kept


def rows_for(
    entry: Entry, found: Sequence[Found], weights: str, options: str, archive: Archive
) -> gpd.GeoDataFrame:
    sites = {site.name: site for site in archive.catalog.sites()}
    with open_scene(entry.href, gsd_m=entry.gsd_m[0]) as scene:
        shapes = [placed(one.shape, scene) for one in found]
        table = (
            pd.DataFrame(index=range(len(found)), columns=list(COLUMNS))
            .drop(columns="geometry")
            .astype(object)
        )
        for i, one in enumerate(found):
            middle = np.array(shapely.box(*one.shape.bounds).centroid.coords[0])
            lon, lat = (np.nan, np.nan) if scene.crs is None else scene.to_lonlat(middle).tolist()
            width, height = (
                one.shape.bounds[2] - one.shape.bounds[0],
                one.shape.bounds[3] - one.shape.bounds[1],
            )
            facts = {
                "class": one.class_name, "score": one.score, "length_m": max(width, height) * GSD_M,
                "width_m": None if one.line else min(width, height) * GSD_M,
                "area_m2": None if one.line else width * height * GSD_M**2,
                "closed": False if one.line else None, "spans": 3 if one.line else None,
                "centre_x_px": middle[0], "centre_y_px": middle[1], "centre_lon": lon, "centre_lat": lat,
                "cut": False, "tiles": "0", "scene": entry.id, "scene_sha256": entry.sha256,
                "weights_sha256": weights, "options_sha256": options, "acquired": entry.acquired,
                "site": site_of(shapes[i], entry, sites), "frame": "px" if scene.crs is None else "lonlat",
            }  # fmt: skip
            for name, value in facts.items():
                table.loc[i, name] = value
    table = table.where(table.notna(), None)
    return finished_rows(table, shapes)


def client_of(folder: Path, *, basemap: Path | None = None) -> TestClient:
    """The server of an archive, whose model is never asked."""
    from pithead.server.app import create_app

    async def infer(tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        raise AssertionError(tiles)

    settings = Settings(archive=folder, weights=folder / "none.onnx", basemap=basemap)
    app = create_app(settings, infer, card=CARD, weights_sha256=SERVED)
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))
