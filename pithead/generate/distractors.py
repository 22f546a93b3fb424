"""What looks like the targets and is not, each with how often it is drawn.

Every `add_` function has the form of those of the targets: False when there is no free room. Those that
detectors take for a target leave a `hard_negative` truth.
"""

from pithead.generate import buildings, yards
from pithead.generate.lots import Adder

DISTRACTORS: tuple[tuple[Adder, float], ...] = (
    (buildings.add_hall, 3.0),
    (buildings.add_industry, 1.5),
    (buildings.add_settlement, 2.5),
    (buildings.add_tank_farm, 2.0),
    (yards.add_pond, 1.2),
    (yards.add_tarpaulin_yard, 0.8),
    (yards.add_car_park, 1.2),
    (yards.add_container_yard, 0.8),
    (buildings.add_tower, 1.0),
    (yards.add_stain, 2.2),
    (yards.add_dark_field, 0.8),
    (buildings.add_property_wall, 1.4),
    (yards.add_dock, 0.6),
)
