"""A dossier leaves the archive: a record for each of its files, and the part of the log that proves them.

Records of a coarsened dossier's scenes hold file names and exact times, and reviews hold exact outlines and
the names of reviewers. They stay behind as hashes where they would undo what was left out.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pithead.evidence import SIGNED, Record, extract
from pithead.files import sha256_of
from pithead.report.dossier import Dossier
from pithead.rescore import Archive
from pithead.rescore.upkeep import sign_head
from pithead.review import GIVEN

ENDING = ".chain.jsonl"
_OF_A_SCENE = frozenset(
    {
        "scene.added", "scene.amended", "scene.moved", "scene.restored", "scene.changed", "run.finished",
        "run.failed",
    }
)  # fmt: skip


def exported(
    archive: Archive, files: Sequence[Path], dossiers: Sequence[Dossier], key: Path | None = None
) -> bytes:
    """Write down in the log that files leave the archive, and give the part of it that goes with them.

    Args:
        archive: The archive.
        files: All that leave it, written.
        dossiers: Of what they tell.
        key: Sign the head of the log with this afterwards.

    Raises:
        StoreError: The log cannot be written.
        EvidenceError: A link of the log is broken.
    """
    hashes = {sha256_of(file): file for file in files}
    archive.log.append_many(
        [("export.made", _facts(sha256, file, dossiers)) for sha256, file in hashes.items()]
    )
    if key is not None:
        sign_head(archive, key)
    return b"".join(extract(archive.log, _goes(hashes, dossiers)))


def _facts(sha256: str, file: Path, dossiers: Sequence[Dossier]) -> dict[str, object]:
    """What the log says of a file: of a coarsened one it names no scene, as it goes out with it."""
    told = dossiers[0].discretion if dossiers else None
    facts: dict[str, object] = {"sha256": sha256, "file": file.name, "form": "dossier"}
    if told is not None and told.coarse:
        return {**facts, "coarsened_km": told.coarsen_km, "redacted": told.redact}
    scenes = sorted({view.scene for one in dossiers for view in one.chronicle.views})
    return {**facts, "scenes": scenes, "redacted": told is not None and told.redact}


def _goes(hashes: Mapping[str, Path], dossiers: Sequence[Dossier]) -> Callable[[Record], bool]:
    """Which records go out whole."""
    views = [view for one in dossiers for view in one.chronicle.views]
    scenes, names = {view.scene_sha256 for view in views}, {view.scene for view in views}
    detections = {s.detection for view in views for s in (*view.sightings, *view.rejected)}
    weights = {view.weights_sha256 for view in views}
    coarse = any(one.discretion.coarse for one in dossiers)
    silent = coarse or any(one.discretion.redact for one in dossiers)

    def goes(record: Record) -> bool:
        facts = record.facts or {}
        if record.kind in _OF_A_SCENE:
            return not coarse and (facts.get("scene") in names or facts.get("scene_sha256") in scenes)
        if record.kind == GIVEN:
            return not silent and facts.get("detection") in detections
        if record.kind == "weights.registered":
            return facts.get("weights_sha256") in weights
        return record.kind == SIGNED or (record.kind == "export.made" and facts.get("sha256") in hashes)

    return goes
