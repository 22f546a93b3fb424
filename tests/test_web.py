"""The map page in a real browser, on the real server."""

import hashlib
import io
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pytest
import uvicorn
from conftest import MakeOnnx
from fastapi import FastAPI
from oracle import position_scene
from PIL import Image
from server_archive import SERVED, Found, add, put, write_flat, write_scene
from serving import nothing
from test_scan import write_scene as write_tile

from pithead.card import Card
from pithead.files import sha256_of
from pithead.rescore import Archive
from pithead.server.app import create_app
from pithead.server.keys import Keyring
from pithead.server.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Route

# rio-tiler silences these, but only for one thread at a time, as warnings are of a whole process.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

WEB: Final = Path(__file__).resolve().parents[1] / "inference" / "web"
DIST: Final = WEB / "dist"
CHROMIUM: Final = shutil.which("chromium")
COLOURS: Final = {
    "mine_head": (0xE6, 0x19, 0x4B),
    "coal_heap": (0xFF, 0xE1, 0x19),
    "guard_perimeter": (0xF5, 0x82, 0x31),
    "rail_loading": (0x42, 0xD4, 0xF4),
}
WAIT_MS: Final = 20_000
# A graphics card that the processor plays.
FLAGS: Final = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")

MINE = Found("mine_head", 0.5, (220, 60, 290, 130))
HEAP = Found("coal_heap", 0.9, (100, 100, 160, 130))
WALL = Found("guard_perimeter", 0.3, (40, 180, 240, 180, 240, 260, 40, 260), line=True)
RACK = Found("rail_loading", 0.55, (60, 140, 300, 160))


# --- what is built


def sources() -> list[Path]:
    found = [path for path in (WEB / "src").rglob("*") if path.is_file()]
    return [*found, WEB / "build.js", WEB / "package-lock.json", WEB / "tsconfig.json"]


def test_the_page_was_built_from_the_sources_as_they_are() -> None:
    by_name = {path.relative_to(WEB).as_posix(): path for path in sources()}
    whole = hashlib.sha256()
    for name in sorted(by_name):
        whole.update(f"{name}\n{sha256_of(by_name[name])}\n".encode())
    built = (DIST / "sources.sha256").read_text().strip()
    assert whole.hexdigest() == built, (
        "expected the page of these sources: npm run build in inference/web makes it"
    )


def test_the_page_names_nothing_to_fetch_from_elsewhere() -> None:
    page = (DIST / "index.html").read_text()
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["icon.svg", "app.css", "app.js"]
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page)
    assert not re.search(r"url\((?!data:|\"data:|'data:)|@import", (DIST / "app.css").read_text())


def test_every_package_that_is_bundled_has_its_licence() -> None:
    told = (DIST / "LICENCES.txt").read_text()
    for name in ("maplibre-gl", "preact", "@preact/signals", "earcut", "pbf", "gl-matrix"):
        assert re.search(rf"^{re.escape(name)} \d", told, re.MULTILINE), name


def test_the_lock_names_no_registry() -> None:
    assert "http" not in re.sub(r'"url": "https://[^"]*"', "", (WEB / "package-lock.json").read_text())


# --- the server and the browser


@contextmanager
def served(app: FastAPI, *, worker: bool = False) -> Iterator[str]:
    """The application on a free port of this machine; its address."""
    config = uvicorn.Config(
        app,
        port=0,
        log_level="error",
        ws="none",
        lifespan="on" if worker else "off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server has ended"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A site at two dates, and a scene of no place."""
    archive = Archive.open(tmp_path / "archive", make=True)
    old = add(archive, write_scene(tmp_path / "old.tif"), "Camp 15", "2019-03-12")
    new = add(archive, write_scene(tmp_path / "new.tif", 90), "Camp 15", "2024-05-07")
    flat = add(archive, write_flat(tmp_path / "flat.png"), "Camp 15")
    put(archive, old, [MINE, HEAP, WALL])
    put(archive, new, [HEAP])
    put(archive, flat, [RACK])
    return archive


@pytest.fixture
def app(tmp_path: Path, archive: Archive, card: Card) -> FastAPI:
    settings = Settings(archive.catalog.folder, tmp_path / "weights.onnx", web=DIST)
    return create_app(settings, nothing, card=card, weights_sha256=SERVED)


@dataclass
class Window:
    """A page of a browser, and what it should not have done."""

    page: "Page"
    base: str
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        def hear(line: "ConsoleMessage") -> None:
            # The browser itself notes a 503, which the page takes calmly where a picture is being made.
            making = "a status of 503" in line.text and "/tiles/" in line.location["url"]
            if line.type == "error" and not making:
                self.faults.append(line.text)

        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", hear)

    def open(self, hash_: str = "") -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/{hash_}")
        self.page.wait_for_selector(".maplibregl-canvas")

    def rows(self, count: int) -> list[str]:
        """The names in the list, once there are so many."""
        sync_api.expect(self.page.locator(".row")).to_have_count(count, timeout=WAIT_MS)
        return [name.strip() for name in self.page.locator(".row .name").all_inner_texts()]

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def said(self, text: str) -> None:
        """Wait for what a screen reader is told."""
        sync_api.expect(self.page.locator("[role=status]")).to_contain_text(text, timeout=WAIT_MS)

    def ask(self, path: str) -> Any:  # noqa: ANN401 (JSON)
        answer = self.page.request.get(f"{self.base}{path}")
        assert answer.ok, answer.text()
        return answer.json()

    def pixels(self) -> npt.NDArray[np.int16]:
        """The map as one sees it."""
        picture = Image.open(io.BytesIO(self.page.locator(".map").screenshot()))
        return np.asarray(picture.convert("RGB"), np.int16)

    def drawn(self) -> dict[str, int]:
        """How many pixels of the map have the colour of each class."""
        pixels = self.pixels()
        return {name: _alike(pixels, colour) for name, colour in COLOURS.items()}

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that the page does not tell holds."""
        end = time.monotonic() + WAIT_MS / 1000
        while not holds():
            assert time.monotonic() < end, f"it never came about: {self.drawn()}"
            self.page.wait_for_timeout(100)


def _alike(pixels: npt.NDArray[np.int16], colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - np.array(colour)).max(axis=-1) < 12).sum())


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def window_on(browser: "Browser", base: str) -> Iterator[Window]:
    """A fresh window; at the end it must have asked nobody else, and complained of nothing."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, reduced_motion="reduce")
    window = Window(context.new_page(), base)
    window.watch()
    yield window
    context.close()
    outside = [url for url in window.asked if not url.startswith((base, "about:", f"blob:{base}", "data:"))]
    assert outside == []
    # The browser itself notes what is answered with 4xx; refusals are looked for where they are meant.
    assert [fault for fault in window.faults if "the server responded with a status of 4" not in fault] == []


@pytest.fixture
def window(browser: "Browser", app: FastAPI) -> Iterator[Window]:
    with served(app) as base, window_on(browser, base) as window:
        yield window


# --- looking


def test_the_only_site_is_shown_at_its_last_date_and_the_slider_goes_back(window: Window) -> None:
    window.open()
    assert window.rows(1) == ["coal heap"]
    assert window.page.locator(".date").inner_text() == "2024-05-07"
    window.press("[")
    # The nearer the score is to the threshold, 0.25, the less certain.
    assert window.rows(3) == ["guard perimeter", "mine head", "coal heap"]
    window.until(
        lambda: all(window.drawn()[name] > 40 for name in ("mine_head", "coal_heap", "guard_perimeter"))
    )
    assert window.page.get_by_label("Date", exact=True).get_attribute("aria-valuetext") == "2019-03-12"


def test_filters_hold_for_the_list_and_for_the_map(window: Window) -> None:
    window.open("#site=camp-15&date=2019-03-12")
    window.rows(3)
    window.page.get_by_role("button", name="coal heap").click()
    assert window.rows(1) == ["coal heap"]
    window.until(lambda: window.drawn()["coal_heap"] > 40 and window.drawn()["mine_head"] == 0)
    window.page.get_by_role("button", name="Clear filters").click()
    window.rows(3)
    window.page.get_by_label("Lowest score").fill("0.4")
    assert window.rows(2) == ["mine head", "coal heap"]
    window.page.get_by_role("button", name="accepted").click()
    window.rows(0)
    sync_api.expect(window.page.locator(".foot")).to_have_text("Nothing passes these filters.")
    window.open("#site=elsewhere")
    sync_api.expect(window.page.locator(".foot")).to_have_text("No detections here.")


def test_a_link_shows_the_same_view(window: Window) -> None:
    window.open("#site=camp-15&date=2019-03-12")
    window.rows(3)
    window.page.get_by_role("button", name="mine head").click()
    window.rows(1)
    window.press("j")
    window.page.wait_for_selector(".panel")
    window.page.wait_for_timeout(500)
    link = window.page.url
    window.open(link.removeprefix(f"{window.base}/"))
    assert window.rows(1) == ["mine head"]
    assert window.page.locator(".panel h2").inner_text() == "mine head"
    assert window.page.url == link


def test_from_far_away_detections_are_counted(window: Window) -> None:
    window.open("#at=7/39.75/129")
    window.page.wait_for_selector(".cell")
    assert window.page.locator(".cell").all_inner_texts() == ["4"]  # the flat scene has no place
    assert "4 detections in sight" in window.page.locator(".sight").inner_text()


def test_a_scene_of_no_place_is_shown_alone(window: Window) -> None:
    window.open()
    window.page.get_by_role("tab", name="Scenes").click()
    window.page.get_by_role("button", name="no georeference").click()
    window.page.get_by_role("tab", name="Detections").click()
    assert window.rows(1) == ["rail loading"]
    window.until(lambda: window.drawn()["rail_loading"] > 40)
    window.until(lambda: _alike(window.pixels(), (128, 128, 128)) > 100_000)  # the scene itself


def test_the_panel_tells_measures_and_where_it_comes_from(window: Window) -> None:
    window.open()
    window.rows(1)
    window.press("j")
    window.page.wait_for_selector(".chip-picture img")
    told = window.page.locator(".panel").inner_text()
    # 60 × 30 px of 0.5 m
    assert re.search(r"Length\s+30 m\s+Width\s+15 m\s+Area\s+450 m²", told)
    assert SERVED[:12] in told
    assert "2024-05-07" in told
    assert window.page.locator(".chip-picture img").get_attribute("alt") == (
        "Image of coal heap, 30 × 15 m, taken 2024-05-07"
    )


# --- pictures that are being made


def test_a_picture_that_is_being_made_is_asked_for_again(browser: "Browser", app: FastAPI) -> None:
    key = Keyring(app.state.desk.database).add("looker", "submit")
    asked: Counter[str] = Counter()
    made: set[str] = set()

    def twice(route: "Route") -> None:
        """A picture is made by the time that one of its tiles is asked for again the second time."""
        asked[route.request.url] += 1
        picture = route.request.url.split("/tiles/")[0]
        if asked[route.request.url] > 2:
            made.add(picture)
        if picture not in made:
            route.fulfill(status=503, headers={"Retry-After": "1"})
        else:
            route.continue_()

    with served(app) as base, window_on(browser, base) as window:
        window.page.route("**/tiles/**", twice)
        window.page.goto(base)
        window.page.get_by_role("textbox", name="Key").fill(key)
        window.page.get_by_role("button", name="Enter").click()
        window.rows(1)
        window.page.get_by_role("tab", name="Scenes").click()
        window.page.get_by_role("button", name="no georeference").click()
        told = window.page.get_by_text("The picture is being made")
        told.wait_for()
        assert window.page.evaluate(CONTRAST) == []
        window.until(lambda: _alike(window.pixels(), (128, 128, 128)) > 100_000)  # the scene itself
        sync_api.expect(told).to_have_count(0, timeout=WAIT_MS)
        assert max(asked.values()) >= 3


def test_one_tile_asks_for_all_of_a_picture_and_none_once_it_is_out_of_sight(window: Window) -> None:
    asked: list[str] = []

    def never(route: "Route") -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, headers={"Retry-After": "1"})

    window.page.route("**/tiles/**", never)
    began = time.monotonic()
    window.open("#site=camp-15&date=2019-03-12")
    told = window.page.get_by_text("The picture is being made")
    told.wait_for()
    window.until(lambda: len(asked) - len(set(asked)) >= 3)
    again = len(asked) - len(set(asked))
    assert again <= time.monotonic() - began  # no more than one a second, however many tiles wait
    assert len(set(asked)) > 1
    assert max(Counter(asked).values()) == again + 1  # one tile asked them all
    for _ in range(6):
        window.page.get_by_role("button", name="Zoom out").click()
        window.page.wait_for_timeout(100)
    sync_api.expect(told).to_have_count(0, timeout=WAIT_MS)
    begun = len(asked)
    window.page.wait_for_timeout(1500)
    assert len(asked) == begun


# --- reviewing


def test_a_review_by_keyboard_is_there_after_a_reload(window: Window) -> None:
    window.open("#site=camp-15&date=2019-03-12")
    window.rows(3)
    window.press("j")
    window.page.wait_for_selector(".panel")
    window.press("a")
    window.said("accepted: guard perimeter")
    sync_api.expect(window.page.locator(".panel h2")).to_have_text("mine head")  # the next in the queue
    window.press("r")
    window.said("rejected: mine head")
    sync_api.expect(window.page.locator(".panel h2")).to_have_text("coal heap")
    window.press("n")
    window.page.keyboard.type("a ramp")  # the letters go into the note and decide nothing
    window.press("Escape")
    window.press("l")
    window.press("1")
    window.said("relabelled: mine head")
    window.open("#site=camp-15&date=2019-03-12")
    assert window.rows(3) == ["guard perimeter", "mine head", "mine head"]
    marks = window.page.locator(".row [role=img]")
    assert [mark.get_attribute("aria-label") for mark in marks.all()] == [
        "accepted",
        "rejected",
        "relabelled",
    ]
    found = window.ask("/v1/detections?site=camp-15&from=2019-03-12&to=2019-03-12&order=uncertainty")
    reviews = [feature["properties"]["review"] for feature in found["features"]]
    assert [(one["decision"], one["class"], one["note"], one["reviewer"]) for one in reviews] == [
        ("accept", None, "", "local"),
        ("reject", None, "", "local"),
        ("relabel", "mine_head", "a ramp", "local"),
    ]


@pytest.mark.parametrize("place", ["#site=camp-15&date=2024-05-07", "flat"])
def test_an_outline_is_redrawn_by_its_corners(window: Window, place: str) -> None:
    window.open()
    window.rows(1)
    if place == "flat":
        (flat,) = [one for one in window.ask("/v1/scenes")["scenes"] if one["frame"] == "px"]
        place = f"#scene={flat['id']}"
    window.open(place)
    window.rows(1)
    window.press("j")
    window.page.wait_for_selector(".panel")
    window.press("e")
    window.page.wait_for_selector(".grip-corner")
    window.page.wait_for_timeout(500)
    for _ in range(4):
        window.page.locator(".grip-corner").first.press("Shift+ArrowLeft")
    window.press("Enter")
    window.said("redrawn")
    (link,) = [part for part in window.page.url.split("&") if part.startswith("d=")]
    (feature, before) = (window.ask(f"/v1/detections/{link[2:]}"), 30 if "scene" not in place else 120)
    assert feature["properties"]["review"]["decision"] == "redraw"
    assert feature["properties"]["model_geometry"] != feature["geometry"]
    # It is a box still, longer on one side only.
    sides = sorted([feature["properties"]["length_m"], feature["properties"]["width_m"]])
    assert sides[0] == pytest.approx(15 if before == 30 else 10, abs=0.2)
    assert sides[1] != pytest.approx(before, abs=0.2)


@pytest.mark.parametrize("way", ["Escape", "another is chosen"])
def test_a_redraw_is_given_up(window: Window, way: str) -> None:
    window.open("#site=camp-15&date=2019-03-12")
    window.rows(3)
    window.page.locator(".row").last.click()
    window.page.wait_for_selector(".panel")
    window.press("e")
    window.page.wait_for_selector(".grip-corner")
    window.page.locator(".grip-move").press("ArrowUp")
    if way == "Escape":
        window.press(way)
    else:
        window.page.locator(".row").first.click()
    sync_api.expect(window.page.locator(".grip")).to_have_count(0)
    window.press("Enter")
    assert window.ask("/v1/detections?review=redraw")["matched"] == 0


def test_single_keys_can_be_switched_off(window: Window) -> None:
    window.open()
    window.rows(1)
    window.press("?")
    window.page.get_by_label("Single keys").uncheck()
    window.page.get_by_role("button", name="Close").click()
    window.press("j")
    window.page.wait_for_timeout(300)
    assert window.page.locator(".panel").count() == 0
    window.page.get_by_role("listbox", name="Detections").press("ArrowDown")  # the list is used all the same
    window.page.wait_for_selector(".panel")


# --- adding


def drop(window: Window, path: Path, kind: str) -> None:
    """Drop a file on the page, as a hand with a mouse does."""
    held = window.page.evaluate_handle(
        """([name, type, bytes]) => {
            const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return held;
        }""",
        [path.name, kind, list(path.read_bytes())],
    )
    for event in ("dragover", "drop"):
        window.page.locator(".page").dispatch_event(event, {"dataTransfer": held})


def test_a_tile_that_is_dropped_is_scored_and_shown(
    browser: "Browser", tmp_path: Path, make_onnx: MakeOnnx, card: Card
) -> None:
    weights = make_onnx([[128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]])
    settings = Settings(tmp_path / "archive", weights, verify=False, threads=1, web=DIST)
    app = create_app(settings, nothing, card=card, weights_sha256=sha256_of(weights))
    tile = write_tile(tmp_path / "tile.tif", position_scene(256, 256))
    with served(app, worker=True) as base, window_on(browser, base) as window:
        window.open()
        window.rows(0)
        sync_api.expect(window.page.locator(".foot")).to_contain_text("No detections. Those in a scene")
        drop(window, tile, "image/tiff")
        window.page.get_by_label("Site").last.fill("Camp 16")
        window.page.get_by_label("Date taken").fill("2020-02-29")
        window.page.get_by_role("button", name="Score").click()
        show = window.page.get_by_role("button", name="Show")
        show.wait_for(timeout=60_000)
        assert "1 detection" in window.page.locator(".job").inner_text()
        show.click()
        window.page.get_by_role("tab", name="Detections").click()
        assert window.rows(1) == ["coal heap"]
        window.until(lambda: window.drawn()["coal_heap"] > 40)
        assert [site["name"] for site in window.ask("/v1/sites")["sites"]] == ["Camp 16"]


def test_what_is_no_image_is_refused_in_one_line(window: Window, tmp_path: Path) -> None:
    window.open()
    window.rows(1)
    text = tmp_path / "notes.txt"
    text.write_text("no image at all, but long enough to be looked at")
    drop(window, text, "text/plain")
    window.page.get_by_role("button", name="Score").click()
    window.page.wait_for_selector(".job .bad")
    assert "expected" in window.page.locator(".job .bad").inner_text()


# --- keys


def test_a_server_with_keys_asks_for_one(browser: "Browser", app: FastAPI) -> None:
    keyring = Keyring(app.state.desk.database)
    looker, reviewer = keyring.add("looker", "submit"), keyring.add("Aigul", "review")
    with served(app) as base, window_on(browser, base) as window:
        window.page.goto(base)
        for key in ("wrong", looker):
            window.page.get_by_role("textbox", name="Key").fill(key)
            window.page.get_by_role("button", name="Enter").click()
            window.page.wait_for_load_state()
        window.rows(1)
        window.press("j")
        window.page.wait_for_selector(".chip-picture img")  # pictures come by key too
        assert window.page.locator(".decide").count() == 0  # who may only look
        window.page.get_by_role("button", name="Leave").click()
        window.page.get_by_role("textbox", name="Key").fill(reviewer)
        window.page.get_by_role("button", name="Enter").click()
        sync_api.expect(window.page.locator(".who")).to_have_text("Aigul")
        window.rows(1)
        window.page.wait_for_selector(".panel")
        window.press("a")
        window.said("accepted")
        window.until(lambda: "accepted by Aigul" in window.page.locator(".panel").inner_text())


# --- for everybody

CONTRAST: Final = """() => {
    const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const style = (element) => getComputedStyle(element);
    const over = (under, [r, g, b, a = 1]) => under.map((v, i) => v * (1 - a) + [r, g, b][i] * a);
    const ground = (element) => {
        const stack = [];
        for (let at = element; at; at = at.parentElement) stack.unshift(parse(style(at).backgroundColor));
        return stack.reduce(over, [12, 17, 22]);
    };
    const weak = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility() || element.matches(":disabled, option")) continue;
        const both = [light(parse(style(element).color)), light(ground(element))];
        const [a, b] = both.sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) weak.push(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return weak;
}"""


def test_text_stands_out_and_everything_to_press_has_a_name(window: Window) -> None:
    window.open("#site=camp-15&date=2019-03-12")
    window.rows(3)
    window.press("j")
    window.page.wait_for_selector(".panel")
    for tab in ("Scenes", "Add", "Detections"):
        window.page.get_by_role("tab", name=tab).click()
        assert window.page.evaluate(CONTRAST) == [], tab
        told = window.page.locator("body").aria_snapshot()
        assert not re.search(
            r"^\s*- (button|link|textbox|slider|checkbox|combobox)(:|$| \[)", told, re.MULTILINE
        ), told
    option = window.page.get_by_role("listbox", name="Detections").get_by_role("option").first
    assert re.fullmatch(r"guard perimeter\s+0\.30\s+\d+ m", option.inner_text().strip())
    assert option.get_attribute("aria-selected") == "true"
    assert window.page.locator("#queue").get_attribute("aria-activedescendant") == option.get_attribute("id")


def test_the_first_stop_of_the_tab_key_leads_to_the_list(window: Window) -> None:
    window.open()
    window.rows(1)
    window.press("Tab")
    window.press("Enter")
    window.press("ArrowDown")
    window.page.wait_for_selector(".panel")
