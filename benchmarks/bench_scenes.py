"""The scenes of the benchmark: generated ones side by side with labels, and one large repetition of them.

The generator builds its land at twice the resolution, so a scene is made in square parts and put together;
the seeds are none that the starter weights were trained on.
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine

from pithead.files import write_whole
from pithead.generate.canvas import Truth
from pithead.generate.scene import GeneratedScene, generate_scene
from pithead.imagery import write_cog

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))
from generate import EAST_M, NORTH_M, label_row

GSD_M = 0.6
MOST_PX = 2048  # of a part: 1.9 GB and half a minute to make
SEED = 910_000
PLACE = Affine(GSD_M, 0.0, EAST_M, 0.0, -GSD_M, NORTH_M)
RGB = ("red", "green", "blue")


def own_scene(cache: Path, size: int, workers: int) -> tuple[Path, Path]:
    """Make a lossless COG of about size × size px and its labels unless they are there; both paths."""
    scene, labels = cache / f"scene_{size}.tif", cache / f"scene_{size}.jsonl"
    if scene.exists() and labels.exists():
        return scene, labels
    count = -(-size // MOST_PX)
    side = size // count // 32 * 32
    jobs = [(SEED + i, side) for i in range(count * count)]
    # New processes, not forked ones: what this one has imported has threads.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_part, *zip(*jobs, strict=True)))
    rows = [
        np.concatenate([p.data for p in parts[i : i + count]], axis=2) for i in range(0, len(parts), count)
    ]
    write_cog(scene, np.concatenate(rows, axis=1), PLACE, "EPSG:32652", colorinterp=RGB)
    lines = [
        label_row(scene.stem, _moved(truth, (i % count) * side, (i // count) * side))
        for i, part in enumerate(parts)
        for truth in part.truths
    ]
    write_whole(labels, "".join(json.dumps(line) + "\n" for line in lines))
    return scene, labels


def repeated(source: Path, size: int, target: Path, quality: int = 90) -> Path:
    """Make a COG of size × size px by repeating a scene, as JPEG and block by block, unless it is there."""
    if target.exists():
        return target
    vrt, part = target.with_suffix(".vrt"), target.with_suffix(".part.tif")
    vrt.write_text(_vrt(source, size), encoding="utf-8")
    options = {"compress": "JPEG", "quality": quality, "bigtiff": "IF_SAFER", "num_threads": "ALL_CPUS"}
    with rasterio.Env(GDAL_CACHEMAX=256 * 2**20):
        rasterio.shutil.copy(vrt, part, driver="COG", **options)
    part.replace(target)
    vrt.unlink()
    return target


def _part(seed: int, side: int) -> GeneratedScene:
    return generate_scene(
        seed, width_px=side, height_px=side, gsd_m=GSD_M, kind="training", mode="rgb", bits=8
    )


def _moved(truth: Truth, right: int, down: int) -> Truth:
    points = truth.points_m + np.array([right, down])
    return Truth(truth.class_name, points, closed=truth.closed, attributes=truth.attributes)


def _vrt(source: Path, size: int) -> str:
    """A virtual raster of the source over and over, cut at size."""
    with rasterio.open(source) as dataset:
        width, height, crs = dataset.width, dataset.height, dataset.crs.to_wkt()
    places = [(x, y) for y in range(0, size, height) for x in range(0, size, width)]
    bands = []
    for band, colour in enumerate(RGB, start=1):
        sources = "".join(
            _source(source, band, x, y, min(width, size - x), min(height, size - y)) for x, y in places
        )
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}">'
            f"<ColorInterp>{colour.title()}</ColorInterp>{sources}</VRTRasterBand>"
        )
    place = ", ".join(map(str, PLACE.to_gdal()))
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>{_escaped(crs)}</SRS>'
        f"<GeoTransform>{place}</GeoTransform>{''.join(bands)}</VRTDataset>"
    )


def _source(path: Path, band: int, x: int, y: int, width: int, height: int) -> str:
    size = f'xSize="{width}" ySize="{height}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{_escaped(path.name)}</SourceFilename>'
        f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
        f'<DstRect xOff="{x}" yOff="{y}" {size}/></SimpleSource>'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
