"""The gate that sees every request off."""

import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pithead.server.audit import Audit, line_of, template_of, wanted
from pithead.server.gates.refusal import CLOSED
from pithead.server.metrics import REQUEST_SECONDS, REQUESTS

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "worker-src 'self' blob:"  # MapLibre starts its worker from a blob
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
}
METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class Watch:
    """Sees every request off: headers that keep browsers safe, metrics, and a line in the audit."""

    def __init__(self, app: ASGIApp, *, audit: Audit) -> None:
        """Wrap an application."""
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and what it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A dictionary of this request's own: the one that comes from the lifespan is everybody's.
        scope["state"] = dict(scope.get("state", {}))
        begun, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _dress(scope, message)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - begun
            route = template_of(scope) or ("page" if status < 400 else "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            REQUESTS.labels(method, route, str(status)).inc()
            REQUEST_SECONDS.labels(route).observe(seconds)
            if wanted(scope):
                await self._audit.write(line_of(scope, status, seconds))


def _dress(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    # What shows detections is kept by no cache; the page is asked for again each time and seldom sent.
    headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith(CLOSED) else "no-cache")
