"""Train a detector by a recipe."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from pithead.classes import load_classes
from pithead.program import run as run_program
from pithead.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
app = cyclopts.App(name="train.py", help_format="plaintext")


@app.default
def train(  # noqa: PLR0913 (options of a command line)
    recipe: Path,
    *,
    out: Path = Path("out/runs"),
    dataset: str | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    hours: float | None = None,
    device: str | None = None,
    resume: bool = False,
    classes: Annotated[Path, cyclopts.Parameter(help="The class list.")] = ROOT / "labeling" / "classes.toml",
) -> None:
    """Train by RECIPE into the folder OUT/NAME of the recipe.

    The folder gets weights/best.pt and last.pt, results.csv, pictures of curves and tiles, run.json, what
    TensorBoard shows (tensorboard --logdir OUT), and state.pt for --resume. Set MLFLOW_TRACKING_URI to report
    to a tracking server too.

    Parameters
    ----------
    recipe
        A TOML file such as training/recipes/starter.toml.
    out
        Folder of runs.
    dataset
        Folder with manifest.jsonl, instead of the recipe's.
    weights
        What to start from, instead of the recipe's.
    epochs
        Epochs, instead of the recipe's epochs or hours.
    hours
        Time budget, instead of the recipe's epochs or hours.
    device
        cpu, cuda, cuda:N or cuda:N,M, instead of the recipe's.
    resume
        Go on with a run that was stopped; begins one if there is none.
    """
    changes: dict[str, Any] = {"dataset": dataset, "weights": weights, "device": device}
    if epochs is not None or hours is not None:
        changes |= {"epochs": epochs or 0, "hours": hours or 0.0}
    plan = dataclasses.replace(read_recipe(recipe), **{k: v for k, v in changes.items() if v is not None})
    if plan.devices > 1 and "LOCAL_RANK" not in os.environ:
        _on_all(plan.devices)
    else:
        _train(plan, out / plan.name, classes, resume=resume)


def _on_all(devices: int) -> None:
    """Run this same command once for each device."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(devices)]
    done = subprocess.run([sys.executable, *launcher, *sys.argv], check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(done.returncode)


def _train(plan: Recipe, folder: Path, classes: Path, *, resume: bool) -> None:
    from pithead.learning.quiet import quiet_ultralytics  # noqa: PLC0415 (--help needs no torch)

    quiet_ultralytics(folder / "settings", training=True, mlflow="MLFLOW_TRACKING_URI" in os.environ)
    from pithead.learning.lineage import read_records  # noqa: PLC0415
    from pithead.learning.plan import prepare  # noqa: PLC0415
    from pithead.learning.runs import learn  # noqa: PLC0415

    records = read_records(ROOT / "datasets" / "sources", ROOT / "training" / "ancestors.toml")
    best = learn(prepare(plan, folder, load_classes(classes), resume=resume, records=records))
    print(f"done: {best}")


if __name__ == "__main__":
    run_program(app)
