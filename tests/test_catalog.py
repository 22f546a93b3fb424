"""The catalogue: scenes are taken in once and whole, listed fast, and held against their files."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.crs import CRS

from pithead.catalog import Catalog, Entry, Offer, Site, books, renewed
from pithead.catalog.books import Books
from pithead.catalog.intake import id_of
from pithead.catalog.item import entry_of, item_of
from pithead.catalog.ledger import Looked, read_entries
from pithead.catalog.lock import locked
from pithead.errors import CatalogError, GroundResolutionError, PitheadError, SceneError
from pithead.footprint import bbox_of, footprint_of
from pithead.imagery import open_scene
from pithead.sidefiles import Facts

SCHEMAS = Path(__file__).parent / "stac"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
TAKEN = datetime(2019, 3, 12, 2, 11, 8, 484783, tzinfo=UTC)
FACTS = Facts(
    acquired=TAKEN, sensor="WV02", off_nadir_deg=26.9, sun_azimuth_deg=156.6, sun_elevation_deg=39.1
)
IMD = """BEGIN_GROUP = IMAGE_1
\tsatId = "GE01";
\tfirstLineTime = 2017-05-06T02:03:04Z;
\tmeanOffNadirViewAngle = 12.5;
\tcloudCover = 0.25;
END_GROUP = IMAGE_1
END;
"""


def write_scene(path: Path, value: int = 128, *, east: float = 500_000, north: float = 4_400_000) -> Path:
    """A scene of 200 x 150 m in UTM zone 52 N."""
    profile = {"driver": "GTiff", "width": 400, "height": 300, "count": 3, "dtype": "uint8"}
    place = {"crs": CRS.from_epsg(32652), "transform": Affine(0.5, 0, east, 0, -0.5, north)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile, **place) as out:
        out.write(np.full((3, 300, 400), value, np.uint8))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def square(west: float, south: float, side: float = 0.01) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        shapely.to_geojson(shapely.box(west, south, west + side, south + side))
    )
    return document


def write_sites(path: Path, *sites: tuple[str, list[str], dict[str, Any] | None]) -> Path:
    features = [
        {"type": "Feature", "properties": {"name": name, "aliases": aliases}, "geometry": geometry}
        for name, aliases, geometry in sites
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.make(tmp_path / "archive")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scenes" / "a.tif")


# --- taking in


def test_a_scene_is_taken_in(catalog: Catalog, scene: Path) -> None:
    before = datetime.now(UTC)
    (entry,) = catalog.add([scene], facts=FACTS)
    assert entry.id == f"a-{sha256(scene)[:12]}"
    assert (entry.href, entry.sha256, entry.identity) == (str(scene), sha256(scene), "bytes")
    assert (entry.bytes, entry.mtime_ns) == (scene.stat().st_size, scene.stat().st_mtime_ns)
    assert (entry.width, entry.height, entry.crs) == (400, 300, "EPSG:32652")
    # The scale of UTM on its central meridian is 0.9996.
    assert entry.gsd_m == pytest.approx((0.5 / 0.9996, 0.5 / 0.9996), rel=1e-6)
    assert entry.km2 == pytest.approx(0.2 * 0.15 / 0.9996**2, rel=1e-5)
    with open_scene(scene) as opened:
        assert entry.gsd_m == opened.gsd_m
        assert entry.transform == tuple(opened.transform or ())[:6]
    there = gpd.GeoSeries([shapely.box(500_000, 4_399_850, 500_200, 4_400_000)], crs=32652).to_crs(4326)[0]
    assert entry.footprint is not None
    assert shapely.hausdorff_distance(entry.footprint, there) < 1e-6
    assert entry.footprint.exterior.is_ccw  # type: ignore[union-attr]
    assert (entry.acquired, entry.sensor, entry.off_nadir_deg) == (TAKEN, "WV02", 26.9)
    assert before <= entry.added <= datetime.now(UTC)
    assert catalog.scenes() == (entry,)
    assert Catalog.open(catalog.folder).scenes() == (entry,)
    assert (catalog.folder / "2019" / entry.id / f"{entry.id}.json").is_file()


def test_side_files_speak_and_the_user_speaks_first(catalog: Catalog, scene: Path) -> None:
    scene.with_suffix(".IMD").write_text(IMD)
    (entry,) = catalog.add([scene], facts=Facts(sensor="mine"))
    assert (entry.sensor, entry.source) == ("mine", "a.IMD")
    assert entry.acquired == datetime(2017, 5, 6, 2, 3, 4, tzinfo=UTC)
    assert (entry.off_nadir_deg, entry.cloud_percent) == (12.5, 25)


def test_the_files_own_metadata_speak_last(catalog: Catalog, scene: Path) -> None:
    with rasterio.open(scene, "r+") as file:
        file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2018-07-01 03:04:05", SATELLITEID="QB02")
    (entry,) = catalog.add([scene])
    assert (entry.acquired, entry.sensor) == (datetime(2018, 7, 1, 3, 4, 5, tzinfo=UTC), "QB02")


def test_a_scene_whose_date_nobody_knows(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    assert entry.acquired is None
    path = catalog.folder / "undated" / entry.id / f"{entry.id}.json"
    item = pystac.Item.from_dict(json.loads(path.read_text()))
    assert item.datetime is None
    assert item.common_metadata.start_datetime == datetime(1960, 8, 18, tzinfo=UTC)
    assert item.common_metadata.end_datetime == entry.added
    # Later somebody knows: the Item moves, and is one all the time.
    (dated,) = catalog.add([scene], facts=Facts(acquired=TAKEN))
    assert dated == replace(entry, acquired=TAKEN)
    assert catalog.scenes() == (dated,)
    assert not path.parent.exists()
    assert from_items(catalog) == (dated,)


def test_a_scene_without_georeference(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (400, 300), (128, 128, 128)).save(path)
    with pytest.raises(GroundResolutionError, match="--gsd"):
        catalog.add([path])
    (entry,) = catalog.add([path], facts=Facts(gsd_m=0.5))
    assert (entry.crs, entry.transform, entry.footprint, entry.sites) == (None, None, None, ())
    assert entry.gsd_m == (0.5, 0.5)
    assert entry.km2 == pytest.approx(0.03)
    assert catalog.scenes() == (entry,)
    assert from_items(catalog) == (entry,)


def test_the_ground_resolution_of_a_scene_stays_what_it_was(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (400, 300)).save(path)
    catalog.add([path], facts=Facts(gsd_m=0.5))
    (again,) = catalog.add([path], facts=Facts(gsd_m=0.6, sensor="WV01"))
    assert (again.gsd_m, again.sensor) == ((0.5, 0.5), "WV01")


def test_one_added_twice_is_one(catalog: Catalog, scene: Path) -> None:
    (first,) = catalog.take([Offer(str(scene))], "Camp 15")
    before = tree(catalog.folder)
    (second,) = catalog.take([Offer(str(scene))], "Camp 15")
    assert (first.news, second.news) == ("new", "known")
    assert first.entry == second.entry
    assert tree(catalog.folder) == before


def test_the_same_path_written_in_two_ways_is_one(
    catalog: Catalog, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene.parent)
    (one, two) = catalog.take([Offer("a.tif"), Offer(f"../scenes/{scene.name}")])
    assert (one.news, two.news) == ("new", "known")
    assert one.entry.href == str(scene)


def test_the_same_bytes_at_another_place_are_told_and_not_doubled(catalog: Catalog, scene: Path) -> None:
    copy = scene.with_name("b.tif")
    shutil.copy(scene, copy)
    (first,) = catalog.add([scene])
    (taken,) = catalog.take([Offer(str(copy))])
    assert taken.news == "copy"
    assert taken.entry == replace(first, copies=(str(copy),))
    assert catalog.scenes() == (taken.entry,)
    assert catalog.take([Offer(str(copy))])[0].entry == taken.entry


def test_both_in_one_call_are_one(catalog: Catalog, scene: Path) -> None:
    copy = scene.with_name("b.tif")
    shutil.copy(scene, copy)
    taken = catalog.take([Offer(str(scene)), Offer(str(copy))])
    assert [one.news for one in taken] == ["new", "copy"]
    assert len({one.entry.id for one in taken}) == 1
    assert len(catalog.scenes()) == 1


def test_two_scenes_of_one_name(catalog: Catalog, tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / day / "a.tif", value) for day, value in (("monday", 1), ("friday", 2))]
    entries = catalog.add(paths)
    assert [entry.id for entry in entries] == [f"a-{sha256(path)[:12]}" for path in paths]
    assert len(catalog.scenes()) == 2


def test_two_hashes_that_begin_alike(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    other = sha256(scene)[:12] + "0" * 52
    with locked(catalog.folder):
        book = catalog._ledger(None)
        taken = book.merge(Offer("x"), Looked(replace(entry, sha256=other, href="/elsewhere/a.tif")), None)
        book.commit()
    assert taken.entry.id == f"a-{other}"
    assert {one.id for one in catalog.scenes()} == {entry.id, f"a-{other}"}


@pytest.mark.parametrize(
    ("href", "stem"),
    [
        ("/a/шахта 15 (old).tif", "шахта_15__old_"),
        ("https://host/x/my%20scene.tif?v=2", "my_scene"),
        ("/a/" + "я" * 300 + ".tif", "я" * 60),
        ("/a/..tif", "scene"),
        ("s3://bucket/19MAR12-S3DS_R1C1.TIF", "19MAR12-S3DS_R1C1"),
    ],
)
def test_ids_are_names_that_every_disk_bears(href: str, stem: str) -> None:
    assert id_of(href, "f" * 64) == f"{stem}-{'f' * 12}"
    assert len(id_of(href, "f" * 64, long=True).encode()) + 5 <= 255


def test_other_bytes_at_a_known_place_are_another_scene(catalog: Catalog, scene: Path) -> None:
    (old,) = catalog.add([scene])
    write_scene(scene, 77)
    assert catalog.state(old) == "changed"
    (taken,) = catalog.take([Offer(str(scene))])
    assert (taken.news, taken.replaced) == ("new", (old.id,))
    assert set(catalog.scenes()) == {replace(old, changed=True), taken.entry}
    # The bytes come back: the first scene is what it was.
    write_scene(scene, 128)
    (back,) = catalog.take([Offer(str(scene))])
    assert (back.news, back.entry.id, back.entry.changed) == ("known", old.id, False)
    assert back.replaced == (taken.entry.id,)


def test_a_bad_scene_is_told_of_and_does_not_stop_the_others(catalog: Catalog, scene: Path) -> None:
    cut = scene.with_name("cut.tif")
    cut.write_bytes(write_scene(cut, 3).read_bytes()[:-1000])
    paths = [cut, scene, scene.with_name("gone.tif"), scene.parent]
    with pytest.raises(SceneError, match="truncated"):
        catalog.add(paths)
    assert catalog.scenes() == ()
    failed: dict[str, PitheadError] = {}
    taken = catalog.take([Offer(str(path)) for path in paths], failed=failed.__setitem__)
    assert [one.path for one in taken] == [str(scene)]
    assert list(failed) == [str(cut), str(scene.with_name("gone.tif")), str(scene.parent)]


def test_a_malformed_side_file_is_named(catalog: Catalog, scene: Path) -> None:
    scene.with_suffix(".IMD").write_text("BEGIN_GROUP = IMAGE_1")
    with pytest.raises(CatalogError, match=r"a\.IMD: expected metadata"):
        catalog.add([scene])


# --- the catalogue as STAC


class Offline(JsonSchemaSTACValidator):
    """pystac's own validation, with the schemas of the extensions from files, and no other."""

    def __init__(self) -> None:
        super().__init__()
        for path in SCHEMAS.glob("*.json"):
            schema = json.loads(path.read_text())
            self.schema_cache[schema["$id"].removesuffix("#")] = schema
        # Of the processing extension what its README asks for.
        self.schema_cache[PROCESSING] = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": PROCESSING,
            "properties": {
                "properties": {
                    "properties": {
                        "processing:level": {"type": "string"},
                        "processing:software": {"additionalProperties": {"type": "string"}},
                    }
                }
            },
        }

    def _get_schema(self, schema_uri: str) -> dict[str, Any]:
        assert schema_uri in self.schema_cache, f"{schema_uri} would have been fetched"
        return self.schema_cache[schema_uri]


def check(document: dict[str, Any]) -> None:
    kind = "ITEM" if document["type"] == "Feature" else "CATALOG"
    Offline().validate(
        document, pystac.STACObjectType[kind], document["stac_version"], document.get("stac_extensions", [])
    )


def everything(catalog: Catalog, tmp_path: Path) -> tuple[Entry, ...]:
    """Scenes of every kind: dated, undated, without georeference, in a CRS without a number, across 180°."""
    plain = tmp_path / "plain.png"
    Image.new("RGB", (40, 30)).save(plain)
    catalog.add([plain], facts=Facts(gsd_m=0.5, acquired=datetime(2001, 1, 1, tzinfo=UTC)))
    dated = write_scene(tmp_path / "dated.tif", 1)
    dated.with_suffix(".IMD").write_text(IMD)
    catalog.add([dated], "Camp 15", facts=Facts(level="LV3D", incidence_deg=13))
    catalog.add([write_scene(tmp_path / "undated.tif", 2)])
    own = "+proj=tmerc +lat_0=39.1 +lon_0=129.3 +k=1 +x_0=0 +y_0=0 +ellps=bessel +units=m +no_defs"
    for name, crs, transform in (
        ("own", CRS.from_string(own), Affine(0.5, 0, 0, 0, -0.5, 0)),
        ("dateline", CRS.from_epsg(4326), Affine(1e-5, 0, 179.999, 0, -1e-5, 65.0)),
    ):
        profile = {"driver": "GTiff", "width": 400, "height": 300, "count": 1, "dtype": "uint8"}
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile, crs=crs, transform=transform) as out:
            out.write(np.full((1, 300, 400), len(name), np.uint8))
        catalog.add([tmp_path / f"{name}.tif"])
    return catalog.scenes()


def from_items(catalog: Catalog) -> tuple[Entry, ...]:
    """The scenes without the index."""
    (catalog.folder / "index.parquet").unlink(missing_ok=True)
    return catalog.scenes()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_catalogue_is_valid_stac(catalog: Catalog, tmp_path: Path) -> None:
    entries = everything(catalog, tmp_path)
    assert len(entries) == 5
    pages = sorted(catalog.folder.rglob("*.json"))
    assert len(pages) == 5 + 4
    used: set[str] = set()
    for page in pages:
        document = json.loads(page.read_text())
        check(document)
        used |= {uri.split("/")[3] for uri in document.get("stac_extensions", [])}
    assert used == {"eo", "view", "file", "projection", "processing"}


def test_the_validation_can_fail(catalog: Catalog, tmp_path: Path) -> None:
    dated = next(entry for entry in everything(catalog, tmp_path) if entry.cloud_percent is not None)
    for path, value in (
        (("properties", "eo:cloud_cover"), 120),
        (("properties", "view:off_nadir"), -3),
        (("properties", "proj:shape"), "400"),
        (("properties", "processing:level"), 3),
        (("assets", "scene", "file:size"), "big"),
        (("assets", "scene", "file:checksum"), "no hash"),
        (("bbox",), [1, 2]),
    ):
        document = item_of(dated)
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(pystac.STACValidationError):
            check(document)


def test_pystac_walks_it(catalog: Catalog, tmp_path: Path) -> None:
    entries = everything(catalog, tmp_path)
    read = pystac.Catalog.from_file(str(catalog.folder / "catalog.json"))
    items = {item.id: item for item in read.get_items(recursive=True)}
    assert set(items) == {entry.id for entry in entries}
    assert [child.id for child in read.get_children()] == ["pithead-2001", "pithead-2017", "pithead-undated"]
    for entry in entries:
        item = items[entry.id]
        assert item.get_root() is read
        assert item.assets["scene"].href == entry.href
        assert item.assets["scene"].extra_fields["file:checksum"] == "1220" + entry.sha256
    dated = next(item for item in items.values() if item.id.startswith("dated"))
    assert dated.properties["processing:level"] == "LV3D"
    assert dated.properties["view:incidence_angle"] == 13
    assert dated.datetime == datetime(2017, 5, 6, 2, 3, 4, tzinfo=UTC)


def test_an_entry_comes_back_from_its_item_and_from_the_index(catalog: Catalog, tmp_path: Path) -> None:
    entries = everything(catalog, tmp_path)
    for entry in entries:
        assert entry_of(json.loads(json.dumps(item_of(entry)))) == replace(entry, sites=entry.named_sites)
    assert from_items(catalog) == entries
    assert catalog.scenes() == entries  # by the index that was made just now
    own = next(entry for entry in entries if entry.id.startswith("own"))
    assert own.crs is not None
    assert own.crs.startswith("BOUNDCRS") or own.crs.startswith("PROJCRS")


def test_across_the_antimeridian(catalog: Catalog, tmp_path: Path) -> None:
    entry = next(one for one in everything(catalog, tmp_path) if one.id.startswith("dateline"))
    # 400 px of 1e-5 degrees from 179.999 east: a quarter lies on this side.
    assert isinstance(entry.footprint, shapely.MultiPolygon)
    east, west = sorted(entry.footprint.geoms, key=lambda part: -part.bounds[0])
    assert east.bounds == pytest.approx((179.999, 64.997, 180, 65))
    assert west.bounds == pytest.approx((-180, 64.997, -179.997, 65))
    assert bbox_of(entry.footprint) == pytest.approx([179.999, 64.997, -179.997, 65])
    sites = write_sites(
        tmp_path / "sites.json", ("west", [], square(-180, 64.99)), ("east", [], square(179.99, 64.99))
    )
    catalog.set_sites(sites)
    assert next(one for one in catalog.scenes() if one.id == entry.id).sites == ("east", "west")


def test_an_outline_beside_the_antimeridian_stays_whole() -> None:
    corners = np.array([[179.9, 10], [180, 10], [180, 10.1], [179.9, 10.1]])
    footprint = footprint_of(corners)
    assert isinstance(footprint, shapely.Polygon)
    assert footprint.bounds == pytest.approx((179.9, 10, 180, 10.1))


def test_the_index_is_read_by_others(catalog: Catalog, tmp_path: Path) -> None:
    entries = everything(catalog, tmp_path)
    frame = gpd.read_parquet(catalog.folder / "index.parquet")
    assert frame.crs.to_string() == "OGC:CRS84"
    assert list(frame["id"]) == [entry.id for entry in entries]
    assert frame.geometry.isna().sum() == 1
    table = duckdb.read_parquet(str(catalog.folder / "index.parquet"))
    assert table.filter("len(sites) > 0").project("sensor, sites").fetchall() == [("GE01", ["Camp 15"])]


# --- the index is a cache


def test_a_stale_index_is_not_believed(catalog: Catalog, scene: Path) -> None:
    catalog.add([scene])
    old = (catalog.folder / "index.parquet").read_bytes()
    catalog.add([write_scene(scene.with_name("b.tif"), 5)])
    (catalog.folder / "index.parquet").write_bytes(old)
    assert len(catalog.scenes()) == 2
    assert (catalog.folder / "index.parquet").read_bytes() != old


def test_an_index_whose_bytes_rot_is_made_anew(catalog: Catalog, tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / f"{k}.tif", k) for k in range(4)]
    entries = catalog.add(paths, "Camp 15", FACTS)
    index = catalog.folder / "index.parquet"
    content = index.read_bytes()
    for at in range(4, len(content), 97):
        rotten = bytearray(content)
        rotten[at] ^= 0xFF
        index.write_bytes(rotten)
        assert set(catalog.scenes()) == set(entries), at


def test_a_reader_looks_again_if_a_scene_changes_pages_meanwhile(
    catalog: Catalog, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the root before, and reads the page that loses the scene after."""
    catalog.add([scene])
    read = books._page
    dated: list[Entry] = []

    def after_a_move(path: Path, hash_more: Callable[[bytes], None]) -> dict[str, Any]:
        if path.parent.name == "undated":
            monkeypatch.undo()
            dated.extend(Catalog(catalog.folder).add([scene], facts=FACTS))
        return read(path, hash_more)

    monkeypatch.setattr("pithead.catalog.books._page", after_a_move)
    assert list(catalog.scenes()) == dated
    assert len(dated) == 1


def test_a_reader_looks_again_if_an_item_is_moved_meanwhile(
    catalog: Catalog, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add([scene])
    (catalog.folder / "index.parquet").unlink()
    dated: list[Entry] = []

    def after_a_move(folder: Path, pages: Books) -> tuple[Entry, ...]:
        monkeypatch.undo()
        dated.extend(Catalog(folder).add([scene], facts=FACTS))
        return read_entries(folder, pages)

    monkeypatch.setattr("pithead.catalog.archive.read_entries", after_a_move)
    assert list(catalog.scenes()) == dated
    assert catalog.scenes()[0].acquired == TAKEN


def test_many_scenes_without_georeference_at_once(catalog: Catalog, tmp_path: Path) -> None:
    """Files are opened in threads, none of which warns."""
    for k in range(24):
        Image.new("RGB", (40, 30), (k, k, k)).save(tmp_path / f"{k}.png")
    entries = catalog.add(sorted(tmp_path.glob("*.png")), facts=Facts(gsd_m=0.5))
    assert len({entry.sha256 for entry in entries}) == 24
    with pytest.warns(UserWarning, match="still told"):
        warnings.warn("still told", UserWarning, stacklevel=1)


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet PAR1", b"x" * 100])
def test_a_damaged_index_is_made_anew(catalog: Catalog, scene: Path, content: bytes) -> None:
    (entry,) = catalog.add([scene])
    (catalog.folder / "index.parquet").write_bytes(content)
    assert catalog.scenes() == (entry,)
    assert len((catalog.folder / "index.parquet").read_bytes()) > 100


def test_an_archive_that_is_only_read_needs_no_index(
    catalog: Catalog, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = catalog.add([scene])
    (catalog.folder / "index.parquet").unlink()

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("pithead.catalog.archive.write_index", refuse)
    assert catalog.scenes() == (entry,)
    assert not (catalog.folder / "index.parquet").exists()


def test_a_reader_does_not_wait_for_a_writer(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    (catalog.folder / "index.parquet").unlink()
    with locked(catalog.folder):
        assert catalog.scenes() == (entry,)
    assert not (catalog.folder / "index.parquet").exists()


def test_many_entries(catalog: Catalog, scene: Path) -> None:
    """1,000 of them, read by the index within half a second of this processor."""
    (entry,) = catalog.add([scene], "Camp 15")
    hashes = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(1000)]
    many = [replace(entry, id=f"s-{h[:12]}", sha256=h, href=f"/s/{h}.tif", named_sites=()) for h in hashes]
    with locked(catalog.folder):
        book = catalog._ledger(None)
        for one in many:
            book.put(one)
        book.commit()
    began = time.process_time()
    found = catalog.scenes()
    assert time.process_time() - began < 0.5
    assert len(found) == 1001
    assert [one.id for one in found] == sorted(one.id for one in found)


# --- sites


def test_sites_follow_from_the_ground(catalog: Catalog, tmp_path: Path) -> None:
    # Their west edges lie at 129 + 0.0117 degrees a kilometre, at 39.75 degrees north.
    paths = [write_scene(tmp_path / f"{k}.tif", k, east=500_000 + 1000 * k) for k in range(3)]
    catalog.add(paths)
    sites = write_sites(
        tmp_path / "sites.json",
        ("Camp 15", ["Yodok", " 15 호 "], square(128.99, 39.74, 0.022)),
        ("Camp 14", [], square(129.0118, 39.74, 0.02)),
        ("Far", [], square(100, 20)),
        ("Known by name", [], None),
    )
    told = catalog.set_sites(sites)
    assert [site.name for site in told] == ["Camp 14", "Camp 15", "Far", "Known by name"]
    assert told[1].aliases == ("Yodok", "15 호")
    assert told[3].polygon is None
    shown = {entry.id[0]: entry.sites for entry in catalog.scenes()}
    assert shown == {"0": ("Camp 15",), "1": ("Camp 14", "Camp 15"), "2": ("Camp 14",)}
    assert from_items(catalog) == catalog.scenes()
    # A scene that comes later has its sites at once.
    (later,) = catalog.add([write_scene(tmp_path / "later.tif", 9)], site="far")
    assert later.sites == ("Camp 15", "Far")
    catalog.set_sites(write_sites(tmp_path / "sites.json", ("Other", [], None)))
    assert {entry.sites for entry in catalog.scenes()} == {(), ("Far",)}
    assert [site.name for site in catalog.sites()] == ["Far", "Other"]


def test_grounds_that_only_touch_are_not_shared(catalog: Catalog, scene: Path, tmp_path: Path) -> None:
    (entry,) = catalog.add([scene])
    assert entry.footprint is not None
    west, south, _, _ = entry.footprint.bounds
    catalog.set_sites(write_sites(tmp_path / "s.json", ("Beside", [], square(west - 0.01, south))))
    assert catalog.scenes()[0].sites == ()


def test_a_named_site_goes_by_its_alias(catalog: Catalog, scene: Path, tmp_path: Path) -> None:
    (entry,) = catalog.add([scene], site="  kwan-li-so 15 ")
    assert entry.sites == ("kwan-li-so 15",)
    assert catalog.sites() == (Site("kwan-li-so 15"),)
    catalog.set_sites(write_sites(tmp_path / "s.json", ("Camp 15", ["Kwan-li-so  15"], square(0, 0))))
    assert catalog.scenes()[0].sites == ("Camp 15",)
    (both,) = catalog.add([scene], site="Camp 14")
    assert both.sites == ("Camp 14", "Camp 15")


@pytest.mark.parametrize(
    ("sites", "reason"),
    [
        ([("A", ["B"], None), ("b", [], None)], "names of one site each"),
        ([("A", [], None), ("A", [], None)], "one MultiPolygon"),
        ([("", [], None)], "a property name"),
        ([("A", 3, None)], "perhaps a list aliases"),
        ([("A", [], {"type": "Point", "coordinates": [1, 2]})], "expected a polygon, got Point"),
        ([("A", [], square(500_000, 4_400_000))], "longitude and latitude"),
        ([("A", [], {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0], [0, 0]]]})], "an area"),
        ([("A", [], {"type": "Polygon"})], "none that can be read"),
    ],
)
def test_bad_sites_are_refused_and_the_old_ones_stay(
    catalog: Catalog, tmp_path: Path, sites: list[Any], reason: str
) -> None:
    catalog.set_sites(write_sites(tmp_path / "good.json", ("Good", [], None)))
    with pytest.raises(CatalogError, match=reason):
        catalog.set_sites(write_sites(tmp_path / "bad.json", *sites))
    assert [site.name for site in catalog.sites()] == ["Good"]


@pytest.mark.parametrize("content", ["", "[]", '{"type": "FeatureCollection"}', '{"features": 1}', "\xff"])
def test_what_is_no_file_of_sites(catalog: Catalog, tmp_path: Path, content: str) -> None:
    (tmp_path / "sites.json").write_text(content, encoding="latin-1")
    with pytest.raises(CatalogError, match="expected GeoJSON"):
        catalog.set_sites(tmp_path / "sites.json")


# --- states of files


def test_states(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    assert catalog.state(entry) == "same"
    assert catalog.state(entry, verify=True) == "same"
    os.utime(scene, ns=(1, 1))
    assert catalog.state(entry) == "touched"
    catalog.update([renewed(entry)])
    (fresh,) = catalog.scenes()
    assert fresh == replace(entry, mtime_ns=1)
    assert catalog.state(fresh) == "same"
    content = bytearray(scene.read_bytes())
    content[-1] ^= 1
    scene.write_bytes(content)
    assert catalog.state(fresh) == "changed"
    os.utime(scene, ns=(1, 1))
    assert catalog.state(fresh) == "same"  # size and time say nothing of it,
    assert catalog.state(fresh, verify=True) == "changed"  # the hash does
    scene.unlink()
    assert catalog.state(fresh) == "gone"
    shutil.rmtree(scene.parent)
    assert catalog.state(fresh, verify=True) == "gone"


def test_a_disk_that_does_not_answer_is_no_missing_scene(
    catalog: Catalog, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = catalog.add([scene])

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "stat", broken)
    with pytest.raises(SceneError, match="Input/output error: is its disk there"):
        catalog.state(entry)


def test_a_file_that_changes_while_it_is_hashed_is_neither_the_same_nor_touched(
    catalog: Catalog, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = catalog.add([scene])
    os.utime(scene, ns=(1, 1))

    def slow(path: Path) -> str:
        write_scene(path, 77)
        return entry.sha256

    monkeypatch.setattr("pithead.catalog.state.sha256_of", slow)
    with pytest.raises(SceneError, match="a file at rest"):
        catalog.state(entry)


def test_what_is_new_of_a_file_takes_nothing_else_back(catalog: Catalog, scene: Path) -> None:
    (seen,) = catalog.add([scene])
    catalog.add([scene], "Camp 15", FACTS)
    catalog.update([replace(seen, mtime_ns=5)])
    (entry,) = catalog.scenes()
    assert (entry.mtime_ns, entry.sensor, entry.sites) == (5, "WV02", ("Camp 15",))
    catalog.update([replace(seen, href="/elsewhere.tif", changed=True)])
    assert catalog.scenes() == (entry,)


def test_only_known_scenes_are_updated(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    with pytest.raises(CatalogError, match="add it first"):
        catalog.update([replace(entry, id="other-0")])
    catalog.update([replace(entry, changed=True)])
    assert catalog.scenes()[0].changed
    assert from_items(catalog)[0].changed


# --- kills and rivals


STEPS = [
    "pithead.catalog.ledger.write_whole",
    "pithead.catalog.books.write_whole",
    "pithead.catalog.index.write_whole",
    "pithead.catalog.ledger.drop_index",
]


class Killed(BaseException):
    """What a kill is to the code: nothing catches it."""


@pytest.mark.parametrize("at", range(10))
def test_a_kill_at_any_step_leaves_the_catalogue_before_or_after(
    catalog: Catalog, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adding two scenes, one of them the changed file of a known one, while an undated one gets its date."""
    first, second = (write_scene(tmp_path / f"{name}.tif", k) for k, name in enumerate("ab"))
    catalog.add([first, second], facts=Facts(sensor="WV01"))
    before = catalog.scenes()
    write_scene(first, 10)
    offers = [
        Offer(str(first), FACTS),
        Offer(str(second), FACTS),
        Offer(str(write_scene(tmp_path / "c.tif", 20)), FACTS),
    ]
    done = 0

    def counted(original: Callable[..., None], *arguments: object) -> None:
        nonlocal done
        done += 1
        if done > at:
            raise Killed
        original(*arguments)

    with monkeypatch.context() as patched:
        for name in STEPS:
            module, _, attribute = name.rpartition(".")
            patched.setattr(name, partial(counted, getattr(sys.modules[module], attribute)))
        # Four Items, the old index, the page that gains, the root, the page that loses, the new index.
        with pytest.raises(Killed) if at < 9 else nullcontext():
            catalog.take(offers)
    ids = [entry.id for entry in catalog.scenes()]
    assert len(ids) == len(set(ids))
    assert {entry.id for entry in before} <= set(ids)
    for page in catalog.folder.rglob("*.json"):
        check(json.loads(page.read_text()))
    root = pystac.Catalog.from_file(str(catalog.folder / "catalog.json"))
    assert {item.id for item in root.get_items(recursive=True)} == set(ids)
    assert from_items(catalog) == catalog.scenes()
    # What was killed is done again.
    catalog.take(offers)
    (old_a, old_b) = before
    names = {entry.id[0]: entry for entry in catalog.scenes() if not entry.changed}
    assert set(names) == {"a", "b", "c"}
    assert replace(old_a, changed=True) in catalog.scenes()
    assert (names["b"].id, names["b"].acquired, names["b"].sensor) == (old_b.id, TAKEN, "WV02")
    assert len(catalog.scenes()) == 4
    assert from_items(catalog) == catalog.scenes()
    root = pystac.Catalog.from_file(str(catalog.folder / "catalog.json"))
    assert sorted(item.id for item in root.get_items(recursive=True)) == [one.id for one in catalog.scenes()]


def test_what_a_kill_left_beside_an_item_does_not_stop_its_move(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    left = catalog.folder / "undated" / entry.id / f".{entry.id}.json.part"
    left.write_text("{")
    (dated,) = catalog.add([scene], facts=FACTS)
    assert catalog.scenes() == (dated,) == from_items(catalog)
    assert sorted(left.parent.iterdir()) == [left]


@pytest.mark.parametrize("step", STEPS[:3])
def test_a_full_disk_is_told_and_no_traceback(
    catalog: Catalog, scene: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(step, full)
        with pytest.raises(CatalogError, match="No space left on device; what it holds is unharmed"):
            catalog.add([scene])
    assert len(catalog.add([scene])) == len(catalog.scenes()) == 1


def added_by_another(folder: Path, paths: list[Path], site: str) -> subprocess.Popen[str]:
    """A process that adds scenes one by one, and says each when it is in."""
    program = (
        "import sys; from pithead.catalog import Catalog\n"
        "for path in sys.argv[3:]:\n"
        "    Catalog.open(sys.argv[1]).add([path], sys.argv[2])\n"
        "    print(path, flush=True)"
    )
    command = [sys.executable, "-c", program, str(folder), site, *map(str, paths)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])


def test_two_that_add_at_once_lose_nothing(catalog: Catalog, tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / f"{k}.tif", k) for k in range(12)]
    parts = [paths[:8], paths[:3:-1]]
    rivals = [added_by_another(catalog.folder, part, f"Camp {number}") for number, part in enumerate(parts)]
    for rival in rivals:
        rival.communicate()
        assert rival.returncode == 0
    entries = catalog.scenes()
    told = {
        str(path): tuple(f"Camp {number}" for number, part in enumerate(parts) if path in part)
        for path in paths
    }
    assert {entry.href: entry.sites for entry in entries} == told
    assert len(entries) == 12
    assert from_items(catalog) == entries


def test_kill_9_while_scenes_are_added(catalog: Catalog, tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / "scenes" / f"{k}.tif", k) for k in range(20)]
    for turn in range(2):
        with added_by_another(catalog.folder, paths, "Camp 15") as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(3 + 5 * turn)]
            time.sleep(0.003 * turn)
            process.send_signal(signal.SIGKILL)
        assert all(told)
        entries = catalog.scenes()
        assert {line.strip() for line in told} <= {entry.href for entry in entries}
        assert len({entry.id for entry in entries}) == len(entries)
        assert from_items(catalog) == entries
        for page in catalog.folder.rglob("*.json"):
            check(json.loads(page.read_text()))
    assert len(catalog.add(paths)) == len(catalog.scenes()) == 20


# --- opening


def test_what_is_no_archive(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="got nothing: make one"):
        Catalog.open(tmp_path)
    with pytest.raises(CatalogError, match="expected a folder without a catalogue"):
        Catalog.make(catalog.folder)
    (tmp_path / "catalog.json").write_text('{"type": "Catalog", "links": []}')
    with pytest.raises(CatalogError, match="pithead did not make"):
        Catalog.open(tmp_path)
    (tmp_path / "catalog.json").write_text('{"links": [], "pithead:schema": 2}')
    with pytest.raises(CatalogError, match="use a newer pithead"):
        Catalog.open(tmp_path)
    (tmp_path / "catalog.json").write_text("{")
    with pytest.raises(CatalogError, match="expected a page of a STAC catalogue"):
        Catalog.open(tmp_path)


def test_a_missing_item_is_named(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    path = catalog.folder / "undated" / entry.id / f"{entry.id}.json"
    document = json.loads(path.read_text())
    del document["assets"]["scene"]["pithead:identity"]
    path.write_text(json.dumps(document))
    with pytest.raises(CatalogError, match="pithead:identity"):
        from_items(catalog)
    for content in ("[]", "{}", "{", '{"id": "a", "properties": 3}'):
        path.write_text(content)
        with pytest.raises(CatalogError, match=str(path)):
            from_items(catalog)
    path.unlink()
    with pytest.raises(CatalogError, match=str(path)):
        from_items(catalog)


def test_an_entry_is_checked_when_made(catalog: Catalog, scene: Path) -> None:
    (entry,) = catalog.add([scene])
    for wrong, reason in (
        ({"sha256": "F" * 64}, "64 hexadecimal"),
        ({"width": 0}, "expected an image"),
        ({"gsd_m": (0.5, float("nan"))}, "above 0"),
        ({"crs": None}, "or none of them"),
        ({"added": datetime(2020, 1, 1)}, "their zone"),  # noqa: DTZ001 (the point)
        ({"href": ""}, "an id and a place"),
    ):
        with pytest.raises(CatalogError, match=reason):
            replace(entry, **wrong)
