"""One training run as one typed, frozen value; unknown and missing keys are errors."""

from pithead.recipe.augmentation import Augmentation
from pithead.recipe.run import MAY_CHANGE, Recipe, read_recipe

__all__ = ["MAY_CHANGE", "Augmentation", "Recipe", "read_recipe"]
