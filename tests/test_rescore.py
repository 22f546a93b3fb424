"""An archive is scored once, whoever does it and whatever dies meanwhile."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeOnnx
from oracle import position_scene
from shapely.geometry import box
from test_scan import write_scene

from pithead.catalog import Site
from pithead.detector import Detector
from pithead.errors import CatalogError, OptionError, PitheadError, StoreError
from pithead.imagery import open_scene
from pithead.rescore import (
    Archive,
    Choice,
    Job,
    LocalCrew,
    Options,
    Outcome,
    Plan,
    Tally,
    Task,
    Worker,
    drive,
    plan,
    reconcile,
)
from pithead.rescore.worker import part_shelf, site_of
from pithead.scan import Way, scan
from pithead.shelf import Shelf
from pithead.store import Store

SIDE = 700  # 5 × 5 tiles of 256 px that overlap by 128
TILES = 25
OPTIONS = Options()
VARYING = {"host", "started", "seconds"}


@pytest.fixture
def weights(make_onnx: MakeOnnx) -> Path:
    return make_onnx([[128, 128, 60, 30, 0.3, 0.9, 1], [60, 190, 40, 20, 0, 0.4, 0]])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three scenes of different pixels."""
    for i in range(3):
        pixels = position_scene(SIDE, SIDE)
        pixels[0, 0] = i
        write_scene(tmp_path / f"scene{i}.tif", pixels)
    made = Archive.open(tmp_path / "archive", make=True)
    made.catalog.add([tmp_path / f"scene{i}.tif" for i in range(3)])
    return made


def job_of(archive: Archive, weights: Path, **more: Any) -> Job:  # noqa: ANN401
    sha256 = Detector.open(weights, threads=1).sha256
    return Job(weights, sha256, OPTIONS, archive.store_place, archive.work_place, **more)


def plan_of(archive: Archive, weights: Path, choice: Choice | None = None, **more: bool) -> Plan:
    opened = Detector.open(weights, threads=1)
    return plan(archive, opened.card, opened.sha256, OPTIONS, choice, **more)


class Hands:
    """A crew in this process: one worker, whose outcomes a test may bend."""

    def __init__(self, job: Job, bend: Callable[[Task, Outcome], Outcome] | None = None) -> None:
        self._worker, self._bend = Worker(job), bend
        self._ended: list[tuple[Task, Outcome]] = []
        self.given: list[Task] = []
        self.workers = 1

    @property
    def free(self) -> int:
        return 1 - len(self._ended)

    def give(self, task: Task) -> None:
        self.given.append(task)
        outcome = self._worker.do(task)
        self._ended.append((task, outcome if self._bend is None else self._bend(task, outcome)))

    def take(self, timeout_s: float) -> Sequence[tuple[Task, Outcome]]:
        assert timeout_s > 0
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Nothing is to be ended."""


def content(archive: Archive) -> dict[str, bytes]:
    """Every file of a store; of records, what two runs have in common."""
    store = Path(archive.store_place)
    files = {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}
    for name in [name for name in files if name.startswith("runs/")]:
        facts = {key: value for key, value in json.loads(files[name]).items() if key not in VARYING}
        files[name] = json.dumps(facts).encode()
    return files


def elsewhere(archive: Archive, folder: Path) -> Archive:
    """The same scenes with another, empty store."""
    place = folder / "other"
    return replace(archive, store_place=str(place), store=Store.at(place))


def scored(archive: Archive, weights: Path, **more: Any) -> Tally:  # noqa: ANN401
    job = job_of(archive, weights, **more)
    return drive(archive, plan_of(archive, weights), job, Hands(job))


def test_every_scene_is_scored_once_and_then_nothing_is_left(archive: Archive, weights: Path) -> None:
    todo = plan_of(archive, weights)
    assert (len(todo.todo), todo.tiles, todo.finished) == (3, 3 * TILES, 0)
    assert todo.km2 == pytest.approx(3 * (SIDE * 0.6) ** 2 / 1e6, rel=2e-3)
    tally = scored(archive, weights)
    assert (tally.done, tally.failures, tally.tiles_done) == (3, {}, 3 * TILES)
    assert tally.pixels == 3 * SIDE * SIDE
    assert tally.told["eta_seconds"] == 0
    assert len(list(archive.store.records())) == 3
    again = plan_of(archive, weights)
    assert (len(again.todo), again.finished) == (0, 3)
    assert [r.kind for r in archive.log.records()] == ["run.finished"] * 3


def test_the_store_holds_what_a_scan_finds(archive: Archive, weights: Path) -> None:
    scored(archive, weights)
    entry = archive.catalog.scenes()[0]
    with open_scene(entry.href) as scene:
        found = scan(scene, Detector.open(weights, threads=1), Way(OPTIONS.overlap_px))
    rows = archive.store.detections(scenes=[entry.id])
    assert len(rows) == len(found.scores) > 20
    assert sorted(rows["score"]) == pytest.approx(sorted(found.scores.round(4)))


@pytest.mark.parametrize("part_tiles", [1, 7, 24])
def test_parts_leave_the_same_bytes(archive: Archive, weights: Path, tmp_path: Path, part_tiles: int) -> None:
    scored(archive, weights)
    whole = content(archive)
    parted = elsewhere(archive, tmp_path)
    tally = scored(parted, weights, part_tiles=part_tiles)
    assert tally.tiles_done == 3 * TILES
    assert content(parted) == whole
    assert not Shelf.at(archive.work_place).names()


def test_a_killed_scene_goes_on_where_it_was(archive: Archive, weights: Path) -> None:
    job = job_of(archive, weights, part_tiles=5)
    entry = archive.catalog.scenes()[0]
    worker = Worker(job)
    assert worker.do(Task("open", entry)).missing == (0, 1, 2, 3, 4)
    assert worker.do(Task("part", entry, 3)).end == "part"
    assert Worker(job).do(Task("open", entry)).missing == (0, 1, 2, 4)
    shelf = part_shelf(job, entry)
    shelf.write("000003.part", shelf.read("000003.part")[:-1])  # as a broken disk leaves it
    assert worker.do(Task("join", entry)).missing == (0, 1, 2, 3, 4)


def test_a_scene_that_fails_three_times_stops_no_other(archive: Archive, weights: Path) -> None:
    bad = archive.catalog.scenes()[1]

    def bend(task: Task, outcome: Outcome) -> Outcome:
        return Outcome("lost", error="the worker died") if task.entry == bad else outcome

    job = job_of(archive, weights)
    crew = Hands(job, bend)
    tally = drive(archive, plan_of(archive, weights), job, crew)
    assert (tally.done, tally.failures) == (2, {bad.id: "the worker died"})
    assert [task.entry == bad for task in crew.given].count(True) == 3
    # Left out until it is asked for; here its result had been written all the same.
    archive.store.forget(next(r for r in archive.store.records() if r.scene == bad.id))
    again = plan_of(archive, weights)
    assert again.todo == ()
    assert again.aside == ((bad, "the worker died"),)
    assert [entry.id for entry in plan_of(archive, weights, retry_failed=True).todo] == [bad.id]
    assert [r.kind for r in archive.log.records()].count("run.failed") == 1


def test_an_error_that_passes_is_tried_again(archive: Archive, weights: Path) -> None:
    job, failures = job_of(archive, weights, part_tiles=5), [2]

    def bend(task: Task, outcome: Outcome) -> Outcome:
        if task.kind == "part" and task.number == 2 and failures[0]:
            failures[0] -= 1
            return Outcome("failed", error="no answer")
        return outcome

    tally = drive(archive, plan_of(archive, weights), job, Hands(job, bend))
    assert (tally.done, tally.failures) == (3, {})


def test_a_scene_that_changes_while_it_is_read_is_not_scored(archive: Archive, weights: Path) -> None:
    job, entry = job_of(archive, weights), archive.catalog.scenes()[0]
    todo = plan_of(archive, weights)
    path = Path(entry.href)
    path.write_bytes(path.read_bytes() + b"x")
    tally = drive(archive, todo, job, Hands(job))
    assert tally.done == 2
    assert "has changed since it was taken in" in tally.failures[entry.id]
    assert [e.id for e in plan_of(archive, weights, retry_failed=True).changed] == [entry.id]


def test_a_file_that_was_only_touched_is_scored(archive: Archive, weights: Path) -> None:
    entry = archive.catalog.scenes()[0]
    os.utime(entry.href, ns=(1, 1))
    todo = plan_of(archive, weights)
    assert [e.id for e in todo.touched] == [entry.id]
    job = job_of(archive, weights)
    assert drive(archive, todo, job, Hands(job)).done == 3


def test_a_scene_that_vanishes_is_told_and_stops_no_other(archive: Archive, weights: Path) -> None:
    job, entry = job_of(archive, weights), archive.catalog.scenes()[2]
    todo = plan_of(archive, weights)
    Path(entry.href).unlink()
    tally = drive(archive, todo, job, Hands(job))
    assert tally.done == 2
    assert "expected an image file" in tally.failures[entry.id]
    assert [e.id for e in plan_of(archive, weights, retry_failed=True).gone] == [entry.id]


def test_a_full_disk_ends_the_run_and_blames_no_scene(
    archive: Archive, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Shelf, name: str, content: bytes) -> None:
        del self, name, content
        raise StoreError("no room") from OSError(28, "No space left on device")

    job = job_of(archive, weights)
    crew = Hands(job)
    todo = plan_of(archive, weights)
    with monkeypatch.context() as patch:
        patch.setattr("pithead.shelf.FolderShelf.write", full)
        with pytest.raises(StoreError, match="no room to write: No space left on device"):
            drive(archive, todo, job, crew)
    assert scored(archive, weights).done == 3


def test_what_a_killed_driver_did_not_log_is_logged_later(archive: Archive, weights: Path) -> None:
    job = job_of(archive, weights)
    worker = Worker(job)
    for entry in archive.catalog.scenes():
        assert worker.do(Task("open", entry)).end == "finished"
    assert reconcile(archive, job.weights_sha256, OPTIONS.sha256) == 3
    assert reconcile(archive, job.weights_sha256, OPTIONS.sha256) == 0
    assert all(record.facts and record.facts["late"] for record in archive.log.records())


def test_processes_leave_the_same_bytes_though_they_are_killed(
    archive: Archive, weights: Path, tmp_path: Path
) -> None:
    scored(archive, weights)
    whole = content(archive)
    other = elsewhere(archive, tmp_path)
    job = job_of(other, weights, part_tiles=4)
    crew, killed = LocalCrew(job, 2), []

    def kill(tally: Tally) -> None:
        if tally.active and not killed:
            killed.extend(crew.processes)
            for process in killed:
                os.kill(process, signal.SIGKILL)

    try:
        tally = drive(other, plan_of(other, weights), job, crew, kill)
    finally:
        crew.close()
    assert len(killed) == 2
    assert not set(killed) & set(crew.processes)
    assert (tally.done, tally.failures) == (3, {})
    assert content(other) == whole


def test_weights_that_a_worker_cannot_open_end_the_run(archive: Archive, weights: Path) -> None:
    job = replace(job_of(archive, weights), weights_sha256="0" * 64)
    crew = LocalCrew(job, 1)
    try:
        with pytest.raises(PitheadError, match="every worker needs the same file"):
            drive(archive, plan_of(archive, weights), job, crew)
    finally:
        crew.close()


def test_two_runs_at_once_are_refused(archive: Archive) -> None:
    with archive.alone(), pytest.raises(CatalogError, match="another run holds"), archive.alone():
        pass
    with archive.alone():
        pass


def test_a_store_elsewhere_is_remembered(tmp_path: Path) -> None:
    made = Archive.open(tmp_path / "archive", str(tmp_path / "far"), make=True)
    assert made.store_place == str(tmp_path / "far")
    assert made.work_place == str(tmp_path / "far.work")
    assert Archive.open(tmp_path / "archive").store_place == str(tmp_path / "far")
    with pytest.raises(CatalogError, match="expected the store of this archive"):
        Archive.open(tmp_path / "archive", str(tmp_path / "elsewhere"))


# --- what is chosen


def test_only_what_is_asked_for_is_planned(archive: Archive, weights: Path) -> None:
    scenes = archive.catalog.scenes()
    archive.catalog.update(
        [
            replace(scenes[0], acquired=datetime(2019, 3, 12, tzinfo=UTC)),
            replace(scenes[1], acquired=datetime(2021, 3, 12, tzinfo=UTC), named_sites=("Camp 15",)),
        ]
    )
    since = Choice(since=datetime(2020, 1, 1, tzinfo=UTC))
    assert [e.id for e in plan_of(archive, weights, since).todo] == [scenes[1].id]
    assert len(plan_of(archive, weights, Choice(limit=2)).todo) == 2
    with pytest.raises(CatalogError, match="expected a site of the archive"):
        plan_of(archive, weights, Choice(site="Camp 99"))


def test_options_that_mean_the_same_have_one_name() -> None:
    assert (
        Options(classes=("rail_loading", "coal_heap")).sha256
        == Options(classes=("coal_heap", "rail_loading")).sha256
    )
    names = {Options().sha256, Options(overlap_px=64).sha256, Options(skip_plain=True).sha256}
    names |= {Options(min_score=0.5).sha256, Options(stretch="none").sha256}
    assert len(names) == 5
    with pytest.raises(OptionError, match="0 to 1"):
        Options(min_score=2)


def test_the_site_of_a_detection(archive: Archive) -> None:
    entry = replace(archive.catalog.scenes()[0], sites=("east", "west"))
    sites = {"east": Site("east", (), box(1, 0, 2, 1)), "west": Site("west", (), box(0, 0, 1, 1))}
    assert site_of(box(0.9, 0, 1.2, 1), entry, sites) == "east"
    assert site_of(box(0.7, 0, 1.2, 1), entry, sites) == "west"
    assert site_of(box(5, 5, 6, 6), entry, sites) is None
    lone = replace(entry, sites=("camp",))
    assert site_of(box(5, 5, 6, 6), lone, {"camp": Site("camp")}) == "camp"
    assert site_of(box(5, 5, 6, 6), replace(entry, sites=()), sites) is None
