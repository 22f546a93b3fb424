"""A detector whose errors are known, for generated site histories: what it would find, as a scan stores it.

>>> history = History.draw(7)
>>> rows = observe(history, history.shots[0])
"""

from pithead.pretend.archive import Written, write_archive
from pithead.pretend.errors import TYPICAL, plausible
from pithead.pretend.observe import THING, Names, observe
from pithead.pretend.weights import pretended_card, write_weights

__all__ = [
    "THING",
    "TYPICAL",
    "Names",
    "Written",
    "observe",
    "plausible",
    "pretended_card",
    "write_archive",
    "write_weights",
]
