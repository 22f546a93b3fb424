"""Write exported weights in half precision, for GPUs."""

from pathlib import Path
from typing import Annotated

import cyclopts
import numpy as np
import numpy.typing as npt

from pithead.card import Card
from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.half import halve
from pithead.imagery import open_scene
from pithead.manifest import register, warning
from pithead.program import run as run_program
from pithead.tiling import Grid, read_tile
from pithead.trial import AGREE, over_scenes

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "datasets" / "demo"
app = cyclopts.App(name="half.py", help_format="plaintext")


@app.default
def half(
    weights: Path,
    *,
    out: Path,
    scene: Path = DEMO / "demo.tif",
    scenes: Path = DEMO,
    gsd: float | None = None,
    tiles: int = 16,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Write WEIGHTS in half precision to OUT, if they find the same and their mean AP50 is within 0.002.

    OUT is listed in the manifest.toml beside it.

    Parameters
    ----------
    weights
        An .onnx with its card.
    out
        The .onnx file to write.
    scene
        Where the tiles come from that are compared row by row; one with objects.
    scenes
        Folder of scenes with labels.jsonl on which AP50 is measured.
    gsd
        Metres per pixel of scenes without georeference.
    tiles
        How many tiles of the scene.
    """
    if tiles < 1:
        raise OptionError(f"expected at least 1 tile, got {tiles}")
    pixels = _tiles(scene, Detector.open(weights).card, tiles, gsd)
    measure = over_scenes(scenes, scenes / "labels.jsonl", load_classes(classes), gsd)
    parity = halve(weights, out, pixels, measure)
    unlisted = register(out, Detector.open(out, verify=False).card)
    if unlisted:
        print(warning(out.parent, unlisted))
    print(f"{out}: {parity}, in {len(pixels)} tiles; mean AP50 agrees within {AGREE} on {scenes}")


def _tiles(scene: Path, card: Card, count: int, gsd: float | None) -> npt.NDArray[np.uint8]:
    with open_scene(scene, gsd_m=gsd) as opened:
        grid = Grid.of(opened, card.gsd_m, card.tile_px, 0)
        windows = [window for window, _ in zip(grid.windows(), range(count), strict=False)]
        return np.stack([read_tile(opened, grid, window).data for window in windows])


if __name__ == "__main__":
    run_program(app)
