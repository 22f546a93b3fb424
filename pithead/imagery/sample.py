"""Look at a part of a scene to know the whole: its bands, its mask and its stretch."""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from pithead.errors import OptionError, SceneError
from pithead.imagery.bands import Bands, alpha_band, find_bands, read_valid
from pithead.imagery.files import is_remote
from pithead.imagery.stretch import DEFAULT, Stretch, StretchRule

_SAMPLE_PX = 1024
_OVERVIEW_SAMPLE_PX = 512  # of a remote scene a sample twice as wide would cost as much as a scan of a corner
_LATTICE, _LATTICE_PX = 16, 64
_REMOTE_LATTICE = 8
_BLOCK_PX = 2048
_ENOUGH = 2_000_000  # pixels: more than any sample has, and what a stretch needs at most
_Sample = tuple[RasterWindow, tuple[int, int]]


def look_for_bands(dataset: DatasetReader, path: str, wanted: tuple[int, ...] | None = None) -> Bands:
    """Which bands are red, green and blue, and whether a band tagged alpha is a mask, by its values.

    Raises:
        SceneError: if nothing says which band is which, or they hold different types of numbers.
        OptionError: if the file has no such bands as are wanted.
    """
    bands = find_bands(dataset, path, _look_at_alpha(dataset), wanted)
    kinds = {dataset.dtypes[band - 1] for band in bands.rgb}
    if len(kinds) > 1:
        raise SceneError(f"{path}: expected bands of one type of numbers, got {', '.join(sorted(kinds))}")
    return bands


def _look_at_alpha(dataset: DatasetReader) -> npt.NDArray[np.generic] | None:
    """Some values of the band tagged alpha, if there is one."""
    tagged = alpha_band(dataset)
    if tagged is None:
        return None
    parts = [dataset.read(tagged, window=window, out_shape=shape) for window, shape in _sample(dataset)]
    return np.concatenate([part.ravel() for part in parts])


def find_stretch(
    dataset: DatasetReader, path: str, bands: Bands, wanted: Stretch | StretchRule | None
) -> Stretch | None:
    """The stretch of the scene as asked for; 8 bits are left as they are unless it is.

    Raises:
        OptionError: if a stretch cannot be done without, or cannot be done.
    """
    eight_bits = bands.palette or dataset.dtypes[bands.rgb[0] - 1] == "uint8"
    if bands.palette and wanted is not None and wanted != StretchRule("none"):
        raise OptionError(f"{path}: expected no stretch for an image with a palette, got one; leave it out")
    if isinstance(wanted, Stretch):
        return wanted
    rule = wanted or (StretchRule("none") if eight_bits else DEFAULT)
    if rule.kind == "none":
        if not eight_bits:
            what = dataset.dtypes[bands.rgb[0] - 1]
            raise OptionError(f"{path}: expected a stretch to 8 bits for values of {what}, got none")
        return None
    if rule.kind == "range":
        return Stretch((rule.low,) * 3, (rule.high,) * 3)
    return _measure_stretch(dataset, bands, rule)


def _measure_stretch(dataset: DatasetReader, bands: Bands, rule: StretchRule) -> Stretch | None:
    """The stretch by percentiles of a sample of the valid pixels; None if there are none at all."""
    for samples in (_sample(dataset), _blocks(dataset)):
        parts = []
        for window, shape in samples:
            raw, valid = read_raw(dataset, bands, window, shape)
            parts.append(raw[:, valid])
            if sum(part.shape[1] for part in parts) > _ENOUGH:
                break
        values = np.concatenate(parts, axis=1)
        if values.shape[1]:
            return Stretch.of(values, rule.low, rule.high)
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
    if len(which) == 1:
        return np.broadcast_to(raw, (3, *shape)), valid
    return (raw if len(which) == 3 else raw[[which.index(band) for band in bands.rgb]]), valid


def _sample(dataset: DatasetReader) -> Iterator[_Sample]:
    """Windows that show the whole scene at little cost: by its overviews, or a lattice of patches.

    A remote scene without overviews is looked at in fewer places, so that it is not fetched as a whole.
    """
    width, height = dataset.width, dataset.height
    remote = is_remote(dataset.name)
    most = _OVERVIEW_SAMPLE_PX if dataset.overviews(1) else _SAMPLE_PX
    if dataset.overviews(1) or max(width, height) <= (1 if remote else 4) * _SAMPLE_PX:
        shrink = max(1.0, max(width, height) / most)
        yield (
            RasterWindow(0, 0, width, height),
            (max(1, round(height / shrink)), max(1, round(width / shrink))),
        )
        return
    side = _REMOTE_LATTICE if remote else _LATTICE
    for row, column in itertools.product(range(side), repeat=2):
        x, y = round(column * width / side), round(row * height / side)
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
