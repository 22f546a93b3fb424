"""Labels go through every format and come back where they were."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pithead.classes import load_classes
from pithead.errors import LabelError
from pithead.geometry import boxes_to_corners
from pithead.labels import Label, SceneFacts
from pithead.labels.formats import FORMATS, format_of, read_sheets
from pithead.labels.places import Places
from pithead.labels.sheet import Sheet

ROOT = Path(__file__).resolve().parents[1]
CLASSES = load_classes(ROOT / "labeling" / "classes.toml")
REAL = ROOT.parent / "shared"
SIZE = (400, 300)
TURN = rasterio.Affine.rotation(20)
ENDING = {"jsonl": "a.jsonl", "geojson": "a.geojson", "gpkg": "a.gpkg", "cvat": "a.xml", "coco": "a.json"}
WHOLE = ("jsonl", "geojson", "gpkg", "label-studio", "coco", "cvat")
CORNERS = ("dota", "yolo-obb", "yolo")


def placed(west: float, north: float, x_size: float, y_size: float) -> rasterio.Affine:
    return rasterio.Affine(x_size, 0, west, 0, -y_size, north)


def write_scene(path: Path, crs: str, transform: rasterio.Affine) -> None:
    pixels = np.zeros((3, SIZE[1], SIZE[0]), np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=SIZE[0], height=SIZE[1], count=3, dtype="uint8", crs=crs,
        transform=transform,
    ) as file:  # fmt: skip
        file.write(pixels)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder / "north.tif", "EPSG:32652", placed(300000, 4500000, 0.5, 0.5))
    write_scene(
        folder / "turned.tif",
        "EPSG:32652",
        placed(310000, 4500000, 0.5, 0.5) @ rasterio.Affine.rotation(20),
    )
    write_scene(folder / "degrees.tif", "EPSG:4326", placed(126.5, 40.5, 4e-6, 3e-6))
    return Places(folder)


def turned(x: float, y: float, w: float, h: float, degrees: float) -> np.ndarray:
    return boxes_to_corners(np.array([[x, y, w, h, math.radians(degrees)]]))[0]


def box(class_id: int, points: np.ndarray, **attributes: str) -> Label:
    geometry = "strip" if class_id == 3 else "box"
    weight = "ignore" if attributes.get("confidence") == "possible" else "target"
    return Label(class_id, geometry, points, True, weight, attributes)  # noqa: FBT003 (as Label has it)


def line(points: list[tuple[float, float]], *, closed: bool, **attributes: str) -> Label:
    return Label(2, "line", np.array(points, float), closed, "target", attributes)


EVERYTHING = (
    box(1, turned(100, 80, 60, 30, 25), confidence="probable", material="coal", note="a “heap”, black; 한국"),
    box(1, np.array([[200, 200], [240, 190], [260, 230], [230, 250], [205, 235]]), confidence="possible"),
    box(0, turned(300, 60, 40, 40, 0), kind="headframe"),
    box(3, turned(200, 150, 180, 4, -70), kind="wagons"),
    line([(20, 20), (380, 30), (370, 280), (30, 270)], closed=True, kind="prison_like"),
    line([(50, 150), (120, 160), (180, 290)], closed=False),
    line([(10, 10), (90, 12)], closed=False, confidence="sure"),
    replace(box(1, turned(15, 210, 20, 20, 0), note="pond"), class_id=-1, weight="negative"),
)
FACTS = SceneFacts("camp-a", "2019-05-04", "WV02", "steppe", "snow", "0")


def through(name: str, sheets: list[Sheet], places: Places, folder: Path) -> list[Sheet]:
    path = folder / ENDING.get(name, name)
    FORMATS[name].write(path, sheets, CLASSES, places)
    return read_sheets(path, name, CLASSES, places)


def assert_same(one: Label, other: Label, px: float) -> None:
    assert (one.class_id, one.geometry, one.closed, one.weight) == (
        other.class_id, other.geometry, other.closed, other.weight,
    )  # fmt: skip
    assert one.attributes == other.attributes
    gap = np.hypot(*(one.points[:, None] - other.points[None]).transpose(2, 0, 1))
    assert gap.min(axis=0).max() < px
    assert gap.min(axis=1).max() < px
    if one.geometry != "line" or one.closed:
        assert shapely.Polygon(one.points).area == pytest.approx(shapely.Polygon(other.points).area, abs=1)


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_lost(name: str, places: Places, tmp_path: Path) -> None:
    sheets = [
        Sheet("degrees", SIZE, EVERYTHING, FACTS),
        Sheet("north", SIZE, EVERYTHING[:1], SceneFacts("camp-a", "2020-01-01")),
        Sheet("turned", SIZE, (), SceneFacts(None, None)),
    ]
    again = {sheet.image: sheet for sheet in through(name, sheets, places, tmp_path)}
    assert list(again) == ["degrees", "north", "turned"] or name in ("geojson", "gpkg")
    assert {image: sheet.facts for image, sheet in again.items()} == {s.image: s.facts for s in sheets}
    assert {sheet.size for sheet in again.values()} == {SIZE}
    for sheet in sheets:
        found = list(again[sheet.image].labels)
        assert len(found) == len(sheet.labels)
        for label in sheet.labels:
            known = next(f for f in found if kind_of(f) == kind_of(label))
            if name == "label-studio" and len(label.points) == 2:  # a polygon there has a third point
                assert known.points[[0, 2]] == pytest.approx(label.points)
            else:
                assert_same(label, known, 0.01)


def kind_of(label: Label) -> tuple[object, ...]:
    """What tells the labels of EVERYTHING apart."""
    return (label.class_id, label.closed, label.weight, tuple(sorted(label.attributes.items())))


BOXES = st.builds(
    turned, st.floats(50, 350), st.floats(50, 250), st.floats(12, 80), st.floats(4, 11), st.floats(-90, 89.9)
)


@pytest.mark.parametrize("name", [*WHOLE, "dota", "yolo-obb"])
@given(corners=BOXES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_turned_box_comes_back(name: str, corners: np.ndarray, places: Places, tmp_path: Path) -> None:
    heap = box(1, corners)
    (sheet,) = through(name, [Sheet("turned", SIZE, (heap,))], places, tmp_path)
    assert_same(heap, sheet.labels[0], 0.01)


STANDING = box(1, turned(100, 80, 60, 30, 90))


def test_upright_boxes_are_the_bounds(places: Places, tmp_path: Path) -> None:
    (sheet,) = through(
        "yolo", [Sheet("north", SIZE, (box(1, turned(100, 80, 60, 30, 90)),))], places, tmp_path
    )
    low, high = sheet.labels[0].points.min(0), sheet.labels[0].points.max(0)
    assert [*low, *high] == pytest.approx([85, 50, 115, 110], abs=1e-3)


@pytest.mark.parametrize("name", CORNERS)
def test_lines_come_back_as_their_spans(name: str, places: Places, tmp_path: Path) -> None:
    wall = line([(10, 40), (330, 40)], closed=False)
    possible = box(1, turned(100, 80, 60, 30, 0), confidence="possible")
    (sheet,) = through(name, [Sheet("north", SIZE, (wall, possible))], places, tmp_path)
    spans = [label for label in sheet.labels if label.class_id == 2]
    assert sum(shapely.LineString(label.points).length for label in spans) == pytest.approx(320, abs=0.01)
    assert all(label.points[:, 1] == pytest.approx(40, abs=1e-3) for label in spans)
    assert [label.weight for label in sheet.labels if label.class_id == 1] == ["ignore"]


def test_a_row_of_yolo_by_hand(tmp_path: Path) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    (tmp_path / "y" / "labels").mkdir(parents=True)
    (tmp_path / "y" / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.2\n1 .25 .5 .5 .5 .5 .75 .25 .75\n")
    (tmp_path / "y" / "data.yaml").write_text("names: [rail_loading, mine_head]\n")
    (sheet,) = read_sheets(tmp_path / "y", "yolo", CLASSES, Places(tmp_path))
    assert [label.class_id for label in sheet.labels] == [3, 0]
    corners = [[180, 120], [220, 120], [220, 180], [180, 180]]
    assert sheet.labels[0].points == pytest.approx(np.array(corners))
    assert sheet.labels[1].points.tolist() == [[100, 150], [200, 150], [200, 225], [100, 225]]


def test_a_rectangle_of_label_studio_by_hand(tmp_path: Path, places: Places) -> None:
    """A square of 100 px in 400 × 300, its first corner at (200, 100), a quarter turn clockwise."""
    value = {"x": 50, "y": 100 / 3, "width": 25, "height": 100 / 3, "rotation": 90}
    region = {
        "id": "1", "type": "rectanglelabels", "from_name": "rectangle", "to_name": "image",
        "original_width": 400, "original_height": 300, "value": {**value, "rectanglelabels": ["coal_heap"]},
    }  # fmt: skip
    old = {"result": [], "updated_at": "2024-01-01T00:00:00Z"}
    new = {"result": [region], "updated_at": "2024-02-01T00:00:00Z"}
    gone = {"result": [], "updated_at": "2024-03-01T00:00:00Z", "was_cancelled": True}
    tasks = [
        {"data": {"image": "x/north.png"}, "annotations": [old, new, gone]},
        {"data": {"image": "b.png"}, "annotations": []},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks))
    (sheet,) = read_sheets(path, format_of(path), CLASSES, places)
    assert sheet.image == "north"
    assert sheet.labels[0].points == pytest.approx(np.array([[200, 100], [200, 200], [100, 200], [100, 100]]))


def test_a_box_of_cvat_by_hand(tmp_path: Path, places: Places) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        '<annotations><version>1.1</version><image id="0" name="d/north.tif" width="400" height="300">'
        '<box label="coal_heap" xtl="100" ytl="100" xbr="160" ybr="120" rotation="90">'
        '<attribute name="material">coal</attribute></box>'
        '<polyline label="guard_perimeter" points="1,2;3,4;5,9"/></image></annotations>'
    )
    (sheet,) = read_sheets(path, "cvat", CLASSES, places)
    assert sheet.labels[0].points == pytest.approx(np.array([[140, 80], [140, 140], [120, 140], [120, 80]]))
    assert sheet.labels[0].attributes == {"material": "coal"}
    assert (sheet.labels[1].closed, len(sheet.labels[1].points)) == (False, 3)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_reads_our_file(places: Places, tmp_path: Path) -> None:
    """Oracle: pycocotools."""
    from pycocotools.coco import COCO

    FORMATS["coco"].write(tmp_path / "a.json", [Sheet("north", SIZE, EVERYTHING, FACTS)], CLASSES, places)
    coco = COCO(str(tmp_path / "a.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [
        *CLASSES.names,
        "hard_negative",
    ]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert len(annotations) == len(EVERYTHING)
    heap = next(a for a in annotations if a["attributes"].get("material") == "coal")
    assert heap["area"] == pytest.approx(1800)
    assert int(coco.annToMask(heap).sum(dtype=int)) == pytest.approx(1800, abs=60)


def test_a_coco_file_of_others_knows_its_facts_as_numbers(places: Places, tmp_path: Path) -> None:
    image = {**IMAGE, "license": 0, "flickr_url": "", "date_captured": 0, "off_nadir_deg": 0}
    (tmp_path / "a.json").write_text(json.dumps({"images": [image], "categories": [], "annotations": []}))
    (sheet,) = read_sheets(tmp_path / "a.json", "coco", CLASSES, places)
    assert sheet.facts == SceneFacts(off_nadir_deg="0")  # CVAT writes the date 0 where it knows none


def test_ultralytics_reads_our_rows(places: Places, tmp_path: Path) -> None:
    """Oracle: the reader of ultralytics' datasets."""
    from ultralytics.data.utils import verify_image_label

    FORMATS["yolo-obb"].write(tmp_path, [Sheet("north", SIZE, EVERYTHING[:1])], CLASSES, places)
    Image.new("RGB", SIZE).save(tmp_path / "north.png")
    arguments = (
        str(tmp_path / "north.png"),
        str(tmp_path / "labels" / "north.txt"),
        "",
        False,
        4,
        0,
        0,
        False,
    )
    _, labels, _, segments, *_ = verify_image_label(arguments)
    assert labels[0][0] == 1
    assert segments[0] * SIZE == pytest.approx(EVERYTHING[0].points, abs=1e-3)


def test_a_label_drawn_in_qgis_finds_its_scene(places: Places, tmp_path: Path) -> None:
    """Without the field image, in another coordinate system, as a Multi geometry with heights."""
    import geopandas as gpd

    place = places.of("north", "")
    outline = shapely.polygons(place.to_map([[10, 10], [40, 10], [40, 30], [10, 30]]))
    frame = gpd.GeoDataFrame(
        {"class": ["coal_heap"], "confidence": ["probable"]},
        geometry=[shapely.MultiPolygon([shapely.force_3d(outline, 7)])], crs="EPSG:32652",
    )  # fmt: skip
    frame.to_crs("EPSG:3857").to_file(tmp_path / "drawn.gpkg", layer="mine", driver="GPKG")
    (sheet,) = read_sheets(tmp_path / "drawn.gpkg", "gpkg", CLASSES, places)
    assert (sheet.image, sheet.labels[0].attributes) == ("north", {"confidence": "probable"})
    assert sheet.labels[0].points == pytest.approx(
        np.array([[10, 10], [40, 10], [40, 30], [10, 30]]), abs=1e-3
    )


STEEP = {"class": "coal_heap", "image": "degrees", "off_nadir_deg": "steep"}
IMAGE = {"id": 1, "file_name": "a.png", "width": 400, "height": 300}
STEEP_COCO = {"images": [{**IMAGE, "off_nadir_deg": 91}], "categories": [], "annotations": []}
STEEP_TASK = {
    "id": 7,
    "data": {"image": "north", "off_nadir_deg": float("nan")},
    "annotations": [{"result": []}],
}
STEEP_CVAT = (
    '<annotations><image name="a" width="4" height="3"><tag label="scene">'
    '<attribute name="off_nadir_deg">steep</attribute></tag></image></annotations>'
)
CUBOID = '<annotations><image name="a" width="1" height="1"><cuboid label="coal_heap"/></image></annotations>'
RING = [[126.5, 40.5], [126.5001, 40.5], [126.5001, 40.4999], [126.5, 40.5]]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.geojson", "no", "vector file"),
        ("a.geojson", ("Polygon", "nowhere", {"class": "coal_heap"}), "no scene holds"),
        ("a.geojson", ("Polygon", "", {"class": "coal_mound"}), "coal_mound"),
        ("a.geojson", ("Point", "", {"class": "coal_heap", "image": "degrees"}), "Point"),
        ("a.geojson", ("LineString", "", {"class": "coal_heap", "image": "degrees"}), "polygon"),
        ("a.geojson", ("Polygon", "", {"class": "coal_heap", "image": "gone"}), "gone is not there"),
        ("a.geojson", ("Polygon", "", {"name": "x", "image": "degrees"}), "class"),
        ("a.geojson", ("Polygon", "", STEEP), "a 0: off_nadir_deg is a number"),
        ("a.xml", STEEP_CVAT, "a: off_nadir_deg is a number"),
        ("a.json", json.dumps(STEEP_COCO), "a.png: off_nadir_deg is a number"),
        ("a.json", json.dumps({**STEEP_COCO, "images": [{"id": 1, "width": 4, "height": 3}]}), "file_name"),
        ("a.json", json.dumps([STEEP_TASK]), "task 7: off_nadir_deg is a number"),
        ("a.xml", "<annotations><image", "XML"),
        ("a.xml", "<html></html>", "annotations"),
        ("a.xml", CUBOID, "cuboid"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "XML"),
        ("a.json", '{"images": 3}', "COCO"),
        ("a.json", "[3]", "Label Studio"),
        ("a.json", "[", "JSON"),
        ("a.txt", "", "--from"),
    ],
)  # fmt: skip
def test_what_cannot_be_says_so(name: str, text: object, says: str, places: Places, tmp_path: Path) -> None:
    if isinstance(text, tuple):
        kind, at, told = text
        points = {"Polygon": [RING], "Point": RING[0], "LineString": RING[:2]}[kind]
        points = [[[0, 0], [1, 0], [1, 1], [0, 0]]] if at == "nowhere" else points
        geometry = {"type": kind, "coordinates": points}
        feature = {"type": "Feature", "geometry": geometry, "properties": told}
        text = json.dumps({"type": "FeatureCollection", "features": [feature]})
    (tmp_path / name).write_text(str(text))
    with pytest.raises(LabelError, match=says) as error:
        read_sheets(tmp_path / name, format_of(tmp_path / name), CLASSES, places)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("9 0 0 1 1", "class ids"),
        ("1 0 0 1", "4 numbers"),
        ("x 0 0 1 1", "a row"),
        ("1 0 0 1 1 1", "corners"),
    ],
)
def test_rows_of_yolo_that_cannot_be(row: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(row)
    with pytest.raises(LabelError, match=rf"a\.txt:1: .*{says}"):
        read_sheets(tmp_path, "yolo-obb", CLASSES, Places(None))


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "yolo-obb", "gpkg", "geojson"])
def test_pixels_of_an_unknown_image_go_nowhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="north"):
        through(name, [Sheet("north", (0, 0), EVERYTHING)], Places(None), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real scenes are not part of the project")
@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "dota", "yolo-obb"])
def test_the_real_labels_go_through(name: str, tmp_path: Path) -> None:
    real = Places(REAL / "scenes" / "airbus-oil" / "images")
    sheets = read_sheets(REAL / "labels" / "dev.jsonl", "jsonl", CLASSES, real)
    again = through(name, sheets, real, tmp_path)
    assert sorted(sheet.image for sheet in again) == sorted(sheet.image for sheet in sheets)
    if name in WHOLE:
        assert [len(s.labels) for s in again] == [len(s.labels) for s in sheets]
