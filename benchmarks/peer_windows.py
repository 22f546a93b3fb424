"""The windows of a tile, as pithead cuts them, for peers that do not tile."""

import numpy as np
import numpy.typing as npt

STARTS = (0, 512)  # of a tile of 1024 px: windows of 640 px with an overlap of 128


def windows(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The windows of a tile; what hangs over is black."""
    room = np.zeros((STARTS[-1] + side, STARTS[-1] + side, 3), np.uint8)
    room[: pixels.shape[0], : pixels.shape[1]] = pixels
    return np.stack([room[y : y + side, x : x + side] for y in STARTS for x in STARTS])
