"""Write exported weights in half precision, for GPUs."""

from pathlib import Path

import cyclopts
import numpy as np

from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.half import halve
from pithead.imagery import open_scene
from pithead.program import run as run_program
from pithead.tiling import Grid, read_tile

ROOT = Path(__file__).resolve().parents[1]
app = cyclopts.App(name="half.py", help_format="plaintext")


@app.default
def half(
    weights: Path,
    *,
    out: Path,
    scene: Path = ROOT / "datasets" / "demo" / "demo.tif",
    gsd: float | None = None,
    tiles: int = 16,
) -> None:
    """Write WEIGHTS in half precision to OUT, if they find the same in tiles of a scene.

    Parameters
    ----------
    weights
        An .onnx with its card.
    out
        The .onnx file to write.
    scene
        Where the tiles come from; one with objects.
    gsd
        Metres per pixel of a scene without georeference.
    tiles
        How many of them.
    """
    if tiles < 1:
        raise OptionError(f"expected at least 1 tile, got {tiles}")
    card = Detector.open(weights).card
    with open_scene(scene, gsd_m=gsd) as opened:
        grid = Grid.of(opened, card.gsd_m, card.tile_px, 0)
        windows = [window for window, _ in zip(grid.windows(), range(tiles), strict=False)]
        data = np.stack([read_tile(opened, grid, window).data for window in windows])
    parity = halve(weights, out, data)
    print(f"{out}: {parity.lost} of {parity.rows} rows over a score of 0.25 differ, in {len(data)} tiles")


if __name__ == "__main__":
    run_program(app)
