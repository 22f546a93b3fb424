"""The pixels of a scene in the frame of its site, coarse: to find cloud, and to lay scenes on each other."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from pithead import geometry
from pithead.errors import GroundResolutionError
from pithead.geometry import Floats
from pithead.imagery import Scene
from pithead.sites.frame import Frame
from pithead.sites.weights import Bools

STEP_M = 2.0
MOST_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """Brightness of a site in a scene (H, W), 0 to 255, on cells of `step_m`; row 0 is the northern edge."""

    light: Floats
    """Mean of the three bands."""
    least: Floats
    """The darkest of the three bands."""
    most: Floats
    """The brightest of them."""
    valid: Bools
    west_m: float
    north_m: float
    """The outer corner of the first cell."""
    step_m: float

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the frame."""
        rows, cols = self.valid.shape
        return (
            self.west_m,
            self.north_m - rows * self.step_m,
            self.west_m + cols * self.step_m,
            self.north_m,
        )


def picture_of(
    scene: Scene, frame: Frame, bounds: tuple[float, float, float, float], step_m: float = STEP_M
) -> Picture:
    """What a scene shows of a rectangle of the frame (west, south, east, north).

    Cells are at least as coarse as the pixels, and no more than 4 million.

    Raises:
        GroundResolutionError: The scene has no georeference.
        SceneError: The file is damaged.
    """
    if scene.crs is None or scene.transform is None:
        raise GroundResolutionError(f"{scene.path}: has no georeference, so no place in the frame of a site")
    west, south, east, north = bounds
    step = max(step_m, *scene.gsd_m, float(np.sqrt((east - west) * (north - south) / MOST_CELLS)))
    cols, rows = max(1, int((east - west) / step)), max(1, int((north - south) / step))
    x, y = west + (np.arange(cols) + 0.5) * step, north - (np.arange(rows) + 0.5) * step
    points = np.stack(np.meshgrid(x, y), axis=-1)
    lonlat = geometry.to_lonlat(points, frame.crs)
    at = geometry.affine_points(~scene.transform, geometry.from_lonlat(lonlat, scene.crs))
    low, high = np.floor(at.min(axis=(0, 1))) - 2, np.ceil(at.max(axis=(0, 1))) + 2
    scale = np.array(scene.gsd_m) / step
    size = np.maximum(1, np.ceil((high - low) * scale)).astype(int)
    (x0, y0), (x1, y1) = low.tolist(), high.tolist()
    pixels = scene.read(x0, y0, x1, y1, int(size[0]), int(size[1]))
    inside = (at - low) * (size / (high - low)) - 0.5
    where = np.stack([inside[..., 1], inside[..., 0]])

    def sampled(values: Floats) -> Floats:
        return np.asarray(map_coordinates(values, where, order=1, mode="nearest"), np.float64)

    data = pixels.data.astype(np.float64)
    valid = sampled(pixels.valid.astype(np.float64)) > 0.99
    light, least, most = (sampled(kind(data, axis=2)) for kind in (np.mean, np.min, np.max))
    return Picture(light, least, most, valid, west, north, step)
