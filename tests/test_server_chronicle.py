"""What the server tells of a site over time, and how it comes to know it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from server_archive import SERVED, Found, add, put, write_scene
from serving import client, nothing
from starlette.testclient import TestClient

from pithead.detector import Detector
from pithead.files import sha256_of
from pithead.generate.history import History
from pithead.pretend import write_archive
from pithead.rescore import Archive
from pithead.server.app import create_app
from pithead.server.discreet import without_folders
from pithead.server.history import Historian, Order, SiteHistory, historian
from pithead.server.history.child import answer
from pithead.server.keys import Keyring
from pithead.server.problems import Problem
from pithead.server.routes import history as route
from pithead.server.settings import Settings
from pithead.sites import QUANTITIES, REASONS, chronicle

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
HISTORY = History.draw(4, dates=6, sensors=2, side_m=700.0)
NAME = HISTORY.name
SITE = NAME.lower().replace(" ", "-")
PATH = f"/v1/sites/{SITE}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated history, and a camp with one scene that other weights have scored."""
    folder = tmp_path_factory.mktemp("history") / "archive"
    write_archive([HISTORY], folder)
    archive = Archive.open(folder)
    camp = add(archive, write_scene(folder.parent / "camp.tif"), "Camp 15", "2019-03-12")
    put(archive, camp, [Found("coal_heap", 0.9)])
    add(archive, write_scene(folder.parent / "bare.tif", 90, east=520_000.0), "Bare", "2020-01-01")
    undated = add(archive, write_scene(folder.parent / "undated.tif", 70, east=540_000.0), "Undated")
    put(archive, undated, [Found("coal_heap", 0.9)])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to; its scenes stay where they are."""
    copy = tmp_path / "archive"
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("scenes", "server.sqlite*", "audit.jsonl"))
    return copy


def app_of(folder: Path) -> FastAPI:
    settings = Settings(folder, folder / "pretended.onnx", verify=False, web=folder / "web")
    card = Detector.open(settings.weights, verify=False).card
    return create_app(settings, nothing, card=card, weights_sha256=sha256_of(settings.weights))


@pytest.fixture(scope="module")
def looked_at(made: Path) -> Iterator[FastAPI]:
    """A server that tests only read from, so that each history is worked out once."""
    app = app_of(made)
    yield app
    app.state.historian.close()


@pytest.fixture
def app(folder: Path) -> Iterator[FastAPI]:
    app = app_of(folder)
    yield app
    app.state.historian.close()


def ask(calls: TestClient, path: str, status: int = 200) -> Any:  # noqa: ANN401 (JSON)
    found = calls.get(path)
    assert found.status_code == status, found.text
    return found.json()


# --- what is told


def test_the_history_is_that_of_the_library(made: Path, looked_at: FastAPI) -> None:
    body = ask(client(looked_at), PATH)
    told = SiteHistory.model_validate(body)
    known = chronicle(Archive.open(made), NAME, weights=made / "pretended.onnx")
    assert (told.id, told.name, told.weights) == (SITE, NAME, "pretended")
    assert [view.acquired for view in told.views] == [view.acquired.isoformat() for view in known.views]
    assert [view.date for view in told.views] == [shot.date.date().isoformat() for shot in HISTORY.shots]
    assert [one.name for one in told.quantities] == list(QUANTITIES)
    for one in told.quantities:
        assert [m.reason for m in one.measures] == [m.reason for m in known.quantities[one.name]]
        for shown, measure in zip(one.measures, known.quantities[one.name], strict=True):
            assert shown.raw == pytest.approx(measure.raw, rel=1e-5)
            assert shown.value == (
                None if measure.value is None else pytest.approx(measure.value, rel=1e-5, abs=1e-9)
            )
            assert shown.value is None or (shown.low or 0) <= shown.value <= (shown.high or 0)
    assert [(one.what, one.kind, one.sure) for one in told.changes] == [
        (one.what, one.kind, one.sure) for one in known.changes
    ]
    assert told.notes == [str(note) for note in known.notes]
    assert told.reasons == REASONS
    assert {one.name for one in told.rules} == {sign.rule for sign in told.signs}


def test_tracks_name_detections_that_can_be_looked_up(looked_at: FastAPI) -> None:
    calls = client(looked_at)
    told = ask(calls, PATH)
    listed = ask(calls, f"/v1/detections?site={SITE}&limit=1000")["features"]
    scenes = {one["id"]: one["properties"]["scene"] for one in listed}
    for track in told["tracks"]:
        assert [state["date"] for state in track["states"]] == [view["date"] for view in told["views"]]
        for state, view in zip(track["states"], told["views"], strict=True):
            assert (state["state"] == "present") == bool(state["detections"])
            assert (state["state"] == "not_observable") == (state["reason"] is not None)
            assert {scenes.get(name, view["scene"]) for name in state["detections"]} <= {view["scene"]}
    lon, lat = told["tracks"][0]["geometry"]["coordinates"][0][0][:2]
    assert abs(lon - told["place"]["lon"]) < 0.01
    assert abs(lat - told["place"]["lat"]) < 0.01


def test_weights_of_which_nobody_has_the_card_are_told_of_without_intervals(looked_at: FastAPI) -> None:
    told = ask(client(looked_at), "/v1/sites/camp-15")
    assert told["weights_sha256"] == SERVED
    (heaps,) = [one for one in told["quantities"] if one["name"] == "heaps"]
    (measure,) = heaps["measures"]
    assert (measure["raw"], measure["value"], measure["reason"]) == (1.0, None, "not_measured")
    assert any("card" in note for note in told["notes"])


def test_the_name_of_a_site_is_as_good_as_its_id(looked_at: FastAPI) -> None:
    assert ask(client(looked_at), "/v1/sites/Camp%2015") == ask(client(looked_at), "/v1/sites/camp-15")


# --- where there is nothing to tell


def test_a_site_nobody_knows_and_sites_of_which_nothing_can_be_told(looked_at: FastAPI) -> None:
    calls = client(looked_at)
    nowhere = ask(calls, "/v1/sites/nowhere", 404)
    assert (nowhere["type"], "GET /v1/sites" in nowhere["detail"]) == ("about:blank", True)
    bare = ask(calls, "/v1/sites/bare", 404)
    assert (bare["title"], "No weights have scored" in bare["detail"]) == ("Nothing to tell", True)
    undated = ask(calls, "/v1/sites/undated", 404)
    assert undated["type"] == "urn:pithead:problem:nothing-to-tell"
    assert "nobody knows when it was taken" in undated["detail"]


def test_where_files_lie_is_not_told() -> None:
    told = without_folders(
        "x.tif: its pixels could not be read: /srv/pithead/a b/x.tif is gone; see /v1/sites"
    )
    assert "/srv" not in told
    assert without_folders("run inference/rescore.py") == "run inference/rescore.py"


# --- kept until something changes


def program(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(historian, "PROGRAM", text)


def test_it_is_worked_out_once_until_something_of_the_site_changes(
    app: FastAPI, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, "print('200 0'); print('{}')")
    calls, keeper, archive = client(app), app.state.historian, Archive.open(folder)

    def makes(count: int, site: str = SITE) -> None:
        for _ in range(2):
            ask(calls, f"/v1/sites/{site}")
        assert keeper.made == count

    def accept(site: str) -> None:
        name = ask(calls, f"/v1/detections?site={site}&limit=1")["features"][0]["id"]
        said = calls.post(f"/v1/detections/{name}/review", json={"decision": "accept"})
        assert said.status_code == 201

    makes(1)
    makes(2, "camp-15")
    accept("camp-15")
    makes(2)  # that was another site
    makes(3, "camp-15")
    accept(SITE)
    makes(4)
    archive.store.forget(next(one for one in archive.store.records() if one.site == NAME))
    makes(5)
    (scene,) = [one for one in archive.catalog.scenes() if one.sites == ("Camp 15",)]
    archive.catalog.update([replace(scene, changed=True)])
    makes(5)
    makes(6, "camp-15")
    sites = json.loads((folder / "sites.geojson").read_text())
    for one in sites["features"]:
        one["properties"]["aliases"] = [f"Old {one['properties']['name']}"]
    (folder / "sites.geojson").write_text(json.dumps(sites))
    makes(7)


# --- in a process of its own


def order(number: int = 0, state: str = "a") -> Order:
    return Order(f"site-{number}", f"Site {number}", "archive", SERVED, "weights.onnx", None, state)


@pytest.fixture
def keeper() -> Iterator[Historian]:
    keeper = Historian()
    yield keeper
    keeper.close()


def test_who_asks_for_the_same_waits_for_the_same_process(
    keeper: Historian, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, "import time; time.sleep(0.5); print('200 3'); print('{}', end='')")
    answers = [keeper.ask(order()) for _ in range(20)]
    assert {(one.result(10).body, one.result(10).detections) for one in answers} == {(b"{}", 3)}
    assert keeper.made == 1
    keeper.ask(order(state="b")).result(10)
    assert keeper.made == 2


def test_one_process_at_a_time_and_not_too_many_wait(
    keeper: Historian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    program(
        monkeypatch,
        f"import os, time; os.mkdir({str(held)!r}); time.sleep(0.1); os.rmdir({str(held)!r}); print('200 0')",
    )
    answers = [keeper.ask(order(number)) for number in range(historian.MOST_WAITING)]
    with pytest.raises(Problem) as full:
        keeper.ask(order(99))
    assert (full.value.status_code, full.value.headers) == (503, {"Retry-After": "15"})
    assert all(one.result(30).body == b"" for one in answers)  # mkdir fails where two run at once


def test_a_process_that_takes_too_long_is_ended(keeper: Historian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(historian, "LONGEST_S", 0.3)
    program(monkeypatch, "import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(Problem) as slow:
        keeper.ask(order()).result(20)
    assert slow.value.status_code == 503
    assert time.monotonic() - began < 10


def test_what_failed_is_not_tried_again_at_once(keeper: Historian, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "raise SystemExit('/srv/secret is gone')")
    for _ in range(2):
        with pytest.raises(Problem) as failed:
            keeper.ask(order()).result(20)
        assert (failed.value.status_code, failed.value.detail) == (500, "")
    assert keeper.made == 1
    monkeypatch.setattr(historian, "FAULT_S", 0.0)
    program(monkeypatch, "print('200 0')")
    assert keeper.ask(order()).result(20).body == b""


def test_closing_ends_the_process(keeper: Historian, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "import time; time.sleep(60)")
    under_way, waits = keeper.ask(order()), keeper.ask(order(1))
    time.sleep(0.3)
    began = time.monotonic()
    keeper.close()
    assert time.monotonic() - began < 5
    assert waits.cancelled()
    assert isinstance(under_way.exception(5), Problem)


def test_the_process_goes_when_the_server_is_gone(folder: Path) -> None:
    told = Order(SITE, NAME, str(folder), None, str(folder / "pretended.onnx"), None, "a")
    gone = subprocess.run(  # its input is at its end from the start
        [sys.executable, "-c", historian.PROGRAM, told.to_json()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (gone.returncode, gone.stdout) == (1, b"")


def test_the_answer_of_the_process_has_its_status_in_front(folder: Path) -> None:
    told = Order(SITE, NAME, str(folder), None, str(folder / "pretended.onnx"), None, "a")
    head, _, body = answer(told).partition(b"\n")
    count = sum(view["detections"] for view in json.loads(body)["views"])
    assert head == f"200 {count}".encode()
    assert Order.from_json(told.to_json()) == told


def test_who_waits_too_long_is_told_to_come_again_and_nobody_else_waits(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = client(app)
    ask(calls, "/v1/sites")
    monkeypatch.setattr(route, "WAIT_S", 0.2)
    program(monkeypatch, "import time; time.sleep(2); print('200 3'); print('{}')")
    statuses: list[int] = []
    some = [
        threading.Thread(target=lambda: statuses.append(client(app).get(PATH).status_code)) for _ in range(50)
    ]
    for one in some:
        one.start()
    began = time.monotonic()
    ask(calls, "/v1/sites")
    assert time.monotonic() - began < 2
    for one in some:
        one.join()
    assert statuses == [503] * 50
    assert calls.get(PATH).headers["Retry-After"] == "5"
    monkeypatch.setattr(route, "WAIT_S", 10.0)
    assert ask(calls, PATH) == {}
    assert app.state.historian.made == 1


# --- who may ask, and what is written down of it


def test_it_asks_for_a_key_and_leaves_a_line_in_the_audit(
    app: FastAPI, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, "print('200 3'); print('{}')")
    key = Keyring(app.state.desk.database).add("looker", "submit")
    ask(client(app), PATH, 401)
    ask(client(app, key), PATH)
    line = json.loads((folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["caller"], line["route"], line["ids"]) == ("looker", "/v1/sites/{site}", {"site": SITE})
    assert (line["status"], line["counts"]) == (200, {"detections": 3})


def test_openapi_tells_of_it_with_an_example(app: FastAPI) -> None:
    document = ask(client(app), "/openapi.json")
    answers = document["paths"]["/v1/sites/{site}"]["get"]["responses"]
    assert {"200", "404", "503"} <= answers.keys()
    (shown,) = document["components"]["schemas"]["SiteHistory"]["examples"]
    (example,) = SiteHistory.model_json_schema()["examples"]
    assert shown["views"][0]["scene"] == SiteHistory.model_validate(example).views[0].scene
