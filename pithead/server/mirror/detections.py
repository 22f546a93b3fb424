"""Rows of detections on their way into the mirror, and what changes of them there."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final

import numpy as np
import pyarrow as pa
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.catalog import Entry, Site
from pithead.geometry import Floats
from pithead.rescore.whereabouts import site_of
from pithead.server.database import Database
from pithead.server.mirror.doubt import Doubt
from pithead.server.mirror.scenes import MOVED, Ground
from pithead.server.screen import shape_to_screen, to_world

MEASURES: Final = (
    "length_m", "width_m", "area_m2", "closed", "enclosed_area_m2", "spans", "centre_x_px", "centre_y_px",
    "centre_lon", "centre_lat", "cut", "site",
)  # fmt: skip
"""What is told of a detection and nothing is looked up by; `site` as the store has it."""

_AT_A_TIME: Final = 500
_INSERT: Final = """
    INSERT OR IGNORE INTO mirror_detections (id, run, scene, frame, class_now, score, uncertainty, site,
                                             west, south, east, north, world_x, world_y)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number"""
_SHAPES: Final = """
    SELECT d.number, d.id, d.scene, d.frame, d.score, s.class, s.measures, s.geometry
    FROM mirror_detections d JOIN mirror_shapes s ON s.number = d.number"""
_PLACED: Final = """
    SELECT d.id, d.scene, d.frame, s.geometry, c.gsd_x_m, c.gsd_y_m
    FROM mirror_detections d JOIN mirror_shapes s ON s.number = d.number
    JOIN mirror_scenes c ON c.id = d.scene WHERE d.number = ?"""
_UNHEARD: Final = """
    SELECT d.number
    FROM (SELECT detection, max(seq) AS seq FROM mirror_reviews GROUP BY detection) v
    JOIN mirror_detections d ON d.id = v.detection WHERE d.review IS NOT v.seq"""


@dataclass(frozen=True, slots=True)
class Rows:
    """The detections of a run, in lists of the same length."""

    scene: str
    frame: str
    ids: list[str]
    classes: list[str]
    scores: list[float]
    doubts: list[tuple[float, str]]
    sites: list[str | None]
    measures: list[str]
    shapes: list[bytes]
    boxes: Floats
    """(N, 4) west, south, east, north, as shown."""

    @classmethod
    def of(cls, table: pa.Table, entry: Entry, sites: Mapping[str, Site], doubt: Doubt) -> "Rows":
        """The rows of a run of a scene; one that stands there twice counts once."""
        columns = {name: table[name].to_pylist() for name in ("detection", "class", "score", *MEASURES)}
        wkb = table["geometry"].to_pylist()
        shapes = shapely.from_wkb(np.array(wkb, dtype=object))
        frame = "px" if entry.footprint is None else "lonlat"
        told = zip(*(columns[name] for name in MEASURES), strict=True)
        sited = zip(shapes, columns["site"], strict=True)
        return cls(
            scene=entry.id, frame=frame, ids=columns["detection"], classes=columns["class"],
            scores=columns["score"], doubts=_doubts(doubt, columns["class"], columns["score"]),
            sites=[_site(shape, entry, sites, was) for shape, was in sited],
            measures=[_json(values) for values in told],
            shapes=wkb, boxes=shown_boxes(shapes, entry.gsd_m if frame == "px" else None),
        )  # fmt: skip

    def put(self, connection: Connection, run: int) -> None:
        """Write them down as those of a run."""
        world = to_world((self.boxes[:, :2] + self.boxes[:, 2:]) / 2).tolist()
        for i, box in enumerate(self.boxes.tolist()):
            row = (
                self.ids[i], run, self.scene, self.frame, self.classes[i], self.scores[i], self.doubts[i][0],
                self.sites[i], *box, *world[i],
            )  # fmt: skip
            made = connection.execute(_INSERT, row).fetchone()
            if made is not None:  # what a run has twice counts once
                number = made["number"]
                shape = (number, self.classes[i], self.doubts[i][1], self.measures[i], self.shapes[i])
                connection.execute("INSERT INTO mirror_shapes VALUES (?, ?, ?, ?, ?)", shape)
                _put_box(connection, number, box)


def _put_box(connection: Connection, number: int, box: Sequence[float]) -> None:
    west, south, east, north = box
    connection.execute(
        "INSERT OR REPLACE INTO mirror_boxes VALUES (?, ?, ?, ?, ?)", (number, west, east, south, north)
    )


def shown_boxes(shapes: Iterable[BaseGeometry], px_m: tuple[float, float] | None) -> Floats:
    """West, south, east, north (N, 4) of shapes as shown; `px_m` is the size of pixels."""
    some = np.array(list(shapes), dtype=object)
    if px_m is not None:
        some = np.array([shape_to_screen(shape, px_m) for shape in some], dtype=object)
    boxes: Floats = shapely.bounds(some).reshape(-1, 4)
    return boxes


def place_again(database: Database, ground: Ground) -> None:
    """Put detections at the sites where they lie now, of scenes of which sites are new."""
    with database.reading() as connection:
        told = connection.execute("SELECT value FROM mirror_facts WHERE name = ?", (MOVED,)).fetchone()
    moved = [] if told is None else json.loads(told["value"])
    for entry in (ground.entries[sha] for sha in moved if sha in ground.entries):
        with database.writing() as connection:
            rows = connection.execute(f"{_SHAPES} WHERE d.scene = ?", (entry.id,)).fetchall()
            shapes = shapely.from_wkb(np.array([row["geometry"] for row in rows], dtype=object))
            was = (json.loads(row["measures"])["site"] for row in rows)
            now = [
                _site(shape, entry, ground.sites, before) for shape, before in zip(shapes, was, strict=True)
            ]
            numbers = (row["number"] for row in rows)
            connection.executemany(
                "UPDATE mirror_detections SET site = ? WHERE number = ?", zip(now, numbers, strict=True)
            )
    if moved:
        with database.writing() as connection:
            connection.execute("DELETE FROM mirror_facts WHERE name = ?", (MOVED,))


def doubt_again(database: Database) -> None:
    """Work out anew how unsure weights are of their detections, of weights of which more is known now."""
    with database.reading() as connection:
        known = connection.execute(
            "SELECT * FROM mirror_weights WHERE applied IS NOT thresholds || coalesce(calibration, '')"
        ).fetchall()
    for weights in known:
        with database.writing() as connection:
            rows = connection.execute(
                f"{_SHAPES} JOIN mirror_runs r ON r.number = d.run WHERE r.weights_sha256 = ?",
                (weights["sha256"],),
            ).fetchall()
            classes, scores = [row["class"] for row in rows], [row["score"] for row in rows]
            found = _doubts(Doubt.of_row(weights), classes, scores)
            numbers = [row["number"] for row in rows]
            connection.executemany(
                "UPDATE mirror_detections SET uncertainty = ? WHERE number = ?",
                [(value, number) for (value, _), number in zip(found, numbers, strict=True)],
            )
            connection.executemany(
                "UPDATE mirror_shapes SET uncertainty_by = ? WHERE number = ?",
                [(by, number) for (_, by), number in zip(found, numbers, strict=True)],
            )
            connection.execute(
                "UPDATE mirror_weights SET applied = thresholds || coalesce(calibration, '') "
                "WHERE sha256 = ?",
                (weights["sha256"],),
            )


def hear(database: Database) -> None:
    """Let what was said last of detections count for them: decision, class, and where they are shown."""
    with database.reading() as connection:
        unheard = [row["number"] for row in connection.execute(_UNHEARD)]
    for start in range(0, len(unheard), _AT_A_TIME):
        with database.writing() as connection:
            for number in unheard[start : start + _AT_A_TIME]:
                _hear(connection, number)


def _hear(connection: Connection, number: int) -> None:
    row = connection.execute(_PLACED, (number,)).fetchone()
    if row is None:
        return  # gone meanwhile
    said = connection.execute(
        "SELECT * FROM mirror_reviews WHERE detection = ? ORDER BY seq DESC LIMIT 1", (row["id"],)
    ).fetchone()
    shape = shapely.from_wkb(said["geometry"] if said["decision"] == "redraw" else row["geometry"])
    box = shown_boxes([shape], (row["gsd_x_m"], row["gsd_y_m"]) if row["frame"] == "px" else None)[0]
    world = to_world((box[:2] + box[2:]) / 2).tolist()
    name = said["new_class"] or said["class"]
    connection.execute(
        "UPDATE mirror_detections SET decision = ?, review = ?, class_now = ?, west = ?, south = ?, "
        "east = ?, north = ?, world_x = ?, world_y = ? WHERE number = ?",
        (said["decision"], said["seq"], name, *box.tolist(), *world, number),
    )
    _put_box(connection, number, box.tolist())


def _doubts(doubt: Doubt, classes: list[str], scores: list[float]) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = [(0.0, "")] * len(classes)
    for name in sorted(set(classes)):
        mine = [i for i, one in enumerate(classes) if one == name]
        values, by = doubt.of(name, [scores[i] for i in mine])
        for i, value in zip(mine, values.tolist(), strict=True):
            found[i] = value, by
    return found


def _site(shape: BaseGeometry, entry: Entry, sites: Mapping[str, Site], was: str | None) -> str | None:
    """The site that a detection is at now."""
    if not entry.sites:
        return was
    if entry.footprint is None:  # pixels lie in no polygon
        return entry.sites[0] if len(entry.sites) == 1 else None
    return site_of(shape, entry, sites)


def _json(values: tuple[Any, ...]) -> str:
    """Measures by name; JSON knows no number that is none."""
    known = (None if isinstance(one, float) and not math.isfinite(one) else one for one in values)
    return json.dumps(dict(zip(MEASURES, known, strict=True)))
