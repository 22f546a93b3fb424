"""One tile with what is taught in it: what every change of a tile takes and gives."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.errors import DatasetError

Tile = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """A square tile, its boxes and its ignored areas, in tile px.

    pixels (S, S, 3) uint8 RGB; classes (N,); corners (N, 4, 2) of the boxes; ignored (M, 4, 2) the same of
    what is neither object nor background.
    """

    pixels: Tile
    classes: Ints
    corners: Corners
    ignored: Corners

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            DatasetError: a tile that is not square and RGB, or rows that are not alike in number.
        """
        side = self.pixels.shape[0]
        if self.pixels.shape != (side, side, 3) or self.pixels.dtype != np.uint8:
            raise DatasetError(
                f"expected a square tile of three bands of 8 bits, got {self.pixels.dtype} "
                f"{self.pixels.shape}: cut the dataset again"
            )
        if self.corners.shape != (len(self.classes), 4, 2) or self.ignored.shape[1:] != (4, 2):
            raise DatasetError(
                f"expected four corners for each of {len(self.classes)} classes, got {self.corners.shape} "
                f"and ignored {self.ignored.shape}: cut the dataset again"
            )

    @property
    def side(self) -> int:
        """The side of the tile in px."""
        return int(self.pixels.shape[0])
