"""One record of the chain: what happened, when, and the hash of what happened before."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pithead.errors import EvidenceError
from pithead.evidence.canonical import canonical, settled, sha256_json

NOTHING = "0" * 64
"""What the first record names as the hash before it."""
_FIELDS = ("seq", "time", "kind", "facts", "salt", "facts_sha256", "previous", "hash")
_HASHED = ("seq", "time", "kind", "facts_sha256", "previous")


@dataclass(frozen=True, slots=True)
class Record:
    """What happened, in a chain: `hash` covers everything, `previous` is the hash of the record before.

    The facts are covered by their own hash, with a salt so that short ones cannot be guessed. So they can be
    left out of a copy (then `facts` and `salt` are None) and the chain still holds.

    Raises:
        EvidenceError: A hash does not fit what it covers.
    """

    seq: int
    """From 0."""
    time: str
    """UTC, ISO 8601 with milliseconds."""
    kind: str
    """What happened: scene.added, run.finished, review.given and others."""
    facts: Mapping[str, Any] | None
    salt: str | None
    """16 random hex digits."""
    facts_sha256: str
    """sha256 of the canonical JSON of {"facts": …, "salt": …}."""
    previous: str
    hash: str
    """sha256 of the canonical JSON of seq, time, kind, facts_sha256 and previous."""

    def __post_init__(self) -> None:
        """Hold the hashes against what they cover."""
        texts = (self.time, self.kind, self.facts_sha256, self.previous, self.hash)
        if type(self.seq) is not int or not all(isinstance(text, str) for text in texts):
            raise EvidenceError(f"expected a whole number and texts, got {self.seq!r} and {texts}")
        if not isinstance(self.facts, Mapping | None) or not isinstance(self.salt, str | None):
            raise EvidenceError(f"expected facts by name and a salt, got {self.facts!r} and {self.salt!r}")
        if self.facts is not None and self.facts_sha256 != _facts_sha256(self.facts, self.salt):
            raise EvidenceError(f"expected facts with the sha256 {self.facts_sha256}, got others")
        told = sha256_json({name: getattr(self, name) for name in _HASHED})
        if self.hash != told:
            raise EvidenceError(f"expected a record with the hash {self.hash}, got {told}")

    @classmethod
    def after(cls, last: "Record | None", kind: str, facts: Mapping[str, Any]) -> "Record":
        """A new record, now, behind the last one; facts are kept as JSON keeps them.

        Raises:
            EvidenceError: JSON has no such facts.
        """
        kept = settled(dict(facts))
        salt = secrets.token_hex(8)
        linked: dict[str, Any] = {
            "seq": 0 if last is None else last.seq + 1,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "kind": kind,
            "facts_sha256": _facts_sha256(kept, salt),
            "previous": NOTHING if last is None else last.hash,
        }
        return cls(**linked, facts=kept, salt=salt, hash=sha256_json(linked))

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """The record of a line of the log, with its end or without.

        Raises:
            EvidenceError: It is no record, or a hash does not fit what it covers.
        """
        try:
            told: dict[str, Any] = {"facts": None, "salt": None, **json.loads(line)}
            record = cls(**told)
        except (ValueError, TypeError, RecursionError) as error:
            if isinstance(error, EvidenceError):
                raise
            raise EvidenceError(f"expected a record as JSON, got another text ({error})") from error
        # Else two readers of one line could see two records: of keys that stand there twice, for one.
        if record.to_line().removesuffix(b"\n") != line.removesuffix(b"\n"):
            raise EvidenceError("expected a record in canonical JSON, got it written in another way")
        return record

    def to_line(self) -> bytes:
        """The record as a line of the log; without facts it has no such key."""
        told = {name: getattr(self, name) for name in _FIELDS}
        if self.facts is None:
            del told["facts"], told["salt"]
        return canonical(told) + b"\n"

    def without_facts(self) -> "Record":
        """The same link of the chain, telling only the kind and the time of what happened."""
        left = {name: getattr(self, name) for name in _FIELDS if name not in {"facts", "salt"}}
        return Record(**left, facts=None, salt=None)

    def follows(self, last: "Record | None") -> None:
        """Hold this record to the one before it.

        Raises:
            EvidenceError: It does not follow.
        """
        seq, previous = (0, NOTHING) if last is None else (last.seq + 1, last.hash)
        if self.seq != seq:
            raise EvidenceError(f"expected record {seq}, got {self.seq}: records are missing or were added")
        if self.previous != previous:
            raise EvidenceError(f"expected record {seq} to name {previous} before it, got {self.previous}")


def _facts_sha256(facts: Mapping[str, Any], salt: str | None) -> str:
    return sha256_json({"facts": dict(facts), "salt": salt})
