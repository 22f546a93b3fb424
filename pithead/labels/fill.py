"""Pixels that teach nothing: cut objects and ground that nobody has looked at get the tile's mean colour."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from pithead.labels.label import Floats

Pixels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


def mask_of(outlines: Sequence[Floats], shape: tuple[int, int]) -> Bools:
    """Which pixels (H, W) have their middle inside one of the outlines (M, 2)."""
    mask = np.zeros(shape, dtype=np.bool_)
    size = np.array([shape[1], shape[0]])
    for outline in outlines:
        low = np.clip(np.floor(outline.min(axis=0)), 0, size).astype(int)
        high = np.clip(np.ceil(outline.max(axis=0)), 0, size).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        polygon = shapely.make_valid(shapely.Polygon(outline))
        shapely.prepare(polygon)
        mask[low[1] : high[1], low[0] : high[0]] |= shapely.contains_xy(polygon, x, y)
    return mask


def filled(data: Pixels, valid: Bools, hidden: Bools) -> Pixels:
    """The tile (H, W, 3) with the hidden pixels in the mean of the other valid ones, rounded.

    Example: a tile of 10 and 20 in equal parts, of which a pixel of value 90 is hidden, shows 15 there.
    """
    shown = valid & ~hidden
    if not hidden.any() or not shown.any():
        return data
    out = data.copy()
    out[hidden & valid] = np.rint(data[shown].mean(axis=0)).astype(np.uint8)
    return out
