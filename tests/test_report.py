"""A dossier says in every language what a history holds, and no more than it may."""

import csv
import io
import math
import re
import string
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
import shapely
from chronicles import FRAME, GROUND, LAT, LON, by_hand
from hypothesis import given
from hypothesis import strategies as st

from pithead.errors import OptionError
from pithead.report import LANGUAGES, Discretion, Dossier, words_of
from pithead.report.chart import chart
from pithead.report.figures import summary
from pithead.report.index import index_page, ranked, share_of, told_of
from pithead.report.markup import COLOURS
from pithead.report.page import page
from pithead.report.tables import tables
from pithead.report.words import amount
from pithead.sites import QUANTITIES, REASONS, Chronicle, Note
from pithead.sites.differences import ChangeKind
from pithead.sites.notes import TEXTS as NOTES
from pithead.sites.view import How

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ROOT / "pithead" / "report" / "texts"


def dossier(history: Chronicle | None = None, discretion: Discretion | None = None) -> Dossier:
    """A dossier without pictures and sources."""
    told = history or by_hand()
    sure = tuple(one for one in told.changes if one.sure)
    doubtful = tuple(one for one in told.changes if not one.sure)
    return Dossier(told.site.name, "camp-15", told, discretion or Discretion(), sure, doubtful)


class Reader(HTMLParser):
    """What a page holds: its text, the ids in it, what it points at, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(str(value))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def flat(table: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            yield from ((f"{before}{key}.{n}", str(one)) for n, one in enumerate(value))
        else:
            yield f"{before}{key}", str(value)


def texts(language: str) -> dict[str, str]:
    table = tomllib.loads((TEXTS / f"{language}.toml").read_text("utf-8"))
    return {key: text for key, text in flat(table) if not key.startswith(("told.", "note."))}


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


# --- words


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_every_language_says_the_same(language: str) -> None:
    english, other = texts("en"), texts(language)
    assert english.keys() == other.keys()
    assert {key: places(text) for key, text in english.items()} == {
        key: places(text) for key, text in other.items()
    }


def test_korean_is_korean() -> None:
    plain = {key for key, text in texts("ko").items() if not re.search("[가-힣]", text)}
    assert plain <= {
        "change.from_to", "chart.unit", "letter.not_measured", "letter.nothing", "map.scale",
        "provenance.shift_value", "sign.and", "sign.author", "sign.comma", "sign.parts_of", "sign.unknown",
        "summary.by", "summary.value",
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_a_history_has_a_text(language: str) -> None:
    words = words_of(language)
    keys = [f"quantity.{name}" for name in QUANTITIES]
    keys += [f"{part}.{name}" for name in REASONS for part in ("reason", "letter")]
    keys += [f"change.{name}" for name in get_args(ChangeKind)] + [
        f"provenance.{name}" for name in get_args(How)
    ]
    keys += [f"class.{name}" for name in COLOURS]
    assert [key for key in keys if not words.has(key)] == []
    letters = [words(f"letter.{name}") for name in REASONS]
    assert len(set(letters)) == len(letters)


def test_sentences_of_other_parts_are_translated_or_stay_english() -> None:
    words = words_of("ko")
    told = words.note(Note("errors_on", {"cls": "coal_heap", "on": "61 scenes"}))
    assert told.startswith("석탄 더미: ")
    assert "61 scenes" in told
    assert words_of("en").note(Note("nothing_told")) == "No scene of the site can be told of."
    assert words.told("Something that nobody has translated.") is None
    with pytest.raises(OptionError, match="en, ko"):
        words_of("fr")


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_every_note_has_a_sentence_with_the_same_values(language: str) -> None:
    table = tomllib.loads((TEXTS / f"{language}.toml").read_text("utf-8"))["note"]
    assert {code: places(text) for code, text in table.items()} == {
        code: places(text) for code, text in NOTES.items()
    }


def test_the_shipped_rules_are_translated() -> None:
    rules = tomllib.loads((ROOT / "inference" / "signs.toml").read_text("utf-8"))
    assert [name for name, rule in rules.items() if words_of("ko").told(rule["means"]) is None] == []


@pytest.mark.parametrize(
    ("value", "unit", "signed", "told"),
    [
        (1234.5, "m²", False, "1,230 m²"), (12.345, "m", False, "12.3 m"), (0.4, "", True, "0"),
        (-1921.0, "m²", True, "−1,920 m²"), (1921.0, "m²", True, "+1,920 m²"),
        (1.626, "km", False, "1.63 km"), (0.0921, "km²", False, "0.092 km²"),
        (-0.001, "km", True, "0.00 km"), (99.96, "m", False, "100 m"),
    ],
)  # fmt: skip
def test_amounts(value: float, unit: str, signed: bool, told: str) -> None:  # noqa: FBT001
    assert amount(value, unit, signed=signed) == told
    assert amount(value, unit, signed=signed, bare=True) == told.removesuffix(f" {unit}")


def test_classes_have_their_colours() -> None:
    classes = tomllib.loads((ROOT / "labeling" / "classes.toml").read_text("utf-8"))["class"]
    assert {one["name"]: one["colour"] for one in classes} == COLOURS


# --- discretion


def test_a_place_is_told_by_its_cell() -> None:
    assert Discretion().place(126.537124, 39.418731) == (126.53712, 39.41873)
    assert Discretion(coarsen_km=111.195).place(0.3, 39.4)[1] == 39.5
    lon, lat = Discretion(coarsen_km=11.1195).place(LON, LAT)
    assert lat == 39.45  # cells of 0.1°: from 39.4 to 39.5
    assert abs(lon - LON) < 0.07


@given(st.floats(-179, 179), st.floats(-80, 80), st.floats(1, 200), st.floats(0.01, 0.99))
def test_a_coarse_place_is_near_and_says_no_more_than_its_cell(
    lon: float, lat: float, km: float, share: float
) -> None:
    told, step = Discretion(coarsen_km=km), km / 111.195
    place = told.place(lon, lat)
    assert abs(place[1] - lat) <= 0.6 * step  # half a cell, and the rounding of its middle
    assert abs(place[0] - lon) * math.cos(math.radians(place[1])) <= 0.6 * step
    row = (math.floor(lat / step) + share) * step  # anywhere else in the same row of cells
    assert told.place(lon, row) == place


def test_a_grid_that_hides_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match=r"from 0\.5 to 500, got 0\.1"):
        Discretion(coarsen_km=0.1)


def test_names_that_hold_places_are_left_out() -> None:
    told = Discretion(coarsen_km=10)
    assert told.scene("N39.41_E126.5-0123456789ab") == "0123456789ab"
    assert told.text("of N39.41_E126.5-0123456789ab.", ["N39.41_E126.5-0123456789ab"]) == "of 0123456789ab."
    for name in ("Camp 15", "요덕 15호"):
        assert told.site(name, 3) == name
    for name in ("39.41, 126.53", "N39 E126", "39° north"):
        assert told.site(name, 3) == "Site 3"
    assert Discretion().site("39.41, 126.53", 3) == "39.41, 126.53"


def test_shapes_are_drawn_on_a_grid() -> None:
    told = Discretion(coarsen_km=10)
    circle = told.drawn(shapely.box(103, 20, 123, 40))  # its middle is at 113, 30
    assert (circle.centroid.x, circle.centroid.y) == pytest.approx((100, 50))
    line = told.drawn(shapely.LineString([(3, 4), (160, 4), (160, 220)]))
    assert shapely.get_coordinates(line).tolist() == [[0, 0], [150, 0], [150, 200]]
    assert Discretion().drawn(GROUND) is GROUND


# --- the chart


def test_a_chart_has_an_interval_a_date_and_a_gap_where_nothing_can_be_said() -> None:
    history = by_hand()
    text = chart("heap_area_m2", history.quantities["heap_area_m2"], history.views, words_of("en"))
    root = ET.fromstring(text)  # noqa: S314 (our own text)
    circles, gaps = root.findall(".//circle"), root.findall(".//rect")
    assert (len(circles), len(gaps)) == (2, 1)
    assert "under cloud" in "".join(gaps[0].itertext())
    # Values from 0 to 1500 in steps of 500: 216 - 34 - 0 px of height, 400 at its 400 / 1500.
    base, top = 250 - 34, 12
    assert float(circles[0].get("cy", "nan")) == pytest.approx(base - 400 / 1500 * (base - top), abs=0.1)
    # Nothing found under cloud is no zero: two diamonds, not three, and no line across the gap.
    assert len([one for one in root.iter() if str(one.get("d", "")).endswith("z")]) == 2
    lines = [one for one in root.iter() if one.tag.endswith("polyline") and one.get("stroke-opacity")]
    assert lines == []


def test_what_was_found_in_a_gap_is_marked() -> None:
    history = by_hand()
    text = chart("perimeter_km", history.quantities["perimeter_km"], history.views, words_of("en"))
    assert text.count(' z"') == 3  # 0.3 km were seen through the cloud


# --- the page


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("discretion", [Discretion(), Discretion(20, redact=True)], ids=["all", "coarse"])
def test_a_page_asks_for_nothing_and_holds_together(language: str, discretion: Discretion) -> None:
    text = page(dossier(discretion=discretion), words_of(language))
    read = Reader(text)
    assert not read.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert [link for link in read.links if not link.startswith(("#", "data:image/jpeg;base64,"))] == []
    assert "://" not in text.replace("http://www.w3.org", "")
    assert re.findall(r"url\((?!#)|@import", text) == []
    assert len(set(read.ids)) == len(read.ids)
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert f'<html lang="{language}">' in text
    assert not re.search(r"\{\w*\}", read.text.split("@media")[0].split(":root")[0])
    assert "None" not in read.text


def test_a_page_says_what_the_history_holds() -> None:
    text = Reader(page(dossier(), words_of("en"))).text
    for told in (
        "400 m² (360 to 440), 2016-05-01", "1,300 m² (1,170 to 1,430), 2020-05-01",
        "+900 m² (+700 to +1,100)", "not observable: under cloud", "coal heap 2", "appeared",
        "no difference beyond its error", "A person has confirmed 1 of the 5 detections",
        "+2.0, +0.0 ± 0.5", "7 objects", "2" * 64, "Ann Author",
        "39.41873° north, 126.53712° east", "Coal behind a fence.", "These are 1 places to look at",
    ):  # fmt: skip
        assert told in text, told


def test_a_korean_page_is_korean_but_for_names() -> None:
    text = page(dossier(), words_of("ko"))
    read = Reader(text).text
    for told in (
        "석탄 더미 2",
        "새로 나타남",
        "판단 불가: 구름에 가림",
        "+900 m² (+700 ~ +1,100)",
        "북위 39.41873°",
    ):
        assert told in read, told
    english = re.findall(r"[A-Za-z]{4,}(?: [A-Za-z]{2,}){2,}", read.split("}")[-1])
    assert [one for one in english if one not in "Coal behind a fence"] == []
    assert '<dd lang="en">Coal behind a fence.</dd>' in text


def test_names_are_text_and_no_markup() -> None:
    text = page(dossier(by_hand('<b>Camp</b> & "co"', "<i>Kim</i>")), words_of("en"))
    assert "<b>Camp" not in text
    assert "<i>Kim" not in text
    assert "&lt;b&gt;Camp&lt;/b&gt; &amp;" in text


def test_a_site_of_which_nothing_can_be_said_says_so() -> None:
    history = by_hand()
    empty = replace(
        history,
        views=(),
        tracks=(),
        quantities={},
        changes=(),
        signs=(),
        notes=(Note("nothing_told"),),
    )
    for language, told in (("en", "no scene of this site"), ("ko", "판단할 수 있는 영상이 없습니다")):
        text = Reader(page(dossier(empty), words_of(language))).text
        assert told in text
        assert "Changed beyond" not in text
    assert tables(dossier(empty))["quantities"].count("\n") == 1


# --- tables


def test_tables_hold_what_the_history_holds() -> None:
    rows = {name: list(csv.DictReader(io.StringIO(text))) for name, text in tables(dossier()).items()}
    first = rows["quantities"][0]
    assert (first["quantity"], first["value"], first["low"], first["high"]) == (
        "heap_area_m2",
        "400.0",
        "360.0",
        "440.0",
    )
    assert (rows["quantities"][1]["value"], rows["quantities"][1]["reason"]) == ("", "cloud")
    assert [(one["number"], one["sure"]) for one in rows["changes"]] == [
        ("1", "true"),
        ("2", "true"),
        ("", "false"),
    ]
    assert rows["changes"][1]["unit"] == "m²"
    assert [one["state"] for one in rows["states"][3:6]] == ["absent", "not_observable", "present"]
    assert [one["holds"] for one in rows["signs"]] == ["true", "", "true"]
    assert rows["quantities"][0]["acquired"] == "2016-05-01T02:30+00:00"


# --- the index


def test_shares_by_hand() -> None:
    history = by_hand()
    grown, appeared, moved = history.changes
    assert share_of(grown, history) == pytest.approx(700 / 1300)
    assert share_of(appeared, history) == pytest.approx(900 / 1300)  # of 400 + 900 m² found in 2020
    assert share_of(moved, history) == 0
    assert share_of(replace(moved, sure=True), history) == pytest.approx(400 / 1600)
    vanished = replace(appeared, kind="vanished", by=-900.0, low=-900.0, high=-900.0)
    assert share_of(vanished, history) == share_of(appeared, history)


def test_the_index_ranks_changes_of_all_sites_and_points_at_them() -> None:
    small = by_hand("Small")
    small = replace(small, changes=(replace(small.changes[0], low=1.0, high=1799.0),))
    sites = [told_of(dossier(small)), told_of(dossier())]
    order = [(site.name, line.number) for site, line in ranked(sites)]
    assert order == [("Camp 15", 2), ("Camp 15", 1), ("Small", 1)]
    for language in LANGUAGES:
        read = Reader(index_page(sites, words_of(language)))
        assert f"camp-15.{language}.html#change-2" in read.links
        assert {"change-1", "change-2"} <= set(Reader(page(dossier(), words_of(language))).ids)


def test_what_a_person_has_confirmed_comes_first_among_equals() -> None:
    history = by_hand()
    checked = replace(history, changes=(history.changes[1], replace(history.changes[1], checked=True)))
    assert [line.number for _, line in ranked([told_of(dossier(checked))])] == [2, 1]


def test_a_frame_is_rounded_with_the_site() -> None:
    assert dossier(discretion=Discretion(20)).place != (FRAME.lon, FRAME.lat)


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_errors_of_the_weights_what_was_found_is_told_and_no_difference(language: str) -> None:
    told, words = by_hand(), words_of(language)
    bare = {"observable": False, "reason": "not_measured", "value": None, "low": None, "high": None}
    (name, measures), *_ = told.quantities.items()
    found = tuple(replace(one, **bare, raw=1000.0 * number) for number, one in enumerate(measures, 1))
    text = summary(dossier(replace(told, quantities={name: found})), words)
    assert "1,000" in text
    assert f"{len(measures)},000" in text
    assert words("summary.no_error") in text
    assert words("summary.unobservable") not in text
