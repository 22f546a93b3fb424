from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tiny import NAMES, SIDE, tiny_recipe

from pithead.card import Card, CardClass
from pithead.detector import Detector
from pithead.errors import ExportError, WeightsError
from pithead.learning.quiet import quiet_ultralytics

Network = Any  # ultralytics publishes no types
CARD = Card(
    "tiny",
    tuple(CardClass(n, "box", "#000000", 0.0) for n in NAMES),
    SIDE,
    0.6,
    "AGPL-3.0-or-later",
    top_k=20,
)


@pytest.fixture(scope="module", name="tiles")
def _tiles() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(name="model")
def _model(tmp_path_factory: pytest.TempPathFactory, tiles: npt.NDArray[np.uint8]) -> Network:
    """Return a network of random weights whose scores spread over (0, 1) and whose angles over the circle."""
    quiet_ultralytics(tmp_path_factory.mktemp("settings"))
    import torch

    from pithead.learning.model import build_model

    torch.manual_seed(0)
    model = build_model(tiny_recipe(Path("x")), NAMES)
    generator = torch.Generator().manual_seed(0)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics of these tiles: else a fresh network says the same everywhere
    with torch.inference_mode():
        model.train()(torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255)
    for layers, spread in ((model.model[-1].one2one_cv3, 0.5), (model.model[-1].one2one_cv4, 0.3)):
        for layer in layers:
            layer[-1].weight.data.normal_(0, spread, generator=generator)
            layer[-1].bias.data.zero_()
    return model


def test_the_file_gives_what_ultralytics_gives(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    import torch

    from pithead.export import export

    with torch.inference_mode():
        theirs = model.eval()(torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255)[0].numpy()
    parity = export(model, CARD, tmp_path / "tiny.onnx", tiles)
    assert parity.tiles == 5
    assert parity.rows > 20
    detector = Detector.open(tmp_path / "tiny.onnx")
    assert detector.card == CARD
    found = detector.detect(tiles)
    for ours, raw in zip(found, theirs, strict=True):
        raw = raw[:20]  # noqa: PLW2901 (top_k of the card)
        np.testing.assert_allclose(ours[:, 5], raw[:, 4], atol=1e-3)
        np.testing.assert_allclose(ours[:, :2], raw[:, :2], atol=0.1)
        np.testing.assert_allclose(ours[:, 2:4].prod(axis=1), raw[:, 2:4].prod(axis=1), rtol=1e-2, atol=1.0)
        assert (ours[:, 2] >= ours[:, 3]).all()
        assert ((ours[:, 4] >= -np.pi / 2) & (ours[:, 4] < np.pi / 2)).all()
        turned = raw[:, 6] + np.where(raw[:, 2] < raw[:, 3], np.pi / 2, 0)
        np.testing.assert_allclose(np.abs(np.cos(ours[:, 4] - turned)), 1, atol=1e-3)


def test_any_number_of_tiles_goes_in_and_the_batch_changes_nothing(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from pithead.export import export

    export(model, CARD, tmp_path / "tiny.onnx", tiles)
    detector = Detector.open(tmp_path / "tiny.onnx", threads=1)
    together, alone = detector.detect(tiles), [detector.detect(tile[None])[0] for tile in tiles]
    for one, other in zip(together, alone, strict=True):
        assert one.shape == (20, 7)
        assert np.array_equal(one, other)
    # the graph itself takes a batch, for a GPU
    batch = detector._session.run(["detections"], {"tiles": tiles})[0]
    assert batch.shape == (3, 20, 7)
    np.testing.assert_allclose(batch[:, :, 5], [rows[:, 5] for rows in together], atol=1e-4)


def test_a_graph_that_differs_from_torch_is_not_written(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from pithead import export

    def shifted(contract: Network, card: Card) -> bytes:
        for layer in contract.head.one2one_cv2:
            layer[-1].bias.data += 0.5  # boxes grow by 4 px and more at stride 8
        content = graph(contract, card)
        for layer in contract.head.one2one_cv2:
            layer[-1].bias.data -= 0.5
        return content

    graph = export._graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_graph", shifted)
        with pytest.raises(ExportError, match="expected ONNX Runtime within"):
            export.export(model, CARD, tmp_path / "tiny.onnx", tiles)
    assert list(tmp_path.iterdir()) == []


def test_a_card_of_other_classes_is_an_error(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from dataclasses import replace

    from pithead.export import export

    with pytest.raises(ExportError, match="expected the classes"):
        export(model, replace(CARD, classes=CARD.classes[:2]), tmp_path / "x.onnx", tiles)


def test_partners_are_found_whatever_the_order_and_a_near_square_may_turn() -> None:
    from pithead.export import _farthest

    rows = np.array([[10, 10, 8, 4, 0, 0.9, 0], [30, 10, 5, 5, 0.2, 0.8, 1]], np.float32)
    other = rows[::-1].copy()
    other[0, 4] -= np.pi / 2
    other[1, 0] += 0.05
    assert _farthest(rows, other) == pytest.approx((0.05, 0.0), abs=1e-5)
    other[1, 6] = 3
    assert _farthest(rows, other)[0] == np.inf


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_a_missing_or_broken_checkpoint_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    quiet_ultralytics(tmp_path / "settings")
    from pithead.export import read_checkpoint

    if content is not None:
        (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pt"):
        read_checkpoint(tmp_path / "x.pt")
