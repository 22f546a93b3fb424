"""Labels as JSON lines in pixels of the scene: the project's own format (labeling/guide.md)."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pithead.classes import ClassList
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.labels.label import (
    FACTS,
    NO_LABEL,
    Label,
    SceneFacts,
    class_named,
    fact_of,
    facts_told,
    label_of,
    record_of,
    text_of,
)


def read_jsonl(path: str | Path, classes: ClassList) -> dict[str, tuple[Label, ...]]:
    """Labels by image id, in scene px: an empty tuple where nothing was found, no entry where nobody looked.

    Lines of the class none or hard_negative say that a human looked and saw nothing of ours; lines of the
    class seen say where.

    Raises:
        LabelError: a file that cannot be read or a line that breaks the format.
    """
    found: dict[str, list[Label]] = {}
    for where, record in records(path):
        of_image = found.setdefault(text_of(record, "image", where), [])
        name = text_of(record, "class", where)
        if name not in NO_LABEL:
            of_image.append(label_of(record, class_named(classes, name, where), where))
    return {image: tuple(labels) for image, labels in found.items()}


def read_facts(path: str | Path) -> dict[str, SceneFacts]:
    """`FACTS` by image id: the first that any line of the image gives.

    Raises:
        LabelError: a file that cannot be read, an image with two of one of them, or an angle that is none.
    """
    found: dict[str, dict[str, str]] = {}
    for where, record in records(path):
        of_image = found.setdefault(text_of(record, "image", where), {})
        for key in FACTS:
            told = fact_of(record, key, where) if key in record else None
            if told is not None and of_image.setdefault(key, told) != told:
                raise LabelError(
                    f"{where}: an image has one {key}; got "
                    f"{of_image[key]!r} and {told!r}: correct one of them"
                )
    return {image: facts_told(facts, f"{path}, image {image}") for image, facts in found.items()}


def write_jsonl(path: str | Path, labels: Mapping[str, Sequence[Label]], classes: ClassList) -> None:
    """Write what `read_jsonl` reads, images in the order given; one without labels gets a line "none"."""
    write_records(
        path,
        (
            {"image": image, **record}
            for image, of_image in labels.items()
            for record in [record_of(label, classes) for label in of_image] or [{"class": "none"}]
        ),
    )


def write_records(path: str | Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write one JSON object a line; the file appears whole or not at all."""
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def records(path: str | Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The JSON objects of a JSONL file, each with "path:line" for messages."""
    try:
        lines = Path(path).read_text("utf-8").split("\n")  # not splitlines: U+2028 may stand in a note
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(
            f"a label file (JSONL) is needed; {path} cannot be read ({error}): check the path"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise LabelError(
                f"{where}: a line is one JSON object; got {line[:60]!r} ({error}): mend it"
            ) from error
        if not isinstance(record, dict):
            raise LabelError(f"{where}: a line is one JSON object; got {line[:60]!r}: mend it")
        yield where, record
