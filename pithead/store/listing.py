"""Which file has the rows of which run: worked out from names, however far a writer or a compaction has come.

A run counts when its record is there. Its rows lie in a file of their own, and from some moment on also in a
compacted one, which names the files that it stands for; then the file of their own goes. So rows may be at
two places and never at none, and one of them is chosen.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from pithead.errors import StoreError
from pithead.shelf import Shelf
from pithead.store.record import RunRecord
from pithead.store.rows import holds_of

NO_SITE = "-"
_OWN = re.compile(
    r"detections/weights=(?P<weights>[0-9a-f]{12})/site=[^/]+/"
    r"(?P<scene>[^/]+-(?P<sha>[0-9a-f]{12}))\.(?P<options>[0-9a-f]{8})\.[0-9a-f]{8}\.parquet"
)
_COMPACTED = re.compile(r"detections/weights=[0-9a-f]{12}/site=[^/]+/compacted\.[0-9a-f]{16}\.parquet")
_RUN = re.compile(r"runs/(?P<weights>[0-9a-f]{64})/(?P<options>[0-9a-f]{64})/(?P<sha>[0-9a-f]{64})\.json")


class Key(NamedTuple):
    """A run by the beginnings of three hashes, as names of files have them."""

    weights: str
    scene: str
    options: str


class Member(NamedTuple):
    """A file of one run, whether it is still there or a compacted file stands for it."""

    name: str
    scene: str
    """The id of the scene."""
    options: str
    """The first 8 digits of the hash of the options."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies on the shelf, and where the rows of each run are to be read."""

    runs: dict[Key, str]
    """The record of each run, by name."""
    chosen: dict[str, list[Member]]
    """By name of a file, the members whose rows are to be read from it."""
    members: dict[Key, Member]
    """The member that counts of each run."""
    holds: dict[str, list[Member]]
    """What each compacted file stands for."""
    own: dict[str, Member]
    """The files of one run each."""
    missing: dict[Key, str]
    """Runs whose rows are nowhere: by their record."""
    unknown: list[str]
    """Files with names that no store gives."""
    damaged: dict[str, str]
    """Compacted files that cannot be read, and why."""


def slug(site: str | None) -> str:
    """A site as the name of a folder: letters and digits of any script in small, all else a hyphen."""
    if site is None:
        return NO_SITE
    text = unicodedata.normalize("NFC", site.casefold())
    plain = "".join(letter if letter.isalnum() else "-" for letter in text)
    short = "-".join(part for part in plain.split("-") if part)[:60]
    return short or sha256(site.encode()).hexdigest()[:12]


def own_name(record: RunRecord) -> str:
    """The file of a run's rows: other rows have another name, so that the record says which count."""
    return (
        f"detections/weights={record.weights_sha256[:12]}/site={slug(record.site)}/"
        f"{record.scene}.{record.options_sha256[:8]}.{record.result_sha256[:8]}.parquet"
    )


def list_store(
    shelf: Shelf, weights_sha256: str | None, scenes: Collection[str] | None, file_of: Callable[[str], str]
) -> Listing:
    """Look at the names on a shelf, and decide where each run is read from.

    Args:
        shelf: The store's.
        weights_sha256: Only runs of these weights.
        scenes: Only runs of scenes with these ids.
        file_of: The file that a record names; asked only about runs that have two results.

    Raises:
        StoreError: The shelf cannot be listed.
    """
    below = "" if weights_sha256 is None else f"/weights={weights_sha256[:12]}"
    within = "" if weights_sha256 is None else f"/{weights_sha256}"
    # Records first: the rows of each of them are there already.
    runs, unknown = _runs(shelf.names(f"runs{within}"), scenes)
    own, compacted, more = _files(shelf.names(f"detections{below}"))
    holds, damaged = _holds(shelf, compacted)
    places: dict[Key, list[tuple[str, Member]]] = defaultdict(list)
    for name, members in [*holds.items(), *((name, [member]) for name, member in own.items())]:
        for member in members:
            places[key_of(member)].append((name, member))
    chosen: dict[str, list[Member]] = defaultdict(list)
    counting: dict[Key, Member] = {}
    for key, run in runs.items():
        place = _choice(places.get(key, []), run, file_of)
        if place is not None:
            chosen[place[0]].append(place[1])
            counting[key] = place[1]
    missing = {key: run for key, run in runs.items() if key not in counting}
    return Listing(runs, dict(chosen), counting, holds, own, missing, [*unknown, *more], damaged)


def _files(names: Iterable[str]) -> tuple[dict[str, Member], list[str], list[str]]:
    """Files of one run, compacted ones, and others."""
    own: dict[str, Member] = {}
    compacted: list[str] = []
    others: list[str] = []
    for name in names:
        member = member_of(name)
        if member is not None:
            own[name] = member
        else:
            (compacted if _COMPACTED.fullmatch(name) else others).append(name)
    return own, compacted, others


def member_of(name: str) -> Member | None:
    """What the name of a run's own file says; None of another name."""
    found = _OWN.fullmatch(name)
    return None if found is None else Member(name, found["scene"], found["options"])


def key_of(member: Member) -> Key:
    """The run of a file."""
    return Key(member.name.partition("weights=")[2][:12], member.scene[-12:], member.options)


def _runs(names: Iterable[str], scenes: Collection[str] | None) -> tuple[dict[Key, str], list[str]]:
    wanted = None if scenes is None else {scene[-12:] for scene in scenes}
    runs, unknown = {}, []
    for name in names:
        found = _RUN.fullmatch(name)
        if found is None:
            unknown.append(name)
        elif wanted is None or found["sha"][:12] in wanted:
            runs[Key(found["weights"][:12], found["sha"][:12], found["options"][:8])] = name
    return runs, unknown


def _holds(shelf: Shelf, names: list[str]) -> tuple[dict[str, list[Member]], dict[str, str]]:
    holds, damaged = {}, {}
    for name in names:
        try:
            with shelf.opened(name) as file:
                members = [member_of(held) for held in holds_of(file, f"{shelf.told}/{name}")]
        except FileNotFoundError:
            continue  # compacted meanwhile: whoever lacks its rows looks again
        except StoreError as error:
            damaged[name] = str(error)
            continue
        holds[name] = [member for member in members if member is not None]
    return holds, damaged


def _choice(
    places: list[tuple[str, Member]], run: str, file_of: Callable[[str], str]
) -> tuple[str, Member] | None:
    """The place of a run's rows; of two results the one that the record names, which came last."""
    if len({member.name for _, member in places}) > 1:
        file = file_of(run)
        places = [place for place in places if place[1].name == file]
    return places[0] if places else None
