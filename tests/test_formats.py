"""Every kind of file that a scan promises to read gives the pixels that rasterio gives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from rasterio.drivers import raster_driver_extensions
from rasterio.enums import ColorInterp
from rasterio.env import Env
from rasterio.shutil import copy

from pithead.errors import SceneError
from pithead.geometry import Window
from pithead.imagery import Scene, open_scene, parse_stretch
from pithead.tiling import Grid, read_tile

UTM52 = CRS.from_epsg(32652)
PLACE = Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000)
RGB = ("red", "green", "blue")


def _smooth(bands: int, height: int, width: int, high: int = 256) -> npt.NDArray[np.uint16]:
    """Waves and a little noise: lossy formats come close, and no band is like another."""
    y, x = np.mgrid[0:height, 0:width]
    wave = [np.sin(x / (9 + 2 * b)) + np.cos(y / (11 - b)) for b in range(bands)]
    noise = np.random.default_rng(5).normal(0, 0.02, (bands, height, width))
    return ((np.stack(wave) + noise + 2.1) / 4.2 * (high - 1)).astype(np.uint16)


def _write(path: Path, data: npt.NDArray[np.generic], colours: tuple[str, ...], **profile: object) -> Path:
    count, height, width = data.shape
    with rasterio.open(
        path, "w", **{"driver": "GTiff", **profile}, count=count, height=height, width=width,
        dtype=data.dtype, crs=UTM52, transform=PLACE,
    ) as out:  # fmt: skip
        out.colorinterp = [ColorInterp[name] for name in colours]
        out.write(data)
    return path


def _whole(scene: Scene) -> npt.NDArray[np.uint8]:
    pixels = scene.read_window(Window(0, 0, scene.width, scene.height))
    assert pixels.valid.all()
    return pixels.data


def _stored(path: Path, bands: tuple[int, ...] = (1, 2, 3)) -> npt.NDArray[np.generic]:
    with rasterio.open(path) as file:
        return np.moveaxis(file.read(bands), 0, -1)


LAYOUTS: dict[str, dict[str, object]] = {
    "striped": {"tiled": False},
    "one-strip": {"tiled": False, "blockysize": 300},
    "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 128},
    "band-sequential": {"interleave": "band", "tiled": True},
    "lzw": {"compress": "lzw", "predictor": 2},
    "deflate": {"compress": "deflate", "tiled": True},
    "zstd": {"compress": "zstd", "predictor": 2, "tiled": True},
    "jpeg": {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "jpeg_quality": 95},
    "bigtiff": {"bigtiff": "yes", "compress": "packbits"},
    "cog": {"driver": "COG", "compress": "lzw", "blocksize": 128},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_a_geotiff(tmp_path: Path, layout: str) -> None:
    data = _smooth(3, 300, 420).astype(np.uint8)
    path = _write(tmp_path / "a.tif", data, RGB, **LAYOUTS[layout])
    with open_scene(path) as scene:
        pixels = _whole(scene)
        assert scene.gsd_m[0] == pytest.approx(0.6, rel=1e-3)
    np.testing.assert_array_equal(pixels, _stored(path))
    away = np.abs(pixels.astype(int) - np.moveaxis(data, 0, -1)).max()
    assert away == 0 if layout != "jpeg" else 0 < away < 40


@pytest.mark.parametrize("lossless", [True, False])
def test_jpeg_2000(tmp_path: Path, *, lossless: bool) -> None:
    with Env() as env:
        if "JP2OpenJPEG" not in env.drivers():
            pytest.skip("GDAL was built here without a driver of JPEG 2000")
    data = _smooth(3, 300, 420).astype(np.uint8)
    memory = _write(tmp_path / "a.tif", data, RGB)
    quality = {"QUALITY": "100", "REVERSIBLE": "YES"} if lossless else {"QUALITY": "30"}
    copy(memory, tmp_path / "a.jp2", driver="JP2OpenJPEG", **quality)
    with open_scene(tmp_path / "a.jp2") as scene:
        pixels = _whole(scene)
        assert scene.crs == UTM52
        half = scene.read_window(Window(0, 0, 210, 150), 0.5, 0.5)
    np.testing.assert_array_equal(pixels, _stored(tmp_path / "a.jp2"))
    assert (np.abs(pixels.astype(int) - np.moveaxis(data, 0, -1)).max() == 0) == lossless
    assert half.valid.all()


def test_a_vrt_and_one_whose_source_is_gone(tmp_path: Path) -> None:
    source = _write(tmp_path / "a.tif", _smooth(3, 100, 120).astype(np.uint8), RGB)
    copy(source, tmp_path / "a.vrt", driver="VRT")
    with open_scene(tmp_path / "a.vrt") as scene:
        np.testing.assert_array_equal(_whole(scene), _stored(source))
    source.unlink()
    with pytest.raises(SceneError) as error, open_scene(tmp_path / "a.vrt") as scene:
        _whole(scene)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_plain_pictures(tmp_path: Path, suffix: str, mode: str) -> None:
    if (suffix, mode) == ("jpg", "RGBA"):
        mode = "CMYK"  # JPEG has no alpha; GDAL turns the four inks of print into red, green and blue
    data = np.moveaxis(_smooth(4, 50, 60), 0, -1).astype(np.uint8)
    data[..., 3] = 255
    image = Image.fromarray(data[..., 0] if mode == "L" else data[..., :3]).convert(mode)
    path = tmp_path / f"a.{suffix}"
    image.save(path, **({"quality": 95} if suffix == "jpg" else {}))
    with open_scene(path, gsd_m=1.2) as scene:
        pixels = _whole(scene)
    oracle = np.asarray(Image.open(path).convert("RGB")).astype(int)
    # Two JPEG decoders may differ by a few levels, and the ways from ink to light by more.
    assert np.abs(pixels - oracle).max() <= (0 if suffix == "png" else 12 if mode == "CMYK" else 6)


def test_a_file_inside_an_archive(tmp_path: Path) -> None:
    import zipfile

    path = _write(tmp_path / "a.tif", _smooth(3, 64, 64).astype(np.uint8), RGB)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "b.tif")
    with open_scene(f"/vsizip/{tmp_path}/a.zip/b.tif") as scene:
        np.testing.assert_array_equal(_whole(scene), _stored(path))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint16", 100, 2047),
        ("uint16", 300, 4095),
        ("uint16", 0, 65_535),
        ("int16", -500, 900),
        ("int32", -70_000, 70_000),
        ("uint32", 0, 4_000_000_000),
        ("float32", 0, 0.4),
        ("float64", -3, 3),
    ],
)
def test_every_number_type_becomes_the_same_8_bits(
    tmp_path: Path, dtype: str, low: float, high: float
) -> None:
    data = _smooth(3, 100, 100, 4096)
    values = (low + data.astype(np.float64) / 4095 * (high - low)).astype(dtype)
    with open_scene(_write(tmp_path / "a.tif", values, RGB)) as scene:
        assert scene.dtype == dtype
        pixels = _whole(scene)
    # The same percentiles and the same line, on the numbers before they were given another type.
    ends = np.percentile(data, [2, 98], axis=(1, 2))
    expected = np.clip((data - ends[0][:, None, None]) / (ends[1] - ends[0])[:, None, None] * 255, 0, 255)
    assert np.abs(np.moveaxis(expected, 0, -1) - pixels).max() <= 1.01


@pytest.mark.parametrize("bits", [11, 12])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1.4])
def test_11_bits_and_their_8_bit_copy_are_the_same_pixels(tmp_path: Path, bits: int, scale: float) -> None:
    data = _smooth(4, 700, 900, 2**bits)
    data[:, 100:140, 200:260] = 0  # nodata
    kind = {"driver": "COG", "compress": "deflate", "blocksize": 128, "overview_resampling": "average"}
    path = _write(tmp_path / "a.tif", data, ("blue", "green", "red", "nir"), **kind, nodata=0)
    with open_scene(path) as deep:
        assert deep.stretch is not None
        eight = deep.read_window(Window(0, 0, 900, 700))
        copy_path = tmp_path / "b.tif"
        alpha = np.where(eight.valid, 255, 0).astype(np.uint8)
        rgba = np.concatenate([np.moveaxis(eight.data, -1, 0), alpha[None]])
        _write(copy_path, rgba, (*RGB, "alpha"), **kind)
        with open_scene(copy_path) as shallow:
            assert shallow.stretch is None
            grid = Grid.of(deep, deep.gsd_m[0] / scale, 320, 64)
            for window in grid.windows():
                a, b = read_tile(deep, grid, window), read_tile(shallow, grid, window)
                np.testing.assert_array_equal(a.valid, b.valid)
                # Overviews were averaged before highlights were clipped in one file, after it in the other.
                away = np.abs(a.data.astype(int) - b.data)
                assert away.max() <= (1 if scale >= 1 else 2)
                assert away.mean() < 0.25


def test_8_bands_by_number(tmp_path: Path) -> None:
    data = _smooth(8, 40, 50).astype(np.uint8)
    path = _write(tmp_path / "a.tif", data, ("undefined",) * 8, photometric="minisblack")
    with pytest.raises(SceneError, match="--bands"):
        open_scene(path)
    with open_scene(path, bands=(5, 3, 2)) as scene:
        assert scene.bands == (5, 3, 2)
        np.testing.assert_array_equal(_whole(scene), _stored(path, (5, 3, 2)))


@pytest.mark.parametrize(
    "transform",
    [
        PLACE @ Affine.rotation(37),
        Affine(0.6, 0, 500_000, 0, 0.6, 4_400_000),
        Affine(0, -0.6, 500_000, -0.6, 0, 4_400_000),
    ],
    ids=["turned", "north-down", "transposed"],
)
def test_pixels_are_not_turned_but_their_places_are(tmp_path: Path, transform: Affine) -> None:
    path = tmp_path / "a.tif"
    data = _smooth(1, 90, 70).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=90, width=70, dtype="uint8", crs=UTM52, transform=transform
    ) as out:
        out.write(data)
    with open_scene(path) as scene:
        grid = Grid.of(scene, 0.3, 64, 32)
        np.testing.assert_array_equal(_whole(scene)[..., 1], data[0])
        window = list(grid.windows())[-1]
        tile = read_tile(scene, grid, window)
        assert tile.transform is not None
        corner_scene = grid.to_scene(window.origin)
        np.testing.assert_allclose(tile.transform @ (0, 0), transform @ tuple(corner_scene))
        assert tile.gsd_m == pytest.approx((0.3, 0.3), rel=1e-3)


FEET = {"foot": ("ft", 0.3048), "US survey foot": ("us-ft", 1200 / 3937)}


@pytest.mark.parametrize("unit", FEET)
def test_scenes_in_feet_come_to_the_models_metres(tmp_path: Path, unit: str) -> None:
    name, metres = FEET[unit]
    crs = CRS.from_proj4(f"+proj=tmerc +lon_0=-74 +lat_0=40 +k=1 +ellps=GRS80 +units={name}")
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=200, width=300, dtype="uint8", crs=crs,
        transform=Affine(1.0, 0, 1000, 0, -1.0, 1000),
    ) as out:  # fmt: skip
        out.write(np.full((1, 200, 300), 77, np.uint8))
    with open_scene(path) as scene:
        # Two units of feet differ by 2 in a million: the file must keep which one it is.
        assert scene.gsd_m == pytest.approx((metres, metres), rel=3e-7)
        grid = Grid.of(scene, 0.6, 640, 128)
        assert (grid.width, grid.height) == (152, 102)  # 300 and 200 ft at 0.6 m
        assert (read_tile(scene, grid, Window(0, 0, 640, 640)).data[:102, :152] == 77).all()


@pytest.mark.parametrize("make", [lambda: (1, 900), lambda: (900, 1), lambda: (1, 1), lambda: (31, 33)])
def test_scenes_smaller_than_a_tile_are_one_tile(tmp_path: Path, make: Callable[[], tuple[int, int]]) -> None:
    height, width = make()
    data = _smooth(1, height, width, 2048)
    with open_scene(
        _write(tmp_path / "a.tif", data, ("gray",)), stretch=parse_stretch("range 0-2047")
    ) as scene:
        grid = Grid.of(scene, scene.gsd_m[0], 1024, 128)
        pixels = read_tile(scene, grid, next(grid.windows()))
    assert len(grid) == 1
    assert int(pixels.valid.sum()) == height * width
    expected = np.rint(data[0].astype(np.float64) * 255 / 2047)
    np.testing.assert_array_equal(pixels.data[:height, :width, 0], expected)


def test_the_formats_that_are_named_are_known_here() -> None:
    assert {"tif", "vrt", "png", "jpg"} <= set(raster_driver_extensions())
