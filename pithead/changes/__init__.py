"""What changes if new weights replace old ones, over the scenes of an archive that both have scored.

>>> comparison = compare(old, new, portions, said)
>>> figures(comparison)["classes"]["coal_heap"]["lost"]
>>> queue_of(comparison.changed)
"""

from pithead.changes.difference import Comparison, compare, shared
from pithead.changes.figures import figures, names
from pithead.changes.gate import Judged, Requirement, judge
from pithead.changes.order import EFFECTS, queue_of
from pithead.changes.said import Said
from pithead.changes.side import Portion, Scored, Side

__all__ = [
    "EFFECTS",
    "Comparison",
    "Judged",
    "Portion",
    "Requirement",
    "Said",
    "Scored",
    "Side",
    "compare",
    "figures",
    "judge",
    "names",
    "queue_of",
    "shared",
]
