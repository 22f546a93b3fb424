"""Train a detector by a recipe."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from pithead.classes import load_classes
from pithead.dataset import dataset_sha256, read_manifest
from pithead.program import run as run_program
from pithead.recipe import MAY_CHANGE, Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
app = cyclopts.App(name="train.py", help_format="plaintext")


@app.default
def train(
    recipe: Path,
    *,
    out: Path = Path("out/runs"),
    dataset: str | None = None,
    weights: str | None = None,
    hours: float | None = None,
    device: str | None = None,
    resume: bool = False,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Train by RECIPE into the folder OUT/NAME of the recipe: weights/best.pt, last.pt, curves.csv, run.json.

    Parameters
    ----------
    recipe
        A TOML file such as training/recipes/starter.toml.
    out
        Folder of runs.
    dataset
        Folder with manifest.jsonl, instead of the recipe's.
    weights
        Checkpoint to start from, instead of the recipe's.
    hours
        Time budget, instead of the recipe's.
    device
        cpu, cuda or cuda:N, instead of the recipe's.
    resume
        Go on with a run that was stopped; begins one if there is none.
    """
    changes: dict[str, Any] = {"dataset": dataset, "weights": weights, "hours": hours, "device": device}
    plan = dataclasses.replace(read_recipe(recipe), **{k: v for k, v in changes.items() if v is not None})
    folder = out / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    _train(plan, folder, classes, resume=resume)


def _train(plan: Recipe, folder: Path, classes: Path, *, resume: bool) -> None:
    from pithead.learning.quiet import quiet_ultralytics  # noqa: PLC0415 (--help needs no torch)

    quiet_ultralytics(folder / "settings")
    from pithead.learning.loop import Run, train, versions  # noqa: PLC0415

    facts = {
        "recipe_sha256": plan.sha256(),
        "resume_sha256": plan.sha256(leave_out=MAY_CHANGE),
        "dataset_sha256": dataset_sha256(read_manifest(Path(plan.dataset))),
        "versions": versions(),
    }
    names = tuple(info.name for info in load_classes(classes).classes)
    run = Run(plan, Path(plan.dataset), folder, names, facts)
    best = train(run, resume=resume, log=_log)
    print(f"done: {best}")


def _log(row: dict[str, float]) -> None:
    print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    run_program(app)
