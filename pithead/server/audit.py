"""Who has changed or read detections: one line of JSON for each such request, in ARCHIVE/audit.jsonl.

Routes add what they have told or changed: `note(request, {"detections": 12})`. Nothing is told before its
line is written, and nothing is changed while none could be.
"""

import asyncio
import errno
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Scope

from pithead.server.keys import Caller
from pithead.server.problems import LOG

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ROOM: Final = 2**20
"""Bytes of the disk that have to be free for something to be changed: its line comes after it."""
MOST: Final = 2**14  # characters of a query; longer ones are refused, or their ends would not be in the audit


@dataclass(frozen=True, slots=True)
class Audit:
    """A file of lines that is only added to, readable by its owner alone.

    One thread writes them in the order they came, so that a slow disk does not hold up the others. It opens
    the file for each line: whoever moves it away to keep it elsewhere needs not stop the server.
    """

    path: Path
    _writer: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="audit"), repr=False
    )

    async def write(self, line: Mapping[str, Any]) -> None:
        """Add a line, and return when the system has it: a kill of the server does not lose it.

        Raises:
            OSError: It cannot be written; the log of the server has it then.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._add, line)

    async def check(self) -> None:
        """See that a line could be written now.

        Raises:
            OSError: It could not.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._check)

    def _check(self) -> None:
        file = self._opened()
        try:
            room = os.fstatvfs(file)
        finally:
            os.close(file)
        if room.f_bavail * room.f_frsize < ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _add(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode("ascii") + b"\n"
        try:
            file = self._opened()
            try:
                _append(file, data)
            finally:
                os.close(file)
        except OSError:
            LOG.exception("the audit line %s is not in %s", data.decode("ascii").strip(), self.path)
            raise

    def _opened(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _append(file: int, data: bytes) -> None:
    """Add the whole of it, in one call so that lines of several processes do not mix, or nothing."""
    before = os.fstat(file).st_size
    written = os.write(file, data)
    if written < len(data):  # the disk is full: half a line would spoil the next one
        if os.fstat(file).st_size == before + written:
            os.ftruncate(file, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def note(request: Request, counts: Mapping[str, Any]) -> None:
    """Add to the audit line of this request: how many detections were told, which were changed."""
    request.scope.setdefault("state", {}).setdefault("counts", {}).update(counts)


def wanted(scope: Scope) -> bool:
    """Whether a request changes something, or reads detections."""
    path = scope["path"]
    reads = "detections" in path.split("/") or path.startswith("/v1/sites/")
    return path.startswith("/v1/") and (scope["method"] not in SAFE or reads)


def line_of(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    """What the audit says of a request that was answered."""
    state = scope.get("state", {})
    caller = state.get("caller")
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "caller": caller.name if isinstance(caller, Caller) else None,
        "method": scope["method"],
        "route": template_of(scope) or scope["path"][:MOST],
        "ids": dict(scope.get("path_params", {})),
        "query": scope.get("query_string", b"").decode("latin-1")[:MOST],
        "status": status,
        "counts": state.get("counts", {}),
        "ms": round(seconds * 1000, 1),
    }


def template_of(scope: Scope) -> str | None:
    """The path of the route that answered, with the names of what varies; None if none did."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None
