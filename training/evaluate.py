"""Measure weights on labelled scenes, through the real scan path."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pithead.classes import ClassList, load_classes
from pithead.detector import Detector
from pithead.errors import ClassesError, DatasetError, OptionError
from pithead.evaluation import COLUMNS, SceneResult, best_thresholds, evaluate_scene, summary
from pithead.files import write_whole
from pithead.labels import Label, read_jsonl
from pithead.labels.sheet import no_sizes, read_lines
from pithead.program import run

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".vrt")
app = cyclopts.App(name="evaluate.py", help_format="plaintext")


@dataclass(frozen=True, slots=True)
class Job:
    """One scene for one worker."""

    scene: Path
    labels: tuple[Label, ...]
    weights: Path
    gsd_m: float | None
    threads: int | None


def measure(job: Job) -> SceneResult:
    """Scan and compare one scene."""
    detector = Detector.open(job.weights, threads=job.threads)
    return evaluate_scene(job.scene, job.labels, detector, gsd_m=job.gsd_m)


@app.default
def evaluate(
    weights: Path,
    scenes: Path,
    *,
    labels: Path,
    out: Path | None = None,
    gsd: float | None = None,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
    workers: int = 1,
) -> None:
    """Measure WEIGHTS on the labelled scenes of the folder SCENES and print a table.

    Parameters
    ----------
    weights
        An .onnx with a card.
    scenes
        Folder of scenes; those without a line in the label file are left out.
    labels
        Labels in scene pixels, one JSON object a line.
    out
        Where to write the numbers as JSON, with the scores at which F1 would have been highest.
    gsd
        Metres per pixel of scenes without georeference.
    workers
        Scenes measured at the same time, each by one thread if more than one.
    """
    if workers < 1:
        raise OptionError(f"expected at least 1 worker, got {workers}")
    card = Detector.open(weights).card
    known = load_classes(classes)
    if known.names != tuple(c.name for c in card.classes):
        raise ClassesError(
            f"expected weights of the classes {', '.join(known.names)}, got "
            f"{', '.join(c.name for c in card.classes)}; give the class list they were trained with"
        )
    threads = 1 if workers > 1 else None
    found = sorted((p for p in scenes.glob("*") if p.suffix.lower() in SUFFIXES), key=lambda p: p.name)
    truth = whole_scenes(labels, known)
    names = {path: path.name if path.name in truth else path.stem for path in found}
    jobs = [Job(path, truth[name], weights, gsd, threads) for path, name in names.items() if name in truth]
    missing = sorted(truth.keys() - set(names.values()))
    if missing and jobs:
        shown = ", ".join(missing[:3])
        raise DatasetError(f"expected a scene for each labelled image in {scenes}, got none for {shown}")
    if not jobs:
        raise DatasetError(f"expected scenes in {scenes} that {labels} names, got none; check both paths")
    if out is not None and not out.parent.is_dir():
        raise OptionError(f"expected a folder for --out, got {out.parent}, which is none; make it first")
    results = _run(jobs, workers)
    numbers = summary(results, card)
    _print(numbers)
    if out is not None:
        numbers["best_thresholds"] = best_thresholds(results, card)
        write_whole(out, json.dumps(numbers, indent=2) + "\n")


def whole_scenes(labels: Path, known: ClassList) -> dict[str, tuple[Label, ...]]:
    """The labels by image, of scenes that somebody has looked at whole."""
    partly = next((sheet.image for sheet in read_lines(labels, known, no_sizes) if sheet.seen), None)
    if partly is not None:
        raise DatasetError(
            f"expected scenes that somebody has looked at whole; of {partly} in {labels} only a part was: "
            "what is found elsewhere in it would count as false. Measure on other scenes"
        )
    return read_jsonl(labels, known)


def _run(jobs: list[Job], workers: int) -> list[SceneResult]:
    progress = Console(stderr=True)
    if workers == 1:
        return [measure(job) for job in track(jobs, "scanning", console=progress)]
    with ProcessPoolExecutor(workers) as pool:
        return list(track(pool.map(measure, jobs), "scanning", total=len(jobs), console=progress))


def _print(numbers: dict[str, Any]) -> None:
    table = Table(title=f"{numbers['scenes']} scenes, {numbers['km2']:.1f} km²")
    for column in ("class", "threshold", *COLUMNS):
        table.add_column(column)
    for name, row in numbers["classes"].items():
        table.add_row(name, _text(row["threshold"]), *(_text(row.get(column)) for column in COLUMNS))
    console = Console(width=150)
    console.print(table)
    lines = numbers["lines"]
    parts = ", ".join(f"{key} {_text(lines[key])}" for key in ("completeness", "correctness", "quality"))
    console.print(f"perimeter lines within {lines['buffer_m']:g} m: {parts} of {lines['truth_km']:.1f} km")


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    run(app)
