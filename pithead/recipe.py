"""One training run as one typed, frozen value; unknown and missing keys are errors."""

import hashlib
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pithead.errors import RecipeError

OPTIMIZERS = ("AdamW", "MuSGD", "SGD")
CELL_PX = (
    32  # tiles are cut, and spans are split, on this grid: a tile that is no multiple would lose the phase
)

MAY_CHANGE = frozenset(
    ("epochs", "hours", "device", "workers", "threads", "val_period_min", "val_tiles", "save_period_min")
)
"""Keys that say where and how long a run learns, not what: a resumed run may change them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run learns; two equal recipes are the same run.

    Attributes:
        name: Name of the run and of the weights that come of it.
        model: Architecture file known to ultralytics, without suffix, such as ``yolo26n-obb``.
        weights: Checkpoint to start from (path, or a name that ultralytics downloads), "" for random weights.
        dataset: Folder with ``manifest.jsonl``.
        tile_px: Side of a square tile, a multiple of 32.
        gsd_m: Ground resolution of the tiles in metres per pixel.
        epochs: Passes over the training tiles; 0 means that only ``hours`` ends the run.
        hours: Time budget; the learning rate falls to its end within it. 0: only ``epochs`` ends it.
        batch: Tiles per step.
        workers: Processes that read tiles; 0 reads them in the training process.
        threads: CPU threads for the mathematics; 0 leaves the choice to torch.
        optimizer: ``AdamW``, ``MuSGD`` or ``SGD``.
        lr0: Highest learning rate.
        lr_end: Last learning rate, as a share of ``lr0``.
        warmup_steps: Steps in which the learning rate rises from 0.
        weight_decay: Weight decay of matrices and filters (never of biases and norms).
        seed: Seed of order and augmentation.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        amp: Forward pass in bfloat16; the loss is always float32.
        val_period_min: Minutes between validations; 0 validates once, at the end.
        val_tiles: At most this many tiles are validated, spread over the split; 0 means none, -1 all.
        save_period_min: Minutes between checkpoints.
        flip: Chance of a mirrored tile (left-right and up-down, each).
        quarter_turns: Turn tiles by 0, 90, 180 or 270 degrees.
        brightness: Largest relative change of brightness, contrast and gamma (0.2 = 20 %).
        colour: Largest relative change of saturation and of the balance of the bands.
        grey: Chance of a grey tile (panchromatic).
        soften: Chance of a blurred or noisy tile.
        balance: Share of tiles under which the tiles of a rare class come more often; 0 draws all alike.
    """

    name: str
    model: str
    weights: str
    dataset: str
    tile_px: int
    gsd_m: float
    epochs: int
    hours: float
    batch: int
    workers: int
    threads: int
    optimizer: str
    lr0: float
    lr_end: float
    warmup_steps: int
    weight_decay: float
    seed: int
    device: str
    amp: bool
    val_period_min: float
    val_tiles: int
    save_period_min: float
    flip: float
    quarter_turns: bool
    brightness: float
    colour: float
    grey: float
    soften: float
    balance: float

    def __post_init__(self) -> None:
        """Check every value, so that nothing behind this door has to."""
        for field in fields(self):
            _check_type(field.name, field.type, getattr(self, field.name))
        problems = [message for broken, message in _rules(self) if broken]
        if problems:
            raise RecipeError(f"recipe '{self.name}': " + "; ".join(problems))

    def sha256(self, *, leave_out: frozenset[str] = frozenset()) -> str:
        """Return the hash of the values, whatever the order and comments of the file."""
        values = sorted((k, v) for k, v in asdict(self).items() if k not in leave_out)
        text = "\n".join(f"{key}={value!r}" for key, value in values)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """Return the recipe as TOML that `read_recipe` reads back to an equal value."""
        return "".join(f"{key} = {_toml(value)}\n" for key, value in asdict(self).items())


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe; every key of `Recipe` must be there and no other.

    Raises:
        RecipeError: The file is missing or no TOML, a key is unknown or missing, or a value is impossible.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"expected a recipe in TOML at {path}: {error}") from error
    known = {field.name: field.type for field in fields(Recipe)}
    unknown, missing = sorted(table.keys() - known.keys()), sorted(known.keys() - table.keys())
    if unknown:
        raise RecipeError(f"recipe {path}: unknown keys {', '.join(unknown)}; known are {', '.join(known)}")
    if missing:
        raise RecipeError(f"recipe {path}: missing keys {', '.join(missing)}")
    # TOML writes 1 for 1.0; a whole number is as good as a float, never the other way round.
    values: dict[str, Any] = {
        k: float(v) if known[k] is float and type(v) is int else v for k, v in table.items()
    }
    return Recipe(**values)


def _check_type(key: str, expected: object, value: object) -> None:
    if type(value) is not expected:
        name = getattr(expected, "__name__", str(expected))
        raise RecipeError(f"recipe key {key}: expected {name}, got {value!r}")


def _rules(r: Recipe) -> list[tuple[bool, str]]:
    shares = {"flip": r.flip, "grey": r.grey, "soften": r.soften, "balance": r.balance, "lr_end": r.lr_end}
    sizes = {"brightness": r.brightness, "colour": r.colour}
    return [
        (not r.name or "/" in r.name, "name must be a plain word"),
        (r.tile_px <= 0 or r.tile_px % CELL_PX != 0, f"tile_px must be a multiple of 32, got {r.tile_px}"),
        (not r.gsd_m > 0, f"gsd_m must be over 0, got {r.gsd_m}"),
        (r.epochs < 0 or r.hours < 0 or (r.epochs == 0 and r.hours == 0), "epochs or hours must be over 0"),
        (r.batch < 1, f"batch must be at least 1, got {r.batch}"),
        (r.workers < 0 or r.threads < 0, "workers and threads must not be negative"),
        (
            r.optimizer not in OPTIMIZERS,
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {r.optimizer}",
        ),
        (not 0 < r.lr0 <= 1, f"lr0 must be over 0 and at most 1, got {r.lr0}"),
        (r.warmup_steps < 0 or r.weight_decay < 0, "warmup_steps and weight_decay must not be negative"),
        (r.val_period_min < 0 or r.val_tiles < -1, "val_period_min must not be negative, val_tiles be >= -1"),
        (not r.save_period_min > 0, f"save_period_min must be over 0, got {r.save_period_min}"),
        *((not 0 <= v <= 1, f"{k} must be within 0 and 1, got {v}") for k, v in shares.items()),
        *((not 0 <= v < 1, f"{k} must be at least 0 and under 1, got {v}") for k, v in sizes.items()),
    ]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
