"""What a run has reached, on disk: whole or not at all, and enough to go on as if it had never stopped."""

import io
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from ultralytics.utils import RANK
from ultralytics.utils.torch_utils import unwrap_model

from pithead.errors import WeightsError
from pithead.files import write_whole
from pithead.learning.network import plain

Trainer = Any  # ultralytics publishes no types
STATE = "state.pt"
CURVES = "results.csv"


def save_state(trainer: Trainer) -> None:
    """Write weights/last.pt, weights/best.pt if this is the best, run.json and, last, state.pt.

    The weights are the running average in half precision, as ``ultralytics.YOLO`` opens them; the state is
    exact.
    """
    plan, epoch = trainer.plan, trainer.epoch + 1
    seconds = time.time() - trainer.train_time_start
    network = plain(trainer.ema.ema)
    if not all(bool(torch.isfinite(v).all()) for v in network.state_dict().values()):
        raise WeightsError(
            f"the weights of {plan.folder} are no numbers after epoch {epoch}; start anew with a lower lr0"
        )
    val = {key: float(value) for key, value in trainer.metrics.items()}
    best = trainer.best_fitness is not None and trainer.best_fitness == trainer.fitness
    best = best or not trainer.best.exists()
    if best:
        plan.facts["best"] = {"epoch": epoch, **val}
    facts = {**plan.facts, "epochs": epoch, "steps": trainer.ema.updates, "seconds": round(seconds)}
    facts["val"] = val
    write_checkpoint(plan.folder / "weights" / "last.pt", network, facts)
    if best:
        write_checkpoint(trainer.best, network, facts)
    write_whole(plan.folder / "run.json", json.dumps(facts, indent=2, sort_keys=True) + "\n")
    _write(plan.folder / STATE, _state(trainer, seconds))


def write_checkpoint(path: Path, network: Any, facts: dict[str, Any]) -> None:  # noqa: ANN401
    """Write a `plain` network in half precision with its facts; ``ultralytics.YOLO(path)`` opens it."""
    half = network.half() if next(network.parameters()).dtype != torch.float16 else network
    _write(path, {"model": None, "ema": half, "epoch": -1, "train_args": half.args, "pithead": facts})


def load_state(trainer: Trainer) -> None:
    """Bring a trainer to where its run was when state.pt was written.

    Raises:
        WeightsError: The state is torn or missing.
    """
    saved = read_state(trainer.plan.folder)
    network: Any = unwrap_model(trainer.model)
    network.load_state_dict(saved["model"])
    trainer.ema.ema.load_state_dict(saved["average"])
    trainer.ema.updates = saved["updates"]
    trainer.optimizer.load_state_dict(saved["optimizer"])
    trainer.scaler.load_state_dict(saved["scaler"])
    trainer.best_fitness = saved["best"]
    trainer.stopper.__dict__.update(saved["stopper"])
    trainer.stopper.patience = trainer.args.patience
    trainer.start_epoch, trainer.seconds = saved["epoch"], saved["seconds"]
    trainer.plan.facts.update(saved["facts"])
    if trainer.args.time:
        trainer.args.epochs = saved["epochs"]
    network.criterion = network.init_criterion()
    if hasattr(network.criterion, "update"):  # the loss moves from one head to the other, epoch by epoch
        network.criterion.updates = saved["epoch"] - 1
        network.criterion.update()
    if trainer.args.time:  # how many epochs there will be: ultralytics works it out after it has saved
        budget = trainer.args.time * 3600
        trainer.epochs = trainer.args.epochs = math.ceil(budget * saved["epoch"] / saved["seconds"])
        trainer._setup_scheduler()  # noqa: SLF001 (its curve depends on the number of epochs)
    if RANK in (-1, 0):
        write_whole(trainer.plan.folder / CURVES, saved["curves"])


def read_state(folder: Path) -> dict[str, Any]:
    """The state of a stopped run.

    Raises:
        WeightsError: It is torn or missing.
    """
    try:
        saved: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # of a torn file torch makes whatever its reader stumbles on
        raise WeightsError(
            f"expected the state of a run at {folder / STATE}: {error}; start anew without --resume"
        ) from error
    return saved


def _state(trainer: Trainer, seconds: float) -> dict[str, Any]:
    stopper = {key: _plain(value) for key, value in vars(trainer.stopper).items()}
    return {
        "facts": {k: v for k, v in trainer.plan.facts.items() if k in ("start", "lineage", "best")},
        "identity": trainer.plan.identity,
        "model": unwrap_model(trainer.model).state_dict(),
        "average": trainer.ema.ema.state_dict(),
        "updates": trainer.ema.updates,
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "best": _plain(trainer.best_fitness),
        "stopper": stopper,
        "epoch": trainer.epoch + 1,
        "epochs": trainer.epochs,
        "seconds": seconds,
        "curves": (trainer.plan.folder / CURVES).read_text(encoding="utf-8"),
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 (numpy's numbers are no numbers to a safe reader)
    return value.item() if hasattr(value, "item") else value


def _write(path: Path, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())
