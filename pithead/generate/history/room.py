"""Free ground of a site: things are put where nothing stands yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import shapely

from pithead.generate.parts import Points, rectangle

_TRIES = 200


@dataclass(slots=True)
class Room:
    """A square of ground round 0, and what of it is taken.

    Attributes:
        side_m: Of the square.
        taken: Outlines of what stands there, with the room they need.
    """

    side_m: float
    taken: list[shapely.Polygon] = field(default_factory=list)

    def free(self, corners: Points, apart_m: float = 0.0) -> bool:
        """Whether corners (4, 2) lie inside and so far from all that stands there."""
        if np.abs(corners).max() > self.side_m / 2 - 15:
            return False
        outline = shapely.Polygon(corners)
        return all(outline.distance(other) >= apart_m for other in self.taken)

    def put(
        self,
        near: Callable[[], tuple[float, float, float]],
        length_m: float,
        width_m: float,
        apart_m: float = 25.0,
    ) -> tuple[float, float, float] | None:
        """Take a rectangle at the first of many drawn places where it is free; None where none is.

        Args:
            near: Draws a place: x, y and angle.
            length_m: Along the angle.
            width_m: Across it.
            apart_m: How far from all else.
        """
        for _ in range(_TRIES):
            x, y, angle = near()
            corners = rectangle(x, y, angle, length_m, width_m)
            if self.free(corners, apart_m):
                self.taken.append(shapely.Polygon(corners))
                return x, y, angle
        return None


def ring_round(
    rng: np.random.Generator, middle: Points, least_m: float, most_m: float, angle: float | None = None
) -> Callable[[], tuple[float, float, float]]:
    """Draws places so far from a middle, in any direction, turned by an angle or any."""

    def draw() -> tuple[float, float, float]:
        reach, turn = rng.uniform(least_m, most_m), rng.uniform(0, 2 * np.pi)
        lying = angle + rng.choice([0, np.pi / 2]) if angle is not None else rng.uniform(0, np.pi)
        at = middle + reach * np.array([np.cos(turn), np.sin(turn)])
        return float(at[0]), float(at[1]), float(lying)

    return draw
