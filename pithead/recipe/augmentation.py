"""How tiles are varied while a network learns: the table [augment] of a recipe."""

from dataclasses import asdict, dataclass, fields

from pithead.errors import RecipeError

SIZES = frozenset({"brightness", "colour"})
"""Keys that say how much; every other number but the range of scales is a chance."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How tiles are varied; a key that is left out is off.

    All but the two sizes and the range of scales are chances, 0 to 1, each drawn for itself.

    Attributes:
        flip: Chance of a mirrored tile, and without quarter turns also of half a turn: at 0.5 a tile comes as
            it is, left-right, up-down and both, each as often.
        quarter_turns: Turn tiles by 0, 90, 180 or 270 degrees, each as often.
        any_angle: Chance of a turn by any angle; what is beyond the tile is painted in its mean.
        scale: Chance of another ground resolution.
        scale_least: The smallest factor: 0.5 shows twice as much ground, the rest painted.
        scale_most: The largest factor: 2 shows half as much ground, as a coarser sensor would see it.
        copy_paste: Chance that heaps, heads and rail loading of other tiles are pasted in.
        copy_paste_most: At most so many of them.
        snow: Chance of snow on the ground; what is dark or steep shows through.
        low_sun: Chance of a low sun: less and warmer light, longer shadows.
        cloud: Chance of the shadow of a cloud, or of thin bright cloud.
        haze: Chance of haze: less contrast, a bluish veil.
        worse_sensor: Chance of the blur of a worse sensor.
        band_shift: Chance of bands that lie up to 2 px apart.
        noise: Chance of the noise of a sensor.
        panchromatic: Chance of a grey tile, by another weighing of the bands each time.
        stretch: Chance of another contrast stretch: other percentiles, another gamma.
        jpeg: Chance of the blocks of a JPEG of quality 30 to 85.
        brightness: Largest relative change of brightness, contrast and gamma (0.2 = 20 %).
        colour: Largest relative change of saturation and of the balance of the bands.
    """

    flip: float = 0.0
    quarter_turns: bool = False
    any_angle: float = 0.0
    scale: float = 0.0
    scale_least: float = 0.5
    scale_most: float = 2.0
    copy_paste: float = 0.0
    copy_paste_most: int = 3
    snow: float = 0.0
    low_sun: float = 0.0
    cloud: float = 0.0
    haze: float = 0.0
    worse_sensor: float = 0.0
    band_shift: float = 0.0
    noise: float = 0.0
    panchromatic: float = 0.0
    stretch: float = 0.0
    jpeg: float = 0.0
    brightness: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            RecipeError: A value of another type, or one that cannot be.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                name = getattr(field.type, "__name__", str(field.type))
                raise RecipeError(f"recipe [augment] {field.name}: expected {name}, got {value!r}")
        problems = [message for broken, message in _rules(self) if broken]
        if problems:
            raise RecipeError("recipe [augment]: " + "; ".join(problems))


def _rules(plan: Augmentation) -> list[tuple[bool, str]]:
    numbers = {key: value for key, value in asdict(plan).items() if type(value) is float}
    low, high = numbers.pop("scale_least"), numbers.pop("scale_most")
    sizes = {key: numbers.pop(key) for key in SIZES}
    return [
        (
            not 0.5 <= low <= high <= 2.0,
            f"scale_least and scale_most must be in order and within 0.5 and 2, got {low} and {high}",
        ),
        (
            plan.copy_paste_most < 1,
            f"copy_paste_most must be at least 1, got {plan.copy_paste_most}; copy_paste = 0 is off",
        ),
        *((not 0 <= v <= 1, f"{key} is a chance within 0 and 1, got {v}") for key, v in numbers.items()),
        *((not 0 <= v < 1, f"{key} must be at least 0 and under 1, got {v}") for key, v in sizes.items()),
    ]
