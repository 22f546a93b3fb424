"""Check labels and datasets before anybody learns from them."""

import base64
import html
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from pithead.acquisition import season_of
from pithead.checks import (
    Found,
    Problem,
    broken,
    changed_class,
    first_lines,
    leaks,
    read_labels,
    shape_problems,
    twins,
)
from pithead.classes import ClassList, load_classes
from pithead.contact import contact_sheet
from pithead.dataset import FOLDS, Tile, dataset_sha256, rank, read_manifest
from pithead.errors import DatasetError, OptionError
from pithead.files import write_whole
from pithead.imagery import open_scene
from pithead.labels.label import Floats
from pithead.labels.places import images_of
from pithead.program import run

ROOT = Path(__file__).resolve().parents[1]
NAMED = 5  # so many of the worst problems stand in the last line
ON_SHEET = 12
app = App(help_format="plaintext", version_flags=())
Counts = dict[str, Counter[str]]


@app.default
def check(
    dataset: Path | None = None,
    *,
    labels: Path | None = None,
    scenes: Path | None = None,
    scenes_gsd: float | None = None,
    buffer_m: float = 0.0,
    html_file: Path | None = None,
    classes: Path = ROOT / "labeling" / "classes.toml",
) -> None:
    """Check the folder DATASET of datasets/cut.py, or LABELS with their SCENES, or both.

    Refused, with exit status 2: folds that share a site or ground, tiles that are equal or look the same in
    train and val (also turned or mirrored), files that are missing or changed, broken rows, unknown classes,
    labels outside of their scene, without area or with sides that cross. Warned of: sizes outside of the
    class's metres, objects labelled twice, or differently on another date. Every dataset under DATASET/folds
    is checked too. A table and a page with contact sheets (DATASET/check.html) show what there is.

    Args:
        dataset: Folder with manifest.jsonl.
        labels: Labels in scene pixels, one JSON object a line.
        scenes: Folder of the labelled scenes.
        scenes_gsd: Metres per pixel of scenes that have no georeference.
        buffer_m: Ground of two folds this close to each other counts as shared.
        html_file: Page to write instead of DATASET/check.html.
        classes: The class list.
    """
    if dataset is None and labels is None:
        raise OptionError("expected a DATASET or --labels with --scenes, got neither: name what to check")
    class_list = load_classes(classes)
    problems: list[Problem] = []
    tiles: tuple[Tile, ...] = ()
    if labels is not None:
        problems += label_problems(labels, scenes, scenes_gsd, class_list)
    if dataset is not None:
        tiles = read_manifest(dataset)
        problems += dataset_problems(dataset, tiles, buffer_m, class_list)
        write_whole(html_file or dataset / "check.html", page(dataset, tiles, problems, class_list))
    report(problems, tiles, class_list)
    refused = first_lines(problems, "refused")
    if refused:
        more = f" (and {len(refused) - NAMED} more)" if len(refused) > NAMED else ""
        raise DatasetError(f"{len(refused)} problems refused: " + "; ".join(refused[:NAMED]) + more)


def dataset_problems(root: Path, tiles: Sequence[Tile], buffer_m: float, classes: ClassList) -> list[Problem]:
    """The problems of a dataset and of every fold of it."""
    found = [*broken(root, tiles, classes), *leaks(root, tiles, buffer_m)]
    for folder in sorted((root / FOLDS).glob("*/")):
        found += leaks(folder, read_manifest(folder), buffer_m)
    return found


def label_problems(
    labels: Path, folder: Path | None, gsd_m: float | None, classes: ClassList
) -> list[Problem]:
    """The problems of a label file, scene by scene."""
    if folder is None:
        raise OptionError("expected --scenes with --labels, got none: give the folder of the scenes")
    by_image, problems = read_labels(labels, classes)
    paths = {path.stem: path for path in images_of(folder)}
    placed: dict[str, tuple[Sequence[Found], Sequence[Floats]]] = {}
    for image, found in by_image.items():
        path = paths.get(image) or paths.get(Path(image).stem)
        if path is None:
            text = f"labels of {image}, which is not in {folder}: add the scene or correct the name"
            problems.append(
                Problem("refused", "missing scene", found[0].where if found else str(labels), text)
            )
            continue
        with open_scene(path, gsd_m=gsd_m) as scene:
            problems += [*shape_problems(found, scene), *twins(found)]
            if scene.crs is not None:
                areas = [one for one in found if one.label.geometry != "line"]
                placed[image] = (areas, [scene.to_lonlat(one.label.points) for one in areas])
    return [*problems, *changed_class(placed)]


# --- what is shown -------------------------------------------------------------------------------------


def balance(tiles: Iterable[Tile], of: Callable[[Tile], str]) -> Counts:
    """How many tiles, tiles without label, and taught boxes of each class there are by what `of` says."""
    found: Counts = {}
    for tile in tiles:
        counts = found.setdefault(of(tile), Counter())
        counts.update({"tiles": 1, "without label": int(not tile.counts), "cut": tile.n_cut, **tile.counts})
        counts.update({"ignored": tile.n_ignored, "hard negatives": sum(tile.negatives.values())})
    return dict(sorted(found.items()))


def columns_of(classes: ClassList) -> tuple[str, ...]:
    """What the tables show of each row."""
    return ("tiles", "without label", *classes.names, "ignored", "cut", "hard negatives")


def report(problems: Sequence[Problem], tiles: Sequence[Tile], classes: ClassList) -> None:
    """Print the balance and every problem."""
    console = Console()
    if tiles:
        table = Table("split", *columns_of(classes))
        for name, counts in balance(tiles, lambda tile: tile.split).items():
            table.add_row(name, *(str(counts[column]) for column in columns_of(classes)))
        console.print(table)
    for problem in problems:
        console.print(
            f"{problem.level}: {problem.kind}: {problem.where}: {problem.text}", soft_wrap=True, markup=False
        )
    refused = sum(problem.level == "refused" for problem in problems)
    console.print(f"{refused} refused, {len(problems) - refused} warnings")


def page(root: Path, tiles: Sequence[Tile], problems: Sequence[Problem], classes: ClassList) -> str:
    """One page that needs nothing else: problems, balance by split, place, sensor and season, tiles."""
    season = {
        tile.path: season_of(tile.date, tile.footprint[0][1] if tile.footprint else None) for tile in tiles
    }
    parts = [
        f"<h1>{html.escape(root.name)}</h1><p>{len(tiles)} tiles, sha256 {dataset_sha256(tiles)}</p>",
        "<h2>Problems</h2>" + problem_table(problems),
        "<h2>Balance</h2>",
        table_of("split", balance(tiles, lambda tile: tile.split), classes),
        table_of("place", balance(tiles, lambda tile: f"{tile.split}: {tile.ground}"), classes),
        table_of("sensor", balance(tiles, lambda tile: f"{tile.split}: {tile.sensor or 'unknown'}"), classes),
        table_of("season", balance(tiles, lambda tile: f"{tile.split}: {season[tile.path]}"), classes),
        "<h2>Tiles</h2>",
    ]
    for name in (*classes.names, ""):
        of_name = [t for t in tiles if (t.counts.get(name) if name else not t.counts)]
        there = [tile for tile in of_name if (root / tile.path).is_file() and (root / tile.labels).is_file()]
        drawn = sorted(there, key=lambda tile: rank("sheet", tile.path))[:ON_SHEET]
        if drawn:
            title = f"<h3>{name or 'without label'} ({len(drawn)} of {len(of_name)})</h3>"
            parts.append(title + picture(root, drawn, classes))
    return f"<!doctype html><meta charset=utf-8><title>{html.escape(root.name)}</title>{STYLE}" + "".join(
        parts
    )


STYLE = (
    "<style>body{font:15px sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.2em .6em;border-bottom:1px solid #ccc;text-align:right}td:first-child,th:first-child,"
    "table.text td{text-align:left}td.bar{background:linear-gradient(to right,#cde 0 var(--w),transparent 0)}"
    "img{max-width:100%}</style>"
)


def problem_table(problems: Sequence[Problem]) -> str:
    """The problems as rows."""
    if not problems:
        return "<p>none</p>"
    rows = (
        "<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in (p.level, p.kind, p.where, p.text)) + "</tr>"
        for p in problems
    )
    return f"<table class=text>{''.join(rows)}</table>"


def table_of(title: str, counts: Counts, classes: ClassList) -> str:
    """Counts as a table whose cells are bars, each column by its largest."""
    columns = columns_of(classes)
    most = {column: max(1, *(of[column] for of in counts.values())) if counts else 1 for column in columns}
    head = "".join(f"<th>{html.escape(column)}</th>" for column in (title, *columns))
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(
            f'<td class=bar style="--w:{100 * of[column] / most[column]:.0f}%">{of[column]}</td>'
            for column in columns
        )
        + "</tr>"
        for name, of in counts.items()
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def picture(root: Path, tiles: Sequence[Tile], classes: ClassList) -> str:
    """A contact sheet as part of the page."""
    buffer = io.BytesIO()
    contact_sheet(root, tiles, classes).save(buffer, format="JPEG", quality=85)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{len(tiles)} tiles with their labels" src="data:image/jpeg;base64,{text}">'


if __name__ == "__main__":
    run(app)
