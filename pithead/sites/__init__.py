"""Sites over time: what stood where on which date, how much of it, and what of that cannot be said.

>>> told = chronicle(Archive.open("archive"), "Camp 15", weights="weights/starter.onnx")
>>> [(told.views[m.view].acquired, m.value, m.low, m.high) for m in told.quantities["heap_area_m2"]]
"""

from pithead.sites.chronicle import Chronicle, chronicle
from pithead.sites.differences import Change
from pithead.sites.frame import Frame
from pithead.sites.notes import Note
from pithead.sites.quantities import QUANTITIES, UNITS, Measure
from pithead.sites.signs import Rule, Sign
from pithead.sites.states import State
from pithead.sites.tracks import Event, Track
from pithead.sites.view import REASONS, Shift, Sighting, View

__all__ = [
    "QUANTITIES",
    "REASONS",
    "UNITS",
    "Change",
    "Chronicle",
    "Event",
    "Frame",
    "Measure",
    "Note",
    "Rule",
    "Shift",
    "Sighting",
    "Sign",
    "State",
    "Track",
    "View",
    "chronicle",
]
