"""Scenes, sites and weights come into an archive, and the log says so."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pithead.catalog import Entry, Offer, Taken
from pithead.detector import Detector
from pithead.errors import SceneError
from pithead.files import sha256_of
from pithead.imagery import is_local, told_name
from pithead.rescore.archive import Archive
from pithead.rescore.drive import run_facts
from pithead.rescore.plan import Plan
from pithead.sidefiles import Facts
from pithead.store import take_scans

IMAGES = frozenset({".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"})


@dataclass(frozen=True, slots=True)
class News:
    """What came of an intake."""

    new: int
    known: int
    failed: tuple[tuple[str, str], ...]
    """Path and reason of each that was not taken in."""


def images_of(paths: Sequence[str]) -> list[str]:
    """The images that paths name: a folder stands for those in it and below it.

    Raises:
        SceneError: A folder has none.
    """
    found: list[str] = []
    for path in paths:
        inside = [path]
        if is_local(path) and Path(path).is_dir():
            below = sorted(Path(path).rglob("*"))
            inside = [str(p) for p in below if p.suffix.lower() in IMAGES and p.is_file()]
        if not inside:
            raise SceneError(f"{path}: expected images ({', '.join(sorted(IMAGES))}), got none")
        found += inside
    return found


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
        [Offer(path, facts) for path in images_of(paths)],
        site,
        fetch=fetch,
        failed=lambda path, error: failed.append((told_name(path), str(error))),
    )
    return _logged(archive, taken, failed)


def take_stac(archive: Archive, path: Path, site: str | None, *, fetch: bool = False) -> News:
    """Take in what a STAC catalogue, an Item or an export of an API names.

    Raises:
        CatalogError: It is none of these.
    """
    failed: list[tuple[str, str]] = []
    taken = archive.catalog.take_stac(
        path, site, fetch=fetch, failed=lambda scene, error: failed.append((told_name(scene), str(error)))
    )
    return _logged(archive, taken, failed)


def _logged(archive: Archive, taken: Sequence[Taken], failed: list[tuple[str, str]]) -> News:
    fresh = [one for one in taken if one.news == "new"]
    archive.log.append_many([("scene.added", scene_facts(one.entry)) for one in fresh])
    # Apart, since an export of one camp takes the records of a scene with it that may show others too.
    shown = [{"scene": one.entry.id, "sites": list(one.entry.sites)} for one in fresh if one.entry.sites]
    archive.log.append_many([("scene.sited", facts) for facts in shown])
    replaced = [old for one in taken for old in one.replaced]
    archive.log.append_many([("scene.changed", {"scene": old}) for old in replaced])
    return News(len(fresh), len(taken) - len(fresh), tuple(failed))


def scene_facts(entry: Entry) -> dict[str, Any]:
    """What the log says of a scene; where it lies is for the catalogue to know."""
    return {
        "scene": entry.id,
        "scene_sha256": entry.sha256,
        "identity": entry.identity,
        "bytes": entry.bytes,
        "acquired": None if entry.acquired is None else entry.acquired.isoformat(),
        "sensor": entry.sensor,
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
    """Log weights when they are first used on an archive."""
    known = (record.facts for record in archive.log.records() if record.kind == "weights.registered")
    if any(facts is not None and facts["weights_sha256"] == detector.sha256 for facts in known):
        return
    card = detector.card
    archive.log.append(
        "weights.registered",
        {
            "weights_sha256": detector.sha256,
            "name": card.name,
            "licence": card.licence,
            "classes": {known.name: known.threshold for known in card.classes},
            "training": dict(card.training),
        },
    )


def note_changes(archive: Archive, todo: Plan) -> None:
    """Write down what a plan found out about files: new times of the same bytes, and other bytes.

    Raises:
        PitheadError: The catalogue cannot be written.
    """
    changed = [replace(entry, changed=True) for entry in todo.changed]
    if not todo.touched and not changed:
        return
    archive.catalog.update([*todo.touched, *changed])
    archive.log.append_many([("scene.changed", {"scene": entry.id}) for entry in changed])
