"""What every part of a card is checked by."""

import math
from collections.abc import Mapping
from typing import Any

from pithead.errors import CardError

REMEDY = "export the weights again with training/export.py"


def require(holds: bool, expected: str, came: object, remedy: str = REMEDY) -> None:  # noqa: FBT001 (reads as a sentence)
    """Refuse what does not hold.

    Raises:
        CardError: It says what was expected, what came, and the remedy.
    """
    if not holds:
        raise CardError(f"expected in a card: {expected}; got {came!r}; {remedy}")


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object, least: int = 1) -> bool:
    """Whether it is a whole number of at least so many."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_colour(value: object) -> bool:
    """Whether it is #rrggbb."""
    if not isinstance(value, str) or len(value) != 7 or value[0] != "#":
        return False
    return all(digit in "0123456789abcdefABCDEF" for digit in value[1:])


def is_table(value: object, keys: frozenset[str]) -> bool:
    """Whether it is a table of just these keys."""
    return isinstance(value, Mapping) and set[Any](value) == keys
