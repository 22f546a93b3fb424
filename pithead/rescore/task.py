"""What a worker is given, and what it gives back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pithead.catalog import Entry, Site
from pithead.detector import Device
from pithead.errors import OptionError, StoreError
from pithead.rescore.options import Options
from pithead.rescore.parts import TILES
from pithead.store import RunRecord

Kind = Literal["open", "part", "join"]
End = Literal["finished", "split", "part", "failed", "changed", "lost", "full"]


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for every scene of a run; it travels to every worker."""

    weights: Path
    weights_sha256: str
    options: Options
    store: str
    """Where results go, as `Store.at` takes it: a path or address that every worker reaches."""
    work: str
    """Where parts of scenes lie while a scene is not finished, as `Shelf.at` takes it."""
    sites: Mapping[str, Site] = field(default_factory=dict)
    threads: int | None = 1
    device: Device = "auto"
    part_tiles: int = TILES
    """Tiles of a part; a scene of no more is done at once."""
    verify: bool = True
    """Whether weights must be those of the list beside them."""

    def __post_init__(self) -> None:
        """Refuse parts without tiles.

        Raises:
            OptionError: A part has none.
        """
        if self.part_tiles < 1:
            raise OptionError(f"expected parts of at least 1 tile, got {self.part_tiles}")

    @property
    def patience_s(self) -> float:
        """How long a task may take before its worker is held to hang, as on a disk that no longer answers."""
        return 3600.0 + 30.0 * self.part_tiles


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work: a scene to begin with, one part of a large one, or its parts to be joined."""

    kind: Kind
    entry: Entry
    number: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended, and what it cost.

    `finished`: the record is in the store. `split`: the scene is large, and of its parts these are missing.
    `part`: that part is done. `failed`: `error` says why. `changed`: the scene is no longer what the
    catalogue knows. `full`: there is no room, or no right, to write. `lost`: the worker died or hung, told
    by the crew.
    """

    end: End
    record: RunRecord | None = None
    missing: tuple[int, ...] = ()
    parts: int = 1
    error: str = ""
    tiles: int = 0
    """Tiles that went through the model."""
    pixels: int = 0
    """Pixels of the scene that were looked at, at its own resolution."""
    model_s: float = 0.0
    busy_s: float = 0.0
    host: str = ""

    def to_json(self) -> bytes:
        """As a text that `from_json` reads."""
        told = asdict(replace(self, record=None))
        return json.dumps(told | {"record": None if self.record is None else asdict(self.record)}).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Outcome":
        """The outcome of a text of `to_json`.

        Raises:
            OptionError: It is none.
        """
        try:
            told = json.loads(content)
            record = None if told["record"] is None else json.dumps(told["record"]).encode()
            known = None if record is None else RunRecord.from_json(record, "the worker")
            return cls(**{**told, "record": known, "missing": tuple(told["missing"])})
        except (ValueError, TypeError, KeyError, StoreError) as error:
            raise OptionError("expected the outcome of a task, got other bytes") from error
