"""One linear stretch per scene, from whatever its sensor delivers to 8 bits."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pithead.errors import OptionError

_TABLE_SIZE = 65_536
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_RULE = re.compile(rf"(percentile|range)\s+({_NUMBER})\s*-\s*({_NUMBER})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StretchRule:
    """How the stretch of a scene is found: between two percentiles, between two values, or not at all."""

    kind: Literal["percentile", "range", "none"]
    low: float = 0.0
    high: float = 100.0

    def __post_init__(self) -> None:
        """Refuse a stretch without a span.

        Raises:
            OptionError: if low is not below high, or a percentile is none.
        """
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise OptionError(f"expected a stretch from a lower to a higher value, got {self}")
        if self.kind == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise OptionError(f"expected percentiles from 0 to 100, got {self}")

    def __str__(self) -> str:
        """The rule as a user writes it: `percentile 2-98`."""
        return self.kind if self.kind == "none" else f"{self.kind} {self.low:.12g}-{self.high:.12g}"


DEFAULT = StretchRule("percentile", 2.0, 98.0)


def parse_stretch(text: str) -> StretchRule:
    """The rule that a text names: `percentile 2-98`, `range 200-1500` or `none`.

    Raises:
        OptionError: if it names none.
    """
    given = text.strip()
    if given.lower() == "none":
        return StretchRule("none")
    if not (found := _RULE.fullmatch(given)):
        raise OptionError(
            f"expected a stretch such as 'percentile 2-98', 'range 200-1500' or 'none', got {text!r}"
        )
    kind: Literal["percentile", "range"] = "range" if found[1].lower() == "range" else "percentile"
    return StretchRule(kind, float(found[2]), float(found[3]))


@dataclass(frozen=True, slots=True)
class Stretch:
    """The values that become 0 and 255, for red, green and blue; what lies outside is clipped."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @classmethod
    def of(
        cls, values: npt.NDArray[np.generic], low_percent: float = 2.0, high_percent: float = 98.0
    ) -> "Stretch":
        """The stretch between two percentiles of valid values (3, N), N at least 1.

        A band of one single value maps to 0.
        """
        low, high = np.percentile(values.astype(np.float64), [low_percent, high_percent], axis=1)
        high = np.where(high > low, high, low + 1)
        return cls(
            (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))
        )

    def apply(self, data: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """Stretch (3, H, W) of any number type to uint8; not-a-number becomes 0."""
        low = np.array(self.low, dtype=np.float64)[:, None, None]
        span = np.array(self.high, dtype=np.float64)[:, None, None] - low
        scaled = np.clip((np.nan_to_num(data.astype(np.float64)) - low) * (255 / span), 0, 255)
        return np.asarray(np.rint(scaled), dtype=np.uint8)

    def tables(self, dtype: np.dtype[np.generic]) -> npt.NDArray[np.uint8] | None:
        """The same stretch as look-up tables (3, 65536), for integers of up to 16 bits; else None.

        A negative value finds its entry from the end.
        """
        if dtype.kind not in "ui" or dtype.itemsize > 2:
            return None
        entries = np.arange(_TABLE_SIZE, dtype=np.int64)
        if dtype.kind == "i":
            entries[_TABLE_SIZE // 2 :] -= _TABLE_SIZE
        return self.apply(np.broadcast_to(entries, (3, 1, _TABLE_SIZE)))[:, 0]


def look_up(tables: npt.NDArray[np.uint8], raw: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """What tables (3, 65536) say of each value of three bands (3, h, w) of integers of up to 16 bits."""
    out = np.empty(raw.shape, dtype=np.uint8)
    for table, band, plane in zip(tables, raw, out, strict=True):
        # Wrapped, a negative index counts from the end, and nothing is checked for lying outside.
        np.take(table, band, mode="wrap", out=plane)
    return out
