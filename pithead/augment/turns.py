"""Mirrors and quarter turns: exact, and the only changes of place that keep spans on their grid."""

import numpy as np
import numpy.typing as npt

from pithead.augment.view import View
from pithead.recipe import Augmentation

Floats = npt.NDArray[np.float64]


def turned(view: View, plan: Augmentation, rng: np.random.Generator) -> View:
    """The tile turned by quarters and mirrored as the plan has it; a copy in memory order."""
    quarters, mirror = _quarters(plan, rng), rng.random() < plan.flip
    return turn(view, quarters, mirror=mirror) if quarters or mirror else view


def turn(view: View, quarters: int, *, mirror: bool) -> View:
    """Turn by quarters counter-clockwise (on screen), then mirror left to right; no pixel is resampled."""
    pixels = np.rot90(view.pixels, quarters % 4)
    pixels = np.ascontiguousarray(pixels[:, ::-1] if mirror else pixels)
    corners, ignored = (
        turn_points(points, (view.side, view.side), quarters, mirror=mirror)
        for points in (view.corners, view.ignored)
    )
    return View(pixels, view.classes, corners, ignored)


def turn_points(points: Floats, size: tuple[int, int], quarters: int, *, mirror: bool) -> Floats:
    """The same for points (..., 2) of a picture of this width and height.

    One quarter takes (x, y) to (y, width - x).
    """
    width, height = size
    for _ in range(quarters % 4):
        points = np.stack((points[..., 1], width - points[..., 0]), axis=-1)
        width, height = height, width
    if mirror:
        points = np.stack((width - points[..., 0], points[..., 1]), axis=-1)
    return points


def _quarters(plan: Augmentation, rng: np.random.Generator) -> int:
    if plan.quarter_turns:
        return int(rng.integers(4))
    # Half a turn and a mirror is an up-down flip: with the mirror beside it, every flip can come.
    return 2 if rng.random() < plan.flip else 0
