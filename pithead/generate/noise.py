"""Noise over several scales: the raw material of everything natural in a generated scene."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from pithead.generate.canvas import FloatGrid

COARSE = 8  # lumps of twice this and more are made on a grid that is coarser by this


def lattice(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> FloatGrid:
    """Smooth noise of standard deviation about 0.7 whose lumps are `cell_px` wide.

    Args:
        rng: Source of chance.
        shape: (H, W) of the result.
        cell_px: Distance of the random knots; below 1.5 the result is white noise.
    """
    if cell_px < 1.5:
        return rng.standard_normal(shape, np.float32)
    rows, cols = int(shape[0] / cell_px) + 4, int(shape[1] / cell_px) + 4
    knots = Image.fromarray(rng.standard_normal((rows, cols), np.float32))
    left, top = float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.5, 1.5))
    box = (left, top, left + shape[1] / cell_px, top + shape[0] / cell_px)
    return np.array(knots.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box), np.float32)


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    largest_px: float,
    octaves: int = 5,
    persistence: float = 0.5,
) -> FloatGrid:
    """Sum of noises, each of half the width and `persistence` of the strength; deviation about 1.

    Args:
        rng: Source of chance.
        shape: (H, W) of the result.
        largest_px: Width of the largest lumps.
        octaves: How many halvings at most; stops at single cells.
        persistence: 0 to 1, roughness.
    """
    cells = [largest_px / 2**octave for octave in range(octaves) if largest_px / 2**octave >= 1]
    weights = [persistence**octave for octave in range(len(cells))]
    coarse = [pair for pair in zip(cells, weights, strict=True) if pair[0] >= 2 * COARSE]
    small = (-(-shape[0] // COARSE), -(-shape[1] // COARSE))
    lumps = np.zeros(small, np.float32)
    for cell, weight in coarse:
        lumps += np.float32(weight) * lattice(rng, small, cell / COARSE)
    total = grown(lumps, shape) if coarse else np.zeros(shape, np.float32)
    for cell, weight in zip(cells[len(coarse) :], weights[len(coarse) :], strict=True):
        total += np.float32(weight) * lattice(rng, shape, cell)
    total /= np.float32(max(1e-6, 0.7 * float(np.hypot.reduce(weights)))) if weights else np.float32(1)
    return total


def smoothstep(values: npt.NDArray[np.floating], low: float, high: float) -> FloatGrid:
    """0 below `low`, 1 above `high`, smooth between; falling when low > high."""
    way = np.clip((np.asarray(values, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.array(way * way * (3 - 2 * way), np.float32)


def shrunk(values: FloatGrid, factor: int) -> FloatGrid:
    """Averages of factor × factor cells; a rest at the right and below is averaged as it is."""
    if factor == 1:
        return values
    size = (max(1, -(-values.shape[1] // factor)), max(1, -(-values.shape[0] // factor)))
    return np.array(Image.fromarray(values).resize(size, Image.Resampling.BOX), np.float32)


def grown(values: FloatGrid, shape: tuple[int, int]) -> FloatGrid:
    """Smooth enlargement to (H, W)."""
    image = Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.array(image, np.float32)
