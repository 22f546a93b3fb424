"""Room for what is none of the targets, and the mark of what is easily taken for one."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from pithead.generate.canvas import Canvas, FloatGrid, Patch, Truth
from pithead.generate.noise import smoothstep
from pithead.generate.parts import Points, inside_canvas, rectangle

Adder: TypeAlias = Callable[[Canvas, float, float, float, np.random.Generator], bool]
"""Builds at x, y (metres) in a direction (radians clockwise on the screen); False without free room."""


def claim(
    canvas: Canvas, x_m: float, y_m: float, angle: float, length_m: float, width_m: float
) -> tuple[Patch, Points] | None:
    """Room for a rectangle: its patch and corners, taken at once; None when there is none."""
    corners = rectangle(x_m, y_m, angle, length_m, width_m)
    if not inside_canvas(canvas, corners, -0.2 * length_m) or not canvas.free(corners):
        return None
    patch = canvas.patch(x_m, y_m, angle, length_m / 2, width_m / 2)
    if patch is None:
        return None
    canvas.take(patch, (np.abs(patch.u) <= length_m / 2) & (np.abs(patch.v) <= width_m / 2))
    return patch, corners


def within(patch: Patch, length_m: float, width_m: float, ragged: FloatGrid | float = 0.0) -> FloatGrid:
    """1 in a rectangle round the patch's centre, falling to 0 over 1.2 m at its (ragged, metres) edge."""
    beyond = np.maximum(np.abs(patch.u) - length_m / 2, np.abs(patch.v) - width_m / 2)
    return smoothstep(beyond + ragged, 0.0, -1.2)


def confuser(canvas: Canvas, corners_m: Points, kind: str) -> None:
    """Leave a `hard_negative` truth."""
    canvas.truths.append(Truth("hard_negative", corners_m, attributes={"kind": kind}))
