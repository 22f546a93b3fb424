"""Average precision is what others call average precision: pycocotools and ultralytics are the oracles."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.evaluation import IOUS
from pithead.geometry import rotated_iou
from pithead.imagery import open_scene
from pithead.labels import in_grid, read_jsonl, tile_rows
from pithead.metrics import Matches, ap_by_class, match, match_scene
from pithead.tiling import Grid, read_tile

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "datasets" / "demo"
CLASSES = 3
WITHIN = 0.005 + 1e-9  # of all found and nothing else ultralytics makes 0.995

Floats = npt.NDArray[np.float64]
Image = tuple[Floats, Floats, npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]]
"""Boxes found, their scores and classes, true boxes and their classes."""


def upright(rng: np.random.Generator) -> Image:
    """True upright boxes; most of them found a little beside, and some that are not there."""
    truth = np.column_stack([rng.uniform(0, 300, (25, 2)), rng.uniform(10, 60, (25, 2)), np.zeros(25)])
    of = rng.integers(0, CLASSES, 25)
    kept = rng.random(25) < 0.8
    near = truth[kept] + np.column_stack([rng.normal(0, 4, (kept.sum(), 4)), np.zeros(kept.sum())])
    far = np.column_stack([rng.uniform(0, 300, (9, 2)), rng.uniform(10, 60, (9, 2)), np.zeros(9)])
    boxes = np.concatenate([near, near[:4] + np.eye(1, 5) * 3, far])
    boxes[:, 2:4] = np.maximum(boxes[:, 2:4], 4)
    classes = np.concatenate([of[kept], of[kept][:4], rng.integers(0, CLASSES, 9)])
    return boxes, rng.random(len(boxes)), classes, truth, of


def coco(images: list[Image]) -> npt.NDArray[np.float64]:
    """The AP of pycocotools, (10, CLASSES): by IoU and class."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (boxes, scores, classes, true, of) in enumerate(images, 1):
        for box, k in zip(true, of, strict=True):
            row = {"id": len(truths) + 1, "image_id": image, "category_id": int(k), "iscrowd": 0}
            truths.append({**row, "bbox": corner(box), "area": float(box[2] * box[3])})
        for box, score, k in zip(boxes, scores, classes, strict=True):
            row = {"image_id": image, "category_id": int(k), "bbox": corner(box)}
            found.append({**row, "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(images))],
            "annotations": truths,
            "categories": [{"id": k} for k in range(CLASSES)],
        }
        known.createIndex()
        measured = COCOeval(known, known.loadRes(found), "bbox")
        measured.params.maxDets = [1000]
        measured.evaluate()
        measured.accumulate()
    return np.asarray(measured.eval["precision"][:, :, :, 0, 0].mean(axis=1))


def corner(box: Floats) -> list[float]:
    cx, cy, w, h, _ = box.tolist()
    return [cx - w / 2, cy - h / 2, w, h]


@pytest.mark.parametrize("seed", range(4))
def test_pycocotools_gives_the_same_on_upright_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [upright(rng) for _ in range(8)]
    theirs = coco(images)
    for iou, row in zip(IOUS, theirs, strict=True):
        matches = [match_scene(b, s, c, t, of, iou=iou) for b, s, c, t, of in images]
        ours = [result.ap for result in ap_by_class(matches, [0.0] * CLASSES, "101_point")]
        assert ours == pytest.approx(row.tolist(), abs=1e-6)
    assert 0.3 < theirs[0].mean() < 0.95  # neither all nor nothing is found


def demo_tiles() -> list[Image]:
    """What the shipped weights find on the tiles of the shipped scene, and what is there."""
    detector = Detector.open(ROOT / "weights" / "starter.onnx")
    card = detector.card
    labels = read_jsonl(DEMO / "labels.jsonl", load_classes(ROOT / "labeling" / "classes.toml"))["demo"]
    found: list[Image] = []
    with open_scene(DEMO / "demo.tif") as scene:
        grid = Grid.of(scene, card.gsd_m, card.tile_px, 0)
        taught = in_grid(
            labels,
            grid.to_grid,
            span_width_px=card.span_width_m / card.gsd_m,
            strip_pad_px=card.strip_pad_m / card.gsd_m,
        )
        for window in grid.windows():
            there = tile_rows(taught, window)
            if not len(there.boxes):
                continue
            rows = detector.raw(read_tile(scene, grid, window).data[None])[0]
            rows = rows[rows[:, 5] >= 0.01]
            rows = rows[np.argsort(-rows[:, 5], kind="stable")].astype(np.float64)
            found.append((rows[:, :5], rows[:, 5], rows[:, 6].astype(np.int64), there.boxes, there.classes))
    return found


def test_ultralytics_gives_the_same_on_the_same_tiles() -> None:
    """Within 0.005 by the same overlap; ultralytics' own, of two normal distributions, is more lenient."""
    torch, validator = pytest.importorskip("torch"), pytest.importorskip("ultralytics.models.yolo.obb")
    from ultralytics.utils.metrics import ap_per_class, batch_probiou

    tiles = demo_tiles()
    about = SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10))

    def theirs(overlaps: list[Floats]) -> list[float]:
        right = [
            validator.OBBValidator.match_predictions(about, *map(torch.tensor, (c, of, o))).numpy()
            for (_, _, c, _, of), o in zip(tiles, overlaps, strict=True)
        ]
        columns = (right, *([tile[i] for tile in tiles] for i in (1, 2, 4)))
        return list(ap_per_class(*(np.concatenate(column) for column in columns))[5][:, 0])

    def ours(overlaps: list[Floats]) -> list[float | None]:
        found = []
        for (_, scores, classes, _, of), overlap in zip(tiles, overlaps, strict=True):
            hit = np.zeros(len(scores), np.bool_)
            for k in np.unique(classes):
                hit[classes == k] = match(scores[classes == k], overlap[of == k][:, classes == k].T) >= 0
            found.append(Matches(scores, classes, hit, of))
        return [result.ap for result in ap_by_class(found, [0.0] * 4)]

    exact = [rotated_iou(truth, boxes) for boxes, _, _, truth, _ in tiles]
    normal = [
        batch_probiou(torch.tensor(truth), torch.tensor(boxes)).numpy() for boxes, _, _, truth, _ in tiles
    ]
    assert ours(exact) == pytest.approx(theirs(exact), abs=WITHIN)
    assert ours(normal) == pytest.approx(theirs(normal), abs=WITHIN)
    assert all(strict <= lenient for strict, lenient in zip(theirs(exact), theirs(normal), strict=True))
    whole = [match_scene(boxes, s, c, truth, of) for boxes, s, c, truth, of in tiles]
    assert [r.ap for r in ap_by_class(whole, [0.0] * 4)] == pytest.approx(ours(exact), abs=1e-12)
