"""Turn a public set of labels into pithead's: for pretraining on its classes, or for confusers of ours."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import App
from rich.console import Console
from rich.table import Table

from pithead.classes import load_classes
from pithead.errors import DatasetError, OptionError
from pithead.files import write_whole
from pithead.labels.jsonl import records, write_records
from pithead.labels.public import READERS, Thing, grouped
from pithead.program import run

ROOT = Path(__file__).resolve().parents[1]
SOURCES = Path(__file__).resolve().parent / "sources"
COLOURS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45")
app = App(help_format="plaintext", version_flags=())
Aim = Literal["negatives", "neighbours"]
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Source:
    """What the card of a source says of its classes.

    `meaning` is, by the set's own name, a class of ours or hard_negative; what it leaves out is background.
    `numbers` are the names by number. Things of `group` within `gap_m` are one object of ours.
    """

    name: str
    licence: str
    use: str
    gsd_m: float
    meaning: Mapping[str, str]
    numbers: Mapping[str, str]
    group: frozenset[str]
    gap_m: float


@app.default
def adapt(
    source: str,
    folder: Path,
    *,
    out: Path,
    aim: Aim = "negatives",
    ours: Path | None = None,
    classes: Path = ROOT / "labeling" / "classes.toml",
) -> None:
    """Read the public set SOURCE (a card in datasets/sources) unpacked in FOLDER, and write OUT/labels.jsonl.

    As negatives, what the card calls a confuser is a hard negative, what it calls ours is ours, and the rest
    is background: only for images that show nothing else of ours. With --ours, labels of our classes on these
    images, only the images that are in it are taken. As neighbours, the set's own classes are kept, and
    OUT/classes.toml lists them: pretrain on that, then fine-tune.

    Args:
        source: dota, xview, dior, airbus-oil, naip, naip-wind or usgs-ucm.
        folder: Where the set is unpacked, in its own layout.
        out: Folder to write.
        aim: negatives or neighbours.
        ours: Labels of our classes on images of the set (JSONL).
        classes: Our class list.
    """
    card = read_card(source)
    things = list(READERS[source](folder, card.numbers))
    if not things:
        raise DatasetError(f"{folder}: expected images of {source}, got none: unpack the set here")
    rows: list[Row]
    if aim == "neighbours":
        names = sorted({thing.name for thing in things if thing.name})
        if not names:
            raise OptionError(f"{source} has no labels of its own: it can be negatives only")
        rows = [*neighbour_rows(things)]
        write_whole(out / "classes.toml", class_list(names))
    else:
        known = {*load_classes(classes).names, "hard_negative"}
        strange = sorted(set(card.meaning.values()) - known)
        if strange:
            raise DatasetError(
                f"the card of {source} maps to {strange[0]}, which is no class of {classes}: mend it"
            )
        rows = [*negative_rows(things, card, {} if ours is None else read_ours(ours), whole=ours is None)]
    write_records(out / "labels.jsonl", rows)
    report(card, rows, aim, out, searched=ours is not None)


def read_card(name: str) -> Source:
    """The card of a source that has an adapter."""
    if name not in READERS:
        raise OptionError(f"expected a source of {', '.join(sorted(READERS))}, got {name}")
    card = tomllib.loads((SOURCES / f"{name}.toml").read_text("utf-8"))
    table: dict[str, Any] = card.get("classes", {})
    meaning = {key: str(value) for key, value in table.items() if not isinstance(value, dict)}
    return Source(
        name=name,
        licence=card["licence"],
        use=card["use"],
        gsd_m=float(card["gsd_m"][0]),
        meaning=meaning,
        numbers={str(key): str(value) for key, value in card.get("numbers", {}).items()},
        group=frozenset(card.get("group", {}).get("classes", ())),
        gap_m=float(card.get("group", {}).get("gap_m", 0.0)),
    )


def read_ours(path: Path) -> dict[str, list[Row]]:
    """The lines of our labels by image."""
    found: dict[str, list[Row]] = {}
    for _, record in records(path):
        found.setdefault(str(record.get("image")), []).append(dict(record))
    return found


def negative_rows(
    things: Iterable[Thing], card: Source, ours: Mapping[str, Sequence[Row]], *, whole: bool
) -> Iterable[Row]:
    """Ours, confusers and doubts, image by image; a line "none" where there is nothing of these."""
    for image, of_image in by_image(things).items():
        if not whole and image not in ours:
            continue
        rows: list[Row] = [row for row in ours.get(image, ()) if row.get("class") != "none"]
        wagons: dict[str, list[Thing]] = {}
        for thing in of_image:
            meaning = card.meaning.get(thing.name)
            if meaning and thing.name in card.group:
                wagons.setdefault(meaning, []).append(thing)
            elif meaning:
                rows.append(row_of(thing, meaning))
        rows += [
            {"class": meaning, "polygon": points.tolist(), "confidence": "probable"}
            for meaning, group in wagons.items()
            for points in grouped([thing.points for thing in group], card.gap_m / card.gsd_m)
        ]
        for row in rows or [{"class": "none"}]:
            yield {"image": image, **row, "sensor": card.name}


def row_of(thing: Thing, meaning: str) -> Row:
    """One object as a line without its image."""
    told: Row = {"kind": thing.name} if meaning == "hard_negative" else {"confidence": "probable"}
    if thing.difficult and meaning != "hard_negative":
        told = {"confidence": "possible"}
    return {"class": meaning, **told, "polygon": thing.points.tolist()}


def neighbour_rows(things: Iterable[Thing]) -> Iterable[Row]:
    """Every object by the set's own class."""
    for image, of_image in by_image(things).items():
        for thing in of_image:
            confidence = "possible" if thing.difficult else "sure"
            yield {
                "image": image, "class": slug(thing.name), "confidence": confidence,
                "polygon": thing.points.tolist(),
            }  # fmt: skip
        if not of_image:
            yield {"image": image, "class": "none"}


def by_image(things: Iterable[Thing]) -> dict[str, list[Thing]]:
    """Objects by image, in order of names; images without any too."""
    found: dict[str, list[Thing]] = {}
    for thing in things:
        of_image = found.setdefault(thing.image, [])
        if thing.name:
            of_image.append(thing)
    return dict(sorted(found.items()))


def slug(name: str) -> str:
    """A class name of another set as one of ours: lower case, digits and underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return plain if plain[:1].isalpha() else f"class_{plain}"


def class_list(names: Sequence[str]) -> str:
    """A class list (TOML) of a set's own classes."""
    tables = (
        f'[[class]]\nname = "{slug(name)}"\ngeometry = "box"\ncolour = "{COLOURS[i % len(COLOURS)]}"\n'
        f'smallest_m = 1.0\ndefinition = "{name}, as its set defines it."\n'
        for i, name in enumerate(names)
    )
    return "\n".join(tables)


def report(card: Source, rows: Sequence[Row], aim: Aim, out: Path, *, searched: bool) -> None:
    """Print what was written, and what it may be used for."""
    counts = Counter(str(row["class"]) for row in rows)
    table = Table(
        "class", "lines", title=f"{out}: {len({row['image'] for row in rows})} images of {card.name}"
    )
    for name, count in sorted(counts.items()):
        table.add_row(name, str(count))
    console = Console()
    console.print(table)
    console.print(f"licence: {card.licence}; use: {card.use}", soft_wrap=True)
    if aim == "negatives" and not searched and card.use != "training":
        console.print(
            "Nobody has searched these images for our classes: what is in them unlabelled is taught as "
            "background. Look through them (labeling/pick.py), or give --ours.",
            soft_wrap=True,
        )


if __name__ == "__main__":
    run(app)
