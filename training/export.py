"""Export a trained checkpoint as ONNX with its card, in single precision and, if asked for, in less."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import numpy as np
import numpy.typing as npt

from pithead.card import Card, CardClass
from pithead.classes import ClassList, load_classes
from pithead.dataset import dataset_sha256, learnt_from, read_manifest
from pithead.detector import Detector
from pithead.errors import DatasetError, OptionError
from pithead.half import halve
from pithead.manifest import register, warning
from pithead.program import run as run_program
from pithead.quantize import quantize
from pithead.recipe import Recipe, read_recipe
from pithead.sources import read_sources
from pithead.trial import Yardstick, over_scenes, over_tiles

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "datasets" / "sources"
LICENCE = "AGPL-3.0-or-later"  # ultralytics' licence covers what is trained with it
MOST_TILES = 400
"""Of the validation split, to measure AP50 on."""
RANGE_TILES = 64
"""Of the training split, to take the ranges of values from."""
Tiles = npt.NDArray[np.uint8]
Flag = Annotated[bool, cyclopts.Parameter(negative="")]
app = cyclopts.App(name="export.py", help_format="plaintext")


@app.default
def export(  # noqa: PLR0913 (options of a command line)
    run: Path,
    *,
    out: Path,
    dataset: Path | None = None,
    scenes: Path | None = None,
    gsd: float | None = None,
    head: Literal["auto", "one-to-one", "one-to-many"] = "auto",
    half: Flag = False,
    int8: Flag = False,
    tiles: int = 8,
    threshold: float = 0.25,
    thresholds: dict[str, float] | None = None,
    checkpoint: str = "best",
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Export the checkpoint of the training RUN to OUT, if ONNX Runtime gives what torch gave.

    OUT is listed in the manifest.toml beside it. Calibrate and measure it next; training/half.py and
    training/quantize.py make smaller forms of what came of that.

    Parameters
    ----------
    run
        Folder that training/train.py has written.
    out
        The .onnx file to write.
    dataset
        Dataset whose validation tiles are compared, instead of the recipe's. What the network has learnt from
        is told on the card only of the one that the run had.
    scenes
        Folder of scenes with labels.jsonl: AP50 is measured on them instead of the validation tiles.
    gsd
        Metres per pixel of its scenes without georeference.
    head
        Which head of the network answers; auto measures both and takes the better.
    half
        Write OUT-fp16.onnx, too: half precision, for GPUs.
    int8
        Write OUT-int8.onnx, too: 8-bit integers, for CPUs.
    tiles
        How many validation tiles are compared with torch, row by row.
    threshold
        Lowest score of a detection, until training/calibrate.py chooses better ones.
    thresholds
        The same for single classes: --thresholds.mine_head 0.4
    checkpoint
        best or last.
    """
    recipe, known = read_recipe(run / "recipe.toml"), load_classes(classes)
    folder = dataset or Path(recipe.dataset)
    chosen = {**dict.fromkeys(known.names, threshold), **(thresholds or {})}
    if set(chosen) != set(known.names):
        raise OptionError(f"expected thresholds for {', '.join(known.names)}, got {', '.join(chosen)}")
    from pithead.learning.quiet import quiet_ultralytics  # noqa: PLC0415 (--help needs no torch)

    with tempfile.TemporaryDirectory() as settings:
        quiet_ultralytics(Path(settings))
        from pithead.export import LabelledTiles, read_checkpoint, ship  # noqa: PLC0415

        model, facts = read_checkpoint(run / "weights" / f"{checkpoint}.pt")
        facts |= _data(facts, (folder, Path(recipe.dataset))) | _lineage(facts, recipe)
        card = _card(out.stem, recipe, (known, chosen), facts)
        held_out = LabelledTiles(folder, "val", recipe.tile_px, MOST_TILES)
        measure = over_tiles(held_out, f"{len(held_out)} validation tiles")
        if scenes is not None:
            measure = over_scenes(scenes, scenes / "labels.jsonl", known, gsd)
        pixels = held_out.pixels(tiles)
        shipped = ship(model, card, out, pixels, measure, head)
        print(f"{out}: {shipped}")
        _list(out)
        learnt = LabelledTiles(folder, "train", recipe.tile_px, RANGE_TILES) if int8 else None
        _smaller(out, pixels, measure, learnt.pixels(RANGE_TILES) if learnt else None, half=half)


def _smaller(out: Path, pixels: Tiles, measure: Yardstick, learnt: Tiles | None, *, half: bool) -> None:
    """Write the same network in half precision, and in integers if there are tiles to take ranges from."""
    if half:
        other = out.with_name(f"{out.stem}-fp16.onnx")
        print(f"{other}: {halve(out, other, pixels, measure)}")
        _list(other)
    if learnt is not None:
        other = out.with_name(f"{out.stem}-int8.onnx")
        print(f"{other}: {quantize(out, other, learnt, measure)}")
        _list(other)


def _list(weights: Path) -> None:
    unlisted = register(weights, Detector.open(weights, verify=False).card)
    if unlisted:
        print(warning(weights.parent, unlisted))


def _card(
    name: str, recipe: Recipe, classes: tuple[ClassList, dict[str, float]], facts: dict[str, Any]
) -> Card:
    known, thresholds = classes
    training = {
        **facts,
        "model": recipe.model,
        "started_from": Path(recipe.weights).name,
        "false_alarms_per_km2": recipe.false_alarms_per_km2,
    }
    table = tuple(CardClass(c.name, c.geometry, c.colour, thresholds[c.name]) for c in known.classes)
    return Card(name, table, recipe.tile_px, recipe.gsd_m, LICENCE, training=training)


def _data(facts: dict[str, Any], datasets: Sequence[Path]) -> dict[str, Any]:
    """What the network has learnt from: by the dataset of that hash, else as the run tells it."""
    for dataset in datasets:
        try:
            tiles = read_manifest(dataset)
        except DatasetError:
            continue  # it may have been moved: the other one may be it
        if dataset_sha256(tiles) == facts.get("dataset_sha256"):
            return {"data": learnt_from(tiles, read_sources(SOURCES))}
    if "data" in facts:
        return {"data": facts["data"]}
    print(f"{' and '.join(map(str, datasets))}: not what the run has learnt from; its card cannot tell it")
    return {}


def _lineage(facts: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What the network goes back to, as the run tells it, or its files and what is on record."""
    from pithead.learning.lineage import ancestors_of, read_records  # noqa: PLC0415 (--help needs no torch)

    records = read_records(SOURCES, ROOT / "training" / "ancestors.toml")
    return {"lineage": ancestors_of(facts, recipe.weights, records)}


if __name__ == "__main__":
    run_program(app)
