"""A recipe: every value that decides what a run learns, read from TOML and checked at birth."""

import hashlib
import json
import math
import re
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pithead.errors import RecipeError
from pithead.recipe.augmentation import Augmentation

OPTIMIZERS = ("AdamW", "MuSGD", "SGD")
CELL_PX = (
    32  # tiles are cut, and spans are split, on this grid: a tile that is no multiple would lose the phase
)

MAY_CHANGE = frozenset(("epochs", "hours", "device", "workers", "threads", "val_tiles", "patience"))
"""Keys that say where and how long a run learns, not what: a resumed run may change them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run learns; two equal recipes are the same run.

    Attributes:
        name: Name of the run and of the weights that come of it.
        model: Architecture known to ultralytics, without suffix, such as ``yolo26n-obb`` (oriented boxes) or
            ``yolo26n`` (upright ones), or the path of a model file with the size in its name, such as
            ``training/models/yolo26n-obb-p2.yaml``.
        weights: Where to start: a checkpoint (path, or a name that ultralytics downloads), weights exported
            by pithead (.onnx), or "" for random weights.
        dataset: Folder with ``manifest.jsonl``.
        tile_px: Side of a square tile, a multiple of 32.
        gsd_m: Ground resolution of the tiles in metres per pixel.
        epochs: Epochs; 0: ``hours`` ends the run.
        hours: Time budget; the learning rate falls to its end within it. 0: ``epochs`` ends the run.
        epoch_tiles: Tiles of an epoch, after which the network is validated and saved; 0: all of them.
        patience: Epochs without a better validation after which the run ends.
        batch: Tiles per step, of all devices together: a multiple of their number.
        workers: Processes that read tiles; 0 reads them in the training process.
        threads: CPU threads for the mathematics; 0 leaves the choice to torch.
        optimizer: ``AdamW``, ``MuSGD`` or ``SGD``.
        lr0: Highest learning rate.
        lr_end: Last learning rate, as a share of ``lr0``.
        warmup_epochs: Epochs in which the learning rate rises from 0.
        weight_decay: Weight decay of matrices and filters (never of biases and norms).
        seed: Seed of order and augmentation, a whole number from 0 to 2147483647.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``cuda:N,M`` for several GPUs.
        amp: Forward pass in bfloat16, on a CPU and on GPUs that have it; the loss is always float32.
        val_tiles: At most this many tiles are validated, spread over the split; -1: all.
        balance: Share of tiles under which the tiles of a rare class come more often; 0 draws all alike.
        false_alarms_per_km2: What the thresholds of the weights are chosen for: the most false alarms of a
            class per square kilometre.
        augment: How tiles are varied.
    """

    name: str
    model: str
    weights: str
    dataset: str
    tile_px: int
    gsd_m: float
    epochs: int
    hours: float
    epoch_tiles: int
    patience: int
    batch: int
    workers: int
    threads: int
    optimizer: str
    lr0: float
    lr_end: float
    warmup_epochs: float
    weight_decay: float
    seed: int
    device: str
    amp: bool
    val_tiles: int
    balance: float
    false_alarms_per_km2: float
    augment: Augmentation

    def __post_init__(self) -> None:
        """Check every value, so that nothing behind this door has to."""
        for field in fields(self):
            _check_type(field.name, field.type, getattr(self, field.name))
        problems = [message for broken, message in _rules(self) if broken]
        if problems:
            raise RecipeError(f"recipe '{self.name}': " + "; ".join(problems))

    @property
    def oriented(self) -> bool:
        """Whether the network gives oriented boxes."""
        return "-obb" in Path(self.model).name

    @property
    def devices(self) -> int:
        """How many devices share a batch."""
        return self.device.count(",") + 1

    def sha256(self, *, leave_out: frozenset[str] = frozenset()) -> str:
        """Return the hash of the values, whatever the order and comments of the file."""
        values = {key: value for key, value in asdict(self).items() if key not in leave_out}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> str:
        """Return the recipe as TOML that `read_recipe` reads back to an equal value."""
        table = asdict(self)
        augment = table.pop("augment")
        return (
            "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
            + "\n[augment]\n"
            + "".join(f"{key} = {_toml(value)}\n" for key, value in augment.items())
        )


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe; every key of `Recipe` must be there and no other. What [augment] leaves out is off.

    Raises:
        RecipeError: The file is missing or no TOML, a key is unknown or missing, or a value is impossible.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"expected a recipe in TOML at {path}: {error}") from error
    missing = sorted({field.name for field in fields(Recipe)} - table.keys())
    values = _known(table, Recipe, f"recipe {path}")
    if missing:
        raise RecipeError(f"recipe {path}: missing keys {', '.join(missing)}")
    if not isinstance(table["augment"], dict):
        raise RecipeError(f"recipe {path}: expected a table [augment], got {table['augment']!r}")
    augment = Augmentation(**_known(table["augment"], Augmentation, f"recipe {path} [augment]"))
    return Recipe(**{**values, "augment": augment})


def _known(table: dict[str, Any], kind: type[Recipe | Augmentation], where: str) -> dict[str, Any]:
    """The values of a table, whole numbers as floats where a float is meant (TOML writes 1 for 1.0)."""
    types = {field.name: field.type for field in fields(kind)}
    unknown = sorted(table.keys() - types.keys())
    if unknown:
        raise RecipeError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(types)}")
    return {
        key: float(value) if types[key] is float and type(value) is int else value
        for key, value in table.items()
    }


def _check_type(key: str, expected: object, value: object) -> None:
    if type(value) is not expected:
        name = getattr(expected, "__name__", str(expected))
        raise RecipeError(f"recipe key {key}: expected {name}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"recipe key {key}: expected a finite number, got {value}")
    if isinstance(value, str) and not value.isprintable():
        raise RecipeError(f"recipe key {key}: expected text in one line, got {value!r}")


def _rules(r: Recipe) -> list[tuple[bool, str]]:
    return [
        (r.name in ("", ".", "..") or "/" in r.name, f"name must be a plain word, got {r.name!r}"),
        (
            not re.fullmatch(r"cpu|cuda|cuda:\d+(,\d+)*", r.device),
            f"device must be cpu, cuda, cuda:N or cuda:N,M, got {r.device!r}",
        ),
        (not 0 <= r.seed < 2**31, f"seed must be within 0 and {2**31 - 1}, got {r.seed}"),
        (r.tile_px <= 0 or r.tile_px % CELL_PX != 0, f"tile_px must be a multiple of 32, got {r.tile_px}"),
        (not r.gsd_m > 0, f"gsd_m must be over 0, got {r.gsd_m}"),
        (
            r.epochs < 0 or r.hours < 0 or (r.epochs == 0) == (r.hours == 0),
            "either epochs or hours must be over 0",
        ),
        (r.epoch_tiles < 0, f"epoch_tiles must not be negative, got {r.epoch_tiles}"),
        (r.patience < 1, f"patience must be at least 1, got {r.patience}"),
        (
            r.batch < 1 or r.batch % r.devices != 0,
            f"batch must be over 0 and a multiple of the {r.devices} devices, got {r.batch}",
        ),
        (r.workers < 0 or r.threads < 0, "workers and threads must not be negative"),
        (
            r.optimizer not in OPTIMIZERS,
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {r.optimizer}",
        ),
        (not 0 < r.lr0 <= 1, f"lr0 must be over 0 and at most 1, got {r.lr0}"),
        (not 0 <= r.lr_end <= 1, f"lr_end must be within 0 and 1, got {r.lr_end}"),
        (r.warmup_epochs < 0 or r.weight_decay < 0, "warmup_epochs and weight_decay must not be negative"),
        (
            r.val_tiles < -1 or r.val_tiles == 0,
            f"val_tiles must be over 0, or -1 for all, got {r.val_tiles}",
        ),
        (not 0 <= r.balance <= 1, f"balance must be within 0 and 1, got {r.balance}"),
        (
            not r.false_alarms_per_km2 >= 0,
            f"false_alarms_per_km2 must not be negative, got {r.false_alarms_per_km2}",
        ),
    ]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
