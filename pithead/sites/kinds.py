"""The four kinds of things a site's history speaks of, and what of them the camera's angle moves."""

import math
from typing import Final

from pithead.sites.view import Reason, View

HEAD: Final = "mine_head"
HEAP: Final = "coal_heap"
FENCE: Final = "guard_perimeter"
RAIL: Final = "rail_loading"

HEIGHT_M: Final = {HEAD: 25.0, HEAP: 3.0, FENCE: 3.0, RAIL: 3.5}
"""How high the middle of what a detector sees stands over the ground.

A heap's toe is on the ground, and at an angle of repose of 35° no part of it hides another until 55° off
nadir, so of a heap it is the crest that moves and not the outline.
"""
UNKNOWN_ANGLE_DEG: Final = 20.0
"""What is reckoned with where nobody says how far off nadir a scene was taken."""
FITS_M: Final = 2.0
"""How far middles are off along one axis where the card of the weights does not say."""


def lean_m(cls: str, view: View) -> float:
    """How far a thing of a class may be moved in a scene by its height: height times tan(off nadir)."""
    angle = UNKNOWN_ANGLE_DEG if view.off_nadir_deg is None else view.off_nadir_deg
    return HEIGHT_M.get(cls, 5.0) * math.tan(math.radians(min(angle, 60.0)))


def hides(reason: Reason, cls: str) -> bool:
    """Whether something of that kind keeps most of a class from being seen: snow hides heaps only.

    What else is not seen in snow may have been missed more often than a card says (`states.hidden_by`).
    """
    return reason != "snow" or cls == HEAP
