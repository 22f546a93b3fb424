import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_recipe, write_tiny_dataset

from pithead.errors import RecipeError
from pithead.recipe import Augmentation

Loose = Any  # a program that is loaded as a module
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", name="program")
def _program() -> Loose:
    spec = importlib.util.spec_from_file_location("training_views", ROOT / "training" / "views.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", name="dataset")
def _dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny"))


def recipe_file(dataset: Path, folder: Path, augment: Augmentation) -> Path:
    path = folder / "recipe.toml"
    path.write_text(tiny_recipe(dataset, augment=augment).to_toml(), encoding="utf-8")
    return path


def cell(picture: Image.Image, column: int, row: int) -> np.ndarray:
    left, top = 4 + column * 324, 20 + row * 324
    return np.asarray(picture)[top : top + 320, left : left + 320]


def test_a_recipe_is_drawn_tile_by_tile_and_the_same_again(
    program: Loose, dataset: Path, tmp_path: Path
) -> None:
    plan = Augmentation(quarter_turns=True, haze=1.0)
    recipe = recipe_file(dataset, tmp_path, plan)
    for name in ("one", "other"):
        program.views(recipe, out=tmp_path / f"{name}.png", tiles=2, columns=3)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (4 * 324 + 4, 2 * 324 + 20)
        plain, hazy, another = (cell(picture, column, 0) for column in range(3))
    assert (hazy != plain).any()
    assert (hazy != another).any()


def test_each_change_is_drawn_by_itself(program: Loose, dataset: Path, tmp_path: Path) -> None:
    plan = Augmentation(panchromatic=0.1, scale=0.2, scale_least=0.6, scale_most=0.7)
    program.views(recipe_file(dataset, tmp_path, plan), out=tmp_path / "each.png", tiles=1, each=True)
    with Image.open(tmp_path / "each.png") as picture:
        assert picture.size == (3 * 324 + 4, 324 + 20)
    assert [key for key, _ in program._each(plan)] == ["scale", "panchromatic"]
    scale = dict(program._each(plan))["scale"]
    assert scale == Augmentation(scale=1.0, scale_least=0.6, scale_most=0.7)


def test_a_recipe_that_varies_nothing_has_nothing_to_show(
    program: Loose, dataset: Path, tmp_path: Path
) -> None:
    recipe = recipe_file(dataset, tmp_path, Augmentation())
    with pytest.raises(RecipeError, match="nothing on"):
        program.views(recipe, out=tmp_path / "no.png", each=True)
