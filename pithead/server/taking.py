"""An upload is taken into the catalogue by a process in the cage: even to measure an image GDAL opens it."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pithead.dates import parse_time
from pithead.errors import CatalogError, PitheadError
from pithead.rescore import Archive
from pithead.rescore.intake import take_scenes
from pithead.server.cage import environment, shut_in
from pithead.server.clerk import Clerk, serve
from pithead.server.wire import Told
from pithead.sidefiles import Facts

PROGRAM: Final = "from pithead.server.taking import main; main()"
LONGEST_S: Final = 3600.0
"""A scene of 50 GiB is hashed on the way."""


class Taker:
    """Takes uploads in, by a process that stays until it is closed."""

    def __init__(self) -> None:
        """Begin with no process."""
        self._clerk: Clerk | None = None

    def take(self, archive: Path, path: Path, site: str | None, facts: Facts) -> str | None:
        """Take a scene in; says why it cannot be, None where it is.

        Raises:
            PitheadError: The archive cannot be read or written.
            GoneError: The scene has killed its reader, or took too long.
        """
        if self._clerk is None or not self._clerk.runs:
            self._clerk = Clerk(PROGRAM, environment())
        told = {**asdict(facts), "acquired": None if facts.acquired is None else facts.acquired.isoformat()}
        head, _ = self._clerk.ask(
            {"archive": str(archive.absolute()), "path": str(path), "site": site, "facts": told}, LONGEST_S
        )
        if "hindered" in head:
            number = head.get("errno")
            cause = OSError(number, os.strerror(number)) if isinstance(number, int) else None
            raise CatalogError(str(head["hindered"])) from cause
        return None if head.get("failed") is None else str(head["failed"])

    def close(self) -> None:
        """End the process; the next scene starts another."""
        if self._clerk is not None:
            self._clerk.kill()
        self._clerk = None


def main() -> None:
    """Take in what is asked for."""
    shut_in()
    serve(answer)


def answer(head: dict[str, object]) -> tuple[Told, bytes]:
    """Take one scene in; says why it cannot be, or what hinders everybody."""
    try:
        archive = Archive.open(str(head["archive"]))
        news = take_scenes(archive, [str(head["path"])], _text(head["site"]), _facts(head["facts"]))
    except PitheadError as error:
        return {"hindered": str(error), "errno": _errno(error)}, b""
    except MemoryError:
        return {
            "failed": "expected a scene that is measured in 4 GiB of memory, got one that needs more"
        }, b""
    return {"failed": next((reason for _, reason in news.failed), None)}, b""


def _text(told: object) -> str | None:
    return None if told is None else str(told)


def _facts(told: object) -> Facts:
    facts = dict(told) if isinstance(told, dict) else {}
    return Facts(**{**facts, "acquired": parse_time(facts.get("acquired"))})


def _errno(error: BaseException) -> int | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.errno
        cause = cause.__cause__
    return None
