"""Files that appear whole or not at all, and text that is split at newlines and nowhere else."""

import hashlib
import os
from pathlib import Path


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) so that a kill leaves what was there before or the whole of it.

    Folders that are missing are made.
    """
    path = Path(path)
    whole = content.encode("utf-8") if isinstance(content, str) else content
    # One writer at a time: what a kill has left is written over by the next.
    write_by(path.with_name(f".{path.name}.part"), path, whole)


def write_by(part: Path, path: Path, content: bytes, *, lasting: bool = False) -> None:
    """Write a file by way of another beside it, which is gone whatever happens, unless the process is killed.

    Args:
        part: The file beside it; two who write at once need one each.
        path: The file.
        content: All of it.
        lasting: Whether it is to outlast a loss of power from the moment that this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())  # else a machine that dies may keep the name and not the bytes
        part.replace(path)
        if lasting:
            sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename last through a loss of power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, split at \n only, without empty ones.

    `str.splitlines` also splits at U+2028, U+0085 and others, which stand inside JSON strings as they are.
    """
    return [line for line in text.split("\n") if line.strip()]


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
