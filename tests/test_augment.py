from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pithead.augment import augment, turn
from pithead.recipe import read_recipe

RECIPE = read_recipe(Path(__file__).parents[1] / "training" / "recipes" / "smoke.toml")
STILL = replace(RECIPE, flip=0.0, quarter_turns=False, brightness=0.0, colour=0.0, grey=0.0, soften=0.0)
PIXEL = np.array([[[3.0, 1.0], [4.0, 1.0], [4.0, 2.0], [3.0, 2.0]]])  # the pixel of column 3, row 1


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_corners_go_where_their_pixel_goes(quarters: int, *, mirror: bool) -> None:
    tile = np.zeros((8, 8, 3), np.uint8)
    tile[1, 3] = 200
    turned, corners = turn(tile, PIXEL, quarters, mirror=mirror)
    x, y = corners[0].min(axis=0).astype(int)
    assert turned[y, x, 0] == 200
    assert np.ptp(corners[0], axis=0).tolist() == [1, 1]


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_the_grid_of_spans_goes_onto_itself(quarters: int, *, mirror: bool) -> None:
    on_grid = np.array([[[32.0, 10.0], [64.0, 10.0], [64.0, 20.0], [32.0, 20.0]]])
    _, corners = turn(np.zeros((128, 128, 3), np.uint8), on_grid, quarters, mirror=mirror)
    long_axis = int(np.ptp(corners[0], axis=0).argmax())
    assert set(corners[0, :, long_axis] % 32) == {0.0}


def test_a_quarter_turn_is_counter_clockwise() -> None:
    _, corners = turn(np.zeros((8, 8, 3), np.uint8), np.array([[[8.0, 0.0]]]), 1, mirror=False)
    assert corners.tolist() == [[[0.0, 0.0]]]  # top right goes to top left


def test_without_any_change_a_tile_stays_as_it_is() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    same, corners = augment(tile, PIXEL, STILL, np.random.default_rng(1))
    assert np.abs(same.astype(int) - tile).max() <= 1
    assert np.array_equal(corners, PIXEL)


def test_grey_tiles_have_equal_bands() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    grey, _ = augment(tile, PIXEL, replace(STILL, grey=1.0), np.random.default_rng(1))
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_the_same_seed_gives_the_same_view() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for seed in range(8):
        one, other = (augment(tile, PIXEL, RECIPE, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(one[0], other[0])
        assert one[0].dtype == np.uint8
