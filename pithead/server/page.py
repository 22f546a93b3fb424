"""The page: files of one folder, for every path that no route has."""

from pathlib import Path

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from pithead.server.problems import Problem

DATA = "/v1"


class Page:
    """Answers what no route has answered."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the built page; without one there are routes all the same."""
        self._files = StaticFiles(directory=folder, html=True) if (folder / "index.html").is_file() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a file.

        Raises:
            Problem: There is none, or nothing was built.
        """
        path = scope["path"]
        if path == DATA or path.startswith(f"{DATA}/") or "\0" in path:
            raise Problem(404, "", "expected a path that /openapi.json lists, got another")
        if self._files is None:
            raise Problem(404, "No page", "expected a built page: `npm run build` in inference/web makes one")
        await self._files(scope, receive, send)
