import dataclasses
import json
import math
from typing import Any

import pytest

from pithead.card import BoxErrors, Card, CardClass, ClassErrors, LineErrors, Rate, SizeRecall
from pithead.errors import CardError

HEAP = CardClass("coal_heap", "box", "#ffe119", 0.3)
WALL = CardClass("guard_perimeter", "line", "#f58231", 0.2)
CARD = Card("starter", (HEAP, WALL), 640, 0.6, "AGPL-3.0-or-later", metrics={"map50": 0.8})

BOX = BoxErrors(10, 1.5, 0.01, 0.1, -0.02, 0.1, -0.01, 0.15, along_share=0.05, across_share=0.06)
RECALL = (SizeRecall(0.0, 20.0, 5, 2), SizeRecall(20.0, math.inf, 10, 9))
ERRORS = ClassErrors("coal_heap", RECALL, Rate(14, 11), 2.5, BOX, None, "30 scenes", 30, 1.2, (0.3, 1.2))
LINE = LineErrors(0.9, None, None, None, None)
WALLS = ClassErrors("guard_perimeter", RECALL, Rate(0, 0), 0.0, None, LINE, "x", 1, 1.2, (0.6, 0.6), RECALL)


def test_a_card_comes_back_from_its_json_unchanged() -> None:
    assert Card.from_json(CARD.to_json()) == CARD


def test_thresholds_and_line_classes_are_in_the_order_of_the_ids() -> None:
    assert CARD.thresholds == (0.3, 0.2)
    assert CARD.line_classes == frozenset({1})


def test_the_json_of_equal_cards_is_equal() -> None:
    assert CARD.to_json() == dataclasses.replace(CARD).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"tile_px": 600},  # not on the 32 px grid
        {"tile_px": 640.0},
        {"tile_px": True},
        {"gsd_m": 0},
        {"gsd_m": float("nan")},
        {"classes": ()},
        {"classes": (HEAP, HEAP)},
        {"schema": 1},
        {"name": ""},
        {"top_k": 0},
    ],
)
def test_an_impossible_card_is_not_born(change: dict[str, object]) -> None:
    with pytest.raises(CardError):
        dataclasses.replace(CARD, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"geometry": "point"}, {"colour": "red"}, {"colour": "#12345g"}, {"threshold": 1.5}, {"name": ""}],
)
def test_an_impossible_class_is_not_born(change: dict[str, object]) -> None:
    with pytest.raises(CardError):
        dataclasses.replace(HEAP, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "{", json.dumps({**json.loads(CARD.to_json()), "extra": 1})],
)
def test_a_broken_card_is_one_clear_error(text: str) -> None:
    with pytest.raises(CardError, match="export the weights again"):
        Card.from_json(text)


def test_a_class_without_a_threshold_is_named() -> None:
    table = json.loads(CARD.to_json())
    del table["classes"][0]["threshold"]
    with pytest.raises(CardError, match="threshold"):
        Card.from_json(json.dumps(table))


def test_a_card_without_errors_is_the_text_it_always_was() -> None:
    assert "errors" not in json.loads(CARD.to_json())
    assert Card.from_json(CARD.to_json()).errors == ()
    assert CARD.errors_of("coal_heap") is None


def test_errors_come_back_from_json_unchanged() -> None:
    card = dataclasses.replace(CARD, errors=(ERRORS, WALLS))
    back = Card.from_json(card.to_json())
    assert back == card
    assert back.to_json() == card.to_json()
    assert back.errors_of("guard_perimeter") == WALLS
    assert json.loads(card.to_json())["errors"][0]["recall"][1]["high_m"] is None  # JSON knows no infinity
    assert dataclasses.replace(back, errors=()).to_json() == CARD.to_json()


def test_recall_by_size_has_no_gaps() -> None:
    assert [ERRORS.recall_of(size) for size in (0.0, 19.9, 20.0, 1e6)] == [
        RECALL[0], RECALL[0], RECALL[1], RECALL[1],
    ]  # fmt: skip
    assert ERRORS.recall_at(0.5) is None  # nobody has told
    assert (RECALL[0].share, SizeRecall(0, 1, 0, 0).share, Rate(0, 0).share) == (0.4, None, None)
    assert [one.words for one in (*RECALL, SizeRecall(20.0, 50.0, 0, 0))] == [
        "under 20 m", "from 20 m", "20 to 50 m",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"name": "ditch"},
        {"name": "guard_perimeter"},  # which is a line and has no boxes
        {"recall": ()},
        {"recall": (RECALL[1], RECALL[0])},
        {"recall": (RECALL[0], SizeRecall(30.0, 40.0, 0, 0))},
        {"false_alarms_km2": -1.0},
        {"km2": 0.0},
        {"scenes": 0},
        {"on": ""},
        {"gsd_m": (1.2, 0.3)},
        {"recall_dispersion": 0.5},
        {"lines": LINE},
    ],
)
def test_impossible_errors_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=r"export\.py|card\.py --errors"):
        dataclasses.replace(CARD, errors=(dataclasses.replace(ERRORS, **change),))


def test_impossible_parts_of_errors_are_refused() -> None:
    for wrong in (
        lambda: SizeRecall(0, 20, 5, 6),
        lambda: SizeRecall(20, 20, 5, 5),
        lambda: SizeRecall(0, math.nan, 5, 5),
        lambda: Rate(1, 2),
        lambda: Rate(found=1, right=True),
        lambda: dataclasses.replace(BOX, pairs=1),
        lambda: dataclasses.replace(BOX, area_sd=-0.1),
        lambda: dataclasses.replace(BOX, length_bias=math.inf),
        lambda: dataclasses.replace(LINE, completeness=1.1),
        lambda: dataclasses.replace(LINE, pairs=1, rings=2),
        lambda: dataclasses.replace(CARD, errors=(ERRORS, ERRORS)),
    ):
        with pytest.raises(CardError):
            wrong()


def test_broken_errors_are_one_clear_error() -> None:
    good = json.loads(dataclasses.replace(CARD, errors=(ERRORS,)).to_json())
    some: tuple[Any, ...] = (
        {}, None, "none", [1], [{}], [{**good["errors"][0], "more": 1}],
        [{**good["errors"][0], "gsd_m": 1}],
        [{**good["errors"][0], "gsd_m": [1]}],
        [{**good["errors"][0], "recall": None}],
        [{**good["errors"][0], "recall": [{"low_m": 0}]}],
        [{**good["errors"][0], "precision": [1, 2]}],
        [{**good["errors"][0], "box": {}}],
    )  # fmt: skip
    for wrong in some:
        with pytest.raises(CardError, match="expected in a card"):
            Card.from_json(json.dumps({**good, "errors": wrong}))
