"""Look at a part of a scene to know the whole: its bands, its mask and its stretch."""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from pithead.imagery.bands import Bands, alpha_band, find_bands, read_valid
from pithead.imagery.stretch import Stretch

_SAMPLE_PX = 1024
_LATTICE, _LATTICE_PX = 16, 64
_BLOCK_PX = 2048
_ENOUGH = 2_000_000  # pixels: more than any sample has, and what a stretch needs at most
_Sample = tuple[RasterWindow, tuple[int, int]]


def look_for_bands(dataset: DatasetReader, path: str) -> Bands:
    """Which bands are red, green and blue, and whether a band tagged alpha is a mask, by its values.

    Raises:
        SceneError: if nothing says which band is which.
    """
    tagged = alpha_band(dataset)
    if tagged is None:
        return find_bands(dataset, path, None)
    parts = [dataset.read(tagged, window=window, out_shape=shape) for window, shape in _sample(dataset)]
    return find_bands(dataset, path, np.concatenate([part.ravel() for part in parts]))


def measure_stretch(dataset: DatasetReader, bands: Bands) -> Stretch | None:
    """The stretch of the scene from a sample of its valid pixels; None if it has none at all."""
    for samples in (_sample(dataset), _blocks(dataset)):
        parts = []
        for window, shape in samples:
            raw, valid = read_raw(dataset, bands, window, shape)
            parts.append(raw[:, valid])
            if sum(part.shape[1] for part in parts) > _ENOUGH:
                break
        values = np.concatenate(parts, axis=1)
        if values.shape[1]:
            return Stretch.of(values)
    return None


def read_raw(
    dataset: DatasetReader, bands: Bands, window: RasterWindow, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """The three bands (3, h, w) as stored, and which pixels hold data (h, w)."""
    which = list(dict.fromkeys(bands.rgb))
    raw = dataset.read(which, window=window, out_shape=(len(which), *shape))
    valid = read_valid(dataset, bands, window, shape)
    if raw.dtype.kind == "f":
        valid = valid & np.isfinite(raw).all(axis=0)
    return (np.broadcast_to(raw, (3, *shape)) if len(which) == 1 else raw), valid


def _sample(dataset: DatasetReader) -> Iterator[_Sample]:
    """Windows that show the whole scene at little cost: by its overviews, or a lattice of patches."""
    width, height = dataset.width, dataset.height
    if dataset.overviews(1) or max(width, height) <= 4 * _SAMPLE_PX:
        shrink = max(1.0, max(width, height) / _SAMPLE_PX)
        yield (
            RasterWindow(0, 0, width, height),
            (max(1, round(height / shrink)), max(1, round(width / shrink))),
        )
        return
    for row, column in itertools.product(range(_LATTICE), repeat=2):
        x, y = round(column * width / _LATTICE), round(row * height / _LATTICE)
        w, h = min(_LATTICE_PX, width - x), min(_LATTICE_PX, height - y)
        yield RasterWindow(x, y, w, h), (h, w)


def _blocks(dataset: DatasetReader) -> Iterator[_Sample]:
    """Every pixel of the scene, block by block."""
    for y, x in itertools.product(range(0, dataset.height, _BLOCK_PX), range(0, dataset.width, _BLOCK_PX)):
        w, h = min(_BLOCK_PX, dataset.width - x), min(_BLOCK_PX, dataset.height - y)
        yield RasterWindow(x, y, w, h), (h, w)


def every_sample(dataset: DatasetReader) -> Iterator[_Sample]:
    """A sample first, then every pixel."""
    yield from _sample(dataset)
    yield from _blocks(dataset)
