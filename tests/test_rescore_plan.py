"""What a plan makes of files as they are, and how it counts tiles."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import MakeOnnx
from test_catalog import write_scene

from pithead.catalog import Entry
from pithead.detector import Detector
from pithead.errors import SceneError
from pithead.imagery import open_scene
from pithead.rescore import Archive, Options, Plan
from pithead.rescore.plan import plan, tiles
from pithead.tiling import Grid

OPTIONS = Options(overlap_px=64)


@pytest.fixture
def opened(make_onnx: MakeOnnx) -> Detector:
    return Detector.open(make_onnx(), threads=1)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive.open(tmp_path / "archive", make=True)
    made.catalog.add([write_scene(tmp_path / f"{k}.tif", k) for k in range(2)])
    return made


def plan_of(archive: Archive, opened: Detector) -> Plan:
    return plan(archive, opened.card, opened.sha256, OPTIONS)


def test_a_scene_that_vanishes_while_it_is_looked_at_stops_no_other(
    archive: Archive, opened: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = archive.catalog.scenes()
    for entry in (first, second):
        os.utime(entry.href, ns=(1, 1))

    def gone(entry: Entry) -> Entry:
        if entry.id == first.id:
            raise SceneError("gone")
        return replace(entry, mtime_ns=1)

    monkeypatch.setitem(plan.__globals__, "renewed", gone)  # the package hides the module of that name
    todo = plan_of(archive, opened)
    assert todo.gone == (first,)
    assert todo.todo == todo.touched == (replace(second, mtime_ns=1),)


@pytest.mark.parametrize("stretch", [0.5, 0.991, 1.0, 1.009, 1.7])
def test_tiles_are_counted_as_a_scan_lays_them(archive: Archive, opened: Detector, stretch: float) -> None:
    """Also where the ground resolution is so near the model's that nothing is resampled."""
    entry = archive.catalog.scenes()[0]
    for width in range(400, 12_000, 379):
        like = replace(entry, width=width, gsd_m=(opened.card.gsd_m * stretch, opened.card.gsd_m * stretch))
        with open_scene(entry.href) as scene:
            object.__setattr__(scene, "width", width)
            object.__setattr__(scene, "gsd_m", like.gsd_m)
            grid = Grid.of(scene, opened.card.gsd_m, opened.card.tile_px, OPTIONS.overlap_px)
        assert tiles(like, opened.card, OPTIONS) == len(grid)
