"""How far two pictures of a site are apart: masked correlation of their edges, with its error.

The correlation of every displacement, of what both pictures show then, is worked out with a few Fourier
transforms. What is compared is how strong edges are, not how bright the ground is: seasons, sensors and the
sun change brightness, and roads, walls and buildings keep their edges. The error is that of the mean of
what parts of the picture say by themselves, so that trees and shadows, which agree with nothing, make it
large.

D. Padfield: Masked object registration in the Fourier domain. IEEE Transactions on Image Processing 21, 2012.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import binary_erosion, gaussian_gradient_magnitude

from pithead.geometry import Floats
from pithead.sites.pixels import Picture
from pithead.sites.shift import REACH_M, Offset
from pithead.sites.weights import Bools

PARTS = 3
"""Parts in a row and in a column."""
LEAST_SHARE = 0.3
"""A part of which both pictures show less says nothing."""
LEAST_PARTS = 4
LEAST_CORRELATION = 0.12
"""Edges that agree no better than this do so by chance."""
LEAST_SD_M = 0.8
"""What lies high leans by the angle of its scene, in all parts alike: on generated pictures offsets were off
by 0.3 to 0.8 m in the median (`benchmarks/histories.py --pixels`)."""
AGREE_M = 4.0
"""A part that says something else by more than this is outvoted."""


@dataclass(frozen=True, slots=True)
class Edges:
    """How strong edges are (H, W), where they can be told."""

    strength: Floats
    valid: Bools
    step_m: float


def edges_of(picture: Picture, hidden: Bools | None = None) -> Edges:
    """The edges of a picture, the root of the gradient over two cells; without what is hidden."""
    valid = picture.valid if hidden is None else picture.valid & ~hidden
    inner = binary_erosion(valid, iterations=4, border_value=0)
    strength = np.sqrt(gaussian_gradient_magnitude(np.where(picture.valid, picture.light, 0.0), 1.0))
    return Edges(np.asarray(strength, np.float64), np.asarray(inner, np.bool_), picture.step_m)


def offset_of(first: Edges, second: Edges) -> Offset | None:
    """How far the second picture shows things beside where the first one does, east and north; None unsure.

    Both are on the same cells. Of parts that find a peak the median is taken, and those within 4 m of it are
    averaged; its error is that of a mean of so many parts.
    """
    found = []
    for rows, cols in _parts(first.strength.shape):
        a = Edges(first.strength[rows, cols], first.valid[rows, cols], first.step_m)
        b = Edges(second.strength[rows, cols], second.valid[rows, cols], second.step_m)
        if (a.valid & b.valid).mean() < LEAST_SHARE:
            continue
        peak = _peak(a, b)
        if peak is not None:
            found.append(peak)
    if len(found) < LEAST_PARTS:
        return None
    every = np.array(found)
    middle = np.median(every, axis=0)
    near = every[np.hypot(*(every - middle).T) <= AGREE_M]
    if len(near) < max(LEAST_PARTS, len(every) / 2):
        return None
    spread = near.std(axis=0, ddof=1).mean() / np.sqrt(len(near))
    return Offset(near.mean(axis=0), np.eye(2) / max(float(spread), LEAST_SD_M) ** 2, len(near))


def _parts(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    ends = [np.linspace(0, side, PARTS + 1).astype(int) for side in shape[:2]]
    return [
        (slice(ends[0][i], ends[0][i + 1]), slice(ends[1][j], ends[1][j + 1]))
        for i in range(PARTS)
        for j in range(PARTS)
    ]


def _peak(a: Edges, b: Edges) -> tuple[float, float] | None:
    """Where the correlation is highest, in metres east and north, to a part of a cell; None if nowhere."""
    reach = int(np.ceil(1.5 * REACH_M / a.step_m))
    score = correlation(a.strength, a.valid, b.strength, b.valid, reach)
    top = np.unravel_index(int(np.argmax(score)), score.shape)
    row, col = int(top[0]), int(top[1])
    edge = row in {0, 2 * reach} or col in {0, 2 * reach}
    if edge or score[row, col] < LEAST_CORRELATION:
        return None
    down = row - reach + _vertex(score[row - 1 : row + 2, col])
    right = col - reach + _vertex(score[row, col - 1 : col + 2])
    return float(right * a.step_m), float(-down * a.step_m)


def _vertex(values: Floats) -> float:
    """Of three values the place of the top of the parabola through them, from the middle one."""
    before, middle, after = (float(value) for value in values)
    bend = before - 2 * middle + after
    return 0.0 if bend >= 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def correlation(a: Floats, mask_a: Bools, b: Floats, mask_b: Bools, reach: int) -> Floats:
    """Pearson's correlation of two arrays (H, W), of what both masks show, at every displacement.

    Entry (reach + dy, reach + dx) of (2 reach + 1, 2 reach + 1) is of b seen dy rows down and dx columns
    right of a. Displacements that leave less than 30 % of the cells are 0 (Padfield 2012, equations 9 to
    12).
    """
    shape = [fft.next_fast_len(a.shape[i] + reach, real=True) for i in range(2)]
    mean = a[mask_a].mean() if mask_a.any() else 0.0

    def spectrum(values: Floats) -> Floats:
        return np.asarray(fft.rfft2(values, shape))

    fa, fb = np.where(mask_a, a - mean, 0.0), np.where(mask_b, b - mean, 0.0)
    ma, mb = spectrum(mask_a.astype(np.float64)), spectrum(mask_b.astype(np.float64))
    sa, sb, qa, qb = spectrum(fa), spectrum(fb), spectrum(fa**2), spectrum(fb**2)

    def crossed(one: Floats, other: Floats) -> Floats:
        whole = fft.irfft2(np.conj(one) * other, shape)
        rolled = np.roll(whole, (reach, reach), axis=(0, 1))
        return np.asarray(rolled[: 2 * reach + 1, : 2 * reach + 1], np.float64)

    count = np.maximum(crossed(ma, mb), 1e-9)
    sum_a, sum_b = crossed(sa, mb), crossed(ma, sb)
    both = crossed(sa, sb) - sum_a * sum_b / count
    own = (crossed(qa, mb) - sum_a**2 / count) * (crossed(ma, qb) - sum_b**2 / count)
    usable = (count >= LEAST_SHARE * a.size) & (own > 1e-6)
    return np.where(usable, both / np.sqrt(np.maximum(own, 1e-6)), 0.0)
