"""The process that reads strangers' images: it decodes, tiles and merges, and asks the server for the model.

It is given an open file and answers a document. It may hold so much memory, dies with the server, sees no
network where the system lets it give that up, and knows no format of GDAL but those of `uploads`.
"""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import traceback
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.detections import Detections
from pithead.errors import OptionError, PitheadError, SceneError
from pithead.imagery import Scene, open_scene
from pithead.scan import TileDetections, Way, assemble, detect_tiles
from pithead.server.cage import MEMORY_BYTES, shut_in
from pithead.server.telling import Teller
from pithead.server.wire import Line, Tiles, tiles_of
from pithead.tiling import Grid

PIXEL_NOTE: Final = (
    "The image has no georeference: coordinates are its pixels, x right and y down from the outer corner of "
    "the first pixel, not longitude and latitude."
)
_MEMORY: Final = (
    f"expected an image that is decoded in {MEMORY_BYTES // 2**30} GiB of memory, got one that needs more; "
    "save it as a tiled GeoTIFF"
)
_BANDS: Final = re.compile(r"name them in this order with --bands.*")
_UNREADABLE: Final = "expected an image that can be read and placed, got one that cannot"
_NO_ROWS: Final = np.zeros((0, 7), np.float32)


class TooLargeError(OptionError):
    """An image that is too large to be answered at once."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one image.

    Attributes:
        name: What its owner calls it.
        sha256: The hash of its bytes.
        weights_sha256: Of the weights that look at it.
        pixels: The most that it may have at the ground resolution of the weights.
        gsd_m: Metres per pixel, if it has no georeference.
        min_score: The lowest score that is told; None for the thresholds of the weights.
        classes: Names of the classes that are told; none for all.
        max_detections: At most so many, the surest.
    """

    name: str
    sha256: str
    weights_sha256: str
    pixels: int
    gsd_m: float | None = None
    min_score: float | None = None
    classes: tuple[str, ...] = ()
    max_detections: int | None = None

    def check(self, card: Card) -> None:
        """Refuse what the weights do not know, before the image is looked at.

        Raises:
            OptionError: A class that the card does not name.
        """
        known = [one.name for one in card.classes]
        if strange := sorted(set(self.classes) - set(known)):
            raise OptionError(f"expected classes of {', '.join(known)}; got {', '.join(strange)}")

    def thresholds(self, card: Card) -> npt.NDArray[np.float64]:
        """The least score of each class of a card; infinite where it is not asked for."""
        least = np.array(card.thresholds, np.float64)
        if self.min_score is not None:
            least[:] = self.min_score
        if self.classes:
            least[[one.name not in self.classes for one in card.classes]] = np.inf
        return least

    @classmethod
    def of(cls, table: dict[str, Any]) -> Self:
        """What went over the wire as JSON."""
        return cls(**{**table, "classes": tuple(table["classes"])})


@dataclass(slots=True)
class Model:
    """The model at the other end of the line: tiles are sent as they are read, rows are fetched at the end.

    So the model is at work while the rest of the image is decoded, and `scan.detect_tiles` need not know.
    """

    card: Card
    line: Line
    tiles: Tiles
    _free: list[int] = field(default_factory=list)
    _rows: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _sent: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Every slot is free."""
        self._free = list(range(len(self.tiles)))

    def detect(self, tiles: Tiles) -> list[npt.NDArray[np.float32]]:
        """Send each of the tiles; what comes back for now are empty rows."""
        for tile in tiles:
            if not self._free:
                self._take()
            slot = self._free.pop()
            self.tiles[slot] = tile
            self._sent[slot] = len(self._rows)
            self._rows.append(_NO_ROWS)
            self.line.send({"tile": slot})
        return [_NO_ROWS] * len(tiles)

    def rows(self) -> tuple[npt.NDArray[np.float32], ...]:
        """What the model has seen in all tiles so far, in the order in which they were sent."""
        while self._sent:
            self._take()
        rows, self._rows = tuple(self._rows), []
        return rows

    def _take(self) -> None:
        """Wait for the rows of one tile."""
        head, body, _ = self.line.receive()
        slot = int(str(head["slot"]))
        self._rows[self._sent.pop(slot)] = np.frombuffer(body, np.float32).reshape(-1, 7)
        self._free.append(slot)


def found_in(scene: Scene, model: Model, order: Order) -> Detections:
    """Scan an open scene with the model at the other end.

    Raises:
        SceneError: The scene cannot be read any further.
    """
    least = order.thresholds(model.card)
    try:
        seen = detect_tiles(scene, model, Way(batch=1))
    finally:
        model.line.send({"merging": True})
        rows = model.rows()
    whole: TileDetections = replace(seen, rows=rows)
    found = assemble(whole.above(least), model.card)
    return (
        found if order.max_detections is None else found.surest(order.max_detections, model.card.line_classes)
    )


def document(found: Detections, scene: Scene, card: Card, order: Order) -> dict[str, object]:
    """The answer of /v1/detect: a FeatureCollection, which says so if it is in pixels."""
    origin = {
        "scene": order.name,
        "scene_sha256": order.sha256,
        "weights_sha256": order.weights_sha256,
    }
    frame: dict[str, object] = {"type": "FeatureCollection", "frame": "lonlat"}
    if scene.crs is None:
        frame |= {"frame": "px", "note": PIXEL_NOTE, "width": scene.width, "height": scene.height}
        frame |= {"gsd_m": scene.gsd_m[0]}
    return {**frame, "features": list(Teller(found, scene, card, origin).features())}


def answer(line: Line, model: Model, order: Order, file: int) -> None:
    """Scan one image and say what was found, or why that cannot be."""
    path = f"/dev/fd/{file}"
    try:
        with open_scene(path, gsd_m=order.gsd_m) as scene:
            _check(scene, model.card, order.pixels)
            told = document(found_in(scene, model, order), scene, model.card, order)
    except TooLargeError as error:
        line.send({"refused": str(error), "status": 413})
        return
    except MemoryError:
        line.send({"refused": _MEMORY, "status": 413})
        return
    except PitheadError as error:
        line.send({"refused": _line(error, path), "status": 422})
        return
    except Exception:  # noqa: BLE001 (nothing is done here but with this image: whatever it is, that is why)
        traceback.print_exc()
        line.send({"refused": _UNREADABLE, "status": 422})
        return
    counts: dict[str, int] = {}
    for feature in told["features"]:  # type: ignore[attr-defined]
        name = feature["properties"]["class"]
        counts[name] = counts.get(name, 0) + 1
    text = json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
    line.send({"frame": told["frame"], "found": counts}, text)


def _check(scene: Scene, card: Card, pixels: int) -> None:
    """Refuse what names other files, and few pixels of a kilometre each, which would be many tiles."""
    if len(scene.files) > 1:
        raise SceneError("expected an image of one file, got one that names others")
    grid = Grid.of(scene, card.gsd_m, card.tile_px, 0)
    if grid.width * grid.height > pixels:
        raise TooLargeError(
            f"expected at most {pixels} pixels at {card.gsd_m:g} m, got {grid.width} × {grid.height}; "
            "cut it into parts, or send it to /v1/scenes"
        )


def _line(error: BaseException, path: str) -> str:
    """What an error says, of the image and not of a file of this machine."""
    text = " ".join(str(error).split()).replace(path, "image").replace("with --gsd", "with gsd_m")
    return _BANDS.sub("mark them so in the file", text)


def main() -> None:
    """Answer orders until nobody asks any more: `main SOCKET MEMORY`, numbers of open files."""
    end, memory = (int(word) for word in sys.argv[1:])
    shut_in()
    # The server ends its scanners itself; Ctrl+C in a terminal reaches every process of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=end) as connection, contextlib.suppress(EOFError, ConnectionError):
        line = Line(connection)
        _, text, _ = line.receive()
        card = Card.from_json(text.decode())
        model = Model(card, line, tiles_of(memory, card.tile_px))
        line.send({"ready": os.getpid()})
        while True:
            head, _, files = line.receive()
            try:
                answer(line, model, Order.of(head), files[0])
            finally:
                for file in files:
                    os.close(file)
