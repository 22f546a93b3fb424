"""An archive is scored once, whoever does it and whatever dies meanwhile."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import MakeOnnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oracle import position_scene
from PIL import Image
from shapely.geometry import MultiPolygon, box, mapping
from test_scan import write_scene

from pithead.aoi import Aoi
from pithead.catalog import Site
from pithead.detector import Detector
from pithead.errors import CatalogError, OptionError, PitheadError, StoreError
from pithead.evidence import sign
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
from pithead.rescore.export import Exported, export
from pithead.rescore.intake import take_scenes, use_sites
from pithead.rescore.plan import failed_shelf, forgive, set_aside
from pithead.rescore.upkeep import check
from pithead.rescore.whereabouts import site_of
from pithead.rescore.worker import part_shelf
from pithead.review import Review
from pithead.review import give as give_to_log
from pithead.scan import Way, scan
from pithead.shelf import Shelf
from pithead.sidefiles import Facts
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


def test_a_worker_that_died_before_it_could_say_so(archive: Archive, weights: Path) -> None:
    job, entry = job_of(archive, weights, part_tiles=5), archive.catalog.scenes()[0]
    first = Worker(job_of(archive, weights)).do(Task("open", entry))
    again = Worker(job).do(Task("join", entry))
    assert (again.end, again.record, again.tiles) == ("finished", first.record, 0)


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
    archive: Archive, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(archive, weights)
    whole = content(archive)
    other = elsewhere(archive, tmp_path)
    job = job_of(other, weights, part_tiles=4)
    crew = LocalCrew(job, 2)
    killed: list[int] = []

    def give(task: Task) -> None:
        given(task)
        if not killed:
            killed.extend(crew.processes)
            for process in killed:
                os.kill(process, signal.SIGKILL)

    given = crew.give
    monkeypatch.setattr(crew, "give", give)
    try:
        tally = drive(other, plan_of(other, weights), job, crew)
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
    for scene, year, site in ((scenes[0], 2019, None), (scenes[1], 2021, "Camp 15")):
        archive.catalog.add([scene.href], site, Facts(acquired=datetime(year, 3, 12, tzinfo=UTC)))
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


# --- ends that must not be endless, and scenes that must not be blamed


def test_parts_that_cannot_be_read_back_end_in_a_failure(archive: Archive, weights: Path) -> None:
    bad = archive.catalog.scenes()[0]
    job = job_of(archive, weights, part_tiles=9)
    shelf = part_shelf(job, bad)

    def bend(task: Task, outcome: Outcome) -> Outcome:
        if task.kind == "part" and task.entry == bad:
            shelf.write("000000.part", b"as a broken disk gives it back")
        return outcome

    tally = drive(archive, plan_of(archive, weights), job, Hands(job, bend))
    assert tally.done == 2
    assert "cannot be read back" in tally.failures[bad.id]


def test_what_is_gone_or_touched_in_a_run_is_scored_in_the_next(archive: Archive, weights: Path) -> None:
    job, (moved, touched, _) = job_of(archive, weights), archive.catalog.scenes()
    todo = plan_of(archive, weights)
    away = Path(moved.href).rename(Path(moved.href).with_suffix(".away"))
    os.utime(touched.href, ns=(1, 1))
    tally = drive(archive, todo, job, Hands(job))
    assert sorted(tally.failures) == sorted([moved.id, touched.id])
    assert tally.told["eta_seconds"] == 0
    away.rename(moved.href)
    again = plan_of(archive, weights)
    assert (again.aside, [e.id for e in again.todo]) == ((), [moved.id, touched.id])
    assert drive(archive, again, job, Hands(job)).done == 2


def test_the_log_keeps_no_paths(archive: Archive, weights: Path, tmp_path: Path) -> None:
    job, entry = job_of(archive, weights), archive.catalog.scenes()[0]
    todo = plan_of(archive, weights)
    Path(entry.href).write_bytes(b"x")
    assert str(tmp_path) in drive(archive, todo, job, Hands(job)).failures[entry.id]
    (failed,) = [r.facts for r in archive.log.records() if r.kind == "run.failed"]
    assert failed is not None
    assert failed["error"].startswith(f"{entry.id} has changed")


def test_a_run_that_is_done_needs_no_worker_to_end(archive: Archive, weights: Path) -> None:
    job = job_of(archive, weights)

    class Last(Hands):
        """Whose only worker is dead once everything is done, and is not replaced."""

        @property
        def free(self) -> int:
            return 0 if len(self.given) == 3 else super().free

        def take(self, timeout_s: float) -> Sequence[tuple[Task, Outcome]]:
            assert self._ended or len(self.given) < 3, "waits for a worker that nobody needs"
            return super().take(timeout_s)

    assert drive(archive, plan_of(archive, weights), job, Last(job)).done == 3


def test_a_run_that_is_stopped_says_so(archive: Archive, weights: Path) -> None:
    job = job_of(archive, weights)
    states: list[str] = []

    def bend(task: Task, outcome: Outcome) -> Outcome:
        del task, outcome
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(archive, plan_of(archive, weights), job, Hands(job, bend), lambda t: states.append(t.state))
    assert states == ["stopped"]


def test_a_store_without_the_right_to_write_blames_no_scene(
    archive: Archive, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreError("no right") from PermissionError(13, "Permission denied")

    job = job_of(archive, weights)
    monkeypatch.setattr("pithead.store.Store.put", refused)
    with pytest.raises(StoreError, match="no right to read or write: Permission denied"):
        drive(archive, plan_of(archive, weights), job, Hands(job))
    assert plan_of(archive, weights).aside == ()


def test_a_worker_that_hangs_is_replaced(
    archive: Archive, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(archive, weights)
    crew = LocalCrew(job, 1)
    stopped: list[int] = []
    give = crew.give

    def stop_first(task: Task) -> None:
        if not stopped:
            stopped.extend(crew.processes)
            os.kill(stopped[0], signal.SIGSTOP)
            monkeypatch.setattr(Job, "patience_s", 1.0)
        else:
            monkeypatch.setattr(Job, "patience_s", 60.0)
        give(task)

    monkeypatch.setattr(crew, "give", stop_first)
    try:
        tally = drive(archive, plan_of(archive, weights), job, crew)
    finally:
        crew.close()
    assert len(stopped) == 1
    assert not set(stopped) & set(crew.processes)
    assert (tally.done, tally.failures) == (3, {})


def test_only_what_is_noted_is_forgiven(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = archive.catalog.scenes()
    shelf = failed_shelf(archive.work_place, "0" * 64, OPTIONS)
    removed: list[str] = []
    set_aside(shelf, first, "broken")
    monkeypatch.setattr("pithead.shelf.FolderShelf.remove", lambda _, name: removed.append(name))
    forgive(shelf, [first, second])
    assert removed == [f"{first.sha256}.json"]


def test_results_are_not_lost_behind_another_store(archive: Archive, weights: Path, tmp_path: Path) -> None:
    scored(archive, weights)
    with pytest.raises(CatalogError, match="expected the store of this archive"):
        Archive.open(archive.folder, str(tmp_path / "far"))
    assert Archive.open(archive.folder, archive.store_place).store_place == archive.store_place


def test_stores_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="a store that every process sees"):
        Archive.open(tmp_path / "a", "memory://a", make=True)
    (tmp_path / "a" / "archive.json").write_text("{}")
    with pytest.raises(CatalogError, match=r"archive\.json, got another text"):
        Archive.open(tmp_path / "a")


def test_parts_stay_in_the_bucket_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pithead.store.Store.at", Store)
    for name, place, work in [
        ("a", "s3://camps", "s3://camps/work"),
        ("b", "s3://camps/north", "s3://camps/north.work"),
    ]:
        assert Archive.open(tmp_path / name, place, make=True).work_place == work


# --- exports


def give_review(archive: Archive, row: Any) -> None:  # noqa: ANN401
    told = Review(
        detection=row["detection"], scene_sha256=row["scene_sha256"], class_name=row["class"],
        decision="accept", reviewer="R", geometry=row["geometry"], note=f"seen at {row['site']}",
    )  # fmt: skip
    give_to_log(archive.log, told)


def test_an_export_tells_nothing_of_other_camps(archive: Archive, weights: Path, tmp_path: Path) -> None:
    entry = archive.catalog.scenes()[0]
    assert entry.footprint is not None
    west, south, east, north = entry.footprint.bounds
    middle = (west + east) / 2
    sites = {"Camp 1": box(west, south, middle, north), "Camp 2": box(middle, south, east, north)}
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shape),
            "properties": {"name": name, "aliases": [name.replace("Camp", "Old")]},
        }
        for name, shape in sites.items()
    ]
    path = tmp_path / "sites.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    use_sites(archive, path)
    pixels = position_scene(SIDE, SIDE)
    pixels[0, 0] = 9
    take_scenes(archive, [str(write_scene(tmp_path / "more.tif", pixels))], None, Facts())
    job = job_of(archive, weights, sites={site.name: site for site in archive.catalog.sites()})
    drive(archive, plan_of(archive, weights), job, Hands(job))
    rows = archive.store.detections()
    for name in sites:
        give_review(archive, rows[rows["site"] == name].iloc[0])
    out = tmp_path / "camp1.geojson"
    made = export(archive, out, Choice(site="Old 1"))
    assert made.scenes == 4
    assert (
        made.detections
        == len(json.loads(out.read_text())["features"])
        == (rows["site"] == "Camp 1").sum()
        > 0
    )
    chain = (tmp_path / "camp1.geojson.chain.jsonl").read_text()
    assert "seen at Camp 1" in chain
    assert "Camp 2" not in chain
    assert "Camp 2" not in (tmp_path / "camp1.geojson.scenes.csv").read_text()
    assert "Camp 2" in archive.log.path.read_text()
    assert not check(archive)


def test_what_a_map_leaves_out_is_not_counted(archive: Archive, weights: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.fromarray(position_scene(SIDE, SIDE)).save(plain)
    take_scenes(archive, [str(plain)], None, Facts(gsd_m=0.6))
    scored(archive, weights)
    rows = archive.store.detections()
    shown = int((rows["frame"] == "lonlat").sum())
    assert 0 < shown < len(rows)
    assert export(archive, tmp_path / "map.geojson", Choice()) == Exported(shown, len(rows) - shown, 4)
    assert export(archive, tmp_path / "all.csv", Choice()) == Exported(len(rows), 0, 4)
    made = [r.facts["rows"] for r in archive.log.records() if r.kind == "export.made" and r.facts]
    assert made == [shown, len(rows)]


def test_a_scene_without_a_detection_is_among_those_that_were_looked_at(
    archive: Archive, make_onnx: MakeOnnx, tmp_path: Path
) -> None:
    nothing = make_onnx(name="nothing.onnx")
    scored(archive, nothing)
    out = tmp_path / "none.csv"
    assert export(archive, out, Choice()) == Exported(0, 0, 3)
    assert export(archive, tmp_path / "none.gpkg", Choice()) == Exported(0, 0, 3)
    assert export(archive, tmp_path / "none.geojson", Choice()) == Exported(0, 0, 3)
    looked = pd.read_csv(tmp_path / "none.csv.scenes.csv")
    assert looked["scene"].tolist() == [entry.id for entry in archive.catalog.scenes()]
    assert looked["found_in_scene"].tolist() == [0, 0, 0]
    assert looked["looked_at_km2"].tolist() == pytest.approx([(SIDE * 0.6) ** 2 / 1e6] * 3, rel=1e-3)


def test_results_of_two_kinds_are_not_mixed_unasked(
    archive: Archive, weights: Path, make_onnx: MakeOnnx, tmp_path: Path
) -> None:
    other = make_onnx([[100, 100, 60, 30, 0.3, 0.9, 1]], name="other.onnx")
    scored(archive, weights)
    scored(archive, other)
    out = tmp_path / "found.csv"
    with pytest.raises(OptionError, match="of one weights with one set of options, got those of constant"):
        export(archive, out, Choice())
    assert not list(tmp_path.glob("found*"))
    sha256 = Detector.open(other, threads=1).sha256
    one = export(archive, out, Choice(), (sha256, OPTIONS.sha256))
    assert one == Exported(len(archive.store.detections(sha256)), 0, 3)
    both = export(archive, out, Choice(), every=True)
    assert both == Exported(len(archive.store.detections()), 0, 6)
    with pytest.raises(OptionError, match="got none of this choice"):
        export(archive, out, Choice(), (sha256, Options(overlap_px=64).sha256))


def test_an_export_of_an_area_has_only_what_meets_it(archive: Archive, weights: Path, tmp_path: Path) -> None:
    scored(archive, weights)
    footprint = archive.catalog.scenes()[0].footprint
    assert footprint is not None
    west, south, east, north = footprint.bounds
    half = box(west, south, (west + east) / 2, north)
    area = Aoi("half", MultiPolygon([half]), "OGC:CRS84")
    made = export(archive, tmp_path / "half.csv", Choice(area=area))
    rows = archive.store.detections()
    assert made == Exported(int(rows.intersects(half).sum()), 0, 3)
    assert 0 < made.detections < len(rows)
    late = Choice(since=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(OptionError, match="got none of this choice"):
        export(archive, tmp_path / "late.csv", late)


def test_a_signature_of_another_log_is_found(archive: Archive, weights: Path) -> None:
    scored(archive, weights)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signature = sign(archive.log, pem)
    assert check(archive) == []
    kept = [(r.kind, r.facts or {}) for r in archive.log.records()][:-1]
    archive.log.path.unlink()
    archive.log.append_many([*kept, ("head.signed", signature.facts or {})])
    (fault,) = check(archive)
    assert "the chain was written anew" in fault


def test_bytes_that_were_exchanged_after_they_were_scored_are_noticed(
    archive: Archive, weights: Path
) -> None:
    scored(archive, weights)
    first, second, third = archive.catalog.scenes()
    path = Path(first.href)
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(second.href, ns=(1, 1))
    Path(third.href).unlink()
    todo = plan_of(archive, weights)
    assert (todo.todo, todo.changed, todo.gone) == ((), (first,), ())
    assert [entry.id for entry in todo.touched] == [second.id]
    assert todo.finished == 2
