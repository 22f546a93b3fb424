"""The GeoPackage to label in: ogrinfo reads layers, fields and lists; what is drawn in it becomes labels."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from defusedxml import ElementTree

from pithead.classes import load_classes
from pithead.imagery import write_cog
from pithead.labels.qgis import VALUES, lists_of, qml
from pithead.labels.sheet import no_sizes, read_lines

ROOT = Path(__file__).parents[1]
CLASSES = load_classes(ROOT / "labeling" / "classes.toml")


def run(program: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "labeling" / program), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "qgis" / "labels.gpkg"
    done = run("template.py", path, "--crs", "EPSG:32652")
    assert done.returncode == 0, done.stderr
    return path


def ogrinfo(*options: object) -> str:
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("ogrinfo is not installed (Debian: gdal-bin)")
    done = subprocess.run([program, *map(str, options)], capture_output=True, text=True, check=True)
    assert "ERROR" not in done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_ogrinfo_reads_layers_fields_and_lists(template: Path) -> None:
    text = ogrinfo("-so", "-al", template)
    for layer in ("areas", "lines", "scenes"):
        assert f"Layer name: {layer}" in text
    assert text.count('ID["EPSG",32652]') == 3
    for field in ("class", "confidence", "kind", "material", "note", "image", "site", "date", "sensor"):
        assert f"{field}: String" in text
    assert "domain name: areas_class" in text or "areas_class" in text
    listed = ogrinfo("-fielddomain", "areas_class", template)
    for name in ("mine_head", "coal_heap", "rail_loading", "hard_negative"):
        assert f"{name}:" in listed
    assert "guard_perimeter:" in ogrinfo("-fielddomain", "lines_class", template)


def test_styles_have_the_classes_in_their_colours(template: Path) -> None:
    for layer in ("areas", "lines", "scenes"):
        text = template.with_name(f"{layer}.qml").read_text("utf-8")
        assert text == qml(layer, CLASSES)
        with closing(sqlite3.connect(template)) as database:
            query = "SELECT styleQML, useAsDefault FROM layer_styles WHERE f_table_name = ?"
            assert database.execute(query, (layer,)).fetchall() == [(text, 1)]
        root = ElementTree.fromstring(text.split("\n", 1)[1])
        assert listed(root) == {k: list(v) for k, v in lists_of(layer, CLASSES).items()}
    root = ElementTree.fromstring(qml("areas", CLASSES).split("\n", 1)[1])
    shown = {c.get("value"): c.get("symbol") for c in root.iter("category")}
    assert list(shown) == ["mine_head", "coal_heap", "rail_loading", "hard_negative"]
    colours = [
        option.get("value")
        for symbol in root.iter("symbol")
        if symbol.get("name") == shown["coal_heap"]
        for option in symbol.iter("Option")
        if option.get("name") == "outline_color"
    ]
    assert colours == ["255,225,25,255"]  # #ffe119


def listed(root: Any) -> dict[str, list[str]]:  # noqa: ANN401 (an element, of a library without types)
    return {
        field.get("name"): [o.get("value") for o in field.iter("Option") if o.get("type") == "QString"]
        for field in root.iter("field")
    }


def test_lists_are_those_of_the_guide() -> None:
    guide = (ROOT / "labeling" / "guide.md").read_text("utf-8")
    for values in VALUES.values():
        for value in values:
            assert f"`{value}`" in guide


def test_what_is_drawn_becomes_label_lines(template: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    place = Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)
    pixels = np.random.default_rng(0).integers(1, 255, (3, 200, 300), dtype=np.uint8)
    write_cog(scenes / "camp.tif", pixels, place, "EPSG:32652", colorinterp=("red", "green", "blue"))
    corners = np.array([[20, 30], [60, 30], [60, 50], [20, 50]])
    on_map = np.array([place @ tuple(corner) for corner in corners])
    drawn = {"class": ["coal_heap"], "confidence": ["probable"], "material": ["coal"]}
    frame = gpd.GeoDataFrame(drawn, geometry=[shapely.Polygon(on_map)], crs="EPSG:32652")
    frame.to_file(template, layer="areas", driver="GPKG", engine="pyogrio", append=True)
    fence = gpd.GeoDataFrame(
        {"class": ["guard_perimeter"]}, geometry=[shapely.LineString(on_map)], crs="EPSG:32652"
    )
    fence.to_file(template, layer="lines", driver="GPKG", engine="pyogrio", append=True)
    done = run("convert.py", template, tmp_path / "labels.jsonl", "--scenes", scenes)
    assert done.returncode == 0, done.stderr
    (sheet,) = read_lines(tmp_path / "labels.jsonl", CLASSES, no_sizes)
    heap, line = sheet.labels
    assert sheet.image == "camp"
    assert heap.points == pytest.approx(corners, abs=1e-3)
    assert dict(heap.attributes) == {"confidence": "probable", "material": "coal"}
    assert (line.closed, len(line.points)) == (False, 4)


def test_labels_are_never_written_over(template: Path, tmp_path: Path) -> None:
    before = template.read_bytes()
    done = run("template.py", template)
    assert done.returncode == 2
    assert "may hold labels" in done.stderr
    assert template.read_bytes() == before
    wrong = run("template.py", tmp_path / "x.gpkg", "--crs", "EPSG:0")
    assert wrong.returncode == 2
    assert "EPSG:32652" in wrong.stderr
    assert not (tmp_path / "x.gpkg").exists()


def test_the_same_template_twice_is_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("template.py", tmp_path / name / "labels.gpkg").returncode == 0
    text = ogrinfo("-al", tmp_path / "a" / "labels.gpkg")
    assert text.replace("/a/", "/b/") == ogrinfo("-al", tmp_path / "b" / "labels.gpkg")
    assert json.dumps(sorted(path.name for path in (tmp_path / "a").iterdir())) == json.dumps(
        ["areas.qml", "labels.gpkg", "lines.qml", "scenes.qml"]
    )
