"""What people say of detections; it goes into the log of the archive."""

import json
from sqlite3 import Connection, Row
from typing import Annotated, Any, Final

import geopandas as gpd
import numpy as np
import shapely
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from shapely.geometry.base import BaseGeometry

from pithead.errors import OptionError
from pithead.review import Answer, Decision, Review, give, settled
from pithead.server.audit import note
from pithead.server.features import review_of
from pithead.server.keys import Caller, role
from pithead.server.lookup import looking, mirror_of
from pithead.server.problems import Problem
from pithead.server.routes.detections import DetectionId, Said, row_of
from pithead.server.screen import shape_from_screen

router = APIRouter(tags=["detections"])
_MOST_POINTS: Final = 1000
_MARGIN: Final = 0.1
"""Of the scene's width and height."""
_LEAST_DEG: Final = 0.0005  # some 50 m
PRINTED: Final = r"^[^\x00-\x1f\x7f]*$"
"""A name is one line, or what a list of reviews prints could look like another review."""
_EXAMPLE: JsonDict = {"decision": "relabel", "class": "mine_head", "note": "a winding tower, see its shadow"}


class Given(BaseModel):
    """What is said of a detection."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    decision: Decision
    class_: Annotated[
        str | None, Field(alias="class", max_length=100, description="To relabel, what it is.")
    ] = None
    geometry: Annotated[
        dict[str, Any] | None,
        Field(description="To redraw, its outline: a GeoJSON Polygon, or the LineString of a perimeter."),
    ] = None
    note: Annotated[str, Field(max_length=2000)] = ""
    reviewer: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=100,
            pattern=PRINTED,
            description="Who says it, while the server works without keys.",
        ),
    ] = None


@router.post(
    "/v1/detections/{detection}/review",
    status_code=201,
    responses={200: {"model": Said, "description": "It was said before, and nothing is added."}},
)
def review(
    request: Request,
    response: Response,
    who: Annotated[Caller, Depends(role("review"))],
    detection: DetectionId,
    given: Given,
) -> Said:
    """Say of a detection whether it is right; what was said last counts, and what was said before stays."""
    with looking(request) as connection:
        row = row_of(connection, detection)
        meant = _meant(given, row, _by(who, given), _classes(connection))
        last = _last(connection, detection)
    note(request, {"reviews": 1, "decision": given.decision})
    if last is not None and _same(last, meant):
        response.status_code = 200
        return _said(meant, row, last["seq"], last["time"], last["hash"])
    record = give(mirror_of(request).archive.log, meant)
    return _said(meant, row, record.seq, record.time, record.hash)


def _by(who: Caller, given: Given) -> str:
    """Who says it: whoever the key is of."""
    if who.key_id is None:
        return (given.reviewer or "").strip() or who.name
    if given.reviewer not in {None, who.name}:
        raise Problem(422, "", f"expected no reviewer but the one whose key it is, {who.name}: leave it out")
    return who.name


def _classes(connection: Connection) -> frozenset[str]:
    """What a detection may be: all that weights here look for."""
    rows = connection.execute("SELECT thresholds FROM mirror_weights").fetchall()
    return frozenset(name for row in rows for name in json.loads(row["thresholds"]))


def _meant(given: Given, row: Row, reviewer: str, classes: frozenset[str]) -> Review:
    """The review that is given.

    Raises:
        Problem: 422: it lacks what it needs, or has what it does not.
    """
    if (given.decision == "redraw") != (given.geometry is not None):
        raise Problem(422, "", f"expected a geometry to redraw, and none else, for {given.decision}")
    if given.decision == "redraw" and given.class_ not in {None, row["class"]}:
        raise Problem(422, "", f"expected no other class to redraw a {row['class']}: to say so, relabel it")
    shape = None if given.geometry is None else _drawn(given.geometry, row)
    try:
        if shape is not None and row["frame"] == "px":
            gsd = row["gsd_x_m"], row["gsd_y_m"]
            return _review(row, reviewer, shape_from_screen(shape, gsd), given.note)
        answer = Answer(row["id"], given.decision, "the review", given.class_, geometry=shape)
        rows = gpd.GeoDataFrame(
            {
                "detection": [row["id"]],
                "class": [row["class"]],
                "scene_sha256": [row["scene_sha256"]],
                "frame": [row["frame"]],
            },
            geometry=[shapely.from_wkb(row["geometry"])],
        )
        return settled([answer], rows, classes, reviewer, given.note)[0]
    except OptionError as error:
        raise Problem(422, "", str(error)) from error


def _review(row: Row, reviewer: str, shape: BaseGeometry, text: str) -> Review:
    """A redraw in the pixels of a scene without georeference."""
    return Review(
        detection=row["id"],
        scene_sha256=row["scene_sha256"],
        class_name=row["class"],
        decision="redraw",
        reviewer=reviewer,
        geometry=shape,
        note=text,
        frame="px",
    )


def _drawn(geometry: dict[str, Any], row: Row) -> BaseGeometry:
    """The outline that was drawn, of the kind that the detection is of and in its scene.

    Raises:
        Problem: 422: it is none.
    """
    kind = shapely.from_wkb(row["geometry"]).geom_type
    try:
        shape: BaseGeometry = shapely.force_2d(shapely.from_geojson(json.dumps(geometry, allow_nan=False)))
    except (shapely.errors.GEOSException, ValueError, RecursionError) as error:
        raise Problem(422, "", f"expected a GeoJSON {kind} as geometry, got other JSON") from error
    points = shapely.get_num_coordinates(shape)
    if shape.geom_type != kind or not shape.is_valid or shape.is_empty or points > _MOST_POINTS:
        raise Problem(
            422,
            "",
            f"expected a {kind} of at most {_MOST_POINTS} points that does not cross itself as geometry, got "
            f"a {shape.geom_type} of {points}",
        )
    if not _around(row).covers(shape if row["scene_west"] <= row["scene_east"] else _eastward(shape)):
        raise Problem(422, "", "expected an outline in the scene of the detection, got one that leaves it")
    return shape


def _around(row: Row) -> BaseGeometry:
    """Where an outline may lie: the scene of a detection, and a little around, as its edge cuts things."""
    west, south, east, north = (row[f"scene_{name}"] for name in ("west", "south", "east", "north"))
    east += 360.0 if west > east else 0.0  # across the antimeridian
    across, up = (max(_MARGIN * length, _LEAST_DEG) for length in (east - west, north - south))
    around: BaseGeometry = shapely.box(west - across, south - up, east + across, north + up)
    return around


def _eastward(shape: BaseGeometry) -> BaseGeometry:
    """A shape across the antimeridian in one piece, by longitudes from 0 to 360."""
    moved: BaseGeometry = shapely.transform(shape, lambda xy: xy + np.where(xy < 0, [360.0, 0.0], 0.0))
    return moved


def _last(connection: Connection, detection: str) -> Row | None:
    row: Row | None = connection.execute(
        "SELECT * FROM mirror_reviews WHERE detection = ? ORDER BY seq DESC LIMIT 1", (detection,)
    ).fetchone()
    return row


def _same(last: Row, meant: Review) -> bool:
    """Whether the same person has said just that of the detection last."""
    told = ("decision", "class", "new_class", "note", "reviewer")
    alike = all(meant.facts()[name] == last[name] for name in told)
    return alike and bool(shapely.equals_exact(meant.geometry, shapely.from_wkb(last["geometry"])))


def _said(review: Review, row: Row, seq: int, time: str, digest: str) -> Said:
    told = {
        "decision": review.decision,
        "new_class": review.new_class,
        "note": review.note,
        "reviewer": review.reviewer,
        "time": time,
        "seq": seq,
        "hash": digest,
        "frame": review.frame,
        "geometry": shapely.to_wkb(review.geometry),
    }
    return Said.model_validate(review_of(told, (row["gsd_x_m"], row["gsd_y_m"])))
