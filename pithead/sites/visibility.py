"""What hides the ground of a site in a scene: no data, cloud, haze, by rules on its pixels.

Blocks of 32 m are looked at, the darkest of the three bands in them (a cloud is bright in all, most ground
and every shadow is dark in one: K. He, J. Sun and X. Tang, Single image haze removal using dark channel
prior, 2009). A block is under cloud if even its darker pixels are bright, brighter than most of the site,
and it is smooth; so is what touches such a block. All of a scene is in haze if its darkest pixels, before
any stretch, are nearly as bright as its median: haze adds the same light everywhere.

Thresholds were measured on generated histories (`benchmarks/histories.py --pixels`): they find thick white
clouds. Thin cloud over bright ground, and the shadows of clouds, are not told, and snow is not told from
other bright ground by one scene alone: whether snow lies is said by whoever looks (`View.hidden`).
"""

from collections.abc import Iterator

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
BLANK = 0.1
"""A block of which more than this share holds no data is nodata."""


def hidden_in(picture: Picture, stretch: Stretch | None) -> tuple[tuple[BaseGeometry, Reason], ...]:
    """What of a picture hides the ground, polygons in the frame, as the scene shows it, each with its reason.

    Args:
        picture: The pixels of the site.
        stretch: How they became 8 bits; None where they were.
    """
    blank, cloud = blocks_of(picture)
    found: list[tuple[BaseGeometry, Reason]] = []
    for blocks, reason in ((blank, "nodata"), (cloud, "cloud")):
        shape = shapely.union_all([*_squares(blocks, picture)])
        if not shape.is_empty:
            found.append((shape, "nodata" if reason == "nodata" else "cloud"))
    if veil(picture, stretch, ~cloud & ~blank) >= VEILED:
        found.append((shapely.box(*picture.bounds), "haze"))
    return tuple(found)


def blocks_of(picture: Picture) -> tuple[Bools, Bools]:
    """Which blocks (rows, columns) hold no data, and which are under cloud."""
    size = max(2, round(BLOCK_M / picture.step_m))
    light, least = _blocks(picture.light, size), _blocks(picture.least, size)
    blank = _blocks(picture.valid.astype(np.float64), size).mean(axis=-1) < 1 - BLANK
    low = np.percentile(least, 5, axis=-1)
    usual = float(np.median(low[~blank])) if (~blank).any() else 0.0
    cloud = (low >= max(BRIGHT, usual + BRIGHTER)) & (light.std(axis=-1) <= SMOOTH) & ~blank
    names, count = label(cloud)
    sizes = np.bincount(names.ravel(), minlength=count + 1)
    cloud &= sizes[names] >= LEAST_BLOCKS
    return blank, np.asarray(binary_dilation(cloud) & ~blank, np.bool_)


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
