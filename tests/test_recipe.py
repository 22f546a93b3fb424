from dataclasses import replace
from pathlib import Path

import pytest

from pithead.errors import RecipeError
from pithead.recipe import MAY_CHANGE, Augmentation, Recipe, read_recipe

RECIPES = sorted((Path(__file__).parents[1] / "training" / "recipes").glob("*.toml"))


@pytest.fixture(name="text")
def _text() -> str:
    return RECIPES[0].read_text(encoding="utf-8")


def read_text(text: str, folder: Path) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_reads_and_writes_back(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert read_text(recipe.to_toml(), tmp_path) == recipe


@pytest.mark.parametrize("where", ["", "[augment]\n"])
def test_an_unknown_key_is_named_wherever_it_stands(text: str, tmp_path: Path, where: str) -> None:
    top, augment = text.split("[augment]\n")
    broken = f"{top}[augment]\nmoasic = 1.0\n{augment}" if where else f"moasic = 1.0\n{text}"
    with pytest.raises(RecipeError, match="unknown keys moasic"):
        read_text(broken, tmp_path)


def test_what_the_table_of_views_leaves_out_is_off(text: str, tmp_path: Path) -> None:
    recipe = read_text(text.split("[augment]\n", maxsplit=1)[0] + "[augment]\nflip = 1\n", tmp_path)
    assert recipe.augment == Augmentation(flip=1.0)


def test_a_missing_key_is_named(text: str, tmp_path: Path) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("seed")]
    with pytest.raises(RecipeError, match="missing keys seed"):
        read_text("\n".join(lines), tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch", 0),
        ("tile_px", 600),
        ("gsd_m", -1.0),
        ("optimizer", "Adagrad"),
        ("lr0", 0.0),
        ("val_tiles", 0),
        ("patience", 0),
        ("false_alarms_per_km2", -1.0),
        ("epoch_tiles", -1),
        ("warmup_epochs", float("nan")),
        ("hours", float("inf")),
        ("seed", -1),
        ("seed", 2**31),
        ("device", "gpu"),
        ("device", "cuda:"),
        ("name", ".."),
        ("dataset", "a\nb"),
    ],
)
def test_an_impossible_value_is_an_error(key: str, value: object) -> None:
    with pytest.raises(RecipeError, match=key):
        replace(read_recipe(RECIPES[0]), **{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "value"), [("batch", 8.0), ("amp", 1), ("name", 3), ("epochs", True)])
def test_a_value_of_another_type_is_an_error(key: str, value: object) -> None:
    with pytest.raises(RecipeError, match=f"recipe key {key}"):
        replace(read_recipe(RECIPES[0]), **{key: value})  # type: ignore[arg-type]


def test_devices_share_a_batch_evenly() -> None:
    recipe = replace(read_recipe(RECIPES[0]), device="cuda:0,1,2", batch=6)
    assert recipe.devices == 3
    with pytest.raises(RecipeError, match="multiple of the 3 devices"):
        replace(recipe, batch=8)


def test_a_run_has_one_end() -> None:
    for epochs, hours in ((0, 0.0), (1, 1.0)):
        with pytest.raises(RecipeError, match="either epochs or hours"):
            replace(read_recipe(RECIPES[0]), epochs=epochs, hours=hours)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"x\.toml"):
        read_recipe(tmp_path / "x.toml")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none"):
        read_recipe(tmp_path / "none")


def test_the_hash_is_of_values_and_a_resume_may_change_where_and_how_long() -> None:
    recipe = read_recipe(RECIPES[0])
    longer = replace(recipe, epochs=0, hours=9.0, device="cuda")
    assert recipe.sha256() == replace(recipe).sha256() != longer.sha256()
    assert recipe.sha256(leave_out=MAY_CHANGE) == longer.sha256(leave_out=MAY_CHANGE)
    assert recipe.sha256(leave_out=MAY_CHANGE) != replace(recipe, lr0=0.5).sha256(leave_out=MAY_CHANGE)
