"""Public sets of labels, read as they come: every object with the set's own name for its class.

DOTA: labelTxt/P0001.txt, "x1 y1 … x4 y4 class difficult" after two lines on source and ground resolution.
xView: xView_train.geojson, upright boxes in pixels with the number of a class.
DIOR and DIOR-R: Annotations/*.xml in the layout of Pascal VOC, upright boxes or four corners.
Airbus Oil Storage Detection: annotations.csv, upright boxes.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from defusedxml import ElementTree

from pithead.errors import LabelError
from pithead.labels.label import Floats
from pithead.labels.seen import rectangle
from pithead.labels.shapes import rectangle_of

_IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a public set: its image (file stem), its class there, its outline (M, 2) in px.

    An image that was labelled and holds nothing is a thing without class and outline.
    """

    image: str
    name: str
    points: Floats
    difficult: bool = False


_NOTHING = np.zeros((0, 2))


def read_dota(folder: Path, names: Mapping[str, str]) -> Iterator[Thing]:
    """The objects of a DOTA folder (labelTxt/ in it, at any depth, or the folder itself)."""
    del names
    paths = sorted(folder.rglob("labelTxt*/*.txt")) or sorted(folder.glob("*.txt"))
    if not paths:
        raise LabelError(f"{folder}: DOTA has a folder labelTxt of text files; there is none: unpack it here")
    for path in paths:
        yield Thing(path.stem, "", _NOTHING)
        for number, line in enumerate(_text(path).splitlines(), 1):
            parts = line.split()
            if not parts or ":" in parts[0]:
                continue
            try:
                points = np.array(parts[:8], float).reshape(4, 2)
                yield Thing(path.stem, parts[8], points, difficult=len(parts) > 9 and parts[9] != "0")
            except (ValueError, IndexError) as error:
                raise LabelError(
                    f"{path}:{number}: expected x1 y1 … x4 y4 class difficult, got {line[:60]!r}: unpack anew"
                ) from error


def read_xview(folder: Path, names: Mapping[str, str]) -> Iterator[Thing]:
    """The objects of an xView folder; `names` are its classes by number."""
    path = next(iter(sorted(folder.rglob("xView_train.geojson"))), None)
    if path is None:
        raise LabelError(f"{folder}: xView has xView_train.geojson; there is none: unpack it here")
    for number, feature in enumerate(_json(path)["features"]):
        told = feature["properties"]
        try:
            x0, y0, x1, y1 = (float(value) for value in str(told["bounds_imcoords"]).split(","))
            name = names.get(str(told["type_id"]), f"type {told['type_id']}")
            yield Thing(Path(told["image_id"]).stem, name, rectangle(x0, y0, x1, y1))
        except (KeyError, ValueError) as error:
            raise LabelError(
                f"{path}, feature {number}: expected bounds_imcoords, type_id and image_id; {error!r}: "
                "unpack it anew"
            ) from error


def read_dior(folder: Path, names: Mapping[str, str]) -> Iterator[Thing]:
    """The objects of a DIOR or DIOR-R folder (Annotations/ in it, at any depth)."""
    del names
    paths = sorted(folder.rglob("Annotations/**/*.xml"))
    if not paths:
        raise LabelError(
            f"{folder}: DIOR has a folder Annotations of XML files; there is none: unpack it here"
        )
    for path in paths:
        yield Thing(path.stem, "", _NOTHING)
        try:
            for element in ElementTree.fromstring(_text(path)).iter("object"):
                difficult = element.findtext("difficult", "0") == "1"
                yield Thing(path.stem, str(element.findtext("name")), _dior_points(element), difficult)
        except (ElementTree.ParseError, TypeError, ValueError) as error:
            raise LabelError(
                f"{path}: expected an annotation of Pascal VOC; {error}: unpack it anew"
            ) from error


def read_airbus_oil(folder: Path, names: Mapping[str, str]) -> Iterator[Thing]:
    """The tanks of an Airbus Oil Storage Detection folder; an image is named by the end of its id."""
    del names
    path = folder / "annotations.csv"
    stems = sorted(p.stem for p in (folder / "images").glob("*") if p.suffix.lower() in _IMAGES)
    for stem in stems:
        yield Thing(stem, "", _NOTHING)
    for number, row in enumerate(csv.DictReader(_text(path).splitlines()), 2):
        try:
            image = next((s for s in stems if row["image_id"].endswith(s)), row["image_id"])
            x0, y0, x1, y1 = (float(value) for value in row["bounds"].strip("()").split(","))
            yield Thing(image, row["class"], rectangle(x0, y0, x1, y1))
        except (KeyError, AttributeError, ValueError) as error:
            raise LabelError(
                f"{path}:{number}: expected image_id, class and bounds; {error!r}: unpack it anew"
            ) from error


def read_unlabelled(folder: Path, names: Mapping[str, str]) -> Iterator[Thing]:
    """The images of a folder, in which nothing is labelled."""
    del names
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _IMAGES:
            yield Thing(path.stem, "", _NOTHING)


READERS: Mapping[str, Callable[[Path, Mapping[str, str]], Iterator[Thing]]] = {
    "dota": read_dota,
    "xview": read_xview,
    "dior": read_dior,
    "airbus-oil": read_airbus_oil,
    "naip": read_unlabelled,
    "naip-wind": read_unlabelled,
    "usgs-ucm": read_unlabelled,
}
"""By the name of the source's card."""


def grouped(outlines: list[Floats], gap_px: float) -> list[Floats]:
    """Outlines that come within a gap of each other as one rectangle (4, 2) each: wagons as a train."""
    if not outlines:
        return []
    shapes = [shapely.buffer(shapely.Polygon(points), gap_px / 2, join_style="mitre") for points in outlines]
    parts = shapely.get_parts(shapely.union_all(shapes))
    return [
        rectangle_of(np.concatenate([p for p in outlines if shapely.intersects(shapely.Polygon(p), part)]))
        for part in parts
    ]


def _dior_points(element: Any) -> Floats:  # noqa: ANN401 (an element, of a library without types)
    box = element.find("robndbox")
    if box is not None:
        keys = ("left_top", "right_top", "right_bottom", "left_bottom")
        return np.array([[float(box.findtext(f"x_{k}")), float(box.findtext(f"y_{k}"))] for k in keys])
    box = element.find("bndbox")
    if box is None:
        raise ValueError("an object without bndbox and robndbox")
    return rectangle(*(float(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path} cannot be read ({error}): unpack the set here") from error


def _json(path: Path) -> Any:  # noqa: ANN401 (any JSON)
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise LabelError(f"{path} is no JSON ({error}): unpack it anew") from error
