"""Which bands of a file are red, green and blue, and which pixels hold data."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from pithead.errors import OptionError, SceneError

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_NAMES = ("red", "green", "blue")
# A true alpha band is 0 or full but for the soft edge of a mosaic. NAIP files are in circulation whose
# infrared band is tagged alpha: nearly all of its values lie in between.
_MOST_SOFT_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands read as red, green and blue (from 1), and the alpha band if one is a mask of valid pixels."""

    rgb: tuple[int, int, int]
    alpha: int | None
    palette: bool = False


def find_bands(
    dataset: DatasetReader,
    path: str,
    sample_alpha: npt.NDArray[np.generic] | None,
    wanted: tuple[int, ...] | None = None,
) -> Bands:
    """Red, green and blue as asked for, else by colour interpretation, else by name; one serves for all.

    Args:
        dataset: the open file.
        path: its name, for the error.
        sample_alpha: some values of the band tagged alpha, to tell a mask from a mis-tagged infrared band.
        wanted: the bands to be read as red, green and blue, or the one for all three, from 1.

    Raises:
        SceneError: if there are several bands and nothing says which is which.
        OptionError: if the file has no such bands as are wanted.
    """
    kinds = tuple(dataset.colorinterp)
    alpha = None
    if sample_alpha is not None and is_mask(sample_alpha):
        alpha = alpha_band(dataset)
    if wanted is not None:
        red, green, blue = _checked(dataset, path, wanted)
        # What is looked at as a picture is no mask, whatever its tag.
        return Bands((red, green, blue), None if alpha in wanted else alpha)
    colours = [i for i in dataset.indexes if kinds[i - 1] != ColorInterp.alpha]
    if kinds[0] == ColorInterp.palette:
        return Bands((1, 1, 1), alpha, palette=True)
    if len(colours) == 1:
        return Bands((colours[0],) * 3, alpha)
    for names, colour_names in ((kinds, _RGB), (_described(dataset), _NAMES)):
        if all(names.count(one) == 1 for one in colour_names):
            red, green, blue = (names.index(one) + 1 for one in colour_names)
            return Bands((red, green, blue), alpha)
    if len(colours) == 3 and not {ColorInterp.red, ColorInterp.green, ColorInterp.blue} & set(kinds):
        return Bands((colours[0], colours[1], colours[2]), alpha)
    raise SceneError(
        f"{path}: expected bands marked red, green and blue, got {', '.join(kind.name for kind in kinds)}; "
        "name them in this order with --bands, for example --bands 3,2,1"
    )


def _checked(dataset: DatasetReader, path: str, wanted: tuple[int, ...]) -> tuple[int, int, int]:
    """Three bands of the file from the one or three that the user named."""
    given = ",".join(str(band) for band in wanted)
    if len(wanted) not in {1, 3}:
        raise OptionError(f"expected 1 or 3 bands, as in --bands 3,2,1 or --bands 1, got {given or 'none'}")
    if not all(1 <= band <= dataset.count for band in wanted):
        raise OptionError(f"{path}: expected bands from 1 to {dataset.count}, got --bands {given}")
    if dataset.colorinterp[0] == ColorInterp.palette:
        raise OptionError(
            f"{path}: expected no --bands for an image with a palette, got {given}; leave it out"
        )
    first, second, third = wanted if len(wanted) == 3 else wanted * 3
    return first, second, third


def _described(dataset: DatasetReader) -> tuple[str, ...]:
    return tuple((name or "").strip().lower() for name in dataset.descriptions)


def alpha_band(dataset: DatasetReader) -> int | None:
    """The band tagged alpha, whatever it holds."""
    kinds = tuple(dataset.colorinterp)
    return kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else None


def is_mask(alpha: npt.NDArray[np.generic]) -> bool:
    """Whether values of a band tagged alpha are those of a mask: nothing or full, but for a soft edge."""
    values = np.asarray(alpha)
    soft = (values > 0) & (values < values.max(initial=0))
    return float(soft.mean()) <= _MOST_SOFT_ALPHA if values.size else True


def read_valid(
    dataset: DatasetReader, bands: Bands, window: RasterWindow, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Which pixels of a window hold data: by alpha, internal mask or nodata, whatever the file has."""
    if bands.alpha is not None:
        return np.asarray(dataset.read(bands.alpha, window=window, out_shape=shape) > 0)
    flags = dataset.mask_flag_enums[bands.rgb[0] - 1]
    if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
        return np.ones(shape, dtype=np.bool_)
    # A pixel is empty only where every band is: a black shadow in one band is still a picture.
    which = (bands.rgb[0],) if MaskFlags.per_dataset in flags else tuple(dict.fromkeys(bands.rgb))
    masks = dataset.read_masks(which, window=window, out_shape=(len(which), *shape))
    return np.asarray((masks > 0).any(axis=0))
