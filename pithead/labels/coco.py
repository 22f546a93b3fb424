"""COCO annotations: one JSON file of images, categories and polygons in px.

An open line is a thin band round it, with the line itself among its "attributes", where CVAT and others keep
what COCO has no place for. What is known of scenes stands in the images.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.labels.label import (
    HARD_NEGATIVE,
    NEGATIVE_ID,
    Floats,
    Label,
    SceneFacts,
    class_named,
    label_of,
    record_of,
)
from pithead.labels.sheet import Sheet, Sizes, facts_of, told

_BAND_PX = 1.0


def read_coco(path: Path, classes: ClassList, sizes: Sizes) -> list[Sheet]:
    """The sheets of a COCO file; an image without annotations was looked at. Sizes are those of the file.

    Several polygons of one annotation are one object, their hull. A crowd is confidence "possible".

    Raises:
        LabelError: no COCO file, an annotation without polygon or box, an unknown class or image.
    """
    del sizes
    try:
        document = json.loads(path.read_text("utf-8"))
        images = {image["id"]: image for image in document["images"]}
        names = {category["id"]: category["name"] for category in document["categories"]}
        annotations = document["annotations"]
        found: dict[Any, list[Label]] = {key: [] for key in images}
        shapes = {key: (int(image["width"]), int(image["height"])) for key, image in images.items()}
        stems = {key: Path(image["file_name"]).stem for key, image in images.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelError(
            f"{path}: a COCO file (images, categories, annotations) is needed; {error!r}"
        ) from error
    for annotation in annotations:
        where = f"{path}, annotation {annotation.get('id')}"
        if annotation.get("image_id") not in images or annotation.get("category_id") not in names:
            raise LabelError(f"{where}: its image or category is not in the file: export it again")
        found[annotation["image_id"]] += _labels(annotation, names[annotation["category_id"]], classes, where)
    return [
        Sheet(stems[key], shapes[key], tuple(found[key]), _facts(image, str(path)))
        for key, image in images.items()
    ]


def write_coco(path: Path, sheets: Sequence[Sheet], classes: ClassList) -> None:
    """Write one file; category ids count from 1 in the order of the classes, hard negatives come last.

    Raises:
        LabelError: a sheet whose size is not known.
    """
    unknown = next((sheet.image for sheet in sheets if not all(sheet.size)), None)
    if unknown is not None:
        raise LabelError(f"COCO needs the size of {unknown}: give the folder of the images")
    names = [*classes.names, HARD_NEGATIVE]
    images = [
        {"id": i, "file_name": sheet.image, "width": sheet.size[0], "height": sheet.size[1], **_dated(sheet)}
        for i, sheet in enumerate(sheets, 1)
    ]
    annotations = [
        _annotation(label, classes, i) for i, sheet in enumerate(sheets, 1) for label in sheet.labels
    ]
    document = {
        "images": images,
        "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(names, 1)],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations, 1)],
    }
    write_whole(path, json.dumps(document, ensure_ascii=False) + "\n")


def _annotation(label: Label, classes: ClassList, image_id: int) -> dict[str, object]:
    record = record_of(label, classes)
    attributes = {
        key: value for key, value in record.items() if key not in ("class", "polygon", "line", "closed")
    }
    if label.geometry == "line" and not label.closed:
        attributes |= {"line": label.points.ravel().tolist()}
        outline = shapely.get_coordinates(shapely.LineString(label.points).buffer(_BAND_PX).exterior)[:-1]
    else:
        outline = label.points
    low, high = outline.min(axis=0), outline.max(axis=0)
    number = label.class_id if label.class_id != NEGATIVE_ID else len(classes)
    return {
        "image_id": image_id,
        "category_id": number + 1,
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "area": float(shapely.Polygon(outline).area),
        "iscrowd": 0,
        "segmentation": [outline.ravel().tolist()],
        "attributes": attributes,
    }


def _labels(annotation: Mapping[str, Any], name: str, classes: ClassList, where: str) -> list[Label]:
    info = None if name == HARD_NEGATIVE else class_named(classes, name, where)
    attributes = {key: value for key, value in (annotation.get("attributes") or {}).items() if value != ""}
    line = attributes.pop("line", None)
    if annotation.get("iscrowd"):
        attributes["confidence"] = "possible"
    try:
        if line is not None and info is not None and info.geometry == "line":
            shapes = [{"line": np.reshape(line, (-1, 2)).tolist()}]
        else:
            parts = _outlines(annotation, where)
            if info is None or info.geometry != "line":
                parts = [_hull(parts)] if len(parts) > 1 else parts
            shapes = [{"polygon": part.tolist()} for part in parts]
    except LabelError:
        raise
    except (ValueError, TypeError) as error:
        raise LabelError(f"{where}: polygons are lists of x, y, x, y; {error}: mend it") from error
    return [label_of({**attributes, **shape}, info, where) for shape in shapes]


def _outlines(annotation: Mapping[str, Any], where: str) -> list[Floats]:
    parts = annotation.get("segmentation")
    if isinstance(parts, dict):
        raise LabelError(f"{where}: outlines are polygons; got a mask (RLE): export polygons")
    if parts:
        return [np.array(part, np.float64).reshape(-1, 2) for part in parts]
    if "bbox" not in annotation:
        raise LabelError(f"{where}: a polygon or a box is needed; got neither: draw it")
    x, y, w, h = (float(value) for value in annotation["bbox"])
    return [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])]


def _hull(parts: list[Floats]) -> Floats:
    hull: Floats = shapely.get_coordinates(shapely.MultiPoint(np.vstack(parts)).convex_hull)[:-1]
    return hull


def _dated(sheet: Sheet) -> dict[str, str]:
    facts = told(sheet.facts)
    return {{"date": "date_captured"}.get(key, key): value for key, value in facts.items()}


def _facts(image: Mapping[str, Any], path: str) -> SceneFacts:
    date = image.get("date_captured") or None  # CVAT writes 0 for what it does not know
    return facts_of({**image, "date": date}, f"{path}, {image['file_name']}")
