"""What every route of the server needs, made once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.server.database import Database
from pithead.server.settings import Settings

Infer = Callable[[npt.NDArray[np.uint8]], Awaitable[list[npt.NDArray[np.float32]]]]
"""Tiles uint8 (n, side, side, 3) through the model: rows float32 (k, 7) of each, as in `Detector.detect`."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The server's things, found by routes as `request.app.state.desk`.

    Attributes:
        settings: How the server is set up.
        card: That of the weights that are served.
        weights_sha256: The hash of their file.
        infer: The model.
        database: Jobs, keys and the index of detections.
    """

    settings: Settings
    card: Card
    weights_sha256: str
    infer: Infer
    database: Database
