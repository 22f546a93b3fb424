"""A cluster leaves the bytes of one process, though an actor is killed."""

import os
import signal
from pathlib import Path

import pytest
from conftest import MakeOnnx
from oracle import position_scene
from test_rescore import Hands, content, elsewhere, job_of, plan_of
from test_scan import write_scene

from pithead.rescore import Archive, Tally, drive

ray = pytest.importorskip("ray", reason="ray is not installed: the archive extra has it")


def actors() -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


# Ray leaves its own sockets and processes to the end of the interpreter.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_leaves_the_same_bytes_though_an_actor_is_killed(
    make_onnx: MakeOnnx, tmp_path: Path
) -> None:
    from pithead.rescore.cluster import RayCrew

    weights = make_onnx([[128, 128, 60, 30, 0.3, 0.9, 1]])
    for i in range(3):
        pixels = position_scene(500, 500)
        pixels[0, 0] = i
        write_scene(tmp_path / f"scene{i}.tif", pixels)
    archive = Archive.open(tmp_path / "archive", make=True)
    archive.catalog.add([tmp_path / f"scene{i}.tif" for i in range(3)])
    job = job_of(archive, weights)
    drive(archive, plan_of(archive, weights), job, Hands(job))
    other = elsewhere(archive, tmp_path)
    job = job_of(other, weights, part_tiles=2)
    crew, killed = RayCrew(job, "auto", most=2), []

    def kill(tally: Tally) -> None:
        if tally.active and not killed:
            killed.extend(actors()[:1])
            for process in killed:
                os.kill(process, signal.SIGKILL)

    try:
        tally = drive(other, plan_of(other, weights), job, crew, kill)
    finally:
        crew.close()
    assert len(killed) == 1
    assert (tally.done, tally.failures) == (3, {})
    assert content(other) == content(archive)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
