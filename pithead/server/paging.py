"""Pages of lists: so many things, and a text by which the next page goes on behind the last of them.

What is added or goes meanwhile shifts nothing: a cursor says behind what to go on, not how many to skip.
"""

import base64
import json
import math
from typing import Final

from pithead.server.problems import Problem

USUAL: Final = 100
_MOST: Final = 1000  # characters of a cursor: no id and no value is longer

Value = str | float | int


def cursor_of(order: str, *values: Value) -> str:
    """What stands behind the last thing of a page, in its order, as one opaque text."""
    return base64.urlsafe_b64encode(json.dumps([order, *values]).encode()).decode("ascii").rstrip("=")


def values_of(cursor: str, order: str, kinds: tuple[type[str] | type[float], ...]) -> tuple[Value, ...]:
    """The values of a cursor that was given out for this order.

    Raises:
        Problem: 422 of another text.
    """
    values = _read(cursor[:_MOST], order)
    if [type(one) for one in values] != list(kinds):
        raise Problem(
            422,
            "",
            f"expected as cursor the `next` of a page of this list, ordered by {order} (none to begin)",
        )
    return values


def _read(cursor: str, order: str) -> tuple[Value, ...]:
    """The values of a cursor; none of another text."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        told, *values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        known = tuple(float(one) if type(one) is int else one for one in values)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return ()
    finite = all(math.isfinite(one) for one in known if isinstance(one, float))
    return known if told == order and finite else ()


def page_of(limit: int | None, most: int) -> int:
    """How many things a page has: as many as are asked for, and never more than the server gives."""
    return min(USUAL if limit is None else limit, most)
