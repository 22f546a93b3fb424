import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from pithead.errors import OptionError
from pithead.geometry import Window
from pithead.imagery import Pixels, open_scene, write_cog
from pithead.tiling import PLAIN_DETAIL, Grid, cell_detail, is_plain, read_tile

_sizes = st.integers(1, 5000)
_tiles = st.sampled_from([(640, 128), (640, 0), (640, 64), (1024, 256), (64, 32)])


def _grid(width: int, height: int, tile_px: int = 640, overlap_px: int = 128, scale: float = 1.0) -> Grid:
    return Grid(width, height, scale, scale, tile_px, overlap_px)


@pytest.mark.parametrize(
    ("width", "columns"), [(1, 1), (640, 1), (641, 2), (1152, 2), (1153, 3), (4096, 8), (8192, 16)]
)
def test_as_many_windows_as_it_takes(width: int, columns: int) -> None:
    grid = _grid(width, 1)
    assert (grid.columns, grid.rows, len(grid)) == (columns, 1, columns)


def test_windows_come_row_by_row() -> None:
    assert [(w.x, w.y) for w in _grid(1000, 1000).windows()] == [(0, 0), (512, 0), (0, 512), (512, 512)]


@given(_sizes, _sizes, _tiles)
def test_windows_cover_everything_in_phase_and_none_is_spare(
    width: int, height: int, tile: tuple[int, int]
) -> None:
    tile_px, overlap_px = tile
    grid = _grid(width, height, tile_px, overlap_px)
    windows = list(grid.windows())
    assert len(windows) == len(grid)
    assert all(w.x % 32 == w.y % 32 == 0 and (w.width, w.height) == (tile_px, tile_px) for w in windows)
    xs = sorted({w.x for w in windows})
    assert xs[0] == 0
    assert xs[-1] + tile_px >= width
    # The window before the last one does not reach the edge, or there would be no need for the last one.
    assert len(xs) == 1 or xs[-2] + tile_px < width
    assert {b - a for a, b in itertools.pairwise(xs)} <= {tile_px - overlap_px}
    assert max(w.bottom for w in windows) >= height


@pytest.mark.parametrize(("tile_px", "overlap_px"), [(600, 128), (640, 100), (640, 640), (640, -32), (0, 0)])
def test_impossible_windows_are_an_error(tile_px: int, overlap_px: int) -> None:
    with pytest.raises(OptionError, match="expected"):
        _grid(100, 100, tile_px, overlap_px)


@given(st.floats(0.1, 5), st.floats(0.1, 5), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_grid_and_scene_there_and_back(scale_x: float, scale_y: float, x: float, y: float) -> None:
    grid = Grid(100, 100, scale_x, scale_y, 640, 128)
    np.testing.assert_allclose(grid.to_grid([[x, y]]), [[x * scale_x, y * scale_y]])
    np.testing.assert_allclose(grid.to_scene(grid.to_grid([[x, y]])), [[x, y]], atol=1e-9)


def _scene(path: Path, gsd: float, side: int = 700) -> Path:
    random = np.random.default_rng(1)
    data = random.integers(0, 256, (3, side, side)).astype(np.uint8)
    transform = Affine(gsd, 0, 500_000, 0, -gsd, 4_400_000)
    write_cog(path, data, transform, CRS.from_epsg(32652), colorinterp=["red", "green", "blue"])
    return path


@pytest.mark.parametrize(("gsd", "side"), [(1.2, 1401), (0.3, 350), (0.84, 980)])
def test_the_grid_has_the_models_resolution(tmp_path: Path, gsd: float, side: int) -> None:
    with open_scene(_scene(tmp_path / "a.tif", gsd)) as scene:
        grid = Grid.of(scene, 0.6, 640, 128)
        assert (grid.width, grid.height) == (side, side)
        assert grid.scale_x == pytest.approx(gsd / 0.6, rel=1e-3)
        assert read_tile(scene, grid, Window(0, 0, 640, 640)).gsd_m == pytest.approx((0.6, 0.6))


def test_nearly_the_models_resolution_is_left_alone(tmp_path: Path) -> None:
    with open_scene(_scene(tmp_path / "a.tif", 0.6)) as scene:
        grid = Grid.of(scene, 0.6, 640, 128)
        assert (grid.width, grid.scale_x, grid.scale_y) == (700, 1.0, 1.0)


@pytest.mark.parametrize("gsd", [0.6, 0.84, 1.2, 0.45, 0.25, 0.15])
def test_neighbouring_tiles_agree_pixel_for_pixel(tmp_path: Path, gsd: float) -> None:
    with open_scene(_scene(tmp_path / "a.tif", gsd)) as scene:
        grid = Grid.of(scene, 0.6, 96, 32)
        left, right = (read_tile(scene, grid, Window(x, 64, 96, 96)) for x in (0, 64))
        np.testing.assert_array_equal(left.data[:, 64:], right.data[:, :32])
        np.testing.assert_array_equal(left.valid[:, 64:], right.valid[:, :32])
        assert left.data.shape == (96, 96, 3)


def test_the_last_tile_is_padded(tmp_path: Path) -> None:
    with open_scene(_scene(tmp_path / "a.tif", 0.6)) as scene:
        grid = Grid.of(scene, 0.6, 640, 128)
        last = list(grid.windows())[-1]
        pixels = read_tile(scene, grid, last)
    assert (last.x, last.y) == (512, 512)
    assert pixels.valid.sum() == (700 - 512) ** 2
    assert not pixels.data[~pixels.valid].any()


def _pixels(grey: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None = None) -> Pixels:
    data = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    return Pixels(data, np.ones(grey.shape, np.bool_) if valid is None else valid, None, None, (0.6, 0.6))


def test_detail_is_what_changes_within_8_px() -> None:
    grey = np.full((64, 96), 100)
    grey[:, 32:64] = np.repeat(np.arange(4) * 20, 8)  # steps between blocks only
    grey[0:8, 64:68] += 12  # half of one block of 16: 6 levels from its mean, over 16 blocks
    np.testing.assert_allclose(cell_detail(_pixels(grey)), [0, 0, np.sqrt(36 / 16), 0, 0, 0], atol=1e-3)
    colours = _pixels(np.full((32, 32), 90))
    colours.data[::2, :, 0] += 30  # 10 levels of grey, 5 from the mean
    np.testing.assert_allclose(cell_detail(colours), [5], atol=1e-3)


def test_haze_and_water_are_plain_and_a_few_edges_are_not() -> None:
    y, x = np.mgrid[0:640, 0:640]
    water = 60 + 20 * np.sin(x / 150) + np.random.default_rng(3).normal(0, 1, (640, 640))
    assert is_plain(_pixels(water))
    assert is_plain(_pixels(np.full((640, 640), 255)))
    building = np.where((abs(x - 320) < 25) & (abs(y - 310) < 25), 120, water)  # 30 m by 30 m
    assert not is_plain(_pixels(building))
    assert not is_plain(_pixels(water + np.random.default_rng(4).normal(0, 2 * PLAIN_DETAIL, water.shape)))
    fence = np.where(abs(x - y) < 2, 90, water)
    assert not is_plain(_pixels(fence))


def test_the_edge_of_the_data_is_no_detail() -> None:
    y, x = np.mgrid[0:640, 0:640]
    valid = x + 2 * y < 900
    grey = np.where(valid, 200, 0)
    assert is_plain(_pixels(grey, valid))
    assert not is_plain(_pixels(grey))
    assert is_plain(_pixels(grey, np.zeros_like(valid)))
    textured = np.where(valid, 200 + 20 * (x // 2 % 2), 0)
    assert not is_plain(_pixels(textured, valid))


@given(st.integers(-40, 40), st.integers(1, 3))
def test_plainness_knows_no_brightness_and_no_direction(shift: int, turns: int) -> None:
    grey = 120 + np.random.default_rng(turns).normal(0, 3, (96, 96)).round()
    turned = np.rot90(grey + shift, turns)
    np.testing.assert_allclose(
        np.sort(cell_detail(_pixels(grey))), np.sort(cell_detail(_pixels(turned))), atol=2e-2
    )
