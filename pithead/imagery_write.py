"""Writing a raster: cloud-optimised, lossless, never half a file."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

COLOURS = {
    1: (ColorInterp.gray,),
    3: (ColorInterp.red, ColorInterp.green, ColorInterp.blue),
    4: (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined),
}


def write_cog(
    path: str | Path,
    data: npt.NDArray[np.uint8 | np.uint16],
    transform: Affine,
    crs: CRS | str,
    *,
    jpeg_quality: int = 0,
) -> None:
    """Write (B, H, W) as a cloud-optimised GeoTIFF; the file appears whole or not at all.

    Args:
        path: Where to write. Its folder must exist.
        data: 1 band (grey), 3 (red, green, blue) or 4 (and near infrared).
        transform: Pixel to map.
        crs: Of the map.
        jpeg_quality: 0 for lossless DEFLATE, else JPEG (uint8 with 1 or 3 bands).
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.partial.tif")
    bands, height, width = data.shape
    options: dict[str, str | int] = {"compress": "DEFLATE", "predictor": 2, "level": 6}
    if jpeg_quality:
        options = {"compress": "JPEG", "quality": jpeg_quality}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype=data.dtype.name,
            transform=transform,
            crs=crs,
        ) as raw:
            raw.write(data)
            raw.colorinterp = COLOURS[bands]
        with memory.open() as raw, rasterio.Env(GDAL_NUM_THREADS="1"):
            # `overview_resampling`: nearest, the default for some types, makes speckle of roofs and rails.
            copy_raster(raw, partial, driver="COG", blocksize=512, overview_resampling="average", **options)
    partial.replace(target)
