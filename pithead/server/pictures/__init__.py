"""Pictures of scenes as the weights have seen them: tiles of a web map, and chips of detections."""

from pithead.server.pictures.chip import Outline, chip_png
from pithead.server.pictures.order import Chip, Order, Tile
from pithead.server.pictures.painters import Painters
from pithead.server.pictures.plate import Plate
from pithead.server.pictures.tile import tile_png

__all__ = ["Chip", "Order", "Outline", "Painters", "Plate", "Tile", "chip_png", "tile_png"]
