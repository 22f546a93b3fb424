"""Jobs over HTTP: scenes come in whole or not at all, wait their turn, and give out what they found."""

import asyncio
import contextlib
import errno
import hashlib
import io
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from conftest import TILE_PX, MakeOnnx
from oracle import position_scene
from PIL import Image
from starlette.testclient import TestClient
from test_scan import write_scene

from pithead.card import Card
from pithead.catalog import Catalog
from pithead.errors import OptionError
from pithead.files import sha256_of
from pithead.rescore import Archive
from pithead.server import jobs
from pithead.server.app import create_app
from pithead.server.database import Database
from pithead.server.intake import Incoming, name_of, receiving
from pithead.server.jobs import Draft
from pithead.server.keys import Keyring
from pithead.server.multipart import StreamedForm
from pithead.server.problems import Problem
from pithead.server.settings import Limits, Settings
from pithead.server.sweep import PART, sweep

HEAP = [128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]
SIDE = 300  # 2 × 2 tiles


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(tmp_path / "server.sqlite", schemas=(jobs.SCHEMA,))


@pytest.fixture
def settings(tmp_path: Path, make_onnx: MakeOnnx) -> Settings:
    return Settings(
        tmp_path / "archive",
        make_onnx([HEAP]),
        threads=1,
        limits=Limits(scene_bytes=10**6, scene_pixels=10**6, block_bytes=10**6, jobs_of_one=3),
    )


async def nothing(tiles: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return [np.zeros((0, 7), np.float32) for _ in tiles]


@pytest.fixture
def quiet(settings: Settings, card: Card) -> TestClient:
    """A server without a worker: what is queued stays so."""
    Archive.open(settings.archive, make=True)
    return client_of(settings, card)


def client_of(settings: Settings, card: Card) -> TestClient:
    app = create_app(settings, nothing, card=card, weights_sha256=sha256_of(settings.weights))
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))


def tiff(folder: Path, side: int = SIDE) -> bytes:
    return write_scene(folder / "made.tif", position_scene(side, side)).read_bytes()


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(position_scene(SIDE, SIDE)).save(out, "PNG")
    return out.getvalue()


def lying(settings: Settings) -> list[str]:
    """What lies in the folder of uploads, but for the folders themselves."""
    return sorted(
        p.relative_to(settings.uploads).as_posix() for p in settings.uploads.rglob("*") if p.is_file()
    )


def draft(owner: str = "aigul", **more: Any) -> Draft:  # noqa: ANN401
    return Draft("catalogue", "a", owner, scene="a-0", **more)


# --- the table


def test_a_job_goes_from_queue_to_end(database: Database) -> None:
    with database.writing() as connection:
        assert jobs.claim(connection) is None
        job = jobs.add(connection, draft())
        assert (job.state, job.progress, job.started, job.tries) == ("queued", 0.0, None, 0)
        claimed = jobs.claim(connection)
        assert claimed is not None
        assert (claimed.id, claimed.state, claimed.tries) == (job.id, "running", 1)
        assert jobs.claim(connection) is None
        jobs.advance(connection, job.id, "a-0", 8, 2, 6.0)
        half = jobs.get(connection, job.id)
        assert half is not None
        assert (half.progress, half.eta_s) == (0.25, 6.0)
        jobs.finish(connection, job.id, "runs/x", 7)
        done = jobs.get(connection, job.id)
        assert done is not None
        assert (done.state, done.progress, done.tiles_done, done.detections) == ("done", 1.0, 8, 7)
        assert done.eta_s is None
        assert done.ended is not None
        # Nothing takes back what has ended.
        jobs.give_up(connection, job.id, "late")
        jobs.put_back(connection, job.id, counted=True)
        assert jobs.cancel(connection, job.id) == done
        assert jobs.counts(connection) == {"queued": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0}


def test_who_has_many_jobs_does_not_keep_others_waiting(database: Database) -> None:
    with database.writing() as connection:
        mine = [jobs.add(connection, draft("busy")).id for _ in range(3)]
        yours = jobs.add(connection, draft("other")).id
    order = []
    for _ in range(4):
        with database.writing() as connection:
            job = jobs.claim(connection)
            assert job is not None
            order.append(job.id)
            jobs.give_up(connection, job.id, None)
    assert order == [mine[0], yours, mine[1], mine[2]]


def test_a_worker_that_died_leaves_its_job_to_the_next(database: Database) -> None:
    with database.writing() as connection:
        jobs.add(connection, draft())
        for _ in range(9):  # all were killed together: that is no fault of the job
            jobs.claim(connection)
            assert jobs.recover(connection, blamed=False) == 1
        job = jobs.claim(connection)
        assert job is not None
        assert job.tries == 1
        jobs.give_up(connection, job.id, None)
        begun, fresh = jobs.add(connection, draft()).id, jobs.add(connection, draft()).id
        for tries in range(1, 4):
            job = jobs.claim(connection)
            assert job is not None
            assert (job.id, job.tries) == ((begun, 1), (begun, 2), (fresh, 1))[tries - 1]
            assert jobs.recover(connection, blamed=True) == 1
        # Progress is no death.
        job = jobs.claim(connection)
        assert job is not None
        assert (job.id, job.tries) == (fresh, 2)
        jobs.advance(connection, fresh, "a-0", 8, 4, None)
        advanced = jobs.get(connection, fresh)
        assert advanced is not None
        assert advanced.tries == 1
        jobs.put_back(connection, fresh, "waits", counted=False)
        waiting = jobs.get(connection, fresh)
        assert waiting is not None
        assert (waiting.state, waiting.note, waiting.tries, waiting.tiles_done) == ("queued", "waits", 0, 4)


def test_a_cancelled_job_is_not_put_back(database: Database) -> None:
    with database.writing() as connection:
        job = jobs.add(connection, draft()).id
        jobs.claim(connection)
        assert jobs.cancel(connection, job).state == "running"
        jobs.put_back(connection, job, counted=False)
        ended = jobs.get(connection, job)
        assert ended is not None
        assert ended.state == "cancelled"
        assert ended.ended is not None


def test_pages_hold_every_job_once_also_while_new_ones_come(database: Database) -> None:
    with database.writing() as connection:
        made = [jobs.add(connection, draft()).id for _ in range(7)]
        jobs.cancel(connection, made[3])
        seen, cursor = [], None
        while True:
            page = jobs.page(connection, ("queued",), 2, cursor)
            seen += [job.id for job in page.jobs]
            if page.next is None:
                break
            cursor = page.next
            jobs.add(connection, draft())
        assert seen == [key for key in reversed(made) if key != made[3]]
        assert jobs.page(connection, (), 100, None).matched == 7 + 2
        for cursor in ("x", "am9iIC0x", "☃", "a" * 90):
            with pytest.raises(OptionError, match="cursor"):
                jobs.page(connection, (), 2, cursor)


def test_a_draft_says_where_its_scene_is() -> None:
    with pytest.raises(OptionError, match="name its scene"):
        Draft("upload", "a", "aigul")


# --- uploads on the disk


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("camp15_2019.tiff", "camp15_2019.tif"),
        ("../../etc/passwd", "passwd.tif"),
        ("C:\\Users\\a\\Лагерь 15.TIF", "Лагерь_15.tif"),
        ("..", "scene.tif"),
        (None, "scene.tif"),
        (".hidden.tif", "hidden.tif"),
        ("-rf.tif", "rf.tif"),
        ("a\0b<script>.png", "a_b_script_.tif"),
        ("x" * 300 + ".tif", "x" * 100 + ".tif"),
        ("ш" * 300, "ш" * 50 + ".tif"),
    ],
)
def test_names_mean_nothing_to_a_path(told: str | None, name: str) -> None:
    # Underscores at the ends of a stem are taken off with dots and dashes.
    assert name_of(told, ".tif").replace("_.", ".") == name.replace("_.", ".")


def test_an_upload_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    uploads, data = tmp_path / "uploads", b"II*\0" + bytes(5000)
    with receiving(uploads, 10**6) as incoming:
        incoming.write(data[:7])
        incoming.write(data[7:])
        incoming.settle()
        assert [one.name.startswith(PART) for one in uploads.iterdir()] == [True]
        place = incoming.keep(uploads, "a.tif")
    assert place == f"{hashlib.sha256(data).hexdigest()}/a.tif"
    assert (uploads / place).read_bytes() == data
    assert (uploads / place).stat().st_mode & 0o777 == 0o600
    with receiving(uploads, 10**6) as incoming:
        incoming.write(data)
        assert incoming.keep(uploads, "b.tif") == place  # the same bytes, under their first name
    with contextlib.suppress(KeyError), receiving(uploads, 10**6) as incoming:
        incoming.write(data)
        raise KeyError
    assert [one.name for one in uploads.iterdir()] == [place.partition("/")[0]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to write to")
def test_a_full_disk_is_told() -> None:
    file = Path("/dev/full").open("wb")  # noqa: SIM115 (it cannot be closed: it never has room)
    incoming = Incoming(Path("/dev/full"), file, 10**9)
    with pytest.raises(Problem) as caught:
        write_all(incoming, b"II*\0" + bytes(10**6))
    assert caught.value.status_code == 507
    with contextlib.suppress(OSError):
        file.close()


def write_all(incoming: Incoming, data: bytes) -> None:
    incoming.write(data)
    incoming.settle()


def test_sweeping_takes_what_is_nobodys(tmp_path: Path) -> None:
    uploads = tmp_path / "archive" / "uploads"
    catalog = Catalog.make(tmp_path / "archive")
    places = {}
    for number, name in enumerate(("known", "wanted", "lost")):
        pixels = position_scene(SIDE, SIDE)
        pixels[0, 0] = number
        path = write_scene(tmp_path / f"{name}.tif", pixels)
        folder = uploads / sha256_of(path)
        folder.mkdir(parents=True)
        path.replace(folder / path.name)
        places[name] = f"{folder.name}/{path.name}"
    catalog.add([uploads / places["known"]])
    (uploads / f"{PART}dead").write_bytes(b"half")
    (uploads / "README").write_text("somebody's")
    (uploads / ("0" * 64)).mkdir()  # a kill between folder and file
    with receiving(uploads, 10):
        swept = sweep(uploads, {places["wanted"]}, catalog.scenes())
        assert (swept.parts, swept.scenes) == (1, 2)
        assert len([one for one in uploads.iterdir() if one.name.startswith(PART)]) == 1
    left = sorted(p.relative_to(uploads).as_posix() for p in uploads.rglob("*") if p.is_file())
    assert left == sorted(["README", places["known"], places["wanted"]])
    assert sweep(tmp_path / "none", set(), ()).parts == 0


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    text = b""
    for name, filename, data in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        text += (
            f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"
        )
    return text + b"--XX--\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 10**6])
def test_a_form_is_read_whatever_pieces_it_comes_in(size: int) -> None:
    got = bytearray()
    read = StreamedForm("multipart/form-data; boundary=XX", "scene", got.extend)
    data = b"\r\n--X\r\n--XY" * 50
    body = form([("site", None, "Лагерь".encode()), ("scene", "a.tif", data), ("gsd_m", None, b"0.5")])
    for start in range(0, len(body), size):
        read.write(body[start : start + size])
    read.finish()
    assert bytes(got) == data
    assert (read.fields, read.filename) == ({"site": "Лагерь", "gsd_m": "0.5"}, "a.tif")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        form([("scene", "a.tif", b"x")])[:-8],
        form([("site", None, b"x")]),
        form([("scene", "a.tif", b"x"), ("scene", "b.tif", b"x")]),
        form([("other", "a.tif", b"x")]),
        form([("site", None, bytes(5000)), ("scene", "a.tif", b"x")]),
        form([(f"f{i}", None, b"x") for i in range(30)]),
        b"--XX\r\nContent-Type: a\r\n\r\nx\r\n--XX--\r\n",
    ],
)
def test_a_form_that_is_none_is_told_so(body: bytes) -> None:
    read = StreamedForm("multipart/form-data; boundary=XX", "scene", lambda _: None)
    with pytest.raises(Problem) as caught:
        read_all(read, body)
    assert caught.value.status_code == 400


def read_all(read: StreamedForm, body: bytes) -> None:
    read.write(body)
    read.finish()


# --- over HTTP, without a worker


def test_an_uploaded_scene_is_queued(quiet: TestClient, settings: Settings, tmp_path: Path) -> None:
    data = tiff(tmp_path)
    fields = {"site": "Camp 15", "acquired": "2019-03-12", "sensor": "WV02", "gsd_m": ""}
    answer = quiet.post("/v1/scenes", files={"scene": ("camp 15.tiff", data)}, data=fields)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["kind"], job["name"], job["owner"]) == (
        "queued",
        "upload",
        "camp_15.tif",
        "local",
    )
    assert (job["scene"], job["progress"], job["detections"], job["error"]) == (None, 0, None, None)
    place = f"{hashlib.sha256(data).hexdigest()}/camp_15.tif"
    assert lying(settings) == [place]
    assert (settings.uploads / place).read_bytes() == data
    with Database.open(settings.database).reading() as connection:
        kept = jobs.get(connection, job["id"])
    assert kept is not None
    assert kept.facts == {"site": "Camp 15", "acquired": "2019-03-12T00:00:00+00:00", "sensor": "WV02"}
    assert quiet.get(answer.headers["location"]).json() == job
    assert quiet.get("/v1/jobs").json() == {"jobs": [job], "next": None, "matched": 1}
    assert quiet.get("/v1/jobs", params={"state": "done"}).json() == {"jobs": [], "next": None, "matched": 0}


def test_a_scene_may_be_the_body_itself(quiet: TestClient, settings: Settings) -> None:
    said = {"gsd_m": "0.6", "name": "tile"}
    answer = quiet.post("/v1/scenes", params=said, content=png(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["name"] == "tile.png"
    assert lying(settings) == [f"{hashlib.sha256(png()).hexdigest()}/tile.png"]


def test_what_is_no_scene_is_refused_and_leaves_nothing(
    quiet: TestClient, settings: Settings, tmp_path: Path
) -> None:
    data = tiff(tmp_path)
    raw = {"Content-Type": "application/octet-stream"}
    asked: list[tuple[int, dict[str, Any]]] = [
        (415, {"content": b"<VRTDataset/>" * 9, "headers": raw}),
        (415, {"content": b"II*", "headers": raw}),
        (400, {"content": b"", "headers": raw}),
        (415, {"content": data, "headers": {"Content-Type": "text/plain"}}),
        (415, {"content": data}),
        (422, {"content": png(), "headers": raw}),  # no gsd_m
        (422, {"content": data[:100], "headers": raw}),
        (413, {"content": b"II*\0" + bytes(2 * 10**6), "headers": raw}),
        (413, {"content": iter([data] * 9), "headers": raw}),  # without Content-Length
        (422, {"files": {"scene": ("a.tif", data)}, "data": {"acquired": "soon"}}),
        (422, {"files": {"scene": ("a.tif", data)}, "data": {"acquired": "0001-01-01T00:00:00+14:00"}}),
        (422, {"files": {"scene": ("a.tif", data)}, "data": {"gsd_m": "inf"}}),
        (422, {"files": {"scene": ("a.tif", data)}, "data": {"date": "2019-03-12"}}),  # it is `acquired`
        (422, {"content": data, "headers": raw, "params": {"date": "2019-03-12"}}),
        (422, {"files": {"scene": ("a.tif", data)}, "data": {"site": "a\x1bb"}}),
        (400, {"files": {"image": ("a.tif", data)}}),
        (400, {"content": data, "headers": {"Content-Type": "multipart/form-data"}}),
        (422, {"json": {"scene": 3}}),
        (422, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        (413, {"json": {"scene": "x" * 20000}}),
        (404, {"json": {"scene": "nobody-000000000000"}}),
    ]
    for status, how in asked:
        answer = quiet.post("/v1/scenes", **how)
        assert answer.status_code == status, (status, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(tmp_path) not in answer.text
    assert not settings.uploads.exists() or lying(settings) == []
    assert quiet.get("/v1/jobs").json()["matched"] == 0


def test_more_pixels_than_may_be_are_refused(settings: Settings, card: Card, tmp_path: Path) -> None:
    client = client_of(settings, card)
    path = tmp_path / "large.tif"
    Image.new("1", (20000, 20000)).save(path, compression="group4")
    answer = client.post("/v1/scenes", files={"scene": ("a.tif", path.read_bytes())})
    assert (answer.status_code, answer.json()["title"]) == (413, "Too many pixels")


def test_who_goes_away_leaves_nothing(quiet: TestClient, settings: Settings, tmp_path: Path) -> None:
    messages = [
        {"type": "http.request", "body": tiff(tmp_path)[:10000], "more_body": True},
        {"type": "http.disconnect"},
    ]
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401
        told.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/scenes", "raw_path": b"/v1/scenes", "root_path": "",
        "query_string": b"", "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"},
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"image/tiff")],
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(quiet.app(scope, receive, send))  # type: ignore[arg-type]  # what an ASGI server calls
    assert told[0]["status"] == 400
    assert lying(settings) == []


def test_nobody_queues_more_than_may_be(quiet: TestClient, tmp_path: Path) -> None:
    data, raw = tiff(tmp_path), {"Content-Type": "image/tiff"}
    keys = [quiet.post("/v1/scenes", content=data, headers=raw).json()["id"] for _ in range(3)]
    refused = quiet.post("/v1/scenes", content=data, headers=raw)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert quiet.delete(f"/v1/jobs/{keys[0]}").json()["state"] == "cancelled"
    assert quiet.post("/v1/scenes", content=data, headers=raw).status_code == 202


def test_a_cancelled_upload_is_gone(quiet: TestClient, settings: Settings, tmp_path: Path) -> None:
    answer = quiet.post("/v1/scenes", files={"scene": ("a.tif", tiff(tmp_path))})
    key = answer.json()["id"]
    assert len(lying(settings)) == 1
    ended = quiet.delete(f"/v1/jobs/{key}").json()
    assert (ended["state"], lying(settings)) == ("cancelled", [])
    assert quiet.delete(f"/v1/jobs/{key}").json() == ended
    waits = quiet.get(f"/v1/jobs/{key}/detections")
    assert (waits.status_code, waits.json()["title"]) == (409, "Not done")
    for way in (quiet.get, quiet.delete):
        assert way("/v1/jobs/none").status_code == 404


def test_only_an_admin_cancels_for_others(quiet: TestClient, settings: Settings) -> None:
    database = Database.open(settings.database)
    with database.writing() as connection:
        job = jobs.add(connection, draft("bolat")).id
    ring = Keyring(database)
    reviewer, owner, admin = (
        ring.add("aigul", "review"),
        ring.add("bolat", "submit"),
        ring.add("chief", "admin"),
    )
    for key, status in ((None, 401), (reviewer, 403), (owner, 200), (admin, 200)):
        headers = {} if key is None else {"X-API-Key": key}
        assert quiet.delete(f"/v1/jobs/{job}", headers=headers).status_code == status
        assert quiet.get(f"/v1/jobs/{job}", headers=headers).status_code == (401 if key is None else 200)


def test_scenes_of_the_catalogue_are_queued_by_their_id(
    quiet: TestClient, settings: Settings, tmp_path: Path
) -> None:
    archive = Archive.open(settings.archive)
    tiff(tmp_path)
    [entry] = archive.catalog.add([tmp_path / "made.tif"])
    answer = quiet.post("/v1/scenes", json={"scene": entry.id})
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["scene"], job["name"]) == ("catalogue", entry.id, entry.id)


def test_a_database_that_is_gone_answers_without_details(quiet: TestClient, settings: Settings) -> None:
    with sqlite3.connect(settings.database) as connection:
        connection.execute("DROP TABLE jobs")
    connection.close()
    answer = quiet.get("/v1/jobs")
    assert (answer.status_code, answer.json()["detail"]) == (500, "")


# --- over HTTP, with its worker


def ended(client: TestClient, key: str, seconds: float = 60) -> dict[str, Any]:
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(f"/v1/jobs/{key}").json()
        if job["state"] not in {"queued", "running"}:
            return job
        time.sleep(0.1)
    raise AssertionError(f"expected the job to end within {seconds} s, it says {job}")


def test_what_was_found_goes_out_as_files(
    settings: Settings, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = {"scene": ("camp.tif", tiff(tmp_path))}
    with client_of(settings, card) as client:
        posted = client.post("/v1/scenes", files=files, data={"site": "Camp 15", "acquired": "2019-03-12"})
        flat = client.post("/v1/scenes", files={"scene": ("flat.png", png())}, data={"gsd_m": "0.6"})
        again = client.post("/v1/scenes", files=files, data={"acquired": "2001-01-01", "sensor": "WV02"})
        done, other, same = (ended(client, one.json()["id"]) for one in (posted, flat, again))
        assert [one["error"] for one in (done, other, same)] == [None] * 3
        # One heap of 60 × 30 px in each of 2 × 2 tiles of 256 px that overlap by half.
        assert (done["state"], done["tiles"], done["progress"]) == ("done", 4, 1)
        assert (same["state"], same["scene"]) == ("done", done["scene"])
        check_lonlat(client, done, tmp_path)
        check_pixels(client, other, tmp_path)
        check_full(client, done, monkeypatch)
    assert not list(tmp_path.glob("pithead-*"))
    archive = Archive.open(settings.archive)
    known = {entry.id: entry for entry in archive.catalog.scenes()}[done["scene"]]
    assert (known.acquired and known.acquired.year, known.sensor, known.sites) == (2019, "WV02", ("Camp 15",))
    assert known.copies == ()
    kinds = [record.kind for record in archive.log.records()]
    assert (kinds.count("run.finished"), kinds.count("scene.added")) == (2, 2)
    audit = [json.loads(line) for line in (settings.archive / "audit.jsonl").read_text().splitlines()]
    assert {line["counts"].get("detections") for line in audit if line["route"].endswith("detections")} == {
        done["detections"], other["detections"],
    }  # fmt: skip


def check_lonlat(client: TestClient, job: dict[str, Any], folder: Path) -> None:
    files = {kind: fetched(client, job, kind) for kind in ("geojson", "gpkg", "parquet")}
    found = json.loads(files["geojson"])
    assert len(found["features"]) == job["detections"] > 0
    first = found["features"][0]["properties"]
    assert (first["class"], first["site"], first["frame"]) == ("coal_heap", "Camp 15", "lonlat")
    assert (first["length_m"], first["width_m"]) == pytest.approx((36, 18), rel=2e-3)
    (folder / "a.gpkg").write_bytes(files["gpkg"])
    boxes = gpd.read_file(folder / "a.gpkg", layer="boxes")
    assert len(boxes) == job["detections"]
    assert boxes.crs.to_epsg() == 4326
    table = gpd.read_parquet(io.BytesIO(files["parquet"]))
    assert sorted(table["detection"]) == sorted(one["properties"]["detection"] for one in found["features"])
    assert table.geometry.iloc[0].bounds == pytest.approx(
        boxes.set_index("detection").geometry[table["detection"].iloc[0]].bounds
    )


def check_pixels(client: TestClient, job: dict[str, Any], folder: Path) -> None:
    files = {kind: fetched(client, job, kind) for kind in ("geojson", "gpkg", "parquet")}
    found = json.loads(files["geojson"])
    assert (found["frame"], len(found["features"])) == ("px", job["detections"])
    # The first tile begins at the corner of the scene.
    corners = {tuple(point) for one in found["features"] for point in one["geometry"]["coordinates"][0]}
    assert {(98.0, 113.0), (158.0, 143.0)} <= corners
    (folder / "px.gpkg").write_bytes(files["gpkg"])
    assert pyogrio.read_info(folder / "px.gpkg", layer="boxes")["crs"] is None
    assert gpd.read_parquet(io.BytesIO(files["parquet"])).crs is None


def check_full(client: TestClient, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        answer = client.get(f"/v1/jobs/{job['id']}/detections?format=parquet")
    assert answer.status_code == 507, answer.text


def fetched(client: TestClient, job: dict[str, Any], kind: str) -> bytes:
    """A download; asked for twice it is the same bytes."""
    first, second = (
        client.get(f"/v1/jobs/{job['id']}/detections", params={"format": kind}) for _ in range(2)
    )
    assert first.status_code == 200, first.text
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["content-disposition"].startswith("attachment")
    part = client.get(first.request.url, headers={"Range": "bytes=x-"})
    assert (part.status_code, part.content) == (200, first.content)
    return first.content


def test_what_cannot_be_scored_says_why_and_where_is_nobodys_business(
    settings: Settings, card: Card, tmp_path: Path
) -> None:
    data = tiff(tmp_path)
    bare = io.BytesIO()
    Image.fromarray(position_scene(SIDE, SIDE)).save(bare, "TIFF")
    with client_of(settings, card) as client:
        cut = client.post("/v1/scenes", files={"scene": ("cut.tif", data[:-50000])})
        lost = client.post("/v1/scenes", files={"scene": ("lost.tif", bare.getvalue())})
        assert cut.status_code in {202, 422}
        told = [ended(client, one.json()["id"]) for one in (cut, lost) if one.status_code == 202]
    assert {one["state"] for one in told} == {"failed"}
    assert "gsd_m" in told[-1]["error"]
    for one in told:
        assert "\n" not in one["error"]
        assert str(tmp_path) not in one["error"]
        assert "/" not in one["error"].replace("image/", "")
    assert lying(settings) == []
    assert TILE_PX == 256  # what the figures above were worked out for
