"""Open a scene; read any window of it at any ground resolution as 8-bit RGB with a valid mask.

>>> with open_scene("scene.tif") as scene:
...     pixels = scene.read(0, 0, 640, 640, width=640, height=640)

What is known about the pixels comes from the file, never from a guess (DESIGN.md, decision 6).
"""

from pithead.imagery.bands import Bands
from pithead.imagery.cog import write_cog
from pithead.imagery.files import formats, images_in, is_local, told_name
from pithead.imagery.place import Place, place_of
from pithead.imagery.scene import Pixels, Scene, open_scene
from pithead.imagery.stretch import Stretch, StretchRule, parse_stretch

__all__ = [
    "Bands",
    "Pixels",
    "Place",
    "Scene",
    "Stretch",
    "StretchRule",
    "formats",
    "images_in",
    "is_local",
    "open_scene",
    "parse_stretch",
    "place_of",
    "told_name",
    "write_cog",
]
