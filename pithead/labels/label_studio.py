"""Label Studio: a JSON file of tasks with annotations, or predictions that a person starts from.

The configuration is labeling/label_studio.xml: turned rectangles and polygons, and for each of them choices
(confidence, kind, material, outline) and a note. An open line is a polygon with the choice "open": its last
side is not there. Positions are percent of the image's sides; a rectangle turns about its first corner.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.geometry import fit_box
from pithead.labels.label import HARD_NEGATIVE, Floats, Label, class_named, label_of, record_of
from pithead.labels.shapes import is_rectangle
from pithead.labels.sheet import Sheet, Sizes, facts_of, told

CHOICES = ("confidence", "kind", "material")
_OPEN = "outline"
_NOTE = "note"


def read_label_studio(path: Path, classes: ClassList, sizes: Sizes) -> list[Sheet]:
    """The sheets of an export (JSON): the annotation submitted last of each task, cancelled ones passed over.

    Tasks that nobody has annotated are left out. Sizes are those that the regions name, else `sizes` knows.

    Raises:
        LabelError: no such file, a region of another kind, an unknown class.
    """
    try:
        tasks = json.loads(path.read_text("utf-8"))
        pairs = [(task, _last(task)) for task in tasks]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(
            f"{path}: an export of Label Studio (JSON) is needed; {error!r}: export it"
        ) from error
    found = []
    for task, annotation in pairs:
        if annotation is not None:
            where = f"{path}, task {task.get('id', task['data'])}"
            found.append(sheet_of(task["data"], annotation["result"], classes, sizes, where))
    return found


def sheet_of(
    data: Mapping[str, Any], result: Sequence[Mapping[str, Any]], classes: ClassList, sizes: Sizes, where: str
) -> Sheet:
    """The sheet of one task's data and the result of one of its annotations.

    Raises:
        LabelError: a region of another kind, an unknown class, a size that is not known.
    """
    image = str(data.get("name") or Path(str(data["image"]).split("?")[-1]).stem)
    sides = [(r["original_width"], r["original_height"]) for r in result if r.get("original_width")]
    size = sides[0] if sides else sizes(image, where)
    told_of: dict[str, dict[str, object]] = {}
    for part in result:
        if part.get("type") in ("choices", "textarea") and part.get("id"):
            values = part["value"].get("choices") or part["value"].get("text") or []
            told_of.setdefault(part["id"], {})[part["from_name"]] = " ".join(
                [values] if isinstance(values, str) else values
            )
    labels = [
        _label(part, told_of.get(part["id"], {}), classes, size, f"{where}, region {part['id']}")
        for part in result
        if part.get("type") in ("rectanglelabels", "polygonlabels")
    ]
    return Sheet(image, (int(size[0]), int(size[1])), tuple(labels), facts_of(data, where))


def write_label_studio(path: Path, sheets: Sequence[Sheet], classes: ClassList) -> None:
    """Write tasks with one annotation each; `image` of their data is the sheet's name.

    Raises:
        LabelError: a sheet whose size is not known.
    """
    tasks = []
    for sheet in sheets:
        data = {"image": sheet.image, "name": sheet.image, **told(sheet.facts)}
        tasks.append({"data": data, "annotations": [{"result": result_of(sheet, classes)}]})
    write_whole(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")


def result_of(sheet: Sheet, classes: ClassList) -> list[dict[str, object]]:
    """The regions of a sheet, each followed by its choices and note.

    Raises:
        LabelError: a sheet whose size is not known.
    """
    if not all(sheet.size):
        raise LabelError(f"Label Studio needs the size of {sheet.image}: give the folder of the images")
    found: list[dict[str, object]] = []
    for number, label in enumerate(sheet.labels):
        record = record_of(label, classes)
        kind, value = _value(label, str(record["class"]), sheet.size)
        common: dict[str, object] = {
            "id": f"{sheet.image}-{number}",
            "to_name": "image",
            "original_width": sheet.size[0],
            "original_height": sheet.size[1],
            "image_rotation": 0,
        }
        found.append({**common, "from_name": kind.removesuffix("labels"), "type": kind, "value": value})
        bare = {key: value[key] for key in value if not key.endswith("labels")}
        chosen = {key: str(record[key]) for key in CHOICES if key in record}
        if label.geometry == "line" and not label.closed:
            chosen[_OPEN] = "open"
        for key, choice in chosen.items():
            found.append(
                {**common, "from_name": key, "type": "choices", "value": {**bare, "choices": [choice]}}
            )
        if _NOTE in record:
            note = {**bare, "text": [record[_NOTE]]}
            found.append({**common, "from_name": _NOTE, "type": "textarea", "value": note})
    return found


def _value(label: Label, name: str, size: tuple[int, int]) -> tuple[str, dict[str, object]]:
    """The kind of a region and where it is."""
    if label.geometry != "line" and is_rectangle(label.points):
        x, y, w, h, angle = (float(v) for v in fit_box(label.points))
        turn = np.array([math.cos(angle), math.sin(angle)])
        corner = np.array([x, y]) - turn * w / 2 - np.array([-turn[1], turn[0]]) * h / 2
        shares = np.array([*corner, w, h]) / [*size, *size] * 100
        value = dict(zip(("x", "y", "width", "height"), shares.tolist(), strict=True))
        return "rectanglelabels", {**value, "rotation": math.degrees(angle) % 360, "rectanglelabels": [name]}
    points = (label.points / size * 100).tolist()
    if len(points) == 2:  # an open line of two points: a polygon there has three
        points.insert(1, np.mean(points, axis=0).tolist())
    return "polygonlabels", {"points": points, "closed": True, "polygonlabels": [name]}


def _label(
    part: Mapping[str, Any], told: Mapping[str, object], classes: ClassList, size: tuple[int, int], where: str
) -> Label:
    try:
        value = part["value"]
        name = (value.get("rectanglelabels") or value["polygonlabels"])[0]
        points = _corners(value, size) if "points" not in value else np.array(value["points"]) * size / 100
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise LabelError(f"{where}: a region has positions in percent and one class; {error!r}") from error
    info = None if name == HARD_NEGATIVE else class_named(classes, name, where)
    is_open = told.get(_OPEN) == "open" and info is not None and info.geometry == "line"
    attributes = {key: value for key, value in told.items() if key != _OPEN and value}
    return label_of({**attributes, "line" if is_open else "polygon": points.tolist()}, info, where)


def _corners(value: Mapping[str, Any], size: tuple[int, int]) -> Floats:
    """The corners (4, 2) in px of a rectangle that turns about its first corner, in px and not in percent."""
    x, y, w, h = np.array([value[key] for key in ("x", "y", "width", "height")]) / 100 * [*size, *size]
    angle = math.radians(value.get("rotation") or 0)
    right = np.array([math.cos(angle), math.sin(angle)]) * w
    down = np.array([-math.sin(angle), math.cos(angle)]) * h
    corner = np.array([x, y])
    return np.stack([corner, corner + right, corner + right + down, corner + down])


def _last(task: Mapping[str, Any]) -> Mapping[str, Any] | None:
    done = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
    return max(done, key=lambda a: (str(a.get("updated_at") or ""), a.get("id") or 0), default=None)
