"""What was found leaves the archive: detections, the scenes that were looked at, and the log behind them."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from pithead.catalog import Entry
from pithead.errors import OptionError
from pithead.evidence import SIGNED, Record, extract
from pithead.files import sha256_of, write_whole
from pithead.rescore.archive import Archive
from pithead.rescore.choice import Choice, chosen, name_of
from pithead.rescore.upkeep import sign_head
from pithead.rescore.whereabouts import Whereabouts, site_of
from pithead.review import GIVEN, Review
from pithead.store import RunRecord
from pithead.store import export as write_export

CHAIN = ".chain.jsonl"
SCENES = ".scenes.csv"
_OF_A_SCENE = frozenset(
    {
        "scene.added", "scene.amended", "scene.moved", "scene.restored", "scene.changed",
        "run.finished", "run.failed",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds."""

    detections: int
    left_out: int
    """Detections in scenes without georeference, which no map can show."""
    scenes: int


def export(
    archive: Archive,
    path: Path,
    choice: Choice,
    wanted: tuple[str, str] | None = None,
    *,
    every: bool = False,
    key: Path | None = None,
) -> Exported:
    """Write detections, the scenes in which they were looked for, and their part of the log.

    Maps leave out what lies in scenes without georeference. A scene in which nothing was found is among the
    scenes: it was looked at.

    Args:
        archive: The archive.
        path: NAME.gpkg, NAME.geojson or NAME.csv; with ".scenes.csv" and ".chain.jsonl" behind it the rest.
        choice: Which scenes; of a site only what lies in it, and of an area what meets it.
        wanted: The sha256 of weights and options; without it those of all results, if these are of one kind.
        every: Whether results of several weights and options may stand side by side.
        key: Sign the head of the log with this, after the export's own record.

    Raises:
        OptionError: No scene of the choice was scored, or results are of several kinds, without `every`.
        StoreError: The ending is another, or it cannot be written.
    """
    entries = {entry.sha256: entry for entry in chosen(archive.catalog, choice)}
    records = [record for record in archive.store.records() if record.scene_sha256 in entries]
    if wanted is not None:
        records = [one for one in records if (one.weights_sha256, one.options_sha256) == wanted]
    _check_one_kind(records, every=every)
    site = None if choice.site is None else name_of(archive.catalog, choice.site)
    where = Whereabouts.of(archive.catalog)
    rows = _rows(archive, records, where, choice, site)
    left_out = write_export(rows, path)
    written = len(rows) - left_out
    named = _named(archive, rows, choice, site)
    whole = site is None and choice.area is None
    lines = [_line(one, entries[one.scene_sha256], named, whole=whole) for one in records]
    _write_scenes(_beside(path, SCENES), lines)
    facts = {
        "sha256": sha256_of(path),
        "scenes_sha256": sha256_of(_beside(path, SCENES)),
        "rows": written,
        "scenes": sorted({record.scene for record in records}),
    }
    archive.log.append("export.made", facts)
    if key is not None:
        sign_head(archive, key)
    said = _said_there(where, set(rows["detection"]), choice, site)
    chain = extract(archive.log, _of_an_export(records, str(facts["sha256"]), said))
    write_whole(_beside(path, CHAIN), b"".join(chain))
    return Exported(written, left_out, len(records))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _check_one_kind(records: list[RunRecord], *, every: bool) -> None:
    kinds = sorted({(one.weights, one.weights_sha256[:12], one.options_sha256[:8]) for one in records})
    if not kinds:
        raise OptionError("expected scenes that were scored, got none of this choice: score them first")
    if len(kinds) > 1 and not every:
        told = ", ".join(f"{name} {weights} with options {options}" for name, weights, options in kinds)
        raise OptionError(
            f"expected results of one weights with one set of options, got those of {told}: every object "
            "would be there several times; choose with --weights and its options, or take all with --every"
        )


def _rows(
    archive: Archive, records: list[RunRecord], where: Whereabouts, choice: Choice, site: str | None
) -> gpd.GeoDataFrame:
    """The rows of these runs that lie where they were asked for, each with the site that it is at now."""
    weights = {record.weights_sha256 for record in records}
    only = weights.pop() if len(weights) == 1 else None
    rows = archive.store.detections(only, scenes={record.scene for record in records})
    kinds = {(one.scene_sha256, one.weights_sha256, one.options_sha256) for one in records}
    keys = zip(rows["scene_sha256"], rows["weights_sha256"], rows["options_sha256"], strict=True)
    rows = rows[np.array([key in kinds for key in keys], np.bool_)]
    if choice.area is not None:
        inside = shapely.intersects(choice.area.lonlat, rows.geometry.to_numpy())
        rows = rows[inside & (rows["frame"] == "lonlat").to_numpy()]
    rows = where.placed(rows)
    return (rows if site is None else rows[rows["site"] == site]).reset_index(drop=True)


def _named(archive: Archive, rows: gpd.GeoDataFrame, choice: Choice, site: str | None) -> set[str]:
    """The sites that may be named: the one that was asked for, or those that an area meets, or all."""
    every = archive.catalog.sites()
    if site is not None or choice.area is None:
        return {one.name for one in every if site in {None, one.name}}
    area = choice.area.lonlat
    met = {one.name for one in every if one.polygon is not None and shapely.intersects(area, one.polygon)}
    return met | {name for name in rows["site"] if isinstance(name, str)}


def _said_there(
    where: Whereabouts, rows: set[str], choice: Choice, site: str | None
) -> Callable[[Record], bool]:
    """Which reviews of scenes go out: of these rows, and of what other weights gave where it was asked for.

    What people said of other camps that the same scenes show is not theirs to know.
    """

    def goes(record: Record) -> bool:
        review = Review.of(record)
        if review.detection in rows:
            return True
        shape, area = review.geometry, choice.area
        if area is not None and (review.frame != "lonlat" or not shapely.intersects(area.lonlat, shape)):
            return False
        return site is None or site_of(shape, where.entries[review.scene_sha256], where.sites) == site

    return goes


def _write_scenes(path: Path, lines: Sequence[dict[str, object]]) -> None:
    """A line for every scene that was looked at, also where nothing was found."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_whole(path, text.getvalue())


def _line(record: RunRecord, entry: Entry, named: set[str], *, whole: bool) -> dict[str, object]:
    """What is said of a scene; of sites that it shows too and that were not asked for nothing."""
    tiles = record.tiles
    return {
        "scene": record.scene,
        "scene_sha256": record.scene_sha256,
        "acquired": "" if entry.acquired is None else entry.acquired.isoformat(),
        "sensor": entry.sensor or "",
        "gsd_m": round(max(entry.gsd_m), 4),
        "off_nadir_deg": "" if entry.off_nadir_deg is None else entry.off_nadir_deg,
        "sites": "; ".join(name for name in entry.sites if name in named),
        "weights": record.weights,
        "weights_sha256": record.weights_sha256,
        "options_sha256": record.options_sha256,
        "looked_at_km2": record.valid_km2,
        "tiles": tiles["all"],
        "tiles_run": tiles["run"],
        "found_in_scene": sum(record.counts.values()) if whole else "",
        "result_sha256": record.result_sha256,
        "footprint": "" if entry.footprint is None else shapely.to_wkt(entry.footprint, rounding_precision=6),
    }


def _of_an_export(
    records: list[RunRecord], sha256: str, said: Callable[[Record], bool]
) -> Callable[[Record], bool]:
    """Which records go out whole: of these scenes and weights, reviews, signatures, and the export's own."""
    names = {record.scene for record in records}
    scenes = {record.scene_sha256 for record in records}
    weights = {record.weights_sha256 for record in records}

    def goes(record: Record) -> bool:
        facts = record.facts or {}
        of_scene = facts.get("scene") in names or facts.get("scene_sha256") in scenes
        if record.kind in _OF_A_SCENE:
            return of_scene
        if record.kind == GIVEN:
            return of_scene and said(record)
        if record.kind == "weights.registered":
            return facts.get("weights_sha256") in weights
        return record.kind == SIGNED or (record.kind == "export.made" and facts.get("sha256") == sha256)

    return goes
