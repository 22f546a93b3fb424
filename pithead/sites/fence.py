"""How far two drawings of one fence may lie apart, and what is held of lines where a card does not say."""

import numpy as np

from pithead.card import ClassErrors
from pithead.sites.kinds import FENCE, lean_m
from pithead.sites.view import View

BESIDE_M = 80.0
"""A fence moved farther than this is one that is gone and another that is new."""
OFFSET_M = 3.0
"""How far courses are off where the card does not say."""
COMPLETE, CORRECT = 0.8, 0.8
"""Where the card does not say, and the least that makes a single date sure."""
SIGMAS = 3.0
COURSE_M = 6.0
"""Added to the tolerance: a corner that is cut short, half the width of a span."""


def tolerance_m(before: View, after: View, errors: ClassErrors | None) -> float:
    """How far two drawings of one fence may lie apart: three standard errors, and half the width of a span.

    With shifts known to 1 m, courses to 2 m and both scenes from straight above: 3 · sqrt(1 + 1 + 4 + 4) +
    6 = 15.5 m.
    """
    lines = None if errors is None else errors.lines
    offset = OFFSET_M if lines is None or lines.offset_m is None else lines.offset_m
    own = before.shift.sd_m**2 + after.shift.sd_m**2 + 2 * offset**2
    lean = (lean_m(FENCE, before) ** 2 + lean_m(FENCE, after) ** 2) / 2
    return float(SIGMAS * np.sqrt(own + lean) + COURSE_M)
