"""Scenes of the archive."""

import json
from sqlite3 import Connection, Row
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pithead.server.desk import Desk
from pithead.server.filters import Box, Moment, Name, Where, box_of, site_called, spans_of, taken_in
from pithead.server.keys import Caller, role
from pithead.server.lookup import looking, scene_row
from pithead.server.paging import cursor_of, page_of, values_of

router = APIRouter(tags=["scenes"])
Reader = Annotated[Caller, Depends(role("submit"))]
SceneId = Annotated[str, Path(max_length=300, examples=["camp15_2019-03-12-0f343b093112"])]
_ORDER = "date"
_SCENE: JsonDict = {
    "id": "camp15_2019-03-12-0f343b093112",
    "acquired": "2019-03-12T02:14:05+00:00",
    "sensor": "WV02",
    "gsd_m": 0.5,
    "width": 12000,
    "height": 9000,
    "km2": 27.0,
    "frame": "lonlat",
    "bounds": [126.9, 38.9, 126.97, 38.94],
    "sites": ["Camp 15"],
    "scored": True,
    "detections": 31,
}
_FACTS: JsonDict = {
    "sha256": "0f343b093112" + "5e" * 26,
    "identity": "bytes",
    "crs": "EPSG:32652",
    "level": "ortho",
    "off_nadir_deg": 18.2,
    "incidence_deg": 20.1,
    "sun_azimuth_deg": 152.0,
    "sun_elevation_deg": 44.5,
    "cloud_percent": 2.0,
    "footprint": {
        "type": "Polygon",
        "coordinates": [[[126.9, 38.9], [126.97, 38.9], [126.97, 38.94], [126.9, 38.94], [126.9, 38.9]]],
    },
    "changed": False,
    "runs": [
        {
            "weights": "starter",
            "weights_sha256": "5f" * 32,
            "options": {"overlap_px": 128, "stretch": None},
            "options_sha256": "a7" * 32,
            "started": "2026-03-02T09:12:45.000+00:00",
            "version": "0.1.0",
            "detections": 31,
            "looked_at_km2": 27.0,
            "shown": True,
        }
    ],
}


class Scene(BaseModel):
    """A scene; one without georeference lies at 0, 0 for display, and its frame is px."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SCENE]})

    id: str
    acquired: str | None
    sensor: str | None
    gsd_m: float = Field(description="Metres per pixel, the larger of x and y.")
    width: int
    height: int
    km2: float
    frame: Literal["lonlat", "px"]
    bounds: tuple[float, float, float, float] = Field(
        description="West, south, east, north; west is east of east across the antimeridian."
    )
    sites: list[str]
    scored: bool = Field(description="Whether a run of it is finished; one that found nothing counts.")
    detections: int = Field(description="Of the run that is shown.")


class Scenes(BaseModel):
    """A page of scenes, the newest first."""

    scenes: list[Scene]
    next: str | None = Field(description="The cursor of the next page; null on the last.")
    matched: int


class Run(BaseModel):
    """That a scene was scored."""

    weights: str
    weights_sha256: str
    options: dict[str, Any]
    options_sha256: str
    started: str
    version: str
    detections: int
    looked_at_km2: float
    shown: bool = Field(description="Whether its detections are told unless others are asked for.")


class SceneFacts(Scene):
    """All that is known of a scene."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SCENE | _FACTS]})

    sha256: str
    identity: Literal["bytes", "stated", "fingerprint"]
    crs: str | None
    level: str | None
    off_nadir_deg: float | None
    incidence_deg: float | None
    sun_azimuth_deg: float | None
    sun_elevation_deg: float | None
    cloud_percent: float | None
    footprint: dict[str, Any] | None
    changed: bool = Field(description="Whether its file was found to hold other bytes since.")
    runs: list[Run] = Field(description="The newest first.")


class Asked(BaseModel):
    """Which scenes are meant."""

    model_config = ConfigDict(extra="forbid")

    site: Annotated[Name | None, Field(description="A site: its id, name or alias.")] = None
    bbox: Box | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Annotated[Moment | None, Field(description="A date means its whole day.")] = None
    limit: Annotated[int | None, Field(ge=1, le=10_000)] = None
    cursor: Annotated[str | None, Field(max_length=2000)] = None


_SELECT = """
SELECT c.*, coalesce(c.acquired, '') AS at, r.number AS run,
       (SELECT count(*) FROM mirror_detections d WHERE d.run = r.number) AS detections
FROM mirror_scenes c LEFT JOIN mirror_runs r ON r.scene = c.id AND r.shown = 1"""


@router.get("/v1/scenes")
def scenes(request: Request, who: Reader, asked: Annotated[Asked, Query()]) -> Scenes:  # noqa: ARG001
    """List scenes, the newest first, those of no date last."""
    desk: Desk = request.app.state.desk
    limit = page_of(asked.limit, desk.settings.limits.page)
    with looking(request) as connection:
        where = _where(asked, connection)
        (matched,) = connection.execute(
            f"SELECT count(*) FROM mirror_scenes c WHERE {where}",  # noqa: S608 (conditions of ours)
            where.values,
        ).fetchone()
        if asked.cursor is not None:
            at, name = values_of(asked.cursor, _ORDER, (str, str))
            where = where.also("(coalesce(c.acquired, ''), c.id) < (?, ?)", at, name)
        rows = connection.execute(
            f"{_SELECT} WHERE {where} ORDER BY at DESC, c.id DESC LIMIT ?", (*where.values, limit + 1)
        ).fetchall()
    more = cursor_of(_ORDER, rows[limit - 1]["at"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return Scenes(scenes=[Scene(**_told(row)) for row in rows[:limit]], next=more, matched=matched)


@router.get("/v1/scenes/{scene}")
def scene(request: Request, who: Reader, scene: SceneId) -> SceneFacts:  # noqa: ARG001
    """Tell all that is known of a scene."""
    with looking(request) as connection:
        scene_row(connection, scene)
        row = connection.execute(f"{_SELECT} WHERE c.id = ?", (scene,)).fetchone()
        runs = connection.execute(
            "SELECT * FROM mirror_runs WHERE scene = ? ORDER BY started DESC, name DESC", (scene,)
        ).fetchall()
    return SceneFacts(
        **_told(row),
        **json.loads(row["more"]),
        sha256=row["sha256"],
        changed=bool(row["changed"]),
        runs=[_run(run) for run in runs],
    )


def _where(asked: Asked, connection: Connection) -> Where:
    where = taken_in(asked.from_, asked.to)
    if asked.site is not None:
        name = site_called(connection, asked.site)
        where = where.also("c.id IN (SELECT s.scene FROM mirror_scene_sites s WHERE s.site = ?)", name)
    if asked.bbox is None:
        return where
    west, south, east, north = box_of(asked.bbox)
    where = where.also("c.frame = 'lonlat' AND c.south <= ? AND c.north >= ?", north, south)
    # A scene across the antimeridian has two stretches too.
    meets = "(c.west <= ? AND c.east >= ?) OR (c.west > c.east AND (c.west <= ? OR c.east >= ?))"
    spans = spans_of(west, east)
    values = [value for left, right in spans for value in (right, left, right, left)]
    return where.also(" OR ".join([meets] * len(spans)), *values)


def _told(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("id", "acquired", "sensor", "width", "height", "km2", "frame")},
        "gsd_m": round(max(row["gsd_x_m"], row["gsd_y_m"]), 4),
        "bounds": (row["west"], row["south"], row["east"], row["north"]),
        "sites": json.loads(row["sites"]),
        "scored": row["run"] is not None,
        "detections": row["detections"],
    }


def _run(row: Row) -> Run:
    record = json.loads(row["record"])
    return Run(
        weights=row["weights"],
        weights_sha256=row["weights_sha256"],
        options=record["options"],
        options_sha256=row["options_sha256"],
        started=row["started"],
        version=record["version"],
        detections=row["rows"],
        looked_at_km2=record["valid_km2"],
        shown=bool(row["shown"]),
    )
