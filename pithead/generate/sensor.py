"""The camera: from light on the ground to the bytes of a scene."""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from pithead.generate.canvas import FloatGrid
from pithead.generate.noise import shrunk

BANDS = {"pan": ("grey",), "rgb": ("red", "green", "blue"), "rgbn": ("red", "green", "blue", "nir")}
_MODES = (0.74, 0.16, 0.10)


@dataclass(frozen=True, slots=True)
class Sensor:
    """One camera, one day, one way of processing.

    Attributes:
        mode: pan, rgb or rgbn.
        bits: 8 (uint8) or 11 (uint16, values to 2047).
        blur_px: Standard deviation of the point spread in scene pixels.
        noise: Standard deviation of the noise as a part of full scale.
        haze: Light added by the air, as a part of full scale.
        haze_colour: Relative strength of the haze in red, green, blue, nir.
        gain: Factors of red, green, blue, nir (colour cast and exposure).
        exposure: Factor of the whole picture, after the scale is set by its bright end.
        contrast: Strength of the tone curve, 0 for linear.
        gamma: Exponent of the tone curve of 8-bit products.
        saturation: 1 as is; below, greyer.
        sharpen: Part of an unsharp mask put back in.
        colour_px: Further blur of the colours but not of the brightness, in scene pixels: pan-sharpening.
        jpeg_quality: 30 to 95, or 0 for none; 8-bit only.
    """

    mode: str = "rgb"
    bits: int = 8
    blur_px: float = 0.55
    noise: float = 0.008
    haze: float = 0.03
    haze_colour: tuple[float, float, float, float] = (0.8, 0.95, 1.2, 0.4)
    gain: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    exposure: float = 1.0
    contrast: float = 0.0
    gamma: float = 0.75
    saturation: float = 1.0
    sharpen: float = 0.0
    colour_px: float = 0.0
    jpeg_quality: int = 0

    @property
    def kind(self) -> str:
        """What its scenes have in common, in words for labels."""
        sharpened = ", pan-sharpened" if self.colour_px and self.mode != "pan" else ""
        return f"generated {self.mode}, {self.bits} bits{sharpened}"


def draw_sensor(
    rng: np.random.Generator, mode: str | None = None, bits: int | None = None, gsd_m: float = 0.6
) -> Sensor:
    """A plausible camera: mostly RGB in 8 bits with JPEG, sometimes raw or panchromatic.

    From 0.8 m on most are pan-sharpened products that were resampled to a finer grid: soft, with halos,
    their colours coarser than their tones, dark ones among them.
    """
    sharpened = gsd_m >= 0.8 and bool(rng.random() < 0.7)
    chosen = mode or str(rng.choice(["rgb", "rgbn", "pan"], p=[0.88, 0.08, 0.04] if sharpened else _MODES))
    depth = bits or (11 if rng.random() < (0.05 if sharpened else 0.15) else 8)
    cast = 1 + rng.normal(0, 0.05, 4)
    warm = float(rng.normal(0, 0.05))
    return Sensor(
        mode=chosen,
        bits=depth,
        blur_px=float(rng.uniform(0.6, 1.25) if sharpened else rng.uniform(0.35, 1.15)),
        noise=float(rng.uniform(0.002, 0.016)),
        haze=float(rng.choice([0.0, rng.uniform(0, 0.06), rng.uniform(0.06, 0.16)], p=[0.25, 0.55, 0.2])),
        gain=(float(cast[0] + warm), float(cast[1]), float(cast[2] - warm), float(cast[3])),
        exposure=float(rng.uniform(0.55, 1.1) if sharpened else rng.uniform(0.6, 1.1)),
        contrast=float(rng.uniform(-0.05, 0.5)),
        gamma=float(rng.uniform(0.6, 1.05)),
        saturation=float(rng.uniform(0.65, 1.3)),
        sharpen=float(rng.choice([0.0, rng.uniform(0.2, 0.9)], p=[0.2, 0.8] if sharpened else [0.5, 0.5])),
        colour_px=float(rng.uniform(1.0, 2.5)) if sharpened else 0.0,
        jpeg_quality=int(rng.integers(45, 94)) if depth == 8 and rng.random() < 0.75 else 0,
    )


def softened(sensor: Sensor, least_px: float) -> Sensor:
    """The same camera with at least this blur."""
    return replace(sensor, blur_px=max(sensor.blur_px, least_px))


def sense(
    light: FloatGrid, sensor: Sensor, rng: np.random.Generator, cells: int = 2
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Pixels (B, H / cells, W / cells) of the light on a canvas of so many cells to a pixel.

    Args:
        light: (H, W, 4) as `render` gives it.
        sensor: The camera.
        rng: Chance of the noise.
        cells: 1 or more.
    """
    bands = np.stack([shrunk(np.ascontiguousarray(light[..., band]), cells) for band in range(4)])
    if sensor.mode == "pan":
        bands = np.tensordot(np.array([0.3, 0.32, 0.18, 0.2], np.float32), bands, 1)[None]
    else:
        bands = bands[: len(BANDS[sensor.mode])]
    bands = _through_air(_optics(bands, sensor), sensor)
    bands = _exposed(bands, sensor)
    grain = rng.standard_normal(bands.shape, np.float32)
    bands += grain * np.float32(sensor.noise) * np.sqrt(np.clip(bands, 0.05, 1))
    if sensor.bits == 11:
        return np.clip(60 + bands * 1500, 1, 2047).astype(np.uint16)
    pixels = np.clip(bands * 254 + 1.5, 1, 255).astype(np.uint8)
    return _blocks(pixels, sensor.jpeg_quality) if sensor.jpeg_quality else pixels


def _optics(bands: FloatGrid, sensor: Sensor) -> FloatGrid:
    out = np.stack([gaussian_filter(band, sensor.blur_px, truncate=3) for band in bands])
    if sensor.colour_px and len(out) >= 3:
        grey = out[:3].mean(axis=0)
        hue = np.stack([gaussian_filter(band - grey, sensor.colour_px, truncate=3) for band in out[:3]])
        out[:3] = np.clip(grey + hue, 0, None)
    if sensor.sharpen:
        soft = np.stack([gaussian_filter(band, 1.2, truncate=3) for band in out])
        out += np.float32(sensor.sharpen) * (out - soft)
    return out


def _through_air(bands: FloatGrid, sensor: Sensor) -> FloatGrid:
    if len(bands) >= 3 and sensor.saturation != 1:
        grey = bands[:3].mean(axis=0)
        bands[:3] = grey + np.float32(sensor.saturation) * (bands[:3] - grey)
    for index, band in enumerate(bands):
        colour = sensor.haze_colour[index] if len(bands) > 1 else 1.0
        bands[index] = band * np.float32(sensor.gain[index] * (1 - sensor.haze)) + np.float32(
            sensor.haze * colour
        )
    return bands


def _exposed(bands: FloatGrid, sensor: Sensor) -> FloatGrid:
    """Scale to 0..1 by the scene's own bright end, as image providers do, then the tone curve."""
    sample = bands[: min(3, len(bands)), ::7, ::7]
    high = float(np.percentile(sample, 99.3))
    # Dull scenes stay rather dull: half of the way to full use of the range.
    scale = min(0.45 / max(high, 0.05) + 0.9, 1.05 / max(high, 0.05))
    out = np.asarray(np.clip(bands * np.float32(scale * sensor.exposure), 0, 1.3), np.float32)
    if sensor.bits == 8:
        out = np.power(out, np.float32(sensor.gamma))
        bend = np.clip(out, 0, 1)
        curve = bend * bend * (3 - 2 * bend)
        out += np.float32(sensor.contrast) * (curve - bend)
    return out


def _blocks(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """What JPEG leaves of the picture; a fourth band is packed on its own."""
    parts = [pixels[:3]] if len(pixels) >= 3 else [pixels[:1]]
    if len(pixels) == 4:
        parts.append(pixels[3:])
    out = []
    for part in parts:
        image = Image.fromarray(part.transpose(1, 2, 0) if len(part) == 3 else part[0])
        packed = BytesIO()
        image.save(packed, "JPEG", quality=quality)
        back = np.asarray(Image.open(packed), np.uint8)
        out.append(back.transpose(2, 0, 1) if back.ndim == 3 else back[None])
    return np.concatenate(out)
