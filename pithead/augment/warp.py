"""Turns by any angle and other ground resolutions: the whole ground is moved and cut anew."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pithead.augment.shapes import Cutting, cut, shapes_of
from pithead.augment.view import Tile, View
from pithead.recipe import Augmentation

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Move:
    """A turn clockwise on screen (radians) and a scale about the middle of a tile, then a shift in px."""

    side: int
    angle: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> Floats:
        """(2, 3), for points (x, y, 1) in tile px."""
        cos, sin = self.scale * math.cos(self.angle), self.scale * math.sin(self.angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        middle = np.full(2, self.side / 2)
        return np.column_stack([turn, middle - turn @ middle + np.array(self.shift)])

    def __call__(self, points: Floats) -> Floats:
        """Points (..., 2) where they come to lie."""
        matrix = self.matrix
        moved: Floats = points @ matrix[:, :2].T + matrix[:, 2]
        return moved


def moved(view: View, plan: Augmentation, cutting: Cutting, rng: np.random.Generator) -> View:
    """The tile turned and scaled as the plan has it."""
    move = drawn(view.side, plan, rng)
    return view if move is None else cut(shapes_of(view, cutting), warped(view.pixels, move), cutting, move)


def drawn(side: int, plan: Augmentation, rng: np.random.Generator) -> Move | None:
    """A move as the plan has it, None for none. What is scaled comes to lie anywhere, as far as it fills."""
    turns, scales = rng.random() < plan.any_angle, rng.random() < plan.scale
    if not turns and not scales:
        return None
    angle = float(rng.uniform(-np.pi, np.pi)) if turns else 0.0
    least, most = math.log(plan.scale_least), math.log(plan.scale_most)
    scale = math.exp(rng.uniform(least, most)) if scales else 1.0
    room = abs(scale - 1) * side / 2
    x, y = rng.uniform(-room, room, 2) if scales else (0.0, 0.0)
    return Move(side, angle, scale, (float(x), float(y)))


def warped(pixels: Tile, move: Move) -> Tile:
    """The pixels moved. What lies beyond the tile is in its mean, as all that is unknown is painted."""
    mean = np.rint(cv2.mean(pixels)[:3]).tolist()
    source: npt.NDArray[Any] = pixels
    matrix = move.matrix
    if move.scale < 1:  # a warp takes single pixels: what gets smaller is averaged before
        side = max(1, round(move.side * move.scale))
        source = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
        matrix = np.column_stack([matrix[:, :2] * (move.side / side), matrix[:, 2]])
    # For cv2 a pixel's middle is a whole number, for us it is at a half.
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2].sum(axis=1) / 2 - 0.5])
    out = cv2.warpAffine(
        source,
        matrix,
        (move.side, move.side),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=mean,
    )
    return np.asarray(out, np.uint8)
