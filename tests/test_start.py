import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import MakeOnnx

from pithead.card import Card, CardClass
from pithead.detector import Detector
from pithead.errors import PitheadError, WeightsError
from pithead.files import sha256_of
from pithead.learning.quiet import quiet_ultralytics

Network = Any  # ultralytics publishes no types
Tensor = Any  # torch is imported once ultralytics is quiet
NAMES = ("mine_head", "coal_heap", "guard_perimeter", "rail_loading")
SIDE = 128
ROOT = Path(__file__).parents[1]
STARTER = ROOT / "weights" / "starter.onnx"


@pytest.fixture(scope="module", autouse=True)
def _quiet(tmp_path_factory: pytest.TempPathFactory) -> None:
    quiet_ultralytics(tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="module", name="tiles")
def _tiles() -> npt.NDArray[np.uint8]:
    from pithead.learning.exported import clouds

    return np.stack(clouds())[:6, :SIDE, :SIDE]


def build(name: str = "yolo26n-obb", names: tuple[str, ...] = NAMES, seed: int = 0) -> Network:
    import torch
    from ultralytics.nn.tasks import DetectionModel, OBBModel

    torch.manual_seed(seed)
    kind: Any = OBBModel if name.endswith("-obb") else DetectionModel
    network = kind(f"{name}.yaml", nc=len(names), verbose=False)
    network.end2end, network.names = True, dict(enumerate(names))
    return network


def as_input(tiles: npt.NDArray[np.uint8]) -> Tensor:
    import torch

    return torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module", name="narrow")
def _narrow(tiles: npt.NDArray[np.uint8]) -> Network:
    """A network of random weights whose norms know these tiles and whose scores spread over (0, 1)."""
    import torch

    network = build(seed=1)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("bn.weight"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        if name.endswith("bn.bias"):
            tensor.normal_(0, 0.2, generator=generator)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # one pass gives the statistics: else a fresh network says the same everywhere
    with torch.no_grad():
        network.train()(as_input(tiles))
    for norm in norms:
        norm.momentum = 0.03
    for layers, spread in ((network.model[-1].one2one_cv3, 0.5), (network.model[-1].one2one_cv4, 0.3)):
        for layer in layers:
            layer[-1].weight.data.normal_(0, spread, generator=generator)
            layer[-1].bias.data.zero_()
    return network.eval()


@pytest.fixture(scope="module", name="checkpoint")
def _checkpoint(narrow: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    path: Path = tmp_path_factory.mktemp("pt") / "narrow.pt"
    torch.save({"model": deepcopy(narrow), "ema": None, "train_args": {}}, path)
    return path


@pytest.fixture(scope="module", name="exported")
def _exported(
    narrow: Network, tmp_path_factory: pytest.TempPathFactory, tiles: npt.NDArray[np.uint8]
) -> Path:
    from pithead.export import export

    path: Path = tmp_path_factory.mktemp("onnx") / "narrow.onnx"
    classes = tuple(CardClass(name, "box", "#000000", 0.0) for name in NAMES)
    export(deepcopy(narrow), Card("n", classes, SIDE, 0.6, "AGPL-3.0-or-later", top_k=20), path, tiles[:1])
    return path


def answers(network: Network, tiles: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """What the head that is shipped gives for every cell: boxes in cells, scores in [0, 1], angles."""
    import torch

    with torch.inference_mode():
        found = deepcopy(network).eval()(as_input(tiles))[1]["one2one"]
    parts = {"boxes": found["boxes"], "scores": found["scores"].sigmoid(), "angle": found["angle"]}
    assert all(torch.isfinite(part).all() for part in parts.values())
    return {name: part.numpy() for name, part in parts.items()}


def assert_same(network: Network, other: Network, tiles: npt.NDArray[np.uint8]) -> None:
    ours, theirs = answers(network, tiles), answers(other, tiles)
    assert theirs["scores"].std() > 0.1
    for part, atol in (("boxes", 0.003), ("scores", 1e-3), ("angle", 1e-3)):  # a cell has at most 32 px
        np.testing.assert_allclose(ours[part], theirs[part], atol=atol, rtol=1e-4, err_msg=part)


def parameters(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_an_exported_file_gives_back_the_network_it_was_made_from(
    narrow: Network, exported: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from pithead.learning.start import Start, start_from

    network = build()
    start = start_from(network, exported, list(tiles))
    assert start == Start(parameters(network), (), "onnx", sha256_of(exported))
    assert_same(network, narrow, tiles)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_training_begins_at_what_evaluation_gives(exported: Path, tiles: npt.NDArray[np.uint8]) -> None:
    import torch

    from pithead.learning.start import start_from

    network = build()
    start_from(network, exported, list(tiles))
    with torch.no_grad():
        evaluated = deepcopy(network).eval()(as_input(tiles))[1]["one2one"]
        trained = network.train()(as_input(tiles))
    for head in ("one2one", "one2many"):  # the second is not in the file: it begins as a copy of the first
        for part in ("boxes", "scores", "angle"):
            torch.testing.assert_close(trained[head][part], evaluated[part], atol=2e-3, rtol=1e-3)


def test_the_head_that_a_file_lacks_is_a_copy_of_the_other() -> None:
    import torch

    from pithead.learning.exported import _fill_other_head

    one, many, body = torch.zeros(1), torch.ones(1), torch.ones(2)
    state = {"model.7.cv1.conv.weight": body, "model.9.one2one_cv2.0.weight": one, "model.9.cv4.0.bias": many}
    _fill_other_head(state)
    assert len(state) == 5
    assert state["model.9.cv2.0.weight"] is one
    assert state["model.9.one2one_cv4.0.bias"] is many


def test_settled_norms_have_the_statistics_and_the_network_its_rows(
    narrow: Network, tiles: npt.NDArray[np.uint8]
) -> None:
    import torch

    from pithead.learning.exported import settle_norms

    network, other = deepcopy(narrow), np.ascontiguousarray(tiles[:2, ::-1] // 2)
    settle_norms(network, list(other), leave=("model.1.bn.weight",))
    assert_same(network, narrow, tiles)
    with torch.inference_mode():
        first = network.model[0].conv(as_input(other))
    norm = network.model[0].bn
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, first.var((0, 2, 3), correction=0), atol=1e-5, rtol=1e-4)
    assert torch.equal(network.model[1].bn.running_var, narrow.model[1].bn.running_var)


def test_tiles_that_stand_in_have_little_contrast_in_detail() -> None:
    from pithead.learning.exported import clouds

    pixels = np.stack(clouds()).astype(np.float64)
    assert pixels.shape == (16, 256, 256, 3)
    assert np.abs(np.diff(pixels, axis=2)).mean() < 0.2 * pixels.std(axis=(1, 2)).mean()


@pytest.mark.parametrize("source", ["checkpoint", "exported"])
def test_a_network_of_twice_the_width_starts_as_the_same_function(
    source: str, request: pytest.FixtureRequest, narrow: Network, tiles: npt.NDArray[np.uint8]
) -> None:
    import torch

    from pithead.learning import growth
    from pithead.learning.start import start_from

    wide = build("yolo26s-obb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "NOISE", 0.0)
        result = start_from(wide, request.getfixturevalue(source), list(tiles))
    assert (result.taken, result.left, result.how) == (parameters(wide), (), "grown")
    assert_same(wide, narrow, tiles)
    weight = wide.model[3].conv.weight
    assert torch.equal(weight[0::2], weight[1::2])


def test_a_little_noise_parts_the_twins_the_same_at_every_run(narrow: Network) -> None:
    import torch

    from pithead.learning.growth import grow
    from pithead.learning.start import class_layers

    wide, state = build("yolo26s-obb"), narrow.state_dict()
    grown, again = (grow(wide, state, class_layers(wide)) for _ in range(2))
    for name, tensor in grown.items():
        assert torch.equal(tensor, again[name]), name
        if tensor.ndim == 4 and len(tensor) == 2 * len(state[name]) and ".attn." not in name:
            apart = (tensor[0::2] - tensor[1::2]).std() / tensor.std()
            assert 0.01 < apart < 0.02, name  # a hundredth, times the square root of two


@pytest.mark.parametrize(("narrow_heads", "wide_heads"), [(2, 4), (1, 3)])
def test_attention_grows_by_whole_heads_or_not_at_all(
    narrow_heads: int, wide_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from ultralytics.nn.modules.block import Attention

    from pithead.learning import growth

    monkeypatch.setattr(growth, "NOISE", 0.0)

    def only(width: int, heads: int) -> Network:
        attention: Any = Attention(width, num_heads=heads)
        return torch.nn.Sequential(attention)

    torch.manual_seed(0)
    width = 32 * narrow_heads if wide_heads % 2 == 0 else 48
    narrow, wide = only(width, narrow_heads).eval(), only(2 * width, wide_heads).eval()
    state = growth.grow(wide, narrow.state_dict(), (), seed=0)
    fits = {key: state[key].shape == value.shape for key, value in wide.state_dict().items()}
    if wide_heads % 2:
        assert not fits["0.qkv.conv.weight"]
        assert not fits["0.proj.conv.weight"]
        return
    assert all(fits.values())
    wide.load_state_dict(state)
    x = torch.randn(1, width, 4, 4)
    with torch.inference_mode():
        torch.testing.assert_close(
            wide(x.repeat_interleave(2, 1)), narrow(x).repeat_interleave(2, 1), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize(("scale", "how"), [("n", "checkpoint"), ("s", "grown")])
def test_a_fourth_output_is_all_that_is_new(scale: str, how: str, checkpoint: Path, narrow: Network) -> None:
    import torch
    from ultralytics.nn import tasks

    from pithead.learning.start import start_from

    ultralytics: Any = tasks
    plan = ultralytics.yaml_model_load(ROOT / "training" / "models" / "yolo26-obb-p2.yaml")
    network = ultralytics.OBBModel(plan | {"scale": scale}, nc=len(NAMES), verbose=False)
    network.names = dict(enumerate(NAMES))
    start = start_from(network, checkpoint)
    assert start.how == how
    assert {re.sub(r"(cv\d\.\d|\.25)\..*", r"\1", key) for key in start.left} == {
        "model.25", *(f"model.26.{head}cv{i}.3" for head in ("", "one2one_") for i in (2, 3, 4))
    }  # fmt: skip
    if scale == "n":
        ours, theirs = network.model[26].cv4[1][2].weight, narrow.model[23].cv4[1][2].weight
        assert torch.equal(ours, theirs)


def test_class_rows_follow_their_names(checkpoint: Path, narrow: Network) -> None:
    import torch

    from pithead.learning.start import start_from

    network = build(names=("rail_loading", "pond", "Mine_Head"), seed=3)
    fresh = deepcopy(network)
    start = start_from(network, checkpoint)
    layers = {
        f"model.23.{b}.{i}.2.{p}"
        for b in ("cv3", "one2one_cv3")
        for i in range(3)
        for p in ("weight", "bias")
    }
    assert set(start.left) == layers
    assert start.taken == parameters(network) - 6 * (64 + 1)
    ours, theirs, before = (n.model[-1].one2one_cv3[0][-1].weight for n in (network, narrow, fresh))
    assert torch.equal(ours[0], theirs[3])
    assert torch.equal(ours[2], theirs[0])
    assert torch.equal(ours[1], before[1])
    assert torch.equal(network.model[0].conv.weight, narrow.model[0].conv.weight)


def test_as_many_classes_of_other_names_are_others(checkpoint: Path) -> None:
    from pithead.learning.start import start_from

    start = start_from(build(names=("a", "b", "c", "d")), checkpoint)
    assert len(start.left) == 12
    assert all(".cv3." in key or ".one2one_cv3." in key for key in start.left)


def test_class_layers_that_many_classes_made_wide_are_taken_whole(tmp_path: Path) -> None:
    import torch

    from pithead.learning.start import start_from

    source = build("yolo26n", names=tuple(f"class {i}" for i in range(80)), seed=1)
    torch.save({"model": source, "train_args": {}}, tmp_path / "coco.pt")
    network = build("yolo26n", names=("class 7", "pond"))
    assert network.model[-1].cv3[0][-1].in_channels == 64
    start = start_from(network, tmp_path / "coco.pt")
    assert len(start.left) == 12
    assert all(key.endswith(("2.weight", "2.bias")) for key in start.left)
    layer = network.model[-1].cv3[1][-1]
    assert layer.weight.shape == (2, 80, 1, 1)
    assert torch.equal(layer.weight[0], source.model[-1].cv3[1][-1].weight[7])
    assert network.eval()(torch.zeros(1, 3, SIDE, SIDE))[0].shape[2] == 6


def test_angles_of_an_older_head_become_radians() -> None:
    import torch

    from pithead.learning.start import _unbend_angles

    layer: Any = torch.nn.Conv2d(1, 1, 1)
    features = torch.linspace(-0.2, 0.2, 9).reshape(9, 1, 1, 1)
    layer.weight.data[:], layer.bias.data[:] = 1.0, 0.1
    wanted = (torch.sigmoid(layer(features)) - 0.25) * torch.pi
    hidden = torch.ones(2)
    state = {f"model.7.cv4.0.2.{part}": getattr(layer, part).detach() for part in ("weight", "bias")}
    state |= {"model.7.cv4.0.1.bn.bias": hidden, "model.7.cv3.0.2.bias": hidden}
    _unbend_angles(state, 7)
    layer.load_state_dict({part: state[f"model.7.cv4.0.2.{part}"] for part in ("weight", "bias")})
    torch.testing.assert_close(layer(features), wanted, atol=2e-3, rtol=0)
    assert state["model.7.cv4.0.1.bn.bias"] is state["model.7.cv3.0.2.bias"] is hidden


def test_the_starter_can_be_trained_on() -> None:
    from pithead.learning.start import start_from

    detector = Detector.open(STARTER, threads=1)
    card = detector.card
    network = build(str(card.training["model"]), tuple(known.name for known in card.classes))
    start = start_from(network, STARTER)
    assert (start.taken, start.left) == (parameters(network), ())
    tile = np.random.default_rng(0).integers(0, 256, (1, card.tile_px, card.tile_px, 3), np.uint8)
    scores = np.sort(answers(network, tile)["scores"].ravel())[::-1]
    np.testing.assert_allclose(scores[:50], detector.raw(tile)[0, :50, 5], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.pt", None, "found no such file: give the path of a .pt"),
        ("none.onnx", None, "found no such file: give the path of a .pt"),
        ("text.pt", b"nothing", "expected a checkpoint of ultralytics"),
        ("text.onnx", b"nothing", "expected an ONNX file"),
    ],
)
def test_what_is_no_weights_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    from pithead.learning.start import start_from

    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(words)) as caught:
        start_from(build(), path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["yolo26n-obb-of-nobody.pt", "yolo26n-obb.pt"])
def test_a_bare_name_is_not_sought_but_names_the_switch_that_lets_it_be_downloaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pithead.learning import start

    def ask(*_: object) -> None:
        pytest.fail("ultralytics asks the network for such a name, whatever YOLO_OFFLINE says")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_OFFLINE", "1")
    monkeypatch.setattr(start, "load_checkpoint", ask)
    with pytest.raises(WeightsError, match="YOLO_OFFLINE=0"):
        start.start_from(build(), name)
    monkeypatch.setenv("YOLO_OFFLINE", "0")
    assert start.may_be_fetched(name)
    assert not start.may_be_fetched(f"folder/{name}")


def test_an_onnx_file_without_card_or_convolutions_is_refused(make_onnx: MakeOnnx, card_json: str) -> None:
    from pithead.learning.start import start_from

    with pytest.raises(WeightsError, match="has no card"):
        start_from(build(), make_onnx(card=None))
    with pytest.raises(WeightsError, match="single or half precision"):
        start_from(build(), make_onnx())
    with pytest.raises(PitheadError):
        start_from(build(), make_onnx(card=json.dumps({**json.loads(card_json), "schema": 0})))


def test_what_fits_by_chance_is_no_start(checkpoint: Path) -> None:
    from pithead.learning.start import start_from

    with pytest.raises(WeightsError, match="expected weights of a like network"):
        start_from(build("yolo26m-obb"), checkpoint)
