"""A card per source of imagery: complete, and never a licence in training that must not flow into weights."""

import tomllib
from pathlib import Path

import pytest

from pithead.classes import load_classes

CLASSES = load_classes(Path(__file__).resolve().parents[1] / "labeling" / "classes.toml")
SOURCES = sorted((Path(__file__).resolve().parents[1] / "datasets" / "sources").glob("*.toml"))
NEEDED = {"name", "title", "provider", "licence", "use", "gsd_m", "bands", "labels", "get", "notes"}
FREE = ("public domain", "AGPL-3.0-or-later")  # the second: scenes this repository draws itself


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_source_has_a_complete_card(path: Path) -> None:
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    assert card["name"] == path.stem
    assert card.keys() >= NEEDED
    assert card.keys() <= NEEDED | {"attribution", "classes", "group", "numbers"}
    assert set(card.get("classes", {}).values()) <= {*CLASSES.names, "hard_negative"}
    assert set(card.get("group", {}).get("classes", ())) <= set(card.get("classes", {}))
    low, high = card["gsd_m"]
    assert 0 < low <= high
    assert card["use"] in {"training", "measuring"}
    if card["use"] == "training":
        assert card["licence"].startswith(FREE)
    elif card["licence"].startswith("CC BY"):
        assert card["attribution"]
