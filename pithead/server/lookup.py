"""How routes look things up: in the mirror of the archive, which is held to it first."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection, Row
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request

from pithead.errors import PitheadError
from pithead.server.desk import Desk
from pithead.server.mirror import Mirror, Served
from pithead.server.problems import LOG, Problem

_MAKING: Final = threading.Lock()


def mirror_of(request: Request) -> Mirror:
    """The mirror of the application that a request came to, made at the first."""
    return _mirror(request.app)


def _mirror(app: FastAPI) -> Mirror:
    with _MAKING:
        if not hasattr(app.state, "mirror"):
            desk: Desk = app.state.desk
            served = Served(desk.card, desk.weights_sha256)
            app.state.mirror = Mirror(desk.database, desk.settings.archive, served)
        mirror: Mirror = app.state.mirror
    return mirror


def warm(app: FastAPI) -> None:
    """Make the mirror before anybody asks for it; what is wrong with the archive is told to whoever asks."""
    try:
        _mirror(app).fresh()
    except (PitheadError, Problem, sqlite3.Error) as error:
        LOG.warning("the index of detections is not made yet: %s", error)


@contextmanager
def looking(request: Request) -> Iterator[Connection]:
    """A connection that sees the archive as it is now; of threads, as it may take a moment.

    Raises:
        Problem: 503 while the mirror is being made.
        PitheadError: The archive is damaged.
    """
    mirror_of(request).fresh()
    desk: Desk = request.app.state.desk
    with desk.database.reading() as connection:
        yield connection


def scene_row(connection: Connection, scene: str) -> Row:
    """The row of a scene.

    Raises:
        Problem: 404 of another id.
    """
    row: Row | None = connection.execute("SELECT * FROM mirror_scenes WHERE id = ?", (scene,)).fetchone()
    if row is None:
        raise Problem(
            404, "", "expected the id of a scene of the archive, got another: GET /v1/scenes lists them"
        )
    return row
