"""POST /v1/detect: one image, answered at once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PureWindowsPath
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from pithead.server import metrics
from pithead.server.audit import note
from pithead.server.desk import Desk
from pithead.server.intake import room
from pithead.server.keys import Caller, role
from pithead.server.multipart import StreamedForm
from pithead.server.pool import Pool
from pithead.server.problems import Problem
from pithead.server.scanner import Order
from pithead.server.uploads import checked

GEOJSON: Final = "application/geo+json"
_RAW: Final = ("image/", "application/octet-stream")
_MOST_NAME: Final = 200


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The processes that read images are started with the first image, and end with the server."""
    try:
        yield
    finally:
        await pool_of(app).close()


router = APIRouter(lifespan=_lifespan)


def pool_of(app: FastAPI) -> Pool:
    """The processes of this application that read images; started with the first one, or by `start`."""
    if not hasattr(app.state, "pool"):
        app.state.pool = Pool(app.state.desk)
    pool: Pool = app.state.pool
    return pool


class Options(BaseModel):
    """What is asked of one image, beside the image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: Annotated[
        float | None, Field(ge=0, le=1, description="Lowest score; without it the threshold of each class.")
    ] = None
    classes: Annotated[
        str | None, Field(max_length=1000, description="Names of classes with commas; without it all.")
    ] = None
    gsd_m: Annotated[
        float | None,
        Field(gt=0, le=1000, allow_inf_nan=False, description="Metres per pixel, without georeference."),
    ] = None
    max_detections: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="At most so many, the surest; without it all.")
    ] = None

    def with_fields(self, fields: Mapping[str, str]) -> "Options":
        """These, and what a form says.

        Raises:
            RequestValidationError: A field that there is not, or with a value that cannot be.
        """
        given = {name: value for name, value in fields.items() if value != ""}
        try:
            return Options.model_validate(self.model_dump(exclude_none=True) | given)
        except ValidationError as error:
            told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
            raise RequestValidationError(told) from error

    def order(self, upload: "Upload", desk: Desk) -> Order:
        """What a process that reads images is told."""
        names = tuple(name.strip() for name in (self.classes or "").split(",") if name.strip())
        return Order(
            name=upload.name,
            sha256=upload.sha256,
            weights_sha256=desk.weights_sha256,
            pixels=desk.settings.limits.tile_pixels,
            gsd_m=self.gsd_m,
            min_score=self.min_score,
            classes=names,
            max_detections=self.max_detections,
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that was received: what its owner calls it, the hash of its bytes, the fields beside it."""

    name: str
    sha256: str
    fields: Mapping[str, str]


_IMAGE: Final[dict[str, Any]] = {"type": "string", "format": "binary"}
_OPENAPI: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": _IMAGE,
                        "min_score": {"type": "number", "minimum": 0, "maximum": 1},
                        "classes": {"type": "string"},
                        "gsd_m": {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
                        "max_detections": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
                    },
                }
            },
            **{
                kind: {"schema": _IMAGE}
                for kind in ("image/tiff", "image/png", "image/jpeg", "image/webp", "image/jp2")
            },
            "application/octet-stream": {"schema": _IMAGE},
        },
    }
}
_FOUND: Final = {
    "type": "FeatureCollection",
    "frame": "px",
    "note": "The image has no georeference: …",
    "width": 640,
    "height": 640,
    "gsd_m": 0.6,
    "features": [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[98, 113], [158, 113], [158, 143], [98, 143], [98, 113]]],
            },
            "properties": {"class": "coal_heap", "score": 0.9, "length_m": 36.0, "width_m": 18.0},
        }
    ],
}
_COLLECTION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "frame", "features"],
    "properties": {
        "type": {"const": "FeatureCollection"},
        "frame": {"enum": ["lonlat", "px"]},
        "features": {"type": "array", "items": {"type": "object", "required": ["geometry", "properties"]}},
    },
}


@router.post(
    "/v1/detect",
    tags=["detect"],
    summary="Find what the model knows in one image",
    openapi_extra=_OPENAPI,
    response_class=Response,
    responses={
        200: {
            "description": "What was found: in longitude and latitude, or in pixels without georeference.",
            "content": {
                GEOJSON: {"schema": _COLLECTION},
                "application/json": {"schema": _COLLECTION, "example": _FOUND},
            },
        }
    },
)
async def detect(
    request: Request,
    who: Annotated[Caller, Depends(role("submit"))],
    options: Annotated[Options, Query()],
) -> Response:
    """One image as (Geo)TIFF, PNG, JPEG, WebP or JPEG 2000, in a form or as the body, with options."""
    desk: Desk = request.app.state.desk
    pool = pool_of(request.app)
    client, limits = _client(request, who), desk.settings.limits
    pool.check_room(client)  # before it sends what would be refused
    with room(), TemporaryFile() as file:
        # Whoever sends slowly keeps no place in the queue.
        with pool.bodies.one_more(client):
            upload = await _received(request, file, limits.tile_bytes)
        order = options.with_fields(upload.fields).order(upload, desk)
        order.check(desk.card)
        path = f"/dev/fd/{file.fileno()}"
        with pool.admitted(client), metrics.WAITING.track_inprogress():
            await asyncio.to_thread(checked, path, pixels=limits.tile_pixels, block_bytes=limits.block_bytes)
            answer = await pool.scan(file.fileno(), order)
    note(request, {"detections": sum(answer.found.values()), **answer.found, "sha256": upload.sha256})
    for name, count in answer.found.items():
        metrics.FOUND.labels(name).inc(count)
    return Response(answer.body, media_type=GEOJSON if answer.georeferenced else "application/json")


def _client(request: Request, who: Caller) -> str:
    """Who shares a share: everybody with the same key, or at the same address."""
    if who.key_id is not None:
        return f"key {who.key_id}"
    return f"address {request.client.host if request.client else ''}"


async def _received(request: Request, file: IO[bytes], most: int) -> Upload:
    """The image of a request, written to a file: the file of a form, or the body.

    Raises:
        Problem: 400, a form without an image; 413, more bytes than are taken; 415, neither form nor image.
    """
    kind = request.headers.get("content-type", "application/octet-stream").lower()
    hashed, size = hashlib.sha256(), 0

    def keep(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > most:
            raise Problem(413, "", f"expected at most {most} bytes; send larger images to /v1/scenes")
        hashed.update(data)
        file.write(data)

    form = None
    if kind.startswith("multipart/form-data"):
        form = StreamedForm(request.headers["content-type"], "image", keep)
    elif not kind.startswith(_RAW):
        raise Problem(415, "", "expected multipart/form-data, image/… or application/octet-stream")
    async for chunk in request.stream():
        if form is None:
            keep(chunk)
        else:
            form.write(chunk)
    if form is not None:
        form.finish()
    file.flush()
    fields = {} if form is None else form.fields
    return Upload(_shown(form.filename if form else None), hashed.hexdigest(), fields)


def _shown(filename: str | None) -> str:
    """A client's name for a file as it may stand in a record: no folders, nothing that is not printed."""
    name = PureWindowsPath(filename or "").name
    return "".join(sign for sign in name if sign.isprintable())[:_MOST_NAME] or "image"
