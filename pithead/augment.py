"""Changes of a training tile that keep it true: mirrors, quarter turns, light, colour, softness.

Spans of a perimeter are locked to a grid of 32 px (see `pithead.labels`), so nothing here may shift, scale
or turn a tile by less than 90 degrees. Mirrors and quarter turns map the grid of a square tile onto itself.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pithead.recipe import Recipe

Tile = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float64]


def augment(tile: Tile, corners: Corners, recipe: Recipe, rng: np.random.Generator) -> tuple[Tile, Corners]:
    """Return the tile (H, W, 3) and its corners (N, 4, 2) in tile px as one random, equally true view."""
    tile, corners = turn(tile, corners, _turns(recipe, rng), mirror=rng.random() < recipe.flip)
    tile = _light(tile, recipe, rng)
    if rng.random() < recipe.grey:
        tile = _grey(tile)
    if rng.random() < recipe.soften:
        tile = _soften(tile, rng)
    return np.ascontiguousarray(tile), corners


def turn(tile: Tile, corners: Corners, quarters: int, *, mirror: bool) -> tuple[Tile, Corners]:
    """Turn a square tile by quarters counter-clockwise (on screen), then mirror it left to right.

    A point (x, y) of a tile of side s goes to (y, s - x) by one quarter: exact, no pixel is resampled.
    """
    side = float(tile.shape[0])
    for _ in range(quarters % 4):
        corners = np.stack((corners[..., 1], side - corners[..., 0]), axis=-1)
    tile = np.rot90(tile, quarters % 4)
    if mirror:
        tile = tile[:, ::-1]
        corners = np.stack((side - corners[..., 0], corners[..., 1]), axis=-1)
    return tile, corners


def _turns(recipe: Recipe, rng: np.random.Generator) -> int:
    if recipe.quarter_turns:
        return int(rng.integers(4))
    # Half a turn and a mirror is an up-down flip: with the mirror beside it, every flip can come.
    return 2 if rng.random() < recipe.flip else 0


def _light(tile: Tile, recipe: Recipe, rng: np.random.Generator) -> Tile:
    """Change gamma, contrast, brightness and band balance by one table per band, then saturation."""
    b, c = recipe.brightness, recipe.colour
    gamma, gain = np.exp(rng.uniform(-b, b, 2))
    offset = rng.uniform(-b, b) * 64
    balance = np.exp(rng.uniform(-c, c, 3) / 3)
    levels = np.linspace(0, 1, 256)[:, None] ** gamma
    table = np.clip((levels - 0.4) * gain * 255 + 102 + offset, 0, 255) * balance
    out = cv2.LUT(np.ascontiguousarray(tile), np.clip(table, 0, 255).astype(np.uint8)[None])
    amount = float(np.exp(rng.uniform(-c, c)))
    return np.asarray(cv2.addWeighted(out, amount, _grey(out), 1 - amount, 0), np.uint8)


def _grey(tile: npt.NDArray[Any]) -> Tile:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _soften(tile: Tile, rng: np.random.Generator) -> Tile:
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(tile, (0, 0), float(rng.uniform(0.4, 1.2))), np.uint8)
    sigma = float(rng.uniform(2, 8))
    noise = rng.standard_normal(tile.shape, np.float32) * sigma
    return np.clip(tile + noise, 0, 255).astype(np.uint8)
