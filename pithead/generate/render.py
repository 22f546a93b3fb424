"""Light: one sun with cast shadows, sky light in them, both over the whole canvas at once."""

from dataclasses import dataclass

import numpy as np

from pithead.generate.canvas import BoolGrid, Canvas, FloatGrid
from pithead.generate.noise import grown, shrunk


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the light comes from.

    Attributes:
        azimuth_deg: Clockwise from up (north) on the picture: 90 is right, 180 below.
        elevation_deg: Above the horizon, 10 to 85.
        sky: Light of the sky as a part of the sun's, 0.1 (clear) to 0.6 (veiled).
    """

    azimuth_deg: float
    elevation_deg: float
    sky: float = 0.22

    @property
    def towards(self) -> tuple[float, float]:
        """Unit vector (x right, y down) on the ground towards the sun."""
        azimuth = np.deg2rad(self.azimuth_deg)
        return float(np.sin(azimuth)), float(-np.cos(azimuth))


def shadow_depth(height_m: FloatGrid, gsd_m: float, sun: Sun) -> FloatGrid:
    """Metres by which each cell lies under the sun's grazing ray; 0 where it is lit.

    Lines towards the sun are digital lines: rows are shifted so that each becomes a column, and the
    highest ray that reaches a cell is a running maximum down the column. A tower of 20 m darkens
    20 / tan(elevation) m of level ground away from the sun.

    Args:
        height_m: (H, W).
        gsd_m: Metres per cell.
        sun: The light.
    """
    x, y = sun.towards
    if abs(x) > abs(y):
        turned = Sun(90.0 - sun.azimuth_deg + 180.0, sun.elevation_deg)
        return shadow_depth(np.ascontiguousarray(height_m.T), gsd_m, turned).T
    if y > 0:
        flipped = Sun(180.0 - sun.azimuth_deg, sun.elevation_deg)
        return shadow_depth(height_m[::-1], gsd_m, flipped)[::-1]
    rows, cols = height_m.shape
    # The sun stands above: from row r to r + 1 the ray moves by `slope` columns away from it.
    slope = -x / -y
    shifts = -np.round(slope * np.arange(rows)).astype(np.int64)
    shifts -= shifts.min()
    drop = np.float32(gsd_m * np.hypot(1.0, slope) * np.tan(np.deg2rad(sun.elevation_deg)))
    rays = np.full((rows, cols + int(shifts.max())), -np.inf, np.float32)
    for row, shift in enumerate(shifts):
        rays[row, shift : shift + cols] = height_m[row]
        rays[row, shift : shift + cols] += drop * np.float32(row)
    np.maximum.accumulate(rays, axis=0, out=rays)
    depth = np.empty((rows, cols), np.float32)
    for row, shift in enumerate(shifts):
        depth[row] = rays[row, shift : shift + cols]
        depth[row] -= height_m[row] + drop * np.float32(row)
    return np.maximum(depth, 0, out=depth)


def shadow_mask(height_m: FloatGrid, gsd_m: float, sun: Sun) -> BoolGrid:
    """Cells that the sun does not reach."""
    return shadow_depth(height_m, gsd_m, sun) > 0.05


def facing(height_m: FloatGrid, gsd_m: float, sun: Sun) -> FloatGrid:
    """Sunlight on each cell's slope as a part of that on level ground, 0 to about 2."""
    limit = np.float32(2.0)
    fall_y = np.empty_like(height_m)
    fall_x = np.empty_like(height_m)
    fall_y[1:-1] = height_m[2:] - height_m[:-2]
    fall_x[:, 1:-1] = height_m[:, 2:] - height_m[:, :-2]
    fall_y[0], fall_y[-1], fall_x[:, 0], fall_x[:, -1] = fall_y[1], fall_y[-2], fall_x[:, 1], fall_x[:, -2]
    for fall in (fall_x, fall_y):
        np.clip(fall * np.float32(0.5 / gsd_m), -limit, limit, out=fall)
    elevation = np.deg2rad(sun.elevation_deg)
    flat = np.float32(1 / np.tan(elevation))
    x, y = sun.towards
    light = 1 - flat * (fall_x * np.float32(x) + fall_y * np.float32(y))
    light /= np.sqrt(1 + fall_x * fall_x + fall_y * fall_y)
    return np.clip(light, 0, 1.9, out=light)


def openness(height_m: FloatGrid, gsd_m: float) -> FloatGrid:
    """How much of the sky a cell sees, about 0.5 beside walls to 1 in the open."""
    near = max(2, round(3.0 / gsd_m))
    around = grown(shrunk(height_m, near), height_m.shape[:2])
    sunk = np.clip(around - height_m, 0, 12)
    return np.asarray(1 / (1 + np.float32(0.09) * sunk), np.float32)


def render(canvas: Canvas, sun: Sun, cloud: FloatGrid | None = None) -> FloatGrid:
    """Light that leaves the ground, (H, W, 4): 1 is a white level surface in full sun.

    Args:
        canvas: The built scene.
        sun: The light.
        cloud: (H, W) part of the sunlight that clouds take away, 0 to 1.
    """
    lit = 1 - np.clip(shadow_depth(canvas.height, canvas.gsd_m, sun) / np.float32(0.25), 0, 1)
    lit *= facing(canvas.height, canvas.gsd_m, sun)
    if cloud is not None:
        lit *= 1 - cloud
    sky = openness(canvas.height, canvas.gsd_m) * np.float32(sun.sky)
    whole = np.float32(1 / (1 + sun.sky))
    # A low sun is redder; the sky is blue and has little near infrared.
    low = float(np.clip((35 - sun.elevation_deg) / 60, 0, 0.4))
    sun_colour = (1 + 0.12 * low, 1.0, 1 - 0.25 * low, 1.05)
    sky_colour = (0.82, 0.98, 1.32, 0.45)
    light = np.empty_like(canvas.albedo)
    for band in range(4):
        light[..., band] = lit * np.float32(sun_colour[band]) + sky * np.float32(sky_colour[band])
    light *= canvas.albedo
    light *= whole
    return light
