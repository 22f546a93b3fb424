"""What people decided about detections: records of kind "review.given" in the log of evidence.

>>> answers = read_sheet(Path("queue.geojson"))  # its column `decision` was filled in
>>> give_all(log, settled(answers, rows, classes, "N. N."))
>>> reviews(log)["0123456789abcdef"].decision
"""

from pithead.review.answer import Answer, settled
from pithead.review.review import GIVEN, Decision, Frame, Review, give, give_all, reviews
from pithead.review.sheet import read_sheet

__all__ = [
    "GIVEN",
    "Answer",
    "Decision",
    "Frame",
    "Review",
    "give",
    "give_all",
    "read_sheet",
    "reviews",
    "settled",
]
