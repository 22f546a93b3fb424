"""The mirror of the archive: it has what catalogue, store and log have, whatever happened in between."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Row
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from server_archive import CARD, EAST, NORTH, OTHER, SERVED, Found, add, put, write_flat, write_scene

from pithead.errors import EvidenceError
from pithead.rescore import Archive
from pithead.review import Answer, give_all, reviews, settled
from pithead.server.database import Database
from pithead.server.mirror import SCHEMA, Mirror, Served, runs
from pithead.server.mirror.doubt import Doubt
from pithead.server.mirror.scenes import slugs_of
from pithead.server.problems import Problem
from pithead.server.screen import from_screen, to_screen, to_world
from pithead.sidefiles import Facts

HEAP = Found("coal_heap", 0.7)
HEAD = Found("mine_head", 0.4, (10, 10, 30, 40))
CLASSES = frozenset({"coal_heap", "mine_head", "guard_perimeter", "rail_loading"})


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(tmp_path / "archive", make=True)


@pytest.fixture
def database(archive: Archive) -> Database:
    return Database.open(archive.folder / "server.sqlite", schemas=(SCHEMA,))


@pytest.fixture
def mirror(archive: Archive, database: Database) -> Mirror:
    return Mirror(database, archive.folder, Served(CARD, SERVED))


def ask(database: Database, sql: str, *values: Any) -> list[Row]:  # noqa: ANN401
    with database.reading() as connection:
        return connection.execute(sql, values).fetchall()


def shown(database: Database) -> list[tuple[Any, ...]]:
    """What is shown: class, score, decision, site."""
    rows = ask(
        database,
        "SELECT class_now, score, decision, site FROM mirror_detections WHERE shown = 1 ORDER BY score DESC",
    )
    return [tuple(row) for row in rows]


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All that the tables say, without the numbers that they count rows by."""
    queries = {
        "detections": "SELECT d.id, d.shown, d.last, d.scene, frame, class_now, score, uncertainty, site, "
        "decision, review, west, south, east, north, name FROM mirror_detections d "
        "JOIN mirror_runs r ON r.number = d.run",
        "boxes": "SELECT id, b.west, b.east, b.south, b.north FROM mirror_boxes b "
        "JOIN mirror_detections d USING (number)",
        "runs": "SELECT name, scene, weights, result_sha256, shown, last FROM mirror_runs",
        "reviews": "SELECT * FROM mirror_reviews",
        "scenes": "SELECT * FROM mirror_scenes",
        "sites": "SELECT * FROM mirror_sites",
    }
    return {
        name: sorted((tuple(row) for row in ask(database, sql)), key=repr) for name, sql in queries.items()
    }


def say(archive: Archive, detection: str, decision: str, **more: Any) -> None:  # noqa: ANN401
    """A review as inference/review.py gives it."""
    rows = archive.store.detections().drop_duplicates("detection")
    give_all(archive.log, settled([Answer(detection, decision, "here", **more)], rows, CLASSES, "A. B."))


# --- what there is


def test_an_empty_archive_has_nothing(mirror: Mirror, database: Database) -> None:
    mirror.fresh()
    assert not any(dump(database).values())


def test_a_run_appears_and_again_changes_nothing(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"), "Camp 15", "2019-03-12")
    mirror.fresh()
    assert shown(database) == []
    record = put(archive, entry, [HEAP, HEAD])
    mirror.fresh()
    assert shown(database) == [
        ("coal_heap", 0.7, "unreviewed", "Camp 15"),
        ("mine_head", 0.4, "unreviewed", "Camp 15"),
    ]
    rows = archive.store.detections()
    ids = {row["id"] for row in ask(database, "SELECT id FROM mirror_detections")}
    assert ids == set(rows["detection"])
    box = ask(database, "SELECT west, south, east, north FROM mirror_detections ORDER BY score DESC")[0]
    assert tuple(box) == rows[rows["class"] == "coal_heap"].geometry.iloc[0].bounds
    assert ask(database, "SELECT result_sha256 FROM mirror_runs")[0][0] == record.result_sha256
    before = dump(database)
    mirror.fresh()
    assert dump(database) == before


def test_a_scene_in_which_nothing_was_found_is_scored(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [])
    mirror.fresh()
    assert [row["rows"] for row in ask(database, "SELECT rows FROM mirror_runs WHERE shown = 1")] == [0]


def test_runs_of_scenes_that_are_not_of_this_archive_are_passed_over(
    mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    other = Archive.open(tmp_path / "other", str(tmp_path / "archive" / "store"), make=True)
    put(other, add(other, write_scene(tmp_path / "b.tif", 7)), [HEAP])
    mirror.fresh()
    assert shown(database) == []


def test_the_last_run_of_the_served_weights_is_shown(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"))
    put(archive, entry, [Found("coal_heap", 0.3)], weights=OTHER, started="2026-05-01T00:00:00.000+00:00")
    mirror.fresh()
    assert [row[1] for row in shown(database)] == [0.3]
    put(archive, entry, [Found("coal_heap", 0.5)], started="2026-02-01T00:00:00.000+00:00")
    mirror.fresh()
    assert [row[1] for row in shown(database)] == [0.5]
    put(
        archive,
        entry,
        [Found("coal_heap", 0.9)],
        started="2026-03-01T00:00:00.000+00:00",
        options={"overlap_px": 64},
    )
    mirror.fresh()
    assert [row[1] for row in shown(database)] == [0.9]
    last = ask(database, "SELECT score FROM mirror_detections WHERE last = 1 ORDER BY score")
    assert [row["score"] for row in last] == [0.3, 0.9]


def test_a_run_that_is_forgotten_goes_and_one_done_again_is_taken_anew(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"))
    record = put(archive, entry, [HEAP])
    mirror.fresh()
    archive.store.forget(record)
    put(archive, entry, [HEAD])
    mirror.fresh()
    assert [row[0] for row in shown(database)] == ["mine_head"]
    archive.store.forget(record)
    mirror.fresh()
    assert dump(database)["detections"] == dump(database)["boxes"] == []


def test_what_compaction_moves_stays(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    for number in range(3):
        put(archive, add(archive, write_scene(tmp_path / f"{number}.tif", number)), [HEAP])
    mirror.fresh()
    before = dump(database)
    archive.store.compact()
    mirror.fresh()
    assert dump(database) == before
    put(archive, add(archive, write_scene(tmp_path / "3.tif", 3)), [HEAD])
    mirror.fresh()
    assert len(shown(database)) == 4


def test_a_damaged_run_keeps_no_other_out(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    bad = put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    put(archive, add(archive, write_scene(tmp_path / "b.tif", 5)), [HEAD])
    (archive.folder / "store" / bad.file).write_bytes(b"PAR1 and no more")
    other = put(archive, add(archive, write_scene(tmp_path / "c.tif", 6)), [HEAP])
    record = archive.folder / "store" / other.name
    record.write_bytes(record.read_bytes().replace(other.scene_sha256.encode(), b"0" * 64))
    mirror.fresh()
    assert [row[0] for row in shown(database)] == ["mine_head"]


def test_a_damaged_run_is_tried_again_after_a_minute_and_not_before(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    path = archive.folder / "store" / bad.file
    whole = path.read_bytes()
    path.write_bytes(b"PAR1 and no more")
    time.sleep(0.6)  # the files of the archive are at rest
    mirror.fresh()
    monkeypatch.setattr(Mirror, "_update", lambda *_, **__: pytest.fail("nothing is new"))
    mirror.fresh()
    monkeypatch.undo()
    path.write_bytes(whole)
    monkeypatch.setattr(runs, "AGAIN_S", 0.0)
    mirror.fresh()
    assert [row[0] for row in shown(database)] == ["coal_heap"]


# --- what people say


def test_what_is_said_elsewhere_counts_here(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP, HEAD])
    mirror.fresh()
    heap, head = (row["id"] for row in ask(database, "SELECT id FROM mirror_detections ORDER BY score DESC"))
    say(archive, heap, "relabel", class_name="mine_head")
    say(archive, head, "reject")
    mirror.fresh()
    assert [row[:3] for row in shown(database)] == [
        ("mine_head", 0.7, "relabel"),
        ("mine_head", 0.4, "reject"),
    ]
    say(archive, heap, "accept")
    mirror.fresh()
    assert shown(database)[0][:3] == ("coal_heap", 0.7, "accept")
    assert len(ask(database, "SELECT * FROM mirror_reviews")) == 3


def test_what_is_redrawn_lies_where_it_was_drawn(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    (row,) = archive.store.detections().to_dict("records")
    west, south, east, north = row["geometry"].bounds
    drawn = shapely.box(west, south, west + 2 * (east - west), north)
    mirror.fresh()
    say(archive, row["detection"], "redraw", geometry=drawn)
    mirror.fresh()
    assert tuple(ask(database, "SELECT west, south, east, north FROM mirror_detections")[0]) == drawn.bounds
    beyond = west + 1.9 * (east - west)
    hits = ask(database, "SELECT 1 FROM mirror_boxes WHERE west <= ? AND east >= ?", beyond, beyond)
    assert len(hits) == 1
    say(archive, row["detection"], "accept")
    mirror.fresh()
    assert (
        tuple(ask(database, "SELECT west, south, east, north FROM mirror_detections")[0])
        == row["geometry"].bounds
    )


def test_what_was_said_before_a_run_was_seen_counts(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"))
    put(archive, entry, [HEAP])
    (detection,) = archive.store.detections()["detection"]
    say(archive, detection, "accept")
    put(archive, entry, [HEAP], options={"overlap_px": 64}, started="2026-07-01T00:00:00.000+00:00")
    mirror.fresh()
    assert shown(database) == [("coal_heap", 0.7, "accept", None)]
    assert {row["decision"] for row in ask(database, "SELECT decision FROM mirror_detections")} == {"accept"}


def test_the_log_is_read_on_and_not_again(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    mirror.fresh()
    head = archive.log.head()
    mark = json.loads(ask(database, "SELECT value FROM mirror_facts WHERE name = 'log'")[0]["value"])
    assert head is not None
    assert mark["hash"] == head.hash
    assert archive.log.path.read_bytes()[mark["start"] :] == head.to_line()


def test_a_torn_line_waits_and_a_whole_one_without_its_end_counts(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    (detection,) = archive.store.detections()["detection"]
    mirror.fresh()
    say(archive, detection, "accept")
    whole = archive.log.path.read_bytes()
    archive.log.path.write_bytes(whole[:-20])
    mirror.fresh()
    assert shown(database)[0][2] == "unreviewed"
    archive.log.path.write_bytes(whole[:-1])
    mirror.fresh()
    assert shown(database)[0][2] == "accept"
    say(archive, detection, "reject")
    mirror.fresh()
    assert shown(database)[0][2] == "reject"


def test_a_broken_log_is_refused(archive: Archive, mirror: Mirror, tmp_path: Path) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    archive.log.append("export.made", {})
    archive.log.path.write_bytes(archive.log.path.read_bytes().replace(b'"rows":1', b'"rows":2'))
    with pytest.raises(EvidenceError, match="line 1"):
        mirror.fresh()


def test_a_log_brought_back_from_a_copy_is_read_anew(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    (row,) = archive.store.detections().to_dict("records")
    copy = archive.log.path.read_bytes()
    west, south, east, north = row["geometry"].bounds
    say(archive, row["detection"], "redraw", geometry=shapely.box(west, south, east, north + 1e-4))
    mirror.fresh()
    archive.log.path.write_bytes(copy)
    mirror.fresh()
    assert shown(database)[0][2] == "unreviewed"
    assert (
        tuple(ask(database, "SELECT west, south, east, north FROM mirror_detections")[0])
        == row["geometry"].bounds
    )
    assert ask(database, "SELECT * FROM mirror_reviews") == []


# --- scenes and sites


def test_scenes_and_sites_are_those_of_the_catalogue(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"), "Camp 15", "2019-03-12")
    flat = add(archive, write_flat(tmp_path / "b.png"))
    mirror.fresh()
    rows = {row["id"]: dict(row) for row in ask(database, "SELECT * FROM mirror_scenes")}
    assert entry.footprint is not None
    placed = rows[entry.id]
    assert [placed[name] for name in ("west", "south", "east", "north")] == list(entry.footprint.bounds)
    assert (placed["acquired"], placed["frame"]) == ("2019-03-12T00:00:00+00:00", "lonlat")
    # 400 × 300 px of 0.5 m at 0, 0 of Web Mercator: 200 m are 200 / 6378137 radians there.
    degree = 180 / 3.141592653589793 / 6_378_137
    bounds = [rows[flat.id][name] for name in ("west", "south", "east", "north")]
    assert bounds == pytest.approx([0, -150 * degree, 200 * degree, 0], abs=1e-8)
    assert [tuple(row) for row in ask(database, "SELECT slug, name FROM mirror_sites")] == [
        ("camp-15", "Camp 15")
    ]
    archive.catalog.add([entry.href], "Camp 16", Facts(acquired=datetime(2020, 1, 2, tzinfo=UTC)))
    mirror.fresh()
    row = ask(database, "SELECT acquired, sites FROM mirror_scenes WHERE id = ?", entry.id)[0]
    assert (row["acquired"][:10], json.loads(row["sites"])) == ("2020-01-02", ["Camp 15", "Camp 16"])


def test_detections_are_at_the_sites_where_they_lie_now(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"), "Camp 15")
    put(
        archive,
        entry,
        [Found("coal_heap", 0.9, (10, 10, 60, 60)), Found("coal_heap", 0.8, (350, 10, 390, 60))],
    )
    mirror.fresh()
    assert [row[3] for row in shown(database)] == ["Camp 15", "Camp 15"]
    assert entry.footprint is not None
    west, south, east, north = entry.footprint.bounds
    half = shapely.box(west, south, (west + east) / 2, north)
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": shapely.geometry.mapping(shape)}
        for name, shape in (("West", half), ("East", shapely.box((west + east) / 2, south, east, north)))
    ]
    (tmp_path / "sites.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    archive.catalog.set_sites(tmp_path / "sites.json")
    mirror.fresh()
    assert [row[3] for row in shown(database)] == ["West", "East"]


def test_what_has_pixels_only_is_at_the_site_that_its_scene_was_taken_in_for(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_flat(tmp_path / "b.png"), "Camp 22"), [HEAP])
    mirror.fresh()
    assert shown(database) == [("coal_heap", 0.7, "unreviewed", "Camp 22")]
    box = ask(database, "SELECT west, south, east, north FROM mirror_detections")[0]
    corners = from_screen([[box["west"], box["north"]], [box["east"], box["south"]]], (0.5, 0.5))
    assert corners.ravel().tolist() == pytest.approx([100, 100, 160, 130], abs=0.01)


def test_a_scene_that_the_catalogue_has_no_more_goes(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [HEAP])
    mirror.fresh()
    (archive.folder / "catalog.json").write_text(
        (archive.folder / "catalog.json").read_text().replace('"rel": "child"', '"rel": "none"')
    )
    (archive.folder / "index.parquet").unlink(missing_ok=True)
    mirror.fresh()
    assert not any(dump(database)[name] for name in ("scenes", "runs", "detections", "boxes"))


def test_short_names_of_sites_differ() -> None:
    found = slugs_of(["Camp 15", "Camp-15", "Лагерь 15", "15호 관리소"])
    assert len(set(found.values())) == 4
    assert found["Лагерь 15"] == "лагерь-15"
    assert found["15호 관리소"] == "15호-관리소"
    assert all(text.startswith("camp-15-") for text in (found["Camp 15"], found["Camp-15"]))


# --- kills, threads, another start


def test_whatever_a_kill_interrupts_is_made_up_for(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each of its transactions in turn, and begun anew, it comes to what it is undisturbed."""
    for number in range(2):
        put(archive, add(archive, write_scene(tmp_path / f"{number}.tif", number), "Camp 15"), [HEAP, HEAD])
    for detection in archive.store.detections()["detection"][:2]:
        say(archive, detection, "relabel", class_name="rail_loading")
    whole = Database.open(tmp_path / "whole.sqlite", schemas=(SCHEMA,))
    Mirror(whole, archive.folder, Served(CARD, SERVED)).fresh()
    ends = 0
    plain = Database.writing
    for stop in range(1, 40):
        part = Database.open(tmp_path / f"{stop}.sqlite", schemas=(SCHEMA,))
        left = [stop]

        def counted(self: Database, left: list[int] = left) -> Any:  # noqa: ANN401
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return plain(self)

        monkeypatch.setattr(Database, "writing", counted)
        try:
            Mirror(part, archive.folder, Served(CARD, SERVED)).fresh()
            ends = stop
        except KeyboardInterrupt:
            pass
        monkeypatch.undo()
        Mirror(part, archive.folder, Served(CARD, SERVED)).fresh()
        assert dump(part) == dump(whole)
        if ends:
            break
    assert ends > 5


def test_only_one_holds_it_to_the_archive(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pithead.server.mirror.mirror.WAIT_S", 0.01)
    mirror._alone.acquire()
    with pytest.raises(Problem) as caught:
        mirror.fresh()
    assert caught.value.status_code == 503
    assert caught.value.headers == {"Retry-After": "5"}


# --- doubt


def test_doubt_falls_from_the_threshold() -> None:
    known = Doubt({"coal_heap": 0.2})
    values, by = known.of("coal_heap", [0.2, 0.6, 1.0, 0.0])
    assert by == "threshold"
    assert values.tolist() == [1.0, 0.5, 0.0, 0.75]
    assert known.of("unheard_of", [0.5])[0].tolist() == [1.0]


def test_doubt_is_that_of_the_probability_where_there_is_one() -> None:
    curve = {"coal_heap": {"rise": 1.0, "fall": 1.0, "offset": 0.0}}
    known = Doubt.of_card(replace(CARD, calibration=curve))
    values, by = known.of("coal_heap", [0.5, 0.9, 0.1])
    assert by == "probability"
    assert values.tolist() == pytest.approx([1.0, 0.36, 0.36], abs=1e-6)
    assert known.of("mine_head", [0.25])[1] == "threshold"


def test_weights_that_are_calibrated_later_are_doubted_anew(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif")), [Found("coal_heap", 0.25)])
    mirror.fresh()
    told = "SELECT uncertainty, uncertainty_by FROM mirror_detections JOIN mirror_shapes USING (number)"
    assert tuple(ask(database, told)[0]) == (1.0, "threshold")
    curve = {"coal_heap": {"rise": 1.0, "fall": 1.0, "offset": 0.0}}
    Mirror(database, archive.folder, Served(replace(CARD, calibration=curve), SERVED)).fresh()
    assert tuple(ask(database, told)[0]) == (0.75, "probability")


def test_thresholds_of_other_weights_come_from_the_log(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    entry = add(archive, write_scene(tmp_path / "a.tif"))
    put(archive, entry, [Found("coal_heap", 0.4)], weights=OTHER)
    mirror.fresh()
    assert ask(database, "SELECT uncertainty FROM mirror_detections")[0][0] == pytest.approx(0.8)
    archive.log.append(
        "weights.registered", {"weights_sha256": OTHER, "name": "other", "classes": {"coal_heap": 0.4}}
    )
    mirror.fresh()
    assert ask(database, "SELECT uncertainty FROM mirror_detections")[0][0] == 1.0


# --- the screen


@given(st.floats(0, 100_000), st.floats(0, 100_000), st.floats(0.1, 2))
def test_pixels_come_back_from_the_screen(x: float, y: float, gsd: float) -> None:
    assert from_screen(to_screen([x, y], (gsd, gsd)), (gsd, gsd)) == pytest.approx([x, y], abs=1e-4)


def test_the_world_begins_in_the_north_west() -> None:
    assert to_world([0, 0]) == pytest.approx([0.5, 0.5])
    assert to_world([-180, 85.05112877980659]) == pytest.approx([0, 0], abs=1e-12)
    assert to_world([90, -85.05112877980659]) == pytest.approx([0.75, 1])


def test_what_the_mirror_says_of_reviews_is_what_the_log_says(
    archive: Archive, mirror: Mirror, database: Database, tmp_path: Path
) -> None:
    put(archive, add(archive, write_scene(tmp_path / "a.tif", 9, east=EAST + 900, north=NORTH)), [HEAP, HEAD])
    for detection, decision in zip(
        archive.store.detections()["detection"], ("accept", "reject"), strict=True
    ):
        say(archive, detection, decision)
    mirror.fresh()
    rows = ask(database, "SELECT detection, decision, reviewer, time FROM mirror_reviews ORDER BY seq")
    told = [(r.detection, r.decision, r.reviewer, r.given) for r in reviews(archive.log).values()]
    assert [tuple(row) for row in rows] == told
