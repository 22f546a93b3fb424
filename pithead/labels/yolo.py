"""YOLO label files: a folder of texts, one an image, oriented (class and four corners) or upright.

Numbers are fractions of the image's sides with nine decimals. What is ignored lies in `ignores` beside
`labels`, hard negatives and attributes are left out, and lines are spans.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.labels.label import Floats, Label, class_named
from pithead.labels.shapes import quad_label, quads_of
from pithead.labels.sheet import Sheet, Sizes

_FOLDERS = ("labels", "ignores")


def read_yolo(path: Path, classes: ClassList, sizes: Sizes) -> list[Sheet]:
    """The sheets of a folder with labels/*.txt (or *.txt), and data.yaml for its own order of classes.

    A row is a class id and four corners or more, or centre, width and height; all are told by their number.

    Raises:
        LabelError: no such folder, a row of another length, an unknown class.
    """
    folder = path / "labels" if (path / "labels").is_dir() else path
    files = sorted(folder.glob("**/*.txt")) if folder.is_dir() else []
    if not files:
        raise LabelError(f"a folder with labels/*.txt is needed; {path} has none: check the path")
    names = _names(path / "data.yaml", classes)
    found = []
    for file in files:
        ignored = path / "ignores" / file.relative_to(folder)
        size = sizes(file.stem, str(file))
        labels = _rows(file, names, classes, size, "sure")
        if folder != path and ignored.is_file():
            labels += _rows(ignored, names, classes, size, "possible")
        found.append(Sheet(file.stem, size, tuple(labels)))
    return found


def write_yolo(path: Path, sheets: Sequence[Sheet], classes: ClassList, *, upright: bool = False) -> None:
    """Write labels/, ignores/ and data.yaml into a folder.

    Raises:
        LabelError: a sheet whose size is not known.
    """
    for sheet in sheets:
        if not all(sheet.size):
            raise LabelError(f"YOLO labels need the size of {sheet.image}: give the folder of the images")
        for folder, weight in zip(_FOLDERS, ("target", "ignore"), strict=True):
            rows = [
                _row(label, corners, sheet.size, upright=upright)
                for label in sheet.labels
                if label.weight == weight
                for corners in quads_of(label)
            ]
            if rows or folder == "labels":
                write_whole(path / folder / f"{sheet.image}.txt", "".join(row + "\n" for row in rows))
    names = {info.id: info.name for info in classes}
    write_whole(path / "data.yaml", yaml.safe_dump({"names": names}, sort_keys=False))


def _row(label: Label, corners: Floats, size: tuple[int, int], *, upright: bool) -> str:
    shares = corners / size
    if upright:
        low, high = shares.min(axis=0), shares.max(axis=0)
        shares = np.stack([(low + high) / 2, high - low])
    return " ".join([str(label.class_id), *(f"{value:.9f}" for value in shares.ravel())])


def _names(path: Path, classes: ClassList) -> list[str]:
    """The class names by id of a data.yaml, or of our list where there is none."""
    if not path.is_file():
        return list(classes.names)
    try:
        names = yaml.safe_load(path.read_text("utf-8"))["names"]
        if isinstance(names, dict):
            names = [names[i] for i in range(len(names))]
        return [str(name) for name in names]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise LabelError(f"{path}: names by class id are needed; {error!r}: mend the file") from error


def _rows(
    file: Path, names: list[str], classes: ClassList, size: tuple[int, int], confidence: str
) -> list[Label]:
    found = []
    for number, line in _lines(file):
        where = f"{file}:{number}"
        values = line.split()
        try:
            class_id, numbers = int(values[0]), np.array(values[1:], np.float64)
        except ValueError as error:
            raise LabelError(
                f"{where}: a row is a class id and numbers; got {line[:60]!r}: mend it"
            ) from error
        if not 0 <= class_id < len(names):
            raise LabelError(f"{where}: class ids are 0 to {len(names) - 1}; got {class_id}: see data.yaml")
        info = class_named(classes, names[class_id], where)
        told = {"confidence": confidence} if confidence != "sure" else {}
        found.append(quad_label(_corners(numbers, where) * size, info, told, where))
    return found


def _lines(file: Path) -> Iterable[tuple[int, str]]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{file}: a text file of rows is needed ({error}): check it") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _corners(numbers: Floats, where: str) -> Floats:
    if len(numbers) == 4:
        x, y, w, h = numbers
        return np.array([[x, y]] * 4) + np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    if len(numbers) < 6 or len(numbers) % 2:
        raise LabelError(f"{where}: a row has 4 numbers or at least 3 corners; got {len(numbers)}: mend it")
    return numbers.reshape(-1, 2)
