"""The worker beside the server: whatever is killed whenever, each job is done once, with the same bytes."""

import contextlib
import errno
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeOnnx
from oracle import position_scene
from test_rescore import Hands
from test_scan import write_scene

from pithead.errors import StoreError
from pithead.files import sha256_of
from pithead.rescore import Archive, Outcome, Task
from pithead.server import jobs, scoring
from pithead.server.database import Database
from pithead.server.download import Format, rows_of, write
from pithead.server.jobs import Draft, Job
from pithead.server.scoring import Scorer
from pithead.server.settings import Settings
from pithead.server.worker import Keeper, Worker, alone, environment, start_worker

ROOT = Path(__file__).resolve().parents[1]
HEAPS = [[128, 128, 60, 30, 0.3, 0.9, 1], [60, 190, 40, 20, 0, 0.4, 0]]
VARYING = {"host", "started", "seconds"}
LARGE = 1500
TILES = 11 * 11  # in 4 parts
SMALL = 300  # 2 × 2 tiles
SERVER = """
import os, time
from pithead.server.settings import Settings
from pithead.server.worker import start_worker
print(start_worker(Settings.of(os.environ)).pid, flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc")


@pytest.fixture
def weights(make_onnx: MakeOnnx) -> Path:
    return make_onnx(HEAPS)


@pytest.fixture
def slow(weights: Path) -> Path:
    """The same with some 60 ms of work for each tile: time enough to be killed."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(weights)
    model.graph.node[-1].output[0] = "plain"
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([1536, 1536]), "square"),
            numpy_helper.from_array(np.float32(0), "nil"),
        ]
    )
    model.graph.node.extend(
        helper.make_node(*told, **more)
        for *told, more in (
            ("Cast", ["tiles"], ["floats"], {"to": onnx.TensorProto.FLOAT}),
            ("ReduceMean", ["floats"], ["mean"], {"keepdims": 0}),
            ("Expand", ["mean", "square"], ["matrix"], {}),
            ("MatMul", ["matrix", "matrix"], ["product"], {}),
            ("ReduceMean", ["product"], ["figure"], {"keepdims": 0}),
            ("Mul", ["figure", "nil"], ["none"], {}),
            ("Add", ["plain", "none"], ["detections"], {}),
        )
    )
    path = weights.with_name("slow.onnx")
    onnx.save(model, path)
    return path


@pytest.fixture
def settings(tmp_path: Path, weights: Path) -> Settings:
    return settled(tmp_path / "archive", weights)


def settled(archive: Path, weights: Path) -> Settings:
    Archive.open(archive, make=True)
    return Settings(archive, weights, threads=1)


@pytest.fixture
def database(settings: Settings) -> Database:
    return opened(settings)


@cache
def opened(settings: Settings) -> Database:
    """One for each archive, as a server has it."""
    return Database.open(settings.database, schemas=(jobs.SCHEMA,))


def uploaded(settings: Settings, side: int, *, cut: int = 0, **facts: Any) -> str:  # noqa: ANN401
    """The id of a job for a scene that lies where uploads do."""
    path = write_scene(settings.archive.parent / "made.tif", position_scene(side, side))
    data = path.read_bytes()[: -cut or None]
    path.unlink()
    place = f"{hashlib.sha256(data).hexdigest()}/camp.tif"
    with opened(settings).writing() as connection:
        (settings.uploads / place).parent.mkdir(parents=True, exist_ok=True)
        (settings.uploads / place).write_bytes(data)
        return jobs.add(connection, Draft("upload", "camp.tif", "local", place=place, facts=facts)).id


def said(database: Database, key: str) -> Job:
    with database.reading() as connection:
        job = jobs.get(connection, key)
    assert job is not None
    return job


def until(what: Callable[[], object], seconds: float = 90, every: float = 0.05) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(every)


def further(database: Database, key: str, tiles: int) -> bool:
    job = said(database, key)
    return job.tiles_done > tiles or not job.open


def ended(database: Database, key: str) -> Job:
    until(lambda: not said(database, key).open)
    return said(database, key)


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with a worker beside it, as a server is, and the worker's number."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=environment(settings, os.environ),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    try:
        yield process, worker
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        until(lambda: not members(worker), 30)


def members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, own = path.read_text().rpartition(")")[2].split()[:3]
            if int(own) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def content(settings: Settings) -> dict[str, bytes]:
    """Every file of a store; of records, what two runs have in common."""
    store = settings.archive / "store"
    files = {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}
    for name in [name for name in files if name.startswith("runs/")]:
        facts = {key: value for key, value in json.loads(files[name]).items() if key not in VARYING}
        files[name] = json.dumps(facts).encode()
    return files


def told(settings: Settings) -> list[str]:
    return [record.kind for record in Archive.open(settings.archive).log.records()]


def files_of(settings: Settings, job: Job, folder: Path) -> dict[str, bytes]:
    store = Archive.open(settings.archive).store
    assert job.record is not None
    rows = rows_of(store, store.record(job.record))
    kinds: tuple[Format, ...] = ("geojson", "gpkg", "parquet")
    folder.mkdir()
    for kind in kinds:
        write(rows, folder / f"a.{kind}", kind)
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in kinds}


# --- kills


def test_after_kills_of_everything_a_job_is_done_once_with_the_same_bytes(
    slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settled(tmp_path / "archive", slow)
    database = opened(settings)
    key, small = uploaded(settings, LARGE, site="Camp 15"), uploaded(settings, SMALL)
    with served(settings) as (server, worker):
        until(lambda: said(database, key).tiles_done > 0)
        assert len(members(worker)) >= 2
        server.kill()
        until(lambda: not members(worker), 15)
    # It saw that its server was gone, and put its job back.
    job = said(database, key)
    assert (job.state, job.tries) == ("queued", 0)
    with served(settings) as (server, worker):
        until(partial(further, database, key, job.tiles_done))
        os.killpg(worker, signal.SIGKILL)  # the worker, and the process with the model
        server.kill()
    # Nobody was left to put it back.
    assert said(database, key).state == "running"
    assert job.tiles_done < said(database, key).tiles_done < TILES
    with served(settings):
        job, other = ended(database, key), ended(database, small)
    assert (job.state, job.detections, job.tiles_done) == ("done", 2 * TILES, TILES)
    assert (other.state, other.detections) == ("done", 2 * 2 * 2)
    calm = settled(tmp_path / "calm" / "archive", slow)
    same, _ = uploaded(calm, LARGE, site="Camp 15"), uploaded(calm, SMALL)
    with at_work(calm, monkeypatch):
        undisturbed = ended(opened(calm), same)
        until(lambda: not jobs_open(calm))
    assert content(settings) == content(calm)
    assert files_of(settings, job, tmp_path / "a") == files_of(calm, undisturbed, tmp_path / "b")
    kinds = told(settings)
    assert sorted(kinds) == sorted(told(calm))
    assert (kinds.count("run.finished"), kinds.count("scene.added")) == (2, 2)
    assert not list((settings.archive / "work").rglob("*.part"))


def jobs_open(settings: Settings) -> bool:
    with opened(settings).reading() as connection:
        counts = jobs.counts(connection)
    return counts["queued"] + counts["running"] > 0


def test_a_worker_that_dies_is_started_again(slow: Path, tmp_path: Path) -> None:
    settings = settled(tmp_path / "archive", slow)
    database = opened(settings)
    key = uploaded(settings, LARGE)
    keeper = start_worker(settings)
    try:
        until(lambda: said(database, key).tiles_done > 0)
        first = keeper.pid
        model = next(one for one in members(first) if one != first)
        os.kill(model, signal.SIGKILL)  # as a scene may do that crashes its reader
        until(lambda: any(one not in {first, model} for one in members(first)))
        os.kill(first, signal.SIGKILL)
        job = ended(database, key)
        assert (keeper.starts, keeper.alive) == (2, True)
        assert not members(first)
    finally:
        keeper.stop()
    assert (job.state, job.detections) == ("done", 2 * TILES)
    assert not members(keeper.pid)
    assert told(settings).count("run.finished") == 1


def test_a_worker_is_started_once_there_is_a_process_to_spare(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = subprocess.Popen, list[list[str]]()

    def popen(command: list[str], **how: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        tries.append(command)
        if len(tries) == 2:
            raise BlockingIOError(errno.EAGAIN, "no process to spare")
        return real([sys.executable, "-c", "import sys; sys.stdin.read()"], **how)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr("pithead.server.worker._LONGEST_S", 0.1)
    keeper = Keeper(settings)
    try:
        os.kill(keeper.pid, signal.SIGKILL)
        until(lambda: len(tries) == 3 and keeper.alive)
    finally:
        keeper.stop()


def test_an_archive_has_one_worker(tmp_path: Path) -> None:
    never, now = threading.Event(), threading.Event()
    now.set()
    with alone(tmp_path, never) as first:
        assert first
        with alone(tmp_path, now) as second:
            assert not second
        threading.Timer(0.2, never.set).start()
        with alone(tmp_path, never) as third:  # waits until it is told to stop
            assert not third
    with alone(tmp_path, threading.Event()) as fourth:
        assert fourth


# --- what a user does


def slowly(_: Task, outcome: Outcome) -> Outcome:
    time.sleep(0.6)
    return outcome


@contextlib.contextmanager
def at_work(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A worker in a thread of this process, and what stops it."""
    monkeypatch.setattr(scoring, "LocalCrew", lambda run, *_: Hands(run, slowly))
    stop = threading.Event()
    thread = threading.Thread(target=Worker(settings, stop).serve)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def test_a_worker_that_is_stopped_goes_on_at_the_next_start(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = uploaded(settings, LARGE)
    with at_work(settings, monkeypatch):
        until(lambda: said(database, key).tiles_done > 0)
    before = said(database, key)
    assert (before.state, before.tries) == ("queued", 0)
    assert 0 < before.progress < 1
    with at_work(settings, monkeypatch):
        after = ended(database, key)
    assert (after.state, after.started, after.progress) == ("done", before.started, 1)


def test_a_running_job_ends_when_it_is_cancelled(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = uploaded(settings, LARGE)
    with at_work(settings, monkeypatch):
        until(lambda: said(database, key).tiles_done > 0)
        with database.writing() as connection:
            assert jobs.cancel(connection, key).state == "running"
        job = ended(database, key)
        assert (job.state, job.error, job.detections) == ("cancelled", None, None)
        assert ended(database, uploaded(settings, SMALL)).state == "done"
    assert not list((settings.archive / "work").rglob("*.part"))
    assert told(settings).count("run.finished") == 1
    # The scene is in the catalogue, for whoever asks for it.
    assert job.scene in {entry.id for entry in Archive.open(settings.archive).catalog.scenes()}


def test_a_job_waits_while_another_run_holds_the_archive(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, later = uploaded(settings, SMALL), uploaded(settings, SMALL)
    claimed: list[str | None] = []
    done = jobs.finish

    def finish(connection: sqlite3.Connection, *told: Any) -> None:  # noqa: ANN401
        claimed.append(jobs.get(connection, later).note)  # type: ignore[union-attr]
        done(connection, *told)

    monkeypatch.setattr(jobs, "finish", finish)
    with contextlib.ExitStack() as held:
        held.enter_context(Archive.open(settings.archive).alone())
        with at_work(settings, monkeypatch):
            until(lambda: said(database, key).note is not None)
            job = said(database, key)
            assert job.state == "queued"
            assert job.note == "waits: another run holds the archive, such as inference/rescore.py"
            held.close()
            job = ended(database, key)
            ended(database, later)
    assert (job.state, job.note) == ("done", None)
    assert claimed == [None, None]  # who waits for the turn alone says so


# --- what goes wrong, in this process


@pytest.fixture
def scorer(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scorer]:
    monkeypatch.setattr(scoring, "LocalCrew", lambda run, *_: Hands(run))
    made = Scorer(settings, database, lambda: False)
    yield made
    made.close()


def one(scorer: Scorer, settings: Settings, database: Database) -> float:
    with database.writing() as connection:
        job = jobs.claim(connection)
    assert job is not None
    return scorer.do(Archive.open(settings.archive), job)


class Killed(BaseException):
    """What no code of ours expects, as a kill."""


@pytest.mark.parametrize("moment", ["before the log", "before the table"])
def test_a_kill_between_store_log_and_table_leaves_no_trace(
    settings: Settings, database: Database, scorer: Scorer, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    key = uploaded(settings, SMALL)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "before the log":
            patched.setattr(sys.modules["pithead.rescore.drive"], "run_facts", killed)
        else:
            patched.setattr(jobs, "finish", killed)
        with pytest.raises(Killed):
            one(scorer, settings, database)
    assert said(database, key).state == "running"
    assert len(list(Archive.open(settings.archive).store.records())) == 1
    assert told(settings).count("run.finished") == (0 if moment == "before the log" else 1)
    with database.writing() as connection:
        assert jobs.recover(connection, blamed=False) == 1
    assert one(scorer, settings, database) == 0
    assert said(database, key).state == "done"
    assert told(settings).count("run.finished") == 1


def test_a_job_over_which_the_worker_dies_again_and_again_is_given_up(
    settings: Settings, database: Database, scorer: Scorer
) -> None:
    key = uploaded(settings, SMALL)
    with database.writing() as connection:
        for _ in range(jobs.TRIES):
            jobs.claim(connection)
            jobs.recover(connection, blamed=True)
    one(scorer, settings, database)
    job = said(database, key)
    assert job.state == "failed"
    assert "died 5 times" in (job.error or "")
    assert not list(settings.uploads.rglob("*.tif"))


@pytest.mark.parametrize(("error", "counted"), [(StoreError("no room to write: disk full"), 0), (None, 1)])
def test_what_no_scene_is_to_blame_for_makes_jobs_wait(
    settings: Settings,
    database: Database,
    scorer: Scorer,
    monkeypatch: pytest.MonkeyPatch,
    error: StoreError | None,
    counted: int,
) -> None:
    key = uploaded(settings, SMALL)

    def full(*_: object) -> None:
        assert error is not None
        raise error

    with monkeypatch.context() as patched:
        if error is not None:
            patched.setattr(scoring, "drive", full)
        else:
            settings.weights.rename(settings.weights.with_suffix(".away"))
        assert one(scorer, settings, database) == scoring.PAUSE_S
    job = said(database, key)
    assert (job.state, job.tries) == ("queued", counted)
    assert (job.note or "").startswith("waits: expected weights at constant" if counted else "waits: no room")
    if error is None:
        settings.weights.with_suffix(".away").rename(settings.weights)
    assert one(scorer, settings, database) == 0
    assert said(database, key).state == "done"


def test_a_scene_that_changed_or_went_fails_and_says_so(
    settings: Settings, database: Database, scorer: Scorer, tmp_path: Path
) -> None:
    archive = Archive.open(settings.archive)
    keys = []
    for number, name in enumerate(("gone", "changed")):
        pixels = position_scene(SMALL, SMALL)
        pixels[0, 0] = number
        [entry] = archive.catalog.add([write_scene(tmp_path / f"{name}.tif", pixels)])
        with database.writing() as connection:
            keys.append(jobs.add(connection, Draft("catalogue", entry.id, "local", scene=entry.id)).id)
    (tmp_path / "gone.tif").unlink()
    (tmp_path / "changed.tif").write_bytes(b"other")
    for _ in keys:
        assert one(scorer, settings, database) == 0
    gone, changed = (said(database, key) for key in keys)
    assert (gone.state, changed.state) == ("failed", "failed")
    assert "not where it was taken in" in (gone.error or "")
    assert "other bytes" in (changed.error or "")
    assert told(settings) == ["weights.registered", "scene.changed"]


def test_bytes_that_are_known_are_one_scene_and_what_is_known_stays(
    settings: Settings, database: Database, scorer: Scorer, tmp_path: Path
) -> None:
    path = write_scene(tmp_path / "first.tif", position_scene(SMALL, SMALL))
    archive = Archive.open(settings.archive)
    [entry] = archive.catalog.add([path])
    facts = {"acquired": "2019-03-12T00:00:00+00:00", "sensor": "WV02", "site": "Camp 15"}
    key = uploaded(settings, SMALL, **facts)
    again = uploaded(settings, SMALL, sensor="PHR1A")
    one(scorer, settings, database)
    one(scorer, settings, database)
    assert (said(database, key).scene, said(database, again).scene) == (entry.id, entry.id)
    [known] = archive.catalog.scenes()
    assert (known.href, known.copies, known.sensor, known.sites) == (str(path), (), "WV02", ("Camp 15",))
    # Nobody needs the second copy.
    assert not list(settings.uploads.rglob("*.tif"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("SceneError: /data/a b/x.tif: expected\n  an image", "camp.tif: expected an image"),
        ("expected weights at /srv/w/starter.onnx: gone", "expected weights at starter.onnx: gone"),
        ("read /etc/ssl/x.pem and https://host/a/b", "read x.pem and https://host/a/b"),
        ("give the metres per pixel with --gsd", "give the metres per pixel as gsd_m"),
        ("1/2 and/or 3", "1/2 and/or 3"),
    ],
)
def test_errors_are_told_without_paths(scorer: Scorer, error: str, line: str) -> None:
    assert scorer.said(error, "/data/a b/x.tif", "camp.tif") == line


def test_the_worker_cannot_reach_torch() -> None:
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "ultralytics", "albumentations", "cv2", "bentoml"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import pithead.server.worker
assert not {"torch", "bentoml", "fastapi"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_a_worker_knows_settings_and_library_by_its_environment(settings: Settings) -> None:
    ours = {"PATH": "/bin", "PITHEAD_OTHER": "1", "PROMETHEUS_MULTIPROC_DIR": "/x", "PYTHONPATH": "/more"}
    told_it = environment(settings, ours)
    assert Settings.of(told_it) == settings
    assert told_it["PYTHONPATH"] == f"{ROOT}{os.pathsep}/more"
    assert "PROMETHEUS_MULTIPROC_DIR" not in told_it
    assert sha256_of(settings.weights) == hashlib.sha256(settings.weights.read_bytes()).hexdigest()
