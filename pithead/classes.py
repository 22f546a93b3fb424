"""The class list: one TOML file (labeling/classes.toml) for labels, training, cards and maps."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pithead.errors import ClassesError

Geometry = Literal["box", "strip", "line"]

_KEYS = frozenset({"name", "geometry", "colour", "smallest_m", "definition"})
_OPTIONAL = frozenset({"largest_m"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: its id is its place in the file; `smallest_m` is the smallest object worth a label.

    `largest_m` is the size above which a label is taken for a mistake, None where any size may be. Sizes are
    the long side of a box or strip and the length of a line, in metres. Geometry "box" is taught as an
    oriented box, "strip" as consecutive pieces of one, "line" as consecutive boxes along a line ("spans").
    """

    id: int
    name: str
    geometry: Geometry
    colour: str
    smallest_m: float
    definition: str
    largest_m: float | None = None

    def __post_init__(self) -> None:
        """Check what a hand-written file gets wrong.

        Raises:
            ClassesError: a name, geometry, colour or size that cannot be.
        """
        if not _NAME.fullmatch(self.name) or self.name in ("none", "hard_negative", "seen"):
            raise ClassesError(
                f"a class name is lower_snake_case and none of none, hard_negative, seen; "
                f"got {self.name!r}: rename it"
            )
        if self.geometry not in ("box", "strip", "line"):
            raise ClassesError(
                f'{self.name}: geometry is "box", "strip" or "line"; got {self.geometry!r}: choose one'
            )
        if not _COLOUR.fullmatch(self.colour):
            raise ClassesError(f"{self.name}: colour is #rrggbb; got {self.colour!r}: write six hex digits")
        if not self.smallest_m > 0:
            raise ClassesError(
                f"{self.name}: smallest_m is a length in metres > 0; got {self.smallest_m}: correct it"
            )
        if self.largest_m is not None and not self.largest_m > self.smallest_m:
            raise ClassesError(
                f"{self.name}: largest_m is above smallest_m ({self.smallest_m}); "
                f"got {self.largest_m}: correct it or leave it out"
            )


@dataclass(frozen=True, slots=True)
class ClassList:
    """The classes in the order of their ids (0, 1, …), no name twice."""

    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        """Check ids and names.

        Raises:
            ClassesError: no class, an id out of order, or a name given twice.
        """
        if not self.classes:
            raise ClassesError("a class list names at least one class; got none: add a [[class]] table")
        if [c.id for c in self.classes] != list(range(len(self.classes))):
            raise ClassesError(f"class ids count 0, 1, …; got {[c.id for c in self.classes]}: renumber them")
        if len(set(self.names)) != len(self.classes):
            raise ClassesError(f"class names differ; got {', '.join(self.names)}: remove the double")

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the ids."""
        return tuple(c.name for c in self.classes)

    @property
    def line_ids(self) -> frozenset[int]:
        """The ids of the classes that are lines."""
        return frozenset(c.id for c in self.classes if c.geometry == "line")

    def __len__(self) -> int:
        """How many classes."""
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        """The classes in the order of their ids."""
        return iter(self.classes)

    def __getitem__(self, class_id: int) -> ClassInfo:
        """The class of an id."""
        return self.classes[class_id]

    def named(self, name: str) -> ClassInfo:
        """The class of a name.

        Raises:
            ClassesError: no class has this name.
        """
        for info in self.classes:
            if info.name == name:
                return info
        raise ClassesError(
            f"a class is one of {', '.join(self.names)}; got {name!r}: correct the name or the list"
        )


def load_classes(path: str | Path) -> ClassList:
    """Read a class list: one [[class]] table each, ids by place.

    Raises:
        ClassesError: the file is missing, no TOML, or a table has a wrong, missing or unknown key.
    """
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ClassesError(
            f"a class list (TOML) is needed; {path} cannot be read ({error}): check the path"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ClassesError(f"a class list is TOML; {path} is not ({error}): correct the line") from error
    tables = document.get("class")
    if not isinstance(tables, list) or set(document) != {"class"}:
        raise ClassesError(
            f"a class list holds [[class]] tables only; {path} has {sorted(document)}: correct it"
        )
    return ClassList(tuple(_class_info(i, table) for i, table in enumerate(tables)))


def _class_info(class_id: int, table: Mapping[str, object]) -> ClassInfo:
    """One table as a ClassInfo."""
    if set(table) - _OPTIONAL != _KEYS:
        wrong = ", ".join(sorted((set(table) - _OPTIONAL) ^ _KEYS))
        raise ClassesError(
            f"class {class_id} has the keys {', '.join(sorted(_KEYS))}; amiss: {wrong}: mend these"
        )
    texts = {key: table[key] for key in _KEYS - {"smallest_m"}}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ClassesError(f"class {class_id}: {key} is a text; got {value!r}: put it in quotes")
    return ClassInfo(
        id=class_id,
        name=str(texts["name"]),
        geometry=cast("Geometry", texts["geometry"]),
        colour=str(texts["colour"]),
        smallest_m=_metres(table, "smallest_m", class_id),
        definition=str(texts["definition"]),
        largest_m=_metres(table, "largest_m", class_id) if "largest_m" in table else None,
    )


def _metres(table: Mapping[str, object], key: str, class_id: int) -> float:
    """A key that must hold a number."""
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClassesError(f"class {class_id}: {key} is a number of metres; got {value!r}: correct it")
    return float(value)
