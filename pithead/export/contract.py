"""The network between the two ends of the ONNX contract, by either of its heads.

YOLO26 is taught with two heads. The one-to-one head answers once for each object. The one-to-many head
answers many times, and what it says twice has to be suppressed: that, too, is part of the graph here.
"""

from copy import deepcopy
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from pithead.card import Card
from pithead.errors import ExportError

Network = Any  # ultralytics publishes no types
Head = Literal["one-to-one", "one-to-many"]
HEADS: tuple[Head, ...] = get_args(Head)

CANDIDATES = 512
"""Rows of the one-to-many head that are held against each other, of a tile.

On 205 generated tiles 1024 reach the same AP50 within 0.0003, and a tile costs 67 ms of a core instead of 47.
"""
SAME = 0.5  # from this overlap on, two rows of a class are one object
ROUNDS = 16  # a chain of suppressions that is longer is cut off


def has_heads(model: Network) -> tuple[Head, ...]:
    """The heads of a network: YOLO26 has both, older ones and fused ones have one."""
    last = model.model[-1]
    there = {
        "one-to-one": getattr(last, "one2one_cv2", None) is not None,
        "one-to-many": getattr(last, "cv2", None) is not None,
    }
    return tuple(head for head in HEADS if there[head])


class Contract(torch.nn.Module):
    """The network as the contract wants it: uint8 (N, H, W, 3) → float32 (N, K, 7).

    A network without angles (a detect head) gives upright boxes: angle 0, or -pi/2 if the height is longer.

    Attributes:
        card: The facts of the weights.
        many: Whether it is the one-to-many head.
        bare: Set it to have that head's rows as they are before suppression.
    """

    def __init__(self, model: Network, card: Card, head: Head = "one-to-one") -> None:
        """Take a copy of a network; the head that is not asked for and batch norms are folded away.

        Raises:
            ExportError: The network has no such head.
        """
        super().__init__()
        if head not in has_heads(model):
            raise ExportError(
                f"expected a network with a {head} head, got one of {', '.join(has_heads(model))}: "
                "train from yolo26n-obb, or export the other head"
            )
        self.card, self.many, self.bare = card, head == "one-to-many", False
        self.model = deepcopy(model).float().eval()
        self.model.end2end = not self.many
        self.model = self.model.fuse(verbose=False)
        self.head = self.model.model[-1]
        self.head.export = True
        self.head.max_det = max(card.top_k, CANDIDATES) if self.many else card.top_k

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return cx, cy, w, h in px, angle of the long side in [-pi/2, pi/2), score, class."""
        found = self.model(tiles.permute(0, 3, 1, 2).float() / 255)
        if self.many:
            found = self.head.postprocess(found.permute(0, 2, 1))  # the best rows, the surest first
        box, score, kind, *turn = found.split([4, 1, 1, *([1] if found.shape[-1] == 7 else [])], dim=-1)
        if not turn and not self.many:  # the one-to-one head of upright boxes gives corners
            box = torch.cat(((box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]), dim=-1)
        centre, w, h = box.split((2, 1, 1), dim=-1)
        angle = (turn[0] if turn else torch.zeros_like(w)) + (w < h).float() * (torch.pi / 2)
        angle = angle - torch.floor(angle / torch.pi + 0.5) * torch.pi
        # Rounding can leave pi/2 itself, which is -pi/2.
        angle = torch.where(angle >= torch.pi / 2, torch.full_like(angle, -torch.pi / 2), angle)
        sides = torch.maximum(w, h), torch.minimum(w, h)
        rows = torch.cat((centre, *sides, angle, score, kind), dim=-1)
        return suppressed(rows, self.card.top_k) if self.many and not self.bare else rows

    def raw(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Every row of tiles (N, H, W, 3), as `Detector.raw` gives them: torch's side of a comparison."""
        with torch.inference_mode():
            parts = [self(torch.from_numpy(np.ascontiguousarray(tile[None]))).numpy() for tile in tiles]
        return np.concatenate(parts) if parts else np.zeros((0, self.card.top_k, 7), np.float32)


def suppressed(rows: torch.Tensor, top_k: int) -> torch.Tensor:
    """The surest `top_k` of rows (N, M, 7), surest first; of those that repeat a surer one the score is 0.

    The rows must come surest first. What is kept is what greedy suppression keeps: a row stays unless one
    that stays, is surer and of its class, overlaps it. All rows are held against all at once, and the result
    is found by repetition, as many times as the longest chain.

    Z. Zheng et al.: Enhancing geometric factors in model learning and inference for object detection and
    instance segmentation (Cluster-NMS). IEEE Transactions on Cybernetics, 2021.
    """
    kind = rows[..., 6]
    repeats = (overlaps(rows) >= SAME) & (kind[:, :, None] == kind[:, None, :])
    over = torch.triu(repeats.float(), diagonal=1)  # [i, j]: i is the surer
    kept = torch.ones_like(kind)
    for _ in range(ROUNDS):
        kept = 1 - (torch.matmul(kept[:, None, :], over)[:, 0] > 0).float()
    score, order = (rows[..., 5] * kept).topk(min(top_k, rows.shape[1]), dim=1)
    chosen = rows.gather(1, order[..., None].expand(-1, -1, 7))
    return torch.cat((chosen[..., :5], score[..., None], chosen[..., 6:]), dim=-1)


def overlaps(rows: torch.Tensor) -> torch.Tensor:
    """How much boxes (N, M, 5+) of a tile are one another, (N, M, M), from 0 to 1 (the same).

    One less the Hellinger distance of the Gaussians with the boxes' centres and spreads: no corner has to be
    found, so it is a few operations of any graph.

    J. M. Llerena et al.: Probabilistic intersection-over-union for training and evaluation of oriented object
    detectors. IEEE Transactions on Image Processing, 2024 (arXiv:2106.06072).
    """
    x, y, w, h, angle = (rows[..., i] for i in range(5))
    long, short = (w * w / 12).clamp(min=1e-4), (h * h / 12).clamp(min=1e-4)
    cos, sin = angle.cos(), angle.sin()
    xx, yy, xy = long * cos**2 + short * sin**2, long * sin**2 + short * cos**2, (long - short) * cos * sin
    a, b, c = (part[:, :, None] + part[:, None, :] for part in (xx, yy, xy))
    dx, dy = (part[:, :, None] - part[:, None, :] for part in (x, y))
    # The determinant of a sum is that of the parts and more: rounding must not make it less.
    root = (long * short).sqrt()
    alone = root[:, :, None] * root[:, None, :]
    both = torch.maximum(a * b - c * c, 4 * alone)
    distance = (a * dy * dy + b * dx * dx - 2 * c * dx * dy) / both / 4 + (both / (4 * alone)).log() / 2
    return 1 - (1 - (-distance).exp()).clamp(min=0).sqrt()
