"""Pictures of histories, and the archive that is made of them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from test_histories import EARLY, SENSOR, history, shot, thing

from pithead.card import ClassErrors
from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.errors import DatasetError
from pithead.generate.canvas import Canvas
from pithead.generate.history import Block, History, Pile, PixelFrame, Sensor, render_shot, sketch_shot
from pithead.generate.history.picture import leaned
from pithead.imagery import open_scene
from pithead.labels import read_facts, read_jsonl
from pithead.pretend import TYPICAL, Written, write_archive
from pithead.pretend.telling import label_lines
from pithead.rescore import Archive
from pithead.rescore.upkeep import check

ROOT = Path(__file__).parents[1]
COARSE = Sensor("coarse", 1.5, 8, ("red", "green", "blue"))


def coarse(seed: int) -> History:
    """A history whose pictures are small, the first with cloud and a wedge without pixels."""
    drawn = History.draw(seed, dates=6, sensors=1, side_m=700)
    wedge = shapely.Polygon([(-410, 410), (-300, 410), (-410, 300)])
    frame = shapely.box(-410, -410, 410, 410)
    shots = [
        replace(one, sensor=COARSE, footprint=frame, clouds=(), nodata=(), haze=0.0, snow=False)
        for one in drawn.shots
    ]
    shots[0] = replace(shots[0], clouds=(shapely.box(100, 100, 300, 300),), nodata=(wedge,))
    return replace(drawn, shots=tuple(shots))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Written]:
    drawn = coarse(2)
    return drawn, write_archive([drawn], tmp_path_factory.mktemp("archive") / "made")


# --- pictures


def test_a_block_leans_by_its_height_and_shows_its_wall() -> None:
    canvas = Canvas.flat(100, 100, 1.0)
    patch = canvas.patch(50, 50, 0.0, 5, 5)
    assert patch is not None
    canvas.raise_to(patch, np.ones(patch.u.shape, np.bool_), 10)
    light = np.full((100, 100, 4), 0.2, np.float32)
    light[45:55, 45:55] = 1.0
    # From the south, up to where 10 m of height are 5 m: roofs go 5 cells up the screen.
    view = shot(off_nadir_deg=float(np.degrees(np.arctan(0.5))), azimuth_deg=180.0)
    seen = leaned(light, canvas, view)
    assert (seen[40:50, 45:55] == 1.0).all()
    assert seen[50:55, 45:55] == pytest.approx(0.55)
    assert (seen[55:, :] == np.float32(0.2)).all()
    assert (seen[:40, :] == np.float32(0.2)).all()
    assert (leaned(light, canvas, shot()) == light).all()


@pytest.mark.parametrize("draw", [sketch_shot, render_shot])
def test_a_picture_shows_what_the_truth_says(draw) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    site = replace(history(thing("heap", "coal_heap", (EARLY, Pile(-100, 50, 0.3, 60, 15)))), seed=7)
    view = shot(
        sensor=replace(SENSOR, gsd_m=1.5, bands=("red", "green", "blue")),
        footprint=shapely.box(-300, -300, 300, 300),
        clouds=(shapely.box(100, 100, 200, 200),),
        nodata=(shapely.box(-300, -300, -250, 300),),
        shift_m=(6.0, -3.0),
    )
    scene, frame = draw(site, view), PixelFrame(site, view)
    assert scene.data.shape == (3, 400, 400)
    assert (scene.data[:, :, :33] == 0).all()
    assert scene.data[:, :, 34:].min() > 0
    grey = scene.data.mean(axis=0)
    assert grey[70:130, 270:330].min() > 200  # the cloud
    (x, y) = frame.to_px(np.array([[-100.0 + 6, 50 - 3]]))[0].astype(int)
    assert grey[y - 4 : y + 5, x - 4 : x + 5].mean() < 0.5 * np.median(grey[:, 40:])
    (label,) = scene.truths
    assert label.points_m.mean(axis=0) == pytest.approx([(300 - 94) / 1.5, (300 - 47) / 1.5])
    again = draw(site, view)
    assert again.data.tobytes() == scene.data.tobytes()


def test_the_land_is_the_same_on_every_date() -> None:
    site = replace(history(), seed=7)
    views = [
        shot(footprint=shapely.box(-200, -200, 200, 200), number=number, shift_m=shift)
        for number, shift in ((0, (0.0, 0.0)), (1, (4.0, -2.0)))
    ]
    first, second = (sketch_shot(site, view).data[0].astype(float) for view in views)
    # Shifted 4 m east and 2 m south: 4 columns right and 2 rows down.
    inner, moved = first[20:-20, 20:-20], second[22:-18, 24:-16]
    assert np.corrcoef(inner.ravel(), moved.ravel())[0, 1] > 0.99
    assert np.corrcoef(inner.ravel(), second[20:-20, 20:-20].ravel())[0, 1] < 0.9


# --- the archive


def test_an_archive_has_every_scene_at_its_site(made: tuple[History, Written]) -> None:
    drawn, written = made
    entries = sorted(written.archive.catalog.scenes(), key=lambda entry: entry.id)
    assert len(entries) == written.scenes == 6
    for entry, view in zip(entries, drawn.shots, strict=True):
        assert entry.sites == (drawn.name,)
        assert entry.acquired == view.date
        assert entry.sensor == "coarse"
        assert entry.gsd_m == pytest.approx((1.5, 1.5), rel=1e-4)
        assert entry.off_nadir_deg == pytest.approx(view.off_nadir_deg, abs=0.01)
        there = shapely.transform(entry.footprint, drawn.from_lonlat)
        assert there.symmetric_difference(view.footprint).area < 820 * 4  # whole pixels
    assert entries[0].cloud_percent == pytest.approx(100 * 200**2 / 820**2, abs=0.1)
    assert not list(check(Archive.open(written.archive.folder)))


def test_its_pixels_lie_where_its_rows_do(made: tuple[History, Written]) -> None:
    drawn, written = made
    (entry,) = [one for one in written.archive.catalog.scenes() if "_00_" in one.id]
    with open_scene(entry.href) as scene:
        corner = scene.to_lonlat(np.array([0.0, 0.0]))
        assert drawn.from_lonlat(corner) == pytest.approx([-410, 410], abs=0.01)
    rows = written.archive.store.detections(scenes=[entry.id])
    with open_scene(entry.href) as scene:
        for row in rows[rows["class"] == "coal_heap"].itertuples():
            px = scene.to_lonlat(np.array([row.centre_x_px, row.centre_y_px]))
            assert px == pytest.approx([row.centre_lon, row.centre_lat], abs=1e-7)


def test_the_truth_names_the_thing_of_every_detection(made: tuple[History, Written]) -> None:
    drawn, written = made
    truth = json.loads((written.archive.folder / "truth.json").read_text("utf-8"))[drawn.name]
    rows = written.archive.store.detections()
    named = {name: thing_id for one in truth["shots"] for name, thing_id in one["detections"].items()}
    assert set(rows["detection"]) == set(named)
    assert {one.id for one in drawn.things} | {""} >= set(named.values())
    assert truth["shots"][3]["quantities"] == pytest.approx(drawn.truth(drawn.shots[3]).quantities, abs=1e-5)
    assert [one["scene"] for one in truth["shots"]] == sorted(one["scene"] for one in truth["shots"])


def test_its_weights_carry_the_errors_and_find_nothing(made: tuple[History, Written]) -> None:
    _, written = made
    assert written.weights is not None
    detector = Detector.open(written.weights, threads=1, device="cpu")
    assert detector.card.errors == TYPICAL
    assert all(isinstance(one, ClassErrors) for one in detector.card.errors)
    records = list(written.archive.store.records(detector.sha256))
    assert len(records) == 6
    rows = detector.raw(np.zeros((1, 640, 640, 3), np.uint8))
    assert rows[..., 5].max() == 0


def test_its_labels_are_labels(made: tuple[History, Written]) -> None:
    drawn, written = made
    path = written.archive.folder / "labels.jsonl"
    classes = load_classes(ROOT / "labeling" / "classes.toml")
    labels = read_jsonl(path, classes)
    images = [f"history_0002_{i:02d}_{one.date:%Y%m%d}" for i, one in enumerate(drawn.shots)]
    assert list(labels) == images
    facts = read_facts(path)
    assert {one.site for one in facts.values()} == {drawn.name}
    told = [(one.date, one.ground, float(one.off_nadir_deg or "nan")) for one in facts.values()]
    assert told == [
        (f"{one.date:%Y-%m-%d}", "snow" if one.snow else "no snow", round(one.off_nadir_deg, 2))
        for one in drawn.shots
    ]
    last = drawn.truth(drawn.shots[-1])
    assert len(labels[images[-1]]) == len(last.labels)
    assert sum(one.attributes.get("material") == "coal" for one in labels[images[-1]]) == len(
        last.of("coal_heap")
    )


def test_what_haze_or_cloud_hides_is_neither_there_nor_background() -> None:
    west, east = (
        thing(x, "coal_heap", (EARLY, Pile(at, 0, 0, 60, 15))) for x, at in (("w", -200), ("e", 200))
    )
    cloud = shapely.box(-400, -400, -190, 400)  # over more than half of the western heap

    def sureness(**seen: object) -> list[str]:
        picture = shot(sensor=COARSE, **seen)
        lines = label_lines("a", sketch_shot(history(west, east, shots=(picture,)), picture))
        return [json.loads(line)["confidence"] for line in lines]

    assert sureness() == ["sure", "sure"]
    assert sureness(clouds=(cloud,)) == ["sure", "possible"]
    assert sureness(haze=0.6) == ["possible", "possible"]


def test_rendered_scenes_wait_for_real_weights(tmp_path: Path) -> None:
    bare = replace(history(thing("heap", "coal_heap", (EARLY, Pile(0, 0, 0.3, 60, 15)))), seed=9)
    site = replace(bare, shots=(shot(sensor=COARSE, footprint=shapely.box(-300, -300, 300, 300)),))
    written = write_archive([site], tmp_path / "made", "render")
    assert written.weights is None
    assert len(list(written.archive.catalog.scenes())) == 1
    assert not list(written.archive.store.records())


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("there")
    site = replace(history(thing("roof", "coal_heap", (EARLY, Block(np.eye(4, 2))))), seed=9)
    with pytest.raises(DatasetError, match="empty folder"):
        write_archive([site], tmp_path)
    with pytest.raises(DatasetError, match="different places"):
        write_archive([site, replace(site, seed=209)], tmp_path / "made")
    with pytest.raises(DatasetError, match="observe or render"):
        write_archive([site], tmp_path / "made", "guess")  # type: ignore[arg-type]
    assert not (tmp_path / "made").exists()


def test_the_program_ends_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "datasets/histories.py", str(tmp_path / "made"), "--dates", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected a seed from 0, dates from 6")
    assert done.stderr.count("\n") == 1
