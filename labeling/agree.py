"""Compare the labels of two annotators of the same scenes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cyclopts import App
from rich.console import Console
from rich.table import Table

from pithead.agreement import THRESHOLDS, Agreement, compare, kappa, total
from pithead.classes import ClassList, load_classes
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.imagery import open_scene
from pithead.labels import Label
from pithead.labels.maps import write_geopackage
from pithead.labels.places import Places, images_of
from pithead.labels.sheet import Sheet, no_sizes, read_lines, write_lines
from pithead.program import run

app = App(help_format="plaintext", version_flags=())
CLASSES = Path(__file__).resolve().parent / "classes.toml"


@dataclass(frozen=True, slots=True)
class Compared:
    """One scene that both have looked at."""

    image: str
    sheets: tuple[Sheet, Sheet]
    agreement: Agreement


@app.default
def agree(
    first: Path,
    second: Path,
    *,
    scenes: Path,
    out: Path,
    gsd: float | None = None,
    classes: Path = CLASSES,
) -> None:
    """Print how far the label files FIRST and SECOND agree on the scenes that both have, and where not.

    Objects are paired one to one by oriented IoU. For each class: F1 at IoU 0.3 and 0.5, the median IoU of
    pairs, F1 of areas; for perimeters the quality of lines within 10 m too; over all, Cohen's kappa on the
    class, of objects that both have drawn and with "nothing" as a class. What either called "possible" counts
    neither way. OUT gets agreement.json and disagreements.jsonl, and disagreements.gpkg if the scenes have a
    georeference.

    Args:
        first: Labels in scene pixels, one JSON object a line.
        second: Those of the other annotator.
        scenes: Folder of the scenes.
        out: Folder to write.
        gsd: Metres per pixel of scenes that have no georeference.
        classes: The class list.
    """
    class_list = load_classes(classes)
    sheets = [{s.image: s for s in read_lines(path, class_list, no_sizes)} for path in (first, second)]
    both = sorted(set(sheets[0]) & set(sheets[1]))
    if not both:
        raise LabelError(f"{first} and {second} have no scene in common: give labels of the same scenes")
    paths = {path.stem: path for path in images_of(scenes)}
    compared, placed = [], True
    for image in both:
        if image not in paths:
            raise LabelError(f"{first}: scene {image} is not in {scenes}: give the folder that holds it")
        with open_scene(paths[image], gsd_m=gsd) as scene:
            metres, placed = float(np.mean(scene.gsd_m)), placed and scene.crs is not None
        pair = (sheets[0][image], sheets[1][image])
        compared.append(Compared(image, pair, compare(pair[0].labels, pair[1].labels, class_list, metres)))
    every = total([one.agreement for one in compared], class_list)
    found = [disputed(one) for one in compared]
    if placed:
        write_geopackage(out / "disagreements.gpkg", found, class_list, Places(scenes))
    write_lines(out / "disagreements.jsonl", found, class_list)
    figures = figures_of(every, class_list)
    write_whole(out / "agreement.json", json.dumps({"scenes": both, **figures}, indent=1) + "\n")
    report(every, figures, class_list, len(both))


def disputed(compared: Compared) -> Sheet:
    """The labels of a scene on which the two do not agree, each with who drew it and what is in dispute."""
    sides = [[label for label in sheet.labels if label.weight != "negative"] for sheet in compared.sheets]
    labels = []
    for one in compared.agreement.disagreements:
        label = sides[one.annotator][one.index]
        told = {**label.attributes, "annotator": str(one.annotator + 1), "dispute": one.why}
        labels.append(Label(label.class_id, label.geometry, label.points, label.closed, label.weight, told))
    return Sheet(compared.image, compared.sheets[0].size, tuple(labels), compared.sheets[0].facts)


def figures_of(every: Agreement, classes: ClassList) -> dict[str, Any]:
    """The figures as JSON."""
    drawn = every.confusion[:-1, :-1]
    return {
        "classes": {
            info.name: {
                **{f"f1_at_{t}": every.counts[info.id].f1(k) for k, t in enumerate(THRESHOLDS)},
                "median_iou": every.counts[info.id].median_iou,
                "area_f1": every.counts[info.id].area.f1,
                "pairs": every.counts[info.id].pairs[0],
                "alone": every.counts[info.id].alone[0],
            }
            for info in classes
        },
        "lines": {**asdict(every.lines), "quality": every.lines.quality},
        "kappa_of_pairs": kappa(drawn),
        "kappa_with_nothing": kappa(every.confusion),
        "confusion": every.confusion.tolist(),
    }


def report(every: Agreement, figures: dict[str, Any], classes: ClassList, scenes: int) -> None:
    """Print the figures."""
    heads = ("pairs", "only one", *(f"F1 at IoU {t}" for t in THRESHOLDS), "median IoU", "area F1")
    table = Table("class", *heads, title=f"{scenes} scenes")
    for info in classes:
        counts = every.counts[info.id]
        values: Sequence[float | None] = (counts.f1(0), counts.f1(1), counts.median_iou, counts.area.f1)
        table.add_row(info.name, str(counts.pairs[0]), str(counts.alone[0]), *(told(v) for v in values))
    console = Console()
    console.print(table)
    lines = every.lines
    lengths = f"{lines.predicted_m:.0f} m and {lines.truth_m:.0f} m"
    print(f"lines within 10 m: quality {told(lines.quality)}, of {lengths}")
    print(
        f"kappa on class: {told(figures['kappa_of_pairs'])} of pairs, "
        f"{told(figures['kappa_with_nothing'])} with nothing as a class"
    )


def told(value: float | None) -> str:
    """A figure to three decimals, a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    run(app)
