import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window as RasterWindow

from pithead import geometry
from pithead.errors import GroundResolutionError, OptionError, SceneError
from pithead.geometry import Window
from pithead.imagery import Stretch, StretchRule, open_scene, parse_stretch, write_cog
from pithead.imagery.bands import is_mask

UTM52 = CRS.from_epsg(32652)
PLACE = Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000)
NAIP = Path(__file__).parents[2] / "shared" / "free" / "naip"


def _noise(
    bands: int, height: int, width: int, high: int = 256, dtype: str = "uint8"
) -> npt.NDArray[np.generic]:
    return np.random.default_rng(7).integers(0, high, (bands, height, width)).astype(dtype)


def _write(
    path: Path,
    data: npt.NDArray[np.generic],
    colours: Sequence[str] | None = None,
    *,
    crs: CRS | None = UTM52,
    transform: Affine = PLACE,
    mask: npt.NDArray[np.bool_] | None = None,
    **profile: object,
) -> Path:
    shape = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2], "dtype": data.dtype}
    place = {"crs": crs, "transform": transform} if crs is not None else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **shape, **place, **profile) as out,
    ):
        if colours is not None:
            out.colorinterp = [ColorInterp[name] for name in colours]
        out.write(data)
        if mask is not None:
            out.write_mask(mask)
    return path


def _hwc(data: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return np.moveaxis(data, 0, -1)


# --- what is in the file


def test_8_bit_rgb_passes_through_untouched(tmp_path: Path) -> None:
    data = _noise(3, 40, 50)
    with open_scene(_write(tmp_path / "a.tif", data, photometric="RGB")) as scene:
        assert (scene.width, scene.height, scene.dtype, scene.stretch) == (50, 40, "uint8", None)
        assert (scene.bands, scene.alpha) == ((1, 2, 3), None)
        assert scene.gsd_m == pytest.approx((0.6 / 0.9996, 0.6 / 0.9996), rel=1e-6)
        pixels = scene.read(0, 0, 50, 40, 50, 40)
        assert scene.has_valid()
    np.testing.assert_array_equal(pixels.data, _hwc(data))
    assert pixels.valid.all()
    assert (pixels.crs, pixels.transform) == (UTM52, PLACE)


def test_one_band_serves_for_all_three(tmp_path: Path) -> None:
    data = _noise(1, 20, 30)
    with open_scene(_write(tmp_path / "pan.tif", data)) as scene:
        pixels = scene.read(0, 0, 30, 20, 30, 20)
    np.testing.assert_array_equal(pixels.data, np.repeat(_hwc(data), 3, axis=-1))


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (["red", "green", "blue", "nir"], (1, 2, 3)),
        (["blue", "green", "red", "nir"], (3, 2, 1)),
        (["nir", "red", "green", "blue"], (2, 3, 4)),
        (["undefined", "red", "undefined", "green", "blue", "rededge", "nir", "swir"], (2, 4, 5)),
        (["gray", "undefined", "undefined"], (1, 2, 3)),
        (["gray", "alpha"], (1, 1, 1)),
    ],
)
def test_colours_go_by_interpretation_not_by_position(
    tmp_path: Path, colours: list[str], expected: tuple[int, int, int]
) -> None:
    data = _noise(len(colours), 20, 30)
    data[colours.index("alpha") if "alpha" in colours else slice(0, 0)] = 255
    with open_scene(_write(tmp_path / "a.tif", data, colours, photometric="MINISBLACK")) as scene:
        assert scene.bands == expected
        pixels = scene.read(0, 0, 30, 20, 30, 20)
    np.testing.assert_array_equal(pixels.data, _hwc(data[[i - 1 for i in expected]]))


def test_band_names_serve_where_there_is_no_interpretation(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", _noise(4, 8, 8), ["undefined"] * 4, photometric="MINISBLACK")
    with rasterio.open(path, "r+") as out:
        out.descriptions = ("Blue", "Green", "Red", "NIR")
    with open_scene(path) as scene:
        assert scene.bands == (3, 2, 1)


def test_unknown_colours_are_not_guessed(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", _noise(4, 8, 8), ["undefined"] * 4, photometric="MINISBLACK")
    with pytest.raises(SceneError, match="red, green and blue"):
        open_scene(path)


@pytest.mark.parametrize(
    ("asked", "read"), [((3, 2, 1), (3, 2, 1)), ((4, 4, 2), (4, 4, 2)), ((2,), (2, 2, 2))]
)
def test_bands_can_be_asked_for(tmp_path: Path, asked: tuple[int, ...], read: tuple[int, int, int]) -> None:
    data = _noise(4, 20, 30)
    path = _write(tmp_path / "a.tif", data, ["red", "green", "blue", "nir"], photometric="RGB")
    with open_scene(path, bands=asked) as scene:
        assert scene.bands == read
        np.testing.assert_array_equal(
            scene.read(0, 0, 30, 20, 30, 20).data, _hwc(data[[i - 1 for i in read]])
        )


def test_a_mask_that_is_asked_for_is_a_picture(tmp_path: Path) -> None:
    data = np.stack([np.full((4, 4), 9), np.where(_left_half(4, 4), 255, 0)]).astype(np.uint8)
    path = _write(tmp_path / "a.tif", data, ["gray", "alpha"])
    with open_scene(path) as masked, open_scene(path, bands=(2,)) as shown:
        assert (masked.alpha, shown.alpha) == (2, None)
        assert masked.read(0, 0, 4, 4, 4, 4).valid.sum() == 8
        pixels = shown.read(0, 0, 4, 4, 4, 4)
    assert pixels.valid.all()
    np.testing.assert_array_equal(pixels.data[..., 0], data[1])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((5, 2, 1), "from 1 to 4, got --bands 5,2,1"),
        ((0,), "from 1 to 4, got --bands 0"),
        ((1, 2), "1 or 3 bands, .* got 1,2"),
        ((), "1 or 3 bands, .* got none"),
    ],
)
def test_bands_that_are_not_there(tmp_path: Path, asked: tuple[int, ...], message: str) -> None:
    path = _write(tmp_path / "a.tif", _noise(4, 8, 8))
    with pytest.raises(OptionError, match=message):
        open_scene(path, bands=asked)


def test_bands_of_different_numbers_are_not_mixed(tmp_path: Path) -> None:
    _write(tmp_path / "a.tif", _noise(1, 8, 8))
    _write(tmp_path / "b.tif", _noise(1, 8, 8, dtype="uint16"))
    band = (
        '<VRTRasterBand dataType="{}" band="{}"><SimpleSource><SourceFilename relativeToVRT="1">{}'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    )
    kinds = [("Byte", "a.tif"), ("UInt16", "b.tif"), ("UInt16", "b.tif")]
    inside = "".join(band.format(kind, i, name) for i, (kind, name) in enumerate(kinds, start=1))
    path = tmp_path / "c.vrt"
    path.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{inside}</VRTDataset>')
    with pytest.raises(SceneError, match="one type of numbers, got uint16, uint8"):
        open_scene(path, gsd_m=1)
    with open_scene(path, gsd_m=1, bands=(3,)) as scene:
        assert scene.dtype == "uint16"
        assert scene.stretch is not None


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), mode=None)
    image = image.convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1, 1, 0])
    image.save(tmp_path / "a.png")
    with open_scene(tmp_path / "a.png", gsd_m=1) as scene:
        assert scene.read(0, 0, 2, 2, 2, 2).data[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    with pytest.raises(OptionError, match="no --bands for an image with a palette"):
        open_scene(tmp_path / "a.png", gsd_m=1, bands=(1,))
    with pytest.raises(OptionError, match="no stretch for an image with a palette"):
        open_scene(tmp_path / "a.png", gsd_m=1, stretch=StretchRule("range", 0, 9))


# --- stretch


def test_11_bits_are_stretched_once_per_scene(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(150, 1200, 1001).round().astype(np.uint16), (3, 10, 1))
    ramp[1] += 100
    with open_scene(_write(tmp_path / "a.tif", ramp, photometric="RGB")) as scene:
        assert scene.stretch is not None
        np.testing.assert_allclose(scene.stretch.low, [171, 271, 171], atol=1)
        np.testing.assert_allclose(scene.stretch.high, [1179, 1279, 1179], atol=1)
        json.dumps(asdict(scene.stretch))
        whole = scene.read(0, 0, 1001, 10, 1001, 10).data
        part = scene.read(500, 0, 510, 10, 10, 10).data
    assert (whole[0, 0, 0], whole[0, 500, 0], whole[0, 1000, 0]) == (0, 128, 255)
    assert len(np.unique(whole)) == 256
    np.testing.assert_array_equal(part, whole[:, 500:510])


def test_a_stretch_can_be_given(tmp_path: Path) -> None:
    data = np.full((3, 4, 4), 500, dtype=np.uint16)
    stretch = Stretch((0, 250, 500), (1000, 1250, 501))
    with open_scene(_write(tmp_path / "a.tif", data, photometric="RGB"), stretch=stretch) as scene:
        assert scene.stretch == stretch
        assert scene.read(0, 0, 4, 4, 4, 4).data[0, 0].tolist() == [128, 64, 0]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("percentile 2-98", StretchRule("percentile", 2, 98)),
        ("Percentile 0.5 - 99.5 ", StretchRule("percentile", 0.5, 99.5)),
        ("range 200-1500", StretchRule("range", 200, 1500)),
        ("range -25.5--1e-3", StretchRule("range", -25.5, -0.001)),
        ("none", StretchRule("none")),
    ],
)
def test_stretches_are_named_in_words(text: str, rule: StretchRule) -> None:
    assert parse_stretch(text) == rule
    assert parse_stretch(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "2-98", "percentile", "percentile 2", "minmax", "range a-b", "none 1-2"]
)
def test_other_words_are_no_stretch(text: str) -> None:
    with pytest.raises(OptionError, match="'percentile 2-98', 'range 200-1500' or 'none', got"):
        parse_stretch(text)


@pytest.mark.parametrize(
    "text", ["percentile 98-2", "percentile -1-98", "percentile 2-101", "range 5-5", "range 1-1e999"]
)
def test_a_stretch_has_a_span(text: str) -> None:
    with pytest.raises(OptionError, match="expected"):
        parse_stretch(text)


def test_8_bits_are_stretched_only_when_asked(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 201, dtype=np.uint8), (3, 2, 1))
    path = _write(tmp_path / "a.tif", ramp, photometric="RGB")
    ends = {
        "none": None,
        "range 50-150": (50, 150),
        "percentile 0-100": (0, 200),
        "percentile 10-90": (20, 180),
    }
    for text, wanted in ends.items():
        with open_scene(path, stretch=parse_stretch(text)) as scene:
            pixels = scene.read(0, 0, 201, 2, 201, 2).data
            if wanted is None:
                assert scene.stretch is None
                np.testing.assert_array_equal(pixels, _hwc(ramp))
            else:
                assert scene.stretch == Stretch((wanted[0],) * 3, (wanted[1],) * 3)
                assert (pixels[0, wanted[0]] == 0).all()
                assert (pixels[0, wanted[1]] == 255).all()


def test_what_is_not_8_bit_needs_a_stretch(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", _noise(1, 8, 8, dtype="uint16"))
    with pytest.raises(OptionError, match="stretch to 8 bits for values of uint16, got none"):
        open_scene(path, stretch=parse_stretch("none"))


def test_the_stretch_comes_from_the_overviews(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", np.full((1, 1024, 2048), 1000, np.uint16), tiled=True)
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4], Resampling.average)
    with rasterio.open(path, "r+", overview_level=1) as out:  # every fourth pixel says otherwise
        out.write(np.tile(np.linspace(0, 800, 512).astype(np.uint16), (1, 256, 1)))
    with open_scene(path) as scene:
        assert scene.stretch is not None
        np.testing.assert_allclose([scene.stretch.low[0], scene.stretch.high[0]], [16, 784], atol=2)


@given(st.sampled_from(["uint16", "int16", "int8"]), st.floats(-200, 200), st.floats(1, 300))
def test_tables_give_what_arithmetic_gives(dtype: str, low: float, span: float) -> None:
    stretch = Stretch((low, low - 3, low), (low + span, low + span, low + 2 * span))
    info = np.iinfo(dtype)
    values = np.broadcast_to(
        np.linspace(max(info.min, -400), min(info.max, 400), 300).astype(dtype), (3, 1, 300)
    )
    tables = stretch.tables(np.dtype(dtype))
    assert tables is not None
    by_table = np.stack([table[band] for table, band in zip(tables, values, strict=True)])
    np.testing.assert_array_equal(by_table, stretch.apply(values))


def test_floats_and_not_a_number(tmp_path: Path) -> None:
    data = np.tile(np.linspace(0, 0.5, 101, dtype=np.float32), (3, 4, 1))
    data[:, 0, :] = np.nan
    with open_scene(_write(tmp_path / "a.tif", data, photometric="RGB")) as scene:
        pixels = scene.read(0, 0, 101, 4, 101, 4)
    assert not pixels.valid[0].any()
    assert pixels.valid[1:].all()
    assert (pixels.data[0] == 0).all()
    assert pixels.data[1, [0, 50, 100], 0].tolist() in ([0, 127, 255], [0, 128, 255])


def test_a_flat_scene_is_black_and_does_not_fail(tmp_path: Path) -> None:
    data = np.full((1, 8, 8), 700, dtype=np.uint16)
    with open_scene(_write(tmp_path / "a.tif", data)) as scene:
        assert not scene.read(0, 0, 8, 8, 8, 8).data.any()


def test_a_large_scene_without_overviews_is_sampled_by_patches(tmp_path: Path) -> None:
    data = np.tile(np.linspace(100, 1100, 5000).astype(np.uint16), (1, 200, 1))
    with open_scene(_write(tmp_path / "a.tif", data)) as scene:
        assert scene.stretch is not None
        assert scene.stretch.low[0] == pytest.approx(110, abs=10)


def test_a_sample_that_misses_the_data_is_not_the_end(tmp_path: Path) -> None:
    data = np.zeros((1, 300, 5000), dtype=np.uint16)
    data[0, 0:10, 300:310] = np.linspace(100, 1000, 100).reshape(10, 10)  # between two patches
    with open_scene(_write(tmp_path / "a.tif", data, nodata=0)) as scene:
        assert scene.stretch is not None
        assert 100 < scene.stretch.low[0] < scene.stretch.high[0] < 1000
        assert scene.has_valid()


# --- valid pixels


def _left_half(height: int, width: int) -> npt.NDArray[np.bool_]:
    half = np.zeros((height, width), dtype=np.bool_)
    half[:, : width // 2] = True
    return half


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask"])
def test_nodata_alpha_and_internal_masks_all_say_what_is_valid(tmp_path: Path, kind: str) -> None:
    data = _noise(3, 20, 30) // 2 + 1
    half = _left_half(20, 30)
    path = tmp_path / "a.tif"
    if kind == "nodata":
        _write(path, np.where(half, data, 0).astype(np.uint8), nodata=0, photometric="RGB")
    elif kind == "alpha":
        rgba = np.concatenate([data, np.where(half, 255, 0)[None].astype(np.uint8)])
        _write(path, rgba, ["red", "green", "blue", "alpha"], photometric="RGB")
    else:
        _write(path, data, mask=half, photometric="RGB")
    with open_scene(path) as scene:
        assert scene.alpha == (4 if kind == "alpha" else None)
        pixels = scene.read(-5, 0, 30, 20, 35, 20)
    np.testing.assert_array_equal(pixels.valid[:, 5:], half)
    assert not pixels.valid[:, :5].any()
    np.testing.assert_array_equal(pixels.data[:, 5:], _hwc(np.where(half, data, 0)))


def test_black_in_one_band_is_a_shadow_not_a_hole(tmp_path: Path) -> None:
    data = np.zeros((3, 4, 4), dtype=np.uint8)
    data[2, :, :2] = 9
    with open_scene(_write(tmp_path / "a.tif", data, nodata=0, photometric="RGB")) as scene:
        np.testing.assert_array_equal(scene.read(0, 0, 4, 4, 4, 4).valid, _left_half(4, 4))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_scene_without_any_data_is_a_scene(tmp_path: Path, dtype: str) -> None:
    with open_scene(
        _write(tmp_path / "a.tif", np.zeros((3, 8, 8), dtype=dtype), nodata=0, photometric="RGB")
    ) as scene:
        assert not scene.has_valid()
        assert scene.stretch is None
        pixels = scene.read(0, 0, 8, 8, 16, 16)
    assert not pixels.valid.any()
    assert not pixels.data.any()


def test_infrared_tagged_alpha_is_no_mask(tmp_path: Path) -> None:
    data = _noise(4, 64, 64)
    data[3, :8] = 0  # water is black in the infrared
    with open_scene(
        _write(tmp_path / "a.tif", data, ["red", "green", "blue", "alpha"], photometric="RGB")
    ) as scene:
        assert (scene.bands, scene.alpha) == ((1, 2, 3), None)
        assert scene.read(0, 0, 64, 64, 64, 64).valid.all()


def test_what_a_mask_looks_like() -> None:
    assert is_mask(np.array([], dtype=np.uint8))
    assert is_mask(np.zeros(10, dtype=np.uint8))
    assert is_mask(np.full(10, 65_535, dtype=np.uint16))
    assert is_mask(np.r_[np.zeros(500), np.full(480, 255), np.arange(20)])
    assert not is_mask(np.arange(256))


@pytest.mark.skipif(not NAIP.is_dir(), reason="the NAIP scenes are not on this machine")
@pytest.mark.parametrize("name", ["302.tif", "naip_303_AZ_NG.tif"])
def test_naip_scenes_are_valid_all_over(name: str) -> None:
    with open_scene(NAIP / name) as scene, rasterio.open(NAIP / name) as oracle:
        assert (scene.bands, scene.alpha) == ((1, 2, 3), None)
        assert scene.gsd_m[0] == pytest.approx(0.84, abs=0.02)  # 1 m of a sphere at the equator, at 33° N
        pixels = scene.read(0, 0, scene.width, scene.height, scene.width, scene.height)
        assert pixels.valid.all()
        np.testing.assert_array_equal(pixels.data, _hwc(oracle.read([1, 2, 3])))


# --- windows and resampling


def test_beyond_the_edge_is_black_and_invalid(tmp_path: Path) -> None:
    data = _noise(3, 10, 10)
    with (
        open_scene(_write(tmp_path / "a.tif", data, photometric="RGB")) as scene,
        rasterio.open(tmp_path / "a.tif") as oracle,
    ):
        pixels = scene.read_window(Window(-4, 6, 32, 32))
        expected = np.pad(oracle.read(window=RasterWindow(0, 6, 10, 4)), ((0, 0), (0, 28), (4, 18)))
        away = scene.read_window(Window(64, 64, 32, 32), 2.0, 2.0)
    np.testing.assert_array_equal(pixels.data, _hwc(expected))
    assert pixels.valid.sum() == 10 * 4
    assert not away.valid.any()


@pytest.mark.parametrize("scale", [0.37, 0.5, 0.84 / 0.6, 2.0, 1.0, 1.2 / 0.6 * 1.0004])
@pytest.mark.parametrize("masked", [False, True])
def test_windows_have_no_seams(tmp_path: Path, scale: float, *, masked: bool) -> None:
    data = _noise(3, 150, 170)
    mask = np.random.default_rng(3).random((150, 170)) > 0.3 if masked else None
    side = 96
    width, height = round(170 * scale), round(150 * scale)
    with open_scene(_write(tmp_path / "a.tif", data, mask=mask, photometric="RGB")) as scene:
        whole = scene.read_window(Window(0, 0, width, height), scale, scale)
        for x, y in itertools.product(range(-32, width, 64), range(-32, height, 64)):
            part = scene.read_window(Window(x, y, side, side), scale, scale)
            left, top = max(0, x), max(0, y)
            right, bottom = min(width, x + side), min(height, y + side)
            here = slice(top - y, bottom - y), slice(left - x, right - x)
            there = slice(top, bottom), slice(left, right)
            np.testing.assert_array_equal(part.data[here], whole.data[there])
            np.testing.assert_array_equal(part.valid[here], whole.valid[there])


@pytest.mark.parametrize(
    ("scale", "method"), [(2.0, Resampling.bilinear), (1.4, Resampling.bilinear), (0.37, Resampling.average)]
)
def test_resampling_agrees_with_gdal(tmp_path: Path, scale: float, method: Resampling) -> None:
    data = _noise(3, 60, 80)
    width, height = int(80 * scale), int(60 * scale)
    expected = np.zeros((3, height, width), dtype=np.float32)
    reproject(
        data.astype(np.float32), expected, src_transform=PLACE, src_crs=UTM52, dst_crs=UTM52,
        dst_transform=PLACE @ Affine.scale(1 / scale), resampling=method,
    )  # fmt: skip
    with open_scene(_write(tmp_path / "a.tif", data, photometric="RGB")) as scene:
        pixels = scene.read_window(Window(0, 0, width, height), scale, scale)
    assert np.abs(pixels.data - _hwc(expected))[1:-1, 1:-1].max() <= 1.0
    assert pixels.valid.all()


def test_a_much_finer_scene_is_read_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_scene(_write(tmp_path / "a.tif", _noise(3, 400, 400), photometric="RGB")) as scene:
        at_once = scene.read_window(Window(-3, 0, 48, 48), 0.11, 0.12)
        monkeypatch.setattr("pithead.imagery.scene._STRIP_PX", 20_000)
        in_strips = scene.read_window(Window(-3, 0, 48, 48), 0.11, 0.12)
    np.testing.assert_array_equal(in_strips.data, at_once.data)
    np.testing.assert_array_equal(in_strips.valid, at_once.valid)
    assert at_once.valid.sum() == 44 * 48


def test_twice_as_coarse_is_the_mean_of_four(tmp_path: Path) -> None:
    data = np.array([[[0, 10, 20, 30], [4, 14, 24, 34]]], dtype=np.uint8)
    with open_scene(_write(tmp_path / "a.tif", data)) as scene:
        assert scene.read(0, 0, 4, 2, 2, 1).data[0, :, 0].tolist() == [7, 27]
        # The same pixels by an enlargement in x alone: a quarter and three quarters between centres.
        assert scene.read(0, 0, 4, 2, 8, 2).data[0, :, 0].tolist() == [0, 2, 8, 12, 18, 22, 28, 30]


def test_a_hole_does_not_darken_its_neighbours(tmp_path: Path) -> None:
    data = np.full((1, 8, 8), 100, dtype=np.uint8)
    data[0, :, 3] = 0
    with open_scene(_write(tmp_path / "a.tif", data, nodata=0)) as scene:
        for pixels in (scene.read(0, 0, 8, 8, 16, 16), scene.read(0, 0, 8, 8, 5, 5)):
            assert set(np.unique(pixels.data[pixels.valid])) == {100}
            assert not pixels.data[~pixels.valid].any()


def test_position_and_resolution_travel_with_the_pixels(tmp_path: Path) -> None:
    with open_scene(_write(tmp_path / "a.tif", _noise(3, 64, 64), photometric="RGB")) as scene:
        pixels = scene.read(16, 8, 48, 40, 64, 64)
        assert pixels.transform is not None
        np.testing.assert_allclose(pixels.transform @ (0, 0), scene.to_map([16, 8]))
        np.testing.assert_allclose(pixels.transform @ (64, 64), scene.to_map([48, 40]))
        assert pixels.gsd_m == pytest.approx((scene.gsd_m[0] / 2, scene.gsd_m[1] / 2))


def test_overviews_are_used_when_coarser(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_cog(
        path, np.full((3, 1200, 1300), 50, np.uint8), PLACE, UTM52, colorinterp=["red", "green", "blue"]
    )
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2, 4]
    with open_scene(path) as scene:
        whole = scene.read_window(Window(0, 0, 325, 300), 0.25, 0.25)
        part = scene.read_window(Window(32, 64, 96, 96), 0.25, 0.25)
        assert scene._levels.at(4.0).width == 325
        assert scene._levels.at(3.9).width == 650
    assert (whole.data == 50).all()
    assert whole.valid.all()
    np.testing.assert_array_equal(part.data, whole.data[64:160, 32:128])


@pytest.mark.parametrize(("height", "width"), [(1, 500), (500, 1), (1, 1)])
def test_thin_scenes(tmp_path: Path, height: int, width: int) -> None:
    data = _noise(1, height, width)
    with open_scene(_write(tmp_path / "a.tif", data)) as scene:
        assert scene.read_window(Window(0, 0, 640, 640)).valid.sum() == height * width
        assert scene.read_window(Window(0, 0, 640, 640), 0.5, 0.5).valid.any()


@pytest.mark.parametrize("rectangle", [(0, 0, 0, 5, 5, 5), (5, 0, 0, 5, 5, 5), (0, 0, 5, 5, 0, 5)])
def test_an_empty_rectangle_is_an_error(tmp_path: Path, rectangle: tuple[int, ...]) -> None:
    with (
        open_scene(_write(tmp_path / "a.tif", _noise(1, 8, 8))) as scene,
        pytest.raises(OptionError, match="with a size"),
    ):
        scene.read(*rectangle)


# --- the ground


@pytest.mark.parametrize("epsg", [32652, 4326, 3857])
def test_the_same_ground_in_every_crs(tmp_path: Path, epsg: int) -> None:
    crs = CRS.from_epsg(epsg)
    corners = geometry.from_lonlat([[129.0, 39.5], [129.001, 39.499]], crs)
    (x0, y0), (x1, y1) = corners
    transform = Affine((x1 - x0) / 100, 0, x0, 0, (y1 - y0) / 100, y0)
    with open_scene(_write(tmp_path / "a.tif", _noise(1, 100, 100), crs=crs, transform=transform)) as scene:
        np.testing.assert_allclose(
            scene.to_lonlat([[0, 0], [100, 100]]), [[129, 39.5], [129.001, 39.499]], atol=1e-9
        )
        assert scene.gsd_m == pytest.approx((0.8603, 1.1103), rel=2e-3)
        square = [[0, 0], [100, 0], [100, 100], [0, 100]]
        assert scene.area_m2(square) == pytest.approx(86.03 * 111.03, rel=4e-3)
        assert scene.length_m(square[:2]) == pytest.approx(86.03, rel=2e-3)
        np.testing.assert_allclose(scene.sides_m([square]), [[86.03, 111.03]], rtol=2e-3)


def test_turned_and_north_down_scenes(tmp_path: Path) -> None:
    turned = PLACE @ Affine.rotation(30)
    with open_scene(_write(tmp_path / "a.tif", _noise(1, 100, 100), transform=turned)) as scene:
        assert scene.gsd_m == pytest.approx((0.6 / 0.9996,) * 2, rel=1e-5)
        np.testing.assert_allclose(scene.to_map([[7, 9]]), [turned @ (7, 9)])
    north_down = Affine(0.6, 0, 500_000, 0, 0.6, 4_400_000)
    with open_scene(_write(tmp_path / "b.tif", _noise(1, 100, 100), transform=north_down)) as scene:
        assert scene.gsd_m == pytest.approx((0.6 / 0.9996,) * 2, rel=1e-5)
        assert scene.to_lonlat([[0, 100]])[0, 1] > scene.to_lonlat([[0, 0]])[0, 1]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_without_georeference_needs_its_resolution(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.full((20, 30, 3), 90, dtype=np.uint8)).save(tmp_path / name)
    with pytest.raises(GroundResolutionError, match="--gsd"):
        open_scene(tmp_path / name)
    with open_scene(tmp_path / name, gsd_m=1.2) as scene:
        assert (scene.crs, scene.transform, scene.gsd_m) == (None, None, (1.2, 1.2))
        pixels = scene.read(0, 0, 30, 20, 60, 40)
        assert (pixels.data == 90).all()
        assert (pixels.transform, pixels.crs, pixels.gsd_m) == (None, None, (0.6, 0.6))
        square = [[0, 0], [10, 0], [10, 20], [0, 20]]
        assert scene.area_m2(square) == pytest.approx(12 * 24)
        assert scene.length_m(square) == pytest.approx(12 + 24 + 12)
        np.testing.assert_allclose(scene.sides_m([square]), [[12, 24]])
        with pytest.raises(GroundResolutionError, match="no georeference"):
            scene.to_lonlat([[0, 0]])


def test_a_tiff_without_georeference_needs_its_resolution(tmp_path: Path) -> None:
    with rasterio.open(_write(tmp_path / "b.tif", _noise(1, 8, 8))):
        pass
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "a.tif")
    with pytest.raises(GroundResolutionError, match="--gsd"):
        open_scene(tmp_path / "a.tif")
    with open_scene(tmp_path / "b.tif", gsd_m=30) as scene:  # a georeference knows better
        assert scene.gsd_m[0] == pytest.approx(0.6, rel=1e-3)


@pytest.mark.parametrize("gsd_m", [0, -1, float("nan"), float("inf")])
def test_an_impossible_resolution_is_an_error(tmp_path: Path, gsd_m: float) -> None:
    with pytest.raises(OptionError, match="above 0"):
        open_scene(tmp_path / "a.tif", gsd_m=gsd_m)


# --- bad files: one clear line


def _one_line(error: pytest.ExceptionInfo[SceneError], path: Path) -> None:
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"this is no image\n", b"II*\x00\x08\x00\x00\x00"])
def test_what_is_no_image(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(SceneError, match="expected an image") as error:
        open_scene(path)
    _one_line(error, path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="nothing there"):
        open_scene(tmp_path / "a.tif")
    with pytest.raises(SceneError, match="a folder"):
        open_scene(tmp_path)


def test_complex_numbers_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="complex"):
        open_scene(_write(tmp_path / "a.tif", np.zeros((1, 4, 4), dtype=np.complex64)))


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "compress": "deflate"}, {"driver": "COG"}])
def test_a_truncated_tiff_is_noticed_when_it_is_opened(
    tmp_path: Path, keep: float, profile: dict[str, object]
) -> None:
    path = tmp_path / "a.tif"
    if profile.get("driver") == "COG":
        write_cog(path, _noise(3, 700, 700), PLACE, UTM52, colorinterp=["red", "green", "blue"])
    else:
        _write(path, _noise(3, 700, 700), photometric="RGB", **profile)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(SceneError, match="truncated") as error:
        open_scene(path)
    _one_line(error, path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_truncated_picture_is_noticed_when_it_is_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(np.asarray(_hwc(_noise(3, 200, 200)))).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SceneError, match="truncated") as error:
        open_scene(path, gsd_m=1)
    _one_line(error, path)


def test_damage_in_the_middle_is_noticed_when_it_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path / "a.tif", _noise(3, 700, 700), tiled=True, compress="deflate", photometric="RGB")
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 50_000] = bytes(50_000)
    path.write_bytes(bytes(whole))
    with open_scene(path) as scene, pytest.raises(SceneError, match="damaged") as error:
        scene.read(0, 0, 700, 700, 700, 700)
    _one_line(error, path)
    assert capfd.readouterr() == ("", "")


# --- writing


@pytest.mark.parametrize(
    ("dtype", "colours"),
    [("uint8", ["red", "green", "blue"]), ("uint16", ["red", "green", "blue", "nir"]), ("uint8", ["gray"])],
)
def test_write_cog_is_lossless(tmp_path: Path, dtype: str, colours: list[str]) -> None:
    data = _noise(len(colours), 600, 700, high=250, dtype=dtype)
    path = tmp_path / "a.tif"
    write_cog(path, data, PLACE, UTM52, colorinterp=colours, nodata=255)
    assert [item.name for item in tmp_path.iterdir()] == ["a.tif"]
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert [colour.name for colour in file.colorinterp] == colours
        assert (file.crs, file.transform, file.nodata, file.overviews(1)) == (UTM52, PLACE, 255, [2])
        np.testing.assert_array_equal(file.read(), data)
    with open_scene(path) as scene:
        assert scene.bands == ((1, 2, 3) if len(colours) > 1 else (1, 1, 1))


def test_write_cog_as_jpeg(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 512).astype(np.uint8), (3, 512, 1))
    write_cog(tmp_path / "a.tif", smooth, PLACE, UTM52, colorinterp=["red", "green", "blue"], jpeg_quality=90)
    assert (tmp_path / "a.tif").stat().st_size < 60_000
    with open_scene(tmp_path / "a.tif") as scene:
        pixels = scene.read(0, 0, 512, 512, 512, 512)
    assert np.abs(pixels.data.astype(int) - _hwc(smooth)).max() <= 4


def test_write_cog_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    colours = ["red", "green", "blue"]
    with pytest.raises(SceneError, match="expected uint8 for a JPEG"):
        write_cog(
            tmp_path / "a.tif",
            _noise(3, 9, 9, dtype="int64"),
            PLACE,
            UTM52,
            colorinterp=colours,
            jpeg_quality=90,
        )
    with pytest.raises(SceneError, match="cannot be written"):
        write_cog(tmp_path / "no" / "a.tif", _noise(3, 9, 9), PLACE, UTM52, colorinterp=colours)
    with pytest.raises(SceneError, match="a colour for each"):
        write_cog(tmp_path / "a.tif", _noise(2, 9, 9), PLACE, UTM52, colorinterp=colours)
    assert list(tmp_path.iterdir()) == []
