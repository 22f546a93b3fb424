"""Scenes, sites and weights come into an archive, and the log says so."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pithead.catalog import Entry, Offer, Taken, facts_sha256
from pithead.detector import Detector
from pithead.errors import PitheadError, SceneError
from pithead.evidence import Record
from pithead.files import sha256_of
from pithead.imagery import images_in, told_name
from pithead.manifest import standing
from pithead.rescore.archive import Archive
from pithead.rescore.drive import run_facts
from pithead.rescore.plan import Plan
from pithead.sidefiles import Facts
from pithead.store import take_scans

_BESIDE = re.compile(r"\..*|(preview|icon)_.*|.*-browse|.*_(udm2?(_\w+)?|thumb|thumbnail)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class News:
    """What came of an intake."""

    new: int
    known: int
    """Those that were known before, also if they were amended or moved."""
    failed: tuple[tuple[str, str], ...]
    """Path and reason of each that was not taken in."""
    amended: int = 0
    """Known ones of which something else is said now, or that are taken in for a site more."""
    moved: int = 0
    """Known ones that are at another place now."""
    remarks: tuple[str, ...] = ()
    """What the user should know of some of them, a line each."""


def scenes_in(path: str) -> list[str]:
    """The scenes of a folder and those below it; what is no folder is itself.

    Passed over is what lies beside vendors' scenes and is none: previews (Maxar's -BROWSE, Airbus' PREVIEW_
    and ICON_), Planet's masks (_udm2), and hidden files, of which a Mac leaves one beside each.

    Raises:
        SceneError: A folder has none.
    """
    found = images_in(path, below=True)
    scenes = [one for one in found if one == path or not _BESIDE.fullmatch(Path(one).stem)]
    if not scenes:
        raise SceneError(f"{path}: expected scenes, got previews and masks alone: name them to take them in")
    return scenes


def take_scenes(
    archive: Archive, paths: Sequence[str], site: str | None, facts: Facts, *, fetch: bool = False
) -> News:
    """Take images and folders of images in; one that cannot be read does not keep the others out.

    Raises:
        SceneError: A folder has no images.
        CatalogError: The catalogue is damaged.
    """
    failed: list[tuple[str, str]] = []
    taken = archive.catalog.take(
        [Offer(image, facts) for path in paths for image in scenes_in(path)],
        site,
        fetch=fetch,
        failed=_told_to(failed),
        noted=_logged_in(archive),
    )
    return _news(taken, failed)


def take_stac(
    archive: Archive,
    path: Path | str,
    site: str | None,
    facts: Facts | None = None,
    *,
    asset: str | None = None,
    fetch: bool = False,
) -> News:
    """Take in what a STAC catalogue, an Item or an export of an API names.

    Args:
        archive: What takes them in.
        path: A file, or an address.
        site: The site that they are taken in for.
        facts: What the user says of all of them: before side files, and these before the catalogue.
        asset: Which asset of an Item is the scene, by its key.
        fetch: Whether remote scenes are fetched to be hashed.

    Raises:
        CatalogError: It is none of these.
    """
    failed: list[tuple[str, str]] = []
    taken = archive.catalog.take_stac(
        path,
        site,
        facts,
        asset=asset,
        fetch=fetch,
        failed=_told_to(failed),
        noted=_logged_in(archive),
    )
    return _news(taken, failed)


def _told_to(failed: list[tuple[str, str]]) -> Callable[[str, PitheadError], None]:
    """What adds a scene that failed to a list; its reason does not begin with its name once more."""

    def tell(path: str, error: PitheadError) -> None:
        reason = str(error)
        for name in (path, told_name(path), os.path.abspath(path)):  # noqa: PTH100 (as the catalogue does)
            reason = reason.removeprefix(f"{name}: ")
        failed.append((told_name(path), reason))

    return tell


def _logged_in(archive: Archive) -> Callable[[Sequence[Taken]], None]:
    """What writes down in the log of an archive what became of scenes."""

    def note(taken: Sequence[Taken]) -> None:
        archive.log.append_many(event for one in taken for event in _events(one))

    return note


def _news(taken: Sequence[Taken], failed: Sequence[tuple[str, str]]) -> News:
    remarks = [one.remark for one in taken if one.remark is not None]
    remarks += [f"scene {one.entry.id} is at its place again as it was" for one in taken if one.restored]
    new = sum(one.news == "new" for one in taken)
    return News(
        new,
        len(taken) - new,
        tuple(failed),
        amended=sum(bool(one.amended) for one in taken),
        moved=sum(one.news == "moved" for one in taken),
        remarks=tuple(remarks),
    )


def _events(taken: Taken) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and facts of each record of a scene that was taken in."""
    entry, before = taken.entry, taken.before
    told = {"scene": entry.id, "scene_sha256": entry.sha256}
    yield from (("scene.changed", {"scene": old}) for old in taken.replaced)
    if before is None:
        yield "scene.added", scene_facts(entry)
    amended = {name: list(values) for name, values in taken.amended.items() if name != "sites"}
    if amended and before is not None:
        hashes = {"facts_sha256": facts_sha256(entry), "facts_sha256_before": facts_sha256(before)}
        yield "scene.amended", {**told, "amended": amended, **hashes}
    # Apart, since an export of one camp takes the records of a scene with it that may show others too.
    if entry.sites if before is None else "sites" in taken.amended:
        yield "scene.sited", {"scene": entry.id, "sites": list(entry.sites)}
    if taken.news == "moved":
        yield "scene.moved", told
    if taken.restored:
        yield "scene.restored", told


def strange_entries(entries: Iterable[Entry], records: Iterable[Record]) -> Iterator[str]:
    """Scenes of which the catalogue says what the log does not tell, each in a line.

    A scene whose records tell nothing of its facts, as in logs of older versions, is passed over.

    Args:
        entries: What the catalogue says; of one scene several times too, as by its Item and by the index.
        records: The log from its first record on.
    """
    told: dict[str, list[str]] = {}
    edited: set[str] = set()
    for record in records:
        facts = record.facts or {}
        if record.kind not in {"scene.added", "scene.amended"} or "facts_sha256" not in facts:
            continue
        known = told.setdefault(facts["scene"], [])
        # After a kill the log may tell of an amendment that was never made, and then of it again.
        if known and facts.get("facts_sha256_before", known[-1]) not in known:
            edited.add(facts["scene"])
        known.append(facts["facts_sha256"])
    for scene in sorted(edited):
        yield f"{scene}: what the catalogue said of it was edited before it was amended with --add"
    said = {(entry.id, facts_sha256(entry)) for entry in entries if entry.id in told}
    for scene, sha256 in sorted(said):
        if sha256 != told[scene][-1]:
            yield (
                f"{scene}: expected what the log last told of it ({told[scene][-1][:12]}), got other facts "
                f"in the catalogue ({sha256[:12]}): put its Item back, or say what is true with --add"
            )


def scene_facts(entry: Entry) -> dict[str, Any]:
    """What the log says of a scene; where it lies is for the catalogue to know."""
    return {
        "scene": entry.id,
        "scene_sha256": entry.sha256,
        "identity": entry.identity,
        "bytes": entry.bytes,
        "acquired": None if entry.acquired is None else entry.acquired.isoformat(),
        "sensor": entry.sensor,
        "facts_sha256": facts_sha256(entry),
    }


def take_results(archive: Archive, folder: Path, site: str | None) -> int:
    """Take in what inference/scan.py has left in a folder; returns how many results there are.

    Raises:
        StoreError: There is none, or one cannot be relied on.
    """
    records = take_scans(archive.store, folder, site)
    archive.log.append_many([("run.finished", {**run_facts(record), "late": True}) for record in records])
    return len(records)


def use_sites(archive: Archive, path: Path) -> int:
    """Put a file of sites in the place of the one before; returns how many there are.

    Raises:
        CatalogError: It is no such file.
    """
    sites = archive.catalog.set_sites(path)
    archive.log.append("sites.set", {"sha256": sha256_of(path), "sites": [site.name for site in sites]})
    return len(sites)


def register(archive: Archive, detector: Detector) -> None:
    """Log weights when they are first used here, and again when the list beside them says otherwise.

    Their card stays with the archive.
    """
    archive.keep_card(detector.sha256, detector.card)
    card, beside = detector.card, standing(detector.path, detector.sha256)
    known = (record.facts for record in archive.log.records() if record.kind == "weights.registered")
    mine = [facts for facts in known if facts is not None and facts["weights_sha256"] == detector.sha256]
    if mine and mine[-1].get("manifest") == beside:
        return
    archive.log.append(
        "weights.registered",
        {
            "weights_sha256": detector.sha256,
            "name": card.name,
            "licence": card.licence,
            "classes": {known.name: known.threshold for known in card.classes},
            "training": dict(card.training),
            "manifest": beside,
        },
    )


def note_changes(archive: Archive, todo: Plan) -> None:
    """Write down what a plan found out about files: new times of the same bytes, and other bytes.

    Raises:
        PitheadError: The catalogue cannot be written.
    """
    found_changed = [entry for entry in todo.changed if not entry.changed]
    if not todo.touched and not found_changed:
        return
    # Since the plan was made, scenes may have moved.
    there = {(entry.id, entry.href) for entry in archive.catalog.scenes()}
    changed = [replace(seen, changed=True) for seen in found_changed if (seen.id, seen.href) in there]
    # The log first: after a kill between, the next plan finds them again, and would not if they were marked.
    archive.log.append_many([("scene.changed", {"scene": entry.id}) for entry in changed])
    archive.catalog.update([*todo.touched, *changed])
