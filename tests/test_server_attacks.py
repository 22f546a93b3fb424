"""What was tried against the server and once worked: each attack is here, and is refused."""

import asyncio
import io
import json
import os
import stat
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from PIL import Image
from server_archive import Found, add, client_of, put, write_scene
from serving import HERE, app_in, client
from starlette.testclient import TestClient

from pithead.card import Card
from pithead.errors import SceneError
from pithead.imagery import open_scene
from pithead.rescore import Archive
from pithead.server import audit, intake
from pithead.server.audit import MOST
from pithead.server.problems import Problem
from pithead.server.routes import reviews
from pithead.server.routes.detect import pool_of
from pithead.server.settings import Limits
from pithead.server.under_way import UnderWay
from pithead.server.uploads import checked

ROOT = Path(__file__).resolve().parents[1]
SECRET = b"what nobody shall read. "
SPACES = 0x2020
"""The length of a comment of a JPEG that has no byte 0: texts are looked for up to the first one."""

OVERSEERS = """
import service
from bentoml._internal.utils.circus import create_standalone_arbiter
for threaded in (False, True):
    made = create_standalone_arbiter([], threaded=threaded)
    print(made.ctrl.endpoint, made.pubsub_endpoint)
"""


def noise(side: int = 64) -> Image.Image:
    values = np.random.default_rng(7).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values)


def jpeg_with(text: str) -> bytes:
    """A JPEG whose comment, right behind its first bytes, is a text."""
    stream = io.BytesIO()
    noise().save(stream, "JPEG")
    plain = stream.getvalue()
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", SPACES) + text.encode().ljust(SPACES - 2) + plain[2:]


def look(path: Path) -> None:
    assert checked(path, pixels=10**6, block_bytes=10**7)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_jpeg_that_is_a_vrt_is_read_as_a_jpeg(tmp_path: Path) -> None:
    """GDAL takes it for a VRT, and would open whatever file or address it names."""
    secret = tmp_path / "secret.tif"
    Image.new("L", (64, 64), 77).save(secret)
    path = tmp_path / "a.jpg"
    path.write_bytes(
        jpeg_with(
            '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">'
            f"<SimpleSource><SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
            "</VRTRasterBand></VRTDataset>"
        )
    )
    with rasterio.open(path) as by_gdal:
        assert by_gdal.driver == "VRT"
        assert (by_gdal.read(1) == 77).all()
    look(path)
    with open_scene(str(path), gsd_m=0.5) as scene:
        pixels = scene.read(0, 0, 64, 64, 64, 64).data
    assert np.abs(pixels.astype(float) - np.asarray(noise())).mean() < 60  # a JPEG of noise
    assert not (pixels == 77).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_webp_that_is_a_label_of_another_file_is_not_read(tmp_path: Path) -> None:
    """By its first bytes a WebP, for GDAL a PDS image whose pixels are the bytes of any file."""
    (tmp_path / "secret").write_bytes(SECRET * 40)
    label = (
        'PDS_VERSION_ID = PDS3\r\nRECORD_TYPE = FIXED_LENGTH\r\nRECORD_BYTES = 64\r\n^IMAGE = "secret"\r\n'
        "OBJECT = IMAGE\r\nLINES = 4\r\nLINE_SAMPLES = 64\r\nSAMPLE_TYPE = UNSIGNED_INTEGER\r\n"
        "SAMPLE_BITS = 8\r\nEND_OBJECT = IMAGE\r\nEND\r\n"
    )
    path = tmp_path / "a.webp"
    frame = b"AAAA\x10\x11\x12\x9d\x01\x2a\x40\x01\x40\x01"
    path.write_bytes(b"RIFFAAAAWEBPVP8 " + frame + label.encode().ljust(4096))
    with rasterio.open(path) as by_gdal:
        assert by_gdal.read(1)[0].tobytes().startswith(SECRET)
    with pytest.raises(SceneError, match="can read"), open_scene(str(path), gsd_m=0.5):
        pass


@pytest.mark.parametrize("place", ["/vsicurl/http://127.0.0.1:9/a.ovr", "/etc/passwd"])
def test_jpeg_2000_that_points_elsewhere_behind_its_pixels_is_refused(tmp_path: Path, place: str) -> None:
    path = tmp_path / "a.jp2"
    noise().save(path, "JPEG2000")
    look(path)
    text = (
        '<GDALMultiDomainMetadata><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
        f"{place}</MDI></Metadata></GDALMultiDomainMetadata>"
    ).encode()
    path.write_bytes(path.read_bytes() + struct.pack(">I4s", len(text) + 8, b"xml ") + text)
    with pytest.raises(Problem) as refused:
        look(path)
    assert refused.value.status_code == 422
    assert "other files" in refused.value.detail


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\x07xml ", struct.pack(">I4s", 4096, b"xml ")])
def test_jpeg_2000_that_ends_in_half_a_box_is_refused(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.jp2"
    noise().save(path, "JPEG2000")
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(Problem) as refused:
        look(path)
    assert refused.value.status_code == 422


def test_nobody_else_on_the_machine_orders_the_processes_about(tmp_path: Path) -> None:
    """BentoML's overseer listened on loopback, and started any program for any user of the machine."""
    told = subprocess.run(
        [sys.executable, "-c", OVERSEERS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "inference")},
    )
    ends = told.stdout.split()
    assert len(set(ends)) == 4
    assert all(end.startswith("inproc://") for end in ends)


def test_archive_is_for_its_owner_alone(tmp_path: Path, card: Card) -> None:
    app_in(tmp_path, card)
    assert stat.S_IMODE((tmp_path / "archive").stat().st_mode) == 0o700


def test_end_of_a_long_query_is_in_the_audit(tmp_path: Path, card: Card) -> None:
    """What counts could stand behind so many characters that the audit did not keep it."""
    http = client(app_in(tmp_path, card))
    padding = "limit=1&" * 300
    assert http.get(f"/v1/detections?{padding}bbox=126,38,127,39").status_code == 200
    (line,) = map(json.loads, (tmp_path / "archive" / "audit.jsonl").read_text().splitlines())
    assert line["query"].endswith("bbox=126,38,127,39")


def test_longer_query_than_the_audit_keeps_is_refused(tmp_path: Path, card: Card) -> None:
    http = client(app_in(tmp_path, card))
    answer = http.get("/v1/detections?" + "limit=1&" * (MOST // 8) + "x=1")
    assert answer.status_code == 414
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_reviewer_is_one_line(tmp_path: Path) -> None:
    """A name with line breaks could print a second review into a list of them."""
    archive = Archive.open(tmp_path / "archive", make=True)
    entry = add(archive, write_scene(tmp_path / "scene.tif"), "Camp 15", "2019-03-12")
    put(archive, entry, [Found("coal_heap", 0.7)])
    http = client_of(tmp_path / "archive")
    (feature,) = http.get("/v1/detections").json()["features"]
    given = {"decision": "accept", "reviewer": "aigul\n9f86 reject by timur"}
    assert http.post(f"/v1/detections/{feature['id']}/review", json=given).status_code == 422
    assert not any(record.kind == "review.given" for record in archive.log.records())


def test_one_caller_with_slow_uploads_leaves_room_for_others() -> None:
    under_way = UnderWay(3, 2)
    with ExitStack() as sent:
        for _ in range(2):
            sent.enter_context(under_way.one_more("eve"))
        with pytest.raises(Problem) as refused, under_way.one_more("eve"):
            pass
        assert refused.value.status_code == 429
        with under_way.one_more("aigul"):
            with pytest.raises(Problem) as full, under_way.one_more("timur"):
                pass
            assert full.value.status_code == 503
    with under_way.one_more("eve"):
        pass


# --- many pixels in few bytes


def sparse_tiff(side: int) -> bytes:
    """A TIFF of side × side grey pixels in tiles of 4096 × 4096, of which none is in the file."""
    tiles = (-(-side // 4096)) ** 2
    entries = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
        (322, 4, 1, 4096), (323, 4, 1, 4096), (324, 4, tiles, 200), (325, 4, tiles, 200),
    ]  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 0)
    return head.ljust(200, b"\0") + b"\0" * 4 * tiles


def test_scene_of_holes_alone_is_refused(tmp_path: Path, card: Card) -> None:
    """Few kilobytes kept the one worker busy for hours, and the map's tiles for minutes."""
    http = client(app_in(tmp_path, card))
    told = {"content": sparse_tiff(100_000), "headers": {"Content-Type": "image/tiff"}}
    answer = http.post("/v1/scenes", **told)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["title"]) == (413, "Too few bytes")
    assert "10000000000 in 2700 bytes" in answer.json()["detail"]
    assert not list((tmp_path / "archive" / "uploads").iterdir())


def test_pixels_of_many_metres_are_counted_as_the_weights_see_them(tmp_path: Path, card: Card) -> None:
    http = client(app_in(tmp_path, card))
    stream = io.BytesIO()
    noise().save(stream, "PNG")
    told = {"content": stream.getvalue(), "headers": {"Content-Type": "image/png"}}
    assert http.post("/v1/scenes?gsd_m=1000", **told).status_code == 413  # type: ignore[arg-type]
    assert http.post("/v1/scenes?gsd_m=1", **told).status_code == 202  # type: ignore[arg-type]


def test_how_many_pixels_a_byte_may_hold() -> None:
    limits = Limits(tile_pixels=1000, scene_pixels=10_000, pixels_per_byte=20)
    fine = [(1000, 1), (2000, 100), (10_000, 500)]
    assert [limits.why_hollow(*one) for one in fine] == [None] * 3
    assert "got 2001 in 100 bytes" in (limits.why_hollow(2001, 100) or "")
    assert "at most 10000 pixels" in (limits.why_hollow(10_001, 10**6) or "")


# --- the audit


@pytest.fixture
def reviewed(tmp_path: Path) -> tuple[TestClient, Archive, str]:
    """A server, its archive, and the id of its one detection."""
    archive = Archive.open(tmp_path / "archive", make=True)
    entry = add(archive, write_scene(tmp_path / "scene.tif"), "Camp 15", "2019-03-12")
    put(archive, entry, [Found("coal_heap", 0.7)])
    http = client_of(tmp_path / "archive")
    (feature,) = http.get("/v1/detections").json()["features"]
    return http, archive, feature["id"]


def test_nothing_is_told_that_is_not_in_the_audit(reviewed: tuple[TestClient, Archive, str]) -> None:
    """Whoever filled the disk read all there was, and nobody knew."""
    http, archive, detection = reviewed
    path = archive.folder / "audit.jsonl"
    path.unlink()
    path.symlink_to("/dev/full")
    for read in ("", "/summary", f"/{detection}", f"/{detection}/chip.png"):
        answer = http.get(f"/v1/detections{read}")
        assert (answer.status_code, answer.json()["title"]) == (503, "No audit")
        assert answer.headers["Retry-After"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert detection not in answer.text.replace(answer.json()["instance"], "")
    assert http.get("/v1/me").status_code == 200
    path.unlink()
    assert http.get("/v1/detections").status_code == 200


def test_nothing_is_changed_while_the_audit_cannot_be_written(
    reviewed: tuple[TestClient, Archive, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, archive, detection = reviewed
    monkeypatch.setattr(audit, "ROOM", 2**62)  # as on a disk that is nearly full
    answer = http.post(f"/v1/detections/{detection}/review", json={"decision": "accept"})
    assert (answer.status_code, answer.json()["title"]) == (503, "No audit")
    assert not any(record.kind == "review.given" for record in archive.log.records())
    assert http.get("/v1/detections").status_code == 200
    monkeypatch.undo()
    path = f"/v1/detections/{detection}/review"
    assert http.post(path, json={"decision": "accept"}).status_code == 201


def test_half_a_line_does_not_stay_in_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    asyncio.run(audit.Audit(path).write({"a": 1}))
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[: len(data) // 2]))
    with pytest.raises(OSError, match="space"):
        asyncio.run(audit.Audit(path).write({"b": 2}))
    monkeypatch.undo()
    assert path.read_text() == '{"a": 1}\n'


def test_line_is_there_before_the_answer(reviewed: tuple[TestClient, Archive, str]) -> None:
    http, archive, detection = reviewed
    path = archive.folder / "audit.jsonl"
    before, seen = len(path.read_text().splitlines()), list[int]()

    async def ask() -> None:
        async def send(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                seen.append(len(path.read_text().splitlines()))

        async def receive() -> Any:  # noqa: ANN401
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http", "method": "GET", "path": f"/v1/detections/{detection}", "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 5), "scheme": "http",
            "server": ("127.0.0.1", 80), "root_path": "", "http_version": "1.1",
        }  # fmt: skip
        await http.app(scope, receive, send)

    asyncio.run(ask())
    assert seen == [before + 1]
    line = json.loads(path.read_text().splitlines()[-1])
    assert (line["status"], line["counts"]) == (200, {"detections": 1})


def test_scene_that_was_sent_is_in_the_audit_with_its_job(tmp_path: Path, card: Card) -> None:
    http = client(app_in(tmp_path, card))
    stream = io.BytesIO()
    noise().save(stream, "PNG")
    answer = http.post("/v1/scenes?gsd_m=1", content=stream.getvalue(), headers={"Content-Type": "image/png"})
    (line,) = map(json.loads, (tmp_path / "archive" / "audit.jsonl").read_text().splitlines())
    assert line["counts"]["job"] == answer.json()["id"]
    assert line["counts"]["name"] == answer.json()["name"]


# --- the disk


@pytest.mark.parametrize("length", ["told", "not told"])
def test_uploads_leave_room_on_the_disk(
    tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch, length: str
) -> None:
    """Without Content-Length nobody had looked, and the disk was full to the last byte."""
    http = client(app_in(tmp_path, card))
    stream = io.BytesIO()
    noise(400).save(stream, "PNG")
    data, free = stream.getvalue(), intake.KEPT_FREE + 100_000
    assert len(data) > 100_000
    monkeypatch.setattr(intake, "_free", lambda _: free)

    def pieces() -> Iterator[bytes]:
        yield data

    kind = {"Content-Type": "image/png"}
    content = data if length == "told" else pieces()
    answer = http.post("/v1/scenes?gsd_m=1", content=content, headers=kind)
    assert answer.status_code == 507
    uploads = tmp_path / "archive" / "uploads"
    assert not uploads.exists() or not list(uploads.iterdir())
    free += len(data)
    assert http.post("/v1/scenes?gsd_m=1", content=data, headers=kind).status_code == 202


# --- redrawn


def test_what_is_redrawn_stays_in_its_scene(reviewed: tuple[TestClient, Archive, str]) -> None:
    """An outline round the whole Earth was every site's, and the map's."""
    http, archive, detection = reviewed
    west, south, east, north = http.get("/v1/scenes").json()["scenes"][0]["bounds"]
    width, height = east - west, north - south

    def draw(*corners: float) -> int:
        geometry = json.loads(shapely.to_geojson(shapely.box(*corners)))
        given = {"decision": "redraw", "geometry": geometry}
        return http.post(f"/v1/detections/{detection}/review", json=given).status_code

    assert draw(-180, -85, 180, 85) == 422
    assert draw(west, south, east + 5 * width, north) == 422
    assert not any(record.kind == "review.given" for record in archive.log.records())
    assert draw(west, south, east, north + 0.09 * height) == 201


def test_scene_across_the_antimeridian_has_its_outlines_too() -> None:
    row: Any = {"scene_west": 179.9, "scene_south": 10.0, "scene_east": -179.9, "scene_north": 10.2}
    around = reviews._around(row)
    assert around.bounds == pytest.approx((179.88, 9.98, 180.12, 10.22))
    across = shapely.Polygon([(179.95, 10.1), (-179.95, 10.1), (-179.95, 10.15), (179.95, 10.15)])
    assert around.covers(reviews._eastward(across))
    assert not around.covers(reviews._eastward(shapely.box(-180, 10, 179, 10.2)))


# --- slow bodies


def test_slow_bodies_keep_no_place_from_others(tmp_path: Path, card: Card) -> None:
    """One client held 24 of the 32 places of /v1/detect by sending a byte now and then."""
    app = app_in(tmp_path, card, limits=Limits(waiting=2, waiting_of_one=2))
    stream = io.BytesIO()
    noise(256).save(stream, "PNG")
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield stream.getvalue()[:100]
        await go.wait()
        yield stream.getvalue()[100:]

    async def test() -> list[int]:
        async with sender(app, "127.0.0.1") as eve, sender(app, "127.0.0.2") as aigul:
            slow = [asyncio.create_task(eve.post("/v1/detect?gsd_m=0.6", content=slowly())) for _ in range(2)]
            while pool_of(app).bodies.count < 2:  # noqa: ASYNC110 (the server has no event for a test)
                await asyncio.sleep(0.01)
            assert pool_of(app).waiting == 0
            third = await eve.post("/v1/detect?gsd_m=0.6", content=slowly())
            other = await aigul.post("/v1/detect?gsd_m=0.6", content=stream.getvalue())
            go.set()
            answers = [third, other, *await asyncio.gather(*slow)]
        await pool_of(app).close()
        return [answer.status_code for answer in answers]

    assert asyncio.run(test()) == [429, 200, 200, 200]
    lines = [json.loads(line) for line in (tmp_path / "archive" / "audit.jsonl").read_text().splitlines()]
    assert [line["counts"].get("detections") for line in lines] == [None, 0, 0, 0]
    assert all(len(line["counts"]["sha256"]) == 64 for line in lines[1:])


def sender(app: FastAPI, address: str) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app, client=(address, 50_000)), base_url=HERE, timeout=60)
