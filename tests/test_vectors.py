"""Detections become map layers that other programs read."""

import json
import time
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from pithead.card import Card
from pithead.detections import Coverage, Detections, SceneLine
from pithead.imagery import Scene
from pithead.picture import write_picture
from pithead.tiling import Grid
from pithead.vectors import (
    PIXEL_NOTE,
    Origin,
    geojson,
    layers,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)

ORIGIN = Origin("scene", "a" * 64, "b" * 64)


def found(*, empty: bool = False) -> Detections:
    """A heap of 100 x 40 px at (100, 100), a span that no layer shows, a ring 200 x 100 px and a line."""
    heap = [[100, 100], [200, 100], [200, 140], [100, 140]]
    span = [[0, 0], [32, 0], [32, 20], [0, 20]]
    ring = np.array([[50, 50], [250, 50], [250, 150], [50, 150]], np.float64)
    lines = (SceneLine(ring, True, 0.8, 2, 20, (0, 1)), SceneLine(ring[:2], False, 0.7, 2, 6, (1,)))  # noqa: FBT003
    return Detections(
        corners_scene=np.array([] if empty else [heap, span], np.float64).reshape(-1, 4, 2),
        scores=np.array([] if empty else [0.9, 0.8], np.float32),
        classes=np.array([] if empty else [1, 2], np.int64),
        tiles=() if empty else ((0, 1), (0,)),
        lines=() if empty else lines,
        grid=Grid(400, 300, 1.0, 1.0, 256, 64),
        coverage=Coverage(run=2),
        valid_px=120_000,
    )


def test_metres(scene: Scene, card: Card) -> None:
    # At the central meridian UTM is 0.9996 of the ground.
    result = layers(found(), scene, card, ORIGIN)
    (heap,) = result.boxes.to_dict("records")
    assert heap["class"] == "coal_heap"
    assert heap["length_m"] == pytest.approx(50 / 0.9996, abs=0.02)
    assert heap["width_m"] == pytest.approx(20 / 0.9996, abs=0.02)
    assert heap["area_m2"] == pytest.approx(1000 / 0.9996**2, rel=1e-3)
    ring, line = result.perimeters.to_dict("records")
    assert ring["closed"]
    assert ring["length_m"] == pytest.approx(300 / 0.9996, rel=1e-3)
    assert ring["enclosed_area_m2"] == pytest.approx(5000 / 0.9996**2, rel=1e-3)
    assert ring["spans"] == 20
    assert not line["closed"]
    assert line["length_m"] == pytest.approx(100 / 0.9996, rel=1e-3)
    assert np.isnan(line["enclosed_area_m2"])
    assert heap["scene_sha256"] == ring["scene_sha256"] == "a" * 64


def test_centres_and_what_the_edge_of_the_scene_cuts(scene: Scene, flat: Scene, card: Card) -> None:
    # The ring runs from (50, 50) to (250, 150) and the heap from (100, 100) to (200, 140) in 400 x 300 px.
    result = layers(found(), scene, card, ORIGIN)
    (heap,) = result.boxes.to_dict("records")
    assert (heap["centre_x_px"], heap["centre_y_px"]) == (150, 120)
    assert [heap["centre_lon"], heap["centre_lat"]] == pytest.approx(scene.to_lonlat([150, 120]), abs=1e-7)
    assert not result.boxes["cut"].any()
    assert not result.perimeters["cut"].any()
    moved = replace(found(), corners_scene=found().corners_scene - [99, 0])
    assert layers(moved, scene, card, ORIGIN).boxes["cut"].tolist() == [True]
    assert np.isnan(layers(found(), flat, card, ORIGIN).boxes["centre_lon"]).all()


def test_the_surest(card: Card) -> None:
    # Heap 0.9, ring 0.8, line 0.7; the span of 0.8 is no detection by itself.
    for limit, boxes, lines in ((1, 1, 0), (2, 1, 1), (3, 1, 2), (9, 1, 2)):
        kept = found().surest(limit, card.line_classes)
        assert ((kept.classes == 1).sum(), len(kept.lines)) == (boxes, lines)
    assert len(found(empty=True).surest(1, card.line_classes).scores) == 0


def test_the_same_detections_give_the_same_bytes(scene: Scene, card: Card, tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        result = layers(found(), scene, card, ORIGIN)
        for suffix, write in (
            ("geojson", write_geojson),
            ("gpkg", write_geopackage),
            ("parquet", write_geoparquet),
        ):
            write(tmp_path / name / f"x.{suffix}", result, scene)
        written.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
        time.sleep(0.01)  # a GeoPackage would carry the time to the millisecond
    assert written[0] == written[1]


def test_geojson_is_rfc_7946(scene: Scene, card: Card, tmp_path: Path) -> None:
    write_geojson(tmp_path / "x.geojson", layers(found(), scene, card, ORIGIN), scene)
    text = (tmp_path / "x.geojson").read_text(encoding="utf-8")
    document = json.loads(text)
    assert "NaN" not in text
    assert "crs" not in document
    assert "note" not in document
    heap, ring, line = (shapely.geometry.shape(f["geometry"]) for f in document["features"])
    assert heap.exterior.is_ccw
    assert heap.exterior.coords[0] == heap.exterior.coords[-1]
    assert ring.geom_type == "LineString"
    assert ring.is_closed
    assert not line.is_closed
    assert document["features"][2]["properties"]["enclosed_area_m2"] is None
    # geopandas as oracle: the heap's corners, 0.5 m pixels from 500000 E, 4400000 N.
    there = gpd.GeoSeries([shapely.box(500_050, 4_399_930, 500_100, 4_399_950)], crs=32652).to_crs(4326)[0]
    assert shapely.hausdorff_distance(there, heap) < 1e-7
    assert heap.centroid.x == pytest.approx(129, abs=0.01)


def test_geojson_in_pixels_says_so(flat: Scene, card: Card) -> None:
    result = layers(found(), flat, card, ORIGIN)
    document = geojson(result, flat)
    assert document["note"] == PIXEL_NOTE
    heap = shapely.geometry.shape(document["features"][0]["geometry"])  # type: ignore[index]
    assert heap.bounds == (100, 100, 200, 140)
    assert result.boxes["area_m2"].tolist() == [1000]
    assert result.perimeters["length_m"].tolist() == [300, 100]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("name", ["scene", "flat"])
def test_files_are_read_by_geopandas(
    name: str, empty: bool, request: pytest.FixtureRequest, card: Card, tmp_path: Path  # noqa: FBT001
) -> None:  # fmt: skip
    scene: Scene = request.getfixturevalue(name)
    result = layers(found(empty=empty), scene, card, ORIGIN)
    write_geopackage(tmp_path / "x.gpkg", result, scene)
    write_geoparquet(tmp_path / "x.parquet", result, scene)
    boxes = gpd.read_file(tmp_path / "x.gpkg", layer="boxes")
    perimeters = gpd.read_file(tmp_path / "x.gpkg", layer="perimeters")
    table = gpd.read_parquet(tmp_path / "x.parquet")
    assert (len(boxes), len(perimeters), len(table)) == ((0, 0, 0) if empty else (1, 2, 3))
    assert {"class", "score", "length_m", "width_m", "area_m2", "weights_sha256"} <= set(boxes.columns)
    assert {"closed", "enclosed_area_m2", "spans"} <= set(perimeters.columns) & set(table.columns)
    if name == "scene":
        assert boxes.crs.to_epsg() == 32652
        assert table.crs.to_authority() == ("OGC", "CRS84")
        if not empty:
            assert boxes.total_bounds.tolist() == [500_050, 4_399_930, 500_100, 4_399_950]
            assert table.total_bounds[0] == pytest.approx(129, abs=0.01)
    else:
        assert table.crs is None
        if not empty:
            assert boxes.total_bounds.tolist() == [100, 100, 200, 140]


def test_the_picture_shows_boxes_in_their_colours(scene: Scene, card: Card, tmp_path: Path) -> None:
    write_picture(tmp_path / "x.png", scene, found(), card)
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (400, 300)
        assert image.getpixel((150, 100)) == (0xFF, 0xE1, 0x19)
        assert image.getpixel((250, 100)) == (0xF5, 0x82, 0x31)
        assert image.getpixel((300, 100)) == (128, 128, 128)
