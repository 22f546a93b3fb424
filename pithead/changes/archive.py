"""The two sides of a comparison, out of the store of an archive."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd

from pithead.changes.difference import shared
from pithead.changes.said import Said
from pithead.changes.side import Portion, Scored, Side
from pithead.errors import WeightsError
from pithead.evidence import Log
from pithead.files import sha256_of
from pithead.review import Review, reviews
from pithead.store import RunRecord, Store

AT_A_TIME = 256
"""Scenes whose rows are in memory together."""
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Known:
    """Weights of which the store has results."""

    sha256: str
    name: str
    scenes: int

    @property
    def told(self) -> str:
        """As a person may name them."""
        return f"{self.name} ({self.sha256[:12]}, {self.scenes} scenes)"


def weights_in(store: Store) -> tuple[Known, ...]:
    """All weights that have scored anything, by name and hash.

    Raises:
        StoreError: The store cannot be read.
    """
    runs: dict[str, list[str]] = {}
    for name in store.shelf.names("runs"):
        sha256, _, scene = name.partition("/")[2].partition("/")
        if scene.endswith(".json"):
            runs.setdefault(sha256, []).append(name)
    found = [
        Known(sha, store.record(some[0]).weights, len({name.rpartition("/")[2] for name in some}))
        for sha, some in runs.items()
    ]
    return tuple(sorted(found, key=lambda known: (known.name, known.sha256)))


def side_of(store: Store, asked: str, options: str | None = None, beside: Side | None = None) -> Side:
    """The side that a user names.

    Args:
        store: Of the archive.
        asked: A file of weights, a sha256 or the beginning of one (4 digits or more), or a name in the store.
        options: The beginning of the hash of the options of the runs, where weights were run with several.
        beside: The other side: of several options those of the other side are taken, if they are among them.

    Raises:
        WeightsError: Nothing in the store is meant by it, or several things are.
        StoreError: The store cannot be read.
    """
    known = _meant(asked, weights_in(store))
    runs: dict[str, list[RunRecord]] = {}
    for record in store.records(known.sha256):
        runs.setdefault(record.options_sha256, []).append(record)
    chosen = _options(known, runs, options, beside)
    some = runs[chosen]
    return Side(
        name=known.name,
        weights_sha256=known.sha256,
        options_sha256=chosen,
        options=some[0].options,
        classes=_classes(some),
        scenes={
            record.scene_sha256: Scored(record.scene, record.valid_km2, record.sites, record.site)
            for record in some
        },
    )


def portions(store: Store, old: Side, new: Side, at_a_time: int = AT_A_TIME) -> Iterator[Portion]:
    """The rows of all scenes that both have scored, some scenes at a time, those of a site together.

    Raises:
        StoreError: The store is damaged.
    """
    both = sorted(shared(old, new), key=lambda sha: (new.scenes[sha].filed or "", new.scenes[sha].scene, sha))
    for first in range(0, len(both), at_a_time):
        some = tuple(both[first : first + at_a_time])
        yield Portion(some, *(rows_of(store, side, some) for side in (old, new)))


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
    given = sorted(reviews(log).values(), key=lambda one: (one.given, one.detection))
    return [said for review in given for said in said_by(review)]


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


def _classes(records: list[RunRecord]) -> frozenset[str]:
    """What was looked for: a record counts every class of the weights, also those that nobody asked for."""
    asked = {str(name) for name in records[0].options.get("classes") or ()}
    known = {name for record in records for name in record.counts}
    return frozenset(known & asked if asked else known)


def _meant(asked: str, known: tuple[Known, ...]) -> Known:
    path = Path(asked)
    if path.is_file():
        sha256 = sha256_of(path)
        found = [one for one in known if one.sha256 == sha256]
        if not found:
            raise WeightsError(
                f"expected weights that have scored this archive, got {asked} ({sha256[:12]}), which have "
                f"not: run inference/rescore.py with them first. {_list(known)}"
            )
        return found[0]
    found = [one for one in known if one.name == asked]
    if not found and _PREFIX.fullmatch(asked):
        found = [one for one in known if one.sha256.startswith(asked)]
    if len(found) != 1:
        told = f"{len(found)} of them: {', '.join(one.told for one in found)}; give more of the hash"
        raise WeightsError(
            f"expected one file of weights, sha256 or name of weights, got {asked!r}, which is "
            + (told if found else f"none of these. {_list(known)}")
        )
    return found[0]


def _list(known: tuple[Known, ...]) -> str:
    return f"The store has results of: {', '.join(one.told for one in known) or 'no weights at all'}"


def _options(known: Known, runs: dict[str, list[RunRecord]], asked: str | None, beside: Side | None) -> str:
    """Which options are meant; without a word those of the other side, or the only ones."""
    fitting = sorted(sha for sha in runs if asked is None or sha.startswith(asked))
    if asked is None and beside is not None and beside.options_sha256 in fitting:
        same = beside.weights_sha256 == known.sha256
        return (
            beside.options_sha256 if not same or len(fitting) == 1 else _other(known, runs, fitting, beside)
        )
    if len(fitting) != 1:
        raise WeightsError(_several(known, runs, asked))
    return fitting[0]


def _other(known: Known, runs: dict[str, list[RunRecord]], fitting: list[str], beside: Side) -> str:
    """Of the same weights on both sides, the other options, if there is one set of them."""
    left = [sha for sha in fitting if sha != beside.options_sha256]
    if len(left) != 1:
        raise WeightsError(_several(known, runs, None))
    return left[0]


def _several(known: Known, runs: dict[str, list[RunRecord]], asked: str | None) -> str:
    told = "; ".join(
        f"{sha[:12]}: {len(some)} scenes, {_plain(some[0])}" for sha, some in sorted(runs.items())
    )
    return (
        f"expected one set of options of {known.name} ({known.sha256[:12]}), got "
        f"{'several' if asked is None else repr(asked)}: choose with --old-options or --new-options one of "
        f"{told}"
    )


def _plain(record: RunRecord) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(record.options.items()) if value)
