"""A real image as the ground of a generated scene; what it shows itself is not labelled."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pithead.errors import OptionError
from pithead.files import sha256_of
from pithead.generate.canvas import Canvas, FloatGrid
from pithead.imagery import open_scene

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})
RIM_PX = 12  # warped images often end in a black wedge


@dataclass(frozen=True, slots=True)
class Backdrop:
    """One image of the ground.

    Attributes:
        name: Of its file.
        sha256: Of its file: whose work a scene is must be found again.
        pixels: (H, W, 3) uint8, red, green, blue as published, without its rim.
        gsd_m: Metres per pixel across and down.
    """

    name: str
    sha256: str
    pixels: npt.NDArray[np.uint8]
    gsd_m: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Laid:
    """A canvas whose ground is a piece of a backdrop.

    Attributes:
        canvas: Level, with the reflectances of the piece.
        dirt: Reflectance of the bright bare ground in it.
        sun_azimuth_deg: Where a sun at `sun_deg` of the image as published stands, now that it is turned.
        soft_px: Width of a pixel of the image in cells of the canvas, where that is above 1.
    """

    canvas: Canvas
    dirt: tuple[float, float, float, float]
    sun_azimuth_deg: float
    soft_px: float


def backdrops_in(folder: Path) -> list[Path]:
    """Images of a folder, in the order of their names.

    Raises:
        OptionError: if there is none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise OptionError(f"expected images ({', '.join(sorted(SUFFIXES))}) in --backdrop {folder}, got none")
    return found


def read_backdrop(path: Path, gsd_m: float | None = None) -> Backdrop:
    """An image as published.

    Raises:
        SceneError: if it cannot be read.
        GroundResolutionError: if it has no georeference and `gsd_m` is not given.
        OptionError: if it is smaller than 64 pixels, its rim left out.
    """
    with open_scene(path, gsd_m=gsd_m) as scene:
        whole = scene.read(0, 0, scene.width, scene.height, scene.width, scene.height).data
        ground = scene.gsd_m
    rim = RIM_PX if min(whole.shape[:2]) > 40 * RIM_PX else 0
    pixels = _filled(whole[rim : whole.shape[0] - rim, rim : whole.shape[1] - rim])
    if min(pixels.shape[:2]) < 64:
        raise OptionError(f"{path}: expected a backdrop of 64 pixels or more a side, got {whole.shape[:2]}")
    return Backdrop(path.name, sha256_of(path), pixels, ground)


def _filled(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image without black at its edges: the blackest edge goes first, until none is so by a fifth."""
    black = pixels.max(axis=2) < 6
    top, bottom, left, right = 0, black.shape[0], 0, black.shape[1]
    while top < bottom and left < right:
        inner = black[top:bottom, left:right]
        edges = [float(edge.mean()) for edge in (inner[0], inner[-1], inner[:, 0], inner[:, -1])]
        worst = int(np.argmax(edges))
        if edges[worst] < 0.2:
            break
        top, bottom = top + (worst == 0), bottom - (worst == 1)
        left, right = left + (worst == 2), right - (worst == 3)
    return pixels[top:bottom, left:right]


def lay(
    backdrop: Backdrop, shape: tuple[int, int], cell_m: float, sun_deg: float, rng: np.random.Generator
) -> Laid:
    """A piece of the image in one of eight positions, on the cells of a canvas.

    An image that is too small is continued by its mirror image.

    Args:
        backdrop: The image.
        shape: (H, W) of the canvas.
        cell_m: Metres per cell.
        sun_deg: Azimuth of the sun in the image as published.
        rng: Source of chance.
    """
    turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
    pixels = np.rot90(backdrop.pixels, turns)
    across, down = backdrop.gsd_m[::-1] if turns % 2 else backdrop.gsd_m
    azimuth = sun_deg - 90 * turns
    if mirrored:
        pixels, azimuth = pixels[:, ::-1], -azimuth
    need = shape[1] * cell_m / across, shape[0] * cell_m / down
    pixels = _continued(pixels, (int(need[1]) + 2, int(need[0]) + 2), rng)
    left = float(rng.uniform(0, pixels.shape[1] - need[0]))
    top = float(rng.uniform(0, pixels.shape[0] - need[1]))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    box = (left, top, left + need[0], top + need[1])
    piece = np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box), np.float32)
    albedo = _reflectance(piece, rng)
    ground = np.zeros(shape, np.float32)
    canvas = Canvas(cell_m, ground.copy(), albedo, np.zeros(shape, np.bool_), [], rng, ground)
    return Laid(canvas, _bright(albedo), azimuth % 360, max(1.0, max(across, down) / cell_m))


def _continued(
    pixels: npt.NDArray[np.uint8], least: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The image, mirrored at its edges until it has so many rows and columns; it begins anywhere."""
    lack = [max(0, most - have) for most, have in zip(least, pixels.shape[:2], strict=True)]
    before = [int(rng.integers(n + 1)) for n in lack]
    around = [(first, n - first) for first, n in zip(before, lack, strict=True)]
    return np.pad(pixels, [*around, (0, 0)], mode="symmetric") if any(lack) else pixels


def _reflectance(piece: FloatGrid, rng: np.random.Generator) -> FloatGrid:
    """Reflectances (H, W, 4) that the tone curve of a published picture may have stood for.

    What is brightest becomes as bright as dry soil or concrete, so that coal, roofs and ballast of the
    generator's reflectances stand on it as they would on the ground. Near infrared is guessed from colour.
    """
    tones = np.clip(piece / np.float32(255), 0, 1) ** np.float32(rng.uniform(1.25, 1.6))
    bright = float(np.percentile(tones[::7, ::7].mean(axis=2), 98))
    tones *= np.float32(rng.uniform(0.36, 0.56) / max(bright, 0.05))
    albedo = np.empty((*piece.shape[:2], 4), np.float32)
    albedo[..., :3] = tones
    green = np.clip(tones[..., 1] - np.maximum(tones[..., 0], tones[..., 2]), 0, 1)
    albedo[..., 3] = 1.12 * tones[..., 0] + 5 * green
    return np.clip(albedo, 0.01, 0.95, out=albedo)


def _bright(albedo: FloatGrid) -> tuple[float, float, float, float]:
    sample = albedo[::7, ::7].reshape(-1, 4)
    light = sample[:, :3].mean(axis=1)
    low, high = np.percentile(light, (70, 95))
    red, green, blue, infrared = sample[(light >= low) & (light <= high)].mean(axis=0)
    return float(red), float(green), float(blue), float(infrared)
