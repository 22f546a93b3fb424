"""Changes that leave every object where it is, composed once by albumentations."""

import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or it asks a server for its newest version when imported

import albumentations as A  # noqa: N812 (the name that its documentation gives it)

from pithead.augment import sensor, weather
from pithead.augment.view import Tile
from pithead.recipe import Augmentation

Change = Callable[[Tile, np.random.Generator], Tile]


class Drawn(A.ImageOnlyTransform):  # type: ignore[misc]
    """One of our own changes as a transform, drawing from the generator that all transforms share."""

    def __init__(self, change: Change, p: float) -> None:
        """Take the change and its chance."""
        super().__init__(p=p)
        self.change = change

    def apply(self, img: Tile, **params: Any) -> Tile:  # noqa: ANN401, ARG002 (the signature of albumentations)
        """Change a tile."""
        return self.change(img, self.random_generator)


class Light:
    """The changes of a plan in the order in which they come about: ground, sun, air, sensor, processing."""

    def __init__(self, plan: Augmentation) -> None:
        """Compose those that the plan has."""
        tone = partial(_tone, plan.brightness, plan.colour)
        every: list[tuple[float, Callable[[float], Any]]] = [
            (plan.snow, partial(Drawn, weather.snow)),
            (plan.low_sun, partial(Drawn, weather.low_sun)),
            (plan.cloud, partial(Drawn, weather.cloud)),
            (plan.haze, partial(Drawn, weather.haze)),
            (plan.worse_sensor, _worse_sensor),
            (plan.band_shift, partial(Drawn, sensor.band_shift)),
            (plan.noise, _noise),
            (plan.panchromatic, partial(Drawn, sensor.panchromatic)),
            (plan.stretch, partial(Drawn, sensor.stretched)),
            (float(plan.brightness > 0 or plan.colour > 0), partial(Drawn, tone)),
            (plan.jpeg, lambda p: A.ImageCompression(quality_range=(30, 85), p=p)),
        ]
        self._compose = A.Compose([make(chance) for chance, make in every if chance > 0])

    def __call__(self, tile: Tile, rng: np.random.Generator) -> Tile:
        """The tile (S, S, 3) in another light; the same generator gives the same bytes."""
        # Not set_random_seed: it gives every transform the same seed, and all would draw the same numbers.
        self._compose.set_random_state(rng, random.Random(int(rng.integers(2**62))))  # noqa: S311
        return np.ascontiguousarray(self._compose(image=tile)["image"], np.uint8)


def _tone(brightness: float, colour: float, tile: Tile, rng: np.random.Generator) -> Tile:
    return sensor.tone(tile, brightness, colour, rng)


def _worse_sensor(p: float) -> Any:  # noqa: ANN401 (albumentations publishes no types)
    """Blur of the optics, of motion, or of coarser pixels."""
    pair = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC}
    return A.OneOf(
        [
            A.GaussianBlur(sigma_limit=(0.6, 1.8), p=1),
            A.MotionBlur(blur_limit=(3, 7), p=0.5),
            A.Downscale(scale_range=(0.4, 0.75), interpolation_pair=pair, p=1),
        ],
        p=p,
    )


def _noise(p: float) -> Any:  # noqa: ANN401
    """The same in all bands and stronger in the light, or each band for itself."""
    return A.OneOf([Drawn(sensor.grain, 1.0), A.GaussNoise(std_range=(0.008, 0.035), p=1)], p=p)
