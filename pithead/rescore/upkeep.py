"""What else is done with an archive: everything is hashed again, results are exported, the log is signed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd

from pithead.errors import EvidenceError, OptionError, PitheadError
from pithead.evidence import SIGNED, Record, check_signatures, extract, sign
from pithead.files import sha256_of, write_whole
from pithead.rescore.archive import Archive
from pithead.review import GIVEN
from pithead.store import export as write_export

CHAIN = ".chain.jsonl"
_OF_A_SCENE = frozenset({"scene.added", "scene.changed", "run.finished", "run.failed"})


def check(archive: Archive) -> list[str]:
    """Hash everything again (log and signatures, every result, every scene) and tell each fault in a line.

    A result whose record and file were both exchanged is found by the log, which has the hash that it had.
    """
    faults: list[str] = []
    told: dict[tuple[str, str, str], str] = {}
    try:
        for record in archive.log.records():
            facts = record.facts or {}
            if record.kind == "run.finished":
                key = facts["scene_sha256"], facts["weights_sha256"], facts["options_sha256"]
                told[key] = facts["result_sha256"]
        check_signatures(archive.log.records())
    except EvidenceError as error:
        faults.append(str(error))
    faults += [str(fault) for fault in archive.store.verify()]
    faults += _strange_results(archive, told)
    faults += _strange_scenes(archive)
    return faults


def _strange_results(archive: Archive, told: dict[tuple[str, str, str], str]) -> Iterator[str]:
    """Results that the log knows otherwise, or that it knows and the store does not have."""
    left = dict(told)
    for name in archive.store.shelf.names("runs"):
        try:
            record = archive.store.record(name)
        except PitheadError:
            continue  # the store names it
        key = record.scene_sha256, record.weights_sha256, record.options_sha256
        logged = left.pop(key, None)
        if logged is None:
            yield f"{name}: a result that the log does not know"
        elif logged != record.result_sha256:
            yield f"{name}: expected the result {logged} of the log, got {record.result_sha256}"
    for scene, weights, options in sorted(left):
        yield f"runs/{weights}/{options}/{scene}.json: missing, though the log tells of it"


def _strange_scenes(archive: Archive) -> Iterator[str]:
    for entry in archive.catalog.scenes():
        if entry.changed:
            continue
        try:
            state = archive.catalog.state(entry, verify=True)
        except PitheadError as error:
            yield str(error)
            continue
        if state in {"changed", "gone"}:
            yield f"{entry.id}: {state}: {entry.href}"


def compact(archive: Archive) -> int:
    """Join the store's small files; returns how many went into larger ones."""
    joined = archive.store.compact()
    if joined:
        archive.log.append("store.compacted", {"files": joined})
    return joined


def export(archive: Archive, path: Path, weights_sha256: str | None, site: str | None) -> int:
    """Write detections to a file, and the part of the log that they stand on beside it.

    Returns how many are in the file: maps leave out those in scenes without georeference.

    Args:
        archive: The archive.
        path: NAME.gpkg, NAME.geojson or NAME.csv; the log goes to NAME.chain.jsonl.
        weights_sha256: Only of these weights.
        site: Only of this site, by its name or an alias.

    Raises:
        OptionError: There is nothing to export.
        StoreError: The ending is another, or it cannot be written.
    """
    name = None if site is None else _named(archive, site)
    rows = archive.store.detections(weights_sha256, name)
    if rows.empty:
        raise OptionError(
            "expected detections to export, got none of these weights and this site: score scenes first"
        )
    written = len(rows) - write_export(rows, path)
    sha256, scenes = sha256_of(path), sorted(set(rows["scene"]))
    archive.log.append("export.made", {"sha256": sha256, "rows": written, "scenes": scenes})
    # What people said of other camps that the same scenes show is not theirs to know.
    said = None if name is None else set(archive.store.detections(site=name)["detection"])
    lines = extract(archive.log, _of_an_export(rows, sha256, said))
    write_whole(path.with_suffix(CHAIN), b"".join(lines))
    return written


def _named(archive: Archive, site: str) -> str:
    """The name of a site that may be given by an alias; of one that only results know, as it is given."""
    known = archive.catalog.sites()
    return next((one.name for one in known if site == one.name or site in one.aliases), site)


def _of_an_export(rows: gpd.GeoDataFrame, sha256: str, said: set[str] | None) -> Callable[[Record], bool]:
    """Which records go out whole with rows: of their scenes and weights, reviews, signatures, the export."""
    names, scenes, weights = (set(rows[column]) for column in ("scene", "scene_sha256", "weights_sha256"))

    def wanted(record: Record) -> bool:
        facts = record.facts or {}
        of_scene = facts.get("scene") in names or facts.get("scene_sha256") in scenes
        if record.kind in _OF_A_SCENE:
            return of_scene
        if record.kind == GIVEN:
            return of_scene and (said is None or facts.get("detection") in said)
        if record.kind == "weights.registered":
            return facts.get("weights_sha256") in weights
        return record.kind == SIGNED or (record.kind == "export.made" and facts.get("sha256") == sha256)

    return wanted


def sign_head(archive: Archive, key: Path) -> str:
    """Sign the head of the log with an ed25519 key (PEM), and say which record holds the signature.

    Raises:
        OptionError: There is no such key.
        EvidenceError: The log is empty or broken.
    """
    try:
        pem = key.read_bytes()
    except OSError as error:
        raise OptionError(f"expected a private key at {key}: {error.strerror}") from error
    return f"record {sign(archive.log, pem).seq}"
