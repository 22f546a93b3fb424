"""The weights inside an exported file, for training: with batch norms and both heads.

Exporting folds batch norms into the convolutions before them and leaves out the head that only teaches.
Both are made anew: norms around what the layers give for a few tiles, the other head as a copy.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from pithead.card import METADATA_KEY, Card
from pithead.errors import WeightsError

Network = Any  # ultralytics publishes no types
Norm = Any  # torch types all that a norm may lack
State = dict[str, torch.Tensor]
Tiles = Sequence[npt.NDArray[np.uint8]]

HEAD_BRANCHES = ("cv2.", "cv3.", "cv4.")
MOST_TILES = 32
CLOUDS, CLOUD_PX, CLOUD_DECAY = 16, 256, 1.5


def read_exported(path: Path) -> tuple[State, tuple[str, ...]]:
    """Return convolutions by the names they have in the network, and the names of the classes.

    Of the two heads, the one that the file lacks is a copy of the other.

    Args:
        path: An .onnx that pithead exported, in single or half precision.

    Raises:
        WeightsError: The file is missing, no ONNX file, has no card, or is quantised.
        CardError: Its card breaks the contract.
    """
    model, card = _opened(path)
    state = _convolutions(model)
    if not state:
        raise WeightsError(
            f"expected weights in single or half precision at {path}, found no such convolution: "
            "start from the file that was quantised"
        )
    _fill_other_head(state)
    return state, tuple(known.name for known in card.classes)


def read_card(path: Path) -> Card:
    """The card of an .onnx that pithead exported.

    Raises:
        WeightsError: The file is missing, no ONNX file, or has no card.
        CardError: Its card breaks the contract.
    """
    return _opened(path)[1]


def _opened(path: Path) -> tuple[Any, Card]:
    try:
        model = onnx.load(path)
    except Exception as error:  # what protobuf raises has no public parent
        reason = " ".join(str(error).split())
        raise WeightsError(f"expected an ONNX file at {path}, got: {reason[:200]}") from error
    facts = {fact.key: fact.value for fact in model.metadata_props}
    if METADATA_KEY not in facts:
        raise WeightsError(
            f"expected an ONNX file of pithead at {path}, this one has no card: "
            "start from the checkpoint (.pt) it was made from"
        )
    return model, Card.from_json(facts[METADATA_KEY])


def _convolutions(model: Any) -> State:  # noqa: ANN401 (onnx publishes no types)
    """Weights and biases of all convolutions of a graph; their names follow a prefix that exporting adds.

    Of equal tensors one is stored; the names of the others are those of nodes that pass it on.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    same = [node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in stored]
    stored |= {node.output[0]: stored[node.input[0]] for node in same}
    state: State = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and all(name in stored for name in node.input[1:]):
            layer = node.input[1].removeprefix("model.").removesuffix(".weight")
            for part, name in zip(("weight", "bias"), node.input[1:], strict=False):
                values = onnx.numpy_helper.to_array(stored[name]).astype(np.float32)
                state[f"{layer}.{part}"] = torch.from_numpy(values)
    return state


def _fill_other_head(state: State) -> None:
    for key in list(state):
        index, _, layer = key.removeprefix("model.").partition(".")
        if layer.startswith("one2one_cv"):
            state.setdefault(f"model.{index}.{layer.removeprefix('one2one_')}", state[key])
        elif layer.startswith(HEAD_BRANCHES):
            state.setdefault(f"model.{index}.one2one_{layer}", state[key])


def unfold(state: State, network: Network) -> bool:
    """Move biases to norms where the network has norms: these add the bias, and change nothing else.

    Returns:
        Whether there was any such bias; if so, `settle_norms` is due before training.
    """
    norms = {name: norm for name, norm in network.named_modules() if isinstance(norm, torch.nn.BatchNorm2d)}
    found = False
    for key in [key for key in state if key.endswith(".conv.bias")]:
        name = key.removesuffix("conv.bias") + "bn"
        if name in norms:
            bias, found = state.pop(key), True
            gain = torch.full_like(bias, (1 + norms[name].eps) ** 0.5)
            state |= {f"{name}.weight": gain, f"{name}.bias": bias}
            state |= {f"{name}.running_mean": torch.zeros_like(bias)}
            state |= {f"{name}.running_var": torch.ones_like(bias)}
    return found


@torch.no_grad()
def settle_norms(network: Network, tiles: Tiles, leave: Iterable[str] = ()) -> None:
    """Give every batch norm the mean and variance of what it is fed for some tiles; it computes the same.

    In evaluation a norm is a scale and a shift per channel. These stay; gain and bias are worked out anew
    from them and the measured statistics. So training, which measures on every batch, begins near what
    evaluation gives.

    Args:
        network: The network, in whatever mode: it is left in that.
        tiles: Tiles (S, S, 3) uint8 RGB, S a multiple of 32, all of one size; the first 32 are used.
        leave: Names of tensors; norms that have one of these stay as they are.
    """
    left = set(leave)
    hooks = [
        module.register_forward_pre_hook(_settle)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and f"{name}.weight" not in left
    ]
    training, device = network.training, next(network.parameters()).device
    pixels = torch.from_numpy(np.stack(tiles[:MOST_TILES])).to(device)
    try:
        network.eval()(pixels.permute(0, 3, 1, 2).float() / 255)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()


def _settle(norm: Norm, inputs: tuple[torch.Tensor]) -> None:
    """Measure a norm's input before the norm itself runs, so that one pass settles all layers in turn."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    var, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    norm.weight.copy_(scale * torch.sqrt(var + norm.eps))
    norm.bias.copy_(shift + mean * scale)


def clouds() -> Tiles:
    """Tiles (256, 256, 3) that stand in for imagery: like it, they have less contrast the finer the detail.

    Amplitude falls with frequency to the power of 1.5, bands go largely together; the same at every call.
    """
    rng = np.random.default_rng(0)
    shape = (CLOUDS, 3, CLOUD_PX, CLOUD_PX)
    frequency = np.hypot(np.fft.fftfreq(CLOUD_PX)[:, None], np.fft.rfftfreq(CLOUD_PX)[None])
    frequency[0, 0] = np.inf
    own, common = rng.normal(size=shape), rng.normal(size=(CLOUDS, 1, CLOUD_PX, CLOUD_PX))
    soft = np.fft.irfft2(np.fft.rfft2(own + 2 * common) / frequency**CLOUD_DECAY, s=shape[2:])
    soft /= soft.std(axis=(2, 3), keepdims=True)
    light, contrast = (rng.uniform(*span, (CLOUDS, 1, 1, 1)) for span in ((60, 140), (15, 50)))
    return list(np.clip(soft * contrast + light, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
