"""A part of a scene: what the tiles from one number to another saw, as one file.

A scene of 50 gigapixels is hours of work. It is gone through in parts of a fixed number of tiles, whoever
does them, so that a cluster works on one scene together and a killed run goes on where it was.
"""

import hashlib
import json
from dataclasses import asdict

import numpy as np

from pithead.detections import Coverage
from pithead.geometry import Window
from pithead.scan import TileDetections
from pithead.tiling import Grid

TILES = 256
"""Tiles of a part: some ten seconds of a CPU core, and seldom more than a megabyte."""

_HEAD = b"pithead part 1\n"


def count_of(tiles: int, size: int = TILES) -> int:
    """How many parts of that size a scene of so many tiles has."""
    return max(1, -(-tiles // size))


def slice_of(number: int, size: int = TILES) -> slice:
    """The tiles of a part of that size, by their place in the grid."""
    return slice(number * size, (number + 1) * size)


def encode(seen: TileDetections) -> bytes:
    """A part as bytes that know whether they are whole; the same part gives the same bytes."""
    told = {
        "grid": asdict(seen.grid),
        "windows": [[w.x, w.y, w.width, w.height] for w in seen.windows],
        "rows": [len(rows) for rows in seen.rows],
        "coverage": asdict(seen.coverage),
        "valid_px": seen.valid_px,
    }
    rows = np.concatenate([np.zeros((0, 7), np.float32), *seen.rows]).astype("<f4")
    body = json.dumps(told, sort_keys=True).encode() + b"\n" + rows.tobytes()
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(content: bytes, grid: Grid) -> TileDetections | None:
    """The part that bytes hold; None if they are damaged or of another grid: then it is done again."""
    head, digest, body = (
        content[: len(_HEAD)],
        content[len(_HEAD) : len(_HEAD) + 64],
        content[len(_HEAD) + 65 :],
    )
    if head != _HEAD or hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    line, _, data = body.partition(b"\n")
    told = json.loads(line)
    if Grid(**told["grid"]) != grid:
        return None
    rows = np.frombuffer(data, "<f4").reshape(-1, 7).astype(np.float32)
    ends = np.cumsum(told["rows"])[:-1]
    return TileDetections(
        grid,
        tuple(Window(*w) for w in told["windows"]),
        tuple(np.split(rows, ends)) if told["rows"] else (),
        Coverage(**told["coverage"]),
        told["valid_px"],
    )
