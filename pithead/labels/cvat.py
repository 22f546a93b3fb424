"""CVAT for images 1.1: one XML file with boxes (turned ones too), polygons and polylines in px.

What CVAT keeps as attributes of a shape are the attributes of a label. What is known of the scene has no
place in the format and stands in a tag of the image.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from defusedxml import ElementTree as Safe
from defusedxml.common import DefusedXmlException

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.geometry import fit_box
from pithead.labels.label import HARD_NEGATIVE, Floats, Label, class_named, label_of, record_of
from pithead.labels.shapes import axis_of, is_rectangle
from pithead.labels.sheet import Sheet, Sizes, facts_of, told

_SCENE = "scene"  # the tag of an image that holds what a sheet knows of its scene


def read_cvat(path: Path, classes: ClassList, sizes: Sizes) -> list[Sheet]:
    """The sheets of an XML file; an image without shapes was looked at. Sizes are those of the file.

    Raises:
        LabelError: no such file, a shape of another kind, an unknown class.
    """
    del sizes
    try:
        images = Safe.parse(path).findall("image")
        sizes_px = [(int(image.attrib["width"]), int(image.attrib["height"])) for image in images]
        names = [image.attrib["name"] for image in images]
    except (OSError, ET.ParseError, DefusedXmlException, KeyError, ValueError) as error:
        raise LabelError(
            f"{path}: CVAT for images 1.1 (XML) is needed; {error!r}: export it again"
        ) from error
    if not images:
        raise LabelError(f"{path}: CVAT for images 1.1 holds <annotations> with images; got none: export it")
    wheres = [f"{path}, {name}" for name in names]
    return [
        Sheet(Path(name).stem, size, _labels(image, classes, where), facts_of(_tagged(image), where))
        for name, size, image, where in zip(names, sizes_px, images, wheres, strict=True)
    ]


def write_cvat(path: Path, sheets: Sequence[Sheet], classes: ClassList) -> None:
    """Write one XML file: rectangles as (turned) boxes, other outlines as polygons, lines as polylines.

    Raises:
        LabelError: a sheet whose size is not known.
    """
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    for number, sheet in enumerate(sheets):
        if not all(sheet.size):
            raise LabelError(f"CVAT needs the size of {sheet.image}: give the folder of the images")
        width, height = (str(side) for side in sheet.size)
        image = ET.SubElement(root, "image", id=str(number), name=sheet.image, width=width, height=height)
        for label in sheet.labels:
            _write_shape(image, label, classes)
        if told(sheet.facts):
            _write_attributes(ET.SubElement(image, "tag", label=_SCENE, source="manual"), told(sheet.facts))
    ET.indent(root)
    write_whole(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _write_shape(image: ET.Element, label: Label, classes: ClassList) -> None:
    record = record_of(label, classes)
    name = str(record.pop("class"))
    common = {"label": name, "source": "manual", "occluded": "0", "z_order": "0"}
    if label.geometry == "line" and not label.closed:
        shape = ET.SubElement(image, "polyline", common, points=_text(label.points))
    elif label.geometry != "line" and is_rectangle(label.points):
        shape = ET.SubElement(image, "box", common, **_box(label.points))
    else:
        shape = ET.SubElement(image, "polygon", common, points=_text(label.points))
    _write_attributes(shape, {k: v for k, v in record.items() if k not in ("polygon", "line", "closed")})


def _write_attributes(element: ET.Element, attributes: Mapping[str, object]) -> None:
    for key, value in attributes.items():
        ET.SubElement(element, "attribute", name=key).text = str(value)


def _text(points: Floats) -> str:
    return ";".join(f"{x:.4f},{y:.4f}" for x, y in points)


def _box(points: Floats) -> dict[str, str]:
    """Sides as if the box were not turned, and its turn about its middle, clockwise in degrees."""
    x, y, w, h, angle = (float(value) for value in fit_box(points))
    sides = {"xtl": x - w / 2, "ytl": y - h / 2, "xbr": x + w / 2, "ybr": y + h / 2}
    turn = {"rotation": f"{math.degrees(angle) % 360:.6f}"} if angle else {}
    return {key: f"{value:.4f}" for key, value in sides.items()} | turn


def _labels(image: ET.Element, classes: ClassList, where: str) -> tuple[Label, ...]:
    found = []
    for shape in image:
        if shape.tag == "tag":
            continue
        name = shape.attrib.get("label", "")
        info = None if name == HARD_NEGATIVE else class_named(classes, name, where)
        is_line = info is not None and info.geometry == "line"
        points = _points(shape, where)
        # A box of a line class is one span of it; an outline is closed and a polyline as it is.
        if shape.tag == "box" and is_line:
            points = axis_of(points)
        open_line = is_line and shape.tag in ("polyline", "box")
        geometry: dict[str, object] = {"line" if open_line else "polygon": points.tolist()}
        found.append(label_of({**_attributes(shape), **geometry}, info, where))
    return tuple(found)


def _points(shape: ET.Element, where: str) -> Floats:
    try:
        if shape.tag == "box":
            return _corners(shape.attrib)
        if shape.tag in ("polygon", "polyline"):
            return np.array([pair.split(",") for pair in shape.attrib["points"].split(";")], np.float64)
    except (KeyError, ValueError) as error:
        raise LabelError(f"{where}: a <{shape.tag}> has positions in px; {error!r}: mend it") from error
    raise LabelError(
        f"{where}: shapes are box, polygon and polyline; got {shape.tag}: draw it as one of them"
    )


def _corners(attributes: Mapping[str, str]) -> Floats:
    x0, y0, x1, y1 = (float(attributes[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(float(attributes.get("rotation", 0)))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [(x1 - x0) / 2, (y1 - y0) / 2]
    corners: Floats = half @ turn + [(x0 + x1) / 2, (y0 + y1) / 2]
    return corners


def _attributes(element: ET.Element) -> dict[str, str]:
    return {a.attrib["name"]: a.text for a in element.findall("attribute") if a.text}


def _tagged(image: ET.Element) -> dict[str, str]:
    tag = next((tag for tag in image.findall("tag") if tag.attrib.get("label") == _SCENE), None)
    return {} if tag is None else _attributes(tag)
