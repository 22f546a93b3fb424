"""DOTA label files: a folder of texts, one an image: four corners in px, class name, difficult.

Pixels have four decimals. Difficult (1 or 2) is confidence "possible"; other attributes are left out, and
lines are spans.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.labels.label import HARD_NEGATIVE, Label, class_named
from pithead.labels.shapes import info_named, quad_label, quads_of
from pithead.labels.sheet import Sheet, Sizes

_HEADER = ("imagesource:", "gsd:")


def read_dota(path: Path, classes: ClassList, sizes: Sizes) -> list[Sheet]:
    """The sheets of a folder of *.txt; the lines imagesource and gsd at a file's top are passed over.

    Raises:
        LabelError: no such folder, a row that is none, an unknown class.
    """
    files = sorted(path.glob("*.txt")) if path.is_dir() else []
    if not files:
        raise LabelError(f"a folder of DOTA label files (*.txt) is needed; {path} has none: check the path")
    return [Sheet(file.stem, sizes(file.stem, str(file)), _rows(file, classes)) for file in files]


def write_dota(path: Path, sheets: Sequence[Sheet], classes: ClassList) -> None:
    """Write one text an image into a folder, hard negatives as a class of that name."""
    for sheet in sheets:
        rows = []
        for label in sheet.labels:
            info = info_named(classes, label.class_id)
            end = f"{info.name if info else HARD_NEGATIVE} {int(label.weight == 'ignore')}"
            rows += [" ".join(f"{v:.4f}" for v in quad.ravel()) + f" {end}\n" for quad in quads_of(label)]
        write_whole(path / f"{sheet.image}.txt", "".join(rows))


def _rows(file: Path, classes: ClassList) -> tuple[Label, ...]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{file}: a text file of rows is needed ({error}): check it") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(_HEADER):
            continue
        where, values = f"{file}:{number}", line.split()
        try:
            corners = np.array(values[:8], np.float64).reshape(4, 2)
            name, difficult = values[8], int(values[9]) if len(values) > 9 else 0
        except (ValueError, IndexError) as error:
            raise LabelError(
                f"{where}: a row is 8 numbers, a class and 0 or 1; got {line[:60]!r}: mend it"
            ) from error
        info = None if name == HARD_NEGATIVE else class_named(classes, name, where)
        found.append(quad_label(corners, info, {"confidence": "possible"} if difficult else {}, where))
    return tuple(found)
