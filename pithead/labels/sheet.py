"""All that is labelled in one image: what every format of labels is read into and written from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.labels.jsonl import read_facts, records, write_records
from pithead.labels.label import (
    HARD_NEGATIVE,
    Label,
    SceneFacts,
    class_named,
    label_of,
    record_of,
    text_of,
)

_FACTS = ("site", "date")
Sizes = Callable[[str, str], tuple[int, int]]
"""(image, where it was named) → its (width, height) in px; LabelError where it is not known."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The labels of one image that somebody has looked at, in its px, hard negatives among them.

    `image` is the file's name without suffix; `size` is (width, height) in px, (0, 0) where nothing says it.
    """

    image: str
    size: tuple[int, int]
    labels: tuple[Label, ...]
    facts: SceneFacts = field(default_factory=SceneFacts)


def no_sizes(image: str, where: str) -> tuple[int, int]:
    """Sizes for formats whose labels are pixels: unknown."""
    del image, where
    return (0, 0)


def labelled(record: Mapping[str, object], classes: ClassList, where: str) -> Label | None:
    """A record with "class" as a Label, a hard negative too; None for the class none.

    Raises:
        LabelError: an unknown class or points that are none.
    """
    name = text_of(record, "class", where)
    kept = {key: value for key, value in record.items() if key not in _FACTS}
    if name == "none":
        return None
    return label_of(kept, None if name == HARD_NEGATIVE else class_named(classes, name, where), where)


def read_lines(path: Path, classes: ClassList, sizes: Sizes) -> list[Sheet]:
    """The sheets of a JSONL file in the order in which images appear first.

    Raises:
        LabelError: a file that cannot be read or a line that breaks the format.
    """
    facts = read_facts(path)
    found: dict[str, list[Label]] = {image: [] for image in facts}
    first: dict[str, str] = {}
    for where, record in records(path):
        image = text_of(record, "image", where)
        first.setdefault(image, where)
        label = labelled({k: v for k, v in record.items() if k != "image"}, classes, where)
        if label is not None:
            found[image].append(label)
    return [
        Sheet(image, sizes(image, first[image]), tuple(labels), facts[image])
        for image, labels in found.items()
    ]


def write_lines(path: Path, sheets: Sequence[Sheet], classes: ClassList) -> None:
    """Write what `read_lines` reads; site and date stand in every line of an image that has them."""
    write_records(
        path,
        (
            {"image": sheet.image, **record, **told(sheet.facts)}
            for sheet in sheets
            for record in [record_of(label, classes) for label in sheet.labels] or [{"class": "none"}]
        ),
    )


def told(facts: SceneFacts) -> dict[str, str]:
    """Site and date where they are known."""
    return {key: value for key in _FACTS if (value := getattr(facts, key)) is not None}


def facts_of(record: Mapping[str, object]) -> SceneFacts:
    """Site and date of a record, None where it has none."""
    site, date = (str(record[key]) if record.get(key) else None for key in _FACTS)
    return SceneFacts(site, date)


def by_image(sheets: Iterable[Sheet], where: str) -> dict[str, Sheet]:
    """Sheets by image.

    Raises:
        LabelError: two sheets of one image.
    """
    found: dict[str, Sheet] = {}
    for sheet in sheets:
        if sheet.image in found:
            raise LabelError(
                f"{where}: images have different names; {sheet.image} is there twice: rename one"
            )
        found[sheet.image] = sheet
    return found


def without_negatives(sheet: Sheet) -> Sheet:
    """A sheet as formats see it that have no way to say "background by name"."""
    return replace(sheet, labels=tuple(label for label in sheet.labels if label.weight != "negative"))
