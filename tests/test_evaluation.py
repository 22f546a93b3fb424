"""Weights measured on labelled scenes: a model that always answers one known box, a truth laid beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeOnnx
from PIL import Image

from pithead.detector import Detector
from pithead.evaluation import LADDER, best_thresholds, evaluate_scene, summary, thresholds_within
from pithead.labels import Label

HEAP, RAIL = 1, 3
GSD_M = 0.6


def scene(tmp_path: Path) -> Path:
    path = tmp_path / "one.png"
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(path)
    return path


def box(class_id: int, x: float, y: float, w: float, h: float, *, ignore: bool = False) -> Label:
    points = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    return Label(class_id, "box", points, closed=True, weight="ignore" if ignore else "target", attributes={})


def test_a_heap_found_in_three_quarters_of_its_length(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    # The model answers 60 x 20 px round (100, 100); the truth is 80 x 20 px from x = 70: IoU 0.75.
    detector = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.9, HEAP]]))
    labels = [box(HEAP, 70, 90, 80, 20), box(RAIL, 10, 10, 50, 10)]
    result = evaluate_scene(scene(tmp_path), labels, detector, gsd_m=GSD_M)
    found = summary([result], detector.card)
    heap, rail = found["classes"]["coal_heap"], found["classes"]["rail_loading"]
    assert (heap["truth"], heap["ap50"], heap["precision"], heap["recall"]) == (1, 1.0, 1.0, 1.0)
    assert heap["area_f1"] == pytest.approx(2 * 60 / (60 + 80), abs=1e-5)
    assert heap["area_ratio_count"] == 0  # compared only from IoU 0.8 on
    assert (rail["truth"], rail["ap50"], rail["precision"], rail["recall"]) == (1, 0.0, None, 0.0)
    assert found["km2"] == pytest.approx((256 * GSD_M / 1000) ** 2)
    assert found["classes"]["mine_head"]["ap50"] is None
    assert best_thresholds([result], detector.card)["coal_heap"] == 0.9
    assert json.loads(json.dumps(found)) == found


def test_a_false_alarm_counts_by_area_unless_it_is_ignored(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    detector = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.9, HEAP]]))
    path, km2 = scene(tmp_path), (256 * GSD_M / 1000) ** 2
    alone = summary([evaluate_scene(path, [], detector, gsd_m=GSD_M)], detector.card)
    assert alone["classes"]["coal_heap"]["false_alarms_per_km2"] == pytest.approx(1 / km2)
    doubtful = [box(HEAP, 60, 80, 90, 40, ignore=True)]
    ignored = summary([evaluate_scene(path, doubtful, detector, gsd_m=GSD_M)], detector.card)
    assert ignored["classes"]["coal_heap"]["false_alarms_per_km2"] == 0


def test_low_scores_count_for_the_curve_only(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    # Score 0.1 is under the card's threshold of 0.25: average precision sees it, counts do not.
    detector = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.1, HEAP]]))
    result = evaluate_scene(scene(tmp_path), [box(HEAP, 70, 90, 60, 20)], detector, gsd_m=GSD_M)
    heap = summary([result], detector.card)["classes"]["coal_heap"]
    assert (heap["ap50"], heap["recall"]) == (1.0, 0.0)


def test_a_fence_seen_in_two_spans_is_half_of_a_fence_twice_as_long(
    tmp_path: Path, make_onnx: MakeOnnx
) -> None:
    fence = 2
    rows = [[x, 100.0, 64.0, 20.0, 0.0, 0.9, fence] for x in (32.0, 96.0, 160.0)]  # 0 to 192 px: 115 m
    detector = Detector.open(make_onnx([list(row) for row in rows]))
    line = Label(
        fence, "line", np.array([[0.0, 100], [250, 100]]), closed=False, weight="target", attributes={}
    )
    lines = summary([evaluate_scene(scene(tmp_path), [line], detector, gsd_m=GSD_M)], detector.card)["lines"]
    # 192 px are drawn, 250 px are there; the 10 m buffer (16.7 px) reaches on beyond the drawn end.
    assert lines["correctness"] == pytest.approx(1.0)
    assert lines["completeness"] == pytest.approx((192 + 10 / GSD_M) / 250, abs=0.02)
    assert lines["quality"] == pytest.approx(192 / (192 + 250 - 192 - 10 / GSD_M), abs=0.02)


def test_a_calibrated_card_gives_probabilities_and_the_same_curve(
    tmp_path: Path, make_onnx: MakeOnnx, card_json: str
) -> None:
    # Beta(2, 1, 0) makes 1/3 of a score of 0.5, under a threshold of 0.4 that the score itself reaches.
    facts = json.loads(card_json)
    for known in facts["classes"]:
        known["threshold"] = 0.4
    rows = [[100, 100, 60, 20, 0, 0.5, HEAP], [200, 200, 60, 20, 0, 0.5, RAIL]]
    plain = Detector.open(make_onnx(rows, card=json.dumps(facts), name="plain.onnx"))
    facts["calibration"] = {"coal_heap": {"rise": 2.0, "fall": 1.0, "offset": 0.0}}
    curved = Detector.open(make_onnx(rows, card=json.dumps(facts), name="curved.onnx"))
    tiles = np.zeros((1, 256, 256, 3), np.uint8)
    assert plain.detect(tiles)[0][:, 6].tolist() == [HEAP, RAIL]
    assert curved.detect(tiles)[0][:, 6].tolist() == [RAIL]
    assert curved.asked_for(min_score=0.3).detect(tiles)[0][:, 5].tolist() == pytest.approx([0.5, 1 / 3])
    np.testing.assert_array_equal(curved.raw(tiles), plain.raw(tiles))
    labels = [box(HEAP, 70, 90, 60, 20)]
    before, after = (evaluate_scene(scene(tmp_path), labels, d, gsd_m=GSD_M) for d in (plain, curved))
    heaps = after.curve.scores[after.curve.classes == HEAP]
    assert heaps.tolist() == pytest.approx([1 / 3])
    first, second = (summary([r], d.card) for r, d in ((before, plain), (after, curved)))
    assert first["classes"]["coal_heap"]["ap50"] == second["classes"]["coal_heap"]["ap50"] == 1.0
    assert second["calibration_error"]["coal_heap"] == pytest.approx(2 / 3)
    assert second["calibration_error"]["mine_head"] is None


def test_a_budget_of_false_alarms_chooses_the_threshold(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    # One false heap of score 0.62 on 0.0236 km²: silent from the rung of 0.65 on.
    detector = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.62, HEAP]]))
    result = evaluate_scene(scene(tmp_path), [], detector, gsd_m=GSD_M)
    assert thresholds_within([result], detector.card, 1.0)["coal_heap"] == 0.65
    assert thresholds_within([result], detector.card, 100.0)["coal_heap"] == LADDER[0]
    loud = Detector.open(make_onnx([[100, 100, 60, 20, 0, 0.99, HEAP]], name="loud.onnx"))
    result = evaluate_scene(scene(tmp_path), [], loud, gsd_m=GSD_M)
    assert thresholds_within([result], loud.card, 1.0)["coal_heap"] == LADDER[-1]
