"""What the changes of light share: smooth random fields, grey values, soft steps."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pithead.augment.view import Tile

Plane = npt.NDArray[np.float32]


def field(side: int, rng: np.random.Generator, *, cells: int, octaves: int = 4) -> Plane:
    """A smooth random field (side, side) with values 0 to 1, each as often: like clouds, snow, haze.

    The coarsest octave has `cells` bumps along a side; each next one has twice as many of half the height.
    """
    coarse = max(32, side // 4)
    total = np.zeros((coarse, coarse), np.float32)
    for octave in range(octaves):
        knots = rng.standard_normal((cells * 2**octave + 3,) * 2, np.float32) * np.float32(0.5**octave)
        total += cv2.resize(knots, (coarse, coarse), interpolation=cv2.INTER_CUBIC)
    ranks = np.empty(total.size, np.float32)
    ranks[np.argsort(total, axis=None, kind="stable")] = np.linspace(0, 1, total.size, dtype=np.float32)
    smooth = cv2.GaussianBlur(ranks.reshape(total.shape), (0, 0), 1.0)
    return np.asarray(cv2.resize(smooth, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def step(values: npt.NDArray[Any], low: float, high: float) -> Plane:
    """From 0 at `low` to 1 at `high`, soft at both ends; `low` may be the larger one."""
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def grey(tile: Tile) -> Plane:
    """The brightness of each pixel, 0 to 255."""
    return np.asarray(cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY), np.float32)


def veiled(tile: Tile, share: Plane, colour: npt.ArrayLike) -> Tile:
    """The tile behind a veil of a colour (3,), of which each pixel has its share (S, S), 0 to 1."""
    out = tile.astype(np.float32)
    for band, value in enumerate(np.asarray(colour, np.float32)):
        out[..., band] += (value - out[..., band]) * share
    return as_bytes(out)


def dimmed(tile: Tile, factor: Plane, tint: npt.ArrayLike = (1.0, 1.0, 1.0)) -> Tile:
    """The tile times a factor (S, S); of a factor below 1 each band keeps its power `tint`."""
    out = tile.astype(np.float32)
    for band, power in enumerate(np.asarray(tint, np.float32)):
        out[..., band] *= factor if power == 1 else factor**power
    return as_bytes(out)


def as_bytes(values: npt.NDArray[Any]) -> Tile:
    """Rounded and clipped to 0–255."""
    return np.asarray(cv2.convertScaleAbs(np.maximum(values, 0)), np.uint8)
