"""A run before its first epoch: everything that would stop it later is looked at now."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import ultralytics

from pithead.augment import Donor, donors_of
from pithead.checks import broken, first_lines, leaks
from pithead.classes import ClassList
from pithead.cutting import STRIP_PAD_M
from pithead.dataset import DATA_YAML, Tile, data_yaml, dataset_sha256, read_manifest
from pithead.errors import ClassesError, DatasetError, RecipeError, WeightsError
from pithead.files import write_whole
from pithead.learning.samples import read_tiles, read_view
from pithead.learning.state import STATE, read_state
from pithead.recipe import MAY_CHANGE, Recipe

DONOR_TILES = 600  # tiles that donors are looked for in
SHOWN = 3  # problems of a dataset that an error names


@dataclass(slots=True)
class Plan:
    """One run: a recipe, its checked dataset, its folder, and facts that the weights will carry."""

    recipe: Recipe
    dataset: Path
    folder: Path
    names: tuple[str, ...]
    geometries: tuple[str, ...]
    """"box", "line" or "strip" of each class."""
    identity: dict[str, str]
    """Hashes that a resumed run must have in common with what it was."""
    facts: dict[str, Any] = field(default_factory=dict)
    resumes: bool = False

    def donors(self) -> Sequence[Donor]:
        """Objects of the training tiles that may be pasted into others; none if the recipe pastes none."""
        if not self.recipe.augment.copy_paste:
            return ()
        tiles = [tile for tile in read_tiles(self.dataset, "train") if tile.classes]
        tiles = tiles[:: max(1, len(tiles) // DONOR_TILES)]
        views = (read_view(tile, self.recipe.tile_px) for tile in tiles)
        pad = STRIP_PAD_M / self.recipe.gsd_m
        return donors_of(views, self.geometries, seed=self.recipe.seed, strip_pad_px=pad)


def prepare(recipe: Recipe, folder: Path, classes: ClassList, *, resume: bool) -> Plan:
    """Check everything that a run needs, and open its folder.

    With `resume` a run that was stopped goes on; where there is none yet, it begins.

    Raises:
        RecipeError: The folder holds a run already, or one of another recipe or dataset.
        DatasetError: The dataset has no tiles of a split, or its check finds what must not be.
        ClassesError: The dataset was cut with another class list.
        WeightsError: There is no file to start from.
    """
    dataset = Path(recipe.dataset)
    tiles = read_manifest(dataset)
    identity = {"recipe": recipe.sha256(leave_out=MAY_CHANGE), "dataset": dataset_sha256(tiles)}
    resumes = resume and (folder / STATE).exists()
    if resumes:
        _same_run(folder, identity)
    elif (folder / STATE).exists():
        raise RecipeError(f"{folder} holds a run already; go on with --resume or choose another --out")
    else:
        _check_classes(dataset, tiles, classes)
        _check_tiles(dataset, tiles, classes)
        _check_weights(recipe)
    write_whole(folder / "recipe.toml", recipe.to_toml())
    facts = {
        "recipe_sha256": recipe.sha256(),
        "dataset_sha256": identity["dataset"],
        "seed": recipe.seed,
        "names": list(classes.names),
        "versions": versions(),
    }
    geometries = tuple(info.geometry for info in classes)
    return Plan(recipe, dataset, folder, classes.names, geometries, identity, facts, resumes=resumes)


def versions() -> dict[str, str]:
    """Return the versions of what decides a result."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "ultralytics": str(ultralytics.__version__),
    }


def _same_run(folder: Path, identity: dict[str, str]) -> None:
    saved = read_state(folder)["identity"]
    for key, value in identity.items():
        if saved[key] != value:
            raise RecipeError(f"{folder} was begun with another {key}; choose another --out")


def _check_classes(dataset: Path, tiles: Sequence[Tile], classes: ClassList) -> None:
    strange = sorted({name for tile in tiles for name in tile.counts} - set(classes.names))
    path = dataset / DATA_YAML
    other = (
        path.is_file()
        and path.read_text("utf-8").split("names:")[-1] != data_yaml(classes).split("names:")[-1]
    )
    if strange or other:
        came = f"also {', '.join(strange)}" if strange else f"those of {path}"
        raise ClassesError(
            f"expected the classes {', '.join(classes.names)}, the dataset {dataset} has {came}; "
            "cut it again with this class list"
        )


def _check_tiles(dataset: Path, tiles: Sequence[Tile], classes: ClassList) -> None:
    for split in ("train", "val"):
        if not any(tile.split == split for tile in tiles):
            raise DatasetError(
                f"expected tiles of the split '{split}' in {dataset}, got none; cut scenes of several sites"
            )
    refused = first_lines([*broken(dataset, tiles, classes), *leaks(dataset, tiles)], "refused")
    if refused:
        more = f" (and {len(refused) - SHOWN} more)" if len(refused) > SHOWN else ""
        raise DatasetError(f"{dataset} does not pass datasets/check.py: " + "; ".join(refused[:SHOWN]) + more)


def _check_weights(recipe: Recipe) -> None:
    online = os.environ.get("YOLO_OFFLINE", "1") in ("0", "False")
    bare = online and Path(recipe.weights).name == recipe.weights
    if recipe.weights and not bare and not Path(recipe.weights).is_file():
        raise WeightsError(
            f"expected weights to start from at {recipe.weights}, found none; give their path with "
            "--weights, or set YOLO_OFFLINE=0 to let ultralytics download a file of that name"
        )
