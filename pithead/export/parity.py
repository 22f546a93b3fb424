"""How near ONNX Runtime is to torch: every row of one has its partner in the other's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.errors import ExportError

Rows = npt.NDArray[np.float32]
Give = Callable[[npt.NDArray[np.uint8]], Rows]
"""From tiles (N, H, W, 3) to rows (N, K, 7)."""

MIN_SCORE = 0.05  # rows below are noise that no threshold lets through
MAX_SHIFT_PX, MAX_SCORE_CHANGE, MAX_TURN = 0.1, 1e-3, 1e-3


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX Runtime was from torch, over `rows` rows of `tiles` tiles with a score over 0.05."""

    tiles: int
    rows: int
    shift_px: float
    score_change: float


def compare(one: Give, other: Give, tiles: npt.NDArray[np.uint8]) -> Parity:
    """Hold every row that torch or ONNX Runtime gives for tiles over 0.05 against the other's.

    Raises:
        ExportError: A row has no partner within 0.1 px and 1e-3 of score.
    """
    shift = change = 0.0
    rows = 0
    for tile in tiles:
        ours, theirs = one(tile[None])[0], other(tile[None])[0]
        # Rows of low score count by their score alone: an untrained network has no others.
        change = max(change, float(np.abs(np.sort(ours[:, 5]) - np.sort(theirs[:, 5])).max()))
        for some, all_ in ((ours, theirs), (theirs, ours)):
            # Where more than K rows are sure, which of two equals is the last is a matter of rounding.
            sure = some[some[:, 5] > max(MIN_SCORE, all_[:, 5].min() + MAX_SCORE_CHANGE)]
            rows += len(sure)
            far, off = _farthest(sure, all_)
            shift, change = max(shift, far), max(change, off)
    if shift > MAX_SHIFT_PX or change > MAX_SCORE_CHANGE:
        raise ExportError(
            f"expected ONNX Runtime within {MAX_SHIFT_PX} px and {MAX_SCORE_CHANGE} of torch, on "
            f"{len(tiles)} tiles got {shift:.3g} px and {change:.3g}; nothing was written"
        )
    return Parity(len(tiles), rows, shift, change)


def _farthest(sure: Rows, other: Rows) -> tuple[float, float]:
    """Return the largest shift of centre or side (px) and of score from rows to their nearest partners."""
    if not len(sure):
        return 0.0, 0.0
    shift = np.abs(sure[:, None, :4] - other[None, :, :4]).max(axis=2)
    turn = np.abs(sure[:, None, 4] - other[None, :, 4])
    turn = np.minimum(turn, np.pi - turn)
    # Which side of a near square is the longer is a matter of rounding: a quarter turn is the same box.
    square = (sure[:, 2] - sure[:, 3] < MAX_SHIFT_PX)[:, None]
    turn = np.where(square, np.minimum(turn, np.pi / 2 - turn), turn)
    change = np.abs(sure[:, None, 5] - other[None, :, 5])
    same = (sure[:, None, 6] == other[None, :, 6]) & (turn < MAX_TURN)
    cost = np.where(same, shift / MAX_SHIFT_PX + change / MAX_SCORE_CHANGE, np.inf)
    best = cost.argmin(axis=1)
    if not np.isfinite(cost.min(axis=1)).all():
        return float("inf"), float("inf")
    index = np.arange(len(sure))
    return float(shift[index, best].max()), float(change[index, best].max())
