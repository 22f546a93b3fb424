"""A site over time in the map page: charts, changes, and what cannot be said, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from fastapi import FastAPI
from serving import nothing
from test_web import CONTRAST, DIST, WAIT_MS, Window, browser, served, sync_api, window_on

from pithead.detector import Detector
from pithead.files import sha256_of
from pithead.generate.history import History
from pithead.pretend import write_archive
from pithead.server.app import create_app
from pithead.server.problems import Problem, unavailable
from pithead.server.routes import history as route
from pithead.server.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

__all__ = ["browser"]  # a fixture
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
HISTORY: Final = History.draw(7, dates=6, sensors=2, side_m=700.0)
SITE: Final = HISTORY.name.lower().replace(" ", "-")
DAYS: Final = [shot.date.date().isoformat() for shot in HISTORY.shots]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """A server of a generated history."""
    folder: Path = tmp_path_factory.mktemp("timeline") / "archive"
    write_archive([HISTORY], folder)
    settings = Settings(folder, folder / "pretended.onnx", verify=False, web=DIST)
    card = Detector.open(settings.weights, verify=False).card
    app = create_app(settings, nothing, card=card, weights_sha256=sha256_of(settings.weights))
    yield app
    app.state.historian.close()


@pytest.fixture
def window(browser: "Browser", app: FastAPI) -> Iterator[Window]:
    with served(app) as base, window_on(browser, base) as window:
        yield window


def look(window: Window, hash_: str = "") -> dict[str, Any]:
    """Open the tab; gives what the server tells."""
    window.open(hash_)
    window.page.get_by_role("tab", name="Over time").click()
    window.page.wait_for_selector(".chart", timeout=60_000)
    told: dict[str, Any] = window.ask(f"/v1/sites/{SITE}")
    return told


def date(window: Window, wanted: str) -> None:
    """Wait until the map is of a date."""
    sync_api.expect(window.page.locator(".date")).to_have_text(wanted, timeout=WAIT_MS)


def plot(window: Window, name: str) -> "Locator":
    return window.page.get_by_role("slider", name=name, exact=True)


def measures(told: dict[str, Any], name: str) -> list[dict[str, Any]]:
    (found,) = [one["measures"] for one in told["quantities"] if one["name"] == name]
    return list(found)


# --- charts


def test_every_quantity_has_a_chart_with_intervals_and_gaps(window: Window) -> None:
    told = look(window)
    names = [one.strip().lower() for one in window.page.locator(".charts .chart h3").all_inner_texts()]
    assert names[:3] == ["ground under coal heaps", "volume of coal heaps (proxy)", "coal heaps"]
    assert len(names) == len(told["quantities"]) + len(told["rules"])
    for quantity, chart in zip(told["quantities"], window.page.locator(".chart").all(), strict=False):
        seen = [one for one in quantity["measures"] if one["observable"]]
        assert chart.locator(".interval").count() == len(seen), quantity["name"]
        gaps = chart.locator("rect[fill='url(#gap)'] title").all_text_contents()
        assert gaps == [
            f"{one['date']}: not observable, {told['reasons'][one['reason']]}"
            for one in quantity["measures"]
            if not one["observable"]
        ]


def test_a_date_that_is_chosen_in_a_chart_is_that_of_the_map_and_the_other_way(window: Window) -> None:
    told = look(window)
    date(window, DAYS[-1])
    area = measures(told, "heap_area_m2")
    slider = plot(window, "ground under coal heaps")
    wide = sync_api.expect(slider)
    wide.to_have_attribute("aria-valuenow", "5")
    circles = slider.locator("circle.value")
    seen = [one["date"] for one in area if one["observable"]]
    circles.nth(1).click()
    date(window, seen[1])
    assert f"date={seen[1]}" in window.page.url
    wide.to_have_attribute("aria-valuetext", re.compile(rf"^{seen[1]}: [\d\u202f]+ m² \(.* – .*\); found "))
    window.press("]")
    date(window, DAYS[DAYS.index(seen[1]) + 1])
    wide.to_have_attribute("aria-valuenow", str(DAYS.index(seen[1]) + 1))
    window.page.get_by_role("button", name="All dates").click()
    wide.to_have_attribute("aria-valuetext", "no date is chosen")


def test_charts_are_used_by_keyboard_and_say_why_something_cannot_be_said(window: Window) -> None:
    told = look(window)
    slider = plot(window, "siding occupied by wagons")
    slider.focus()
    window.press("Home")
    date(window, DAYS[0])
    (first, *_) = measures(told, "rail_occupied_m")
    why = told["reasons"][first["reason"]]
    sync_api.expect(slider).to_have_attribute(
        "aria-valuetext", re.compile(rf"^{DAYS[0]}: not observable: {re.escape(why)}; found \d")
    )
    chart = window.page.locator(".chart", has=slider)
    assert why in chart.inner_text()
    window.press("ArrowLeft")  # there is nothing before the first
    window.press("ArrowRight")
    date(window, DAYS[1])
    window.press("End")
    date(window, DAYS[-1])


# --- changes


def test_changes_beyond_their_error_come_first_and_lead_to_their_place(window: Window) -> None:
    told = look(window)
    window.page.get_by_role("button", name="Changes").click()
    sure = [one for one in told["changes"] if one["sure"]]
    region = window.page.get_by_role("region", name="Beyond their error")
    assert region.get_by_role("button").count() == len(sure) > 0
    assert window.page.locator(".change").count() == len(told["changes"])
    (span,) = [one for one in sure if one["kind"] == "span_new"]
    item = region.get_by_role("button", name="guard perimeter: new span")
    assert f"between {span['before_date']} and {span['after_date']}" in item.inner_text()
    item.click()
    date(window, span["after_date"])
    lon, lat = (sum(xy) / len(xy) for xy in zip(*span["geometry"]["coordinates"], strict=True))
    window.until(lambda: _far(window, lon, lat) < 0.002)
    window.page.get_by_role("button", name=f"before {span['before_date']}").click()
    date(window, span["before_date"])
    assert item.get_attribute("aria-pressed") == "true"


def _far(window: Window, lon: float, lat: float) -> float:
    """How far the middle of the map is from a place, in degrees."""
    found = re.search(r"at=[\d.]+/([-\d.]+)/([-\d.]+)", window.page.url)
    if found is None:
        return 360.0
    return max(abs(float(found[1]) - lat), abs(float(found[2]) - lon))


def test_a_review_makes_it_outdated_until_it_is_worked_out_anew(window: Window) -> None:
    look(window, f"#site={SITE}&date={DAYS[-1]}")
    window.press("j")
    window.page.wait_for_selector(".panel")
    window.press("a")
    window.page.get_by_role("button", name="Work it out anew").click()
    window.page.wait_for_selector(".chart", timeout=60_000)
    sync_api.expect(window.page.locator(".outdated")).to_have_count(0)
    told = window.ask(f"/v1/sites/{SITE}")
    assert any(one["measures"][-1]["checked"] for one in told["quantities"])


# --- what cannot be said


def test_what_cannot_be_said_is_listed(window: Window) -> None:
    told = look(window)
    window.page.get_by_role("button", name="Cannot be said").click()
    shown = window.page.locator(".notes li").all_inner_texts()
    assert len(shown) == len(told["notes"]) > 0
    assert shown[0].split(":")[1] == told["notes"][0].split(":")[1]


def test_without_a_site_or_with_nothing_to_tell_one_line_says_so(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(window)
    window.page.get_by_label("Site").first.select_option("All sites")
    assert "Choose a site first" in window.page.locator("#beside").inner_text()

    def refuse(*_: object) -> None:
        raise Problem(404, "Nothing to tell", "No weights have scored a scene of it.")

    monkeypatch.setattr(route, "_order", refuse)
    window.page.get_by_label("Site").first.select_option(HISTORY.name)
    sync_api.expect(window.page.locator("#beside [role=alert]")).to_have_text(
        "No weights have scored a scene of it."
    )


def test_a_history_that_takes_its_time_is_waited_for(
    window: Window, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([unavailable("Being worked out", "it is being worked out")])
    ask = app.state.historian.ask

    def later(order: object) -> object:
        for problem in answers:
            raise problem
        return ask(order)

    monkeypatch.setattr(app.state.historian, "ask", later)
    window.open()
    window.page.get_by_role("tab", name="Over time").click()
    window.page.get_by_text("is being worked out").wait_for()
    window.page.wait_for_selector(".chart", timeout=60_000)
    window.faults.clear()  # the browser notes the 503


# --- for everybody


def test_text_stands_out_and_everything_to_press_has_a_name(window: Window) -> None:
    look(window)
    for part in ("How much", "Changes", "Cannot be said"):
        window.page.get_by_role("button", name=part).click()
        if part == "Changes":
            window.page.locator(".change").first.click()
        assert window.page.evaluate(CONTRAST) == [], part
        told = window.page.locator("body").aria_snapshot()
        assert not re.search(r"^\s*- (button|link|slider|img|region)(:|$| \[)", told, re.MULTILINE), told
