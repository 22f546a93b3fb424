"""Label Studio over HTTP: the project, its tiles and its annotations.

The only part of the library that opens a connection, and only to the address that the user gave. Proxies of
the environment are passed over: what is labelled goes to that server and nowhere else.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pithead.errors import LabelError

TIMEOUT_S = 300
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Studio:
    """A server, and what shows that one may use it."""

    url: str
    authorization: str

    @classmethod
    def at(cls, url: str, key: str) -> "Studio":
        """The server at an address, with an API key: a personal access token, or a legacy token.

        Raises:
            LabelError: no http address, no answer, or a key that the server does not know.
        """
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise LabelError(f"the address of Label Studio begins with http:// or https://; got {url}")
        if key.count(".") != 2:  # no JSON web token
            return cls(url.rstrip("/"), f"Token {key}")
        answer = _ask(url.rstrip("/"), None, "POST", "/api/token/refresh/", {"refresh": key})
        return cls(url.rstrip("/"), f"Bearer {answer['access']}")

    def create(self, title: str, config: str) -> int:
        """Create a project with a labelling configuration (XML); its number."""
        return int(self._call("POST", "/api/projects/", {"title": title, "label_config": config})["id"])

    def show_files(self, project: int, folder: Path) -> None:
        """Let a project show the images of a folder of the server's machine."""
        entry = {"project": project, "path": str(folder), "title": folder.name, "use_blob_urls": False}
        self._call("POST", "/api/storages/localfiles/", entry)

    def start_from(self, project: int, version: str) -> None:
        """Let every annotation of a project begin with the predictions of a model."""
        told = {"model_version": version, "show_collab_predictions": True}
        self._call("PATCH", f"/api/projects/{project}/", told)

    def add(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> int:
        """Add tasks with their predictions to a project; how many."""
        return int(self._call("POST", f"/api/projects/{project}/import", list(tasks))["task_count"])

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """Every task of a project that somebody has annotated, with the annotations."""
        found: list[dict[str, Any]] = self._call("GET", f"/api/projects/{project}/export?exportType=JSON")
        return found

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (any JSON)
        return _ask(self.url, self.authorization, method, path, body)


def _ask(url: str, authorization: str | None, method: str, path: str, body: object) -> Any:  # noqa: ANN401
    """One request and its answer."""
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, method=method, data=data, headers=headers)  # noqa: S310 (the scheme was checked)
    try:
        with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        text = error.read(500).decode(errors="replace")
        raise LabelError(
            f"Label Studio at {url} answered {error.code} to {method} {path}: {text}: check the API key and "
            "the number of the project"
        ) from error
    except (OSError, ValueError) as error:
        raise LabelError(
            f"Label Studio is needed at {url}; {error}: start it (make labelstudio) or correct the address"
        ) from error


def read_key(path: Path) -> str:
    """An API key from a file, so that it is in no command line and in no history.

    Raises:
        LabelError: no such file, or nothing in it.
    """
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"a file with the API key is needed; {path} cannot be read ({error})") from error
    if not key:
        raise LabelError(f"a file with the API key is needed; {path} is empty: copy the key into it")
    return key
