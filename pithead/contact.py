"""Contact sheets: many tiles with what is taught in them, on one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pithead.classes import ClassList
from pithead.dataset import Tile

SIDE_PX = 240
COLUMNS = 4
_MARGIN = 4
_IGNORED = "#ffffff"


def contact_sheet(root: Path, tiles: Sequence[Tile], classes: ClassList) -> Image.Image:
    """Tiles in rows of four, with their boxes in the colours of the classes; what is ignored is white."""
    rows = -(-len(tiles) // COLUMNS)
    step = SIDE_PX + _MARGIN
    sheet = Image.new("RGB", (COLUMNS * step + _MARGIN, rows * step + _MARGIN), "#222222")
    for i, tile in enumerate(tiles):
        place = (_MARGIN + i % COLUMNS * step, _MARGIN + i // COLUMNS * step)
        sheet.paste(tile_picture(root, tile, classes), place)
    return sheet


def tile_picture(root: Path, tile: Tile, classes: ClassList, side_px: int = SIDE_PX) -> Image.Image:
    """One tile with its boxes, `side_px` square."""
    with Image.open(root / tile.path) as image:
        picture = image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for name in (tile.ignores, tile.labels):
        for line in (root / name).read_text("utf-8").splitlines() if name else ():
            class_id, *numbers = line.split()
            if len(numbers) != 8 or int(class_id) not in range(len(classes)):
                continue  # a broken row is told elsewhere (pithead.checks); the picture is still of use
            corners = np.array(numbers, float).reshape(4, 2) * side_px
            colour = _IGNORED if name == tile.ignores else classes[int(class_id)].colour
            draw.polygon([(float(x), float(y)) for x, y in corners], outline=colour)
    return picture
