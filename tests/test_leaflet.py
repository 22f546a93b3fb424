"""The page beside weights says what the card says, whatever is missing on it."""

from dataclasses import replace
from typing import Any

import pytest

from pithead.card import BoxErrors, Card, ClassErrors, LineErrors, Rate, SizeRecall
from pithead.card.words import in_order
from pithead.leaflet import page, selected

SHA = "0f" * 32


def figures(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    table = {
        "scenes": 20,
        "sites": 4,
        "km2": 17.5,
        "classes": {
            "mine_head": {"truth": 0, "ap50": None, "threshold": 0.5},
            "coal_heap": {"truth": 9, "ap50": 0.905, "ap50_95": 0.6, "threshold": 0.5, "area_f1": 0.78},
            "rail_loading": {"truth": 5, "ap50": 0.31, "ap50_95": 0.1, "threshold": 0.5},
        },
        "mean": {"ap50": 0.6, "ap50_95": 0.35},
        "intervals": {"coal_heap": {"ap50": [0.81, 0.953]}, "mean": {"ap50": [0.5, 0.7]}, "lines": {}},
        "lines": {
            "buffer_m": 10.0, "completeness": 0.9, "correctness": 0.8, "quality": None, "truth_km": 17.7,
        },
        "by_circumstance": {
            "site": {"a": {"scenes": 1, "classes": {}}},
            "season": {"unknown": {"scenes": 20, "mean_ap50": 0.6, "classes": {}}},
            "ground resolution": {
                "0.45 to 0.75 m": {"scenes": 7, "mean_ap50": 0.5, "classes": {}},
                "from 1.05 m": {
                    "scenes": 5, "mean_ap50": 0.412, "classes": {"coal_heap": {"ap50": 0.5}},
                },
                "under 0.45 m": {"scenes": 8, "mean_ap50": 0.7, "classes": {}},
            },
        },
        "curves": {"coal_heap": list(range(1000))},
    }  # fmt: skip
    return {**table, **changes}


@pytest.fixture(name="card")
def _card(card_json: str) -> Card:
    return Card.from_json(card_json)


def test_a_bare_card_says_what_is_not_known(card: Card) -> None:
    text = page(card, "constant.onnx", SHA)
    assert text.startswith("# constant\n\n`constant.onnx`, sha256 `" + SHA)
    assert "Not told by the run." in text
    assert "Not calibrated: a score is no probability." in text
    assert "Not measured apart: ground resolution, snow, season, off nadir." in text
    assert text == page(card, "constant.onnx", SHA)


def test_figures_come_with_intervals_and_limits(card: Card) -> None:
    text = page(replace(card, metrics={"held-out scenes": selected(figures())}), "x.onnx", SHA)
    assert "## How good: held-out scenes\n\n20 scenes of 4 sites, 17.5 km²" in text
    assert "| coal_heap | 0.500 | 9 | 0.905 [0.810, 0.953] | 0.600 | 0.780 |" in text
    assert "| mean | – | – | 0.600 [0.500, 0.700] | 0.350 | – |" in text
    assert "completeness 0.900, correctness 0.800, quality –, of 17.7 km" in text
    assert "not to be counted with (AP50 under 0.5): rail_loading." in text
    assert "held-out scenes has no mine_head" in text
    ranges = [text.index(name) for name in ("| under 0.45 m | 8", "| 0.45 to 0.75 m | 7")]
    assert sorted([*ranges, text.index("| from 1.05 m | 5 | 0.412 | 0.500 |")])[:2] == ranges
    assert "Not measured apart: snow, season, off nadir." in text


def test_a_card_that_was_written_and_read_has_the_same_page(card: Card) -> None:
    """JSON has keys by the alphabet: the order in which figures were put on the card must not show."""
    told = replace(card, metrics={"b": selected(figures()), "a": selected(figures())})
    assert page(Card.from_json(told.to_json()), "x.onnx", SHA) == page(told, "x.onnx", SHA)


def test_ranges_stand_from_low_to_high_and_names_by_the_alphabet() -> None:
    assert in_order(["from 20°", "10 to 20°", "5 to 10°", "unknown", "under 5°"]) == [
        "unknown",
        "under 5°",
        "5 to 10°",
        "10 to 20°",
        "from 20°",
    ]
    assert in_order(["from 1.2.3", "WV02", "PHR1A", "under the bridge"]) == sorted(
        ["from 1.2.3", "WV02", "PHR1A", "under the bridge"]
    )


def test_only_what_a_person_needs_is_kept(card: Card) -> None:
    kept = selected(figures())
    assert "curves" not in kept
    assert set(kept["by_circumstance"]) == {"season", "ground resolution"}  # sites are not named in weights
    assert Card.from_json(replace(card, metrics={"a": kept}).to_json()).metrics["a"] == kept
    old = {"scenes": 2, "km2": 1.0, "classes": {"coal_heap": {"truth": 1, "ap50": 0.9, "threshold": 0.5}}}
    assert "| coal_heap | 0.500 | 1 | 0.900 |" in page(replace(card, metrics={"b": old}), "x.onnx", SHA)


def test_sources_heads_scores_and_precision(card: Card) -> None:
    table = {"on": "169 tiles", "mean_ap50": 0.9, "ap50": {"coal_heap": 0.9, "mine_head": None}}
    sources = {"naip": {"tiles": 3, "title": "NAIP", "licence": "public domain", "use": "training"}}
    training: dict[str, Any] = {
        "model": "yolo26n-obb",
        "data": {"scenes": 3, "tiles": {"train": 2}, "objects": {"coal_heap": 4}, "sources": sources},
        "head": {"shipped": "one-to-one", "why": "the better of both", "one-to-one": table},
        "parity": {
            "tiles": 10, "rows": 99, "shift_px": 0.0012, "score_change": 2e-6, "on": "169 tiles",
            "mean_ap50": 0.9, "mean_ap50_torch": 0.9,
        },
        "precision": {"type": "int8", "on": "169 tiles", "mean_ap50": 0.88, "mean_ap50_single": 0.9},
        "steps": 12,
    }  # fmt: skip
    errors = {
        "scenes": 30,
        "before": {"coal_heap": 0.2, "all": 0.1},
        "after": {"coal_heap": 0.02, "all": 0.01},
    }
    told = replace(
        card,
        training=training,
        calibration={"coal_heap": {"rise": 1.0, "fall": 1.0, "offset": 0.0}},
        metrics={"calibration": {"false_alarms_per_km2": 0.5, "fit": errors, "check": errors}},
    )
    text = page(told, "x.onnx", SHA)
    assert "| naip | NAIP | 3 | public domain | training |" in text
    assert "Not for passing on" not in text
    assert "Shipped is the one-to-one head: the better of both." in text
    assert "99 rows of 10 tiles within 0.0012 px and 2e-06 of score" in text
    assert "| coal_heap | yes | 0.200 | 0.020 | 0.200 | 0.020 |" in text
    assert "by chance" not in text.lower()
    errors["by_chance"] = {"coal_heap": 0.015}
    chance = page(told, "x.onnx", SHA)
    assert "| coal_heap | yes | 0.200 | 0.020 | 0.015 | 0.200 | 0.020 | 0.015 |" in chance
    assert "what so few detections would have" in chance
    assert "| mine_head | no: too few | – | – | – | – |" in text
    assert "thresholds keep to 0.5 false alarms of a class per km²" in text
    assert "Mean AP50 on 169 tiles: 0.880, in single precision 0.900." in text
    assert "- steps: 12" in text
    assert "How good: calibration" not in text
    assert "What it started from" not in text
    training["data"]["sources"]["unknown"] = {"tiles": 1}
    assert "**Not for passing on" in page(replace(told, training=training), "x.onnx", SHA)


def test_the_page_says_what_it_goes_back_to_and_whether_that_may_be_passed_on(card: Card) -> None:
    def told(*lineage: dict[str, Any]) -> str:
        text = page(replace(card, training={"lineage": list(lineage), "steps": 1}), "x.onnx", SHA)
        assert "- lineage:" not in text
        start = text.index("## What it started from")
        return text[start : text.index("## ", start + 3)]

    own: dict[str, Any] = {
        "file": "best.pt", "sha256": "ab" * 32, "name": "n", "sources": {"naip": {"use": "training"}},
    }  # fmt: skip
    first = {
        "file": "yolo26n-obb.pt", "sha256": "cd" * 32, "publisher": "ultralytics", "licence": "AGPL-3.0",
        "pretrained_on": "DOTA", "use": "academic use",
    }  # fmt: skip
    text = told(own, first)
    assert f"| best.pt | n | {'ab' * 32} | naip (training) | – |" in text
    row = f"| yolo26n-obb.pt | weights of ultralytics (AGPL-3.0) | {'cd' * 32} | DOTA (academic use) | – |"
    assert row in text
    assert "Not for passing on" not in text
    assert "not known" not in text
    assert "From nothing" in told()

    measured = {**own, "sources": {"airbus-oil": {"use": "measuring"}, "unknown": {"tiles": 1}}}
    assert "**Not for passing on: these have learnt from" in told(own, measured, first)
    assert "would follow the weights: airbus-oil, unknown.**" in told(own, measured, first)
    text = told(own, {"file": "a.onnx", "sha256": "unknown", "sources": "unknown", "lineage": "unknown"})
    assert "| a.onnx | – | unknown | unknown | – |" in text
    assert "What a.onnx learnt from is not known: ask before you pass on what came of it." in text
    assert "What a.onnx started from is not known." in text
    assert "Not for passing on" not in text


def test_how_wrong_detections_are(card: Card) -> None:
    assert "How wrong" not in page(card, "x.onnx", SHA)
    recall = (SizeRecall(0.0, 20.0, 5, 2), SizeRecall(20.0, 50.0, 0, 0), SizeRecall(50.0, float("inf"), 9, 9))
    box = BoxErrors(10, 1.5, 0.0, 0.1, 0.0, 0.1, 0.0953, 0.15)
    heap = ClassErrors("coal_heap", recall, Rate(14, 11), 2.5, box, None, "these", 30, 1.25, (0.3, 1.2))
    line = LineErrors(0.9, None, 1.25, 0.0, 0.1, pairs=4)
    wall = ClassErrors("guard_perimeter", recall, Rate(0, 0), 0.0, None, line, "these", 30, 1.25, (0.3, 1.2))
    text = page(replace(card, errors=(heap, wall)), "x.onnx", SHA)
    assert "Measured on these: 30 scenes, 1.2 km², 0.30 to 1.20 m per pixel. It holds for scenes like" in text
    assert "| coal_heap | 14 | 11 | 2.50 | 1.0, 1.0 |" in text
    assert "| coal_heap | under 20 m 2 of 5, from 50 m 9 of 9 | – |" in text
    row = "| coal_heap | 10 | 1.50 | – | – | 1.000 ± 0.100 | 1.000 ± 0.100 | 1.100 ± 0.150 | ± 0.000 |"
    assert row in text
    assert "| guard_perimeter | 0.900 | – | 1.25 | 4 | 1.000 ± 0.100 | 0 | – |" in text
    assert text == page(Card.from_json(replace(card, errors=(heap, wall)).to_json()), "x.onnx", SHA)
