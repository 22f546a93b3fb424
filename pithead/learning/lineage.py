"""What weights go back to: every network that they started from, as far as files and records tell.

A card says it because a licence, or what was only to be measured on, follows weights from one to the next.
"""

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

from pithead.dataset import dataset_sha256, learnt_from, read_manifest
from pithead.errors import PitheadError, WeightsError
from pithead.files import sha256_of
from pithead.learning.exported import read_card
from pithead.learning.start import is_exported, open_checkpoint
from pithead.recipe import Recipe, read_recipe
from pithead.sources import UNKNOWN, read_sources

Ancestor = dict[str, Any]
"""One network: file, sha256; name, dataset_sha256 and sources (as on a card), where it tells them. Sources
that it does not tell are `UNKNOWN`; `lineage` is `UNKNOWN` where nobody knows what it started from. Weights
of ultralytics have publisher, licence, pretrained_on and use instead."""

PUBLISHER, LICENCE = "ultralytics", "AGPL-3.0"
PRETRAINED = {
    "obb": ("DOTA", "academic use"),
    "": ("COCO", "annotations under CC BY 4.0, images under the terms of Flickr"),
}
"""What ultralytics pretrains on, and what that may be used for, by what follows the size in a file's name."""


@dataclass(frozen=True, slots=True)
class Records:
    """What is on record beside the files: cards of sources by name, and lineages by the sha256 of weights."""

    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lineages: Mapping[str, Sequence[Ancestor]] = field(default_factory=dict)
    """The first of each is the file itself: what it does not tell is taken from here."""


def read_records(sources: Path, lineages: Path) -> Records:
    """The cards of a folder (datasets/sources) and a list of lineages (training/ancestors.toml).

    Raises:
        DatasetError: A card cannot be read.
        WeightsError: The list cannot be read, or one of it has no file or sha256.
    """
    try:
        tables = tomllib.loads(lineages.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(f"expected a list of lineages at {lineages}: {error}; mend it") from error
    for of, chain in tables.items():
        ones = chain if isinstance(chain, list) else []
        whole = all(isinstance(one, dict) and {"file", "sha256"} <= one.keys() for one in ones)
        if not ones or not whole or ones[0]["sha256"] != of:
            raise WeightsError(
                f"expected lineages of file and sha256 at {lineages}, each beginning with the file that it "
                f"is of; {of} is none: mend it"
            )
    return Records(read_sources(sources), tables)


def lineage_of(weights: str | Path, records: Records | None = None) -> list[Ancestor]:
    """Weights and all that they go back to, from the nearest on.

    Args:
        weights: What `start_from` takes.
        records: For what the files do not tell.

    Raises:
        WeightsError: The file is missing, or is neither of the two.
        CardError: The card in the .onnx breaks the contract.
    """
    records = records or Records()
    if is_exported(weights):
        path = Path(weights)
        card = read_card(path)
        told = {**card.training, "name": card.name}
        return _with_ancestors(path, told, told.get("started_from"), records)
    opened = open_checkpoint(weights)
    path, facts = opened.path, opened.content.get("pithead")
    if facts is None:
        return _completed([_foreign(path, opened.content)], records)
    recipe = _recipe_of(path)
    told = _with_data(facts, recipe, records)
    if recipe is None:
        return _with_ancestors(path, told, None, records)
    return _with_ancestors(path, {**told, "name": recipe.name}, recipe.weights, records)


def ancestors_of(told: Mapping[str, Any], weights: str, records: Records | None = None) -> list[Ancestor]:
    """What a run goes back to, from the nearest on; empty if it began from nothing.

    Args:
        told: The facts of the run, or the `training` of a card. Older ones have no lineage.
        weights: What it started from, "" if from nothing: looked at, if it is there and still the same file.
        records: For what the files do not tell.
    """
    records = records or Records()
    if "lineage" in told:
        return _completed([dict(one) for one in told["lineage"]], records)
    start = told.get("start")
    if start is None:
        return [_unknown(Path(weights).name, UNKNOWN)] if weights else []
    path = Path(weights)
    if path.is_file() and sha256_of(path) == start["sha256"]:
        with suppress(PitheadError):  # of an older layout: then it is only named
            return lineage_of(path, records)
    return _completed([_unknown(start["file"], start["sha256"])], records)


def _with_ancestors(
    path: Path, told: Mapping[str, Any], weights: str | None, records: Records
) -> list[Ancestor]:
    entry = _entry(path, told)
    if weights is None and not {"lineage", "start"} & told.keys():
        return _completed([{**entry, "lineage": UNKNOWN}], records)
    return _completed([entry, *ancestors_of(told, weights or "", records)], records)


def _entry(path: Path, told: Mapping[str, Any]) -> Ancestor:
    """One network of pithead's own, without what it does not tell."""
    kept = {key: told[key] for key in ("name", "dataset_sha256") if key in told}
    sources = told.get("data", {}).get("sources", UNKNOWN)
    return {"file": path.name, "sha256": sha256_of(path), **kept, "sources": sources}


def _unknown(file: str, sha256: str) -> Ancestor:
    return {"file": file, "sha256": sha256, "sources": UNKNOWN, "lineage": UNKNOWN}


def _foreign(path: Path, checkpoint: Mapping[str, Any]) -> Ancestor:
    """A checkpoint that pithead did not train: ultralytics' own, by its name and what it says of its data."""
    stem = path.stem.lower()
    suffix = stem.rpartition("-")[2] if "-" in stem else ""
    on, use = PRETRAINED.get(suffix, (UNKNOWN, UNKNOWN))
    data = Path(str((checkpoint.get("train_args") or {}).get("data") or "")).stem.lower()
    other = bool(data) and on != UNKNOWN and not data.startswith(on.lower())
    if other or path.name.lower() not in GITHUB_ASSETS_NAMES:
        return _unknown(path.name, sha256_of(path))
    told = {"publisher": PUBLISHER, "licence": LICENCE, "pretrained_on": on, "use": use}
    return {"file": path.name, "sha256": sha256_of(path), **told}


def _recipe_of(checkpoint: Path) -> Recipe | None:
    """The recipe of the run in whose folder a checkpoint lies."""
    path = checkpoint.resolve().parent.parent / "recipe.toml"
    try:
        return read_recipe(path) if path.is_file() else None
    except PitheadError:  # another's file, or of an older layout
        return None


def _with_data(facts: Mapping[str, Any], recipe: Recipe | None, records: Records) -> dict[str, Any]:
    """Facts of a run with what it has learnt from: of an older one by its dataset, if that is still there."""
    if "data" in facts or recipe is None:
        return dict(facts)
    try:
        tiles = read_manifest(Path(recipe.dataset))
    except PitheadError:
        return dict(facts)
    same = dataset_sha256(tiles) == facts.get("dataset_sha256")
    return {**facts, "data": learnt_from(tiles, records.sources)} if same else dict(facts)


def _completed(chain: list[Ancestor], records: Records) -> list[Ancestor]:
    """A lineage of which nobody knows the end, with that on record of the nearest of it, if there is one."""
    if not chain or chain[-1].get("lineage") != UNKNOWN:
        return chain
    for number, one in enumerate(chain):
        known = records.lineages.get(one["sha256"])
        if known:
            told = {key: value for key, value in one.items() if value != UNKNOWN}
            return [*chain[:number], {**known[0], **told}, *map(dict, known[1:])]
    return chain
