"""All that is labelled in one image: what every format of labels is read into and written from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.labels.jsonl import read_facts, records, write_records
from pithead.labels.label import (
    FACTS,
    HARD_NEGATIVE,
    Floats,
    Label,
    SceneFacts,
    class_named,
    facts_told,
    label_of,
    record_of,
    text_of,
)
from pithead.labels.seen import SEEN

Sizes = Callable[[str, str], tuple[int, int]]
"""(image, where it was named) → its (width, height) in px; LabelError where it is not known."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The labels of one image that somebody has looked at, in its px, hard negatives among them.

    `seen` are the outlines (M, 2) of what was looked at, none where it was the whole image.
    `image` is the file's name without suffix; `size` is (width, height) in px, (0, 0) where nothing says it.
    """

    image: str
    size: tuple[int, int]
    labels: tuple[Label, ...]
    facts: SceneFacts = field(default_factory=SceneFacts)
    seen: tuple[Floats, ...] = ()


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
    kept = {key: value for key, value in record.items() if key not in FACTS}
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
    seen: dict[str, list[Floats]] = {}
    for where, record in records(path):
        image = text_of(record, "image", where)
        first.setdefault(image, where)
        if record.get("class") == SEEN:
            seen.setdefault(image, []).append(outline_of(record, where))
            continue
        label = labelled({k: v for k, v in record.items() if k != "image"}, classes, where)
        if label is not None:
            found[image].append(label)
    return [
        Sheet(image, sizes(image, first[image]), tuple(labels), facts[image], tuple(seen.get(image, ())))
        for image, labels in found.items()
    ]


def write_lines(path: Path, sheets: Sequence[Sheet], classes: ClassList) -> None:
    """Write what `read_lines` reads; site, date and what else is known of it stand in every line."""
    write_records(
        path,
        (
            {"image": sheet.image, **record, **told(sheet.facts)}
            for sheet in sheets
            for record in rows_of(sheet, classes)
        ),
    )


def rows_of(sheet: Sheet, classes: ClassList) -> list[dict[str, object]]:
    """The lines of a sheet without image and facts: areas looked at, objects, or that there is none."""
    seen: list[dict[str, object]] = [{"class": SEEN, "polygon": one.tolist()} for one in sheet.seen]
    return [*seen, *(record_of(label, classes) for label in sheet.labels)] or [{"class": "none"}]


def outline_of(record: Mapping[str, object], where: str) -> Floats:
    """The "polygon" (M, 2) of a record that says what was looked at.

    Raises:
        LabelError: fewer than three points, or points that are none.
    """
    return label_of({"polygon": record.get("polygon")}, None, f"{where}, class {SEEN}").points


def told(facts: SceneFacts) -> dict[str, str]:
    """`FACTS` where they are known."""
    return {key: value for key in FACTS if (value := getattr(facts, key)) is not None}


def facts_of(record: Mapping[str, object], where: str) -> SceneFacts:
    """`FACTS` of a record, None where it has none.

    Raises:
        LabelError: an angle that is none.
    """
    return facts_told({key: str(record[key]) for key in FACTS if record.get(key) not in (None, "")}, where)


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
