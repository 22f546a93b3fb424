"""The views of a site out of an archive: scenes, run records, detections as people have reviewed them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.catalog import Entry, Site
from pithead.rescore import Archive
from pithead.review import Review, reviews
from pithead.sites.frame import Frame
from pithead.sites.ground import solid
from pithead.sites.kinds import FENCE
from pithead.sites.notes import Note
from pithead.sites.view import Sighting, View
from pithead.store import RunRecord

MARGIN_M = 60.0
"""How far beyond the polygon of a site detections are read: shifts may have moved them out of it."""


@dataclass(frozen=True, slots=True)
class Read:
    """What an archive has of a site."""

    frame: Frame | None
    polygon: BaseGeometry | None
    """Of the site, in the frame: as given, else all that scenes show."""
    views: tuple[View, ...]
    entries: tuple[Entry, ...]
    """The scene of each view."""
    notes: tuple[Note, ...] = field(default=())


def read_site(archive: Archive, site: Site, runs: Iterable[RunRecord], calibrated: frozenset[str]) -> Read:
    """The views of a site by date, one for each of its scenes that was scored.

    Args:
        archive: The archive.
        site: The site.
        runs: The records of one weights with one set of options.
        calibrated: The classes whose scores are probabilities.

    Raises:
        StoreError: The store is damaged.
        EvidenceError: The log is damaged.
    """
    every = [entry for entry in archive.catalog.scenes() if site.name in entry.sites]
    records = {one.scene_sha256: one for one in runs}
    usable, notes = _usable(every, records)
    shapes = [entry.footprint for entry in every if entry.footprint is not None]
    if site.polygon is None and not shapes:
        return Read(None, None, (), (), (*notes, Note("nowhere")))
    frame = Frame.round(*([site.polygon] if site.polygon is not None else shapes))
    polygon = None if site.polygon is None else solid(frame.in_metres(site.polygon))
    if polygon is None:
        notes.append(Note("no_polygon"))
    said = reviews(archive.log)
    names = [records[entry.sha256].scene for entry in usable]
    weights = {records[entry.sha256].weights_sha256 for entry in usable}
    every_row = archive.store.detections(weights.pop(), scenes=names) if weights else None
    views = tuple(
        _view(every_row, entry, records[entry.sha256], frame, polygon, said, calibrated)
        for entry in usable
        if every_row is not None
    )
    ground = polygon if polygon is not None else shapely.union_all([view.looked for view in views])
    return Read(frame, ground, views, tuple(usable), tuple(notes))


def _usable(every: Iterable[Entry], records: Mapping[str, RunRecord]) -> tuple[list[Entry], list[Note]]:
    """The scenes that can be told of, by date, and why others cannot."""
    usable: list[Entry] = []
    notes: list[Note] = []
    for entry in every:
        if entry.acquired is None:
            notes.append(Note("no_date", {"scene": entry.id}))
        elif entry.footprint is None:
            notes.append(Note("no_place", {"scene": entry.id}))
        elif entry.sha256 not in records:
            notes.append(Note("not_scored", {"scene": entry.id}))
        else:
            usable.append(entry)
    return sorted(usable, key=lambda entry: (entry.acquired, entry.id)), notes


def _view(
    every_row: gpd.GeoDataFrame,
    entry: Entry,
    record: RunRecord,
    frame: Frame,
    polygon: BaseGeometry | None,
    said: Mapping[str, Review],
    calibrated: frozenset[str],
) -> View:
    rows = every_row[every_row["scene_sha256"] == entry.sha256]
    mine = (rows["options_sha256"] == record.options_sha256) & (rows["frame"] == "lonlat")
    found, rejected = sightings_of(rows[mine], frame, said, calibrated)
    looked = solid(frame.in_metres(entry.footprint)) if entry.footprint is not None else shapely.Polygon()
    if polygon is not None:
        looked = solid(looked.intersection(polygon))
        wide = polygon.buffer(MARGIN_M)
        found = tuple(one for one in found if one.shape.intersects(wide))
        rejected = tuple(one for one in rejected if one.shape.intersects(wide))
    if entry.acquired is None:
        raise TypeError  # `_usable` has left these out
    return View(
        scene=entry.id,
        scene_sha256=entry.sha256,
        acquired=entry.acquired,
        sensor=entry.sensor,
        gsd_m=max(entry.gsd_m),
        off_nadir_deg=entry.off_nadir_deg if entry.off_nadir_deg is not None else entry.incidence_deg,
        weights_sha256=record.weights_sha256,
        looked=looked,
        sightings=found,
        rejected=rejected,
        options_sha256=record.options_sha256,
    )


def sightings_of(
    rows: gpd.GeoDataFrame,
    frame: Frame,
    said: Mapping[str, Review],
    calibrated: frozenset[str] = frozenset(),
) -> tuple[tuple[Sighting, ...], tuple[Sighting, ...]]:
    """Rows of a store (longitude and latitude) as sightings, and those that a person has rejected.

    The last review of a detection counts: what was relabelled is of its new class, what was redrawn lies
    where it was drawn, with sizes measured anew in the frame.

    Args:
        rows: Rows of schema 2.
        frame: The frame of the site.
        said: The last review of each detection, by its id.
        calibrated: The classes whose scores are probabilities.
    """
    found, rejected = [], []
    shapes = shapely.transform(np.asarray(rows.geometry.array, dtype=object), frame.points_in_metres)
    for row, shape in zip(rows.to_dict("records"), shapes, strict=True):
        review = said.get(str(row["detection"]))
        one = _sighting(row, shape, review, frame, calibrated)
        if review is not None and not review.stands:
            rejected.append(one)
            continue
        found.append(one)
    return tuple(found), tuple(rejected)


def _sighting(
    row: Mapping[str, Any],
    shape: BaseGeometry,
    review: Review | None,
    frame: Frame,
    calibrated: frozenset[str],
) -> Sighting:
    cls = str(row["class"]) if review is None else review.settled_class
    redrawn = review is not None and review.decision == "redraw" and review.frame == "lonlat"
    if review is not None and redrawn:
        shape = frame.in_metres(review.geometry)
    if cls == FENCE and isinstance(shape, shapely.Polygon):
        shape = shapely.LineString(shapely.get_coordinates(shape.exterior))
    elif not shapely.is_valid(shape) and not (mended := solid(shape)).is_empty:
        shape = mended
    box = _box_sizes(row, shape, measured=redrawn) if "Polygon" in shape.geom_type else None
    closed, ground = _ring(shape) if box is None else (False, None)
    # A line keeps what was measured on the ellipsoid, unless a person drew it.
    stated = None if redrawn or box is not None else _number(row["enclosed_area_m2"])
    long = None if redrawn else _number(row["length_m"])
    return Sighting(
        detection=str(row["detection"]),
        cls=cls,
        score=float(row["score"]),
        p=float(row["score"]) if row["class"] in calibrated and cls != FENCE else None,
        shape=shape,
        area_m2=None if box is None else box[2],
        length_m=box[0] if box is not None else (shape.length if long is None else long),
        width_m=None if box is None else box[1],
        closed=closed,
        enclosed_m2=stated if stated is not None and closed else ground,
        cut=bool(row["cut"]),
        decision=None if review is None else review.decision,
        reviewer=None if review is None else review.reviewer,
    )


def _box_sizes(row: Mapping[str, Any], shape: BaseGeometry, *, measured: bool) -> tuple[float, float, float]:
    """Length, width and area of a box: as the store has them, or of a shape that a person drew."""
    stated = [_number(row[name]) for name in ("length_m", "width_m", "area_m2")]
    if not measured and all(value is not None for value in stated):
        length, width, area = (float(value or 0.0) for value in stated)
        return length, width, area
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))
    sides = sorted(np.hypot(*np.diff(corners[:3], axis=0).T).tolist())
    return float(sides[1]), float(sides[0]), float(shape.area)


def _ring(line: BaseGeometry) -> tuple[bool, float | None]:
    """Whether a line comes back to its start, and what it then encloses."""
    points = shapely.get_coordinates(line)
    if len(points) < 4 or not np.allclose(points[0], points[-1], atol=0.01):
        return False, None
    return True, float(solid(shapely.Polygon(points)).area)


def _number(value: object) -> float | None:
    known = isinstance(value, int | float) and value == value  # noqa: PLR0124 (NaN)
    return float(value) if known else None  # type: ignore[arg-type]
