"""One pretended detection, and what of a shape a picture shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors
from pithead.generate.history import Shot
from pithead.generate.parts import Points

EDGE_M = 1.2
"""Nearer to the frame than this an object counts as cut: two pixels of 0.6 m, as in a scan."""

SNOWED = 0.3
"""The part of the recall of heaps that is left under snow."""

_PEAKED = 6.0  # how much scores keep to their mean


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A detection in the frame of the picture.

    Attributes:
        thing: The id of what it is of; empty for a false alarm that nothing stands behind.
        cls: Its class.
        score: 0 to 1; of many detections of score s, the part s is right.
        points_m: (4, 2) corners of a box, or (M, 2) a line.
        line: Whether it is a line.
        closed: Whether a line is a ring; its first point is not repeated.
    """

    thing: str
    cls: str
    score: float
    points_m: Points
    line: bool = False
    closed: bool = False


def recall(errors: ClassErrors, size_m: float, shot: Shot) -> float:
    """The chance that something of a size is found where it can be seen in a picture.

    By size as measured, its odds as much higher or lower as they were measured at the ground resolution; of
    heaps under snow, SNOWED of it. What nobody has measured is not found.
    """
    kind = errors.recall_of(size_m)
    share = (kind.share if kind is not None else None) or 0.0
    if errors.by_gsd:
        at = errors.recall_at(shot.sensor.gsd_m)
        truths = sum(one.truths for one in errors.by_gsd)
        found = sum(one.found for one in errors.by_gsd)
        odds = _odds((at.share if at is not None else None) or 0.0) / _odds(found / truths if truths else 0.0)
        share = 1 - 1 / (1 + _odds(share) * odds)
    return share * (SNOWED if shot.snow and errors.name == "coal_heap" else 1.0)


def _odds(share: float) -> float:
    inside = min(max(share, 1e-6), 1 - 1e-6)
    return inside / (1 - inside)


def draw_score(errors: ClassErrors, rng: np.random.Generator, *, right: bool) -> float:
    """A score that is its own probability, if of all detections the measured part is right.

    Scores of all detections are Beta(a, b) with a / (a + b) the precision; so those of right ones are
    Beta(a + 1, b), of wrong ones Beta(a, b + 1).
    """
    share = float(np.clip(errors.precision.share or 0.5, 0.05, 0.95))
    a, b = _PEAKED * share, _PEAKED * (1 - share)
    return round(float(np.clip(rng.beta(a + right, b + (not right)), 0.001, 0.999)), 4)


def cut(points_m: Points, shot: Shot) -> bool:
    """Whether the frame of the picture cuts an outline or line."""
    inner = shot.footprint.buffer(-EDGE_M, join_style="mitre")
    return not bool(shapely.covers(inner, shapely.MultiPoint(points_m)))


def seen_of(shape: BaseGeometry, visible: BaseGeometry) -> tuple[BaseGeometry, float]:
    """The part of a shape that can be seen, and which share of it that is."""
    part = shapely.intersection(shape, visible)
    whole = shape.area or shape.length
    return part, (part.area if shape.area else part.length) / whole
