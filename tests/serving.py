"""The server's application without its worker, and clients from this machine or from elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from starlette.testclient import TestClient

from pithead.card import Card
from pithead.server.app import create_app
from pithead.server.settings import Settings

SHA256 = "5f" * 32
HERE = "http://127.0.0.1"


async def nothing(tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """A model that finds nothing."""
    return [np.zeros((0, 7), np.float32)] * len(tiles)


def settings_in(folder: Path, **others: Any) -> Settings:  # noqa: ANN401 (any field)
    """Settings of a server in a folder, with no page."""
    return replace(Settings(folder / "archive", folder / "weights.onnx", web=folder / "web"), **others)


def app_in(folder: Path, card: Card, **others: Any) -> FastAPI:  # noqa: ANN401 (any field of the settings)
    """An application in a folder."""
    return create_app(settings_in(folder, **others), nothing, card=card, weights_sha256=SHA256)


def client(
    app: FastAPI, key: str | None = None, *, address: str = "127.0.0.1", at: str = HERE, **headers: str
) -> TestClient:
    """A client at an address; its lifespan, and so the worker, is not run."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        told["Authorization"] = f"Bearer {key}"
    return TestClient(app, base_url=at, client=(address, 50000), headers=told, raise_server_exceptions=False)
