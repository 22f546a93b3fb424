"""Measure weights on labelled scenes, through the real scan path; or say which of two are better."""

from pathlib import Path
from typing import Annotated, Any

import cyclopts
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import ClassesError, OptionError
from pithead.evaluation import (
    COLUMNS,
    Job,
    SceneResult,
    account,
    compare,
    jobs_of,
    kept_results,
    measured,
    verdict,
    write_account,
)
from pithead.evaluation.page import HEADS, about, line_words, text
from pithead.program import run

ROOT = Path(__file__).resolve().parents[1]
COMPARED = ("ap50", "ap50_95", "f1", "area_f1", "quality")
app = cyclopts.App(name="evaluate.py", help_format="plaintext")


@app.default
def evaluate(
    *paths: Path,
    compare: Annotated[tuple[Path, Path] | None, cyclopts.Parameter(negative="")] = None,
    labels: Path | None = None,
    out: Path | None = None,
    gsd: float | None = None,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
    workers: int = 1,
) -> None:
    """Measure weights on the labelled scenes of a folder: evaluate.py WEIGHTS DATASET.

    With --compare A B DATASET: measure both and say which is better, by how much, and how surely. A and B are
    weights, or folders that --out of this program made; of two such folders no DATASET is needed.

    Parameters
    ----------
    paths
        WEIGHTS, an .onnx with a card, and DATASET, a folder of scenes with labels.jsonl in it; scenes that
        the labels do not name are left out. With --compare only DATASET.
    compare
        The two to compare. The difference is that of the first less the second.
    labels
        Labels in scene pixels, one JSON object a line, if they are not DATASET/labels.jsonl.
    out
        A folder for index.html, evaluation.json, table.md and the curves. What is measured is kept in it
        scene by scene: the same command goes on after it was stopped. With --compare it holds the folders a
        and b.
    gsd
        Metres per pixel of scenes without georeference.
    workers
        Scenes measured at the same time, each by one thread if more than one.
    """
    if compare is not None:
        sources = [
            _results(one, paths, labels, classes, gsd, workers, out and out / side)
            for one, side in zip(compare, "ab", strict=True)
        ]
        (first, card), (second, other) = sources
        if [known.name for known in card.classes] != [known.name for known in other.classes]:
            raise ClassesError("expected two of the same classes to compare, got others; see their cards")
        _print_comparison(compare, first, second, card)
        return
    if len(paths) != 2:
        raise OptionError(f"expected WEIGHTS and DATASET, got {len(paths)} paths; see --help")
    weights, dataset = paths
    jobs = _jobs(weights, dataset, labels, classes, gsd, workers)
    results, card = _measured(jobs, workers, out), Detector.open(weights).card
    if out is None:
        _print(account(results, card))
        return
    scenes = {job.scene.stem: job.scene for job in jobs}
    _print(
        write_account(out, f"{card.name} on {dataset.resolve().name}", results, card, paths=scenes, gsd_m=gsd)
    )
    print(out / "index.html")


def _results(
    source: Path, paths: tuple[Path, ...], labels: Path | None, classes: Path, gsd: float | None,
    workers: int, out: Path | None,
) -> tuple[list[SceneResult], Card]:  # fmt: skip
    """What a folder keeps, or what weights give on the dataset."""
    if source.is_dir():
        return kept_results(source)
    if len(paths) != 1:
        raise OptionError(
            f"expected one DATASET on which to compare weights, got {len(paths)} paths; see --help"
        )
    jobs = _jobs(source, paths[0], labels, classes, gsd, workers)
    return _measured(jobs, workers, out), Detector.open(source).card


def _jobs(
    weights: Path, dataset: Path, labels: Path | None, classes: Path, gsd: float | None, workers: int
) -> list[Job]:
    return jobs_of(weights, dataset, labels or dataset / "labels.jsonl", classes, gsd, workers)


def _measured(jobs: list[Job], workers: int, keep: Path | None) -> list[SceneResult]:
    """Every job done, with progress on the error stream."""
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("scanning", total=len(jobs))
        return measured(
            jobs,
            workers,
            keep=keep,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _print(numbers: dict[str, Any]) -> None:
    table = Table(title=about(numbers))
    table.add_column("class", no_wrap=True)
    for column in ("threshold", *HEADS.values()):
        table.add_column(column, justify="right")
    for name, row in numbers["classes"].items():
        cells = [_with_interval(numbers, name, column) for column in COLUMNS]
        table.add_row(name, text(row["threshold"]), *cells)
    mean = [_with_interval(numbers, "mean", column) for column in ("ap50", "ap50_95")]
    table.add_row("mean", "", "", *mean)
    console = Console(width=150)
    console.print(table)
    for budget in next(iter(numbers["classes"].values()))["recall_at"]:
        shares = ", ".join(f"{n} {text(row['recall_at'][budget])}" for n, row in numbers["classes"].items())
        console.print(f"recall at {budget} false alarms per km²: {shares}")
    errors = ", ".join(f"{name} {text(value)}" for name, value in numbers["calibration_error"].items())
    console.print(f"expected calibration error: {errors}")
    console.print(line_words(numbers))


def _with_interval(numbers: dict[str, Any], name: str, column: str) -> str:
    value = (numbers["mean"] if name == "mean" else numbers["classes"][name]).get(column)
    span = numbers["intervals"].get(name, {}).get(column)
    return text(value) if span is None or value is None else f"{text(value)}\n{span[0]:.2f}–{span[1]:.2f}"


def _print_comparison(
    names: tuple[Path, Path], first: list[SceneResult], second: list[SceneResult], card: Card
) -> None:
    told, (a, b) = compare(first, second, card), _names(names)
    table = Table(title=f"A {a}, B {b}; intervals are of A - B")
    for column in ("", "figure", "A", "B", "A - B", "95 % interval", "A is higher in"):
        table.add_column(column)
    for d in told:
        if d.figure in COMPARED and not (d.a is None and d.b is None):
            span = "–" if d.interval is None else f"{d.interval.low:+.3f} to {d.interval.high:+.3f}"
            apart = "–" if d.difference is None else f"{d.difference:+.3f}"
            share = "–" if d.a_better is None else f"{d.a_better:.0%}"
            table.add_row(d.of, d.figure, text(d.a), text(d.b), apart, span, share)
    console = Console(width=150)
    console.print(table)
    print(verdict(told, a, b, first))


def _names(paths: tuple[Path, Path]) -> tuple[str, str]:
    """As short as they can be told apart."""
    a, b = paths
    return (a.name, b.name) if a.name != b.name else (str(a), str(b))


if __name__ == "__main__":
    run(app)
