"""What hides the ground of a site in a scene: no data, cloud, haze, by rules on its pixels.

Blocks of 32 m are looked at, the darkest of the three bands in them (a cloud is bright in all, most ground
and every shadow is dark in one: K. He, J. Sun and X. Tang, Single image haze removal using dark channel
prior, 2009). A block is under cloud if even its darker pixels are bright, brighter than most of the site,
and it is smooth; so is what touches such a block. All of a scene is in haze if its darkest pixels, before
any stretch, are nearly as bright as its median: haze adds the same light everywhere.

Snow lies in patches, and leaves walls, woods and worked ground dark: all of a scene is under snow if its
brightness falls into two kinds of which the bright one is white and large. Where it does, only what is
brighter than the snow is cloud.

Thresholds were measured on generated histories (`benchmarks/histories.py --pixels`): they find thick white
clouds, and snow that lies on a sixth of the ground or more. Thin cloud over bright ground, the shadows of
clouds, and a thin dusting of snow are not told, nor snow so deep that nothing dark is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.ndimage import binary_dilation, label
from shapely.geometry.base import BaseGeometry

from pithead.geometry import Floats
from pithead.imagery import Stretch
from pithead.sites.pixels import Picture
from pithead.sites.view import Reason
from pithead.sites.weights import Bools

BLOCK_M = 32.0
BRIGHT = 130.0
"""Of 255: the 5th percentile of a block of cloud, in its darkest band, is no lower."""
BRIGHTER = 55.0
"""By so much it is over that of the median block."""
SMOOTH = 12.0
"""The standard deviation of its brightness is no higher."""
LEAST_BLOCKS = 4
"""Fewer blocks together are a roof."""
VEILED = 0.87
"""In haze the 2nd percentile is no lower, as a share of the median."""
TWO_KINDS = 0.72
"""Under snow the share of the variance of brightness that lies between two kinds is no lower: so in 27 of 28
generated scenes with snow, and in none of 78 without snow or haze (histories 300 to 327)."""
LARGE = 0.15
"""The least share of the ground that is snow."""
COLOURLESS = 0.35
"""Of snow the brightest band is over the darkest by no more than this share of the mean."""
WHITER, WHITE = 1.15, 250.0
"""A cloud is so many times as bright as the snow, or saturated."""
LEAST_CELLS = 1000
BLANK = 0.1
"""A block of which more than this share holds no data is nodata."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks (rows, columns) of a picture: which hold no data, and which are under cloud."""

    blank: Bools
    cloud: Bools
    snow: float | None = None
    """How bright (0 to 255) the snow is that lies on all of it; None if none does."""


def hidden_in(picture: Picture, stretch: Stretch | None) -> tuple[tuple[BaseGeometry, Reason], ...]:
    """What of a picture hides the ground, polygons in the frame, as the scene shows it, each with its reason.

    Args:
        picture: The pixels of the site.
        stretch: How they became 8 bits; None where they were.
    """
    blocks = blocks_of(picture)
    found: list[tuple[BaseGeometry, Reason]] = []
    for some, reason in ((blocks.blank, "nodata"), (blocks.cloud, "cloud")):
        shape = shapely.union_all([*_squares(some, picture)])
        if not shape.is_empty:
            found.append((shape, "nodata" if reason == "nodata" else "cloud"))
    whole = shapely.box(*picture.bounds)
    if veil(picture, stretch, ~blocks.cloud & ~blocks.blank) >= VEILED:
        found.append((whole, "haze"))
    elif blocks.snow is not None:
        found.append((whole, "snow"))
    return tuple(found)


def blocks_of(picture: Picture) -> Blocks:
    """The blocks of a picture; where snow lies, a cloud is what is still brighter."""
    size = max(2, round(BLOCK_M / picture.step_m))
    light, least = _blocks(picture.light, size), _blocks(picture.least, size)
    blank = _blocks(picture.valid.astype(np.float64), size).mean(axis=-1) < 1 - BLANK
    low, rough = np.percentile(least, 5, axis=-1), light.std(axis=-1)
    usual = float(np.median(low[~blank])) if (~blank).any() else 0.0
    bright = max(BRIGHT, usual + BRIGHTER)
    cloud = _together((low >= bright) & (rough <= SMOOTH) & ~blank) & ~blank
    snow = snow_of(picture, ~cloud & ~blank)
    if snow is not None:
        bright = max(bright, min(WHITER * snow, WHITE))
        cloud = _together((low >= bright) & (rough <= SMOOTH) & ~blank) & ~blank
    return Blocks(blank, cloud, snow)


def snow_of(picture: Picture, clear: Bools) -> float | None:
    """How bright the snow is that lies on the clear blocks of a picture; None if none does.

    Brightness then falls into two kinds, snow and what is free of it: between the two lies a larger share of
    its variance than in any bare ground (N. Otsu, A threshold selection method from gray-level histograms,
    1979; of an even spread it is 75 %, of a normal one 64 %). The bright kind covers a large part, and is
    white.
    """
    cells = cells_of(clear, picture) & picture.valid
    if cells.sum() < LEAST_CELLS:
        return None
    light = picture.light[cells]
    low, high = np.percentile(light, [0.5, 99.5])
    if high - low < 1:  # of one grey
        return None
    line, apart = _two_kinds(np.clip(light, low, high))
    bright = light > line
    if apart < TWO_KINDS or bright.mean() < LARGE:
        return None
    coloured = np.median((picture.most[cells] - picture.least[cells])[bright] / light[bright])
    return float(light[bright].mean()) if coloured <= COLOURLESS else None


def _two_kinds(values: Floats) -> tuple[float, float]:
    """Otsu's threshold of values, and the share of their variance that lies between both sides of it."""
    count, ends = np.histogram(values, 256)
    middle, whole = (ends[:-1] + ends[1:]) / 2, count.sum()
    under, sums = np.cumsum(count) / whole, np.cumsum(count * middle) / whole
    between = (sums[-1] * under - sums) ** 2 / np.maximum(under * (1 - under), 1e-9)
    best = int(np.argmax(between))
    spread = float((count * middle**2).sum() / whole - sums[-1] ** 2)
    return float(ends[best + 1]), float(between[best] / spread) if spread > 0 else 0.0


def _together(blocks: Bools) -> Bools:
    """Blocks of which at least `LEAST_BLOCKS` touch, and what touches them."""
    names, count = label(blocks)
    sizes = np.bincount(names.ravel(), minlength=count + 1)
    return np.asarray(binary_dilation(blocks & (sizes[names] >= LEAST_BLOCKS)), np.bool_)


def cells_of(blocks: Bools, picture: Picture) -> Bools:
    """Blocks as cells of their picture."""
    size = max(2, round(BLOCK_M / picture.step_m))
    rows, cols = picture.valid.shape
    return np.repeat(np.repeat(blocks, size, axis=0), size, axis=1)[:rows, :cols]


def veil(picture: Picture, stretch: Stretch | None, clear: Bools) -> float:
    """The 2nd percentile over the median of clear blocks, in values as the sensor gave them; 0 without."""
    cells = cells_of(clear, picture) & picture.valid
    if not cells.any():
        return 0.0
    values = picture.least[cells]
    if stretch is not None:
        low, high = float(np.mean(stretch.low)), float(np.mean(stretch.high))
        values = low + values / 255 * (high - low)
    dark, middle = np.percentile(values, [2, 50])
    return float(dark / middle) if middle > 0 else 0.0


def _blocks(values: Floats, size: int) -> Floats:
    """Values (H, W) by blocks (rows, columns, cells); the last are filled up with what is at the edge."""
    high, wide = values.shape
    whole = np.pad(values, ((0, -high % size), (0, -wide % size)), mode="edge")
    rows, cols = whole.shape[0] // size, whole.shape[1] // size
    return whole.reshape(rows, size, cols, size).transpose(0, 2, 1, 3).reshape(rows, cols, size * size)


def _squares(blocks: Bools, picture: Picture) -> Iterator[BaseGeometry]:
    side = max(2, round(BLOCK_M / picture.step_m)) * picture.step_m
    for row, col in np.argwhere(blocks).tolist():
        west, north = picture.west_m + col * side, picture.north_m - row * side
        yield shapely.box(west, north - side, west + side, north)
