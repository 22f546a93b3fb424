"""Write a cloud-optimised GeoTIFF: whole, or not at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from pithead.errors import SceneError
from pithead.imagery.files import READ_ERRORS, one_line


def write_cog(
    path: Path,
    data: npt.NDArray[np.generic],
    transform: Affine,
    crs: CRS | str,
    *,
    colorinterp: Sequence[str],
    jpeg_quality: int | None = None,
    effort: int = 6,
    nodata: float | None = None,
) -> None:
    """Write bands (B, H, W) as a tiled GeoTIFF with overviews, lossless or as JPEG of quality 1 to 100.

    The file appears under its name only when it is complete.

    Args:
        path: where to; the folder must exist.
        data: the pixels, (B, H, W), uint8 if JPEG.
        transform: pixel to map.
        crs: the coordinate system of the map, or its name such as "EPSG:32652".
        colorinterp: what each band is, in GDAL's words: "red", "green", "blue", "nir", "gray", "alpha".
        jpeg_quality: None for DEFLATE.
        effort: of DEFLATE, 1 (fast) to 9 (small).
        nodata: the value of empty pixels, if there is one.

    Raises:
        SceneError: if the file cannot be written, its bands and their colours differ in number, or a
            JPEG is asked for of other than uint8.
    """
    if len(colorinterp) != len(data):
        raise SceneError(f"{path}: expected a colour for each of {len(data)} bands, got {list(colorinterp)}")
    if jpeg_quality is not None and data.dtype != np.uint8:
        raise SceneError(f"{path}: expected uint8 for a JPEG, got {data.dtype}; leave out the JPEG quality")
    lossless = {"compress": "DEFLATE", "predictor": "YES", "level": effort}
    compression = lossless if jpeg_quality is None else {"compress": "JPEG", "quality": jpeg_quality}
    profile = {
        "driver": "COG", "count": data.shape[0], "height": data.shape[1], "width": data.shape[2],
        "dtype": data.dtype, "transform": transform, "crs": crs, "nodata": nodata,
        "blocksize": 512, "overview_resampling": "average", **compression,
    }  # fmt: skip
    part = path.with_name(f".{path.name}.part")
    try:
        with rasterio.open(part, "w", **profile) as out:
            out.colorinterp = [ColorInterp[name] for name in colorinterp]
            out.write(data)
        part.replace(path)
    except READ_ERRORS as error:
        raise SceneError(f"{path}: cannot be written ({one_line(error)})") from error
    finally:
        part.unlink(missing_ok=True)
