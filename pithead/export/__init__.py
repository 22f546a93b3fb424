"""A trained checkpoint → one ONNX file that takes bytes, gives rows, and carries its card."""

from pithead.export.contract import HEADS, Contract, Head, has_heads
from pithead.export.graph import export, read_checkpoint
from pithead.export.parity import Parity, compare
from pithead.export.shipping import Shipped, choose, ship
from pithead.export.tiles import LabelledTiles

__all__ = [
    "HEADS",
    "Contract",
    "Head",
    "LabelledTiles",
    "Parity",
    "Shipped",
    "choose",
    "compare",
    "export",
    "has_heads",
    "read_checkpoint",
    "ship",
]
