"""What sensors and their processing do to a scene: bands apart, grey, other stretches, light and colour."""

import cv2
import numpy as np

from pithead.augment.fields import as_bytes
from pithead.augment.view import Tile
from pithead.imagery.stretch import Stretch


def band_shift(tile: Tile, rng: np.random.Generator) -> Tile:
    """Red and blue up to 2 px away from green: bands that were taken one after the other."""
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 2.0)
    out = tile.copy()
    for band, way in ((0, 1.0), (2, -rng.uniform(0.0, 1.0))):
        matrix = np.array([[1, 0, way * far * np.cos(angle)], [0, 1, way * far * np.sin(angle)]])
        plane = np.ascontiguousarray(tile[..., band])
        moved = cv2.warpAffine(plane, matrix, plane.shape[::-1], borderMode=cv2.BORDER_REFLECT_101)
        out[..., band] = moved
    return out


def panchromatic(tile: Tile, rng: np.random.Generator) -> Tile:
    """Grey, weighing the bands anew each time: panchromatic bands differ in what they see."""
    weights = rng.dirichlet((4.0, 5.0, 2.0)).astype(np.float32)
    plane = cv2.transform(tile, weights[None])
    return np.asarray(cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB), np.uint8)


def stretched(tile: Tile, rng: np.random.Generator) -> Tile:
    """Stretched anew, towards other percentiles than 2 and 98, and another gamma.

    Only part of the way: a stretch is found on a whole scene, which has more than one tile's colours.
    """
    every = tile[::8, ::8].reshape(-1, 3).T
    bands = every if rng.random() < 0.5 else np.broadcast_to(every.reshape(1, -1), (3, every.size))
    whole = Stretch.of(bands, float(rng.uniform(0, 6)), float(rng.uniform(94, 100)))
    share = rng.uniform(0.2, 0.9)
    low, high = share * np.array(whole.low), 255 - share * (255 - np.array(whole.high))
    levels = np.clip((np.arange(256)[:, None] - low) / (high - low), 0, 1)
    table = 255 * levels ** float(np.exp(rng.uniform(-0.35, 0.35)))
    return np.asarray(cv2.LUT(tile, np.rint(table).astype(np.uint8)[None]), np.uint8)


def tone(tile: Tile, brightness: float, colour: float, rng: np.random.Generator) -> Tile:
    """Other gamma, contrast, brightness and band balance by one table per band, then saturation."""
    gamma, gain = np.exp(rng.uniform(-brightness, brightness, 2))
    offset = rng.uniform(-brightness, brightness) * 64
    balance = np.exp(rng.uniform(-colour, colour, 3) / 3)
    levels = np.linspace(0, 1, 256)[:, None] ** gamma
    table = np.clip((levels - 0.4) * gain * 255 + 102 + offset, 0, 255) * balance
    out = cv2.LUT(tile, np.rint(np.clip(table, 0, 255)).astype(np.uint8)[None])
    amount = float(np.exp(rng.uniform(-colour, colour)))
    plain = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(out, amount, plain, 1 - amount, 0), np.uint8)


def grain(tile: Tile, rng: np.random.Generator) -> Tile:
    """Noise that grows with light, partly the same in all bands, as coarse as single pixels."""
    dark, bright = np.float32(rng.uniform(1, 4)), np.float32(rng.uniform(0, 6))
    shared = rng.standard_normal(tile.shape[:2], np.float32)[..., None]
    height = dark + bright * (tile.astype(np.float32) / 255)
    return as_bytes(tile + height * shared)
