"""Files that appear whole or not at all, and text that is split at newlines and nowhere else."""

import hashlib
from pathlib import Path


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) so that a kill leaves what was there before or the whole of it.

    Folders that are missing are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    part.replace(path)


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, split at \n only, without empty ones.

    `str.splitlines` also splits at U+2028, U+0085 and others, which stand inside JSON strings as they are.
    """
    return [line for line in text.split("\n") if line.strip()]


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
