"""Serve detections over HTTP: POST /v1/detect takes one image and answers GeoJSON, GET /healthz says ready.

    make serve
    curl -F image=@tile.tif http://127.0.0.1:3000/v1/detect
    curl -F image=@tile.png -F gsd=0.5 http://127.0.0.1:3000/v1/detect

The weights are `weights/starter.onnx`, or what PITHEAD_WEIGHTS names. Weights that the manifest.toml beside
them does not list as they are, are refused unless PITHEAD_UNVERIFIED is 1. It listens on 127.0.0.1 only: it
knows no users, so put a gate in front of it before you let others in.
"""

import hashlib
import json
import math
import os
import tempfile
import threading
from pathlib import Path
from typing import Final

# BentoML reports home unless this is set, and looks when it is imported.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import bentoml
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pithead.detector import Detector
from pithead.errors import GroundResolutionError, OptionError, PitheadError, SceneError
from pithead.imagery import open_scene
from pithead.scan import scan
from pithead.vectors import Origin, geojson, layers

MAX_BYTES: Final = 64 * 2**20
MAX_PIXELS: Final = 100_000_000  # one answer in one request; larger scenes are for inference/scan.py
# What the error of one image tells the client; anything else is our fault and a 500 without details.
STATUS: Final[dict[type[PitheadError], int]] = {
    SceneError: 422,
    GroundResolutionError: 422,
    OptionError: 422,
}
# GDAL reads a hundred formats, some of which are recipes that fetch other files or addresses. Only plain
# images are let through, by their first bytes; a client's file name is never used.
SIGNATURES: Final[dict[bytes, str]] = {
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"\0\0\0\x0cjP  \r\n\x87\n": ".jp2",
}


class BodyLimit:
    """Stops a request whose body is over the limit, whether it says so beforehand or not."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body while it is read."""
        headers = dict(scope.get("headers", []))
        told = headers.get(b"content-length", b"0")
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            if told.isdigit() and int(told) > MAX_BYTES:
                raise _too_large()
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BYTES:
                raise _too_large()
            return message

        await self._app(scope, counted, send)


def _too_large() -> HTTPException:
    return HTTPException(
        413, f"expected at most {MAX_BYTES // 2**20} MiB; scan larger scenes with inference/scan.py"
    )


async def detect(request: Request) -> Response:
    """Answer the detections in the posted image as GeoJSON."""
    try:
        async with request.form(max_files=1, max_fields=4) as form:
            upload, gsd = form.get("image"), form.get("gsd")
            if not isinstance(upload, UploadFile):
                raise HTTPException(400, "expected a multipart form with the image as file field 'image'")
            data = await upload.read()
    except MultiPartException as error:
        raise HTTPException(400, f"expected a well-formed multipart form, got {error.message}") from error
    pithead = bentoml.get_current_service()
    found = await run_in_threadpool(pithead.find, data, upload.filename or "", _gsd_m(gsd))
    return Response(json.dumps(found), media_type="application/geo+json")


def _gsd_m(field: UploadFile | str | None) -> float | None:
    """The form field gsd: metres per pixel of an image without georeference."""
    if field is None or field == "":
        return None
    try:
        gsd_m = float(field) if isinstance(field, str) else math.nan
    except ValueError:
        gsd_m = math.nan
    if not (math.isfinite(gsd_m) and gsd_m > 0):
        raise HTTPException(400, "expected gsd as a number of metres per pixel above 0, such as 0.5")
    return gsd_m


def _suffix(data: bytes) -> str:
    """What kind of image this is, by its first bytes."""
    for signature, suffix in SIGNATURES.items():
        if data.startswith(signature):
            return suffix
    raise HTTPException(415, "expected a GeoTIFF, TIFF, PNG, JPEG or JPEG 2000 image, got something else")


async def answer_error(_: Request, error: Exception) -> Response:
    """Every refusal is one JSON object with one clear line."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, STATUS[type(error)])  # type: ignore[index]


# A Starlette route and not a bentoml.api, because those also take pickles and fetch any address that is sent
# in place of a file.
app = Starlette(
    routes=[Route("/detect", detect, methods=["POST"])],
    middleware=[Middleware(BodyLimit)],
    exception_handlers={HTTPException: answer_error, **dict.fromkeys(STATUS, answer_error)},
)


@bentoml.service(
    name="pithead",
    workers=1,
    traffic={"timeout": 600, "max_concurrency": 8},
    http={"host": "127.0.0.1", "port": 3000},
)
@bentoml.asgi_app(app, path="/v1")
class Pithead:
    """One model in one process; images wait for each other, as each scan already uses every core."""

    def __init__(self) -> None:
        """Open the weights once."""
        default = Path(__file__).resolve().parents[1] / "weights" / "starter.onnx"
        path = Path(os.environ.get("PITHEAD_WEIGHTS", default))
        self._detector = Detector.open(path, verify=os.environ.get("PITHEAD_UNVERIFIED") != "1")
        self._one_at_a_time = threading.Lock()

    def find(self, data: bytes, name: str, gsd_m: float | None) -> dict[str, object]:
        """Scan one image.

        Raises:
            HTTPException: It is none of the accepted formats, or has too many pixels.
            PitheadError: It cannot be read or placed.
        """
        origin = Origin(name, hashlib.sha256(data).hexdigest(), self._detector.sha256)
        with tempfile.TemporaryDirectory(prefix="pithead-") as folder:
            path = Path(folder, "image").with_suffix(_suffix(data))
            path.write_bytes(data)
            try:
                with open_scene(path, gsd_m=gsd_m) as scene, self._one_at_a_time:
                    if scene.width * scene.height > MAX_PIXELS:
                        raise _too_many_pixels(scene.width, scene.height)
                    found = layers(scan(scene, self._detector), scene, self._detector.card, origin)
                    return geojson(found, scene)
            except tuple(STATUS) as error:
                line = str(error).replace(str(path), "image").replace("--gsd", "the form field gsd")
                raise type(error)(line) from error


def _too_many_pixels(width: int, height: int) -> HTTPException:
    return HTTPException(
        413, f"expected at most {MAX_PIXELS} pixels, got {width} × {height}; scan it with inference/scan.py"
    )
