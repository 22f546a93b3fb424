"""The network and its loss: ultralytics' own, with a float32 loss, bfloat16 on a CPU, and ignored areas."""

from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from ultralytics.nn.tasks import DetectionModel, OBBModel

from pithead.errors import RecipeError

Network = Any  # ultralytics publishes no types
Batch = dict[str, Any]


class MaskedBCE(torch.nn.Module):
    """Cross-entropy of every cell and class, without blame for what is found in an ignored area."""

    keep: torch.Tensor | None = None

    def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss (B, cells, classes); 0 where a cell is ignored and nothing is to be found."""
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return loss if self.keep is None else loss * (self.keep[..., None] | (targets > 0))


class Careful:
    """What pithead adds to a network of ultralytics while it learns; `plain` takes it off again.

    The forward pass is bfloat16 on a CPU that is told so (half the time of a step, which ultralytics allows
    on GPUs only); the loss is always float32, because angles and box corners would lose up to 2 px; and there
    is no blame for what is found in an ignored area.
    """

    casts = False

    def init_criterion(self) -> Any:  # noqa: ANN401 (one of ultralytics' losses)
        """Return ultralytics' loss with a cross-entropy that can leave cells out.

        The side to which small objects are enlarged is that of the second finest cells. Ultralytics takes the
        second of the head's strides, which is another one where a stride of 4 stands last.
        """
        criterion: Any = super().init_criterion()  # type: ignore[misc]
        strides = sorted(self.stride.tolist())  # type: ignore[attr-defined]
        for part in _parts(criterion):
            part.bce = MaskedBCE()
            part.assigner.stride_val = strides[:2][-1]
        return criterion

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (a batch, or its pictures)
        """Return the loss of a batch, or what the heads give for its pictures."""
        if isinstance(x, dict):
            return self.loss(x)
        on = self.casts and self.training and x.device.type == "cpu"  # type: ignore[attr-defined]
        with torch.autocast("cpu", torch.bfloat16, enabled=True) if on else nullcontext():
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]

    def loss(self, batch: Batch, preds: Any = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # noqa: ANN401
        """Return the loss of a batch and its parts, in float32."""
        if getattr(self, "criterion", None) is None:
            self.criterion = self.init_criterion()
        images = batch["img"]
        heads = self.forward(images) if preds is None else preds
        strides = [int(s) for s in self.stride]  # type: ignore[attr-defined]
        keep = kept_cells(batch["ignored"], images.shape, strides)
        for part in _parts(self.criterion):
            part.bce.keep = keep
        with torch.autocast(images.device.type, enabled=False):
            loss, parts = self.criterion(_float32(heads), {**batch, "img": images.float()})
        return loss, parts


class OrientedNetwork(Careful, OBBModel):
    """A network for oriented boxes that learns."""


class UprightNetwork(Careful, DetectionModel):
    """A network for upright boxes that learns."""


def build_network(model: str, names: tuple[str, ...], *, oriented: bool) -> Network:
    """Return a network of random weights with one output per class name.

    Raises:
        RecipeError: ultralytics knows no such architecture.
    """
    name = model if Path(model).suffix else f"{model}.yaml"
    kind: Any = OrientedNetwork if oriented else UprightNetwork
    try:
        network = kind(name, nc=len(names), verbose=False)
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(
            f"expected an architecture of ultralytics such as yolo26n-obb, or a model file, got {model}: "
            f"{error}"
        ) from error
    network.end2end = True  # else ultralytics evaluates the auxiliary head, which leaves duplicates
    network.names = dict(enumerate(names))
    return network


def plain(network: Network) -> Network:
    """Return a copy as ultralytics knows it, on the CPU, without its loss: what checkpoints hold."""
    copy = deepcopy(network)
    copy.criterion = None
    copy.__class__ = OBBModel if isinstance(network, OBBModel) else DetectionModel
    copy.__dict__.pop("casts", None)
    copy.args = dict(vars(copy.args)) if not isinstance(copy.args, dict) else copy.args
    return copy.to("cpu").to(memory_format=torch.contiguous_format)


def kept_cells(ignored: torch.Tensor, shape: torch.Size, strides: list[int]) -> torch.Tensor | None:
    """Return for each tile and cell (B, cells) whether its centre is in no ignored box; None without any.

    `ignored` (M, 6) are tile, cx, cy, w, h in px and angle.
    """
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


def _parts(criterion: Any) -> list[Any]:  # noqa: ANN401 (one of ultralytics' losses)
    """The losses of the two heads, or the only one."""
    both = [getattr(criterion, name, None) for name in ("one2many", "one2one")]
    return [part for part in both if part is not None] or [criterion]


def _float32(value: Any) -> Any:  # noqa: ANN401 (heads are nested: tensors in lists, tuples and dicts)
    """The same with tensors in float32; feature maps, of which the loss reads shapes only, not copied."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {
            k: [f.new_empty(1, dtype=torch.float32).expand(f.shape) for f in v]
            if k == "feats"
            else _float32(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_float32(item) for item in value)
    return value
