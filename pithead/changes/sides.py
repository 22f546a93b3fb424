"""The two sides of a comparison, as a user names them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pithead.changes.side import Scored, Side
from pithead.errors import WeightsError
from pithead.evidence import Log
from pithead.files import sha256_of
from pithead.store import RunRecord, Store

Runs = Mapping[str, list[RunRecord]]
"""The run records of weights by the hash of their options."""
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One side as a user names it."""

    weights: str
    """A file, a sha256 or the beginning of one (4 digits or more), or a name in the store."""
    options: str | None = None
    """The beginning of the hash of the options of the runs, where weights were run with several."""


@dataclass(frozen=True, slots=True)
class Known:
    """Weights of which the store has results."""

    sha256: str
    name: str
    scenes: int
    classes: frozenset[str] = frozenset()
    """All that they could look for."""

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
    found = []
    for sha256, some in runs.items():
        first = store.record(some[0])
        scenes = len({name.rpartition("/")[2] for name in some})
        found.append(Known(sha256, first.weights, scenes, frozenset(first.counts)))
    return tuple(sorted(found, key=lambda known: (known.name, known.sha256)))


def first_used(log: Log) -> dict[str, str]:
    """When weights first came up in the log, by their sha256, the earliest first.

    Raises:
        EvidenceError: A link of the log is broken.
    """
    times: dict[str, str] = {}
    for record in log.records():
        if record.kind in ("weights.registered", "run.finished") and record.facts is not None:
            times.setdefault(str(record.facts.get("weights_sha256")), record.time)
    return times


def sides_of(store: Store, log: Log, old: Asked, new: Asked) -> tuple[Side, Side]:
    """The sides that a user names, the old one first.

    Of several weights with one name those that the other side names otherwise are left out; then --new means
    the last of them that came into the log, and --old the last that came before the new ones. Of several
    options those are taken that both sides have, if there is one such set; of the same weights on both sides
    the other.

    Raises:
        WeightsError: Nothing in the store is meant, or several things are.
        StoreError: The store cannot be read.
        EvidenceError: A link of the log is broken.
    """
    since = first_used(log)
    first, second = _meant(old.weights, new.weights, weights_in(store), list(since))
    runs, others = _runs(store, first), _runs(store, second)
    mine, theirs = _fitting(runs, old), _fitting(others, new)
    both = sorted({*mine} & {*theirs})
    if first == second:
        chosen, other = _two_of_one(first, runs, mine, theirs)
    else:
        chosen, other = (
            _one(known, some, of, asked, both)
            for known, some, of, asked in ((first, mine, runs, old), (second, theirs, others, new))
        )
    return _side(first, chosen, runs[chosen], since), _side(second, other, others[other], since)


def _meant(old: str, new: str, known: tuple[Known, ...], order: list[str]) -> tuple[Known, Known]:
    """The weights of both sides."""
    olds, news = _named(old, known), _named(new, known)
    # A name never means what the other side says more clearly; else both sides would be the same weights.
    if len(olds) > 1 and len(news) == 1:
        olds = [one for one in olds if one not in news]
    if len(news) > 1 and len(olds) == 1:
        news = [one for one in news if one not in olds]
    later = _last(new, news, order)
    before = order[: order.index(later.sha256)] if later.sha256 in order else []
    if len(olds) > 1:
        olds = [one for one in olds if one.sha256 in before] or [one for one in olds if one != later]
    return _last(old, olds, before), later


def _last(asked: str, found: list[Known], order: list[str]) -> Known:
    """The one, or of several the last by the log, if the log knows them all."""
    if len(found) == 1:
        return found[0]
    if not all(one.sha256 in order for one in found):
        raise WeightsError(
            f"expected one file of weights, sha256 or name of weights, got {asked!r}, which is {len(found)} "
            f"of them: {', '.join(one.told for one in found)}; give more of the hash"
        )
    return max(found, key=lambda one: order.index(one.sha256))


def _named(asked: str, known: tuple[Known, ...]) -> list[Known]:
    """What a word of a user may mean, one thing or several."""
    path = Path(asked)
    if path.is_file():
        sha256 = sha256_of(path)
        found = [one for one in known if one.sha256 == sha256]
        if not found:
            raise WeightsError(
                f"expected weights that have scored this archive, got {asked} ({sha256[:12]}), which have "
                f"not: run inference/rescore.py with them first. {_list(known)}"
            )
        return found
    found = [one for one in known if one.name == asked]
    if not found and _PREFIX.fullmatch(asked):
        found = [one for one in known if one.sha256.startswith(asked)]
        if len(found) > 1:
            return [_last(asked, found, [])]
    if not found:
        raise WeightsError(
            f"expected one file of weights, sha256 or name of weights, got {asked!r}, which is none of "
            f"these. {_list(known)}"
        )
    return found


def _list(known: tuple[Known, ...]) -> str:
    return f"The store has results of: {', '.join(one.told for one in known) or 'no weights at all'}"


def _runs(store: Store, known: Known) -> Runs:
    runs: dict[str, list[RunRecord]] = {}
    for record in store.records(known.sha256):
        runs.setdefault(record.options_sha256, []).append(record)
    return runs


def _fitting(runs: Runs, asked: Asked) -> list[str]:
    return sorted(sha for sha in runs if asked.options is None or sha.startswith(asked.options))


def _one(known: Known, fitting: list[str], runs: Runs, asked: Asked, both: list[str]) -> str:
    """The options of one side: the only ones that fit, or the only ones that the other side has too."""
    left = fitting if len(fitting) == 1 else both
    if len(left) != 1:
        raise WeightsError(_several(known, runs, asked.options))
    return left[0]


def _two_of_one(known: Known, runs: Runs, mine: list[str], theirs: list[str]) -> tuple[str, str]:
    """Of the same weights on both sides two sets of options, where only one side need be told."""
    if len(mine) == 1 and len(theirs) > 1:
        theirs = [sha for sha in theirs if sha not in mine]
    if len(theirs) == 1 and len(mine) > 1:
        mine = [sha for sha in mine if sha not in theirs]
    if mine == theirs and len(mine) == 1:
        raise WeightsError(
            f"expected two weights, or the same with two sets of options, got {known.told} twice with one "
            "set: nothing could differ; score the archive with the new weights first"
        )
    if len(mine) != 1 or len(theirs) != 1:
        raise WeightsError(_several(known, runs, None))
    return mine[0], theirs[0]


def _side(known: Known, options: str, some: list[RunRecord], since: Mapping[str, str]) -> Side:
    return Side(
        name=known.name,
        weights_sha256=known.sha256,
        options_sha256=options,
        options=some[0].options,
        classes=_classes(some),
        scenes={
            record.scene_sha256: Scored(record.scene, record.valid_km2, record.sites, record.site)
            for record in some
        },
        since=since.get(known.sha256),
        turn=list(since).index(known.sha256) if known.sha256 in since else None,
    )


def _classes(records: list[RunRecord]) -> frozenset[str]:
    """What was looked for: a record counts every class of the weights, also those that nobody asked for."""
    asked = {str(name) for name in records[0].options.get("classes") or ()}
    known = {name for record in records for name in record.counts}
    return frozenset(known & asked if asked else known)


def _several(known: Known, runs: Runs, asked: str | None) -> str:
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
