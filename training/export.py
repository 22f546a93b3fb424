"""Export a trained checkpoint as ONNX with its card."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np
import numpy.typing as npt

from pithead.card import Card, CardClass
from pithead.classes import ClassList, load_classes
from pithead.errors import OptionError
from pithead.program import run as run_program
from pithead.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
LICENCE = "AGPL-3.0-or-later"  # ultralytics' licence covers what is trained with it
app = cyclopts.App(name="export.py", help_format="plaintext")


@app.default
def export(  # noqa: PLR0913 (options of a command line)
    run: Path,
    *,
    out: Path,
    dataset: Path | None = None,
    tiles: int = 8,
    threshold: float = 0.25,
    thresholds: dict[str, float] | None = None,
    metrics: Path | None = None,
    checkpoint: str = "best",
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Export the checkpoint of the training RUN to OUT, if ONNX Runtime gives what torch gave.

    Parameters
    ----------
    run
        Folder that training/train.py has written.
    out
        The .onnx file to write.
    dataset
        Dataset whose validation tiles are compared, instead of the recipe's.
    tiles
        How many of them.
    threshold
        Lowest score of a detection.
    thresholds
        The same for single classes: --thresholds.mine_head 0.4
    metrics
        JSON of measured numbers to put on the card.
    checkpoint
        best or last.
    """
    recipe = read_recipe(run / "recipe.toml")
    folder = dataset or Path(recipe.dataset)
    known = load_classes(classes)
    chosen = {**dict.fromkeys(known.names, threshold), **(thresholds or {})}
    if set(chosen) != set(known.names):
        raise OptionError(f"expected thresholds for {', '.join(known.names)}, got {', '.join(chosen)}")
    _export(
        run / "weights" / f"{checkpoint}.pt", out, recipe, (known, chosen), _metrics(metrics), folder, tiles
    )


def _export(
    weights: Path,
    out: Path,
    recipe: Recipe,
    classes: tuple[ClassList, dict[str, float]],
    metrics: dict[str, Any],
    dataset: Path,
    count: int,
) -> None:
    from pithead.learning.quiet import quiet_ultralytics  # noqa: PLC0415 (--help needs no torch)

    with tempfile.TemporaryDirectory() as settings:
        quiet_ultralytics(Path(settings))
        from pithead.export import export as write  # noqa: PLC0415
        from pithead.export import read_checkpoint  # noqa: PLC0415

        model, facts = read_checkpoint(weights)
        card = _card(out.stem, recipe, *classes, metrics, facts)
        parity = write(model, card, out, _tiles(dataset, recipe.tile_px, count))
    print(
        f"{out}: {parity.rows} rows of {parity.tiles} tiles agree with torch "
        f"within {parity.shift_px:.2g} px and {parity.score_change:.2g} of score"
    )


def _card(
    name: str,
    recipe: Recipe,
    known: ClassList,
    thresholds: dict[str, float],
    metrics: dict[str, Any],
    facts: dict[str, Any],
) -> Card:
    classes = tuple(CardClass(c.name, c.geometry, c.colour, thresholds[c.name]) for c in known.classes)
    training = {**facts, "model": recipe.model, "started_from": Path(recipe.weights).name}
    return Card(name, classes, recipe.tile_px, recipe.gsd_m, LICENCE, training=training, metrics=metrics)


def _metrics(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"expected measured numbers as JSON at {path}: {error}") from error
    if not isinstance(table, dict):
        raise OptionError(f"expected a JSON object at {path}, got {type(table).__name__}")
    return table


def _tiles(dataset: Path, tile_px: int, count: int) -> npt.NDArray[np.uint8]:
    """Return tiles of the validation split, spread over it."""
    from pithead.learning.samples import read_pixels, read_tiles  # noqa: PLC0415

    found = read_tiles(dataset, "val")
    if count < 1 or not found:
        raise OptionError(f"expected at least 1 validation tile to compare on, {dataset} has {len(found)}")
    chosen = found[:: max(1, len(found) // count)][:count]
    return np.stack([read_pixels(tile.path, tile_px) for tile in chosen])


if __name__ == "__main__":
    run_program(app)
