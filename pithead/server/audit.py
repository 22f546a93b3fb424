"""Who has changed or read detections: one line of JSON for each such request, in ARCHIVE/audit.jsonl.

Routes add what they have told or changed: `note(request, {"detections": 12})`.
"""

import asyncio
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
        """Add a line, and return when the system has it: a kill of the server does not lose it."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._add, line)

    def _add(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode("ascii") + b"\n"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, data)  # one call: lines of several processes do not mix
            finally:
                os.close(file)
        except OSError:
            LOG.exception("the audit line %s is not in %s", data.decode("ascii").strip(), self.path)


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
