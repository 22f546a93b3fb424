"""Jobs: how far they are, what they have found, and their end."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from pithead.errors import CatalogError, StoreError
from pithead.rescore import Archive
from pithead.server import jobs
from pithead.server.audit import note
from pithead.server.desk import Desk
from pithead.server.download import MEDIA_TYPES, Format, rows_of, write
from pithead.server.jobs import Kind, State
from pithead.server.keys import Caller, role
from pithead.server.problems import Problem, unavailable
from pithead.server.scoring import sweep_uploads

router = APIRouter(tags=["jobs"])
Submitter = Annotated[Caller, Depends(role("submit"))]
JobId = Annotated[str, InPath(max_length=64, examples=["4f0d2c9a7b1e3856"])]

EXAMPLE: Final[dict[str, Any]] = {
    "id": "4f0d2c9a7b1e3856",
    "state": "running",
    "kind": "upload",
    "scene": "camp15_2019-03-12-0f343b093112",
    "name": "camp15_2019-03-12.tif",
    "created": "2026-03-02T09:12:44.120Z",
    "started": "2026-03-02T09:12:45.003Z",
    "ended": None,
    "tiles_done": 96,
    "tiles": 240,
    "progress": 0.4,
    "eta_s": 38.5,
    "detections": None,
    "note": None,
    "error": None,
    "owner": "aigul",
}


class JobAnswer(BaseModel):
    """A scene that is scored, or waits for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    state: State
    kind: Kind = Field(description="Whether the scene was uploaded, or is one of the catalogue.")
    scene: str | None = Field(description="Its id in the catalogue, once it has one.")
    name: str
    created: str
    started: str | None
    ended: str | None
    tiles_done: int
    tiles: int
    progress: float = Field(ge=0, le=1)
    eta_s: float | None = Field(description="Seconds until it is done, as it goes now.")
    detections: int | None = Field(description="How many were found, once it is done.")
    note: str | None = Field(description="What it waits for, if for more than its turn.")
    error: str | None = Field(description="Why it failed.")
    owner: str


class JobsAnswer(BaseModel):
    """A page of jobs, the latest first."""

    jobs: list[JobAnswer]
    next: str | None = Field(description="The cursor of the next page.")
    matched: int = Field(description="All of them, on whatever page.")


def answer_of(job: jobs.Job) -> JobAnswer:
    """A job as it is told; where its upload lies and what was tried is for the server to know."""
    return JobAnswer(**{name: getattr(job, name) for name in JobAnswer.model_fields})


@router.get("/v1/jobs")
def list_jobs(
    request: Request,
    _: Submitter,
    state: Annotated[list[State] | None, Query(description="Only jobs in these states.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JobsAnswer:
    """Tell the latest jobs, of everyone."""
    desk: Desk = request.app.state.desk
    with desk.database.reading() as connection:
        page = jobs.page(connection, tuple(state or ()), min(limit, desk.settings.limits.page), cursor)
    return JobsAnswer(jobs=[answer_of(job) for job in page.jobs], next=page.next, matched=page.matched)


@router.get("/v1/jobs/{id}")
def get_job(request: Request, _: Submitter, id: JobId) -> JobAnswer:  # noqa: A002 (as the path has it)
    """Tell how far a job is."""
    return answer_of(_job(request.app.state.desk, id))


@router.delete("/v1/jobs/{id}")
def delete_job(request: Request, who: Submitter, id: JobId) -> JobAnswer:  # noqa: A002
    """Cancel a job, and tell it as it is then: a running one ends within a second or so.

    One that has ended stays as it is: what it has found is not taken back. Jobs of others are for the role
    admin to cancel.
    """
    desk: Desk = request.app.state.desk
    with desk.database.writing() as connection:
        job = jobs.get(connection, id)
        if job is None:
            raise _unknown(id)
        if job.owner != who.name and not who.may("admin"):
            raise Problem(
                403,
                "",
                f"expected a job of {who.name}, this one is another's: ask whoever has the role admin",
            )
        cancelled = jobs.cancel(connection, id)
    if job.state == "queued" and job.place is not None:
        sweep_uploads(desk.settings, desk.database)
    return answer_of(cancelled)


@router.get(
    "/v1/jobs/{id}/detections",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The detections; of a scene without georeference in its pixels.",
            "content": {
                "application/geo+json": {"schema": {"type": "object"}},
                "application/json": {"schema": {"type": "object"}},
                MEDIA_TYPES["gpkg"]: {"schema": {"type": "string", "format": "binary"}},
                MEDIA_TYPES["parquet"]: {"schema": {"type": "string", "format": "binary"}},
            },
        },
    },
)
def get_detections(
    request: Request,
    _: Submitter,
    id: JobId,  # noqa: A002
    format: Annotated[Format, Query(description="Of the file.")] = "geojson",  # noqa: A002
) -> FileResponse:
    """Give what a job has found as a file, as the model found it: reviews are told by /v1/detections."""
    desk: Desk = request.app.state.desk
    job = _job(desk, id)
    if job.record is None:
        raise Problem(409, "Not done", f"expected a job that is done, this one is {job.state}")
    try:
        store = Archive.open(desk.settings.archive).store
        record = store.record(job.record)
        rows = rows_of(store, record)
    except FileNotFoundError as error:
        raise Problem(
            404, "Gone", "expected the result of the job, it was taken out of the archive"
        ) from error
    except (StoreError, CatalogError) as error:
        raise unavailable(
            "Archive", "expected to read the result from the archive, it cannot be read now"
        ) from error
    note(request, {"detections": len(rows)})
    with ExitStack() as made:
        folder = made.enter_context(tempfile.TemporaryDirectory(prefix="pithead-"))
        path = Path(folder) / f"{record.scene}.{format}"
        try:
            media_type = write(rows, path, format)
        except StoreError as error:
            raise Problem(
                507, "", "expected room on the server's disk for the file: tell whoever runs it"
            ) from error
        etag = f'"{record.result_sha256}.{format}"'
        return Download(path, media_type, etag, made.pop_all())


class Download(FileResponse):
    """A file that is sent as a whole, and is gone then, however that ended."""

    def __init__(self, path: Path, media_type: str, etag: str, made: ExitStack) -> None:
        """Take a file over; `made` removes it."""
        headers = {"ETag": etag, "Accept-Ranges": "none"}
        super().__init__(path, headers=headers, media_type=media_type, filename=path.name)
        self._made = made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a range is not looked at, as each would be made of the whole anew."""
        headers = [one for one in scope["headers"] if one[0] != b"range"]
        with self._made:
            await super().__call__({**scope, "headers": headers}, receive, send)


def _job(desk: Desk, key: str) -> jobs.Job:
    with desk.database.reading() as connection:
        job = jobs.get(connection, key)
    if job is None:
        raise _unknown(key)
    return job


def _unknown(key: str) -> Problem:
    return Problem(404, "", f"expected the id of a job, got {key[:64]!r}")
