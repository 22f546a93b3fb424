"""Write exported weights in 8-bit integers, for CPUs."""

import tempfile
from pathlib import Path
from typing import Annotated

import cyclopts

from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.manifest import register, warning
from pithead.program import run as run_program
from pithead.quantize import quantize as write
from pithead.trial import over_scenes, over_tiles

ROOT = Path(__file__).resolve().parents[1]
app = cyclopts.App(name="quantize.py", help_format="plaintext")


@app.default
def quantize(
    weights: Path,
    *,
    out: Path,
    dataset: Path,
    scenes: Path | None = None,
    gsd: float | None = None,
    tiles: int = 64,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Write WEIGHTS in 8-bit integers to OUT, with what that costs of AP50 on its card.

    OUT is listed in the manifest.toml beside it.

    Parameters
    ----------
    weights
        An .onnx with its card.
    out
        The .onnx file to write.
    dataset
        The dataset that they were trained on: ranges of values are taken from training tiles.
    scenes
        Folder of scenes with labels.jsonl to measure on, instead of the validation tiles of the dataset.
    gsd
        Metres per pixel of its scenes without georeference.
    tiles
        How many training tiles.
    """
    from pithead.learning.quiet import quiet_ultralytics  # noqa: PLC0415 (--help needs no torch)

    with tempfile.TemporaryDirectory() as settings:
        quiet_ultralytics(Path(settings))
        from pithead.export import LabelledTiles  # noqa: PLC0415

        tile_px = Detector.open(weights).card.tile_px
        pixels = LabelledTiles(dataset, "train", tile_px, tiles).pixels(tiles)
        held_out = LabelledTiles(dataset, "val", tile_px, 400)
        measure = over_tiles(held_out, f"{len(held_out)} validation tiles")
        if scenes is not None:
            measure = over_scenes(scenes, scenes / "labels.jsonl", load_classes(classes), gsd)
        loss = write(weights, out, pixels, measure)
    unlisted = register(out, Detector.open(out, verify=False).card)
    if unlisted:
        print(warning(out.parent, unlisted))
    print(f"{out}: {loss}")


if __name__ == "__main__":
    run_program(app)
