"""Where strangers' images are decoded: in processes that can do little, and none of the server's own."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from conftest import MakeOnnx
from server_archive import write_scene
from test_server_worker import opened, said, settled, uploaded

from pithead.catalog import Entry
from pithead.errors import OptionError, SceneError
from pithead.rescore import Archive, LocalCrew, Outcome
from pithead.server import cage, jobs, scoring, uploads
from pithead.server.jobs import Draft
from pithead.server.pictures import Chip, Order, Outline, Painters, Plate, Tile, painters
from pithead.server.pictures import order as orders
from pithead.server.problems import Problem
from pithead.server.scoring import Scorer
from pithead.server.settings import Limits, Settings
from pithead.store import RunRecord

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns").exists(), reason="looks at processes in /proc")
HEAPS = [[128, 128, 60, 30, 0.3, 0.9, 1]]
NEAR = (18, 225007, 99480)
"""A tile of the scene of `write_scene`: 129.0° E, 39.7° N."""
FAR = (11, 1757, 777)

HOSTILE = """
import os, time
from pithead.server.pictures import child, overview, tile
from pathlib import Path
tile.SIDE_PX = overview.SIDE_PX = 64
answer, lay = child.answer, child.lay_overview
def hostile(head):
    name = Path(head["plate"]["path"]).stem
    if name == "crash": os.abort()
    if name == "sleep": time.sleep(60)
    if name == "eat": bytearray(4 * 2**30)
    return answer(head)
def slow(plate, folder):
    while not Path(plate.path).with_name("go").exists(): time.sleep(0.02)
    lay(plate, folder)
child.answer, child.lay_overview = hostile, slow
child.main({})
"""


@pytest.fixture
def painter(tmp_path: Path) -> Iterator[Painters]:
    made = Painters(tmp_path / "uploads")
    yield made
    made.close()


def tile_of(path: Path, at: tuple[int, int, int] = NEAR) -> Order:
    return Order(Plate(str(path)), Tile(*at, str(path.parent.parent / "overviews")))


def painted(by: Painters, order: Order) -> bytes | None:
    return asyncio.run(by.paint(order))


def check_shut_in(pid: int, memory: int) -> None:
    """A process has so much memory, five formats, no network where it may be given up, and none of ours."""
    process = Path("/proc") / str(pid)
    limits = (process / "limits").read_text().splitlines()
    assert next(line for line in limits if line.startswith("Max address space")).split()[3] == str(memory)
    assert next(line for line in limits if line.startswith("Max core file")).split()[4] == "0"
    variables = (process / "environ").read_text()
    skipped = variables.split("GDAL_SKIP=")[1].split("\0")[0].split(",")
    assert not {"WMS", "HTTP", "GTI", "STACIT"} - set(skipped)
    assert not set(skipped) & {*cage.DRIVERS, "MEM"}
    assert "PITHEAD_SECRET" not in variables
    if can_leave_the_network():
        assert (process / "ns" / "net").readlink() != Path("/proc/self/ns/net").readlink()


def can_leave_the_network() -> bool:
    child = os.fork()
    if child == 0:
        import ctypes

        system = ctypes.CDLL(None)
        os._exit(int(system.unshare(0x50000000) != 0 and system.unshare(0x40000000) != 0))
    return os.waitpid(child, 0)[1] == 0


def test_formats_are_those_of_uploads() -> None:
    assert sorted(cage.DRIVERS) == sorted(uploads.DRIVERS)


# --- pictures


def test_an_order_goes_over_the_wire_as_it_is() -> None:
    outline = Outline(shapely.box(1, 2, 3, 4.5), "#ffe119", dashed=True)
    plate = Plate("/a/b.tif", 0.5, "p2-98", 7, 8, "ab")
    for what in (Tile(3, 1, 2, "/o"), Chip((outline,), None, 320), orders.Small("/o")):
        assert Order.of(Order(plate, what).told()) == Order(plate, what)


def test_uploads_are_painted_in_the_cage(
    tmp_path: Path, painter: Painters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITHEAD_SECRET", "1")
    path = write_scene(tmp_path / "uploads" / "a" / "a.tif")
    assert (painted(painter, tile_of(path)) or b"").startswith(b"\x89PNG")
    assert painted(painter, tile_of(path, (18, 0, 0))) is None
    outline = Outline(shapely.box(129.0, 39.748, 129.001, 39.749), "#ffe119")
    chip = painted(painter, Order(Plate(str(path)), Chip((outline,), 5.0, 64)))
    assert (chip or b"").startswith(b"\x89PNG")
    for pid in painter.pids:
        check_shut_in(pid, cage.MEMORY_BYTES)
        os.kill(pid, signal.SIGKILL)
    until(lambda: not painter.pids)
    assert painted(painter, tile_of(path))  # by another one


def test_a_recipe_is_painted_for_the_owner_of_the_archive_only(tmp_path: Path, painter: Painters) -> None:
    source = write_scene(tmp_path / "uploads" / "a" / "a.tif")
    with rasterio.open(source) as scene:
        profile = scene.profile
    recipe = (
        '<VRTDataset rasterXSize="400" rasterYSize="300"><SRS>EPSG:32652</SRS>'
        f"<GeoTransform>{','.join(map(str, profile['transform'].to_gdal()))}</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{colour}</ColorInterp><SimpleSource>'
            f"<SourceFilename>{source}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource>"
            "</VRTRasterBand>"
            for band, colour in ((1, "Red"), (2, "Green"), (3, "Blue"))
        )
        + "</VRTDataset>"
    )
    sent, own = tmp_path / "uploads" / "b" / "b.vrt", tmp_path / "own" / "b.vrt"
    for path in (sent, own):
        path.parent.mkdir()
        path.write_text(recipe)
    with pytest.raises(SceneError):
        painted(painter, tile_of(sent))
    assert painted(painter, tile_of(own))


def test_a_scene_that_kills_its_painter_is_let_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painters, "PROGRAM", HOSTILE)
    monkeypatch.setattr(painters, "PATIENCE_S", 3.0)
    by = Painters(tmp_path / "uploads")
    paths = {
        name: write_scene(tmp_path / "uploads" / name / f"{name}.tif") for name in ("crash", "eat", "ok")
    }
    with contextlib.closing(by):
        for name in ("crash", "eat", "crash"):
            with pytest.raises(SceneError, match="breaks its reader"):
                painted(by, tile_of(paths[name]))
            assert painted(by, tile_of(paths["ok"]))
        assert 1 <= len(by.pids) <= painters.PAINTERS


def test_a_scene_in_small_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painters, "PROGRAM", HOSTILE)
    monkeypatch.setattr(painters, "WAIT_S", 0.2)
    by = Painters(tmp_path / "uploads")
    large, other = (tmp_path / "uploads" / name / f"{name}.tif" for name in ("large", "other"))
    wide(large)
    write_scene(other)
    with contextlib.closing(by):
        for _ in range(3):
            with pytest.raises(Problem) as refused:
                painted(by, tile_of(large, FAR))
            assert (refused.value.status_code, refused.value.headers) == (503, {"Retry-After": "3"})
            assert painted(by, tile_of(other))
        (large.parent / "go").touch()
        until(lambda: answered(by, tile_of(large, FAR)) is not None)
    assert len(list((tmp_path / "uploads" / "overviews").iterdir())) == 1


def wide(path: Path) -> None:
    """A scene of 2.4 × 0.3 km that is more than twice as wide as what is kept of it in small."""
    path.parent.mkdir(parents=True)
    with rasterio.open(write_scene(path)) as small:
        profile = small.profile
    with rasterio.open(path, "w", **{**profile, "width": 4800}) as out:
        out.write(np.full((3, 300, 4800), 90, np.uint8))


def answered(by: Painters, order: Order) -> bytes | None:
    try:
        return painted(by, order)
    except Problem:
        return None


# --- jobs


def test_an_upload_is_scored_in_the_cage_and_a_scene_of_the_owner_is_not(
    tmp_path: Path, make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITHEAD_SECRET", "1")
    settings = settled(tmp_path / "archive", make_onnx(HEAPS))
    seen: list[tuple[Entry, int]] = []
    drive = scoring.drive

    def looked(archive: Archive, todo: Any, run: Any, crew: LocalCrew, watch: Any) -> Any:  # noqa: ANN401
        tally = drive(archive, todo, run, crew, watch)
        (pid,) = crew.processes
        seen.append((todo.todo[0], pid))
        if "uploads" in todo.todo[0].href:
            check_shut_in(pid, cage.MODEL_BYTES)
        else:
            assert "GDAL_SKIP" not in Path(f"/proc/{pid}/environ").read_text()
        return tally

    monkeypatch.setattr(scoring, "drive", looked)
    sent = uploaded(settings, 300)
    archive = Archive.open(settings.archive)
    (entry,) = archive.catalog.add([write_scene(tmp_path / "own.tif")])
    with opened(settings).writing() as connection:
        own = jobs.add(connection, Draft("catalogue", entry.id, "local", scene=entry.id)).id
    ended = done(settings, archive)
    assert {key: ended[key] for key in (sent, own)} == {sent: ("done", None), own: ("done", None)}
    assert len(seen) == 2


def done(settings: Settings, archive: Archive) -> dict[str, tuple[str, str | None]]:
    """Do every job; how each ended, by its id."""
    database = opened(settings)
    scorer = Scorer(settings, database, threading.Event().is_set)
    keys = []
    with archive.alone(), contextlib.closing(scorer):
        while True:
            with database.writing() as connection:
                job = jobs.claim(connection)
            if job is None:
                break
            assert scorer.do(archive, job) == 0.0
            keys.append(job.id)
    return {key: (said(database, key).state, said(database, key).error) for key in keys}


def test_an_upload_that_kills_whoever_measures_it_fails(
    tmp_path: Path, make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pithead.server import taking

    monkeypatch.setattr(taking, "PROGRAM", "import os; os.abort()")
    settings = settled(tmp_path / "archive", make_onnx(HEAPS))
    sent = uploaded(settings, 300)
    (state, error) = done(settings, Archive.open(settings.archive))[sent]
    assert (state, error) == ("failed", "expected a scene that can be read, this one breaks its reader")


def test_pixels_are_counted_as_the_weights_see_them(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    """The header alone does not say how large a pixel is, and so how many tiles there will be."""
    settings = settled(tmp_path / "archive", make_onnx(HEAPS))
    settings = replace(settings, limits=Limits(scene_pixels=80_000))
    sent = uploaded(settings, 300)
    state, error = done(settings, Archive.open(settings.archive))[sent]
    assert state == "failed"
    assert error is not None
    assert re.fullmatch("at 0.6 m per pixel expected at most 80000 pixels, got 90.{3}; cut it .*", error)


def test_an_outcome_is_told_without_a_pickle() -> None:
    record = RunRecord(
        scene=f"a-{'ab' * 6}", scene_sha256="ab" * 32, weights_sha256="cd" * 32, weights="constant",
        options_sha256="ef" * 32, options={"overlap_px": 128}, site=None, sites=("Camp 15",), version="0",
        host="here", started="2026-01-01T00:00:00.000+00:00", seconds=1.25, tiles={"all": 1}, valid_km2=0.1,
        counts={"coal_heap": 2},
    )  # fmt: skip
    for outcome in (Outcome("finished", record=record, tiles=3), Outcome("split", missing=(1, 2), parts=3)):
        assert Outcome.from_json(outcome.to_json()) == outcome
    for other in (b"", b"[]", b"{}", b'{"end": "finished", "record": {}}', b"\x80\x04."):
        with pytest.raises(OptionError):
            Outcome.from_json(other)


def until(what: Any, seconds: float = 20) -> None:  # noqa: ANN401
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
