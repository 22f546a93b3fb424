"""What is left of uploads that came to nothing is removed."""

import fcntl
import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pithead.catalog import Entry

PART: Final = ".part-"
"""How the name of an upload begins that is being received; whoever receives it holds a lock on it."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What `sweep` has removed."""

    parts: int = 0
    scenes: int = 0


def sweep(uploads: Path, wanted: Collection[str], entries: Collection[Entry]) -> Swept:
    """Remove uploads that nobody is receiving, no open job is of, and the catalogue does not know.

    Inside a transaction that writes: an upload comes to its place in one, together with its job.

    Args:
        uploads: The folder of uploads.
        wanted: Places of open jobs.
        entries: The scenes of the catalogue.
    """
    if not uploads.is_dir():
        return Swept()
    root = os.path.abspath(uploads)  # noqa: PTH100 (as the catalogue does: links stay)
    known = {place for entry in entries for place in (entry.href, *entry.copies)}
    parts = scenes = 0
    for one in sorted(uploads.iterdir()):
        if one.name.startswith(PART):
            parts += _given_up(one)
        elif re.fullmatch("[0-9a-f]{64}", one.name) and one.is_dir():
            names = [file.name for file in one.iterdir()]
            if any(f"{one.name}/{name}" in wanted or f"{root}/{one.name}/{name}" in known for name in names):
                continue
            shutil.rmtree(one)
            scenes += 1
    return Swept(parts, scenes)


def _given_up(part: Path) -> bool:
    """Remove a part that nobody holds; says whether it was so."""
    try:
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True
