"""The tiles of a dataset with their labels: what an export is proved on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pithead.errors import OptionError
from pithead.geometry import corners_to_boxes
from pithead.learning.samples import TrainTile, read_pixels, read_tiles, read_view, spread
from pithead.trial import LabelledTile


class LabelledTiles:
    """At most `most` tiles, spread over a split, read whenever they are gone through."""

    def __init__(self, dataset: Path, split: str, tile_px: int, most: int) -> None:
        """Look them up.

        Raises:
            DatasetError: There is no manifest, or it breaks the format.
            OptionError: There is no such tile.
        """
        found = read_tiles(dataset, split)
        if most < 1 or not found:
            raise OptionError(
                f"expected at least 1 tile of the split {split} to measure on, {dataset} has {len(found)}, "
                f"and {most} are asked for"
            )
        self.tile_px = tile_px
        self.tiles: tuple[TrainTile, ...] = spread(found, most)

    def __len__(self) -> int:
        """How many."""
        return len(self.tiles)

    def __iter__(self) -> Iterator[LabelledTile]:
        """Each with its labels."""
        for tile in self.tiles:
            view = read_view(tile, self.tile_px)
            boxes, ignored = (corners_to_boxes(some).reshape(-1, 5) for some in (view.corners, view.ignored))
            yield LabelledTile(view.pixels, boxes, view.classes, ignored)

    def pixels(self, count: int) -> npt.NDArray[np.uint8]:
        """The pixels (N, tile_px, tile_px, 3) of `count` of them (all, if there are fewer), spread over all.

        Raises:
            OptionError: None are asked for.
        """
        if count < 1:
            raise OptionError(f"expected at least 1 tile to compare on, got {count}")
        return np.stack([read_pixels(tile.path, self.tile_px) for tile in spread(self.tiles, count)])
