"""Annotations: GeoJSON (map) or JSONL (scene px) → oriented boxes and spans (grid) → YOLO-OBB rows (tile).

A heap is a polygon and is taught as one oriented box. A rake of wagons is a polygon too, a strip: where it is
long it is taught in pieces. A perimeter is a line and is taught as consecutive oriented boxes along it, its
spans. What an annotator was unsure of is an "ignore": neither an
object nor background.
"""

from pithead.labels.grid import (
    SPAN_WIDTH_PX,
    STRIP_PAD_PX,
    GridLabels,
    TileLabels,
    Transform,
    box_of,
    in_grid,
    pieces_of,
    spans_of,
    tile_rows,
    yolo_obb_rows,
)
from pithead.labels.jsonl import read_facts, read_jsonl, write_jsonl
from pithead.labels.label import OTHER_MATERIALS, Label, SceneFacts, Weight

__all__ = [
    "OTHER_MATERIALS",
    "SPAN_WIDTH_PX",
    "STRIP_PAD_PX",
    "GridLabels",
    "Label",
    "SceneFacts",
    "TileLabels",
    "Transform",
    "Weight",
    "box_of",
    "in_grid",
    "pieces_of",
    "read_facts",
    "read_jsonl",
    "spans_of",
    "tile_rows",
    "write_jsonl",
    "yolo_obb_rows",
]
