"""Every format of labels by name, read into sheets and written from them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.labels import coco, cvat, dota, label_studio, maps, yolo
from pithead.labels.places import Places
from pithead.labels.sheet import Sheet, Sizes, by_image, read_lines, write_lines

Read = Callable[[Path, ClassList, Places], list[Sheet]]
Write = Callable[[Path, Sequence[Sheet], ClassList, Places], None]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how it is read and written, and what it cannot hold, in words for a person."""

    read: Read
    write: Write
    loses: str = ""


def _flat(
    read: Callable[[Path, ClassList, Sizes], list[Sheet]],
    write: Callable[[Path, Sequence[Sheet], ClassList], None],
    loses: str = "",
) -> Format:
    """A format of pixels, which needs no place on the ground."""
    return Format(
        lambda path, classes, places: read(path, classes, places.size),
        lambda path, sheets, classes, places: write(path, sheets, classes),  # noqa: ARG005 (the shape of Write)
        loses,
    )


_SPANS = "lines become spans, outlines four corners; kind, material, notes, what is known of scenes"
FORMATS: Mapping[str, Format] = {
    "jsonl": _flat(read_lines, write_lines),
    "geojson": Format(maps.read_map, maps.write_geojson),
    "gpkg": Format(maps.read_map, maps.write_geopackage),
    "label-studio": _flat(label_studio.read_label_studio, label_studio.write_label_studio),
    "coco": _flat(coco.read_coco, coco.write_coco),
    "cvat": _flat(cvat.read_cvat, cvat.write_cvat),
    "dota": _flat(dota.read_dota, dota.write_dota, _SPANS),
    "yolo-obb": _flat(yolo.read_yolo, yolo.write_yolo, f"hard negatives; {_SPANS}"),
    "yolo": _flat(
        yolo.read_yolo,
        partial(yolo.write_yolo, upright=True),
        f"how boxes are turned; hard negatives; {_SPANS}",
    ),
}
_ENDINGS = {
    ".jsonl": "jsonl",
    ".geojson": "geojson",
    ".gpkg": "gpkg",
    ".xml": "cvat",
    ".shp": "gpkg",
    ".fgb": "gpkg",
}


def format_of(path: Path) -> str:
    """The name of the format of a file, by its name or what is in it.

    Raises:
        LabelError: neither says it.
    """
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()]
    if path.is_dir():
        return "yolo-obb" if (path / "labels").is_dir() or (path / "data.yaml").is_file() else "dota"
    if path.suffix.lower() == ".json" and path.is_file():
        try:
            document = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise LabelError(f"{path}: JSON is needed; it is none ({error}): export it again") from error
        if isinstance(document, list):
            return "label-studio"
        return "geojson" if document.get("type") == "FeatureCollection" else "coco"
    raise LabelError(
        f"{path}: its name does not say its format: name it by --from or --to ({', '.join(FORMATS)})"
    )


def read_sheets(path: Path, name: str, classes: ClassList, places: Places) -> list[Sheet]:
    """The sheets of a file or folder of a format, no image twice.

    Raises:
        LabelError: what the format's reader refuses, or an image that is there twice.
    """
    return list(by_image(FORMATS[name].read(path, classes, places), str(path)).values())
