"""Whether a thing is there on a date: present, absent, or not observable, and why."""

from dataclasses import dataclass
from typing import Literal

import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors
from pithead.errors import CatalogError
from pithead.sites.ground import solid
from pithead.sites.kinds import hides
from pithead.sites.view import Reason, View

Kind = Literal["present", "absent", "not_observable"]
WHOLE = 0.9
"""A thing is visible where so much of it is."""
LEAST_RECALL = 0.5
"""Weights that find less than this share of things of a size say nothing by not finding one."""
SURELY_GONE = 0.05
"""A thing that was not seen is absent where the probability that it is there is no higher."""
BEYOND_DOUBT = 1e-3
COARSER = 1.1
"""Scenes may be this much coarser than the coarsest that the weights were measured on."""


@dataclass(frozen=True, slots=True)
class State:
    """Of a track on a date; "not seen" is "absent" only where it would have been seen, else not observable.

    `p` is the probability that it is there, given what every date says; None where errors of the weights are
    not known.
    """

    kind: Kind
    reason: Reason | None = None
    p: float | None = None

    def __post_init__(self) -> None:
        """Check that what is not observable has a reason."""
        if (self.kind == "not_observable") != (self.reason is not None):
            raise CatalogError(
                f"expected a reason for what is not observable, and for nothing else, got {self}"
            )


def visible_ground(view: View, cls: str | None) -> BaseGeometry:
    """Where a thing of a class could be seen, corrected by the shift: looked at, and not hidden.

    Without a class, where everything is seen as well as it was measured: there is no snow either.
    """
    covers = [solid(shape) for shape, reason in view.hidden if cls is None or hides(reason, cls)]
    looked = solid(view.looked)
    return view.placed(solid(shapely.difference(looked, shapely.union_all(covers))) if covers else looked)


def hidden_by(view: View, shape: BaseGeometry, errors: ClassErrors | None) -> Reason | None:
    """Why a thing at a place (frame, corrected) could not be seen in a scene; None if it could.

    The first of: outside of the scene (less than 90 % in what it shows), hidden by what hides most of it, the
    scene too coarse. Snow hides in this sense things of every class: cards do not tell what weights find in
    it, so what is not seen there may be there.
    """
    raw = shapely.affinity.translate(shape, view.shift.dx_m, view.shift.dy_m)
    if _share(raw, view.looked) < WHOLE:
        return "outside"
    covers: dict[Reason, float] = {}
    for cover, reason in view.hidden:
        covers[reason] = covers.get(reason, 0.0) + _share(raw, cover)
    if sum(covers.values()) > 1 - WHOLE:
        return max(covers, key=lambda reason: (covers[reason], reason))
    if errors is not None and view.gsd_m > COARSER * errors.gsd_m[1]:
        return "too_coarse"
    return None


def state_of(*, seen: bool, hidden: Reason | None, recall: float | None, p: float | None) -> State:
    """The state that follows: seen is present; hidden, hard to find or perhaps missed is not observable.

    Args:
        seen: Whether it was detected, and no person has rejected that.
        hidden: What keeps it from being seen.
        recall: The share of things of its size that the weights find in such a scene.
        p: The probability that it is there.
    """
    if seen:
        return State("present", p=p)
    if hidden is not None:
        return State("not_observable", hidden, p)
    if recall is None or p is None:
        return State("not_observable", "not_measured", p)
    weak = recall < LEAST_RECALL and p > BEYOND_DOUBT  # a person's word needs no recall
    if p <= SURELY_GONE and not weak:
        return State("absent", p=p)
    return State("not_observable", "recall" if weak else "may_be_missed", p)


def _share(shape: BaseGeometry, ground: BaseGeometry) -> float:
    """How much of a shape lies on a ground."""
    part, whole = shapely.intersection(shape, solid(ground)), shape.area or shape.length
    return (part.area if shape.area else part.length) / whole if whole else float(shape.intersects(ground))
