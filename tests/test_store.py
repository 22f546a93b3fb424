"""A store keeps every run once, whole, and says what is wrong with it."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely

from pithead.card import Card
from pithead.detections import Coverage, Detections, SceneLine
from pithead.errors import OptionError, StoreError
from pithead.files import sha256_of
from pithead.imagery import Scene
from pithead.results import Run, write_results
from pithead.store import COLUMNS, RunRecord, Store, content_sha256, detection_id, export, rows_of, take_scans
from pithead.store.listing import slug
from pithead.tiling import Grid
from pithead.vectors import Origin, layers, write_geoparquet

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS, OTHER_WEIGHTS, OPTIONS = "b" * 64, "d" * 64, "c" * 64
TAKEN = datetime(2019, 3, 12, 4, 5, 6, 789_123, tzinfo=UTC)


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def found(*, empty: bool = False, shift: float = 0.0) -> Detections:
    """Two heaps of 100 x 40 px, the surer one last, and a ring of 200 x 100 px of 20 spans."""
    heap = np.array([[100, 100], [200, 100], [200, 140], [100, 140]], np.float64) + np.array([shift, 0])
    ring = np.array([[50, 50], [250, 50], [250, 150], [50, 150]], np.float64)
    return Detections(
        corners_scene=np.zeros((0, 4, 2)) if empty else np.stack([heap, heap + np.array([0, 100])]),
        scores=np.array([] if empty else [0.5, 0.9], np.float32),
        classes=np.array([] if empty else [1, 1], np.int64),
        tiles=() if empty else ((0, 1), (2,)),
        lines=() if empty else (SceneLine(ring, True, 0.8, 2, 20, (0, 1)),),  # noqa: FBT003
        grid=Grid(400, 300, 1.0, 1.0, 256, 64),
        coverage=Coverage(run=2),
        valid_px=120_000,
    )


def rows(scene: Scene, card: Card, number: int = 1, **more: object) -> gpd.GeoDataFrame:
    """What `found` is of scene `number`, as rows."""
    origin = Origin("scene", sha(number), str(more.get("weights", WEIGHTS)))
    layered = layers(found(empty=bool(more.get("empty")), shift=number), scene, card, origin)
    return rows_of(
        layered, scene, origin,
        scene_id=name(number), options_sha256=OPTIONS, acquired=TAKEN,
        site_of=lambda shape: "갑산" if shape.geom_type == "Polygon" else None,
    )  # fmt: skip


def name(number: int) -> str:
    return f"s{number}-{sha(number)[:12]}"


def record(number: int = 1, site: str | None = "갑산", weights: str = WEIGHTS) -> RunRecord:
    return RunRecord(
        scene=name(number), scene_sha256=sha(number), weights_sha256=weights, weights="starter",
        options_sha256=OPTIONS, options={"overlap": 128}, site=site, sites=() if site is None else (site,),
        version="0.1.0", host="here", started="2026-01-01T00:00:00+00:00", seconds=1.5,
        tiles={"run": 2}, valid_km2=0.03, counts={"coal_heap": 2, "guard_perimeter": 1},
    )  # fmt: skip


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store" if request.param == "folder" else f"memory://{uuid.uuid4()}/store")


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


def files(store: Store) -> list[str]:
    return list(store.shelf.names("detections"))


# --- rows


def test_rows_are_what_the_map_shows(scene: Scene, card: Card) -> None:
    made = rows(scene, card)
    assert tuple(made.columns) == COLUMNS
    assert made["class"].tolist() == ["coal_heap", "coal_heap", "guard_perimeter"]
    assert made["score"].tolist() == [0.9, 0.5, 0.8]
    assert made["tiles"].tolist() == ["2", "0 1", "0 1"]
    assert made["frame"].tolist() == ["lonlat"] * 3
    assert made["site"].fillna("").tolist() == ["갑산", "갑산", ""]
    assert made["spans"].tolist()[2] == 20
    assert made["closed"].isna().tolist() == [True, True, False]
    assert made["width_m"].isna().tolist() == [False, False, True]
    assert made["acquired"][0] == pd.Timestamp("2019-03-12T04:05:06.789Z")
    assert made.crs.to_authority() == ("OGC", "CRS84")
    # geopandas as oracle: 0.5 m pixels from 500000 E, 4400000 N; the surer heap lies 100 px farther south.
    box = shapely.box(500_050.5, 4_399_880, 500_100.5, 4_399_900)
    there = gpd.GeoSeries([box], crs=32652).to_crs(4326)[0]
    assert shapely.hausdorff_distance(there, made.geometry[0]) < 1e-8
    assert made.geometry[0].exterior.is_ccw
    assert made.geometry[2].is_closed


def test_the_id_of_a_detection_by_hand(scene: Scene, card: Card) -> None:
    made = rows(scene, card)
    wkb = shapely.to_wkb(made.geometry[0], hex=True).lower()
    text = f"{sha(1)}\n{WEIGHTS}\ncoal_heap\n{wkb}"
    assert made["detection"][0] == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert made["detection"].is_unique
    assert detection_id(sha(1), WEIGHTS, "coal_heap", bytes.fromhex(wkb)) == made["detection"][0]


def test_rows_agree_with_the_parquet_of_a_scan(scene: Scene, card: Card, tmp_path: Path) -> None:
    origin = Origin("scene", sha(1), WEIGHTS)
    write_geoparquet(tmp_path / "x.parquet", layers(found(shift=1), scene, card, origin), scene)
    old = gpd.read_parquet(tmp_path / "x.parquet").sort_values(["class", "score"], ascending=[True, False])
    made = rows(scene, card)
    shared = [column for column in COLUMNS if column in old.columns and column not in {"geometry", "scene"}]
    assert len(shared) == 16
    for column in shared:
        pd.testing.assert_series_equal(
            made[column], old[column].reset_index(drop=True), check_dtype=False, check_names=False
        )
    assert max(shapely.hausdorff_distance(old.geometry.to_numpy(), made.geometry.to_numpy())) < 2e-8


def test_without_georeference_rows_are_in_pixels(flat: Scene, card: Card) -> None:
    made = rows(flat, card)
    assert made["frame"].tolist() == ["px"] * 3
    assert made.geometry[1].bounds == (101, 100, 201, 140)
    assert made["centre_lon"].isna().all()


def test_empty_rows_have_the_same_types(scene: Scene, card: Card) -> None:
    full, empty = rows(scene, card), rows(scene, card, empty=True)
    assert len(empty) == 0
    assert empty.dtypes.equals(full.dtypes)
    assert empty.crs == full.crs


def test_a_scene_without_a_hash_is_refused(scene: Scene, card: Card) -> None:
    origin = Origin("scene", None, WEIGHTS)
    empty = layers(found(empty=True), scene, card, origin)
    with pytest.raises(StoreError, match="expected the sha256 of scene x, got none"):
        rows_of(empty, scene, origin, scene_id="x", options_sha256=OPTIONS, site_of=str, acquired=None)


def test_the_hash_of_rows_is_of_what_they_say(scene: Scene, card: Card, tmp_path: Path) -> None:
    made = rows(scene, card)
    told = content_sha256(made)
    assert content_sha256(made[::-1]) == told
    made.to_parquet(tmp_path / "other.parquet", compression="gzip")
    assert content_sha256(gpd.read_parquet(tmp_path / "other.parquet")) == told
    for column, value in (("score", 0.9001), ("site", "else"), ("cut", True), ("acquired", None)):
        other = made.copy()
        other.loc[0, column] = value
        assert content_sha256(other) != told
    head = json.dumps(list(COLUMNS), separators=(",", ":")) + "\n"
    assert content_sha256(made[:0]) == hashlib.sha256(head.encode()).hexdigest()
    with pytest.raises(StoreError, match="got none of the columns site, frame"):
        content_sha256(made.drop(columns=["site", "frame"]))


# --- put and read


def test_what_is_put_is_there_once(store: Store, scene: Scene, card: Card) -> None:
    made = rows(scene, card)
    full = store.put(record(), made)
    assert (full.rows, full.result_sha256) == (3, content_sha256(made))
    assert full.file == (
        f"detections/weights={'b' * 12}/site=갑산/{name(1)}.cccccccc.{full.result_sha256[:8]}.parquet"
    )
    assert full.name == f"runs/{WEIGHTS}/{OPTIONS}/{sha(1)}.json"
    assert store.shelf.names() == (full.file, full.name, "schema.json")
    assert json.loads(store.shelf.read("schema.json")) == {"schema": 2}
    again = store.put(replace(record(), host="there", seconds=9.0), made)
    assert again == full
    assert len(store.shelf.names()) == 3
    pd.testing.assert_frame_equal(store.detections(), made)
    assert list(store.records()) == [full]
    assert store.finished(WEIGHTS, OPTIONS) == {sha(1)}
    assert store.finished(OTHER_WEIGHTS, OPTIONS) == frozenset()
    assert store.verify() == ()
    assert Store.at(store.shelf).detections().equals(made)


def test_the_first_result_of_a_run_stays(store: Store, scene: Scene, card: Card) -> None:
    first = store.put(record(), rows(scene, card))
    assert store.put(record(), rows(scene, card, empty=True)) == first
    assert len(store.detections()) == 3


def test_the_same_rows_give_the_same_bytes_and_other_programs_read_them(
    local: Store, scene: Scene, flat: Scene, card: Card, tmp_path: Path
) -> None:
    full = local.put(record(), rows(scene, card))
    other = Store.at(tmp_path / "other")
    assert other.shelf.names() == ()
    other.put(record(), rows(scene, card)[::-1])
    assert other.shelf.read(full.file) == local.shelf.read(full.file)
    read = gpd.read_parquet(io.BytesIO(local.shelf.read(full.file)))
    assert read.crs.to_authority() == ("OGC", "CRS84")
    assert read.geometry.tolist() == rows(scene, card).geometry.tolist()
    pixels = other.put(record(2), rows(flat, card, 2))
    assert gpd.read_parquet(io.BytesIO(other.shelf.read(pixels.file))).crs is None


def test_filters(store: Store, scene: Scene, card: Card) -> None:
    for number in (1, 2, 3):
        store.put(record(number), rows(scene, card, number))
    store.put(record(1, None, OTHER_WEIGHTS), rows(scene, card, weights=OTHER_WEIGHTS))
    assert len(store.detections()) == 12
    assert len(store.detections(weights=WEIGHTS)) == 9
    assert set(store.detections(weights=OTHER_WEIGHTS)["weights_sha256"]) == {OTHER_WEIGHTS}
    assert len(store.detections(site="갑산")) == 8
    assert len(store.detections(scenes=[name(2), "unknown"])) == 3
    assert len(store.detections(classes=["guard_perimeter"])) == 4
    assert len(store.detections(WEIGHTS, "갑산", [name(1)], ["coal_heap"])) == 2
    assert len(store.detections(site="nowhere")) == 0
    assert [one.scene for one in store.records(OTHER_WEIGHTS)] == [name(1)]
    counted = (
        store.relation(weights=WEIGHTS).aggregate("class, count(*) AS n, max(score) AS best").order("class")
    )
    assert counted.fetchall() == [("coal_heap", 6, 0.9), ("guard_perimeter", 3, 0.8)]


def test_an_empty_store(store: Store) -> None:
    assert len(store.detections()) == 0
    assert tuple(store.detections().columns) == COLUMNS
    assert list(store.records()) == []
    assert store.verify() == ()
    assert store.compact() == 0
    assert store.shelf.names() == ()


def test_rows_of_another_run_are_refused(local: Store, scene: Scene, flat: Scene, card: Card) -> None:
    with pytest.raises(StoreError, match=r"expected rows with scene s2-.*, as their record says, got s1-"):
        local.put(record(2), rows(scene, card))
    mixed = pd.concat([rows(scene, card), rows(flat, card)], ignore_index=True)
    with pytest.raises(StoreError, match="expected rows of one frame"):
        local.put(record(), mixed)
    assert local.shelf.names() == ()


@pytest.mark.parametrize(
    "change", [{"scene": "s1"}, {"scene": f"a/b-{sha(1)[:12]}"}, {"weights_sha256": "b" * 12}]
)
def test_records_that_cannot_be(change: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="expected"):
        replace(record(), **change)  # type: ignore[arg-type]  # any field


def test_sites_of_any_script_have_a_folder() -> None:
    assert slug("Camp 16 / Hwasong") == "camp-16-hwasong"
    assert slug("명간 16호") == "명간-16호"
    assert slug(None) == "-"
    assert slug("///") not in {"", "-"}
    assert len(slug("x" * 300)) == 60


def test_a_scene_that_is_forgotten_is_scored_anew(store: Store, scene: Scene, card: Card) -> None:
    full = store.put(record(), rows(scene, card))
    store.put(record(2), rows(scene, card, 2))
    store.compact()
    store.forget(full)
    assert store.finished(WEIGHTS, OPTIONS) == {sha(2)}
    assert set(store.detections()["scene"]) == {name(2)}
    store.put(record(), rows(scene, card, empty=True))
    assert set(store.detections()["scene"]) == {name(2)}
    assert store.verify() == ()
    store.compact()
    assert len(files(store)) == 1
    assert store.verify() == ()
    assert len(store.detections()) == 3


# --- what goes wrong


@pytest.mark.parametrize("steps", [1, 2])
def test_a_kill_while_a_run_is_put_leaves_no_run(
    store: Store, scene: Scene, card: Card, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    put_until(store, record(), rows(scene, card), steps, monkeypatch)
    assert len(store.shelf.names()) == steps
    assert store.finished(WEIGHTS, OPTIONS) == frozenset()
    assert len(store.detections()) == 0
    assert store.compact() == 0
    # Its site has another name by now, and the result lies elsewhere.
    store.put(record(1, "other"), rows(scene, card))
    assert len(store.detections()) == 3
    store.put(record(2, "other"), rows(scene, card, 2))
    store.compact()
    assert len(store.detections()) == 6
    unknown = [fault.kind for fault in store.verify()]
    assert unknown == (["unknown"] if steps == 2 else [])


class KilledError(Exception):
    """What stands for a kill."""


def put_until(
    store: Store, one: RunRecord, made: gpd.GeoDataFrame, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put a run and be killed before the write that comes after some."""
    write, count = type(store.shelf).write, iter(range(100))

    def killed(self: object, name: str, content: bytes) -> None:
        if next(count) == steps:
            raise KilledError
        write(self, name, content)  # type: ignore[arg-type]  # the shelf itself

    with monkeypatch.context() as patch:
        patch.setattr(type(store.shelf), "write", killed)
        with pytest.raises(KilledError):
            store.put(one, made)


def test_a_full_disk_leaves_no_half_run(
    local: Store, scene: Scene, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        del number
        raise OSError(28, "No space left on device")

    local.put(record(2), rows(scene, card, 2))
    before = local.shelf.names()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            local.put(record(), rows(scene, card))
    assert local.shelf.names() == before
    assert not list(Path(local.shelf.place).rglob(".part*"))
    assert len(local.detections()) == 3


def test_two_processes_put_the_same_runs(local: Store, scene: Scene, card: Card, tmp_path: Path) -> None:
    jobs = [(record(number), rows(scene, card, number)) for number in range(6)]
    (tmp_path / "jobs").write_bytes(pickle.dumps((local, jobs)))
    program = f"""
import pickle
store, jobs = pickle.loads(open({str(tmp_path / "jobs")!r}, "rb").read())
for record, rows in jobs:
    store.put(record, rows)
"""
    writers = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in "ab"]
    while any(writer.poll() is None for writer in writers):
        least = 3 * len(local.finished(WEIGHTS, OPTIONS))
        assert least <= len(local.detections()) <= 18
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(local.detections()) == 18
    assert len(files(local)) == 6
    assert local.verify() == ()


def test_of_two_results_of_one_run_the_one_that_the_record_names_counts(
    local: Store, scene: Scene, card: Card, tmp_path: Path
) -> None:
    # Two machines whose last bits differ put the same run at the same moment: both files, then both records.
    mine, other = rows(scene, card), rows(scene, card, empty=True)
    elsewhere = Store.at(tmp_path / "elsewhere")
    theirs = elsewhere.put(record(), other)
    local.put(record(), mine)
    local.put(record(2), rows(scene, card, 2))
    local.compact()
    local.shelf.write(theirs.file, elsewhere.shelf.read(theirs.file))
    assert len(local.detections()) == 6
    assert [(fault.name, fault.kind) for fault in local.verify()] == [(theirs.file, "unknown")]
    local.compact()
    assert theirs.file in files(local)
    local.shelf.write(theirs.name, elsewhere.shelf.read(theirs.name))
    assert len(local.detections()) == 3
    local.compact()
    assert len(local.detections()) == 3
    assert local.verify() == ()


# --- compaction


def filled(store: Store, scene: Scene, flat: Scene, card: Card) -> gpd.GeoDataFrame:
    """Five runs at a site, two of them without rows or in pixels, and one elsewhere."""
    for number in (1, 2, 3):
        store.put(record(number), rows(scene, card, number))
    store.put(record(4), rows(scene, card, 4, empty=True))
    store.put(record(5), rows(flat, card, 5))
    store.put(record(6, None), rows(scene, card, 6))
    return store.detections()


def test_small_files_become_one(store: Store, scene: Scene, flat: Scene, card: Card) -> None:
    before = filled(store, scene, flat, card)
    records = list(store.records())
    assert len(files(store)) == 6
    assert store.compact() == 5
    assert len(files(store)) == 3  # on the ground, in pixels, and the one of the other site
    pd.testing.assert_frame_equal(store.detections(), before)
    assert store.verify() == ()
    assert list(store.records()) == records
    assert store.compact() == 0
    assert len(store.detections(scenes=[name(2)])) == 3
    assert len(store.detections(site="갑산")) == 10
    store.put(record(7), rows(scene, card, 7))
    assert len(store.detections()) == 18
    assert store.compact() == 2
    assert len(files(store)) == 3
    assert len(store.detections()) == 18
    assert store.verify() == ()
    assert store.put(record(1), rows(scene, card)).rows == 3
    assert len(files(store)) == 3


def test_compaction_gives_the_same_bytes_whatever_came_first(
    local: Store, scene: Scene, flat: Scene, card: Card, tmp_path: Path
) -> None:
    filled(local, scene, flat, card)
    other = Store.at(tmp_path / "other")
    for one in reversed(list(local.records())):
        other.put(one, local.detections(scenes=[one.scene]))
        other.compact()
    local.compact()
    assert files(other) == files(local)
    assert [other.shelf.read(file) for file in files(local)] == [
        local.shelf.read(file) for file in files(local)
    ]


def test_a_kill_at_any_step_of_a_compaction_loses_and_doubles_nothing(
    scene: Scene, flat: Scene, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Store.at(tmp_path / "whole")
    before = filled(whole, scene, flat, card)
    done = Store.at(tmp_path / "done")
    shutil.copytree(tmp_path / "whole", tmp_path / "done")
    done.compact()
    kinds = type(whole.shelf)
    acts = {act: getattr(kinds, act) for act in ("write", "remove")}
    for step in range(7):
        place = tmp_path / f"killed-{step}"
        shutil.copytree(tmp_path / "whole", place)
        store, count = Store.at(place), iter(range(100))

        def act(
            self: object, name: str, *content: bytes, step: int = step, count: Iterator[int] = count
        ) -> None:
            if next(count) == step:
                raise KilledError
            acts["write" if content else "remove"](self, name, *content)

        with monkeypatch.context() as patch:
            patch.setattr(kinds, "write", act)
            patch.setattr(kinds, "remove", act)
            with pytest.raises(KilledError):
                store.compact()
        pd.testing.assert_frame_equal(store.detections(), before)
        assert store.verify() == ()
        store.compact()
        pd.testing.assert_frame_equal(store.detections(), before)
        assert store.shelf.names() == done.shelf.names()


def test_two_compactions_at_once_lose_nothing(
    local: Store, scene: Scene, flat: Scene, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(local, scene, flat, card)
    listing = local.listing()  # what the slower one has seen
    local.put(record(7), rows(scene, card, 7))
    local.compact()
    copies = {file: local.shelf.read(file) for file in files(local)}
    with monkeypatch.context() as patch:
        patch.setattr(Store, "listing", lambda self: listing)  # noqa: ARG005
        assert local.compact() == 0  # its files are gone: it leaves all as it is
    # And where it had read them in time, it writes a second file with the same rows.
    for one in (1, 2):
        again = Store.at(Path(local.shelf.place).parent / f"again-{one}")
        again.put(record(one), rows(scene, card, one))
        again.put(record(one + 1), rows(scene, card, one + 1))
        again.compact()
        (file,) = files(again)
        copies[file] = again.shelf.read(file)
        local.shelf.write(file, copies[file])
    assert len(files(local)) == 5
    assert len(local.detections()) == len(before) + 3
    assert local.verify() == ()
    local.compact()
    assert len(files(local)) == 3
    assert len(local.detections()) == len(before) + 3


def test_a_store_is_read_while_it_is_compacted(local: Store, scene: Scene, card: Card) -> None:
    made = [rows(scene, card, number) for number in range(12)]
    failures: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            at_least = len(local.finished(WEIGHTS, OPTIONS))
            scenes = local.detections()["scene"].value_counts()
            if len(scenes) < at_least or (scenes != 3).any():
                failures.append(scenes)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number, one in enumerate(made):
            local.put(record(number), one)
            if number % 2:
                local.compact()
    finally:
        stop.set()
        reader.join()
    assert failures == []
    assert len(local.detections()) == 36


# --- verification


def test_verification_names_what_is_wrong(local: Store, scene: Scene, flat: Scene, card: Card) -> None:
    filled(local, scene, flat, card)
    one, two, three, *_ = sorted(local.records(), key=lambda record: record.scene)
    local.shelf.remove(one.file)
    content = bytearray(local.shelf.read(two.file))
    content[len(content) // 2] ^= 0xFF
    local.shelf.write(two.file, bytes(content))
    local.shelf.write(three.name, json.dumps(json.loads(three.to_json()) | {"rows": 4}).encode())
    local.shelf.write("detections/notes.txt", b"?")
    local.shelf.write("runs/notes.txt", b"?")
    local.shelf.remove("schema.json")
    faults = {(fault.name, fault.kind): str(fault) for fault in local.verify()}
    assert set(faults) == {
        (one.file, "missing"),
        (two.file, "damaged"),
        (three.file, "changed"),
        ("detections/notes.txt", "unknown"),
        ("runs/notes.txt", "unknown"),
        ("schema.json", "missing"),
    }
    assert "expected 4 rows with the sha256" in faults[three.file, "changed"]
    with pytest.raises(StoreError, match=rf"expected the detections of every run .*{one.name}"):
        local.detections()
    with pytest.raises(StoreError, match=f"expected detections of schema 2 at .*{two.scene}"):
        local.detections(scenes=[two.scene])
    local.shelf.write(two.name, b"{}")
    assert (two.name, "damaged") in {(fault.name, fault.kind) for fault in local.verify()}
    with pytest.raises(
        StoreError, match=r"expected a run record at .*: remove it, and the scene is scored again"
    ):
        list(local.records())


def test_a_number_that_was_changed_in_a_file_is_found(local: Store, scene: Scene, card: Card) -> None:
    full = local.put(record(), rows(scene, card))
    local.put(record(2), rows(scene, card, 2))
    local.compact()
    (file,) = files(local)
    table = pq.read_table(io.BytesIO(local.shelf.read(file)))
    scores = table["score"].to_pylist()
    scores[1] += 0.0001
    changed = table.set_column(table.schema.get_field_index("score"), "score", [scores])
    sink = io.BytesIO()
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), sink)
    local.shelf.write(file, sink.getvalue())
    (fault,) = local.verify()
    assert (fault.name, fault.kind) == (file, "changed")
    assert full.scene in fault.told


def test_a_damaged_compacted_file_is_named(local: Store, scene: Scene, flat: Scene, card: Card) -> None:
    filled(local, scene, flat, card)
    local.compact()
    file = max(files(local), key=lambda one: len(local.shelf.read(one)))
    local.shelf.write(file, local.shelf.read(file)[:-100])
    faults = local.verify()
    assert (file, "damaged") in {(fault.name, fault.kind) for fault in faults}
    assert sum(fault.kind == "missing" for fault in faults) == 4
    with pytest.raises(StoreError, match="got a damaged or foreign file"):
        local.detections()
    with pytest.raises(StoreError, match="got a damaged or foreign file"):
        local.compact()


# --- export


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "csv"])
@pytest.mark.parametrize("empty", [False, True])
def test_exports(
    ending: str, empty: bool, local: Store, scene: Scene, flat: Scene, card: Card, tmp_path: Path  # noqa: FBT001
) -> None:  # fmt: skip
    made = filled(local, scene, flat, card)[: 0 if empty else None]
    paths = [tmp_path / folder / f"all.{ending}" for folder in "ab"]
    for path in paths:
        assert export(made, path) == (0 if empty or ending == "csv" else 3)
        time.sleep(0.01)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [f"all.{ending}"]
    if ending == "csv":
        read = pd.read_csv(paths[0])
        assert tuple(read.columns) == COLUMNS
        assert read["detection"].tolist() == made["detection"].tolist()
        assert shapely.from_wkt(read["geometry"]).tolist() == made.geometry.tolist()
        return
    kept = made[made["frame"] == "lonlat"]
    if ending == "gpkg":
        layered = [gpd.read_file(paths[0], layer=layer) for layer in ("boxes", "perimeters")]
        assert [len(one) for one in layered] == ([0, 0] if empty else [8, 4])
        assert layered[0].crs.to_epsg() == 4326
        read = pd.concat(layered)
        assert {"area_m2"} <= set(layered[0].columns) - set(layered[1].columns)
    else:
        document = json.loads(paths[0].read_text())
        assert len(document["features"]) == len(kept)
        if empty:
            return
        read = gpd.read_file(paths[0])
        properties = document["features"][0]["properties"]
        assert properties["spans"] is None
        assert properties["acquired"] == "2019-03-12T04:05:06.789+00:00"
    both = kept.merge(read, on="detection")
    assert len(both) == len(kept)
    assert (both["score_x"] == both["score_y"]).all()
    assert shapely.equals_exact(both["geometry_x"].to_numpy(), both["geometry_y"].to_numpy(), 1e-9).all()


def test_an_export_that_cannot_be_written_leaves_what_was_there(
    scene: Scene, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows(scene, card)
    with pytest.raises(OptionError, match=r"expected a file that ends with .gpkg, .geojson, .csv, got x.shp"):
        export(made, tmp_path / "x.shp")
    path = tmp_path / "out" / "x.geojson"
    export(made, path)
    before = path.read_bytes()

    def full(self: Path, target: Path) -> None:
        del self, target
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StoreError, match="No space left on device; what was there is unharmed"):
            export(made[:1], path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["x.geojson"]


# --- schemas


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"schema": 3}')
    with pytest.raises(StoreError, match=r"expected a store of schema 2 at .*, got 3: .* newer pithead"):
        Store.at(tmp_path)
    (tmp_path / "schema.json").write_text("{")
    with pytest.raises(StoreError, match="got another text"):
        Store.at(tmp_path)


def write_scan(out: Path, scene: Scene, card: Card, file: Path) -> None:
    """What inference/scan.py leaves."""
    origin = Origin("scene", sha256_of(file), WEIGHTS)
    started = datetime(2026, 1, 1, tzinfo=UTC)
    options = {"overlap": 128, "date": None}
    write_results(
        out, scene, found(shift=1), Run(origin, Path("w.onnx"), card, options, None, started, 1.5, TAKEN)
    )


@pytest.mark.parametrize("kind", ["tif", "png"])
def test_results_of_scans_are_taken_in(
    kind: str, scene: Scene, flat: Scene, card: Card, store: Store, tmp_path: Path
) -> None:
    image = scene if kind == "tif" else flat
    write_scan(tmp_path / "out", image, card, tmp_path / f"scene.{kind}")
    with pytest.raises(StoreError, match=r"got results of inference/scan.py"):
        Store.at(tmp_path / "out")
    (taken,) = take_scans(store, tmp_path / "out", site="갑산")
    assert taken.scene == f"scene-{sha256_of(tmp_path / f'scene.{kind}')[:12]}"
    assert taken.started == "2026-01-01T00:00:00+00:00"
    assert taken.tiles == {"all": 4, "run": 2, "empty": 0, "plain": 0, "outside": 0}
    assert take_scans(store, tmp_path / "out", site="갑산") == (taken,)
    assert store.verify() == ()
    # The same rows as if the scan had gone into the store.
    origin = Origin("scene", taken.scene_sha256, WEIGHTS)
    direct = rows_of(
        layers(found(shift=1), image, card, origin), image, origin, scene_id=taken.scene,
        options_sha256=taken.options_sha256, site_of=lambda shape: "갑산", acquired=TAKEN,  # noqa: ARG005
    )  # fmt: skip
    pd.testing.assert_frame_equal(store.detections(), direct)
    with pytest.raises(StoreError, match=r"expected results of inference/scan.py \(\*.run.json\)"):
        take_scans(store, tmp_path)


def test_results_that_cannot_be_relied_on_are_refused(
    scene: Scene, card: Card, local: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_scan(out, scene, card, tmp_path / "scene.tif")
    path = out / "scene.run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"scene": facts["scene"] | {"sha256": None}}))
    with pytest.raises(StoreError, match="expected the sha256 of the scene"):
        take_scans(local, out)
    path.write_text(json.dumps({"scene": {}}))
    with pytest.raises(StoreError, match="got a damaged one"):
        take_scans(local, out)
    path.write_text(json.dumps(facts))
    (out / "scene.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="as its record has it, got another one"):
        take_scans(local, out)
    assert local.shelf.names() == ()


# --- size


def test_ten_thousand_runs_are_looked_through_at_once(local: Store) -> None:
    folder = Path(local.shelf.place) / RunRecord.folder(WEIGHTS, OPTIONS)
    folder.mkdir(parents=True)
    for number in range(10_000):
        (folder / f"{sha(number)}.json").touch()
    began = time.perf_counter()
    assert len(local.finished(WEIGHTS, OPTIONS)) == 10_000
    assert time.perf_counter() - began < 1
