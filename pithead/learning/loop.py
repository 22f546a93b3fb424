"""The training loop: a time budget, checkpoints by the minute, a resume that goes on with the next sample.

Why not ultralytics' own trainer: its schedule, checkpoints and resume know whole epochs only, and an hour
on two CPU cores is less than one; it refuses bfloat16 on a CPU, which halves the time of a step; its
augmentation moves tiles off the 32 px grid of the spans; and it looks for fonts and telemetry on the network.
Model, loss and running average are ultralytics' own.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import ultralytics
from torch.utils.data import DataLoader
from ultralytics.utils.torch_utils import ModelEMA

from pithead.errors import DatasetError, RecipeError, WeightsError
from pithead.learning.model import (
    build_model,
    build_optimizer,
    learning_rate,
    loss_of,
    save_ultralytics,
    set_progress,
    validate,
)
from pithead.learning.samples import TrainingTiles, collate, read_tiles
from pithead.recipe import Recipe

ENDLESS = 2**40  # samples of a run that only the clock ends
LOG_STEPS = 20


@dataclass(slots=True)
class Run:
    """One training run in its folder; `state.pt` holds everything a resume needs."""

    recipe: Recipe
    dataset: Path
    folder: Path
    names: tuple[str, ...]
    facts: dict[str, Any]
    model: Any = None
    average: Any = None
    optimizer: Any = None
    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)

    def progress(self, steps_total: int) -> float:
        """Return how much of the run is done, 0 to 1: the sooner of steps and hours ends it."""
        by_time = self.seconds / (self.recipe.hours * 3600) if self.recipe.hours else 0.0
        return min(1.0, max(by_time, self.step / steps_total))


def versions() -> dict[str, str]:
    """Return the versions of what decides a result."""
    return {"torch": str(torch.__version__), "ultralytics": str(ultralytics.__version__)}


def train(run: Run, *, resume: bool, log: Callable[[dict[str, float]], None]) -> Path:
    """Train to the end of the budget and return the checkpoint to export, ``weights/best.pt``.

    Raises:
        DatasetError: There are no training tiles.
        RecipeError: The folder holds a run of another recipe or dataset, or a run and resume is False.
    """
    # Before any thread is born, since threads inherit it. The first steps of a transfer are full of denormal
    # numbers, and on a CPU made them 10 times slower than the later ones. It is the whole process's state.
    torch.set_flush_denormal(True)
    try:
        return _train(run, resume=resume, log=log)
    finally:
        torch.set_flush_denormal(False)


def _train(run: Run, *, resume: bool, log: Callable[[dict[str, float]], None]) -> Path:
    recipe = run.recipe
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    tiles = TrainingTiles(read_tiles(run.dataset, "train"), recipe, training=True)
    if not len(tiles):
        raise DatasetError(
            f"expected tiles of the split 'train' in {run.dataset}, got none; cut scenes into it"
        )
    _start(run, resume=resume)
    _loop(run, tiles, log)
    _validate(run, log)
    _save(run)
    return run.folder / "weights" / "best.pt"


def _start(run: Run, *, resume: bool) -> None:
    device = torch.device(run.recipe.device)
    run.model = build_model(run.recipe, run.names).to(device).to(memory_format=torch.channels_last)
    run.model.train()
    run.optimizer = build_optimizer(run.model, run.recipe)
    run.average = ModelEMA(run.model, decay=0.999, tau=300)  # type: ignore[no-untyped-call]  # a run is thousands of steps here, not millions
    (run.folder / "weights").mkdir(parents=True, exist_ok=True)
    state = run.folder / "state.pt"
    if not resume and state.exists():
        raise RecipeError(f"{run.folder} holds a run already; go on with --resume or choose another --out")
    if resume and state.exists():
        _load(run, state, device)


def _load(run: Run, state: Path, device: torch.device) -> None:
    try:
        saved = torch.load(state, map_location=device, weights_only=True)
    except Exception as error:  # of a torn file torch makes whatever its reader stumbles on
        raise WeightsError(
            f"expected the state of a run at {state}: {error}; start anew without it"
        ) from error
    for key, what in (("resume_sha256", "recipe"), ("dataset_sha256", "dataset")):
        if saved["facts"][key] != run.facts[key]:
            raise RecipeError(f"{state.parent} was begun with another {what}; choose another --out")
    run.model.load_state_dict(saved["model"])
    run.average.ema.load_state_dict(saved["average"])
    run.average.updates = saved["updates"]
    run.optimizer.load_state_dict(saved["optimizer"])
    run.step, run.seconds, run.best, run.history = (saved[k] for k in ("step", "seconds", "best", "history"))


def _save(run: Run) -> None:
    """Write state.pt and weights/last.pt, whole or not at all."""
    state = {
        "facts": run.facts,
        "model": run.model.state_dict(),
        "average": run.average.ema.state_dict(),
        "updates": run.average.updates,
        "optimizer": run.optimizer.state_dict(),
        "step": run.step,
        "seconds": run.seconds,
        "best": run.best,
        "history": run.history,
    }
    temporary = run.folder / "state.tmp"
    torch.save(state, temporary)
    temporary.replace(run.folder / "state.pt")
    facts = {**run.facts, "steps": run.step, "seconds": round(run.seconds), "names": list(run.names)}
    save_ultralytics(run.average.ema, run.folder / "weights" / "last.pt", facts)
    if run.best < 0:  # nothing was validated yet: the last is the best
        save_ultralytics(run.average.ema, run.folder / "weights" / "best.pt", facts)
    _write_curves(run)


def _loop(run: Run, tiles: TrainingTiles, log: Callable[[dict[str, float]], None]) -> None:
    recipe = run.recipe
    samples = recipe.epochs * len(tiles) if recipe.epochs else ENDLESS
    steps_total = -(-samples // recipe.batch)
    order = range(run.step * recipe.batch, samples)
    loader = DataLoader(
        tiles, batch_size=recipe.batch, sampler=order, num_workers=recipe.workers, collate_fn=collate
    )
    clock = saved = validated = time.monotonic()
    for batch in loader if len(order) > 0 else ():
        progress = run.progress(steps_total)
        if progress >= 1:
            break
        loss, parts = _step(run, batch, progress)
        now = time.monotonic()
        run.seconds, clock = run.seconds + now - clock, now
        run.step += 1
        if run.step % LOG_STEPS == 0 or run.step == steps_total:
            row = {"step": run.step, "seconds": run.seconds, "progress": progress, "loss": loss, **parts}
            run.history.append(row)
            log({**row, "images_per_s": run.step * recipe.batch / run.seconds})
        if recipe.val_period_min and now - validated > recipe.val_period_min * 60:
            _validate(run, log)
            validated = time.monotonic()
        if now - saved > recipe.save_period_min * 60:
            _save(run)
            saved = time.monotonic()
        if validated > now or saved > now:  # neither belongs to the budget of a step, but both to the run's
            run.seconds, clock = run.seconds + time.monotonic() - clock, time.monotonic()


def _step(run: Run, batch: dict[str, Any], progress: float) -> tuple[float, dict[str, float]]:
    """Take one step of the optimizer; a loss that is no number is skipped, not learnt."""
    share = learning_rate(run.recipe, run.step, progress)
    for group in run.optimizer.param_groups:
        group["lr"] = group.setdefault("first_lr", group["lr"]) * share
    set_progress(run.model, progress)
    loss, parts = loss_of(run.model, batch, run.recipe)
    if bool(torch.isfinite(loss)):
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), max_norm=10.0)
        run.optimizer.step()
        run.average.update(run.model)
    run.optimizer.zero_grad()
    return float(loss.detach()), parts


def _validate(run: Run, log: Callable[[dict[str, float]], None]) -> None:
    """Measure the running average on the validation tiles and keep it if it is the best so far."""
    recipe = run.recipe
    tiles = read_tiles(run.dataset, "val") if recipe.val_tiles else ()
    if recipe.val_tiles > 0:
        tiles = tiles[:: max(1, len(tiles) // recipe.val_tiles)][: recipe.val_tiles]
    if not tiles:
        return
    loader = DataLoader(TrainingTiles(tiles, recipe, training=False), recipe.batch, collate_fn=collate)
    measured = validate(run.average.ema, loader, recipe.tile_px)
    row = {"step": run.step, "seconds": run.seconds, **{f"val/{k}": v for k, v in measured.items()}}
    run.history.append(row)
    log(row)
    if measured.get("map50", -1.0) > run.best:
        run.best = measured["map50"]
        facts = {**run.facts, "steps": run.step, "seconds": round(run.seconds), "names": list(run.names)}
        save_ultralytics(run.average.ema, run.folder / "weights" / "best.pt", {**facts, "val": measured})
        _save(run)  # a kill from here on must not forget how good the best was


def _write_curves(run: Run) -> None:
    keys = sorted({key for row in run.history for key in row}, key=lambda k: (k.startswith("val/"), k))
    lines = [",".join(keys)] + [
        ",".join(f"{row[k]:.6g}" if k in row else "" for k in keys) for row in run.history
    ]
    (run.folder / "recipe.toml").write_text(run.recipe.to_toml(), encoding="utf-8")
    (run.folder / "curves.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    summary = {**run.facts, "steps": run.step, "seconds": round(run.seconds, 1), "best_map50": run.best}
    (run.folder / "run.json").write_text(
        json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
