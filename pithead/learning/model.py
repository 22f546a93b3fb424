"""The network, its loss in float32, its optimizer and its validation."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import OBBModel, load_checkpoint
from ultralytics.optim import MuSGD
from ultralytics.utils.metrics import ap_per_class, batch_probiou

from pithead.errors import RecipeError, WeightsError
from pithead.recipe import Recipe

Network = Any  # ultralytics publishes no types
ONE_TO_MANY_FIRST, ONE_TO_MANY_LAST = (
    0.8,
    0.1,
)  # weights of YOLO26's auxiliary head over a run (ultralytics E2ELoss)


def build_model(recipe: Recipe, names: tuple[str, ...]) -> Network:
    """Return the network of the recipe with one output per class name, started from the recipe's weights.

    Raises:
        RecipeError: ultralytics knows no such architecture.
        WeightsError: The checkpoint is missing or no checkpoint.
    """
    try:
        model: Any = OBBModel(f"{recipe.model}.yaml", nc=len(names), verbose=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(f"expected an architecture of ultralytics such as yolo26n-obb: {error}") from error
    model.end2end = True  # else ultralytics evaluates the auxiliary head, which leaves duplicates
    model.names = dict(enumerate(names))
    # The loss reads its gains from here; `epochs` only for a decay that the loop sets itself.
    model.args = get_cfg(overrides={"task": "obb", "model": f"{recipe.model}.yaml", "imgsz": recipe.tile_px})
    if recipe.weights:
        model.load(_weights(recipe.weights), verbose=False)
    return model


def _weights(weights: str) -> Network:
    # ultralytics looks a bare name up in its own releases; offline it must be a file.
    try:
        return load_checkpoint(weights)[0]  # type: ignore[no-untyped-call]
    except Exception as error:  # unpickling runs the file's own classes: anything can come out
        raise WeightsError(f"expected a checkpoint of ultralytics at {weights}: {error}") from error


def loss_of(model: Network, batch: dict[str, Any], recipe: Recipe) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the mean loss of a batch and its parts; the forward pass in bfloat16 if the recipe says so.

    The loss itself is float32: angles and box corners would lose up to 2 px in bfloat16.
    """
    criterion = criterion_of(model)
    device = next(model.parameters()).device
    batch = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
    batch["img"] = (batch["img"].float() / 255).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.amp):
        heads = model.forward(batch["img"])
    heads = {name: {k: _float32(v) for k, v in head.items()} for name, head in heads.items()}
    keep = _kept_cells(batch.pop("ignored"), batch["img"].shape, [int(s) for s in model.stride])
    criterion.one2many.bce.keep = criterion.one2one.bce.keep = keep
    loss, parts = criterion(heads, batch)
    return loss.sum() / len(batch["img"]), {name: float(value) for name, value in parts.items()}


def _float32(value: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return value.float()
    # Feature maps: the loss reads shape, dtype and device only. No need to copy them.
    return [f.new_empty(1, dtype=torch.float32).expand(f.shape) for f in value]


class MaskedBCE(torch.nn.Module):
    """Cross-entropy of every cell and class, without blame for what is found in an ignored area."""

    keep: torch.Tensor | None = None

    def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss (B, cells, classes); 0 where a cell is ignored and nothing is to be found."""
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return loss if self.keep is None else loss * (self.keep[..., None] | (targets > 0))


def _kept_cells(ignored: torch.Tensor, shape: torch.Size, strides: list[int]) -> torch.Tensor | None:
    """Return for each tile and cell (B, cells) whether its centre is in no ignored box; None without any."""
    if not len(ignored):
        return None
    points = torch.cat([_centres(shape, stride, ignored.device) for stride in strides])
    cx, cy, w, h, angle = (ignored[:, i, None] for i in range(1, 6))
    x, y, cos, sin = points[None, :, 0] - cx, points[None, :, 1] - cy, angle.cos(), angle.sin()
    inside = ((x * cos + y * sin).abs() <= w / 2) & ((y * cos - x * sin).abs() <= h / 2)
    hits = torch.zeros(shape[0], len(points), device=ignored.device)
    return hits.index_add_(0, ignored[:, 0].long(), inside.float()) == 0


def _centres(shape: torch.Size, stride: int, device: torch.device) -> torch.Tensor:
    """Return the centres (cells, 2) of one level, row by row, as ultralytics' make_anchors orders them."""
    y, x = (torch.arange(side // stride, device=device) + 0.5 for side in shape[2:])
    return torch.stack(torch.meshgrid(x * stride, y * stride, indexing="xy"), dim=-1).reshape(-1, 2)


def criterion_of(model: Network) -> Network:
    """Return the loss of a model, made at the first call."""
    if getattr(model, "criterion", None) is None:
        model.criterion = model.init_criterion()
        model.criterion.one2many.bce, model.criterion.one2one.bce = MaskedBCE(), MaskedBCE()
    return model.criterion


def set_progress(model: Network, progress: float) -> None:
    """Move the loss from the one-to-many head (teaches the backbone) to the one-to-one head (is shipped)."""
    criterion = criterion_of(model)
    criterion.o2m = ONE_TO_MANY_FIRST + (ONE_TO_MANY_LAST - ONE_TO_MANY_FIRST) * progress
    criterion.o2o = 1 - criterion.o2m


def build_optimizer(model: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay for matrices and filters only, and head classes learn faster."""
    fast = {id(p) for head in (model.model[-1].cv3, model.model[-1].one2one_cv3) for p in head.parameters()}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=True)
        groups.setdefault((parameter.ndim > 1, id(parameter) in fast), []).append(parameter)
    muon = recipe.optimizer == "MuSGD"
    options = [
        {
            "params": parameters,
            "lr": recipe.lr0 * (3.0 if muon and is_fast else 1.0),
            "weight_decay": recipe.weight_decay if decays else 0.0,
            **({"use_muon": decays} if muon else {}),
        }
        for (decays, is_fast), parameters in groups.items()
    ]
    if recipe.optimizer == "AdamW":
        return torch.optim.AdamW(options, lr=recipe.lr0, betas=(0.9, 0.999))
    if muon:
        return MuSGD(options, lr=recipe.lr0, momentum=0.9, nesterov=True, muon=0.2, sgd=1.0)
    return torch.optim.SGD(options, lr=recipe.lr0, momentum=0.9, nesterov=True)


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate as a share of lr0: linear warm-up by steps, then half a cosine by progress."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    return warm * (recipe.lr_end + (1 - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


@torch.inference_mode()
def validate(model: Network, batches: Iterable[dict[str, torch.Tensor]], tile_px: int) -> dict[str, float]:
    """Return AP50 per class name present, and their mean as ``map50``; float32, the one-to-one head.

    A prediction matches by probabilistic IoU >= 0.5, as ultralytics' own validation does: a figure to choose
    a checkpoint by. What a card reports is measured by `pithead.metrics`.
    """
    model.eval()
    device = next(model.parameters()).device
    matched, scores, classes, truths = [], [], [], []
    for batch in batches:
        images = (batch["img"].to(device).float() / 255).contiguous(memory_format=torch.channels_last)
        found = model(images)[0].float().cpu()  # (B, K, 7): cx, cy, w, h, score, class, angle
        for i, rows in enumerate(found):
            mine = batch["batch_idx"] == i
            boxes = batch["bboxes"][mine] * torch.tensor([tile_px, tile_px, tile_px, tile_px, 1.0])
            kinds = batch["cls"][mine, 0]
            rows = rows[rows[:, 4] > 0.01]  # noqa: PLW2901 (a shorter view of the same rows)
            matched.append(_match(rows, boxes, kinds))
            scores.append(rows[:, 4].numpy())
            classes.append(rows[:, 5].numpy())
            truths.append(kinds.numpy())
    tp, conf, kind, truth = (
        np.concatenate(x) if x else np.zeros(0) for x in (matched, scores, classes, truths)
    )
    if not len(truth):
        return {}
    result = ap_per_class(tp[:, None], conf, kind, truth, names=model.names)
    ap50 = {str(model.names[int(c)]): float(ap[0]) for c, ap in zip(result[6], result[5], strict=True)}
    return {**ap50, "map50": float(np.mean(list(ap50.values())))}


def _match(rows: torch.Tensor, truth: torch.Tensor, kinds: torch.Tensor) -> npt.NDArray[np.bool_]:
    """Return which rows are right, best score first, each truth once."""
    right = np.zeros(len(rows), bool)
    if not len(rows) or not len(truth):
        return right
    boxes = torch.cat((rows[:, :4], rows[:, 6:7]), dim=1)
    iou = batch_probiou(truth, boxes).numpy() * (kinds[:, None] == rows[None, :, 5]).numpy()
    for j in np.argsort(-rows[:, 4].numpy(), kind="stable"):
        i = int(iou[:, j].argmax())
        if iou[i, j] >= 0.5:
            right[j] = True
            iou[i] = 0
    return right


def save_ultralytics(model: Network, path: Path, facts: dict[str, Any]) -> None:
    """Write the network as a checkpoint that ``ultralytics.YOLO(path)`` opens; whole or not at all."""
    from copy import deepcopy  # noqa: PLC0415

    copy = deepcopy(model).to("cpu").to(memory_format=torch.contiguous_format)
    copy.criterion = None
    copy.args = {k: v for k, v in vars(copy.args).items() if isinstance(v, bool | int | float | str | None)}
    temporary = path.with_suffix(".tmp")
    torch.save({"model": copy.half(), "ema": None, "train_args": copy.args, "pithead": facts}, temporary)
    temporary.replace(path)
