"""The OpenAPI document: what FastAPI knows of the routes, with keys and problems as this server has them."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pithead.server.problems import MEDIA_TYPE

ABOUT: Final = (
    "Finds mine heads, coal heaps, guard perimeters and rail loading in images: tiles are answered at once "
    "(/v1/detect), scenes in the background (/v1/scenes, /v1/jobs), finds are listed (/v1/detections) and "
    "reviewed. Every error is a problem of RFC 9457."
)
PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Why a request was refused: what was expected, what came, the remedy.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "expected"],
                "properties": {"at": {"type": "string"}, "expected": {"type": "string"}},
            },
        },
    },
    "example": {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "query/limit: Input should be less than or equal to 1000",
        "instance": "/v1/detections",
        "errors": [{"at": "query/limit", "expected": "Input should be less than or equal to 1000"}],
    },
}
REFUSED: Final[dict[str, Any]] = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
OWN: Final = ("HTTPValidationError", "ValidationError")  # FastAPI's errors, which are never answered here


def writer(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What an application calls for its document; made once, when it is asked for first."""
    made: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not made:
            made.update(_document(app))
        return made

    return document


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
    parts = document.setdefault("components", {})
    schemas = {k: v for k, v in parts.get("schemas", {}).items() if k not in OWN}
    parts["schemas"] = dict(sorted({**schemas, "Problem": PROBLEM}.items()))
    parts["securitySchemes"] = SCHEMES
    # The empty one: whoever sits at the machine itself, as long as no key was given out.
    document["security"] = [{"bearer": []}, {"key": []}, {}]
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            if "HTTPValidationError" in str(answers.get("422", "")):
                del answers["422"]
            answers.setdefault("default", REFUSED)
    return document
