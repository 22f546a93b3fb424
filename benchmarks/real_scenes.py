"""Is pithead better on real scenes than ultralytics' defaults with SAHI, trained on the same labels?

Cross-validated: places are dealt to folds, and each scene is measured by weights that have learnt nothing
from its fold. Methods:

- a recipe of pithead (`--recipes`, the first is the one in question), fine-tuned from `--starter`;
- `plain`: ultralytics' defaults from `--pretrained` on plain tiles, as long, then SAHI, once by its defaults
  and once tuned (`plain_baseline.py` says what that is);
- `starter`: the weights that were started from, without any real label.

All are measured by `pithead.evaluation` against the same truth. Every step that is finished is kept under
`--out`: give the same command again to go on. Steps leave what they print beside what they make (*.log).
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from real_data import fold_name
from real_report import Method, page
from real_runs import Bench, Told, across_folds, fine_tuned, named, plain_scanned, plain_trained, scanned
from rich.console import Console
from rich.markdown import Markdown

from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.evaluation import SceneResult
from pithead.files import write_whole
from pithead.program import run
from pithead.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
TITLES = {
    "plain": "ultralytics' defaults + SAHI",
    "plain-tuned": "ultralytics' defaults + SAHI, tuned",
    "starter": "the starter, no real labels",
}
RECIPES = (ROOT / "training" / "recipes" / "real.toml",)
Many = Parameter(consume_multiple=True, negative="")
app = App(name="real_scenes.py", help_format="plaintext")


@app.default
def real_scenes(
    scenes: Path,
    *,
    told: Annotated[Told, Parameter(name="*")],
    recipes: Annotated[tuple[Path, ...], Many] = RECIPES,
    only: Annotated[tuple[str, ...], Many] = (),
    only_folds: Annotated[tuple[int, ...], Many] = (),
    report: Path | None = None,
) -> None:
    """Train and measure every method on each fold of the labelled SCENES, and print what came of it.

    Args:
        scenes: Folder of scenes.
        told: What all programs on real scenes are told.
        recipes: Recipes of pithead; the first is compared with everything else.
        only: Methods to work on: names of recipes, plain, starter. Without it all.
        only_folds: Numbers of folds to work on, from 1.
        report: Write the page of results to this file, too.
    """
    plans = {recipe.name: recipe for recipe in map(read_recipe, recipes)}
    if not recipes or len(plans) < len(recipes) or plans.keys() & TITLES.keys():
        raise OptionError(f"expected --recipes of different names, none of them of {', '.join(TITLES)}")
    bench = Bench.open(scenes, told)
    methods = (*plans, "plain", "starter")
    if not set(only) <= set(methods) or not set(only_folds) <= set(range(1, told.folds + 1)):
        raise OptionError(f"expected --only of {', '.join(methods)} and --only-folds from 1 to {told.folds}")
    found: dict[str, list[SceneResult]] = {}
    for fold in range(told.folds):
        if only_folds and fold + 1 not in only_folds:
            continue
        for method in (name for name in methods if name in (only or methods)):
            print(f"{time.strftime('%H:%M')} fold {fold_name(fold, told.folds)}: {method}", flush=True)
            for name, results in measured_in(bench, plans, method, fold).items():
                found.setdefault(name, []).extend(results)
    more = [] if recipes == RECIPES else ["--recipes " + " ".join(map(named, recipes))]
    finish(bench, plans, found, report, told.command("real_scenes", *more))


def measured_in(
    bench: Bench, plans: Mapping[str, Recipe], method: str, fold: int
) -> dict[str, list[SceneResult]]:
    """What a method, trained for a fold if it is to be trained, finds in the scenes of that fold.

    Plain training has two names: its weights scan twice.
    """
    told, first = bench.told, next(iter(plans.values()))
    name, shots, taught = fold_name(fold, told.folds), bench.held_out(fold), bench.taught(fold)
    keep = told.out / "parts" / f"{method}-{name}-{told.budget}"
    if method == "starter":
        return {method: scanned(bench, told.starter, shots, told.out / "parts" / f"{method}-{name}")}
    if method == "plain":
        weights, card = plain_trained(bench, first, f"plain-{name}", taught), shared_card(bench, first)
        return {
            "plain": plain_scanned(bench, weights, "sahi", shots, card),
            "plain-tuned": plain_scanned(bench, weights, "sahi-tuned", shots, card),
        }
    weights = fine_tuned(bench, plans[method], f"{method}-{name}", taught, told.starter)
    return {method: scanned(bench, weights, shots, keep)}


def shared_card(bench: Bench, recipe: Recipe) -> Card:
    """The card by whose grid and classes all is compared: the starter's, of the first recipe's scale."""
    card = Detector.open(bench.told.starter).card
    if card.gsd_m != recipe.gsd_m or tuple(c.name for c in card.classes) != bench.classes.names:
        raise OptionError(
            f"expected {bench.told.starter} and the first recipe to agree in classes and ground resolution, "
            f"got {card.gsd_m} and {recipe.gsd_m} m; give the starter that the recipe is made for"
        )
    return card


def finish(
    bench: Bench,
    plans: Mapping[str, Recipe],
    found: Mapping[str, list[SceneResult]],
    report: Path | None,
    command: str,
) -> None:
    """Compare the methods that every scene was measured with, print the page and write it."""
    told = bench.told
    card = shared_card(bench, next(iter(plans.values())))
    methods = []
    for name, results in found.items():
        if len(results) < len(bench.shots):
            print(f"{name}: {len(results)} of {len(bench.shots)} scenes; run the other folds, too")
            continue
        whole = across_folds(bench, results, card, told.out / "measured" / f"{name}-{told.budget}")
        methods.append(Method(name, title_of(name, plans), tuple(whole), trainings_of(bench, plans, name)))
    methods.sort(key=lambda method: (method.name != next(iter(plans)), method.name not in plans))
    if len(methods) < 2:
        print("no page: it compares two methods at least, each measured on every fold")
        return
    text = page(
        methods, card, command=command, folds=told.folds, length=told.length, unmeasured=told.unmeasured
    )
    Console(width=200).print(Markdown(text))
    write_whole(told.out / "real_scenes.md", text)
    if report is not None:
        write_whole(report, text)


def title_of(name: str, plans: Mapping[str, Recipe]) -> str:
    """What a method is called in tables."""
    return f"pithead, {name}.toml" if name in plans else TITLES[name]


def trainings_of(bench: Bench, plans: Mapping[str, Recipe], name: str) -> tuple[dict[str, Any], ...]:
    """How long each training of a method was and how many tiles it saw; none where nothing was trained."""
    told, runs = bench.told, name.removesuffix("-tuned")
    folders = [
        told.out / "runs" / f"{runs}-{fold_name(f, told.folds)}-{told.budget}" for f in range(told.folds)
    ]
    files = [folder / ("plain.json" if runs == "plain" else "run.json") for folder in folders]
    if name.endswith("-tuned") or not all(path.is_file() for path in files):
        return ()
    facts = [json.loads(path.read_text("utf-8")) for path in files]
    if name in plans:
        facts = [{**one, "images": one["steps"] * plans[name].batch} for one in facts]
    keys = ("seconds", "cpu_seconds", "epochs", "steps", "images")
    return tuple({key: one[key] for key in keys if key in one} for one in facts)


if __name__ == "__main__":
    run(app)
