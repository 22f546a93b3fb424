"""Whether the server lives and is ready, and its figures for Prometheus."""

import sqlite3
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from pithead.server.desk import Desk
from pithead.server.keys import Caller, role
from pithead.server.metrics import exposition
from pithead.server.problems import LOG, unavailable

router = APIRouter(tags=["server"])


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """Answer as long as the server lives."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse)
def readyz(request: Request) -> str:
    """Answer 200 when requests are answered, else 503."""
    desk: Desk = request.app.state.desk
    try:
        with desk.database.reading() as connection:
            connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone()
    except sqlite3.Error as error:
        LOG.exception("the database does not answer")
        raise unavailable(
            "Not ready", "expected a database that answers; the server's log says why"
        ) from error
    return "ok\n"


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": 'pithead_jobs{state="queued"} 3.0\n'}}}},
)
def metrics(request: Request, who: Annotated[Caller, Depends(role("submit"))]) -> Response:  # noqa: ARG001
    """Tell Prometheus requests, tiles, batches, model seconds, what waits, jobs and detections."""
    desk: Desk = request.app.state.desk
    return Response(exposition(desk.database), media_type=CONTENT_TYPE_LATEST)
