"""What leaves training: both heads in one contract, ONNX Runtime held against torch, and the better head."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pithead.card import Card, CardClass
from pithead.detector import Detector
from pithead.errors import DatasetError, ExportError, OptionError, WeightsError
from pithead.learning.quiet import quiet_ultralytics
from pithead.trial import LabelledTile, Score, over_tiles

Network = Any  # ultralytics publishes no types
NAMES = ("mine_head", "coal_heap", "guard_perimeter", "rail_loading")
SIDE = 128
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


@pytest.fixture(scope="module", name="model")
def _model(tmp_path_factory: pytest.TempPathFactory, tiles: npt.NDArray[np.uint8]) -> Network:
    return network(tmp_path_factory.mktemp("settings"), tiles)


def network(folder: Path, tiles: npt.NDArray[np.uint8], kind: str = "yolo26n-obb") -> Network:
    """Return a network of random weights whose scores spread over (0, 1) and whose angles over the circle."""
    quiet_ultralytics(folder)
    import torch
    from ultralytics.nn.tasks import DetectionModel, OBBModel

    torch.manual_seed(0)
    make = OBBModel if kind.endswith("-obb") else DetectionModel
    model: Network = make(f"{kind}.yaml", nc=len(NAMES), verbose=False)  # type: ignore[no-untyped-call]
    model.names = dict(enumerate(NAMES))
    generator = torch.Generator().manual_seed(0)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics of these tiles: else a fresh network says the same everywhere
    with torch.inference_mode():
        model.train()(torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255)
    last = model.model[-1]
    for name, spread in (("cv3", 0.5), ("cv4", 0.3)):
        for layers in (getattr(last, name, ()), getattr(last, f"one2one_{name}", ())):
            for layer in layers:
                layer[-1].weight.data.normal_(0, spread, generator=generator)
                layer[-1].bias.data.zero_()
    return model


@pytest.fixture(scope="module", name="files")
def _files(
    tmp_path_factory: pytest.TempPathFactory, model: Network, tiles: npt.NDArray[np.uint8]
) -> dict[str, Path]:
    """The network exported by each of its heads."""
    from pithead.export import HEADS, export

    folder = tmp_path_factory.mktemp("files")
    for head in HEADS:
        parity = export(model, CARD, folder / f"{head}.onnx", tiles, head=head)
        assert parity.tiles == 5
        assert parity.rows > 20
        assert parity.shift_px < 0.1
    return {head: folder / f"{head}.onnx" for head in HEADS}


def upstream(model: Network, tiles: npt.NDArray[np.uint8], *, end2end: bool) -> Any:  # noqa: ANN401
    import torch

    model.end2end = end2end
    with torch.inference_mode():
        return model.eval()(torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255)[0]


def test_the_file_gives_what_ultralytics_gives(
    model: Network, files: dict[str, Path], tiles: npt.NDArray[np.uint8]
) -> None:
    detector = Detector.open(files["one-to-one"])
    assert detector.card == CARD
    theirs = upstream(model, tiles, end2end=True).numpy()
    for ours, raw in zip(detector.detect(tiles), theirs, strict=True):
        raw = raw[:20]  # noqa: PLW2901 (top_k of the card)
        np.testing.assert_allclose(ours[:, 5], raw[:, 4], atol=1e-3)
        np.testing.assert_allclose(ours[:, :2], raw[:, :2], atol=0.1)
        np.testing.assert_allclose(ours[:, 2:4].prod(axis=1), raw[:, 2:4].prod(axis=1), rtol=1e-2, atol=1.0)
        assert (ours[:, 2] >= ours[:, 3]).all()
        assert ((ours[:, 4] >= -np.pi / 2) & (ours[:, 4] < np.pi / 2)).all()
        turned = raw[:, 6] + np.where(raw[:, 2] < raw[:, 3], np.pi / 2, 0)
        np.testing.assert_allclose(np.abs(np.cos(ours[:, 4] - turned)), 1, atol=1e-3)


def test_the_other_head_has_what_fast_suppression_keeps(
    model: Network, files: dict[str, Path], tiles: npt.NDArray[np.uint8]
) -> None:
    """In the fast suppression of ultralytics a suppressed row suppresses, too: it keeps no more than ours."""
    import torch
    from ultralytics.utils.metrics import batch_probiou
    from ultralytics.utils.nms import TorchNMS

    from pithead.export.contract import SAME

    theirs = upstream(model, tiles, end2end=False).permute(0, 2, 1)
    for rows, cells in zip(Detector.open(files["one-to-many"]).raw(tiles), theirs, strict=True):
        assert (np.diff(rows[:, 5]) <= 0).all()
        boxes = torch.cat((cells[:, :4], cells[:, 8:9]), dim=1)
        for kind in range(4):
            scores = cells[:, 4 + kind].contiguous()
            kept = scores[TorchNMS.fast_nms(boxes, scores, SAME, iou_func=batch_probiou)].numpy()
            kept = kept[kept > rows[:, 5].min() + 1e-3]
            mine = rows[rows[:, 6] == kind, 5]
            assert len(kept) <= len(mine)
            assert all(np.abs(mine - score).min() < 1e-3 for score in kept)


@pytest.mark.parametrize("head", ["one-to-one", "one-to-many"])
def test_any_number_of_tiles_goes_in_and_the_batch_changes_nothing(
    files: dict[str, Path], tiles: npt.NDArray[np.uint8], head: str
) -> None:
    detector = Detector.open(files[head], threads=1)
    together, alone = detector.detect(tiles), [detector.detect(tile[None])[0] for tile in tiles]
    for one, other in zip(together, alone, strict=True):
        assert one.shape == (20, 7)
        assert np.array_equal(one, other)
    # the graph itself takes a batch, for a GPU
    batch = detector.session.run(["detections"], {"tiles": tiles})[0]
    assert batch.shape == (3, 20, 7)
    np.testing.assert_allclose(batch[:, :, 5], [rows[:, 5] for rows in together], atol=1e-4)


def test_upright_boxes_keep_the_contract(tmp_path: Path, tiles: npt.NDArray[np.uint8]) -> None:
    from pithead.export import HEADS, Contract, has_heads

    model = network(tmp_path / "settings", tiles, "yolo26n")
    assert has_heads(model) == HEADS
    theirs = upstream(model, tiles, end2end=True).numpy()[:, :20]  # corners
    for head in HEADS:
        rows = Contract(model, CARD, head).eval().raw(tiles)
        if head == "one-to-one":
            np.testing.assert_allclose(rows[..., 0], theirs[..., [0, 2]].mean(axis=2), atol=1e-2)
            sides = np.sort(theirs[..., 2:4] - theirs[..., :2], axis=2)[..., ::-1]
            np.testing.assert_allclose(rows[..., 2:4], sides, atol=1e-2)
        assert set(np.unique(rows[..., 4])) <= {np.float32(0), np.float32(-np.pi / 2)}
        assert (rows[..., 2] >= rows[..., 3]).all()
        assert (np.abs(rows[..., 0] - SIDE / 2) < SIDE).all()


def test_a_graph_that_differs_from_torch_is_not_written(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from pithead.export import export, graph

    def shifted(contract: Network, card: Card) -> bytes:
        for layer in contract.head.one2one_cv2 or contract.head.cv2:
            layer[-1].bias.data += 0.5  # boxes grow by 4 px and more at stride 8
        content = written(contract, card)
        for layer in contract.head.one2one_cv2 or contract.head.cv2:
            layer[-1].bias.data -= 0.5
        return content

    written = graph._graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_graph", shifted)
        with pytest.raises(ExportError, match="expected ONNX Runtime within"):
            export(model, CARD, tmp_path / "tiny.onnx", tiles)
    assert list(tmp_path.iterdir()) == []


def test_a_card_of_other_classes_is_an_error(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from pithead.export import export

    with pytest.raises(ExportError, match="expected the classes"):
        export(model, replace(CARD, classes=CARD.classes[:2]), tmp_path / "x.onnx", tiles)


def test_a_head_that_is_not_there_is_an_error(tmp_path: Path, tiles: npt.NDArray[np.uint8]) -> None:
    from pithead.export import Contract, export, has_heads

    old = network(tmp_path / "settings", tiles, "yolo11n-obb")
    assert has_heads(old) == ("one-to-many",)
    with pytest.raises(
        ExportError, match="expected a network with a one-to-one head, got one of one-to-many"
    ):
        export(old, CARD, tmp_path / "x.onnx", tiles)
    assert Contract(old, CARD, "one-to-many").eval().raw(tiles).shape == (3, 20, 7)


def greedy(overlap: npt.NDArray[np.float32], kinds: npt.NDArray[np.float32], limit: float) -> list[int]:
    kept: list[int] = []
    for i in range(len(overlap)):
        if all(overlap[j, i] < limit or kinds[j] != kinds[i] for j in kept):
            kept.append(i)
    return kept


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_suppression_keeps_what_going_through_them_one_by_one_keeps(seed: int, count: int) -> None:
    import torch

    from pithead.export.contract import SAME, overlaps, suppressed

    rng = np.random.default_rng(seed)
    rows = np.zeros((1, count, 7), np.float32)
    rows[0, :, :2] = rng.uniform(0, 60, (count, 2))
    rows[0, :, 2:4] = np.sort(rng.uniform(4, 40, (count, 2)))[:, ::-1]
    rows[0, :, 4] = rng.uniform(-np.pi / 2, np.pi / 2, count)
    rows[0, :, 5] = np.linspace(0.95, 0.1, count)
    rows[0, :, 6] = rng.integers(0, 2, count)
    there = torch.from_numpy(rows)
    found = suppressed(there, count)[0].numpy()
    kept = greedy(overlaps(there)[0].numpy(), rows[0, :, 6], SAME)
    np.testing.assert_array_equal(found[found[:, 5] > 0], rows[0, kept])
    assert (found[len(kept) :, 5] == 0).all()
    assert suppressed(there, 3).shape == (1, min(3, count), 7)


def test_overlaps_are_those_of_ultralytics(tmp_path: Path) -> None:
    quiet_ultralytics(tmp_path)
    import torch
    from ultralytics.utils.metrics import batch_probiou

    from pithead.export.contract import overlaps

    rng = np.random.default_rng(0)
    boxes = np.concatenate(
        (rng.uniform(0, 640, (50, 2)), rng.uniform(3, 300, (50, 2)), rng.uniform(-2, 2, (50, 1))), axis=1
    )
    boxes[1] = boxes[0]
    rows = torch.from_numpy(boxes)
    ours, theirs = overlaps(rows[None])[0].numpy(), batch_probiou(rows, rows).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert ours[0, 1] == pytest.approx(1)
    # By hand: squares of 12 px beside each other have a distance of 144 / 12 / 8 = 1.5.
    pair = torch.tensor([[[6.0, 6, 12, 12, 0], [18, 6, 12, 12, 0]]])
    assert float(overlaps(pair)[0, 0, 1]) == pytest.approx(1 - (1 - np.exp(-1.5)) ** 0.5, abs=1e-6)


def test_the_better_head_is_shipped_and_the_card_says_why(
    model: Network, files: dict[str, Path], tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    """The truth of each tile is what the one-to-many head sees there: then that head is the better."""
    from pithead.export import ship

    rows = Detector.open(files["one-to-many"]).raw(tiles)
    rows = [r[r[:, 5] > 0.02][:8].astype(np.float64) for r in rows]  # type: ignore[assignment]
    none = np.zeros((0, 5))
    told = [
        LabelledTile(tile, r[:, :5], r[:, 6].astype(np.int64), none)
        for tile, r in zip(tiles, rows, strict=True)
    ]
    shipped = ship(model, CARD, tmp_path / "best.onnx", tiles, over_tiles(told, "3 tiles"))
    assert shipped.head == "one-to-many"
    assert (shipped.scores["one-to-many"].mean or 0) > (shipped.scores["one-to-one"].mean or 0) + 0.002
    detector = Detector.open(tmp_path / "best.onnx")
    np.testing.assert_array_equal(detector.raw(tiles), Detector.open(files["one-to-many"]).raw(tiles))
    head = detector.card.training["head"]
    assert head["shipped"] == "one-to-many"
    assert head["one-to-one"]["on"] == "3 tiles"
    assert "the better of both, mean AP50 on 3 tiles: one-to-one 0." in head["why"]
    assert detector.card.training["parity"]["mean_ap50"] == pytest.approx(
        detector.card.training["parity"]["mean_ap50_torch"], abs=0.002
    )


def test_a_file_that_scores_another_ap50_than_torch_is_not_shipped(
    model: Network, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    from pithead.export import Contract, ship

    def measure(weights: object) -> Score:
        return Score("made up", {"coal_heap": 0.903 if isinstance(weights, Contract) else 0.9})

    with pytest.raises(ExportError, match=r"got 0\.9000 and 0\.9030; nothing was written"):
        ship(model, CARD, tmp_path / "x.onnx", tiles, measure, "one-to-one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("one", "many", "head", "why"),
    [
        (0.9, 0.9021, "one-to-many", "the better of both"),
        (0.9, 0.9019, "one-to-one", "as good as the other within 0.002"),
        (0.9, 0.8, "one-to-one", "the better of both"),
        (None, 0.8, "one-to-one", "nothing could be measured"),
    ],
)
def test_the_choice_of_a_head(one: float | None, many: float, head: str, why: str) -> None:
    from pithead.export import choose

    scores = {"one-to-one": Score("x", {"a": one}), "one-to-many": Score("x", {"a": many})}
    chosen, reason = choose(scores)  # type: ignore[arg-type]
    assert chosen == head
    assert reason.startswith(why)


def test_partners_are_found_whatever_the_order_and_a_near_square_may_turn() -> None:
    from pithead.export.parity import _farthest

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


@pytest.mark.parametrize(
    ("most", "indices"),
    [(1, [0]), (2, [0, 3]), (5, [0, 1, 2, 4, 5]), (7, list(range(7))), (9, list(range(7)))],
)
def test_tiles_to_measure_on_are_spread_over_all(most: int, indices: list[int]) -> None:
    from pithead.learning.samples import TrainTile, spread

    tiles = tuple(TrainTile(Path(str(i)), Path("x"), None, frozenset()) for i in range(7))
    assert [int(tile.path.name) for tile in spread(tiles, most)] == indices


def test_no_tiles_to_compare_on_are_one_clear_error(tmp_path: Path) -> None:
    from pithead.export import LabelledTiles

    held_out = LabelledTiles.__new__(LabelledTiles)
    held_out.tiles = ()
    with pytest.raises(OptionError, match="at least 1 tile to compare on, got 0"):
        held_out.pixels(0)
    with pytest.raises(DatasetError):
        LabelledTiles(tmp_path, "val", SIDE, 4)
