"""The gate that knows who comes."""

import ipaddress
import time
from collections import OrderedDict
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pithead.server.gates.refusal import CLOSED, refuse
from pithead.server.keys import LOCAL, Caller, Keyring, unknown
from pithead.server.problems import Problem

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
TRIES: Final = 10  # wrong keys from one address within
TRIES_S: Final = 60.0
ADDRESSES: Final = 10_000  # of which wrong keys are remembered


class Doorkeeper:
    """Says who the caller is: by key or, as long as none was given out, by sitting at this machine."""

    def __init__(self, app: ASGIApp, *, keyring: Keyring) -> None:
        """Wrap an application."""
        self._app = app
        self._keyring = keyring
        self._wrong = WrongKeys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller, or refuse it before its body is read."""
        if scope["type"] == "http" and scope["path"].startswith(CLOSED):
            try:
                scope["state"]["caller"] = self._caller(scope)
            except Problem as problem:
                await refuse(problem, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        key = _key_of(headers)
        if key is None:
            if _is_local(scope, headers) and self._keyring.empty():
                return LOCAL
            raise unknown()
        caller = self._keyring.holder(key)
        if caller is None:
            address = scope["client"][0] if scope.get("client") else ""
            raise self._wrong.problem(address) or unknown()
        return caller


def _key_of(headers: Headers) -> str | None:
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip()
    return headers.get("x-api-key")


def _is_local(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from this machine itself, and not through a proxy on it."""
    client = scope.get("client")
    if client is None or any(name in headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class WrongKeys:
    """How many wrong keys came from each address of late.

    A right key always opens: else whoever shares an address with somebody could lock them out.
    """

    def __init__(self) -> None:
        """Remember nobody."""
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def problem(self, address: str) -> Problem | None:
        """Count a wrong key; 429 after `TRIES` of them in `TRIES_S` seconds."""
        now = time.monotonic()
        begun, count = self._seen.pop(address, (now, 0))
        if now - begun > TRIES_S:
            begun, count = now, 0
        self._seen[address] = (begun, count + 1)
        if len(self._seen) > ADDRESSES:
            self._seen.popitem(last=False)
        if count < TRIES:
            return None
        left = max(1, round(begun + TRIES_S - now))
        detail = f"expected a right key, got more than {TRIES} wrong ones within a minute: check it"
        return Problem(429, "", detail, {"Retry-After": str(left)})
