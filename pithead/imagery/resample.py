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
    taps: npt.NDArray[np.int64]  # (most taps, outputs): the same from ``start`` on, with their parts
    parts: npt.NDArray[np.float32]
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
        weights = mix.tocsr()
        return cls(start, stop, weights, *_lists(weights), inside)


def _lists(weights: sparse.csr_array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The taps of each row and their parts, (most taps, rows); a row with fewer ends in parts of 0."""
    counts = np.diff(weights.indptr)
    row = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(row)) - weights.indptr[row]
    taps = np.zeros((int(counts.max()), len(counts)), dtype=np.int64)
    parts = np.zeros(taps.shape, dtype=np.float32)
    taps[place, row], parts[place, row] = weights.indices, weights.data
    return taps, parts


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
    planes: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_], across: Axis, down: Axis
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Mix source bands (3, h, w) and their mask (h, w) into output pixels (H, W, 3) and (H, W).

    Empty pixels have no say; an output pixel is valid where at least half of what it covers is.
    """
    out_valid = down.inside[:, None] & across.inside
    share = None
    if not valid.all():
        share = _mix(valid.astype(np.uint8), across, down)
        out_valid &= share >= 0.5
    out = np.empty((*out_valid.shape, len(planes)), dtype=np.uint8)
    for band, plane in enumerate(planes):
        mixed = _mix(plane, across, down)
        if share is not None:
            # The same arithmetic as without a mask wherever no empty pixel is near.
            mixed = np.where(share < _WHOLE, mixed / np.maximum(share, 1e-6), mixed)
            mixed[~out_valid] = 0
        out[..., band] = np.clip(np.rint(mixed, out=mixed), 0, 255, out=mixed)
    return out, out_valid


def _mix(plane: npt.NDArray[np.uint8], across: Axis, down: Axis) -> npt.NDArray[np.float32]:
    rows = down.weights @ plane.astype(np.float32)
    # A gather for each tap: a product with sparse weights would turn the picture over twice.
    out: npt.NDArray[np.float32] = np.take(rows, across.taps[0], axis=1)
    out *= across.parts[0]
    for taps, parts in zip(across.taps[1:], across.parts[1:], strict=True):
        more = np.take(rows, taps, axis=1)
        more *= parts
        out += more
    return out
