"""What a comparison reads of an archive: the rows of scenes that both sides have scored, and reviews."""

from collections.abc import Callable, Iterator

import geopandas as gpd

from pithead.changes.difference import shared
from pithead.changes.said import Said
from pithead.changes.side import Portion, Side
from pithead.evidence import Log
from pithead.review import Review, reviews
from pithead.store import Store

Placed = Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]
AT_A_TIME = 256
"""Scenes whose rows are in memory together."""


def portions(
    store: Store, old: Side, new: Side, at_a_time: int = AT_A_TIME, placed: Placed | None = None
) -> Iterator[Portion]:
    """The rows of all scenes that both have scored, some scenes at a time, those of a site together.

    Args:
        store: Where they are.
        old: The weights in use.
        new: Those that may replace them.
        at_a_time: Scenes of a portion.
        placed: Gives rows the sites that they are at now; without it they keep theirs.

    Raises:
        StoreError: The store is damaged.
    """
    both = sorted(shared(old, new), key=lambda sha: (new.scenes[sha].filed or "", new.scenes[sha].scene, sha))
    for first in range(0, len(both), at_a_time):
        some = tuple(both[first : first + at_a_time])
        both_rows = (rows_of(store, side, some) for side in (old, new))
        yield Portion(some, *(rows if placed is None else placed(rows) for rows in both_rows))


def rows_of(store: Store, side: Side, scenes: tuple[str, ...]) -> gpd.GeoDataFrame:
    """The rows of one side in scenes, by sha256.

    Raises:
        StoreError: The store is damaged.
    """
    rows = store.detections(weights=side.weights_sha256, scenes=[side.scenes[sha].scene for sha in scenes])
    mine = (rows["options_sha256"] == side.options_sha256) & rows["scene_sha256"].isin(scenes)
    return rows[mine].reset_index(drop=True)


def said_in(log: Log) -> list[Said]:
    """What the last review of each detection says, in the order in which they were given.

    Raises:
        EvidenceError: A link of the log is broken, or a review is malformed.
    """
    return [said for review in reviews(log).values() for said in said_by(review)]


def said_by(review: Review) -> tuple[Said, ...]:
    """What a review says: one thing, or of a new class two: there is none of the old, and one of the new."""

    def one(name: str, *, there: bool) -> Said:
        return Said(
            review.scene_sha256, name, there, review.geometry, review.detection, review.decision,
            review.reviewer, review.note, review.frame,
        )  # fmt: skip

    name, other = review.class_name, review.settled_class
    if other != name:
        return one(name, there=False), one(other, there=True)
    return (one(name, there=review.stands),)
