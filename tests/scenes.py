"""A small scene of one colour, with and without georeference, for tests of what is written about it."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from pithead.imagery import Scene, open_scene

UTM = Affine(0.5, 0, 500_000, 0, -0.5, 4_400_000)


def make_scene(path: Path, crs: int | None) -> Scene:
    """400 × 300 px of 0.5 m, open; with None no GeoTIFF but a plain image."""
    if crs is None:
        Image.new("RGB", (400, 300), (128, 128, 128)).save(path)
        return open_scene(path, gsd_m=0.5)
    with rasterio.open(
        path, "w", driver="GTiff", width=400, height=300, count=3, dtype="uint8",
        crs=CRS.from_epsg(crs), transform=UTM,
    ) as out:  # fmt: skip
        out.write(np.full((3, 300, 400), 128, np.uint8))
    return open_scene(path)
