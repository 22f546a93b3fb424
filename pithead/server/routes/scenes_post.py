"""Scenes that are sent to be scored: whole, or by the id of one that the catalogue has."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.concurrency import run_in_threadpool

from pithead.dates import parse_time
from pithead.rescore import Archive
from pithead.server import jobs
from pithead.server.audit import note
from pithead.server.desk import Desk
from pithead.server.intake import Incoming, check_room, name_of, receiving
from pithead.server.jobs import Draft, Job
from pithead.server.keys import Caller, role
from pithead.server.multipart import StreamedForm
from pithead.server.problems import Problem
from pithead.server.routes.jobs import JobAnswer, answer_of
from pithead.server.under_way import UnderWay
from pithead.server.uploads import Format, checked

router = APIRouter(tags=["jobs"])

AT_ONCE: Final = 16
"""Scenes that may be on their way at the same time."""
OF_ONE: Final = 6
"""Of them, how many may be of one caller: who sends slowly keeps nobody else waiting."""
PIECE: Final = 2**20
JSON_BYTES: Final = 2**14
PLAIN: Final = frozenset({".png", ".jpg", ".webp"})
"""What says nothing of where it lies."""
PRINTED: Final = r"^[^\x00-\x1f\x7f]*$"


class Said(BaseModel):
    """What is said of a scene beside its pixels; of one that is known only what nobody knew yet counts."""

    model_config = ConfigDict(extra="forbid")

    site: Annotated[str | None, Field(max_length=200, pattern=PRINTED, examples=["Camp 15"])] = None
    acquired: Annotated[
        str | None,
        Field(
            max_length=40, examples=["2019-03-12"], description="When it was taken: a date or time, ISO 8601."
        ),
    ] = None
    gsd_m: Annotated[
        float | None,
        Field(gt=0, le=1000, examples=[0.5], description="Metres per pixel of a scene without georeference."),
    ] = None
    sensor: Annotated[str | None, Field(max_length=100, pattern=PRINTED, examples=["WV02"])] = None
    name: Annotated[
        str | None,
        Field(max_length=300, description="What the file is called, where it comes without a name."),
    ] = None

    @field_validator("*", mode="before")
    @classmethod
    def _nothing(cls, value: object) -> object:
        """A field of a form that was left empty says nothing."""
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("acquired")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is None:
            return None
        taken = parse_time(value)
        if taken is None:
            raise ValueError("expected a date such as 2019-03-12 or 2019-03-12T04:05:00Z")
        return taken.isoformat()

    @property
    def facts(self) -> dict[str, Any]:
        """As a job keeps it."""
        return self.model_dump(exclude_none=True, exclude={"name"})


class ById(BaseModel):
    """A scene that the catalogue has."""

    model_config = ConfigDict(extra="forbid")

    scene: Annotated[str, Field(min_length=1, max_length=300, examples=["camp15_2019-03-12-0f343b093112"])]


def _body() -> dict[str, Any]:
    """What OpenAPI says of the three kinds of body."""
    fields = Said.model_json_schema()["properties"]
    image = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": ["scene"], "properties": {"scene": image} | fields}
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": ById.model_json_schema()},
        "image/tiff": {"schema": image},
        "application/octet-stream": {"schema": image},
    }
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/v1/scenes",
    status_code=202,
    openapi_extra=_body(),
    responses={
        202: {
            "description": "The job that scores it.",
            "headers": {"Location": {"description": "Of the job.", "schema": {"type": "string"}}},
        },
    },
)
async def post_scene(
    request: Request,
    response: Response,
    who: Annotated[Caller, Depends(role("submit"))],
    said: Annotated[Said, Query()],
) -> JobAnswer:
    """Take a scene in and score it in the background.

    It comes as the file `scene` of a form, with site, acquired, gsd_m and sensor as fields; or as the body
    itself, with these in the query; or by the id of a scene of the catalogue, as JSON.
    """
    desk: Desk = request.app.state.desk
    await run_in_threadpool(_check_turn, desk, who)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        job = await _by_id(request, desk, who)
    elif kind in {"multipart/form-data", "application/octet-stream"} or kind.startswith("image/"):
        job = await _upload(request, desk, who, said)
    else:
        raise Problem(
            415,
            "",
            "expected a scene as multipart/form-data, as image/… or application/octet-stream, or "
            '{"scene": "ID"} as application/json',
        )
    note(request, {"job": job.id, "name": job.name, "scene": job.scene})
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return answer_of(job)


# --- by id


async def _by_id(request: Request, desk: Desk, who: Caller) -> Job:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > JSON_BYTES:
            raise Problem(413, "", f"expected at most {JSON_BYTES} bytes of JSON")
    try:
        asked = ById.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from error
    return await run_in_threadpool(_queued_by_id, desk, who, asked.scene)


def _queued_by_id(desk: Desk, who: Caller, scene: str) -> Job:
    entries = Archive.open(desk.settings.archive).catalog.scenes()
    if not any(entry.id == scene for entry in entries):
        raise Problem(404, "", f"expected the id of a scene of the catalogue, got {scene!r}")
    return _queued(desk, who, lambda: Draft("catalogue", scene, who.name, scene=scene))


# --- by upload


async def _upload(request: Request, desk: Desk, who: Caller, said: Said) -> Job:
    limits, uploads = desk.settings.limits, desk.settings.uploads
    told = request.headers.get("content-length", "")
    size = int(told) if told.isdecimal() and len(told) < 20 else None
    with UNDER_WAY.one_more(who.name):
        await run_in_threadpool(check_room, uploads, size, limits.scene_bytes)
        with receiving(uploads, limits.scene_bytes) as incoming:
            said, name = await _received(request, incoming, said)
            return await run_in_threadpool(_queued_upload, desk, who, incoming, said, name)


async def _received(request: Request, incoming: Incoming, said: Said) -> tuple[Said, str | None]:
    """Take the body to the disk; gives what is said of it, and what its file is called."""
    kind = request.headers["content-type"]
    if not kind.strip().lower().startswith("multipart/"):
        async for piece in _pieces(request):
            await run_in_threadpool(incoming.write, piece)
        return said, said.name
    form = StreamedForm(kind, "scene", incoming.write)
    async for piece in _pieces(request):
        await run_in_threadpool(form.write, piece)
    form.finish()
    try:
        said = Said.model_validate(said.model_dump(exclude_none=True) | form.fields)
    except ValidationError as error:
        raise _invalid(error) from error
    return said, said.name or form.filename


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of a size that is worth a thread's while."""
    piece = bytearray()
    async for some in request.stream():
        piece += some
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _queued_upload(desk: Desk, who: Caller, incoming: Incoming, said: Said, name: str | None) -> Job:
    if not incoming.size:
        raise Problem(400, "", "expected a scene, got no bytes")
    incoming.settle()
    limits = desk.settings.limits
    image = checked(incoming.path, pixels=limits.scene_pixels, block_bytes=limits.block_bytes)
    _check_ground(image, said)
    _check_hollow(image, incoming.size, said, desk)

    def draft() -> Draft:
        file = name_of(name, image.suffix)
        place = incoming.keep(desk.settings.uploads, file)
        return Draft("upload", file, who.name, place=place, facts=said.facts)

    return _queued(desk, who, draft)


def _check_ground(image: Format, said: Said) -> None:
    if image.suffix in PLAIN and said.gsd_m is None:
        raise Problem(
            422,
            "",
            f"expected gsd_m, metres per pixel: a {image.name} file does not say where its pixels lie",
        )


def _check_hollow(image: Format, size: int, said: Said, desk: Desk) -> None:
    """Refuse few bytes that would be many tiles: by holes, or by pixels of many metres."""
    pixels = float(image.header.width * image.header.height)
    if image.suffix in PLAIN and said.gsd_m is not None:
        pixels *= max(1.0, said.gsd_m / desk.card.gsd_m) ** 2
    why = desk.settings.limits.why_hollow(pixels, size)
    if why is not None:
        raise Problem(413, "Too few bytes", why)


# --- the queue


def _queued(desk: Desk, who: Caller, draft: Callable[[], Draft]) -> Job:
    """A new job; what its draft does on the disk is part of the transaction: nobody sweeps it away."""
    with desk.database.writing() as connection:
        if jobs.open_of(connection, who.name) >= desk.settings.limits.jobs_of_one:
            raise _too_many(desk)
        return jobs.add(connection, draft())


def _check_turn(desk: Desk, who: Caller) -> None:
    """Refuse whoever has enough in the queue, before they send more."""
    with desk.database.reading() as connection:
        if jobs.open_of(connection, who.name) >= desk.settings.limits.jobs_of_one:
            raise _too_many(desk)


def _too_many(desk: Desk) -> Problem:
    most = desk.settings.limits.jobs_of_one
    return Problem(
        429,
        "",
        f"expected at most {most} jobs of yours that have not ended: wait for them",
        {"Retry-After": "60"},
    )


def _invalid(error: ValidationError) -> RequestValidationError:
    """As FastAPI tells of what it has read itself."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in errors])


UNDER_WAY: Final = UnderWay(AT_ONCE, OF_ONE)
