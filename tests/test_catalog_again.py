"""A known scene is taken in again: moved, amended, restored, named for a site; and the log says so."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from PIL import Image
from test_catalog import TAKEN, from_items, square, write_scene, write_sites

from pithead.catalog import Catalog, Entry, Offer, Site, Taken, facts_of, facts_sha256, site_named
from pithead.errors import CatalogError, SceneError
from pithead.evidence import sha256_json
from pithead.rescore import Archive
from pithead.rescore.intake import (
    News,
    note_changes,
    scenes_in,
    strange_entries,
    take_scenes,
    take_stac,
    use_sites,
)
from pithead.rescore.plan import Plan
from pithead.sidefiles import Facts

Event = tuple[str, dict[str, Any]]
LATER = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(tmp_path / "archive", make=True)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scenes" / "a.tif")


def add(archive: Archive, *paths: Path, site: str | None = None, **facts: Any) -> News:  # noqa: ANN401
    return take_scenes(archive, [str(path) for path in paths], site, Facts(**facts))


def only(archive: Archive) -> Entry:
    (entry,) = archive.catalog.scenes()
    assert from_items(archive.catalog) == (entry,)
    return entry


def logged(archive: Archive, since: int = 0) -> list[Event]:
    return [(record.kind, dict(record.facts or {})) for record in archive.log.records()][since:]


def strange(archive: Archive) -> list[str]:
    return list(strange_entries([*archive.catalog.scenes(), *archive.catalog.items()], archive.log.records()))


# --- amended


def test_what_is_said_of_a_known_scene_is_told_and_logged(archive: Archive, scene: Path) -> None:
    assert add(archive, scene, acquired=TAKEN, sensor="WV02") == News(1, 0, ())
    before = only(archive)
    news = add(archive, scene, acquired=LATER, sensor="WV02", off_nadir_deg=12)
    assert (news.new, news.known, news.amended, news.moved, news.remarks) == (0, 1, 1, 0, ())
    after = only(archive)
    assert after == replace(before, acquired=LATER, off_nadir_deg=12)
    assert logged(archive, 1) == [
        (
            "scene.amended",
            {
                "scene": after.id,
                "scene_sha256": after.sha256,
                "amended": {
                    "acquired": ["2019-03-12T02:11:08.484783+00:00", "2020-01-01T00:00:00+00:00"],
                    "off_nadir_deg": [None, 12.0],
                },
                "facts_sha256": facts_sha256(after),
                "facts_sha256_before": facts_sha256(before),
            },
        )
    ]
    # The same again says nothing new, and its ground resolution is not to be amended.
    assert add(archive, scene, acquired=LATER, off_nadir_deg=12, gsd_m=3.0).amended == 0
    assert len(logged(archive)) == 2
    assert strange(archive) == []


def test_a_site_more_is_told_and_logged_apart(archive: Archive, scene: Path) -> None:
    add(archive, scene, site="Camp 15")
    news = add(archive, scene, site="Camp 14")
    assert (news.new, news.known, news.amended) == (0, 1, 1)
    entry = only(archive)
    assert [kind for kind, _ in logged(archive)] == ["scene.added", "scene.sited", "scene.sited"]
    assert logged(archive)[-1][1] == {"scene": entry.id, "sites": ["Camp 14", "Camp 15"]}
    assert add(archive, scene, site="Camp 14").amended == 0


def test_the_log_has_it_before_the_catalogue_and_a_kill_between_is_mended(
    archive: Archive, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(archive, scene, acquired=TAKEN)

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("pithead.catalog.ledger.Ledger.commit", kill)
        with pytest.raises(Killed):
            add(archive, scene, acquired=LATER)
    assert only(archive).acquired == TAKEN
    assert [told.split(":")[0] for told in strange(archive)] == [only(archive).id]
    add(archive, scene, acquired=LATER)
    assert only(archive).acquired == LATER
    assert strange(archive) == []


def test_each_of_several_offers_tells_what_it_changed(archive: Archive, scene: Path) -> None:
    noted: list[Taken] = []
    offers = [Offer(str(scene), Facts(sensor=name)) for name in ("WV01", "WV02", "WV02")]
    taken = archive.catalog.take(offers, noted=noted.extend)
    assert list(taken) == noted
    assert [one.news for one in taken] == ["new", "known", "known"]
    assert [one.amended for one in taken] == [{}, {"sensor": ("WV01", "WV02")}, {}]


# --- edited by hand


def test_facts_have_one_hash_by_item_and_index(archive: Archive, tmp_path: Path, scene: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (40, 30)).save(plain)
    add(archive, scene, acquired=TAKEN, incidence_deg=13, cloud_percent=0)  # whole numbers
    add(archive, plain, gsd_m=1)
    indexed = {entry.id: facts_sha256(entry) for entry in archive.catalog.scenes()}
    assert {entry.id: facts_sha256(entry) for entry in archive.catalog.items()} == indexed
    told = {facts["scene"]: facts["facts_sha256"] for kind, facts in logged(archive) if kind == "scene.added"}
    assert told == indexed
    entry = next(one for one in archive.catalog.scenes() if one.id.startswith("a-"))
    facts = facts_of(entry)
    assert indexed[entry.id] == sha256_json(facts)
    assert (facts["incidence_deg"], facts["width"], facts["sensor"]) == (13.0, 400, None)
    # Where the file lies and how it is dated is not part of it; anything else is.
    elsewhere = replace(entry, href="/x", mtime_ns=1, copies=("/y",), changed=True, named_sites=("Z",))
    assert facts_sha256(elsewhere) == indexed[entry.id]
    for other in (
        {"km2": 1.0},
        {"gsd_m": (0.5, 0.5)},
        {"source": "b.IMD"},
        {"footprint": shapely.box(0, 0, 1, 1)},
    ):
        assert facts_sha256(replace(entry, **other)) != indexed[entry.id]


def edit_item(archive: Archive, change: Callable[[dict[str, Any]], None]) -> None:
    entry = archive.catalog.scenes()[0]
    (path,) = archive.folder.rglob(f"{entry.id}.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_an_item_that_was_edited_by_hand_is_found(archive: Archive, scene: Path) -> None:
    add(archive, scene, acquired=TAKEN)
    entry = only(archive)

    def date_back(document: dict[str, Any]) -> None:
        document["properties"]["datetime"] = "2019-01-01T00:00:00Z"

    edit_item(archive, date_back)
    assert archive.catalog.scenes() == (entry,)  # by the index
    (told,) = strange(archive)
    assert told.startswith(f"{entry.id}: expected what the log last told of it ({facts_sha256(entry)[:12]})")
    # An amendment of something else does not launder it.
    (archive.folder / "index.parquet").unlink()
    add(archive, scene, sensor="WV02")
    (told,) = strange(archive)
    assert told == f"{entry.id}: what the catalogue said of it was edited before it was amended with --add"


def test_logs_that_tell_nothing_of_facts_are_passed_over(archive: Archive, scene: Path) -> None:
    archive.catalog.add([scene])
    entry = only(archive)
    archive.log.append("scene.added", {"scene": entry.id, "scene_sha256": entry.sha256})
    assert strange(archive) == []
    add(archive, scene, sensor="WV02")
    assert strange(archive) == []
    extract = [record.without_facts() for record in archive.log.records()]
    assert list(strange_entries([replace(entry, sensor="X")], extract)) == []


# --- moved, and restored


def test_a_scene_that_moved_takes_its_new_place(archive: Archive, scene: Path, tmp_path: Path) -> None:
    add(archive, scene, acquired=TAKEN)
    before = only(archive)
    new = tmp_path / "new" / "renamed.tif"
    new.parent.mkdir()
    scene.rename(new)
    news = add(archive, new.parent)
    assert (news.new, news.known, news.moved, news.amended) == (0, 1, 1, 0)
    entry = only(archive)
    assert entry == replace(before, href=str(new))
    assert archive.catalog.state(entry) == "same"
    assert logged(archive, 1) == [("scene.moved", {"scene": entry.id, "scene_sha256": entry.sha256})]
    assert add(archive, new).moved == 0
    # At its old place another scene may come, and is none of its business.
    other = write_scene(scene, 7)
    assert add(archive, other).new == 1
    assert not any(one.changed for one in archive.catalog.scenes())


def test_a_copy_that_was_known_becomes_the_place(archive: Archive, scene: Path) -> None:
    copy, third = scene.with_name("b.tif"), scene.with_name("c.tif")
    for path in (copy, third):
        shutil.copy(scene, path)
    add(archive, scene, copy, third)
    assert add(archive, copy).moved == 0
    scene.unlink()
    assert add(archive, copy, third).moved == 1
    entry = only(archive)
    assert (entry.href, entry.copies) == (str(copy), (str(third),))


def test_a_whole_disk_under_another_name(archive: Archive, tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / "disk" / "x" / f"{k}.tif", k) for k in range(5)]
    add(archive, *paths)
    (tmp_path / "disk").rename(tmp_path / "mount")
    assert add(archive, tmp_path / "mount").moved == 5
    places = {entry.href for entry in archive.catalog.scenes()}
    assert places == {str(path).replace("/disk/", "/mount/") for path in paths}


def test_two_files_that_changed_their_names(archive: Archive, scene: Path) -> None:
    other = write_scene(scene.with_name("b.tif"), 7)
    add(archive, scene, other)
    ids = {entry.href: entry.id for entry in archive.catalog.scenes()}
    scene.rename(scene.with_name("c.tif"))
    other.rename(scene)
    scene.with_name("c.tif").rename(other)
    assert add(archive, scene, other).moved == 2
    now = archive.catalog.scenes()
    assert {entry.href: entry.id for entry in now} == {
        str(scene): ids[str(other)],
        str(other): ids[str(scene)],
    }
    assert not any(entry.changed for entry in now)


def test_a_scene_whose_place_holds_other_bytes_moves(archive: Archive, scene: Path) -> None:
    kept = scene.with_name("kept.tif")
    shutil.copy(scene, kept)
    add(archive, scene)
    old = only(archive)
    write_scene(scene, 9)
    add(archive, scene)
    assert {entry.id: entry.changed for entry in archive.catalog.scenes()}[old.id]
    assert add(archive, kept).moved == 1
    entries = {entry.id: entry for entry in archive.catalog.scenes()}
    assert entries[old.id] == replace(old, href=str(kept), mtime_ns=kept.stat().st_mtime_ns)
    kinds = [kind for kind, _ in logged(archive)]
    assert kinds == ["scene.added", "scene.changed", "scene.added", "scene.moved"]


def test_a_place_that_cannot_be_asked_is_not_given_up(
    archive: Archive, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = scene.with_name("b.tif")
    shutil.copy(scene, copy)
    add(archive, scene)
    stat = Path.stat

    def broken(path: Path, **more: Any) -> os.stat_result:  # noqa: ANN401
        if path == scene:
            raise OSError(5, "Input/output error")
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", broken)
    assert add(archive, copy).moved == 0
    monkeypatch.undo()
    assert (only(archive).href, only(archive).copies) == (str(scene), (str(copy),))


def changed_and_back(archive: Archive, scene: Path) -> Entry:
    content = scene.read_bytes()
    add(archive, scene)
    write_scene(scene, 9)
    note_changes(archive, Plan((), 0, changed=archive.catalog.scenes()))
    assert only(archive).changed
    scene.write_bytes(content)
    return only(archive)


def test_bytes_that_come_back_restore_a_scene(archive: Archive, scene: Path) -> None:
    entry = changed_and_back(archive, scene)
    news = add(archive, scene)
    assert (news.known, news.amended, news.moved) == (1, 0, 0)
    assert news.remarks == (f"scene {entry.id} is at its place again as it was",)
    assert not only(archive).changed
    assert [kind for kind, _ in logged(archive)] == ["scene.added", "scene.changed", "scene.restored"]


def test_a_copy_of_a_scene_that_came_back_does_not_move_it(archive: Archive, scene: Path) -> None:
    changed_and_back(archive, scene)
    copy = scene.with_name("b.tif")
    shutil.copy(scene, copy)
    assert add(archive, copy).moved == 0
    assert (only(archive).href, only(archive).changed) == (str(scene), False)


def test_a_changed_file_is_logged_though_a_kill_comes_between(
    archive: Archive, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(archive, scene)
    todo = Plan((), 0, changed=archive.catalog.scenes())

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("pithead.catalog.ledger.Ledger.commit", kill)
        with pytest.raises(Killed):
            note_changes(archive, todo)
    assert logged(archive)[-1] == ("scene.changed", {"scene": only(archive).id})
    note_changes(archive, todo)
    assert only(archive).changed


def test_what_a_plan_saw_of_files_keeps_what_was_said_meanwhile(archive: Archive, scene: Path) -> None:
    add(archive, scene)
    seen = only(archive)
    add(archive, scene, sensor="WV02")
    note_changes(archive, Plan((), 0, touched=(replace(seen, mtime_ns=5),)))
    assert (only(archive).mtime_ns, only(archive).sensor) == (5, "WV02")
    new = scene.with_name("new.tif")
    scene.rename(new)
    add(archive, new)
    note_changes(archive, Plan((), 0, changed=(seen,)))
    assert (only(archive).href, only(archive).changed) == (str(new), False)
    assert logged(archive)[-1][0] == "scene.moved"


# --- names of sites

SITES = (Site("Camp 15", ("Yodok", "요덕")), Site("camp 15b"), Site("CAMP 15B"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Camp 15", "Camp 15"),
        ("Camp\u300015", "Camp 15"),  # an ideographic space
        ("  camp   15 ", "Camp 15"),
        ("\uff23\uff41\uff4d\uff50\u3000\uff11\uff15", "Camp 15"),
        ("YODOK", "Camp 15"),
        ("\u110b\u116d\u1103\u1165\u11a8", "Camp 15"),  # in NFD, as files of a Mac have it
        ("CAMP 15B", "CAMP 15B"),
        ("Camp 15B", "camp 15b"),
        ("Camp15", None),
        ("", None),
    ],
)
def test_sites_by_their_names(text: str, name: str | None) -> None:
    found = site_named(SITES, text)
    assert (None if found is None else found.name) == name


def test_a_site_is_one_however_it_is_typed(archive: Archive, scene: Path, tmp_path: Path) -> None:
    other = write_scene(scene.with_name("b.tif"), 7)
    add(archive, scene, site=" Cafe\u0301  15 ")
    add(archive, other, site="CAF\u00c9\u300015")
    assert {entry.named_sites for entry in archive.catalog.scenes()} == {("Caf\u00e9 15",)}
    assert [site.name for site in archive.catalog.sites()] == ["Caf\u00e9 15"]
    # A file of sites that comes later has the word.
    use_sites(archive, write_sites(tmp_path / "s.json", ("Camp 15", ["café 15"], None)))
    assert add(archive, scene, other, site="camp 15").amended == 0
    assert {entry.sites for entry in archive.catalog.scenes()} == {("Camp 15",)}
    with pytest.raises(CatalogError, match="expected a site with a name"):
        add(archive, scene, site=" \u3000")


def test_an_alias_may_stand_without_a_list(archive: Archive, tmp_path: Path) -> None:
    path = write_sites(tmp_path / "s.json", ("Camp 15", [], None))
    path.write_text(path.read_text().replace('"aliases": []', '"aliases": " Yodok "'))
    use_sites(archive, path)
    assert archive.catalog.sites() == (Site("Camp 15", ("Yodok",)),)


def test_a_scene_that_does_not_show_its_site_is_remarked(
    archive: Archive, scene: Path, tmp_path: Path
) -> None:
    near, far = square(128.999, 39.745), square(10, 10)
    use_sites(
        archive, write_sites(tmp_path / "s.json", ("Near", [], near), ("Far", [], far), ("Name", [], None))
    )
    plain = tmp_path / "plain.png"
    Image.new("RGB", (40, 30)).save(plain)
    assert add(archive, plain, site="Far", gsd_m=0.5).remarks == ()  # nobody knows where that is
    for site in ("Near", "Name", "New"):
        assert add(archive, scene, site=site).remarks == ()
    told = [one.id for one in archive.catalog.scenes() if one.id.startswith("a-")]
    expected = f"scene {told[0]} was taken in for Far, whose polygon it does not meet"
    assert add(archive, scene, site="far").remarks == (expected,)
    assert add(archive, scene, site="far").remarks == (expected,)


# --- what is taken in


def test_of_a_folder_what_is_no_scene_is_passed_over(archive: Archive, tmp_path: Path) -> None:
    scenes = ["a.tif", "x/IMG_b_R1C1.tif", "x/19MAR12-P3DS_R1C1.tif", "x/20190312_ssc1_0012_visual.tif"]
    others = ["._a.tif", "x/PREVIEW_b.jpg", "x/ICON_b.JPG", "x/19MAR12-BROWSE.JPG", "x/20190312_3B_udm2.tif"]
    others += ["x/20190312_3B_udm2_clip.tif", "x/20190312_3B_AnalyticMS_DN_udm.tif"]
    folder = tmp_path / "delivery"
    for name in (*scenes, *others):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    assert {str(Path(one).relative_to(folder)) for one in scenes_in(str(folder))} == set(scenes)
    mask = str(folder / others[-1])
    assert scenes_in(mask) == [mask]  # asked for by name
    for name in scenes:
        (folder / name).unlink()
    with pytest.raises(SceneError, match="previews and masks alone"):
        take_scenes(archive, [str(folder)], None, Facts())


def test_what_is_said_of_the_scenes_of_another_catalogue(archive: Archive, scene: Path) -> None:
    item: dict[str, Any] = {"type": "Feature", "stac_version": "1.0.0", "id": "one", "geometry": None}
    properties = {"datetime": "2021-03-04T05:06:07Z", "platform": "WV03"}
    assets = {name: {"href": str(scene), "type": "image/tiff"} for name in ("pan", "ms")}
    path = scene.with_name("item.json")
    path.write_text(json.dumps({**item, "properties": properties, "links": [], "assets": assets}))
    (failed,) = take_stac(archive, path, None).failed
    assert failed[0] == "one"
    assert failed[1].startswith("expected one asset that is the scene, got pan, ms")
    assert take_stac(archive, path, "Camp 15", Facts(sensor="WV02"), asset="ms").new == 1
    assert (only(archive).sensor, only(archive).sites) == ("WV02", ("Camp 15",))


# --- what goes wrong


def test_a_reason_does_not_tell_the_path_twice(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("no image at all")
    monkeypatch.chdir(tmp_path)
    names = ["notes.txt", str(tmp_path / "notes.txt"), "./gone.tif", "https://host/a.tif?sig=SECRET"]
    news = take_scenes(archive, names, None, Facts())
    assert [path for path, _ in news.failed] == [*names[:3], "https://host/a.tif"]
    assert all(reason.startswith("expected ") for _, reason in news.failed), news.failed


def test_an_archive_is_no_file(scene: Path) -> None:
    for place in (scene, scene / "below"):
        for opened in (Catalog.open, Catalog.make, Archive.open, lambda p: Archive.open(p, make=True)):
            with pytest.raises(CatalogError, match="expected the folder of an archive, got a file") as caught:
                opened(place)
            assert "Errno" not in str(caught.value)


def test_a_file_of_sites_that_is_not_there(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.geojson: expected a GeoJSON file of sites, got: No such"):
        use_sites(archive, tmp_path / "none.geojson")
    with pytest.raises(CatalogError, match="got: Is a directory; check its name"):
        use_sites(archive, tmp_path)
