"""The history of a site out of an archive: what is there, what people said, and what is missing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.catalog import Catalog
from pithead.errors import CatalogError, WeightsError
from pithead.generate.history import History
from pithead.pretend import write_archive
from pithead.rescore import Archive
from pithead.review import Review, give
from pithead.review.review import Decision
from pithead.sites import QUANTITIES, Chronicle, Note, chronicle

HISTORY = History.draw(4, dates=6, sensors=2, side_m=700.0)
NAME = HISTORY.name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history") / "archive"
    write_archive([HISTORY], folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to; its scenes stay where they are."""
    copy = tmp_path / "archive"
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("scenes"))
    return copy


def told(folder: Path, **more: str | Path) -> Chronicle:
    weights = more.pop("weights", folder / "pretended.onnx")
    return chronicle(Archive.open(folder), NAME, weights=weights, **more)


def test_a_history_is_told_with_what_hides_it_and_what_it_is_sure_of(made: Path) -> None:
    history = told(made)
    assert [view.acquired for view in history.views] == [
        shot.date.replace(microsecond=0) for shot in HISTORY.shots
    ]
    assert set(history.quantities) == set(QUANTITIES)
    assert all(len(measures) == 6 for measures in history.quantities.values())
    assert history.weights == "pretended"
    for view, shot in zip(history.views, HISTORY.shots, strict=True):
        assert view.pixels
        cloud = shapely.union_all([shape for shape, reason in view.hidden if reason == "cloud"])
        true = shapely.union_all(shot.clouds).intersection(view.looked)
        assert cloud.intersection(true).area >= 0.8 * true.area  # blocks of 32 m, clouds of 50 m
        names = {one.detection for one in view.sightings}
        assert names >= {name for t in history.tracks for name in t.sightings[history.views.index(view)]}
    shifts = [(view.shift.dx_m, view.shift.dy_m) for view in history.views]
    for (x, y), (dx, dy), shot in zip(shifts, [s.shift_m for s in HISTORY.shots], HISTORY.shots, strict=True):
        first = shifts[0][0] - HISTORY.shots[0].shift_m[0], shifts[0][1] - HISTORY.shots[0].shift_m[1]
        assert (x - dx, y - dy) == pytest.approx(first, abs=1.0), shot.number


def test_reviews_override_the_weights_and_are_counted(folder: Path) -> None:
    archive = Archive.open(folder)
    before = told(folder)
    head = next(one for one in before.views[0].sightings if one.cls == "mine_head")
    ours = next(one for one in before.views[0].sightings if one.cls == "coal_heap")
    rows = archive.store.detections().set_index("detection")

    def said(name: str, decision: Decision, geometry: BaseGeometry | None = None) -> None:
        row = rows.loc[name]
        shape = row["geometry"] if geometry is None else geometry
        give(archive.log, Review(name, row["scene_sha256"], row["class"], decision, "NN", shape))

    said(head.detection, "reject")
    said(ours.detection, "accept")
    after = told(folder)
    assert head.detection in {one.detection for one in after.views[0].rejected}
    assert after.quantities["mine_heads"][0].raw == before.quantities["mine_heads"][0].raw - 1
    assert (before.quantities["heaps"][0].checked, after.quantities["heaps"][0].checked) == pytest.approx(
        (0.0, 1 / after.quantities["heaps"][0].raw)
    )
    (seen,) = [one for one in after.views[0].sightings if one.detection == ours.detection]
    assert (seen.decision, seen.reviewer, seen.checked) == ("accept", "NN", True)
    wide = rows.loc[ours.detection]["geometry"].buffer(1e-4, join_style="mitre")
    said(ours.detection, "redraw", geometry=wide)
    (drawn,) = [one for one in told(folder).views[0].sightings if one.detection == ours.detection]
    assert drawn.area_m2 is not None
    assert ours.area_m2 is not None
    assert drawn.area_m2 > 1.5 * ours.area_m2


def test_without_a_card_of_the_weights_nothing_is_sure_and_that_is_said(folder: Path) -> None:
    shutil.rmtree(folder / "cards")
    history = told(folder, weights="pretended")
    assert any(note.code == "no_card" for note in history.notes)
    assert all(
        one.value is None and one.reason == "not_measured"
        for some in history.quantities.values()
        for one in some
    )
    assert not [state for track in history.tracks for state in track.states if state.kind == "absent"]
    assert not [one for one in history.changes if one.sure]


def test_the_card_that_an_archive_has_kept_is_enough(folder: Path) -> None:
    named = told(folder)
    (folder / "pretended.onnx").unlink()
    kept = chronicle(Archive.open(folder), NAME)
    assert kept.quantities == named.quantities
    assert [one.value for one in kept.quantities["heap_area_m2"] if one.value is not None]


def test_scenes_that_cannot_be_told_of_are_named(folder: Path) -> None:
    archive = Archive.open(folder)
    entries = archive.catalog.scenes()
    gone = archive.store.record(
        next(one.name for one in archive.store.records() if one.scene_sha256 == entries[0].sha256)
    )
    archive.store.forget(gone)
    history = told(folder)
    assert len(history.views) == 5
    assert Note("not_scored", {"scene": entries[0].id}) in history.notes


def test_a_site_nobody_knows_and_one_without_scenes(folder: Path) -> None:
    with pytest.raises(CatalogError, match=NAME):
        chronicle(Archive.open(folder), "elsewhere")
    with pytest.raises(WeightsError, match="pretended"):
        told(folder, weights="other")
    sites = json.loads((folder / "sites.geojson").read_text())
    sites["features"].append({"type": "Feature", "properties": {"name": "Empty"}, "geometry": None})
    (folder / "sites.geojson").write_text(json.dumps(sites))
    history = chronicle(Archive.open(folder), "Empty")
    assert history.views == ()
    assert [note.code for note in history.notes] == ["nothing_scored"]


def test_the_pixels_may_be_gone(folder: Path) -> None:
    catalog = Catalog.open(folder)
    catalog.update([replace(entry, changed=True) for entry in catalog.scenes()])
    history = told(folder)
    assert not any(view.pixels for view in history.views)
    assert "not_looked_through" in {note.code for note in history.notes}
    assert {view.shift.how for view in history.views} <= {"objects", "none"}
