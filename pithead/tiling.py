"""The one grid of windows over a scene, for training and inference alike.

Grid pixels are the scene enlarged by ``scale_x`` and ``scale_y``, so that each is as many metres wide and
high as the model wants. Every window starts at a multiple of ``CELL_PX``: the phase of the grid is the phase
of the network's coarsest cells. The last row and column are not pushed back to fit the scene, they reach over
its edge and are padded with invalid pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.errors import OptionError
from pithead.geometry import Floats, Window
from pithead.imagery import Pixels, Scene

CELL_PX = 32
# Nearer than this to the model's resolution, pixels go in as they are: a network cannot see 1 % of size, and
# resampling by 1.0004 (the scale factor of UTM) would only blur the scene in bands.
SAME_SCALE = 0.01
# Open water, thick cloud and nodata-like tiles have next to no detail anywhere. Both numbers are measured
# (benchmarks/plain_tiles.py): the plainest tile with a label has its third most detailed cell well above.
PLAIN_DETAIL = 5.0
PLAIN_CELLS = 2
_BLOCK_PX = 8


@dataclass(frozen=True, slots=True)
class Grid:
    """A scene of width × height grid pixels under square windows that overlap, made as they are asked for."""

    width: int
    height: int
    scale_x: float
    scale_y: float
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        """Refuse windows that would lose the phase of the cells, or would not advance.

        Raises:
            OptionError: if tile or overlap is no multiple of 32, or the overlap is not below the tile.
        """
        if self.tile_px < CELL_PX or self.tile_px % CELL_PX or self.overlap_px % CELL_PX:
            raise OptionError(
                f"expected tile and overlap in multiples of {CELL_PX} px, "
                f"got {self.tile_px} and {self.overlap_px}"
            )
        if not 0 <= self.overlap_px < self.tile_px:
            raise OptionError(
                f"expected an overlap from 0 to below the tile of {self.tile_px} px, got {self.overlap_px}"
            )

    @classmethod
    def of(cls, scene: Scene, gsd_m: float, tile_px: int, overlap_px: int) -> "Grid":
        """The grid that shows a scene at ``gsd_m`` metres per pixel."""
        scale_x, scale_y = (1.0 if abs(g / gsd_m - 1) < SAME_SCALE else g / gsd_m for g in scene.gsd_m)
        width, height = max(1, round(scene.width * scale_x)), max(1, round(scene.height * scale_y))
        return cls(width, height, scale_x, scale_y, tile_px, overlap_px)

    @property
    def columns(self) -> int:
        """Windows from left to right: as many as it takes for the last one to reach the edge."""
        return self._steps(self.width)

    @property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return self._steps(self.height)

    def _steps(self, length: int) -> int:
        stride = self.tile_px - self.overlap_px
        return 1 + max(0, -(-(length - self.tile_px) // stride))

    def __len__(self) -> int:
        """How many windows there are."""
        return self.columns * self.rows

    def windows(self) -> Iterator[Window]:
        """Every window, row by row."""
        stride = self.tile_px - self.overlap_px
        for row in range(self.rows):
            for column in range(self.columns):
                yield Window(column * stride, row * stride, self.tile_px, self.tile_px)

    def to_scene(self, points_grid: npt.ArrayLike) -> Floats:
        """Grid pixels, an array ending in 2, as scene pixels."""
        out: Floats = np.asarray(points_grid, dtype=np.float64) / np.array([self.scale_x, self.scale_y])
        return out

    def own(self, window: Window) -> tuple[slice, slice]:
        """Rows and columns of a window that no later one shows: all together they are the scene once."""
        stride = self.tile_px - self.overlap_px
        last_row, last_column = (self.rows - 1) * stride, (self.columns - 1) * stride
        return (
            slice(0, self.tile_px if window.y == last_row else stride),
            slice(0, self.tile_px if window.x == last_column else stride),
        )

    def to_grid(self, points_scene: npt.ArrayLike) -> Floats:
        """Scene pixels, an array ending in 2, as grid pixels."""
        out: Floats = np.asarray(points_scene, dtype=np.float64) * np.array([self.scale_x, self.scale_y])
        return out


def read_tile(scene: Scene, grid: Grid, window: Window) -> Pixels:
    """What a window of the grid shows: tile_px square, black and invalid beyond the scene.

    Two windows agree pixel for pixel where they overlap.

    Raises:
        SceneError: if the file is damaged there.
    """
    return scene.read_window(window, grid.scale_x, grid.scale_y)


def is_plain(pixels: Pixels) -> bool:
    """Whether a tile shows nothing that an object could be: no more than two cells of 32 px have detail.

    A mine head of 20 m covers more cells than that at 0.6 m, and whatever has an edge has detail.
    """
    detail = np.sort(cell_detail(pixels), axis=None)
    return len(detail) <= PLAIN_CELLS or bool(detail[-PLAIN_CELLS - 1] < PLAIN_DETAIL)


def cell_detail(pixels: Pixels) -> npt.NDArray[np.float32]:
    """How far the grey of each cell departs from its mean over 8 px: root mean square, in levels of 256.

    What changes over more than 8 px (haze, swell, a cloud's shade) is no detail. Blocks of 8 px with an
    empty pixel are left out, and so are cells without any other block. Sides are multiples of 32 px.
    """
    rows, columns = (side // _BLOCK_PX for side in pixels.valid.shape)
    blocks = rows, _BLOCK_PX, columns, _BLOCK_PX
    data = pixels.data
    grey = data[..., 0].astype(np.float32)
    grey += data[..., 1]
    grey += data[..., 2]
    grey /= 3
    mean = grey.reshape(blocks).mean(axis=3).mean(axis=1)
    square = np.square(grey, out=grey).reshape(blocks).mean(axis=3).mean(axis=1)
    whole = pixels.valid.reshape(blocks).all(axis=(1, 3))
    variance = np.where(whole, np.maximum(square - mean * mean, 0), 0)
    side = CELL_PX // _BLOCK_PX
    cells = rows // side, side, columns // side, side
    count = whole.reshape(cells).sum(axis=(1, 3))
    total = variance.reshape(cells).sum(axis=(1, 3))
    detail: npt.NDArray[np.float32] = np.sqrt(total[count > 0] / count[count > 0])
    return detail
