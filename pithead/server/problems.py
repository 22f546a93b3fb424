"""Every refusal of the server: one JSON object that says what was expected, by RFC 9457.

raise Problem(413, "Too many pixels", "expected at most 100000000 pixels, got 3000000000")
"""

import json
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pithead.errors import (
    ClassesError,
    GroundResolutionError,
    LabelError,
    OptionError,
    PitheadError,
    SceneError,
)

MEDIA_TYPE: Final = "application/problem+json"
LOG: Final = logging.getLogger("pithead.server")
RETRY_S: Final = 5
MOST_DETAIL: Final = 2000  # characters: some details tell back what came
MOST_ERRORS: Final = 20  # of one request; who sends more gets the first

STATUS: Final[Mapping[type[PitheadError], int]] = {
    SceneError: 422,
    GroundResolutionError: 422,
    OptionError: 422,
    ClassesError: 422,
    LabelError: 422,
}
"""What an error tells the client; anything else is the server's fault, and a 500 without details."""


class Problem(HTTPException):
    """A refusal.

    Attributes:
        status_code: Of HTTP.
        title: A few words, the same for every refusal of this kind; they make its `type`.
        detail: What was expected, what came, the remedy.
        headers: Beside those of every answer, such as Retry-After.
    """

    def __init__(
        self, status: int, title: str = "", detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Make a refusal; without a title it is called what HTTP calls the status."""
        # FastAPI lets its own kind of exception through while it reads a body, and hides any other.
        super().__init__(status, detail, headers)
        self.title = title or HTTPStatus(status).phrase


def unavailable(title: str, detail: str, *, after_s: int = RETRY_S) -> Problem:
    """503: what is asked for can be had later, in about so many seconds."""
    return Problem(503, title, detail, {"Retry-After": str(after_s)})


def answer(request: Request, problem: Problem, **more: object) -> Response:
    """A refusal as it goes over the wire; `more` are members of the object beside those of the RFC."""
    phrase = HTTPStatus(problem.status_code).phrase
    told = {
        "type": "about:blank" if problem.title == phrase else f"urn:pithead:problem:{_slug(problem.title)}",
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail[:MOST_DETAIL],
        "instance": request.url.path,
        **more,
    }
    # ASCII: a client's text may hold half a surrogate pair, which is no UTF-8.
    return Response(json.dumps(told), problem.status_code, problem.headers, MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error; of one that is not the client's, nothing.

    A refusal of the library speaks of options of the command line and may name files of this machine: routes
    that open files say themselves what was wrong with them.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem(error.status_code, "", str(error.detail or ""), error.headers)
    for kind in type(error).__mro__:
        if kind in STATUS:
            return Problem(STATUS[kind], "", str(error))
    if isinstance(error, UnicodeEncodeError):
        return Problem(422, "", "expected text of whole characters, got half of a surrogate pair")
    if isinstance(error, sqlite3.OperationalError):
        return _of_sqlite(error)
    return Problem(500)


def _of_sqlite(error: sqlite3.OperationalError) -> Problem:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more exactly what
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return unavailable("Busy", "expected the database to be free, it is written to: ask again")
    if code == sqlite3.SQLITE_FULL:
        return Problem(507, "", "expected room on the server's disk, it is full")
    return Problem(500)


def install(app: FastAPI) -> None:
    """Make an application answer every error with a problem."""
    for kind in (HTTPException, PitheadError, UnicodeEncodeError, sqlite3.OperationalError):
        app.add_exception_handler(kind, _handler(problem_of))
    app.add_exception_handler(RequestValidationError, _invalid)


def _handler(of: Callable[[Exception], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        problem = of(error)
        if problem.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            problem = Problem(405, "", "expected one of the methods of Allow", _allow(request))
        if problem.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, HTTPException):
            LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(request, problem)

    return handle


def _allow(request: Request) -> dict[str, str]:
    """The methods of this path; two routes may share one, and each knows but its own."""
    paths: Mapping[str, Mapping[str, object]] = request.app.openapi()["paths"]
    mine = paths.get(getattr(request.scope.get("route"), "path", ""), {"get": None, "head": None})
    return {"Allow": ", ".join(sorted(method.upper() for method in mine))}


async def _invalid(request: Request, error: Exception) -> Response:
    """What of a request is not as OpenAPI says, each by its place; what came is not told back."""
    told = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [
        {
            "at": "/".join(str(part) for part in one["loc"]),
            "expected": str(one["msg"]).removeprefix("Value error, "),
        }
        for one in told[:MOST_ERRORS]
    ]
    detail = "; ".join(f"{one['at']}: {one['expected']}" for one in errors)
    return answer(request, Problem(422, "", detail), errors=errors)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
