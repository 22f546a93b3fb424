"""What was tried against the server and once worked: each attack is here, and is refused."""

import io
import json
import os
import stat
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from server_archive import Found, add, client_of, put, write_scene
from serving import app_in, client

from pithead.card import Card
from pithead.errors import SceneError
from pithead.imagery import open_scene
from pithead.rescore import Archive
from pithead.server.audit import MOST
from pithead.server.problems import Problem
from pithead.server.routes.scenes_post import UnderWay
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
