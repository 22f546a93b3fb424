"""The gate that sees every request off."""

import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pithead.server.audit import SAFE, Audit, line_of, template_of, wanted
from pithead.server.gates.refusal import CLOSED, refuse
from pithead.server.metrics import REQUEST_SECONDS, REQUESTS
from pithead.server.problems import LOG, Problem, unavailable

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
_REFUSED: Final = 400
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
        seen = _Seen(scope, send, self._audit)
        try:
            if wanted(scope) and scope["method"] not in SAFE and not await self._fit():
                await refuse(_no_audit(), scope, receive, seen.send)
                return
            await self._app(scope, receive, seen.send)
        finally:
            await seen.end()

    async def _fit(self) -> bool:
        """Whether the audit can take a line."""
        try:
            await self._audit.check()
        except OSError:
            LOG.exception("the audit cannot be written: nothing is changed")
            return False
        return True


class _Seen:
    """One answer on its way out: its line is in the audit before its first byte is sent."""

    def __init__(self, scope: Scope, send: Send, audit: Audit) -> None:
        self._scope, self._send, self._audit = scope, send, audit
        self._begun, self._status = time.perf_counter(), 0
        self._written = self._withheld = False

    async def send(self, message: Message) -> None:
        """Send a message of the application; another answer where its line cannot be written."""
        if self._withheld:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if wanted(self._scope) and not await self._write() and self._status < _REFUSED:
                self._withheld, self._status = True, 503
                await refuse(_no_audit(), self._scope, _nothing, self._sent)
                return
        await self._sent(message)

    async def end(self) -> None:
        """Count the request, and write its line if there was no answer."""
        seconds = time.perf_counter() - self._begun
        route = template_of(self._scope) or ("page" if self._status < _REFUSED else "none")
        method = self._scope["method"] if self._scope["method"] in METHODS else "other"
        REQUESTS.labels(method, route, str(self._status)).inc()
        REQUEST_SECONDS.labels(route).observe(seconds)
        if wanted(self._scope) and not self._written:
            await self._write()

    async def _write(self) -> bool:
        self._written = True
        line = line_of(self._scope, self._status, time.perf_counter() - self._begun)
        try:
            await self._audit.write(line)
        except OSError:  # the log of the server has told
            return False
        return True

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            _dress(self._scope, message)
        await self._send(message)


def _no_audit() -> Problem:
    return unavailable(
        "No audit", "expected room for a line in the audit of the server, there is none: tell whoever runs it"
    )


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _dress(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    # What shows detections is kept by no cache; the page is asked for again each time and seldom sent.
    headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith(CLOSED) else "no-cache")
