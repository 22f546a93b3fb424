"""A network of twice the width that starts as the same function as the narrow one.

After T. Chen, I. Goodfellow, J. Shlens: Net2Net, ICLR 2016. Every channel is there twice, side by side, so
that what is split or joined along the channels still meets its own; weights that read a channel that is now
there twice are halved. A little noise lets the twins part while they are trained.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from ultralytics.nn.modules.block import Attention

Network = Any  # ultralytics publishes no types
State = dict[str, torch.Tensor]

NOISE = 1e-2  # of the standard deviation of a layer's weights


def is_twice_as_wide(network: Network, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether every convolution before the head of a network has twice the outputs that it has in `state`.

    Those that `state` lacks do not count.
    """
    own, head = network.state_dict(), f"model.{len(network.model) - 1}."
    body = [
        key for key, value in own.items() if value.ndim == 4 and not key.startswith(head) and key in state
    ]
    return bool(body) and all(len(own[key]) == 2 * len(state[key]) for key in body)


def grow(
    network: Network, state: Mapping[str, torch.Tensor], class_layers: Collection[str], seed: int = 0
) -> State:
    """Return the tensors of a narrow network in the shapes of one that is twice as wide, and noise on them.

    Args:
        network: The wide network.
        state: Tensors of the narrow one, by the same names.
        class_layers: Names of the layers with one output per class: these stay as many as they are.
        seed: Of the noise on the weights of convolutions, whose deviation is a hundredth of their own.

    Returns:
        The tensors; those that can not be brought to the wide network's shape are left as they are.
    """
    heads = _heads(network)
    generator = torch.Generator().manual_seed(seed)
    wide: State = {}
    for key, target in network.state_dict().items():
        if key not in state:
            continue
        module = key.rsplit(".", 1)[0]
        outputs, inputs = heads.get(module, (None, None))
        rows = len(state[key]) if module in class_layers else None
        wide[key] = _grown(state[key], target.shape, outputs, inputs, rows)
        if target.ndim == 4 and wide[key].shape[1:] == target.shape[1:]:
            spread = NOISE * wide[key].std()
            wide[key] = wide[key] + spread * torch.randn(wide[key].shape, generator=generator)
    return wide


def _grown(
    tensor: torch.Tensor,
    shape: torch.Size,
    outputs: torch.Tensor | None,
    inputs: torch.Tensor | None,
    rows: int | None,
) -> torch.Tensor:
    """One tensor with every channel there twice where the wide one has twice as many.

    `outputs` and `inputs` say for each wide channel which narrow one it copies, where that is not its
    neighbour; `rows` is how many outputs there have to be, if not as many as `shape` has.
    """
    if tensor.ndim != len(shape) or not tensor.ndim:
        return tensor
    out = _copies(len(tensor), rows or shape[0], outputs)
    into = _copies(tensor.shape[1], shape[1], inputs) if tensor.ndim > 1 else torch.arange(0)
    if out is None or into is None:
        return tensor
    tensor = tensor[out]
    return tensor[:, into] * (tensor.shape[1] / len(into)) if tensor.ndim > 1 else tensor


def _copies(narrow: int, wide: int, wanted: torch.Tensor | None) -> torch.Tensor | None:
    """For each of `wide` channels the narrow one that it copies; None if they are not as many, nor twice."""
    if wide == narrow:
        return torch.arange(narrow)
    if wide != 2 * narrow or (wanted is not None and len(wanted) != wide):
        return None
    return torch.arange(narrow).repeat_interleave(2) if wanted is None else wanted


def _heads(network: Network) -> dict[str, tuple[torch.Tensor | None, torch.Tensor | None]]:
    """Which narrow channel each wide one copies, (outputs, inputs) by layer, where attention has heads.

    ultralytics gives a head 64 channels: twice the width is twice the heads. A head is copied whole, since
    its queries and keys are multiplied with each other and by a scale that depends on their number. With an
    odd number of wide heads there is no such copy: their layers get an empty map, which fits nothing.
    """
    maps: dict[str, tuple[torch.Tensor | None, torch.Tensor | None]] = {}
    for name, module in network.named_modules():
        if isinstance(module, Attention):
            values = _whole_heads(module.num_heads, module.head_dim)
            parts = _whole_heads(module.num_heads, 2 * module.key_dim + module.head_dim)
            for layer in ("conv", "bn"):
                maps[f"{name}.qkv.{layer}"] = (parts, None)
                maps[f"{name}.pe.{layer}"] = (values, None)
            maps[f"{name}.proj.conv"] = (None, values)
    return maps


def _whole_heads(heads: int, size: int) -> torch.Tensor:
    if heads % 2:
        return torch.arange(0)
    return ((torch.arange(heads) // 2)[:, None] * size + torch.arange(size)).flatten()
