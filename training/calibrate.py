"""Calibrate weights: scores become probabilities, and thresholds keep to a budget of false alarms."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pithead.calibration import error_by_chance
from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.evaluation import (
    Job,
    SceneResult,
    calibrate,
    calibration_errors,
    jobs_of,
    measured,
    summary,
    thresholds_within,
)
from pithead.files import sha256_of
from pithead.manifest import register, warning
from pithead.metrics import join
from pithead.program import run
from pithead.stamp import stamp

ROOT = Path(__file__).resolve().parents[1]
Measured = Mapping[str, Sequence[SceneResult]]
app = cyclopts.App(name="calibrate.py", help_format="plaintext")


@app.default
def main(  # noqa: PLR0913 (options of a command line)
    weights: Path,
    scenes: Path,
    *,
    out: Path | None = None,
    labels: Path | None = None,
    check: Path | None = None,
    false_alarms: float | None = None,
    gsd: float | None = None,
    workers: int = 1,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Fit a curve from score to probability for each class, choose thresholds, and write both on the card.

    The network stays as it is, and so does average precision. SCENES must be scenes that neither training
    nor the measuring of these weights uses; their hashes go on the card. What was measured of the weights
    before leaves the card. OUT is listed in the manifest.toml beside it.

    Parameters
    ----------
    weights
        An .onnx with a card.
    scenes
        Folder of labelled scenes.
    out
        The .onnx to write; the weights themselves, if not given.
    labels
        Labels in scene pixels; the labels.jsonl of the scenes, if not given.
    check
        Folder of other scenes with labels.jsonl: how well the curves fit there is told, too.
    false_alarms
        The threshold of a class is the lowest at which it raises at most so many false alarms per km²;
        without it, as many as the recipe of the weights names.
    gsd
        Metres per pixel of scenes without georeference.
    workers
        Scenes measured at the same time.
    """
    bare = Detector.open(weights).card
    budget = false_alarms if false_alarms is not None else bare.training.get("false_alarms_per_km2")
    if budget is None or not budget >= 0:
        raise OptionError(
            f"expected a budget of 0 or more false alarms per km², got {budget}: give --false-alarms"
        )
    folders = {"fit": (scenes, labels), **({"check": (check, None)} if check else {})}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / weights.name
        measure = _Measure(plain, gsd, classes, workers)
        bare = replace(bare, calibration=None, metrics={}, errors=())
        stamp(weights, plain, bare)
        before = {name: measure(*place) for name, place in folders.items()}
        curved = replace(bare, calibration=calibrate(before["fit"], bare))
        stamp(plain, plain, curved)
        after = {name: measure(*place) for name, place in folders.items()}
        chose = sorted(sha256_of(job.scene) for job in measure.jobs(scenes, labels))
        card = _card(curved, before, after, float(budget), chose)
        stamp(plain, out or weights, card)
    unlisted = register(out or weights, card)
    if unlisted:
        print(warning((out or weights).parent, unlisted))
    for name in folders:
        report(name, before[name], after[name], card)
    print(out or weights)


@dataclass(frozen=True, slots=True)
class _Measure:
    """What is the same for every folder of scenes."""

    weights: Path
    gsd: float | None
    classes: Path
    workers: int

    def jobs(self, scenes: Path, labels: Path | None = None) -> list[Job]:
        """A job for each labelled scene of a folder."""
        labels = labels or scenes / "labels.jsonl"
        return jobs_of(self.weights, scenes, labels, self.classes, self.gsd, self.workers)

    def __call__(self, scenes: Path, labels: Path | None = None) -> list[SceneResult]:
        """What the weights, as they are now, give on the labelled scenes of a folder."""
        jobs = self.jobs(scenes, labels)
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("scanning", total=len(jobs))
            return measured(jobs, self.workers, progress=lambda done, _: bar.update(task, completed=done))


def _card(curved: Card, before: Measured, after: Measured, budget: float, chose: Sequence[str]) -> Card:
    """The card with curves, thresholds within the budget, and how far scores were and are from the truth.

    `chose` are the hashes of the scenes that choose: errors must not be measured on them.
    """
    chosen = thresholds_within(after["fit"], curved, budget)
    told: dict[str, Any] = {"false_alarms_per_km2": budget}
    for name in after:
        told[name] = {
            "scenes": len(after[name]),
            "before": calibration_errors(before[name], curved),
            "after": calibration_errors(after[name], curved),
            "by_chance": _by_chance(after[name], curved),
        }
    told["fit"]["scenes_sha256"] = list(chose)
    return replace(
        curved,
        classes=tuple(replace(known, threshold=chosen[known.name]) for known in curved.classes),
        training={**curved.training, "false_alarms_per_km2": budget},
        metrics={"calibration": told},
    )


def _by_chance(results: Sequence[SceneResult], card: Card) -> dict[str, float | None]:
    """The error of each class that so few detections would have if their probabilities were true."""
    found = join([r.curve for r in results])
    classes = {known.name: found.scores[found.classes == i] for i, known in enumerate(card.classes)}
    return {name: error_by_chance(scores) for name, scores in {**classes, "all": found.scores}.items()}


def report(name: str, before: Sequence[SceneResult], after: Sequence[SceneResult], card: Card) -> None:
    """Print the errors of calibration before and after, and the one that true probabilities would have."""
    table = Table(title=f"{len(after)} {'scenes of the fit' if name == 'fit' else 'other scenes'}")
    columns = "class", "calibration error before", "after", "by chance", "ap50 before", "after", "threshold"
    for column in columns:
        table.add_column(column)
    errors = calibration_errors(before, card), calibration_errors(after, card), _by_chance(after, card)
    figures = summary(before, card)["classes"], summary(after, card)["classes"]
    for known in card.classes:
        title = known.name if known.name in (card.calibration or {}) else f"{known.name} (too few: no curve)"
        texts = [_text(side[known.name]) for side in errors]
        texts += [_text(side[known.name]["ap50"]) for side in figures]
        table.add_row(title, *texts, f"{known.threshold:g}")
    table.add_row("all", *(_text(side["all"]) for side in errors))
    Console(width=120).print(table)


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    run(app)
