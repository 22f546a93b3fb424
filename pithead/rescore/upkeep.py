"""What else is done with an archive: everything is hashed again, files are joined, the log is signed."""

from collections.abc import Iterator
from pathlib import Path

from pithead.errors import EvidenceError, OptionError, PitheadError
from pithead.evidence import check_signatures, sign
from pithead.rescore.archive import Archive
from pithead.rescore.intake import strange_entries


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
        faults += _strange_results(archive, told)
        known = [*archive.catalog.scenes(), *archive.catalog.items()]
        faults += strange_entries(known, archive.log.records())
    except EvidenceError as error:
        faults.append(str(error))  # what a broken log tells of results is no measure of them
    faults += [str(fault) for fault in archive.store.verify()]
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
            yield f"{entry.id}: changed since it was taken in; its results are of the bytes that it had"
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
