"""Measure the rule of --skip-plain: how many tiles of labelled scenes are plain, and which have a label."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from cyclopts import App
from shapely.geometry.base import BaseGeometry

from pithead.errors import OptionError
from pithead.imagery import open_scene
from pithead.program import run
from pithead.tiling import PLAIN_CELLS, PLAIN_DETAIL, Grid, cell_detail, is_plain, read_tile

app = App(name="plain_tiles.py")

IMAGES = {".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg"}
NO_OBJECT = {"none", "hard_negative"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile with a valid pixel."""

    name: str
    labels: int
    plain: bool
    detail: float
    """Of its third most detailed cell: what the rule compares with its level."""
    mean: float
    """Grey level: water is dark, cloud and snow are bright."""


@app.default
def measure(
    folder: Path, labels: Path, gsd: float | None = None, model_gsd: float = 0.6, every: int = 1
) -> None:
    """Print how many tiles are plain, how many have labels, and which of the plain ones do.

    Parameters
    ----------
    folder:
        The scenes.
    labels:
        JSON lines with image, class and polygon or line in scene pixels; other scenes are only counted.
    gsd:
        Metres per pixel of scenes without georeference.
    model_gsd:
        Metres per pixel of the model.
    every:
        Look at every so many scenes only.
    """
    outlines = _outlines(labels)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)[::every]
    if not paths:
        raise OptionError(f"{folder}: expected images, got none")
    tiles = [tile for path in paths for tile in _tiles(path, outlines[path.stem], gsd, model_gsd)]
    labelled = [tile for tile in tiles if tile.labels]
    plain = [tile for tile in tiles if tile.plain]
    lost = [tile for tile in plain if tile.labels]
    print(f"{len(paths)} scenes, {len(tiles)} tiles, {len(labelled)} with a label, {len(plain)} plain")
    print(f"rule: all but {PLAIN_CELLS} cells below a detail of {PLAIN_DETAIL} levels")
    for tile in lost:
        print(f"plain with {tile.labels} label(s): {tile.name}, detail {tile.detail:.2f}")
    if labelled:
        lowest = sorted(labelled, key=lambda tile: tile.detail)[:5]
        print("plainest with a label:", ", ".join(f"{tile.detail:.2f} ({tile.name})" for tile in lowest))
    if plain:
        dark, bright = (sum(low <= t.mean < high for t in plain) for low, high in ((0, 96), (160, 256)))
        print(f"plain: {dark} dark, {bright} bright, {len(plain) - dark - bright} between")
    print(f"{len(lost)} plain tiles with a label")


def _outlines(labels: Path) -> dict[str, list[BaseGeometry]]:
    """What the labels of each scene cover, in scene pixels."""
    found: dict[str, list[BaseGeometry]] = defaultdict(list)
    for line in labels.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["class"] in NO_OBJECT:
            continue
        if "polygon" in row:
            found[row["image"]].append(shapely.Polygon(row["polygon"]).buffer(0))
        else:
            found[row["image"]].append(shapely.LineString(row["line"]))
    return found


def _tiles(path: Path, outlines: list[BaseGeometry], gsd: float | None, model_gsd: float) -> list[Tile]:
    """Every tile of a scene that has a valid pixel."""
    found = []
    with open_scene(path, gsd_m=gsd) as scene:
        grid = Grid.of(scene, model_gsd, 640, 128)
        outlines_grid = [shapely.transform(outline, grid.to_grid) for outline in outlines]
        for window in grid.windows():
            pixels = read_tile(scene, grid, window)
            if not pixels.valid.any():
                continue
            frame = shapely.box(window.x, window.y, window.right, window.bottom)
            detail = np.sort(cell_detail(pixels), axis=None)[::-1]
            found.append(
                Tile(
                    f"{path.stem} {window.x} {window.y}",
                    sum(outline.intersects(frame) for outline in outlines_grid),
                    is_plain(pixels),
                    float(detail[PLAIN_CELLS]) if len(detail) > PLAIN_CELLS else 0.0,
                    float(pixels.data[pixels.valid].mean()),
                )
            )
    return found


if __name__ == "__main__":
    run(app)
