"""A file that a person has filled in: a table, or a map whose features have a column `decision`.

Columns: `detection`, or `new_detection` and `old_detection` as a comparison has them (the new one is meant
where there is one, on a feature with `side` "old" the old one); `decision`; and where they are needed `class`
or `new_class`, `note` and `reviewer`. A line without a decision says nothing.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import geopandas as gpd
import pyogrio
from shapely.geometry.base import BaseGeometry

from pithead.errors import OptionError
from pithead.review.answer import Answer

_MAPS = frozenset({".geojson", ".json", ".gpkg"})
_TOLD = "by_old"
"""A column of the layer of changes.gpkg with what was said before, which is not said again."""
_NAMES = ("detection", "new_detection", "old_detection")


def read_sheet(path: Path) -> tuple[Answer, ...]:
    """The answers in a CSV, GeoJSON or GeoPackage, in its order.

    Raises:
        OptionError: It is no such file, lacks a column, has a decision about no detection, or none at all.
    """
    try:
        answers = tuple(_map(path) if path.suffix.lower() in _MAPS else _table(path))
    except (OSError, UnicodeDecodeError, csv.Error, pyogrio.errors.DataSourceError) as error:
        raise OptionError(f"expected a CSV, GeoJSON or GeoPackage at {path}, got: {error}") from error
    if not answers:
        raise OptionError(
            f"expected a decision in {path}, got none: fill in the column decision with accept, reject, "
            "relabel or redraw"
        )
    return answers


def _table(path: Path) -> Iterator[Answer]:
    if path.suffix.lower() != ".csv":
        raise OptionError(f"expected a file that ends with .csv, {', '.join(sorted(_MAPS))}, got {path.name}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        file.seek(0)
        # What a spreadsheet writes where the comma is for decimals.
        reader = csv.reader(file, delimiter=";" if head.count(";") > head.count(",") else ",")
        columns = [name.strip().lower() for name in next(reader, [])]
        _check(columns, path)
        for number, row in enumerate(reader, start=2):
            cells = dict(zip(columns, row, strict=False))
            yield from _answer(cells, None, f"{path.name}, row {number}")


def _map(path: Path) -> Iterator[Answer]:
    if not path.is_file():
        raise OptionError(f"expected a file that a person has filled in at {path}, got none")
    frames = {str(name): gpd.read_file(path, layer=name) for name, _ in pyogrio.list_layers(path)}
    asked = {
        name: frame
        for name, frame in frames.items()
        if "decision" in frame.columns and _TOLD not in frame.columns
    }
    _check([str(name) for frame in asked.values() for name in frame.columns], path)
    for name, frame in asked.items():
        where = f"{path.name}, {name}" if len(frames) > 1 else path.name
        placed = isinstance(frame, gpd.GeoDataFrame) and frame.crs is not None
        shapes = list(frame.to_crs(4326).geometry) if placed else [None] * len(frame)
        rows = frame.drop(columns="geometry", errors="ignore").to_dict("records")
        for number, (row, shape) in enumerate(zip(rows, shapes, strict=True), start=1):
            cells = {str(key): value for key, value in row.items()}
            yield from _answer(cells, shape, f"{where}, feature {number}")


def _check(columns: list[str], path: Path) -> None:
    if "decision" not in columns or not {*_NAMES} & {*columns}:
        raise OptionError(
            f"expected the columns detection and decision in {path}, got {', '.join(columns) or 'none'}"
        )


def _answer(cells: Mapping[str, object], shape: BaseGeometry | None, where: str) -> Iterator[Answer]:
    told = {name: value.strip() for name, value in cells.items() if isinstance(value, str) and value.strip()}
    if "decision" not in told:
        return
    names = ("detection", "old_detection") if told.get("side") == "old" else _NAMES
    detection = next((told[name] for name in names if name in told), None)
    if detection is None:
        raise OptionError(f"{where}: expected the id of a detection, got none")
    yield Answer(
        detection=detection,
        decision=told["decision"].lower(),
        where=where,
        class_name=told.get("new_class", told.get("class")),
        note=told.get("note"),
        reviewer=told.get("reviewer"),
        geometry=shape,
    )
