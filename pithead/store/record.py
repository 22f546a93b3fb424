"""The record of one run: which scene, which weights, how, where, and what came of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pithead.errors import StoreError
from pithead.evidence import sha256_json

_SHA256 = re.compile(r"[0-9a-f]{64}")
VARYING = frozenset({"host", "started", "seconds"})
"""The only fields in which two records of the same thing may differ."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """That a scene was scored with weights and options; it is written last, and makes a result count.

    `Store.put` fills in `rows`, `result_sha256` and `file`.

    Raises:
        StoreError: A hash is none, or the scene's id does not end with the first 12 digits of its sha256.
    """

    scene: str
    """The id in the catalogue: a name, "-", and the first 12 digits of the sha256."""
    scene_sha256: str
    weights_sha256: str
    weights: str
    """The name of the weights."""
    options_sha256: str
    options: Mapping[str, Any] = field(hash=False)
    site: str | None
    """Under which the detections are filed; each row says its own."""
    sites: tuple[str, ...]
    """All that the scene shows."""
    version: str
    """Of pithead."""
    host: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    tiles: Mapping[str, int] = field(hash=False)
    """How many were run, empty, plain, outside."""
    valid_km2: float
    """The ground that was looked at."""
    counts: Mapping[str, int] = field(hash=False)
    """Detections by class."""
    rows: int = 0
    result_sha256: str = ""
    """`pithead.store.content_sha256` of the rows."""
    file: str = ""
    """Where the rows were put; a compacted store holds them elsewhere."""

    def __post_init__(self) -> None:
        """Check what file names are made of."""
        for name in ("scene_sha256", "weights_sha256", "options_sha256"):
            if not _SHA256.fullmatch(getattr(self, name)):
                raise StoreError(f"expected {name} of 64 hex digits, got {getattr(self, name)!r}")
        if not self.scene.endswith(f"-{self.scene_sha256[:12]}") or re.search(r"[/\\\0]|^\.", self.scene):
            raise StoreError(
                f"expected a scene id such as name-{self.scene_sha256[:12]} (its sha256), got {self.scene!r}"
            )

    @property
    def name(self) -> str:
        """Where the record lies in the store."""
        return f"{self.folder(self.weights_sha256, self.options_sha256)}/{self.scene_sha256}.json"

    @staticmethod
    def folder(weights_sha256: str, options_sha256: str) -> str:
        """Where all records of weights and options lie."""
        return f"runs/{weights_sha256}/{options_sha256}"

    @property
    def constant(self) -> dict[str, Any]:
        """What two runs of the same thing have in common."""
        return {name: value for name, value in asdict(self).items() if name not in VARYING}

    def to_json(self) -> bytes:
        """The record as it is stored."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, told: str) -> "RunRecord":
        """The record of stored bytes.

        Raises:
            StoreError: They are damaged, or of another make.
        """
        try:
            facts = json.loads(content)
            return cls(**{**facts, "sites": tuple(facts["sites"])})
        except (ValueError, TypeError, KeyError, StoreError) as error:
            raise StoreError(
                f"expected a run record at {told}, got another text ({' '.join(str(error).split())}): remove "
                "it, and the scene is scored again"
            ) from error


def options_sha256(options: Mapping[str, Any]) -> str:
    """The hash by which runs with the same options are known: of their canonical JSON."""
    return sha256_json(dict(options))
