"""Reviews stand in the log, and the last one of a detection counts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely

from pithead.errors import EvidenceError, OptionError
from pithead.evidence import Log
from pithead.review import GIVEN, Review, give, reviews

BOX = shapely.box(129.0, 39.0, 129.001, 39.002)
REVIEW = Review("a" * 16, "b" * 64, "coal_heap", "accept", "N. N.", BOX, note="seen in 2018 too")


def test_the_last_review_of_a_detection_counts(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    assert reviews(log) == {}
    give(log, REVIEW)
    fence = shapely.LineString([(1, 2), (3, 4)])
    fence = shapely.LineString([(1, 2), (3, 4)])
    other = replace(REVIEW, detection="0" * 16, decision="redraw", geometry=fence)
    give(log, other)
    log.append("weights.registered", {"detection": "none"})
    second = replace(REVIEW, decision="relabel", new_class="rail_loading")
    record = give(log, second)
    found = reviews(log)
    assert list(found) == ["0" * 16, "a" * 16]
    assert found["a" * 16] == replace(second, given=record.time)
    assert found["0" * 16].geometry.equals(other.geometry)
    assert len([record for record in log.records() if record.kind == GIVEN]) == 3


def test_facts_are_geojson(tmp_path: Path) -> None:
    record = give(Log(tmp_path / "log.jsonl"), REVIEW)
    assert record.facts is not None
    assert record.facts["geometry"]["type"] == "Polygon"
    assert record.facts["geometry"]["coordinates"][0][0] == [129.001, 39.0]
    assert record.facts["class"] == "coal_heap"
    names = "detection scene_sha256 class decision new_class geometry frame note reviewer"
    assert sorted(record.facts) == sorted(names.split())


def test_what_a_decision_says() -> None:
    assert REVIEW.stands
    assert REVIEW.settled_class == "coal_heap"
    assert not replace(REVIEW, decision="reject").stands
    assert replace(REVIEW, decision="relabel", new_class="mine_head").settled_class == "mine_head"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decision": "maybe"}, "expected one of accept, reject, relabel, redraw, got 'maybe'"),
        ({"reviewer": ""}, "and a reviewer"),
        ({"decision": "relabel"}, "expected a new class to relabel"),
        ({"new_class": "mine_head"}, "and none to accept, got 'mine_head'"),
        ({"geometry": shapely.Polygon()}, "got an empty one"),
        ({"geometry": shapely.box(0, 0, 500, 10)}, "expected longitude and latitude"),
        ({"frame": "map"}, 'expected "lonlat" or "px"'),
    ],
)
def test_impossible_reviews(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(REVIEW, **change)
    assert replace(REVIEW, geometry=shapely.box(0, 0, 500, 10), frame="px").frame == "px"


def test_a_malformed_review_in_the_log_is_named(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.append(GIVEN, {"detection": "a", "class": "coal_heap"})
    with pytest.raises(EvidenceError, match="expected a review in record 0"):
        reviews(log)
