import dataclasses
import json

import pytest

from pithead.card import Card, CardClass
from pithead.errors import CardError

HEAP = CardClass("coal_heap", "box", "#ffe119", 0.3)
WALL = CardClass("guard_perimeter", "line", "#f58231", 0.2)
CARD = Card("starter", (HEAP, WALL), 640, 0.6, "AGPL-3.0-or-later", metrics={"map50": 0.8})


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
