"""The gate against pages of strangers."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pithead.server.audit import SAFE
from pithead.server.gates.refusal import CLOSED, refuse
from pithead.server.problems import Problem
from pithead.server.settings import LOOPBACK, Settings


class Names:
    """Lets in only who calls the server by its name, and no page of another origin.

    A page of a stranger can make a browser on this machine send requests to loopback: by a name of its own
    that it lets point here (DNS rebinding), or as a form or fetch across origins. Browsers say so in Host,
    Origin and Sec-Fetch-Site.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        """Wrap an application."""
        self._app = app
        self._hosts = frozenset({*LOOPBACK, *settings.hosts, settings.host})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            problem = self._of_host(headers.get("host", "")) or _of_origin(scope, headers)
            if problem is not None:
                await refuse(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _of_host(self, host: str) -> Problem | None:
        name = _host_of(host)
        # An address in figures is no name that anybody could let point here.
        if name is not None and (name in self._hosts or _is_address(name)):
            return None
        return Problem(
            400,
            "Unknown host",
            "expected to be called by an address or a name of this server; name others in PITHEAD_HOSTS",
        )


def _host_of(text: str) -> str | None:
    """The name of a Host header or the like, without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{text}")
        fine = parts.netloc == text and parts.username is None and parts.port != 0
    except ValueError:
        return None
    return parts.hostname if fine else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _of_origin(scope: Scope, headers: Headers) -> Problem | None:
    """What is wrong with where a request comes from."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        fine = site in ("same-origin", "none") or _follows_link(scope, headers)
    else:
        fine = origin is None or _same(origin, headers.get("host", ""))
    return None if fine else Problem(403, "Other origin", "expected a request of this server's own page")


def _follows_link(scope: Scope, headers: Headers) -> bool:
    """Whether somebody follows a link to the page, from a mail for instance."""
    return (
        headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
        and scope["method"] in SAFE
        and not scope["path"].startswith(CLOSED)
    )


def _same(origin: str, host: str) -> bool:
    """Whether an origin is this server's, which has another scheme but no other name behind TLS."""
    scheme, _, rest = origin.partition("://")
    port = {"http": ":80", "https": ":443"}.get(scheme, "")
    return bool(port) and rest.lower().removesuffix(port) == host.lower().removesuffix(port)
