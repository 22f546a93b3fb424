"""A run before its first epoch: everything that would stop it later is looked at now."""

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import ultralytics
from ultralytics.utils import RANK

from pithead.augment import Donor, donors_of
from pithead.checks import broken, first_lines, leaks
from pithead.classes import ClassList
from pithead.cutting import STRIP_PAD_M
from pithead.dataset import DATA_YAML, Tile, data_yaml, dataset_sha256, learnt_from, read_manifest
from pithead.errors import ClassesError, DatasetError, RecipeError, WeightsError
from pithead.files import write_whole
from pithead.learning.lineage import Records
from pithead.learning.samples import read_tiles, read_view
from pithead.learning.start import may_be_fetched
from pithead.learning.state import STATE, read_state
from pithead.recipe import MAY_CHANGE, Recipe

DONOR_TILES = 600  # tiles that donors are looked for in
SHOWN = 3  # problems of a dataset that an error names
SAME_GSD = 0.01  # resolutions that differ by a smaller share are the same


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
    records: Records = field(default_factory=Records)

    def donors(self) -> Sequence[Donor]:
        """Objects of the training tiles that may be pasted into others; none if the recipe pastes none."""
        if not self.recipe.augment.copy_paste:
            return ()
        tiles = [tile for tile in read_tiles(self.dataset, "train") if tile.classes]
        tiles = tiles[:: max(1, len(tiles) // DONOR_TILES)]
        views = (read_view(tile, self.recipe.tile_px) for tile in tiles)
        pad = STRIP_PAD_M / self.recipe.gsd_m
        return donors_of(views, self.geometries, seed=self.recipe.seed, strip_pad_px=pad)


def prepare(
    recipe: Recipe, folder: Path, classes: ClassList, *, resume: bool, records: Records | None = None
) -> Plan:
    """Check everything that a run needs, and open its folder.

    With `resume` a run that was stopped goes on; where there is none yet, it begins. By `records` the run
    tells the sources that it learns from, and what its weights go back to where their files do not tell.

    Raises:
        RecipeError: The folder holds a run already, or one that is finished, or of another recipe or dataset;
            the recipe's device is not there.
        DatasetError: The dataset has no tiles of a split, tiles of another resolution or size than the
            recipe's, or its check finds what must not be.
        ClassesError: The dataset was cut with another class list.
        WeightsError: There is no file to start from.
    """
    _check_device(recipe.device)
    dataset = Path(recipe.dataset)
    tiles = read_manifest(dataset)
    _check_classes(dataset, tiles, classes)
    identity = {"recipe": recipe.sha256(leave_out=MAY_CHANGE), "dataset": dataset_sha256(tiles)}
    resumes = resume and (folder / STATE).exists()
    if resumes:
        _same_run(recipe, folder, identity)
    elif (folder / STATE).exists():
        raise RecipeError(f"{folder} holds a run already; go on with --resume or choose another --out")
    else:
        _check_sizes(recipe, tiles)
        _check_tiles(dataset, tiles, classes)
        _check_weights(recipe)
    if RANK in (-1, 0):  # of several processes one writes
        write_whole(folder / "recipe.toml", recipe.to_toml())
    facts = {
        "recipe_sha256": recipe.sha256(),
        "dataset_sha256": identity["dataset"],
        "seed": recipe.seed,
        "names": list(classes.names),
        "versions": versions(),
        **({"data": learnt_from(tiles, records.sources)} if records else {}),
    }
    geometries = tuple(info.geometry for info in classes)
    more: dict[str, Any] = {"resumes": resumes, "records": records or Records()}
    return Plan(recipe, dataset, folder, classes.names, geometries, identity, facts, **more)


def versions() -> dict[str, str]:
    """Return the versions of what decides a result."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "ultralytics": str(ultralytics.__version__),
        "numpy": np.__version__,
        "albumentations": importlib.metadata.version("albumentations"),
        "opencv": cv2.__version__,
    }


def _same_run(recipe: Recipe, folder: Path, identity: dict[str, str]) -> None:
    """Refuse to go on with another run, or with one that is over: before anything of it is touched."""
    saved = read_state(folder)
    for key, value in identity.items():
        if saved["identity"][key] != value:
            raise RecipeError(f"{folder} was begun with another {key}; choose another --out")
    over = saved["seconds"] >= recipe.hours * 3600 if recipe.hours else saved["epoch"] >= recipe.epochs
    if over or saved["epoch"] - saved["stopper"]["best_epoch"] >= recipe.patience:
        raise RecipeError(f"{folder} is finished; give it more epochs, hours or patience to go on")


def _check_device(device: str) -> None:
    count = torch.cuda.device_count()
    wanted = [] if device == "cpu" else (device.removeprefix("cuda").removeprefix(":") or "0").split(",")
    if any(int(number) >= count for number in wanted):
        raise RecipeError(f"expected a GPU for device {device}, torch sees {count}; try --device cpu")


def _check_sizes(recipe: Recipe, tiles: Sequence[Tile]) -> None:
    """What is learnt at one resolution and shipped as of another would be sought at the wrong size."""
    for tile in tiles:
        if abs(tile.gsd_m / recipe.gsd_m - 1) > SAME_GSD:
            raise DatasetError(
                f"expected tiles of {recipe.gsd_m:g} m per pixel as the recipe has it, {tile.path} has "
                f"{tile.gsd_m:g}; cut the dataset at that, or change gsd_m"
            )
        if (tile.window.width, tile.window.height) != (recipe.tile_px, recipe.tile_px):
            raise DatasetError(
                f"expected tiles of {recipe.tile_px} px as the recipe has it, {tile.path} has "
                f"{tile.window.width} × {tile.window.height}; cut the dataset at that, or change tile_px"
            )


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
    if recipe.weights and not Path(recipe.weights).is_file() and not may_be_fetched(recipe.weights):
        raise WeightsError(
            f"expected weights to start from at {recipe.weights}, found none; give their path with "
            "--weights, or set YOLO_OFFLINE=0 to let ultralytics download a file of that name"
        )
