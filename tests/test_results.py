"""What a scan leaves is whole, says where it comes from, and is read by other programs."""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

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

from pithead.card import Card
from pithead.detections import Coverage, Detections, SceneLine
from pithead.errors import OptionError
from pithead.imagery import open_scene
from pithead.picture import write_picture
from pithead.results import Run, scene_sha256, write_results
from pithead.tiling import Grid
from pithead.vectors import Layers, Origin

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
UTM = Affine(0.5, 0, 500_000, 0, -0.5, 4_400_000)
NAMES = {f"a{e}" for e in (".geojson", ".gpkg", ".parquet", ".png", ".stac.json", ".run.json")}
HEAP = [[100, 100], [200, 100], [200, 140], [100, 140]]
RING = np.array([[50, 50], [250, 50], [250, 150], [50, 150]], np.float64)


def write_scene(path: Path, **more: object) -> Path:
    profile = {"driver": "GTiff", "width": 400, "height": 300, "count": 3, "dtype": "uint8"}
    place = {"crs": CRS.from_epsg(32652), "transform": UTM}
    with rasterio.open(path, "w", **(profile | place | more)) as out:
        out.write(np.full((3, 300, 400), 128, np.uint8))
    return path


def found() -> Detections:
    """A heap of 50 x 20 m that two tiles saw, and a ring of 100 x 50 m."""
    return Detections(
        corners_scene=np.array([HEAP], np.float64),
        scores=np.array([0.9], np.float32),
        classes=np.array([1], np.int64),
        tiles=((0, 1),),
        lines=(SceneLine(RING, closed=True, score=0.8, class_id=2, spans=20, tiles=(0, 1, 2)),),
        grid=Grid(400, 300, 1.0, 1.0, 256, 64),
        coverage=Coverage(run=3, empty=1),
        valid_px=120_000,
    )


@pytest.fixture
def card(card_json: str) -> Card:
    return Card.from_json(card_json)


def write(folder: Path, path: Path, card: Card, acquired: datetime | None = None) -> Layers:
    with open_scene(path, gsd_m=0.5) as scene:
        origin = Origin(path.stem, scene_sha256(scene), "b" * 64)
        run = Run(origin, Path("w.onnx"), card, {"overlap": 64}, None, BEGAN, 1.0, acquired)
        return write_results(folder, scene, found(), run)


def check(document: dict[str, object]) -> None:
    """Hold an Item to the core schema of STAC, which pystac carries."""
    JsonSchemaSTACValidator().validate_core(document, pystac.STACObjectType.ITEM, "1.1.0")


def item(folder: Path) -> pystac.Item:
    document = json.loads((folder / "a.stac.json").read_text())
    check(document)
    return pystac.Item.from_dict(document)


def test_the_item_says_where_when_and_what(tmp_path: Path, card: Card) -> None:
    write(tmp_path / "out", write_scene(tmp_path / "a.tif"), card)
    found_item = item(tmp_path / "out")
    assert found_item.id == "a"
    outline = shapely.geometry.shape(found_item.geometry)
    there = gpd.GeoSeries([shapely.box(500_000, 4_399_850, 500_200, 4_400_000)], crs=32652).to_crs(4326)[0]
    assert shapely.hausdorff_distance(outline, there) < 1e-7
    assert outline.exterior.is_ccw
    assert found_item.bbox == list(outline.bounds)
    # Nobody said when it was taken: between the first satellite image and the scan.
    assert found_item.datetime is None
    assert found_item.common_metadata.start_datetime == datetime(1960, 8, 18, tzinfo=UTC)
    assert found_item.common_metadata.end_datetime == BEGAN
    facts = found_item.properties
    assert facts["pithead:counts"] == {
        "mine_head": 0,
        "coal_heap": 1,
        "guard_perimeter": 1,
        "rail_loading": 0,
    }
    assert facts["proj:code"] == "EPSG:32652"
    assert facts["proj:shape"] == [300, 400]
    assert facts["proj:transform"] == list(UTM)[:6]
    for name, asset in found_item.assets.items():
        content = (tmp_path / "out" / asset.href).read_bytes()
        if name != "record":
            checksum = asset.extra_fields["file:checksum"]
            assert checksum == "1220" + hashlib.sha256(content).hexdigest()
    assert {Path(asset.href).name for asset in found_item.assets.values()} == NAMES - {"a.stac.json"}


def test_the_validator_of_items_can_fail(tmp_path: Path, card: Card) -> None:
    write(tmp_path / "out", write_scene(tmp_path / "a.tif"), card)
    document = json.loads((tmp_path / "out/a.stac.json").read_text())
    del document["properties"]["start_datetime"]
    with pytest.raises(pystac.STACValidationError):
        check(document)


def test_the_time_of_the_scene(tmp_path: Path, card: Card) -> None:
    path = write_scene(tmp_path / "a.tif")
    taken = datetime(2019, 3, 12, 4, 5, tzinfo=UTC)
    write(tmp_path / "told", path, card, taken)
    assert item(tmp_path / "told").datetime == taken
    with rasterio.open(path, "r+") as scene:
        scene.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2018-07-01 03:04:05")
    write(tmp_path / "file", path, card)
    assert item(tmp_path / "file").datetime == datetime(2018, 7, 1, 3, 4, 5, tzinfo=UTC)
    assert json.loads((tmp_path / "file/a.run.json").read_text())["scene"]["acquired"].startswith(
        "2018-07-01"
    )


def test_an_item_without_georeference_has_no_place(tmp_path: Path, card: Card) -> None:
    Image.new("RGB", (400, 300), (128, 128, 128)).save(tmp_path / "a.png")
    write(tmp_path / "out", tmp_path / "a.png", card)
    assert item(tmp_path / "out").geometry is None
    assert "bbox" not in json.loads((tmp_path / "out/a.stac.json").read_text())


def test_every_file_of_a_scene_is_on_record(tmp_path: Path, card: Card) -> None:
    source = write_scene(tmp_path / "source.tif")
    vrt = tmp_path / "a.vrt"
    with rasterio.open(source) as scene:
        bands = "".join(
            f'<VRTRasterBand dataType="Byte" band="{i}"><ColorInterp>{c}</ColorInterp><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">source.tif</SourceFilename><SourceBand>{i}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
            for i, c in enumerate(("Red", "Green", "Blue"), start=1)
        )
        place = ", ".join(map(str, scene.transform.to_gdal()))
        vrt.write_text(
            f'<VRTDataset rasterXSize="400" rasterYSize="300"><SRS>{scene.crs.to_wkt()}</SRS>'
            f"<GeoTransform>{place}</GeoTransform>{bands}</VRTDataset>"
        )
    write(tmp_path / "out", vrt, card)
    record = json.loads((tmp_path / "out/a.run.json").read_text())["scene"]
    digest = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (vrt, source)}
    assert record["sha256"] == digest[vrt]
    assert {Path(name).name: value for name, value in record["files"].items()} == {
        path.name: value for path, value in digest.items()
    }


def test_duckdb_reads_the_parquet(tmp_path: Path, card: Card) -> None:
    write(tmp_path / "out", write_scene(tmp_path / "a.tif"), card)
    table = duckdb.read_parquet(str(tmp_path / "out/a.parquet"))
    columns = "class, round(score, 2), length_m, width_m, area_m2, tiles, cut, scene_sha256, geometry is null"
    rows = table.order("class").project(columns).fetchall()
    digest = hashlib.sha256((tmp_path / "a.tif").read_bytes()).hexdigest()
    (heap, ring) = rows
    assert (heap[0], heap[1], heap[5:]) == ("coal_heap", 0.9, ("0 1", False, digest, False))
    # The scale of UTM on its central meridian is 0.9996.
    assert heap[2:5] == pytest.approx((50 / 0.9996, 20 / 0.9996, 1000 / 0.9996**2), abs=0.01)
    assert ring[:2] == ("guard_perimeter", 0.8)
    assert ring[2] == pytest.approx(300 / 0.9996, abs=0.01)
    assert ring[3:6] == (None, None, "0 1 2")


def test_ogrinfo_reads_the_map_layers(tmp_path: Path, card: Card) -> None:
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("ogrinfo is not installed: gdal-bin of Debian has it")
    write(tmp_path / "out", write_scene(tmp_path / "a.tif"), card)

    def told(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stderr == ""
        return done.stdout

    boxes = told("-ro", "-al", "out/a.gpkg", "boxes")
    assert "Geometry: Polygon" in boxes
    assert "Feature Count: 1" in boxes
    assert "class (String) = coal_heap" in boxes
    assert "tiles (String) = 0 1" in boxes
    assert "UTM zone 52N" in boxes
    assert "POLYGON ((500050 4399950" in boxes.replace(".0 ", " ")
    perimeters = told("-ro", "-al", "out/a.gpkg", "perimeters")
    assert "Geometry: Line String" in perimeters
    assert "closed (Integer(Boolean)) = 1" in perimeters
    collection = told("-ro", "-al", "out/a.geojson")
    assert "Feature Count: 2" in collection
    assert "WGS 84" in collection


@pytest.mark.parametrize("after", range(len(NAMES)))
def test_a_kill_while_results_are_moved_leaves_no_record(
    tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Also over an older result: its record goes first, so what is mixed is never taken for whole."""
    path, out = write_scene(tmp_path / "a.tif"), tmp_path / "out"
    write(out, path, card)
    assert {file.name for file in out.iterdir()} == NAMES
    moved: list[str] = []
    really = os.replace

    def one_fails(source: Path, target: Path) -> None:
        if len(moved) == after:
            raise KeyboardInterrupt
        moved.append(target.name)
        really(source, target)

    monkeypatch.setattr(os, "replace", one_fails)
    with pytest.raises(KeyboardInterrupt):
        write(out, path, card)
    assert {file.name for file in out.iterdir()} == NAMES - {"a.run.json"}
    assert "a.run.json" not in moved


def test_a_failure_leaves_what_was_there(tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = write_scene(tmp_path / "a.tif"), tmp_path / "out"

    def fails(*_: object) -> None:
        raise OptionError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("pithead.results.write_picture", fails)
        with pytest.raises(OptionError, match="no room"):
            write(out, path, card)
        assert not out.exists()
    write(out, path, card)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    monkeypatch.setattr("pithead.results.write_picture", fails)
    with pytest.raises(OptionError, match="no room"):
        write(out, path, card)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_the_record_adds_up(tmp_path: Path, card: Card) -> None:
    write(tmp_path / "out", write_scene(tmp_path / "a.tif"), card)
    record = json.loads((tmp_path / "out/a.run.json").read_text())
    tiles = record["counts"]["tiles"]
    assert tiles == {"all": 4, "run": 3, "empty": 1, "plain": 0, "outside": 0}
    assert tiles["all"] == record["grid"]["columns"] * record["grid"]["rows"]
    assert record["aoi_sha256"] is None
    assert set(record["results"]) == NAMES - {"a.run.json"}


def test_a_part_of_the_detections() -> None:
    every = found()
    touching = every.within(shapely.box(199, 139, 210, 145))
    assert touching.corners_scene.tolist() == [HEAP]
    assert touching.tiles == ((0, 1),)
    assert len(touching.lines) == 1  # the ring runs around that corner
    assert every.within(shapely.box(260, 10, 390, 290)).lines == ()
    around = every.within(shapely.box(60, 60, 90, 90))
    assert (len(around.scores), len(around.lines)) == (0, 1)
    open_line = replace(every, lines=(replace(every.lines[0], closed=False),))
    assert open_line.within(shapely.box(60, 60, 90, 90)).lines == ()


def test_the_picture_shows_the_area(tmp_path: Path, card: Card) -> None:
    only = replace(
        found().within(shapely.box(90, 90, 220, 150)), area_grid=shapely.box(64, 64, 320, 300), lines=()
    )
    with open_scene(write_scene(tmp_path / "a.tif")) as scene:
        write_picture(tmp_path / "a.png", scene, only, card)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (256, 236)
        assert picture.getpixel((90 - 64, 120 - 64)) == (255, 255, 255)  # the outline of the area
        assert picture.getpixel((150 - 64, 100 - 64)) == (0xFF, 0xE1, 0x19)  # the heap's upper side
        assert picture.getpixel((200, 200)) == (128, 128, 128)


def test_cut_by_the_edge_of_what_was_looked_at() -> None:
    heap = np.array(HEAP, np.float64)
    assert not found().cut(heap)
    assert found().cut(heap - [99, 0])
    assert replace(found(), area_grid=shapely.box(0, 0, 201, 300)).cut(heap)
    assert not replace(found(), area_grid=shapely.box(0, 0, 203, 300)).cut(heap)
