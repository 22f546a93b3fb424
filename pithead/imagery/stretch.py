"""One linear stretch per scene, from whatever its sensor delivers to 8 bits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
_TABLE_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Stretch:
    """The values that become 0 and 255, for red, green and blue; what lies outside is clipped."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @classmethod
    def of(cls, values: npt.NDArray[np.generic]) -> "Stretch":
        """The stretch from the 2nd to the 98th percentile of valid values (3, N), N at least 1.

        A band of one single value maps to 0.
        """
        low, high = np.percentile(values.astype(np.float64), [LOW_PERCENT, HIGH_PERCENT], axis=1)
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

        A negative value finds its entry by Python's indexing from the end.
        """
        if dtype.kind not in "ui" or dtype.itemsize > 2:
            return None
        entries = np.arange(_TABLE_SIZE, dtype=np.int64)
        if dtype.kind == "i":
            entries[_TABLE_SIZE // 2 :] -= _TABLE_SIZE
        return self.apply(np.broadcast_to(entries, (3, 1, _TABLE_SIZE)))[:, 0]
