"""Pictures for the map: scenes and the basemap as tiles, and chips of detections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from sqlite3 import Connection, Row
from typing import Annotated, Any, Final

import shapely
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from pithead.card import Card
from pithead.errors import SceneError
from pithead.server.audit import note
from pithead.server.desk import Desk
from pithead.server.features import feature_of
from pithead.server.keys import Caller, role
from pithead.server.lookup import looking, scene_row
from pithead.server.pictures import Chip, Order, Outline, Painters, Plate, Tile
from pithead.server.problems import Problem
from pithead.server.routes.detections import DetectionId, row_of
from pithead.server.routes.scenes import SceneId


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The processes that paint are started with the first picture, and end with the server."""
    try:
        yield
    finally:
        await run_in_threadpool(painters_of(app).close)


def painters_of(app: FastAPI) -> Painters:
    """Who paints for this application."""
    if not hasattr(app.state, "painters"):
        desk: Desk = app.state.desk
        app.state.painters = Painters(desk.settings.uploads)
    painters: Painters = app.state.painters
    return painters


router = APIRouter(tags=["pictures"], lifespan=_lifespan)
Reader = Annotated[Caller, Depends(role("submit"))]
Zoom = Annotated[int, Path(ge=0, le=24)]
Number = Annotated[int, Path(ge=0, lt=2**24)]

PNG: Final = "image/png"
NEUTRAL: Final = "#ffffff"
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}},
    204: {"description": "There is nothing of it there."},
}


@router.get("/v1/scenes/{scene}/tiles/{z}/{x}/{y}.png", responses=_ANSWERS, response_class=Response)
async def tile(request: Request, who: Reader, scene: SceneId, z: Zoom, x: Number, y: Number) -> Response:  # noqa: ARG001
    """A scene as tiles of a web map; one without georeference lies at 0, 0."""
    _check(z, x, y)
    plate = await run_in_threadpool(_plate_of, request, scene)
    return await _painted(request, Order(plate, Tile(z, x, y, _overviews(request))))


@router.get("/v1/basemap/{z}/{x}/{y}.png", responses=_ANSWERS, response_class=Response)
async def basemap(request: Request, who: Reader, z: Zoom, x: Number, y: Number) -> Response:  # noqa: ARG001
    """The image that lies under the scenes, if whoever runs the server has given one."""
    _check(z, x, y)
    desk: Desk = request.app.state.desk
    if desk.settings.basemap is None:
        raise Problem(404, "", "expected a basemap, this server has none: PITHEAD_BASEMAP names a GeoTIFF")
    plate = Plate(str(desk.settings.basemap))
    return await _painted(request, Order(plate, Tile(z, x, y, _overviews(request))))


@router.get("/v1/detections/{detection}/chip.png", responses={200: _ANSWERS[200]}, response_class=Response)
async def chip(
    request: Request,
    who: Reader,  # noqa: ARG001
    detection: DetectionId,
    margin_m: Annotated[
        float | None, Query(ge=0, le=5000, description="Metres round it; else as much as is needed.")
    ] = None,
    px: Annotated[int, Query(ge=32, le=1024, description="Side of the picture.")] = 320,
) -> Response:
    """A detection in its scene, along the scene's rows and columns, with its outline."""
    note(request, {"detections": 1})
    return await _painted(request, await run_in_threadpool(_chip, request, detection, margin_m, px))


async def _painted(request: Request, order: Order) -> Response:
    """Have a picture made; a scene that cannot be read is a refusal."""
    try:
        picture = await painters_of(request.app).paint(order)
    except SceneError as error:
        raise Problem(409, "Scene cannot be shown", str(error)) from error
    return Response(status_code=204) if picture is None else Response(picture, media_type=PNG)


def _check(z: int, x: int, y: int) -> None:
    if max(x, y) >= 2**z:
        raise Problem(404, "", f"expected x and y below {2**z} at zoom {z}, got {x} and {y}")


def _plate_of(request: Request, scene: str) -> Plate:
    with looking(request) as connection:
        return _plate(connection, scene_row(connection, scene))


def _chip(request: Request, detection: str, margin_m: float | None, px: int) -> Order:
    desk: Desk = request.app.state.desk
    with looking(request) as connection:
        row = row_of(connection, detection)
        plate = _plate(connection, scene_row(connection, row["scene"]), row["run"])
    feature = feature_of(row)
    colour = _colour(desk.card, row["class_now"])
    outlines = [Outline(shapely.geometry.shape(feature["geometry"]), colour)]
    drawn = feature["properties"].get("model_geometry")
    if drawn is not None:
        outlines.append(Outline(shapely.geometry.shape(drawn), _colour(desk.card, row["class"]), dashed=True))
    return Order(plate, Chip(tuple(outlines), margin_m, px))


def _plate(connection: Connection, scene: Row, run: int | None = None) -> Plate:
    """A scene as a run has looked at it, without one as the run that is shown.

    Raises:
        Problem: 404: its file does not lie on this machine.
    """
    if "://" in scene["href"] or scene["href"].startswith("/vsi"):
        raise Problem(
            404, "", "expected a scene whose file lies on this machine, this one lies at an address"
        )
    told = connection.execute(
        "SELECT json_extract(record, '$.options.stretch') AS stretch FROM mirror_runs "
        "WHERE scene = ? AND (number = ? OR (? IS NULL AND shown = 1))",
        (scene["id"], run, run),
    ).fetchone()
    px = scene["frame"] == "px"
    return Plate(
        path=scene["href"],
        gsd_m=scene["gsd_x_m"] if px else None,
        stretch=None if told is None else told["stretch"],
        bytes=scene["bytes"],
        mtime_ns=scene["mtime_ns"],
        sha256=scene["sha256"],
    )


def _overviews(request: Request) -> str:
    desk: Desk = request.app.state.desk
    return str((desk.settings.archive / "overviews").absolute())


def _colour(card: Card, name: str) -> str:
    return next((one.colour for one in card.classes if one.name == name), NEUTRAL)
