"""Generated site histories: one place across dates and sensors, with the truth of every figure.

>>> history = History.draw(7)
>>> [round(history.truth(shot).quantities["heap_area_m2"]) for shot in history.shots]
>>> scene = render_shot(history, history.shots[0])
"""

from pithead.generate.history.forms import Block, Form, Pile, Plant, Ring, Wagons
from pithead.generate.history.frame import PixelFrame
from pithead.generate.history.ground import Ground, lay_ground
from pithead.generate.history.history import PROJECTED, SCALE, History
from pithead.generate.history.picture import render_shot
from pithead.generate.history.shot import Sensor, Shot
from pithead.generate.history.sketch import sketch_shot
from pithead.generate.history.thing import CONFUSER, Thing
from pithead.generate.history.truth import Label, Spans, Truth, leaning

__all__ = [
    "CONFUSER",
    "PROJECTED",
    "SCALE",
    "Block",
    "Form",
    "Ground",
    "History",
    "Label",
    "Pile",
    "PixelFrame",
    "Plant",
    "Ring",
    "Sensor",
    "Shot",
    "Spans",
    "Thing",
    "Truth",
    "Wagons",
    "lay_ground",
    "leaning",
    "render_shot",
    "sketch_shot",
]
