"""Which source a scene is from, by its name, and what its card says."""

from pathlib import Path

import pytest

from pithead.errors import DatasetError
from pithead.sources import provenance, read_sources, source_of

CARDS = read_sources(Path(__file__).resolve().parents[1] / "datasets" / "sources")


@pytest.mark.parametrize(
    ("scene", "source"),
    [
        ("generated_70012", "generated"),
        ("naip-wind-chips-0003", "naip-wind"),
        ("naip-302", "naip"),
        ("usgs-ucm-chips-0000", "usgs-ucm"),
        ("generatedish", None),
        ("a place", None),
    ],
)
def test_the_longest_name_that_a_scene_begins_with(scene: str, source: str | None) -> None:
    assert source_of(scene, CARDS) == source


def test_tiles_are_counted_by_source() -> None:
    tiles = [("generated_1", "generated_1")] * 3 + [
        ("naip-302", "naip/302"),
        ("mine", "a camp"),
        ("mine", "b"),
    ]
    found = provenance(tiles, CARDS)
    assert {name: row["tiles"] for name, row in found.items()} == {"generated": 3, "naip": 1, "unknown": 2}
    assert found["generated"]["licence"] == "AGPL-3.0-or-later"
    assert found["unknown"] == {"tiles": 2}


def test_a_scene_that_is_drawn_on_an_image_is_of_both_sources() -> None:
    tiles = [("generated_1", "naip-wind/m_4109442"), ("generated_2", "349"), ("airbus-oil-7", "port 3")]
    counts = {name: row["tiles"] for name, row in provenance(tiles, CARDS).items()}
    assert counts == {"airbus-oil": 1, "generated": 2, "naip-wind": 1, "unknown": 1}


@pytest.mark.parametrize("text", ["= 1", "name = 'x'"])
def test_a_broken_card_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match="expected the card of a source"):
        read_sources(tmp_path)
