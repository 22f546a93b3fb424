"""Reviews as a person gives them: by id, and in files that were filled in; all of them or none."""

# ruff: noqa: F811 (the fixtures of another module)
import contextlib
import csv
import functools
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from test_changes_program import A, B, archive, card, compared, put, scored  # noqa: F401

from pithead.changes.archive import said_in
from pithead.errors import OptionError, PitheadError
from pithead.rescore import Archive
from pithead.review import GIVEN, Review, read_sheet, reviews
from pithead.store import export

ROOT = Path(__file__).resolve().parents[1]


def typed(archive: Archive, *words: object) -> subprocess.CompletedProcess[str]:
    """The program as a person types it."""
    command = [sys.executable, str(ROOT / "inference" / "review.py"), str(archive.folder), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@functools.cache
def program() -> Any:  # noqa: ANN401
    spec = importlib.util.spec_from_file_location("review_program", ROOT / "inference" / "review.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def call(archive: Archive, *words: object, refused: bool = False) -> str:
    """The same in this process, since it takes two seconds to begin: what it prints, or why it refuses."""
    out = io.StringIO()
    arguments = [str(archive.folder), *map(str, words)]
    try:
        with contextlib.redirect_stdout(out):
            program().app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except PitheadError as error:
        assert refused
        assert out.getvalue() == ""
        return str(error)
    assert not refused
    return out.getvalue()


def heaps(archive: Archive, weights: str = A) -> gpd.GeoDataFrame:
    """The heaps that weights found at Camp 9, the surest first: ids, and where they are."""
    rows = archive.store.detections(weights=weights, site="Camp 9", classes=["coal_heap"])
    return rows.sort_values(["scene", "score"], ascending=[True, False]).reset_index(drop=True)


def said(archive: Archive) -> dict[str, tuple[str, str | None, str, str]]:
    return {
        name: (one.decision, one.new_class, one.reviewer, one.note)
        for name, one in reviews(archive.log).items()
    }


def given(archive: Archive) -> int:
    return sum(record.kind == GIVEN for record in archive.log.records())


def filled(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_by_id(scored: Archive) -> None:
    a, b, c, d = heaps(scored)["detection"]
    words = ("--accept", a, b, "--reject", c, "--relabel", f"{d}=mine_head", "--note", "seen")
    done = typed(scored, *words, "--by", "N. N.")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 accepted, 1 rejected, 1 relabelled, 0 redrawn\n"
    assert said(scored) == {
        a: ("accept", None, "N. N.", "seen"), b: ("accept", None, "N. N.", "seen"),
        c: ("reject", None, "N. N.", "seen"), d: ("relabel", "mine_head", "N. N.", "seen"),
    }  # fmt: skip
    one = reviews(scored.log)[a]
    assert one.geometry.equals(heaps(scored).geometry.iloc[0])
    assert one.scene_sha256 == heaps(scored)["scene_sha256"].iloc[0]
    # Once more says nothing new; another word of another person does.
    told = call(scored, "--accept", a, "--reject", b, "--by", "N. N.", "--note", "seen")
    assert told == "0 accepted, 1 rejected, 0 relabelled, 0 redrawn; 1 said so before\n"
    assert given(scored) == 5
    lines = call(scored, "--list", "--site", "Camp 9").splitlines()
    listed = [line.split()[0] for line in lines[:-1]]
    assert (set(listed), listed[-1]) == ({a, b, c, d}, b)
    assert f"{d}  relabel  coal_heap → mine_head" in "\n".join(lines)
    assert lines[-1] == "4 detections were spoken of"
    assert call(scored, "--list", "--site", "Camp 15") == "0 detections were spoken of\n"


def test_then_a_gate_on_reviews_can_be_met(scored: Archive, tmp_path: Path) -> None:
    gate = ("--quiet", "--require", "recall_on_accepted >= 0.98")
    assert compared(scored, tmp_path / "out", *gate) == 1
    call(scored, "--accept", heaps(scored)["detection"].iloc[0], "--by", "ann")
    assert compared(scored, tmp_path / "out", *gate) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "expected --accept, --reject, --relabel or --from, or --list"),
        (("--accept", "ffff", "--by", "ann"), "ffff (--accept): no review was given"),
        (("--accept", "{0}", "ffff", "--by", "ann"), "ffff (--accept): no review was given"),
        (("--accept", "{0}"), "expected who says it: --by NAME"),
        (("--accept", "{0}", "--reject", "{0}", "--by", "ann"), "two that differ (--accept; --reject)"),
        (("--relabel", "{0}", "--by", "ann"), "expected --relabel ID=CLASS"),
        (("--relabel", "{0}=coal_heep", "--by", "ann"), "one of guard_perimeter, mine_head"),
        (("--relabel", "{0}=coal_heap", "--by", "ann"), "got coal_heap"),
        (("--accept", "{0}", "--by", "ann", "--site", "Camp 9"), "expected --list with --site"),
        (("--list", "--site", "Camp 99"), "expected a site of the archive"),
        (("--from", "none.csv", "--by", "ann"), "none.csv, got"),
        (("--from", "none.gpkg", "--by", "ann"), "none.gpkg, got none"),
    ],
)
def test_what_cannot_be_said(scored: Archive, words: tuple[str, ...], expected: str) -> None:
    first = heaps(scored)["detection"].iloc[0]
    assert expected in call(scored, *(word.format(first) for word in words), refused=True)
    assert given(scored) == 0


def test_a_refusal_is_one_line_and_status_2(scored: Archive) -> None:
    done = typed(scored, "--accept", heaps(scored)["detection"].iloc[0], "ffff", "--by", "ann")
    assert (done.returncode, done.stdout) == (2, "")
    told = "error: expected ids of detections in the store, got ffff (--accept): no review was given\n"
    assert done.stderr == told
    assert given(scored) == 0


def test_a_table(scored: Archive, tmp_path: Path) -> None:
    a, b, c, d = heaps(scored)["detection"]
    rows = [
        {"detection": a, "decision": "Accept ", "class": "coal_heap", "note": "", "reviewer": "ben"},
        {"detection": b, "decision": "reject", "note": "a shadow; of a crane"},
        {"detection": c, "decision": "relabel", "class": "mine_head"},
        {"detection": d, "decision": ""},
    ]
    wanted = {
        a: ("accept", None, "ben", ""), b: ("reject", None, "ann", "a shadow; of a crane"),
        c: ("relabel", "mine_head", "ann", ""),
    }  # fmt: skip
    call(scored, "--from", filled(tmp_path / "some.csv", rows), "--by", "ann")
    assert said(scored) == wanted
    told = call(scored, "--from", filled(tmp_path / "other.csv", rows, ";"), "--by", "ann")
    assert told.endswith("; 3 said so before\n")
    rows.append({"detection": "0" * 16, "decision": "accept"})
    rows[1]["note"] = "no"
    told = call(scored, "--from", filled(tmp_path / "bad.csv", rows), "--by", "ann", refused=True)
    assert f"got {'0' * 16} (bad.csv, row 6): no review was given" in told
    assert said(scored) == wanted


def test_the_queue_of_a_comparison_filled_in(scored: Archive, tmp_path: Path) -> None:
    compared(scored, tmp_path / "out", "--quiet")
    queue = json.loads((tmp_path / "out" / "queue.geojson").read_text("utf-8"))
    moved = next(one for one in queue["features"] if one["properties"]["kind"] == "moved")
    lost = next(one for one in queue["features"] if one["properties"]["kind"] == "lost")
    for one in queue["features"]:
        one["properties"]["decision"] = None
    moved["properties"]["decision"] = "reject"
    lost["properties"]["decision"] = "accept"
    path = tmp_path / "queue.geojson"
    path.write_text(json.dumps(queue), encoding="utf-8")
    call(scored, "--from", path, "--by", "ann")
    new, old = moved["properties"]["new_detection"], lost["properties"]["old_detection"]
    assert {name: one[0] for name, one in said(scored).items()} == {new: "reject", old: "accept"}


def test_the_map_of_a_comparison_filled_in(scored: Archive, tmp_path: Path) -> None:
    call(scored, "--accept", heaps(scored)["detection"].iloc[0], "--by", "ann")
    compared(scored, tmp_path / "out", "--quiet")
    boxes = gpd.read_file(tmp_path / "out" / "changes.gpkg", layer="boxes")
    moved = boxes["kind"] == "moved"
    boxes.loc[moved & (boxes["side"] == "old"), "decision"] = "reject"
    boxes.to_file(tmp_path / "out" / "changes.gpkg", layer="boxes", engine="pyogrio")
    before = given(scored)
    call(scored, "--from", tmp_path / "out" / "changes.gpkg", "--by", "ben")
    assert given(scored) == before + 1  # the layer of what was said before is not said again
    assert said(scored)[boxes.loc[moved, "old_detection"].iloc[0]][0] == "reject"


def test_redrawn_in_another_projection(scored: Archive, tmp_path: Path) -> None:
    rows = heaps(scored)
    drawn = rows.head(1)[["detection", "class", "geometry"]].to_crs(32652)
    drawn["geometry"] = [shapely.MultiPolygon([shapely.force_3d(drawn.geometry.iloc[0].buffer(10), 5.0)])]
    drawn["decision"] = "redraw"
    drawn.to_file(tmp_path / "drawn.gpkg", engine="pyogrio")
    told = call(scored, "--from", tmp_path / "drawn.gpkg", "--by", "ann")
    assert told == "0 accepted, 0 rejected, 0 relabelled, 1 redrawn\n"
    (one,) = reviews(scored.log).values()
    assert isinstance(one, Review)
    assert (one.geometry.geom_type, one.geometry.has_z) == ("Polygon", False)
    assert one.geometry.contains(rows.geometry.iloc[0])
    assert one.geometry.centroid.distance(rows.geometry.iloc[0].centroid) < 1e-6
    table = filled(tmp_path / "no.csv", [{"detection": rows["detection"].iloc[1], "decision": "redraw"}])
    assert "it comes from a GeoJSON or GeoPackage" in call(
        scored, "--from", table, "--by", "ann", refused=True
    )


@pytest.mark.parametrize("ending", [".csv", ".geojson", ".gpkg"])
def test_an_export_filled_in(scored: Archive, tmp_path: Path, ending: str) -> None:
    rows = heaps(scored)
    path = tmp_path / f"camp{ending}"
    export(rows, path)
    decisions = ["accept", "", "reject", ""]
    if ending == ".csv":
        table: Any = pd.read_csv(path)
        table["decision"] = table["detection"].map(dict(zip(rows["detection"], decisions, strict=True)))
        table.to_csv(path, index=False)
    else:
        layer = {"layer": "boxes"} if ending == ".gpkg" else {}
        table = gpd.read_file(path, **layer)
        table["decision"] = table["detection"].map(dict(zip(rows["detection"], decisions, strict=True)))
        table.to_file(path, engine="pyogrio", **layer)
    found = {one.detection: one.decision for one in read_sheet(path)}
    assert found == {rows["detection"].iloc[0]: "accept", rows["detection"].iloc[2]: "reject"}


@pytest.mark.parametrize("name", ["reviews.geojson", "reviews.gpkg"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    rows = gpd.GeoDataFrame({"detection": ["d"], "decision": ["accept"]}, geometry=[shapely.box(0, 0, 1, 1)])
    rows.set_crs(4326).to_file(tmp_path / name, engine="pyogrio")
    assert [one.detection for one in read_sheet(tmp_path / name)] == ["d"]


def test_what_stands_last_in_a_file_was_said_last(scored: Archive, tmp_path: Path) -> None:
    ids = list(heaps(scored)["detection"])
    for turned in (ids, ids[::-1]):
        rows = [{"detection": one, "decision": "accept", "note": turned[0]} for one in turned]
        call(scored, "--from", filled(tmp_path / "some.csv", rows), "--by", "ann")
        assert [one.detection for one in said_in(scored.log)] == turned
        assert [line.split()[0] for line in call(scored, "--list").splitlines()[:-1]] == turned


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "detection,verdict\nx,accept\n", "expected the columns detection and decision"),
        ("a.csv", "", "got none"),
        ("a.csv", "detection,decision\nx,\n", "fill in the column decision"),
        ("a.csv", "detection,decision\n,accept\n", r"a\.csv, row 2: expected the id of a detection"),
        ("a.csv", b"detection,decision\nx,acc\xe9pt\n", "expected a CSV, GeoJSON or GeoPackage"),
        ("a.xlsx", "PK", r"expected a file that ends with \.csv"),
        ("a.gpkg", "PK", "expected a CSV, GeoJSON or GeoPackage"),
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', "expected the columns|expected a CSV"),
    ],
)
def test_files_that_say_nothing(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(OptionError, match=message):
        read_sheet(path)


def test_an_unknown_decision_names_its_row(scored: Archive, tmp_path: Path) -> None:
    first = heaps(scored)["detection"].iloc[0]
    path = filled(tmp_path / "a.csv", [{"detection": first, "decision": "yes"}])
    told = call(scored, "--from", path, "--by", "ann", refused=True)
    assert "a.csv, row 2: expected accept, reject, relabel, redraw, got 'yes'" in told
    path = filled(tmp_path / "a.csv", [{"detection": first, "decision": "accept", "class": "mine_head"}])
    told = call(scored, "--from", path, "--by", "ann", refused=True)
    assert "a.csv, row 2: expected no other class to accept a coal_heap, got mine_head" in told


def test_scenes_without_georeference_cannot_be_redrawn() -> None:
    from pithead.review import Answer, settled

    row = {
        "detection": "d", "scene_sha256": "f" * 64, "class": "coal_heap", "frame": "px",
    }  # fmt: skip
    rows = gpd.GeoDataFrame([row], geometry=[shapely.box(0, 0, 500, 500)])
    (one,) = settled([Answer("d", "accept", "here")], rows, frozenset(), "ann")
    assert one.frame == "px"
    answer = Answer("d", "redraw", "here", geometry=shapely.box(0, 0, 1, 1))
    with pytest.raises(OptionError, match="here: expected a detection on a map"):
        settled([answer], rows, frozenset(), "ann")


def test_the_same_of_several_options_is_one(scored: Archive, card: Any) -> None:  # noqa: ANN401
    from pithead.rescore import Options

    entry = min(scored.catalog.scenes(), key=lambda entry: entry.href)
    put(scored, card, entry, B, [(20, 20, 0.9)], options=Options(min_score=0.1))
    ids = heaps(scored, B)["detection"]
    twice = ids[ids.duplicated()].iloc[0]
    call(scored, "--accept", twice, "--by", "ann")
    assert given(scored) == 1
    assert np.array_equal(list(said(scored)), [twice])
