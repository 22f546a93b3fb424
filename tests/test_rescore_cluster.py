"""A cluster leaves the bytes of one process, though an actor is killed."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MakeOnnx
from oracle import position_scene
from test_rescore import Hands, content, elsewhere, job_of, plan_of
from test_scan import write_scene

from pithead.errors import PitheadError
from pithead.rescore import Archive, Crew, Job, Options, Task, drive

ray = pytest.importorskip("ray", reason="ray is not installed: the archive extra has it")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of this process: with "auto" a test would join any that runs on this machine."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    short = Path(tempfile.mkdtemp(prefix="ray"))  # paths of sockets have at most 107 bytes
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR", _temp_dir=str(short),
    )  # fmt: skip
    yield
    ray.shutdown()
    shutil.rmtree(short, ignore_errors=True)


def is_ours(process: Path) -> bool:
    """Whether a process descends from this one: somebody else's actors are not for us to kill."""
    number = process.name
    while number not in {"0", "1"}:
        if int(number) == os.getpid():
            return True
        status = (Path("/proc") / number / "status").read_text()
        number = next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1]
    return False


def actors() -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::_Actor") and is_ours(process):
                found.append(int(process.name))
        except OSError:
            continue
    return found


# Ray leaves its own sockets and processes to the end of the interpreter.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in (
        "ResourceWarning",
        "pytest.PytestUnraisableExceptionWarning",
        "FutureWarning",
        "DeprecationWarning",
    )
]


def told(crew: Crew) -> None:
    for _ in range(120):
        crew.take(0.5)


@pytest.mark.usefixtures("cluster")
def test_weights_that_no_actor_can_open_end_the_run(tmp_path: Path) -> None:
    from pithead.rescore.cluster import RayCrew

    job = Job(tmp_path / "none.onnx", "0" * 64, Options(), str(tmp_path / "s"), str(tmp_path / "w"))
    crew = RayCrew(job, "local", most=1)
    try:
        with pytest.raises(PitheadError, match=r"a worker cannot begin: .*WeightsError"):
            told(crew)
    finally:
        crew.close()


@pytest.mark.usefixtures("cluster")
def test_a_cluster_leaves_the_same_bytes_though_an_actor_is_killed(
    make_onnx: MakeOnnx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    crew = RayCrew(job, "local", most=2)
    killed: list[int] = []

    def give(task: Task) -> None:
        given(task)
        if not killed:
            killed.extend(actors()[:1])
            os.kill(killed[0], signal.SIGKILL)

    given = crew.give
    monkeypatch.setattr(crew, "give", give)
    try:
        tally = drive(other, plan_of(other, weights), job, crew)
    finally:
        crew.close()
    assert len(killed) == 1
    assert (tally.done, tally.failures) == (3, {})
    assert content(other) == content(archive)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
