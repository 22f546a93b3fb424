"""How a gate answers a request that goes no further, and which paths are behind a lock."""

from typing import Final

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from pithead.server.problems import Problem, answer

CLOSED: Final = ("/v1/", "/metrics")
"""What begins so needs a caller; the page and its health do not."""


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that goes no further."""
    await answer(Request(scope), problem)(scope, receive, send)
