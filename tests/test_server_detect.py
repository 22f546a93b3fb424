"""POST /v1/detect and the processes behind it, with a model that answers what the test wants."""

import asyncio
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import numpy.typing as npt
import pyproj
import pytest
import rasterio
from affine import Affine
from conftest import TILE_PX
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scenes import make_scene

from pithead.card import Card
from pithead.scan import scan
from pithead.server import pool as pools
from pithead.server.app import create_app
from pithead.server.desk import Infer
from pithead.server.problems import unavailable
from pithead.server.routes.detect import pool_of
from pithead.server.settings import Limits, Settings
from pithead.server.telling import Teller
from pithead.server.uploads import DRIVERS
from pithead.vectors import Origin, geojson, layers

# One heap: centre 128, 128, 60 × 30 px, not turned; at 0.6 m that is 36 × 18 m.
HEAP = [128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]
# A head that is under its threshold of 0.25.
WEAK = [40.0, 40.0, 20.0, 20.0, 0.0, 0.1, 0.0]
HEAP_RING = [[98.0, 113.0], [158.0, 113.0], [158.0, 143.0], [98.0, 143.0]]
Client = httpx.AsyncClient


async def two(tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    return [np.array([HEAP, WEAK], np.float32)] * len(tiles)


def png(side: int = TILE_PX) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def geotiff(path: Path, dtype: str = "uint8") -> bytes:
    with rasterio.open(
        path, "w", driver="GTiff", width=TILE_PX, height=TILE_PX, count=3, dtype=dtype, photometric="RGB",
        crs="EPSG:32652", transform=Affine(0.6, 0, 500_000, 0, -0.6, 4_650_000),
    ) as file:  # fmt: skip
        file.write(
            np.arange(3 * TILE_PX * TILE_PX, dtype=np.uint32).reshape(3, TILE_PX, TILE_PX).astype(dtype)
        )
    return path.read_bytes()


@pytest.fixture
def run(tmp_path: Path, card: Card) -> Callable[..., Any]:
    """Run a test with a client of an application whose processes end with it."""

    def run(test: Callable[[Client], Awaitable[object]], infer: Infer = two, **limits: float) -> Any:  # noqa: ANN401
        setup = Settings(tmp_path / "archive", Path("none.onnx"), scanners=2, limits=Limits(**limits))  # type: ignore[arg-type]

        async def whole() -> object:
            app = create_app(setup, infer, card=card, weights_sha256="ab" * 32)
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
            try:
                async with Client(
                    transport=transport, base_url="http://127.0.0.1:3000", timeout=60
                ) as client:
                    return await test(client)
            finally:
                await pool_of(app).close()
                app.state.desk.database.close()

        return asyncio.run(whole())

    return run


async def post(client: Client, image: bytes, **fields: object) -> httpx.Response:
    data = {name: str(value) for name, value in fields.items()}
    return await client.post("/v1/detect", files={"image": ("tile", image)}, data=data)


def test_a_tile_is_answered_in_pixels(run: Callable[..., Any]) -> None:
    async def test(client: Client) -> None:
        answer = await post(client, png(), gsd_m=0.6)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        told = answer.json()
        assert (told["frame"], told["width"], told["height"], told["gsd_m"]) == ("px", 256, 256, 0.6)
        (heap,) = told["features"]
        assert heap["geometry"] == {"type": "Polygon", "coordinates": [[*HEAP_RING, HEAP_RING[0]]]}
        facts = heap["properties"]
        assert (facts["class"], facts["score"], facts["scene"]) == ("coal_heap", 0.9, "tile")
        assert (facts["length_m"], facts["width_m"], facts["area_m2"]) == (36.0, 18.0, 648.0)
        assert facts["weights_sha256"] == "ab" * 32
        raw = await client.post("/v1/detect?gsd_m=0.6", content=png(), headers={"content-type": "image/png"})
        assert raw.json()["features"][0]["geometry"] == heap["geometry"]
        assert (await post(client, png(), gsd_m=0.6)).content == answer.content

    run(test)


def test_a_placed_image_is_answered_in_longitude_and_latitude(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    content = geotiff(tmp_path / "a.tif")

    async def test(client: Client) -> None:
        answer = await post(client, content)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/geo+json"
        ring = answer.json()["features"][0]["geometry"]["coordinates"][0]
        to_lonlat = pyproj.Transformer.from_crs("EPSG:32652", "OGC:CRS84", always_xy=True)
        place = Affine(0.6, 0, 500_000, 0, -0.6, 4_650_000)
        expected = [to_lonlat.transform(*(place @ tuple(corner))) for corner in HEAP_RING]
        np.testing.assert_allclose(sorted(ring[:4]), sorted(map(list, expected)), atol=1e-8)

    run(test)


def test_every_request_has_its_own_options(run: Callable[..., Any]) -> None:
    async def names(client: Client, **options: object) -> list[str]:
        answer = await post(client, png(), gsd_m=0.6, **options)
        assert answer.status_code == 200, answer.text
        return [one["properties"]["class"] for one in answer.json()["features"]]

    async def test(client: Client) -> None:
        found = await asyncio.gather(
            names(client),
            names(client, min_score=0.05),
            names(client, min_score=0.95),
            names(client, classes="mine_head"),
            names(client, classes="mine_head, coal_heap", min_score=0.05),
            names(client, min_score=0.05, max_detections=1),
        )
        assert found == [
            ["coal_heap"], ["coal_heap", "mine_head"], [], [], ["coal_heap", "mine_head"], ["coal_heap"]
        ]  # fmt: skip

    run(test)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "JPEG2000", "TIFF", "16 bit", "large"])
def test_every_format_is_read(run: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    file = io.BytesIO()
    if kind == "16 bit":
        file.write(geotiff(tmp_path / "a.tif", "uint16"))
    elif kind == "large":  # 81 windows, more than there are slots
        file.write(png(8 * 128 + TILE_PX))
    else:
        Image.fromarray(np.full((TILE_PX, TILE_PX, 3), 90, np.uint8)).save(file, kind)

    async def test(client: Client) -> None:
        answer = await post(client, file.getvalue(), gsd_m=0.6)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["features"]) == (81 if kind == "large" else 1)

    run(test)


def test_bad_input_is_refused_and_harms_nobody(run: Callable[..., Any], tmp_path: Path) -> None:
    cut = geotiff(tmp_path / "a.tif")[:90_000]
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 4, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "four.tif", "w", photometric="minisblack", crs="EPSG:32652",
        transform=Affine(0.6, 0, 500_000, 0, -0.6, 4_650_000), **profile,
    ) as file:  # fmt: skip
        file.write(np.zeros((4, 64, 64), np.uint8))
    cases = [
        (b"", {"gsd_m": 0.6}, 415, "TIFF"),
        (b"this is text", {"gsd_m": 0.6}, 415, "TIFF"),
        (b'<VRTDataset rasterXSize="1" rasterYSize="1"/>', {"gsd_m": 0.6}, 415, "TIFF"),
        (png()[:200], {"gsd_m": 0.6}, 422, "truncated"),
        (cut, {}, 422, "truncated"),
        ((tmp_path / "four.tif").read_bytes(), {}, 422, "mark them so in the file"),
        (b"II*\0 and then nothing of a TIFF", {"gsd_m": 0.6}, 422, "TIFF"),
        (png(), {}, 422, "gsd_m"),
        (png(), {"gsd_m": -1}, 422, "greater than 0"),
        (png(), {"gsd_m": "nan"}, 422, "gsd_m"),
        (png(), {"gsd_m": "half a metre"}, 422, "gsd_m"),
        (png(), {"gsd_m": 0.6, "min_score": 2}, 422, "min_score"),
        (png(), {"gsd_m": 0.6, "classes": "tank"}, 422, "tank"),
        (png(), {"gsd_m": 0.6, "colour": "red"}, 422, "colour"),
    ]

    async def test(client: Client) -> None:
        async def bad(case: tuple[bytes, dict[str, object], int, str]) -> None:
            image, fields, status, says = case
            answer = await post(client, image, **fields)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert says in json.dumps(problem)
            assert not {"/dev", "/tmp", "--"} & set(problem["detail"].split())  # noqa: S108

        async def good() -> None:
            answer = await post(client, png(), gsd_m=0.6)
            assert answer.status_code == 200, answer.text

        await asyncio.gather(*(bad(case) for case in cases), *(good() for _ in range(5)))

    run(test)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": {"gsd_m": "1"}}, 415),  # a form of another kind
        ({"files": {"photo": ("a", b"x")}}, 400),
        ({"files": {"other": (None, "1")}}, 400),
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, 415),
        ({"content": b"\x80\x05.", "headers": {"content-type": "application/vnd.bentoml+pickle"}}, 415),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400),
        ({"files": {"image": (None, "http://127.0.0.1:9/tile.png")}}, 415),  # an address is not fetched
    ],
)
def test_what_is_no_image_is_refused(run: Callable[..., Any], request_: dict[str, Any], status: int) -> None:
    async def test(client: Client) -> None:
        answer = await client.post("/v1/detect", **request_)
        assert answer.status_code == status, answer.text

    run(test)


def test_a_full_disk_is_told(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def full() -> Iterator[IO[bytes]]:
        with Path("/dev/full").open("wb") as file:
            yield file

    async def test(client: Client) -> None:
        monkeypatch.setattr("pithead.server.routes.detect.TemporaryFile", full)
        answer = await post(client, png(), gsd_m=0.6)
        assert answer.status_code == 507, answer.text

    run(test)


def test_bytes_and_pixels_have_limits(run: Callable[..., Any]) -> None:
    async def test(client: Client) -> None:
        assert (await post(client, png(300), gsd_m=0.6)).status_code == 413
        assert (await post(client, png(), gsd_m=0.6)).status_code == 200
        few = await post(client, png(), gsd_m=1000)  # 426,667 px a side for the model
        assert (few.status_code, "/v1/scenes" in few.text) == (413, True), few.text
        big = await client.post(
            "/v1/detect", content=bytes(20_000), headers={"content-type": "application/octet-stream"}
        )
        assert big.status_code == 413

    run(test, tile_pixels=256 * 256, tile_bytes=10_000)


class Gate:
    """A model that answers when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.tiles = 0

    async def infer(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        self.tiles += len(tiles)
        await self.open.wait()
        return await two(tiles)


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("limits", "status"), [({"waiting": 3}, 503), ({"waiting": 9, "waiting_of_one": 3}, 429)]
)
def test_a_full_queue_says_so_and_when_to_come_again(
    run: Callable[..., Any], limits: dict[str, int], status: int
) -> None:
    gate = Gate()

    async def test(client: Client) -> None:
        waiting = [asyncio.create_task(post(client, png(), gsd_m=0.6)) for _ in range(3)]
        await until(lambda: gate.tiles == 2)  # two are scanned, one waits for a process
        refused = await post(client, png(), gsd_m=0.6)
        assert refused.status_code == status, refused.text
        assert int(refused.headers["retry-after"]) >= 1
        gate.open.set()
        assert [one.status_code for one in await asyncio.gather(*waiting)] == [200] * 3
        assert (await post(client, png(), gsd_m=0.6)).status_code == 200

    run(test, gate.infer, **limits)


def test_what_takes_too_long_is_503_and_frees_its_process(run: Callable[..., Any]) -> None:
    gate = Gate()

    async def test(client: Client) -> None:
        await post(client, b"", gsd_m=0.6)
        slow = await post(client, png(), gsd_m=0.6)
        assert slow.status_code == 503, slow.text
        assert "retry-after" in slow.headers
        gate.open.set()
        answers = await asyncio.gather(*(post(client, png(), gsd_m=0.6) for _ in range(2)))
        assert {one.status_code for one in answers} <= {200, 503}
        await until(lambda: True)

    run(test, gate.infer, answer_s=8)


def test_a_model_that_is_away_is_503(run: Callable[..., Any]) -> None:
    away = True

    async def infer(tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        if away:
            raise unavailable("Model away", "expected the model to answer")
        return await two(tiles)

    async def test(client: Client) -> None:
        nonlocal away
        assert (await post(client, png(512), gsd_m=0.6)).status_code == 503
        away = False
        assert (await post(client, png(512), gsd_m=0.6)).status_code == 200

    run(test, infer)


PROGRAM = """
import os, time
from pithead.server import scanner
answer = scanner.answer
def hostile(line, model, order, file):
    if order.name == "crash": os.abort()
    if order.name == "exit": os._exit(0)
    if order.name == "sleep": time.sleep(1000)
    if order.name == "eat": bytearray(scanner.MEMORY_BYTES)
    if order.name == "raise": raise KeyError("odd")
    if order.name == "babble": line._socket.sendall(b"\\xff" * 100)
    if order.name == "memory": scanner.open_scene = lambda *a, **k: bytearray(scanner.MEMORY_BYTES)
    answer(line, model, order, file)
scanner.answer = hostile
scanner.main()
"""


def test_a_process_that_dies_of_its_image_harms_nobody(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_PROGRAM", PROGRAM)
    monkeypatch.setattr(pools, "SILENCE_S", 1.0)

    async def named(client: Client, name: str) -> httpx.Response:
        return await client.post("/v1/detect", files={"image": (name, png())}, data={"gsd_m": "0.6"})

    async def test(client: Client) -> None:
        names = ["crash", "a", "exit", "b", "sleep", "c", "eat", "d", "raise", "e", "babble", "f"]
        answers = await asyncio.gather(*(named(client, name) for name in names))
        told = {name: answer.status_code for name, answer in zip(names, answers, strict=True)}
        assert told == {name: 200 if len(name) == 1 else 422 for name in names}
        assert (await named(client, "memory")).status_code == 413

    run(test)


def test_processes_that_were_killed_while_idle_are_replaced(run: Callable[..., Any]) -> None:
    async def test(client: Client) -> None:
        assert (await post(client, png(), gsd_m=0.6)).status_code == 200
        for scanner in processes(client):
            os.kill(scanner._process.pid, 9)
        await asyncio.sleep(0.1)
        assert (await post(client, png(), gsd_m=0.6)).status_code == 200

    run(test)


def test_who_goes_away_while_processes_start_keeps_nobody_from_them(run: Callable[..., Any]) -> None:
    async def test(client: Client) -> None:
        first = asyncio.create_task(post(client, png(), gsd_m=0.6))
        await until(lambda: len(processes(client)) == 2)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert (await post(client, png(), gsd_m=0.6)).status_code == 200

    run(test, answer_s=20)


def processes(client: Client) -> list[pools.Scanner]:
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return list(pool_of(transport.app)._all)  # type: ignore[arg-type]


def test_a_process_is_shut_in(run: Callable[..., Any]) -> None:
    async def test(client: Client) -> None:
        assert (await post(client, png(), gsd_m=0.6)).status_code == 200
        process = Path(f"/proc/{processes(client)[0]._process.pid}")
        limits = (process / "limits").read_text().splitlines()
        assert next(line for line in limits if line.startswith("Max address space")).split()[3] == str(
            4 * 2**30
        )
        assert (process / "status").read_text().count("Threads:\t1\n") == 1
        variables = (process / "environ").read_text()
        skipped = variables.split("GDAL_SKIP=")[1].split("\0")[0].split(",")
        assert not {"VRT", "WMS", "HTTP", "GTI", "STACIT"} - set(skipped)
        assert not set(skipped) & {*DRIVERS, "MEM"}
        assert "PITHEAD" not in variables

    run(test)


def test_processes_die_with_the_server(tmp_path: Path, card_json: str) -> None:
    program = f"""
import asyncio, os, sys
from pathlib import Path
from pithead.card import Card
from pithead.server.desk import Desk
from pithead.server.pool import Pool
from pithead.server.settings import Settings
async def main():
    desk = Desk(Settings(Path({str(tmp_path)!r}), Path("w")), Card.from_json({card_json!r}), "", None, None)
    pool = Pool(desk)
    await pool.start()
    print(*(scanner._process.pid for scanner in pool._all), flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    end = time.monotonic() + 10
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Seen:
    """A detector that sees given rows in every tile."""

    def __init__(self, card: Card, rows: list[list[float]]) -> None:
        self.card = card
        self._rows = np.array(rows, np.float32).reshape(-1, 7)

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        return [self._rows] * len(tiles)


row = st.tuples(
    st.floats(0, 256), st.floats(0, 256), st.floats(8, 90), st.floats(4, 30), st.floats(-1.57, 1.57),
    st.floats(0.3, 1), st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(row.map(list), max_size=8), crs=st.sampled_from([None, 32652, 3857]))
def test_features_are_those_of_the_map_layers(
    rows: list[list[float]], crs: int | None, tmp_path_factory: pytest.TempPathFactory, card_once: Card
) -> None:
    folder = tmp_path_factory.mktemp("scene")
    with make_scene(folder / ("scene.png" if crs is None else "scene.tif"), crs) as scene:
        found = scan(scene, Seen(card_once, rows))
        origin = Origin("a", "b", "c")
        expected = geojson(layers(found, scene, card_once, origin), scene)["features"]
        stamp = {"scene": "a", "scene_sha256": "b", "weights_sha256": "c"}
        told = list(Teller(found, scene, card_once, stamp).features())
    assert json.dumps(told) == json.dumps(expected)


@pytest.fixture(scope="module")
def card_once() -> Card:
    from pithead.card import CardClass

    kinds = {"mine_head": "box", "coal_heap": "box", "guard_perimeter": "line", "rail_loading": "strip"}
    classes = tuple(CardClass(name, kind, "#ffe119", 0.25) for name, kind in kinds.items())
    return Card("constant", classes, tile_px=TILE_PX, gsd_m=0.6, licence="AGPL-3.0-or-later")
