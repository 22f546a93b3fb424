"""One run from its plan to its weights."""

from pathlib import Path

import torch

from pithead.learning.plan import Plan
from pithead.learning.trainer import OrientedTrainer, UprightTrainer


def learn(plan: Plan) -> Path:
    """Train to the end of the recipe and return the checkpoint to export, ``weights/best.pt``.

    Raises:
        RecipeError: ultralytics knows no such architecture.
        WeightsError: What it starts from, or its saved state, cannot be read, or what it learns is no number.
    """
    # Before any thread is born, since threads inherit it. The first steps of a transfer are full of denormal
    # numbers, and on a CPU made them 10 times slower than the later ones. It is the whole process's state.
    torch.set_flush_denormal(True)
    threads = torch.get_num_threads()
    try:
        kind = OrientedTrainer if plan.recipe.oriented else UprightTrainer
        trainer = kind(plan)
        if plan.recipe.threads:  # after the trainer is made: on a CPU it takes one thread less than cores
            torch.set_num_threads(plan.recipe.threads)
        trainer.train()  # type: ignore[no-untyped-call]
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
    return plan.folder / "weights" / "best.pt"
