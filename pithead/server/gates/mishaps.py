"""The innermost gate: errors nobody expected."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pithead.server.gates.refusal import refuse
from pithead.server.problems import LOG, Problem


class Mishaps:
    """Answers what nobody expected with a 500 that tells nothing; the log of the server tells it all."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Problem:
            raise
        except ClientDisconnect:
            await refuse(Problem(400, "Broken off", "expected the whole body"), scope, receive, send)
        except Exception:
            if started or scope["type"] != "http":
                raise
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            await refuse(Problem(500), scope, receive, send)
