"""The process that works out one history: its argument is the order, its output the answer.

The first line is a status, 200 or 404, and how many detections are told of; what follows is JSON, or why
there is nothing to tell.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Final

from pithead.errors import WeightsError
from pithead.files import sha256_of
from pithead.rescore import Archive
from pithead.server.cage import shut_in
from pithead.server.discreet import without_folders
from pithead.server.history.order import Order
from pithead.server.history.telling import told
from pithead.sites import chronicle

_NICE: Final = 5
_MOST_BYTES: Final = 16 * 2**30
"""Of memory: a hundred scenes of a large site take a quarter of it."""


def main() -> None:
    """Answer one order."""
    os.nice(_NICE)
    order = Order.from_json(sys.argv[1])
    shut_in(memory=_MOST_BYTES, network=order.remote)
    threading.Thread(target=_leave, daemon=True).start()
    sys.stdout.buffer.write(answer(order))
    sys.stdout.buffer.flush()


def answer(order: Order) -> bytes:
    """The lines of an answer.

    Raises:
        PitheadError: The archive is damaged.
    """
    try:
        history = chronicle(
            Archive.open(Path(order.archive)), order.site, weights=_weights(order), rules=order.rules
        )
    except WeightsError as error:  # what scored the site was forgotten in this moment
        return _nothing(str(error))
    if history.frame is None or not history.views:
        return _nothing(" ".join(str(note) for note in history.notes))
    count = sum(len(view.sightings) for view in history.views)
    text = told(history, history.frame, order.id).model_dump_json(by_alias=True)
    return f"200 {count}\n{text}".encode()


def _nothing(why: str) -> bytes:
    return f"404 0\n{without_folders(why)}".encode()


def _weights(order: Order) -> str | Path | None:
    """The file of the weights, for what it says of its errors; else their hash.

    It is the one that is served, or lies beside it.
    """
    if order.weights is None:
        return None
    served = Path(order.served)
    files = [served, *sorted(served.parent.glob("*.onnx"))]
    return next(
        (file for file in files if file.is_file() and sha256_of(file) == order.weights), order.weights
    )


def _leave() -> None:
    """End with the server: then the other end of standard input is gone."""
    # Not sys.stdin: a thread that is in it when the process ends on its own makes Python abort.
    os.read(0, 1)
    os._exit(1)
