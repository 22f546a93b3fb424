"""All changes of a recipe, one after the other."""

from collections.abc import Sequence

import numpy as np

from pithead.augment.light import Light
from pithead.augment.paste import Donor, pasted
from pithead.augment.shapes import Cutting
from pithead.augment.turns import turned
from pithead.augment.view import View
from pithead.augment.warp import moved
from pithead.labels import SPAN_WIDTH_PX, STRIP_PAD_PX
from pithead.recipe import Augmentation
from pithead.tiling import CELL_PX


class Augmenter:
    """Makes of a tile one random, equally true view after another."""

    def __init__(
        self,
        plan: Augmentation,
        geometries: tuple[str, ...],
        donors: Sequence[Donor] = (),
        *,
        cell_px: int = CELL_PX,
        span_width_px: float = SPAN_WIDTH_PX,
        strip_pad_px: float = STRIP_PAD_PX,
    ) -> None:
        """Take the plan, and "box", "strip" or "line" for each class id."""
        self.plan = plan
        self.cutting = Cutting(geometries, cell_px, span_width_px, strip_pad_px)
        self.donors = tuple(donors)
        self._light = Light(plan)

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """One view, of the generator alone: the same generator gives the same bytes."""
        view = pasted(view, self.donors, self.plan, self.cutting, rng)
        view = turned(view, self.plan, rng)
        view = moved(view, self.plan, self.cutting, rng)
        return View(self._light(view.pixels, rng), view.classes, view.corners, view.ignored)
