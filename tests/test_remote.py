"""Scenes behind an address are read by ranges: what a scan does not look at is not fetched."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from pithead.aoi import touched
from pithead.errors import SceneError
from pithead.geometry import Window
from pithead.imagery import open_scene
from pithead.imagery.files import gdal_path, is_local, is_remote
from pithead.tiling import Grid, read_tile

PLACE = Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000)


@dataclass(slots=True)
class Traffic:
    """What a server was asked for and what it sent."""

    address: str
    paths: list[str] = field(default_factory=list)
    sent: int = 0
    refusals: int = 0
    """How many of the next requests are answered with 503."""
    broken: bool = False
    """Whether connections are closed without an answer."""


class Handler(BaseHTTPRequestHandler):
    """Serves the files of a folder on this machine by HTTP, whole or by ranges."""

    protocol_version = "HTTP/1.1"
    folder: Path
    traffic: Traffic

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        self.traffic.paths.append(f"{self.command} {self.path}")
        path = self.folder / self.path.split("?")[0].lstrip("/")
        if self.traffic.broken:
            self.close_connection = True
        elif self.traffic.refusals:
            self.traffic.refusals -= 1
            self._head(503, 0)
        elif not path.is_file():
            self._head(404, 0)
        else:
            self._part(path.read_bytes(), send=send)

    def _part(self, content: bytes, *, send: bool) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            part = content
            self._head(200, len(part))
        else:
            first = int(asked[1])
            part = content[first : int(asked[2]) + 1]
            place = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
            self._head(206, len(part), **{"Content-Range": place})
        if send:
            self.traffic.sent += len(part)
            self.wfile.write(part)

    def _head(self, status: int, length: int, **more: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), "Accept-Ranges": "bytes", **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        del format, args


@contextmanager
def _served(folder: Path) -> Iterator[Traffic]:
    traffic = Traffic("")
    handler = type("HandlerHere", (Handler,), {"folder": folder, "traffic": traffic})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    traffic.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield traffic
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Traffic]:
    with _served(tmp_path) as served:
        yield served


def _cog(
    path: Path, side: int, bands: int = 1, *, overviews: bool = True, high: int = 2048, block: int = 128
) -> Path:
    data = np.random.default_rng(2).integers(1, high, (bands, side, side)).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="COG", count=bands, height=side, width=side, dtype="uint16", nodata=0,
        crs=CRS.from_epsg(32652), transform=PLACE, compress="deflate", predictor="yes", blocksize=block,
        overview_resampling="average", overviews="AUTO" if overviews else "NONE",
    ) as out:  # fmt: skip
        out.write(data)
    return path


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a/b.tif", "a/b.tif"),
        ("/data/b.tif", "/data/b.tif"),
        ("s3://bucket/a/b.tif", "/vsis3/bucket/a/b.tif"),
        ("https://a.org/b.tif?key=x://y", "/vsicurl/https://a.org/b.tif?key=x://y"),
        ("http://a.org/b.tif", "/vsicurl/http://a.org/b.tif"),
        (str(Path("https://a.org/b.tif")), "/vsicurl/https://a.org/b.tif"),
        (str(Path("/vsicurl/https://a.org/b.tif")), "/vsicurl/https://a.org/b.tif"),
        ("/vsizip//vsicurl/https://a.org/b.zip/c.tif", "/vsizip//vsicurl/https://a.org/b.zip/c.tif"),
        ("/vsimem/b.tif", "/vsimem/b.tif"),
    ],
)
def test_addresses_become_paths_of_gdal(given: str, read: str) -> None:
    assert gdal_path(given) == read
    assert is_local(given) == (not read.startswith("/vsi"))
    assert is_remote(given) == ("/vsicurl" in read or "/vsis3" in read)


def test_other_addresses_are_an_error() -> None:
    with pytest.raises(SceneError, match="https://, s3:// or a /vsi path"):
        open_scene("ftp://a.org/b.tif")


def test_a_remote_scene_is_the_local_one(tmp_path: Path, traffic: Traffic) -> None:
    path = _cog(tmp_path / "a.tif", 700, 3)
    with open_scene(path) as local, open_scene(f"{traffic.address}/a.tif") as remote:
        assert (remote.stretch, remote.gsd_m, remote.bands) == (local.stretch, local.gsd_m, local.bands)
        for scale in (1.0, 0.3, 1.5):
            a, b = (s.read_window(Window(64, 32, 256, 256), scale, scale) for s in (local, remote))
            np.testing.assert_array_equal(a.data, b.data)
            np.testing.assert_array_equal(a.valid, b.valid)
    # No sidecar files, no listing of the folder.
    assert {one.split()[1] for one in traffic.paths} == {"/a.tif"}


def test_a_tenth_of_a_scene_costs_less_than_15_percent_of_its_bytes(tmp_path: Path, traffic: Traffic) -> None:
    side = 4000
    size = _cog(tmp_path / "a.tif", side, high=17, block=256).stat().st_size
    assert size > 5_000_000
    with open_scene(f"{traffic.address}/a.tif") as scene:
        assert scene.stretch is not None
        assert traffic.sent < 0.02 * size, "the stretch is to come from the overviews"
        grid = Grid.of(scene, scene.gsd_m[0], 320, 64)
        # As many windows to a side as a scene of 8000 px has of 640 px, and a tenth of its ground.
        area_scene = shapely.box(1024, 1280, 1024 + 1265, 1280 + 1265)
        run = list(touched(grid, area_scene))
        seen = sum(int(read_tile(scene, grid, window).valid[grid.own(window)].sum()) for window in run)
    assert seen >= 0.1 * side**2
    assert len(run) == 25
    assert traffic.sent < 0.15 * size
    assert len(traffic.paths) < 2 * len(run)


def test_a_remote_scene_without_overviews_is_not_fetched_for_its_stretch(
    tmp_path: Path, traffic: Traffic
) -> None:
    path = _cog(tmp_path / "a.tif", 2560, overviews=False)
    with open_scene(f"{traffic.address}/a.tif") as scene:
        assert scene.stretch is not None
        np.testing.assert_allclose(scene.stretch.low, 41, atol=10)  # 2 % of 2047
        np.testing.assert_allclose(scene.stretch.high, 2007, atol=10)
    assert traffic.sent < 0.5 * path.stat().st_size


def test_a_server_that_is_busy_is_asked_again(tmp_path: Path, traffic: Traffic) -> None:
    _cog(tmp_path / "a.tif", 1500)
    with open_scene(f"{traffic.address}/a.tif") as scene:
        traffic.refusals = 1
        assert scene.read_window(Window(256, 256, 128, 128)).valid.all()
    assert traffic.refusals == 0


def test_by_s3(tmp_path: Path, traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bucket").mkdir()
    path = _cog(tmp_path / "bucket" / "a.tif", 300)
    settings = {"AWS_S3_ENDPOINT": traffic.address.removeprefix("http://"), "AWS_HTTPS": "NO"}
    for name, value in {**settings, "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_NO_SIGN_REQUEST": "YES"}.items():
        monkeypatch.setenv(name, value)
    with open_scene("s3://bucket/a.tif") as remote, open_scene(path) as local:
        window = Window(0, 0, 300, 300)
        np.testing.assert_array_equal(remote.read_window(window).data, local.read_window(window).data)
    assert {one.split()[1] for one in traffic.paths} == {"/bucket/a.tif"}


def _one_line(error: pytest.ExceptionInfo[SceneError], address: str) -> None:
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(address)


def test_what_is_not_there_or_not_reached(traffic: Traffic, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SceneError, match=r"404.*check the address") as error:
        open_scene(f"{traffic.address}/none.tif")
    _one_line(error, traffic.address)
    with socket.socket() as free:  # a port that nobody listens on
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/a.tif"
        with pytest.raises(SceneError, match="check the address") as error:
            open_scene(address)
    _one_line(error, address)
    assert capfd.readouterr() == ("", "")


def test_a_connection_that_breaks_in_the_middle(
    tmp_path: Path, traffic: Traffic, capfd: pytest.CaptureFixture[str]
) -> None:
    _cog(tmp_path / "a.tif", 1500)
    with open_scene(f"{traffic.address}/a.tif") as scene:
        traffic.broken = True
        with pytest.raises(SceneError, match="check the network") as error:
            scene.read_window(Window(0, 0, 1500, 1500))
    _one_line(error, traffic.address)
    assert capfd.readouterr() == ("", "")


def test_settings_for_the_network_do_not_stay(tmp_path: Path, traffic: Traffic) -> None:
    _cog(tmp_path / "a.tif", 300)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "b.pgw").write_text("0.6\n0\n0\n-0.6\n500000\n4400000\n")  # what says where b.png lies
    with open_scene(f"{traffic.address}/a.tif"):
        asked = len(traffic.paths)
        with rasterio.open(tmp_path / "b.png") as local:
            assert local.transform.a == 0.6
        with open_scene(tmp_path / "b.png", gsd_m=1):
            assert len(traffic.paths) == asked
