"""What people said of places: there is such a thing, or there is none; and whether weights agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.changes.ground import LONLAT, Ground, as_lines
from pithead.changes.pairs import Ints, Pairs, along, same
from pithead.errors import CatalogError
from pithead.review import Decision

DECISIONS = get_args(Decision)


@dataclass(frozen=True, slots=True)
class Said:
    """That something of a class is there, or is not, in the coordinates that the scene's detections have."""

    scene_sha256: str
    class_name: str
    there: bool
    shape: BaseGeometry
    detection: str
    decision: str
    reviewer: str = ""
    note: str = ""
    frame: str = LONLAT

    def __post_init__(self) -> None:
        """Refuse a decision that is none, and a shape that is nowhere.

        Raises:
            CatalogError: one of them.
        """
        if self.decision not in DECISIONS or self.shape.is_empty:
            raise CatalogError(
                f"expected a review of {self.detection} that is one of {', '.join(DECISIONS)} and has a "
                f"place, got {self.decision!r} at {self.shape.wkt[:40]}: give it again"
            )


def last_words(said: Sequence[Said], ground: Ground) -> list[Said]:
    """Of one scene, what was said last of each place and class; in the order in which it was said."""
    if len(said) < 2:
        return list(said)
    kept: list[int] = []
    for name in sorted({one.class_name for one in said}):
        mine = [i for i, one in enumerate(said) if one.class_name == name]
        shapes = ground.in_metres([said[i].shape for i in mine])
        lines = bool((shapely.get_dimensions(shapes) == 1).any())
        earlier, later = same(as_lines(shapes) if lines else shapely.make_valid(shapes), lines=lines)
        overruled = set(earlier[earlier < later].tolist())
        kept += [i for k, i in enumerate(mine) if k not in overruled]
    return [said[i] for i in sorted(kept)]


def found(said: Sequence[Said], shapes_m: np.ndarray, ground: Ground, *, lines: bool) -> Ints:
    """Which of the detections of one scene and class each thing said of it is, -1 for none.

    Boxes are paired one to one as those of two weights are. A line is found where at least half of it runs
    along any lines, since one wall may be drawn in parts.

    Args:
        said: Of that scene and class, last words only.
        shapes_m: The detections (N,) in metres.
        ground: Of the scene.
        lines: Whether the class is drawn in lines.
    """
    if not said:
        return np.zeros(0, np.int64)
    places = ground.in_metres([one.shape for one in said])
    number = np.full(len(places), -1, np.int64)
    if lines:
        return along(as_lines(places), shapes_m)
    pairs = Pairs.boxes(shapely.make_valid(places), shapes_m)
    number[pairs.old] = pairs.new
    return number
