"""The gate that lets nothing through that is too large or takes too long."""

import asyncio
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pithead.server.audit import MOST
from pithead.server.gates.refusal import refuse
from pithead.server.problems import Problem, unavailable
from pithead.server.settings import Limits

ENVELOPE: Final = 2**16  # of a multipart form: its fields and the heads of its parts
SMALL: Final = 2**20  # a body that is no image


class Bounds:
    """Stops a body that is too large, said beforehand or not, and a request that takes too long.

    A scene is uploaded for as long as it takes, but no body may pause for as long as an answer may take.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        """Wrap an application."""
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within its bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("query_string", b"")) > MOST:
            problem = Problem(414, "", f"expected a query of at most {MOST} bytes")
            await refuse(problem, scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            if not started:
                if clock.expired():  # too late: the refusal below is the answer
                    return
                clock.reschedule(None)  # an answer that has begun is sent to its end
                started = True
            await send(message)

        body = Body(scope, receive, self._most(scope), self._limits.answer_s)
        try:
            async with asyncio.timeout(self._longest(scope)) as clock:
                await self._app(scope, body.receive, noted)
        except Problem as problem:
            if started:
                raise
            await refuse(problem, scope, receive, send)
        except TimeoutError:
            if started or not clock.expired():
                raise
            detail = f"expected to answer within {self._limits.answer_s:g} s, it would take longer"
            await refuse(unavailable("Too slow", detail), scope, receive, send)

    def _most(self, scope: Scope) -> int:
        """Most bytes of the body."""
        return {
            "/v1/detect": self._limits.tile_bytes + ENVELOPE,
            "/v1/scenes": self._limits.scene_bytes + ENVELOPE,
        }.get(scope["path"], SMALL)

    def _longest(self, scope: Scope) -> float | None:
        upload = scope["path"] == "/v1/scenes" and scope["method"] == "POST"
        return None if upload else self._limits.answer_s


class Body:
    """The body of a request while it comes in."""

    def __init__(self, scope: Scope, receive: Receive, most: int, pause_s: float) -> None:
        """Take at most so many bytes, with pauses of at most so many seconds."""
        told = Headers(scope=scope).get("content-length", "")
        self._told = int(told) if told.isdecimal() and len(told) < 20 else 0
        self._receive = receive
        self._most = most
        self._pause_s = pause_s
        self._seen = 0
        self._whole = False

    async def receive(self) -> Message:
        """The next message of the client.

        Raises:
            Problem: 413 if it is too large, 408 if the client has paused for too long.
        """
        if self._told > self._most:
            raise self._too_large()
        if self._whole:  # from now on what comes is that the client has gone
            return await self._receive()
        try:
            async with asyncio.timeout(self._pause_s):
                message = await self._receive()
        except TimeoutError as error:
            raise Problem(408, "", f"expected more of the body within {self._pause_s:g} s") from error
        self._whole = not message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> Problem:
        return Problem(413, "", f"expected a body of at most {self._most} bytes")
