"""Resample pixels by a rule that depends on the place of the output pixel alone: windows have no seams.

Enlarging is bilinear; shrinking is the mean over the area that an output pixel covers, as a coarser sensor
sees it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

_Weights = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
_WHOLE = 0.9999


@dataclass(frozen=True, slots=True)
class Axis:
    """How the output pixels of one axis are mixed from source pixels ``start`` to ``stop``."""

    start: int
    stop: int
    weights: sparse.csr_array  # (outputs, stop - start); a row is empty where the centre is outside
    inside: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, first: float, count: int, scale: float, size: int) -> "Axis | None":
        """The mix for ``count`` output pixels from ``first`` on, of a source of ``size`` pixels.

        Output pixel i covers the source from i / scale to (i + 1) / scale. None if all are outside.
        """
        index = first + np.arange(count, dtype=np.float64)
        taps, parts = _bilinear((index + 0.5) / scale) if scale >= 1 else _mean(index, scale)
        if scale < 1:
            parts[(taps < 0) | (taps >= size)] = 0
        share = parts.sum(axis=1, keepdims=True)
        # As many whole output pixels as the grid counts, so that a thin scene still has one.
        outputs = max(1, round(size * scale))
        inside = (index > -0.5 - 1e-9) & (index + 0.5 < outputs) & (share[:, 0] > 0)
        if not inside.any():
            return None
        taps, parts = taps[inside].clip(0, size - 1), (parts / np.where(share > 0, share, 1))[inside]
        start, stop = int(taps[parts > 0].min()), int(taps[parts > 0].max()) + 1
        taps = taps.clip(start, stop - 1)
        rows = np.broadcast_to(np.flatnonzero(inside)[:, None], taps.shape)
        mix = sparse.coo_array(
            (parts.astype(np.float32).ravel(), (rows.ravel(), taps.ravel() - start)),
            shape=(count, stop - start),
        )
        return cls(start, stop, mix.tocsr(), inside)


def _bilinear(centre: npt.NDArray[np.float64]) -> _Weights:
    left = np.floor(centre - 0.5)
    right_part = centre - 0.5 - left
    taps = left[:, None].astype(np.int64) + np.arange(2)
    return taps, np.stack([1 - right_part, right_part], axis=1)


def _mean(index: npt.NDArray[np.float64], scale: float) -> _Weights:
    low, high = index / scale, (index + 1) / scale
    taps = np.floor(low)[:, None].astype(np.int64) + np.arange(int(np.ceil(1 / scale)) + 1)
    return taps, np.clip(np.minimum(high[:, None], taps + 1) - np.maximum(low[:, None], taps), 0, None)


def resample(
    data: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_], across: Axis, down: Axis
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Mix source pixels (h, w, 3) and their mask (h, w) into output pixels (H, W, 3) and (H, W).

    Empty pixels have no say; an output pixel is valid where at least half of what it covers is.
    """
    out_valid = down.inside[:, None] & across.inside
    mixed = _mix(data, across, down)
    if not valid.all():
        share = _mix(valid[..., None].astype(np.uint8), across, down)
        out_valid &= share[..., 0] >= 0.5
        # The same arithmetic as without a mask wherever no empty pixel is near.
        mixed = np.where(share < _WHOLE, mixed / np.maximum(share, 1e-6), mixed)
        mixed[~out_valid] = 0
    return np.rint(mixed).clip(0, 255).astype(np.uint8), out_valid


def _mix(data: npt.NDArray[np.uint8], across: Axis, down: Axis) -> npt.NDArray[np.float32]:
    height, width, bands = data.shape
    rows = down.weights @ data.reshape(height, width * bands).astype(np.float32)
    rows = rows.reshape(-1, width, bands).transpose(1, 0, 2).reshape(width, -1)
    out: npt.NDArray[np.float32] = across.weights @ rows
    return out.reshape(len(across.inside), len(down.inside), bands).transpose(1, 0, 2)
