"""What do the first labelled scenes give, and what the generated ones before them?

On each fold the recipe is fine-tuned on 0, 10, 30 and all labelled scenes that may be learnt from, smaller
sets within larger ones, each as long: once from the starter, which has learnt from generated scenes, and once
from the weights that the starter goes back to, which have not. All are measured on the scenes of the fold, as
`real_scenes.py` does. Every step that is finished is kept under `--out`, which may be that of
`real_scenes.py`: what is the same run is run once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from real_data import Shot, fold_name
from real_report import table, text
from real_runs import Bench, Told, fine_tuned, named, scanned

from pithead.card import Card
from pithead.dataset import rank
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.evaluation import SceneResult, intervals, summary
from pithead.evaluation.chart import Axis, Chart, Series
from pithead.files import write_whole
from pithead.program import run
from pithead.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
STARTS = {"starter": "#1b6ca8", "pretrained": "#c1440e"}
TITLES = {"starter": "from the starter", "pretrained": "from DOTA, without generated scenes"}
RECIPE = ROOT / "training" / "recipes" / "real.toml"
COUNTS = (0, 10, 30)
Many = Parameter(consume_multiple=True, negative="")
app = App(name="cold_start.py", help_format="plaintext")


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve: where it started, of how many scenes it learnt (None: all), what it reached."""

    start: str
    count: int | None
    scenes: float
    """On average over the folds."""
    results: tuple[SceneResult, ...]


@app.default
def cold_start(
    scenes: Path,
    *,
    told: Annotated[Told, Parameter(name="*")],
    recipe: Path = RECIPE,
    counts: Annotated[tuple[int, ...], Many] = COUNTS,
    only_folds: Annotated[tuple[int, ...], Many] = (),
    only: Annotated[tuple[str, ...], Many] = tuple(STARTS),
    report: Path | None = None,
) -> None:
    """Fine-tune on ever more of the labelled SCENES, and print what each step gives.

    Args:
        scenes: Folder of scenes.
        told: What all programs on real scenes are told.
        recipe: How each set of scenes is learnt.
        counts: How many labelled scenes; all of a fold's come last by themselves.
        only_folds: Numbers of folds to work on, from 1; the curve is of their scenes.
        only: Where to start: starter, pretrained or both.
        report: Write the page to this file and the curve beside it (.svg), too.
    """
    folds = [number - 1 for number in sorted(set(only_folds)) or range(1, told.folds + 1)]
    if not set(only) <= STARTS.keys() or not all(0 <= fold < told.folds for fold in folds):
        raise OptionError(f"expected --only of {', '.join(STARTS)} and --only-folds from 1 to {told.folds}")
    if any(count == 1 or count < 0 for count in counts):
        raise OptionError(f"expected --counts of 0, or 2 and more to train and to validate on, got {counts}")
    bench, plan = Bench.open(scenes, told), read_recipe(recipe)
    points = []
    for start in (name for name in STARTS if name in only):
        for count in (*sorted(set(counts)), None):
            if count == 0 and start == "pretrained":
                continue  # it does not know the classes: nothing to measure
            points.append(measured_at(bench, plan, start, count, folds))
    card = Detector.open(told.starter).card
    more = [f"--recipe {named(recipe)}"] * (recipe != RECIPE)
    more += [f"--counts {' '.join(map(str, counts))}"] * (counts != COUNTS)
    more += [f"--only-folds {' '.join(str(fold + 1) for fold in folds)}"] * (len(folds) < told.folds)
    more += [f"--only {' '.join(only)}"] * (set(only) != STARTS.keys())
    page, curve = written(points, card, told, folds, more), chart_of(points, card)
    print(page)
    for path in [told.out / "cold_start.md", *([report] if report else [])]:
        picture = path.with_suffix(".svg")
        write_whole(path, page.replace("(cold_start.svg)", f"({picture.name})"))
        write_whole(picture, curve.svg())


def measured_at(bench: Bench, plan: Recipe, start: str, count: int | None, folds: Sequence[int]) -> Point:
    """Train one point of the curve on each fold and measure it there."""
    told, results, taught = bench.told, [], []
    for fold in folds:
        name, shots = fold_name(fold, told.folds), bench.taught(fold)
        known = nested(shots, len(shots) if count is None else count)
        what = "all" if count is None else str(count)
        print(f"{time.strftime('%H:%M')} fold {name}: {start}, {what} scenes", flush=True)
        if not known:
            weights, key = told.starter, f"starter-{name}"
        else:
            # all scenes from the starter are what real_scenes.py trains, too
            run_name = plan.name if (start, count) == ("starter", None) else f"{plan.name}-{start}-{what}"
            weights = fine_tuned(bench, plan, f"{run_name}-{name}", known, getattr(told, start))
            key = f"{run_name}-{name}-{told.budget}"
        results += scanned(bench, weights, bench.held_out(fold), told.out / "parts" / key)
        taught.append(len(known))
    return Point(start, count, sum(taught) / len(taught), tuple(results))


def nested(shots: Sequence[Shot], count: int) -> tuple[Shot, ...]:
    """So many scenes in an order of their names alone: fewer are always among more, whatever the folds."""
    ranked = sorted(shots, key=lambda shot: (rank("cold", shot.name), shot.name))
    return tuple(ranked[:count])


def written(
    points: Sequence[Point], card: Card, told: Told, folds: Sequence[int], more: Sequence[str]
) -> str:
    """The page as Markdown: a line for each point."""
    numbers = [summary(point.results, card) for point in points]
    names = [c.name for c in card.classes if numbers[0]["classes"][c.name]["truth"]]
    rows = []
    for point, one in zip(points, numbers, strict=True):
        span = intervals(point.results, card)["mean"]["ap50"]
        between = f"{span[0]:.3f}–{span[1]:.3f}" if span else "–"
        values = [one["mean"]["ap50"], *(one["classes"][name]["ap50"] for name in names)]
        rows.append(
            [TITLES[point.start], f"{point.scenes:.0f}", text(values[0]), between, *map(text, values[1:])]
        )
    truth = [f"AP50 {name} ({numbers[0]['classes'][name]['truth']})" for name in names]
    return (
        "# Cold start\n\nWritten by `benchmarks/cold_start.py`; do not edit.\n\n"
        f"    {told.command('cold_start', *more)}\n\n"
        f"Each training lasted {told.length}. {numbers[0]['scenes']} scenes were measured "
        f"({len(folds)} of {told.folds} folds), each by weights that have not learnt from its fold. Labelled "
        "scenes are drawn at random; a tenth of them, at least one, is for validation. Intervals are of a "
        "bootstrap over places.\n\n![curve](cold_start.svg)\n\n"
        + table(["", "labelled scenes", "mean AP50", "95 % interval", *truth], rows)
    )


def chart_of(points: Sequence[Point], card: Card) -> Chart:
    """Mean AP50 over the number of labelled scenes, a curve for each start."""
    reached: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        value = summary(point.results, card)["mean"]["ap50"]
        reached.setdefault(point.start, []).append((point.scenes, value or 0.0))
    most = max(scenes for of in reached.values() for scenes, _ in of)
    best = max(value for of in reached.values() for _, value in of)
    series = tuple(Series(TITLES[s], STARTS[s], tuple(sorted(of)), dots=True) for s, of in reached.items())
    x, y = (
        Axis("labelled scenes", 0.0, -(-most // 5) * 5),
        Axis("mean AP50", 0.0, max(0.1, -(-best // 0.1) / 10)),
    )
    return Chart("cold_start", "What labelled scenes give", x, y, series)


if __name__ == "__main__":
    run(app)
