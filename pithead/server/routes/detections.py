"""Detections of the archive: lists, counts for a map, and all that is known of one."""

import json
import math
from sqlite3 import Connection, Row
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from starlette.responses import JSONResponse, Response

from pithead.review import Decision
from pithead.server.audit import note
from pithead.server.desk import Desk
from pithead.server.features import SELECT, feature_of, find, review_of
from pithead.server.filters import Asked, Where, box_of, where_of
from pithead.server.keys import Caller, role
from pithead.server.lookup import looking
from pithead.server.paging import cursor_of, page_of, values_of
from pithead.server.problems import Problem
from pithead.server.screen import to_world

router = APIRouter(tags=["detections"])
Reader = Annotated[Caller, Depends(role("submit"))]
DetectionId = Annotated[str, Path(max_length=100, examples=["9f86d081884c7d65"])]

CELL_PX: Final = 64
TILE_PX: Final = 512
"""The world is so many pixels wide at zoom 0, as MapLibre counts zooms."""
MOST_CELLS: Final = 128
"""So many cells at most lie side by side in what is asked for; a finer grid is made coarser."""

_MANY: Final = 8
_ORDERS: Final[dict[str, str]] = {"id": "", "score": "d.score", "uncertainty": "d.uncertainty"}
_CELLS: Final = """
SELECT avg((d.west + d.east) / 2) AS lon, avg((d.south + d.north) / 2) AS lat, count(*) AS count,
       d.class_now AS class
FROM mirror_detections d WHERE {}
GROUP BY CAST(d.world_x * ? AS INTEGER), CAST(d.world_y * ? AS INTEGER), d.class_now
ORDER BY lat DESC, lon, class"""
_FEATURE: JsonDict = {
    "type": "Feature",
    "id": "9f86d081884c7d65",
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[126.9, 38.9], [126.901, 38.9], [126.901, 38.901], [126.9, 38.901], [126.9, 38.9]]],
    },
    "properties": {
        "detection": "9f86d081884c7d65",
        "class": "coal_heap",
        "class_now": "coal_heap",
        "score": 0.71,
        "length_m": 86.4,
        "width_m": 41.0,
        "area_m2": 3542.4,
        "closed": None,
        "enclosed_area_m2": None,
        "spans": None,
        "centre_lon": 126.9005,
        "centre_lat": 38.9005,
        "centre_x_px": 912.5,
        "centre_y_px": 2040.0,
        "cut": False,
        "frame": "lonlat",
        "scene": "camp15_2019-03-12-0f343b093112",
        "scene_sha256": "0f343b093112" + "5e" * 26,
        "site": "Camp 15",
        "acquired": "2019-03-12T02:14:05+00:00",
        "weights": "starter",
        "weights_sha256": "5f" * 32,
        "options_sha256": "a7" * 32,
        "uncertainty": 0.82,
        "uncertainty_by": "probability",
        "review": None,
    },
}

_HISTORY: JsonDict = {
    "reviews": [
        {
            "decision": "accept",
            "class": None,
            "note": "",
            "reviewer": "aigul",
            "time": "2026-03-02T09:40:11.000+00:00",
            "seq": 17,
            "hash": "c4" * 32,
            "geometry": None,
        }
    ],
    "provenance": {
        "run": {"weights": "starter", "version": "0.1.0", "started": "2026-03-02T09:12:45.000+00:00"},
        "log": {"seq": 12, "time": "2026-03-02T09:13:20.000+00:00", "hash": "b1" * 32},
    },
}


class GeoJSON(JSONResponse):
    """An answer that map programs know by its type."""

    media_type = "application/geo+json"


class Review(BaseModel):
    """What a person has said of a detection."""

    decision: Decision
    class_: str | None = Field(alias="class", description="What it is instead, of a relabel.")
    note: str
    reviewer: str
    time: str


class Said(Review):
    """A review with its place in the log; what was said last counts."""

    seq: int = Field(description="The number of its record in the log.")
    hash: str
    geometry: dict[str, Any] | None = Field(description="The outline that was drawn, of a redraw.")


class Properties(BaseModel):
    """What is told of a detection."""

    model_config = ConfigDict(extra="allow")

    detection: str
    class_: str = Field(alias="class", description="As the weights had it.")
    class_now: str = Field(description="What people hold it to be, else as the weights had it.")
    score: float
    length_m: float | None
    width_m: float | None
    area_m2: float | None
    closed: bool | None = Field(description="Of a perimeter, whether it is a ring.")
    enclosed_area_m2: float | None
    spans: int | None
    centre_lon: float | None
    centre_lat: float | None
    centre_x_px: float | None
    centre_y_px: float | None
    cut: bool | None = Field(description="Whether the edge of what was looked at cuts it.")
    frame: Literal["lonlat", "px"]
    scene: str
    scene_sha256: str
    site: str | None
    acquired: str | None
    weights: str
    weights_sha256: str
    options_sha256: str
    uncertainty: float = Field(ge=0, le=1)
    uncertainty_by: Literal["probability", "threshold"] = Field(
        description="With a calibrated probability p it is 4p(1-p), else 1 at the threshold of the class and "
        "less the farther the score is from it."
    )
    review: Review | None
    model_geometry: dict[str, Any] | None = Field(
        default=None, description="The outline of the weights, where a person has drawn another."
    )


class Feature(BaseModel):
    """A detection."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FEATURE]})

    type: Literal["Feature"]
    id: str
    geometry: dict[str, Any]
    properties: Properties


class Collection(BaseModel):
    """A page of detections as GeoJSON."""

    type: Literal["FeatureCollection"]
    features: list[Feature]
    matched: int = Field(description="How many there are on all pages.")
    next: str | None = Field(description="The cursor of the next page; null on the last.")


class Logged(BaseModel):
    """Where the log of the archive tells of a run."""

    seq: int
    time: str
    hash: str


class Provenance(BaseModel):
    """Where a detection comes from."""

    run: dict[str, Any] = Field(description="The record of the run: options, version, tiles, counts, hashes.")
    log: Logged | None


class FeatureFacts(Feature):
    """A detection with its history."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FEATURE | _HISTORY]})

    reviews: list[Said] = Field(description="The first that was said first.")
    provenance: Provenance


class Cell(BaseModel):
    """Detections of a class in a cell of a grid."""

    lon: float = Field(description="Their middle.")
    lat: float
    count: int
    class_: str = Field(alias="class")


class Cells(BaseModel):
    """How many detections lie where."""

    cells: list[Cell]


class Listed(Asked):
    """Which detections are meant, in which order, and how many of them."""

    order: Annotated[
        Literal["id", "score", "uncertainty"], Field(description="The highest score or uncertainty first.")
    ] = "id"
    limit: Annotated[int | None, Field(ge=1, le=10_000)] = None
    cursor: Annotated[str | None, Field(max_length=2000)] = None


class Gridded(Asked):
    """Which detections are meant, and on how fine a grid."""

    zoom: Annotated[float, Field(ge=0, le=24, description="Of the map: cells are 64 px wide there.")] = 0.0


@router.get("/v1/detections", response_model=Collection, response_class=GeoJSON)
def detections(request: Request, who: Reader, asked: Annotated[Listed, Query()]) -> Response:  # noqa: ARG001
    """List detections, page by page."""
    desk: Desk = request.app.state.desk
    limit = page_of(asked.limit, desk.settings.limits.page)
    with looking(request) as connection:
        where = where_of(asked, connection)
        (matched,) = connection.execute(
            f"SELECT count(*) FROM mirror_detections d WHERE {where}",  # noqa: S608 (conditions of ours)
            where.values,
        ).fetchone()
        rows = _page(connection, where, asked, limit, many=matched > _MANY * limit)
    more = _cursor(asked.order, rows[limit - 1]) if len(rows) > limit else None
    features = [feature_of(row) for row in rows[:limit]]
    note(request, {"detections": len(features), "matched": matched})
    told = {"type": "FeatureCollection", "features": features, "matched": matched, "next": more}
    return GeoJSON(told)


@router.get("/v1/detections/summary")
def summary(request: Request, who: Reader, asked: Annotated[Gridded, Query()]) -> Cells:  # noqa: ARG001
    """Count detections by class in the cells of a grid, for a map that shows too many of them."""
    side = _cells(asked)
    with looking(request) as connection:
        where = where_of(asked, connection)
        rows = connection.execute(_CELLS.format(where), (*where.values, side, side)).fetchall()
    cells = [Cell.model_validate(dict(row)) for row in rows]
    note(request, {"detections": sum(cell.count for cell in cells)})
    return Cells(cells=cells)


@router.get("/v1/detections/{detection}", response_model=FeatureFacts, response_class=GeoJSON)
def detection(request: Request, who: Reader, detection: DetectionId) -> Response:  # noqa: ARG001
    """Tell all that is known of a detection: what people said of it, and where it comes from."""
    with looking(request) as connection:
        row = row_of(connection, detection)
        said = connection.execute(
            "SELECT * FROM mirror_reviews WHERE detection = ? ORDER BY seq", (detection,)
        ).fetchall()
        told = {
            **feature_of(row),
            "reviews": [review_of(one, (row["gsd_x_m"], row["gsd_y_m"])) for one in said],
            "provenance": _provenance(connection, row),
        }
    note(request, {"detections": 1})
    return GeoJSON(told)


def row_of(connection: Connection, detection: str) -> Row:
    """The row of a detection.

    Raises:
        Problem: 404 of another id.
    """
    row = find(connection, detection)
    if row is None:
        raise Problem(
            404,
            "",
            "expected the id of a detection of the archive, got another: GET /v1/detections lists them",
        )
    return row


def _page(connection: Connection, where: Where, asked: Listed, limit: int, *, many: bool) -> list[Row]:
    """The rows of a page, and one more if there is another page."""
    column = _ORDERS[asked.order]
    order = f"{column} DESC, d.id" if column else "d.id"
    if asked.cursor is not None and column:
        value, name = values_of(asked.cursor, asked.order, (float, str))
        where = where.also(f"{column} < ? OR ({column} = ? AND d.id > ?)", value, value, name)
    elif asked.cursor is not None:
        where = where.also("d.id > ?", *values_of(asked.cursor, asked.order, (str,)))
    # The page first, so that what a feature is made of is looked up for its rows only. In the order of an
    # index it is found soon if most rows are meant; if few are, these are sorted ("+" keeps SQLite from it).
    first = order if many else "+" + order
    page = f"SELECT d.number FROM mirror_detections d WHERE {where} ORDER BY {first} LIMIT ?"  # noqa: S608
    rows: list[Row] = connection.execute(
        f"{SELECT} WHERE d.number IN ({page}) ORDER BY {order}", (*where.values, limit + 1)
    ).fetchall()
    return rows


def _cursor(order: str, row: Row) -> str:
    return cursor_of(order, row["id"]) if order == "id" else cursor_of(order, row[order], row["id"])


def _cells(asked: Gridded) -> float:
    """How many cells lie side by side round the world."""
    side = TILE_PX / CELL_PX * 2.0**asked.zoom
    box = (-180.0, -90.0, 180.0, 90.0) if asked.bbox is None else box_of(asked.bbox)
    (left, top), (right, bottom) = to_world([[box[0], box[3]], [box[2], box[1]]]).tolist()
    if asked.scene is not None and asked.bbox is None:
        return float(side)  # a scene is no larger than a site
    across = max((right - left) % 1.0 or float(right != left), bottom - top)
    coarsest = math.exp2(math.floor(math.log2(MOST_CELLS / across))) if across else math.inf
    return float(min(side, coarsest))


def _provenance(connection: Connection, row: Row) -> dict[str, Any]:
    run = connection.execute("SELECT record FROM mirror_runs WHERE number = ?", (row["run"],)).fetchone()
    record = json.loads(run["record"])
    told = connection.execute(
        "SELECT seq, time, hash FROM mirror_finished WHERE scene_sha256 = ? AND weights_sha256 = ? "
        "AND options_sha256 = ? AND result_sha256 = ?",
        tuple(record[name] for name in ("scene_sha256", "weights_sha256", "options_sha256", "result_sha256")),
    ).fetchone()
    hidden = {"host", "file"}  # which machine did it, and where things lie there, is nobody's concern
    return {
        "run": {name: value for name, value in record.items() if name not in hidden},
        "log": None if told is None else dict(told),
    }
