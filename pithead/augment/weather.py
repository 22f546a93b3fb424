"""What weather and season do to a scene: snow, a low sun, clouds, haze."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pithead.augment.fields import Plane, as_bytes, dimmed, field, grey, step, veiled
from pithead.augment.view import Tile

_CLEAR = 0.08  # the least length of the sum of steps against the sum of lengths


def snow(tile: Tile, rng: np.random.Generator) -> Tile:
    """Snow on the ground, thick or in patches: white where the ground is bright, none on what is dark.

    Coal that is worked, swept tracks, steep walls and shadows show through, as they do in winter scenes. Of
    the ground's own pattern half stays: snow follows the relief.
    """
    light = grey(tile)
    ground = max(float(np.median(light)), 30.0)
    near = cv2.GaussianBlur(
        cv2.resize(light, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), (0, 0), 5
    )
    around = np.maximum(cv2.resize(near, light.shape[::-1], interpolation=cv2.INTER_LINEAR), 8)
    bare = float(rng.choice([0.0, rng.uniform(0.0, 0.5)]))
    patches = step(field(len(tile), rng, cells=5, octaves=5), bare - 0.08, bare + 0.08) if bare else 1.0
    cover = step(light / np.float32(ground), 0.4, 0.8) * patches * np.float32(rng.uniform(0.8, 0.97))
    relief = np.clip(light / around, 0.5, 1.2) ** np.float32(0.5)
    white = relief * np.float32(rng.uniform(205, 240))
    out: npt.NDArray[Any] = cv2.convertScaleAbs(tile, alpha=float(rng.uniform(0.75, 0.95))).astype(
        np.float32
    )  # a stretch makes room for the white
    for band, tint in enumerate((0.97, 0.99, 1.03)):
        out[..., band] += (white * np.float32(tint) - out[..., band]) * cover
    return as_bytes(out)


def low_sun(tile: Tile, rng: np.random.Generator) -> Tile:
    """Less and warmer light, and shadows two to three times as long, in the direction in which they fall.

    What is dark and narrow is taken for a shadow and drawn out; nobody knows heights from a picture.
    """
    direction = shadow_direction(tile)
    angle = float(rng.uniform(0, 2 * np.pi)) if direction is None else direction
    reach = float(rng.uniform(10, 28))
    light = grey(tile)
    dark: Plane = step(light / np.maximum(_bridged(light, 25), 1), 0.6, 0.4)
    dark = np.asarray(
        cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.float32
    )  # specks of soil cast none
    shade = cv2.GaussianBlur(drawn_out(dark, angle, reach), (0, 0), 0.8)
    longer = np.maximum(shade - dark, 0) * np.float32(rng.uniform(0.4, 0.65))
    warm = rng.uniform(0.0, 1.0)
    out = dimmed(tile, 1 - longer, (1.0, 0.95, 0.8))
    gains = rng.uniform(0.65, 0.9) * np.array([1 + 0.12 * warm, 1.0, 1 - 0.2 * warm])
    return np.asarray(cv2.LUT(out, _gains(gains)), np.uint8)


def cloud(tile: Tile, rng: np.random.Generator) -> Tile:
    """The shadows of clouds, or thin bright cloud, over a part of the tile."""
    where = field(len(tile), rng, cells=int(rng.integers(1, 4)))
    edge = float(rng.uniform(0.45, 0.85))
    if rng.random() < 0.5:
        depth = np.float32(rng.uniform(0.35, 0.65))
        return dimmed(tile, 1 - depth * step(where, edge, edge + 0.1), (1.0, 0.95, 0.85))
    thick = np.float32(rng.uniform(0.3, 0.65))
    return veiled(tile, thick * step(where, edge, edge + 0.35), np.full(3, rng.uniform(215, 250)))


def haze(tile: Tile, rng: np.random.Generator) -> Tile:
    """A veil over all of the tile, a little thicker here than there, bluish or as grey as dust."""
    share = np.float32(rng.uniform(0.2, 0.5)) + np.float32(0.15) * (
        field(len(tile), rng, cells=2, octaves=2) - 0.5
    )
    bright = rng.uniform(150, 215)
    return veiled(
        tile, np.asarray(share, np.float32), bright * np.array([1 - rng.uniform(-0.04, 0.12), 1.0, 1.03])
    )


def shadow_direction(tile: Tile) -> float | None:
    """Where shadows fall: the angle in radians from +x towards +y, or None where the tile does not say.

    Round a shadow the steps of brightness cancel out, but where it meets the lit side of what casts it the
    step is highest: the sum of all steps, the high ones weighing far more, points at the sun. On 24 generated
    tiles it was within 45 degrees on 11 of the 12 clearest.
    """
    small = cv2.resize(grey(tile), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), 0.7)
    right, down = cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
    height = cv2.magnitude(right, down) / 255
    weight = height**3
    x, y = -float((right * weight).sum()) / 255, -float((down * weight).sum()) / 255
    clear = np.hypot(x, y) > _CLEAR * max(float((height * weight).sum()), 1e-6)
    return float(np.arctan2(y, x)) if clear else None


def drawn_out(mask: Plane, angle: float, reach_px: float) -> Plane:
    """A mask with every point drawn out in one direction: the largest value within reach behind a point."""
    out, done = mask, 0.0
    while done < reach_px:
        by = min(max(done, 1.0), reach_px - done)
        out = np.maximum(out, _moved(out, by * np.cos(angle), by * np.sin(angle)))
        done += by
    return out


def _bridged(plane: Plane, side_px: int) -> Plane:
    """The plane with dark things narrower than this filled to what is around them."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side_px, side_px))
    return np.asarray(cv2.morphologyEx(plane, cv2.MORPH_CLOSE, kernel), np.float32)


def _moved(plane: Plane, dx: float, dy: float) -> Plane:
    """The plane moved by whole pixels; 0 comes in."""
    matrix = np.array([[1.0, 0, round(dx)], [0, 1, round(dy)]])
    return np.asarray(cv2.warpAffine(plane, matrix, plane.shape[::-1], flags=cv2.INTER_NEAREST), np.float32)


def _gains(gains: npt.NDArray[np.float64]) -> Tile:
    """A table (1, 256, 3) that multiplies each band."""
    return np.clip(np.arange(256)[None, :, None] * gains, 0, 255).astype(np.uint8)
