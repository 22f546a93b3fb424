"""Which part of a scene somebody has looked at: elsewhere nothing is known, not even "nothing there"."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.labels.label import Floats

SEEN = "seen"
"""The class of a line or feature that says: this area has been looked at, and no other of its image."""


def seen_area(seen: Sequence[npt.ArrayLike]) -> BaseGeometry:
    """The union of outlines (M, 2), in their frame."""
    return shapely.union_all([shapely.make_valid(shapely.Polygon(np.asarray(one, float))) for one in seen])


def seen_share(seen: Sequence[npt.ArrayLike], corners: npt.ArrayLike) -> float:
    """The share of a polygon (M, 2) that was looked at; 1 where `seen` is empty: the whole image was."""
    if not len(seen):
        return 1.0
    outline = shapely.Polygon(np.asarray(corners, float))
    return float(shapely.intersection(outline, seen_area(seen)).area / outline.area)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Floats:
    """The corners (4, 2) of an upright rectangle."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)
