"""The facts that travel inside an ONNX file: weights never go anywhere without them."""

from pithead.card.card import GEOMETRIES, METADATA_KEY, SCHEMA, Card, CardClass
from pithead.card.errors import BoxErrors, ClassErrors, LineErrors, Rate, SizeRecall
from pithead.card.rules import REMEDY

__all__ = [
    "GEOMETRIES",
    "METADATA_KEY",
    "REMEDY",
    "SCHEMA",
    "BoxErrors",
    "Card",
    "CardClass",
    "ClassErrors",
    "LineErrors",
    "Rate",
    "SizeRecall",
]
