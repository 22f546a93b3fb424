"""The list that lies beside weights: which files are there, with their hashes, licences and figures.

Whoever opens weights holds them against it, so that a file that was exchanged, mixed up or cut short is not
used unnoticed. A folder without a list holds nobody to anything.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from pithead.card import Card
from pithead.errors import WeightsError
from pithead.files import sha256_of, write_whole

MANIFEST = "manifest.toml"
HEAD = (
    "# Every model of this folder, written by the programs of training/. sha256 is of the file; the card\n"
    "# inside it says the rest.\n"
)
KEPT = ("model", "recipe_sha256", "dataset_sha256")
"""What of a card's `training` stands in the list."""


def read_entries(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The tables of a folder's list by the name of the weights; None where there is no list.

    Raises:
        WeightsError: It is no such list.
    """
    path = folder / MANIFEST
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(f"expected a list of weights at {path}: {error}; mend or remove it") from error
    for name, table in tables.items():
        if not isinstance(table, dict) or not {"file", "sha256"} <= table.keys():
            raise WeightsError(
                f"expected a list of weights at {path}, each with file and sha256; {name} has not: "
                "mend it, or keep weights in a folder of their own"
            )
    return tables


def check(path: Path, sha256: str) -> None:
    """Hold weights of that hash against the list beside them, if there is one.

    Raises:
        WeightsError: The list does not name the file, or another hash for it.
    """
    tables = read_entries(path.parent)
    if tables is None:
        return
    beside = path.parent / MANIFEST
    wanted = [table["sha256"] for table in tables.values() if table["file"] == path.name]
    if not wanted:
        names = ", ".join(sorted(str(table["file"]) for table in tables.values())) or "none"
        raise WeightsError(
            f"expected weights that {beside} lists ({names}), got {path.name}: if you know where they come "
            f"from, list them with training/card.py {path}, or scan with --unverified"
        )
    if sha256 not in wanted:
        raise WeightsError(
            f"expected {path} with the sha256 {wanted[0]} of {beside}, got {sha256}: the file is damaged or "
            f"another one; get it again, or list it anew with training/card.py {path}, or scan with "
            "--unverified"
        )


def standing(path: Path, sha256: str) -> str:
    """What the list beside weights says of a file with that hash.

    "listed", "other hash", "not listed", "none" where there is no list, "unreadable" where it is none.
    """
    try:
        tables = read_entries(path.parent)
    except WeightsError:
        return "unreadable"
    if tables is None:
        return "none"
    wanted = [table["sha256"] for table in tables.values() if table["file"] == path.name]
    return "listed" if sha256 in wanted else "other hash" if wanted else "not listed"


def register(path: Path, card: Card) -> tuple[str, ...]:
    """List weights with what their card says in the folder's list, which is made if there is none.

    They are listed by their name without suffix, or by the whole of it if other weights have that.

    Returns:
        The other .onnx files of the folder, if this is its first list: from now on they are refused.

    Raises:
        WeightsError: What lies there is no such list.
    """
    listed = read_entries(path.parent)
    others = {name: table for name, table in (listed or {}).items() if table["file"] != path.name}
    tables = {**others, _free(path, others): entry(path, card)}
    text = HEAD + "".join("\n" + _table(name, tables[name]) for name in sorted(tables))
    write_whole(path.parent / MANIFEST, text)
    beside = (other.name for other in path.parent.iterdir() if other.suffix.lower() == ".onnx")
    return tuple(sorted(name for name in beside if name != path.name)) if listed is None else ()


def warning(folder: Path, unlisted: Sequence[str]) -> str:
    """What to say of weights that `register` has left unlisted."""
    return (
        f"{', '.join(unlisted)} in {folder}: not in the new {MANIFEST}, so refused from now on; "
        "list what you mean to use with training/card.py"
    )


def _free(path: Path, taken: Mapping[str, object]) -> str:
    """A name for the entry of weights that no other has."""
    names = chain((path.stem, path.name), (f"{path.name} {number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def entry(path: Path, card: Card) -> dict[str, Any]:
    """What the list says of weights."""
    facts = {key: card.training[key] for key in KEPT if key in card.training}
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "licence": card.licence,
        **facts,
        "metrics": {title: _figures(told) for title, told in card.evaluations.items()},
    }


def _figures(told: Mapping[str, Any]) -> dict[str, Any]:
    """How many scenes, and the average precision of each class with its interval, where there is one."""
    figures: dict[str, Any] = {key: told[key] for key in ("scenes", "km2") if key in told}
    spans = told.get("intervals") or {}
    for name, row in {**told["classes"], "mean": told.get("mean") or {}}.items():
        numbers = {key: row[key] for key in ("ap50", "ap50_95") if row.get(key) is not None}
        span = (spans.get(name) or {}).get("ap50")
        if span is not None:
            numbers["ap50_interval"] = list(span)
        if numbers:
            figures[name] = numbers
    return figures


def _table(name: str, table: Mapping[str, Any]) -> str:
    lines = [f"[{_key(name)}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in table.items() if key != "metrics"]
    for title, figures in table.get("metrics", {}).items():
        lines += ["", f"[{_key(name)}.metrics.{_key(title)}]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in figures.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "").isascii() and name.replace("_", "").isalnum() else _value(name)


def _value(value: object) -> str:
    """A value as TOML; a text of JSON is one of TOML, but that DEL has to be escaped."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return repr(round(value, 4))
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
