"""Where a run starts from: a checkpoint of ultralytics, or a file that this project exported."""

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from ultralytics.nn.modules.head import OBB, OBB26
from ultralytics.nn.tasks import load_checkpoint

from pithead.errors import WeightsError
from pithead.files import sha256_of
from pithead.learning.exported import Tiles, clouds, read_exported, settle_norms, unfold
from pithead.learning.growth import grow, is_twice_as_wide

Network = Any  # ultralytics publishes no types
State = dict[str, torch.Tensor]
How = Literal["checkpoint", "onnx", "grown"]

LEAST_SHARE = 0.1  # of a network's parameters: what fits by chance is no start


@dataclass(frozen=True, slots=True)
class Start:
    """What a network has taken from a file."""

    taken: int
    """Parameters taken (numbers, not tensors)."""

    left: tuple[str, ...]
    """Tensors that the file has nothing for; those of a class layer also if some of its rows are new."""

    how: How
    sha256: str
    """Of the file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint of ultralytics: its file, its network with head and classes, and all that it holds."""

    path: Path
    network: Network
    head: Network
    names: tuple[str, ...]
    content: Mapping[str, Any]


def start_from(network: Network, weights: str | Path, tiles: Tiles = ()) -> Start:
    """Let a network of ultralytics start from weights: its tensors are overwritten in place.

    What has the same name and shape is taken; the head is the head, whatever its number. Class layers are
    taken row by row, by the names of the classes (`network.names`). A network that is exactly twice as wide
    starts as the same function (`growth`). Make the optimizer afterwards: class layers of another width are
    replaced, as ultralytics' own `load` does.

    Args:
        network: A network as ultralytics builds it from its YAML, with `names` set.
        weights: A checkpoint (.pt), a bare name that ultralytics may download if YOLO_OFFLINE is 0, or an
            .onnx that pithead exported.
        tiles: Tiles (S, S, 3) uint8 RGB, S a multiple of 32, all of one size, such as it will be trained on;
            16 of them make norms for an exported file. Without any, made-up ones do it, which is a worse
            start.

    Raises:
        WeightsError: The file is missing, is neither of the two, or under a tenth of the network fits.
        CardError: The card in the .onnx breaks the contract.
    """
    how: How = "onnx" if Path(weights).suffix.lower() == ".onnx" else "checkpoint"
    path, state, names = _read(weights, network)
    state = _head_last(state, len(network.model) - 1)
    fused = unfold(state, network)
    layers = class_layers(network)
    if is_twice_as_wide(network, state):
        state, how = grow(network, state, layers), "grown"
    else:
        _match_class_width(network, state)
    taken, left = take(network, state, names)
    total = sum(parameter.numel() for parameter in network.parameters())
    if taken < LEAST_SHARE * total:
        raise WeightsError(
            f"expected weights of a like network at {path}, {taken} of {total} parameters fit: "
            "start from weights of the same architecture, or of half its width"
        )
    if fused:
        settle_norms(network, tiles or clouds(), leave=left)
    return Start(taken, left, how, sha256_of(path))


def may_be_fetched(weights: str | Path) -> bool:
    """Whether ultralytics may download weights: by their bare name, and only if the user has said so.

    It would ask the network for such a name whatever YOLO_OFFLINE says: we have to look before.
    """
    path = Path(weights)
    bare = path.name == str(weights) and path.suffix == ".pt"  # ultralytics knows where to look for such
    return bare and os.environ.get("YOLO_OFFLINE", "1") in ("0", "False")


def is_exported(weights: str | Path) -> bool:
    """Whether weights are an .onnx, else a checkpoint.

    Raises:
        WeightsError: There is no such file, nor may it be fetched.
    """
    path = Path(weights)
    if not path.is_file() and not may_be_fetched(weights):
        raise WeightsError(_missing(path))
    return path.suffix.lower() == ".onnx"


def open_checkpoint(weights: str | Path) -> Checkpoint:
    """A checkpoint of ultralytics.

    Raises:
        WeightsError: The file is missing or no checkpoint of ultralytics.
    """
    path = Path(weights)
    try:
        model, checkpoint = load_checkpoint(str(weights))  # type: ignore[no-untyped-call]
        names = tuple(str(model.names[i]) for i in range(len(model.names)))
        return Checkpoint(Path(model.pt_path), model, model.model[-1], names, checkpoint)
    except FileNotFoundError as error:
        raise WeightsError(_missing(path)) from error
    except Exception as error:  # unpickling runs the file's own classes: anything can come out
        reason = " ".join(str(error).split())
        raise WeightsError(f"expected a checkpoint of ultralytics at {path}, got: {reason[:200]}") from error


def class_layers(network: Network) -> tuple[str, ...]:
    """Names of the layers of the head that have one output per class."""
    return tuple(
        f"model.{len(network.model) - 1}.{branch}.{level}.{len(layers) - 1}"
        for branch in ("cv3", "one2one_cv3")
        for level, layers in enumerate(getattr(network.model[-1], branch, None) or ())
    )


@torch.no_grad()
def take(
    network: Network, state: Mapping[str, torch.Tensor], names: Sequence[str]
) -> tuple[int, tuple[str, ...]]:
    """Overwrite the tensors of a network by those of the same name and shape, class layers by class names.

    Returns:
        How many parameters were taken, and the names of the tensors that were not, or not wholly.
    """
    known = {str(name).strip().lower(): row for row, name in enumerate(names)}
    own = [known.get(str(network.names[i]).strip().lower()) for i in range(len(network.names))]
    pairs = [(row, theirs) for row, theirs in enumerate(own) if theirs is not None]
    rows, theirs = [row for row, _ in pairs], [other for _, other in pairs]
    parameters = {name for name, _ in network.named_parameters()}
    classes = {f"{layer}.{part}" for layer in class_layers(network) for part in ("weight", "bias")}
    taken, left = 0, []
    for key, tensor in network.state_dict().items():
        found = state.get(key)
        if key in classes and found is not None and found.shape[1:] == tensor.shape[1:]:
            tensor[rows] = found[theirs].to(tensor)
            taken += tensor[rows].numel()
            left += [key] if len(rows) < len(tensor) else []
        elif key not in classes and found is not None and found.shape == tensor.shape:
            tensor.copy_(found)
            taken += tensor.numel() if key in parameters else 0
        elif not key.endswith("num_batches_tracked"):
            left.append(key)
    return taken, tuple(left)


def _read(weights: str | Path, network: Network) -> tuple[Path, State, tuple[str, ...]]:
    if is_exported(weights):
        path = Path(weights)
        return path, *read_exported(path)
    opened = open_checkpoint(weights)
    state = {key: value.detach().float() for key, value in opened.network.state_dict().items()}
    if (
        isinstance(opened.head, OBB)
        and not isinstance(opened.head, OBB26)
        and isinstance(network.model[-1], OBB26)
    ):
        _unbend_angles(state, len(opened.network.model) - 1)
    return opened.path, state, opened.names


def _head_last(state: State, head: int) -> State:
    """Give the last layer in `state` the number of the network's last: either is the head.

    With a fourth output the head has layers before it that the file may lack; the others keep their names.
    """
    last = max((int(key.split(".")[1]) for key in state), default=head)
    old, new = f"model.{last}.", f"model.{head}."
    return {new + key.removeprefix(old) if key.startswith(old) else key: v for key, v in state.items()}


def _missing(path: Path) -> str:
    remedy = "give the path of a .pt, or of an .onnx from training/export.py"
    if path.name == str(path) and path.suffix == ".pt":
        remedy += f", or set YOLO_OFFLINE=0 to let ultralytics download {path} if it publishes that"
    return f"expected weights at {path}, found no such file: {remedy}"


def _unbend_angles(state: State, head: int) -> None:
    """Turn the angle outputs of an older head, (sigmoid(z) - 1/4) π, into those of YOLO26, which are radians.

    To first order about z = 0: sigmoid(z) ≈ 1/2 + z/4.
    """
    for branch in (f"model.{head}.cv4.", f"model.{head}.one2one_cv4."):
        for key in state:
            if key.startswith(branch) and key.removeprefix(branch).count(".") == 2:  # level, layer, part
                shift = torch.pi / 4 if key.endswith("bias") else 0.0
                state[key] = state[key] * (torch.pi / 4) + shift


def _match_class_width(network: Network, state: Mapping[str, torch.Tensor]) -> None:
    """Give the class layers their width in `state`; ultralytics makes them wider where classes are many."""
    head = network.model[-1]
    weight = state.get(f"{class_layers(network)[0]}.weight")
    if weight is None or weight.ndim != 4 or weight.shape[1] == head.cv3[0][-1].in_channels:
        return
    width = int(weight.shape[1])
    # Built for as many classes as that, the same architecture has that width, if it can have it at all.
    other = type(network)(deepcopy(network.yaml), nc=width, verbose=False).model[-1]
    if other.cv3[0][-1].in_channels != width:
        return
    for branch in ("cv3", "one2one_cv3"):
        for layers in getattr(other, branch, None) or ():
            layers[-1] = torch.nn.Conv2d(width, head.nc, 1)
        if getattr(head, branch, None) is not None:
            setattr(head, branch, getattr(other, branch).to(next(network.parameters()).device))
    head.bias_init()
