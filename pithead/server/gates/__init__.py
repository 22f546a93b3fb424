"""What a request passes before it reaches a route, from the outside in.

Watch (headers, metrics, audit), Names (host and origin), Doorkeeper (keys), Bounds (size and time), Mishaps
(errors nobody expected). They see a request before its body is read.
"""

from fastapi import FastAPI

from pithead.server.audit import Audit
from pithead.server.gates.bounds import Bounds
from pithead.server.gates.doorkeeper import Doorkeeper
from pithead.server.gates.mishaps import Mishaps
from pithead.server.gates.names import Names
from pithead.server.gates.watch import Watch
from pithead.server.keys import Keyring
from pithead.server.settings import Settings

__all__ = ["Bounds", "Doorkeeper", "Mishaps", "Names", "Watch", "install"]


def install(app: FastAPI, settings: Settings, keyring: Keyring, audit: Audit) -> None:
    """Put the gates before an application."""
    app.add_middleware(Mishaps)
    app.add_middleware(Bounds, limits=settings.limits)
    app.add_middleware(Doorkeeper, keyring=keyring)
    app.add_middleware(Names, settings=settings)
    app.add_middleware(Watch, audit=audit)
