"""Draw how a recipe varies the tiles of its dataset: one picture to look at before a run."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cyclopts
import numpy as np
from PIL import Image, ImageDraw

from pithead.augment import Augmenter, Donor, View, donors_of
from pithead.classes import ClassList, load_classes
from pithead.cutting import SPAN_WIDTH_M, STRIP_PAD_M
from pithead.errors import DatasetError, RecipeError
from pithead.files import write_whole
from pithead.learning.samples import read_tiles, read_view
from pithead.program import run as run_program
from pithead.recipe import Augmentation, Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
SIDE_PX = 320
MARGIN_PX = 4
TITLE_PX = 16
DONOR_TILES = 60  # tiles that objects to be pasted are looked for in
RANGES = {"scale_least": "scale", "scale_most": "scale", "copy_paste_most": "copy_paste"}
app = cyclopts.App(name="views.py", help_format="plaintext")

Column = tuple[str, Callable[[View, np.random.Generator], View]]


@app.default
def views(
    recipe: Path,
    *,
    dataset: str | None = None,
    out: Path = Path("out/views.png"),
    tiles: Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))] = 4,
    columns: Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))] = 5,
    each: bool = False,
    seed: int = 0,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Draw tiles as they are and as RECIPE varies them, with their boxes; what is ignored is white.

    Parameters
    ----------
    recipe
        A TOML file such as training/recipes/starter.toml.
    dataset
        Folder with manifest.jsonl, instead of the recipe's.
    out
        The picture (PNG).
    tiles
        Tiles, one a row, drawn from those of the split train that show an object.
    columns
        Views of each.
    each
        Every change of the recipe by itself instead, at full chance, one a column.
    seed
        Another seed draws other tiles and views.
    """
    plan = read_recipe(recipe)
    plan = dataclasses.replace(plan, dataset=dataset or plan.dataset)
    known = load_classes(classes)
    chosen, donors = _read(plan, known, tiles, seed)

    def augmenter(changes: Augmentation) -> Augmenter:
        span, pad = SPAN_WIDTH_M / plan.gsd_m, STRIP_PAD_M / plan.gsd_m
        geometries = tuple(info.geometry for info in known)
        return Augmenter(changes, geometries, donors, span_width_px=span, strip_pad_px=pad)

    if each:
        varied: list[Column] = [(key, augmenter(change)) for key, change in _each(plan.augment)]
    else:
        varied = [("", augmenter(plan.augment))] * columns
    sheet = _sheet(chosen, [("as it is", lambda view, _: view), *varied], known, seed)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    write_whole(out, buffer.getvalue())
    print(out)


def _read(plan: Recipe, known: ClassList, count: int, seed: int) -> tuple[list[View], tuple[Donor, ...]]:
    """Some tiles that show an object, and donors if the recipe pastes any."""
    shown = [tile for tile in read_tiles(Path(plan.dataset), "train") if tile.classes]
    if not shown:
        raise DatasetError(
            f"expected tiles of the split 'train' with objects in {plan.dataset}; got none: cut"
        )
    order = np.random.default_rng(seed).permutation(len(shown))
    chosen = [read_view(shown[i], plan.tile_px) for i in order[:count]]
    if not plan.augment.copy_paste:
        return chosen, ()
    givers = (read_view(shown[i], plan.tile_px) for i in order[::-1][:DONOR_TILES])
    geometries = tuple(info.geometry for info in known)
    return chosen, donors_of(givers, geometries, strip_pad_px=STRIP_PAD_M / plan.gsd_m)


def _each(augment: Augmentation) -> list[tuple[str, Augmentation]]:
    """Each change that is on, alone and always."""
    values = dataclasses.asdict(augment)
    ranges = {key: values.pop(key) for key in RANGES}
    found = []
    for key, value in values.items():
        if value:
            full = value if key in ("brightness", "colour", "quarter_turns") else 1.0
            own = {name: ranges[name] for name, of in RANGES.items() if of == key}
            found.append((key, Augmentation(**{key: full, **own})))
    if not found:
        raise RecipeError("expected a recipe that varies its tiles; got [augment] with nothing on: add a key")
    return found


def _sheet(tiles: list[View], columns: list[Column], classes: ClassList, seed: int) -> Image.Image:
    step = SIDE_PX + MARGIN_PX
    size = len(columns) * step + MARGIN_PX, len(tiles) * step + MARGIN_PX + TITLE_PX
    sheet = Image.new("RGB", size, "#222222")
    draw = ImageDraw.Draw(sheet)
    for column, (title, change) in enumerate(columns):
        left = MARGIN_PX + column * step
        draw.text((left, 2), title, fill="#ffffff")
        for row, tile in enumerate(tiles):
            view = change(tile, np.random.default_rng([seed, row, column]))
            sheet.paste(_picture(view, classes), (left, TITLE_PX + MARGIN_PX + row * step))
    return sheet


def _picture(view: View, classes: ClassList) -> Image.Image:
    size = (SIDE_PX, SIDE_PX)
    picture = Image.fromarray(view.pixels).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    boxes = [("#ffffff", corners) for corners in view.ignored]
    boxes += [
        (classes[int(c)].colour, corners) for c, corners in zip(view.classes, view.corners, strict=True)
    ]
    for colour, corners in boxes:
        draw.polygon([(float(x), float(y)) for x, y in corners * SIDE_PX / view.side], outline=colour)
    return picture


if __name__ == "__main__":
    run_program(app)
