"""datasets/adapt.py on tiny folders in each set's own layout, and the labels that come of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pithead.classes import load_classes
from pithead.labels.public import grouped
from pithead.labels.seen import rectangle

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def run(program: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "datasets" / program), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def picture(path: Path, side: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(1, 255, (side, side, 3), dtype=np.uint8)).save(path)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def dota(tmp_path: Path) -> Path:
    folder = tmp_path / "DOTA"
    (folder / "labelTxt").mkdir(parents=True)
    (folder / "labelTxt" / "P0000.txt").write_text(
        "imagesource:GoogleEarth\ngsd:0.3\n"
        "10.0 10.0 20.0 10.0 20.0 20.0 10.0 20.0 storage-tank 0\n"
        "30.0 30.0 40.0 35.0 38.0 40.0 28.0 35.0 plane 1\n"
    )
    (folder / "labelTxt" / "P0001.txt").write_text("imagesource:GoogleEarth\ngsd:0.5\n")
    for name in ("P0000", "P0001"):
        picture(folder / "images" / f"{name}.png")
    return folder


def test_dota_as_confusers(dota: Path, tmp_path: Path) -> None:
    done = run("adapt.py", "dota", dota, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Nobody has searched these images" in done.stdout
    tank, nothing = lines(tmp_path / "out" / "labels.jsonl")
    assert (tank["image"], tank["class"], tank["kind"]) == ("P0000", "hard_negative", "storage-tank")
    assert tank["polygon"] == [[10, 10], [20, 10], [20, 20], [10, 20]]
    assert (nothing["image"], nothing["class"]) == ("P0001", "none")


def test_dota_as_neighbours_goes_through_the_cut(dota: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("adapt.py", "dota", dota, "--out", out, "--aim", "neighbours")
    assert done.returncode == 0, done.stderr
    assert load_classes(out / "classes.toml").names == ("plane", "storage_tank")
    given = ["--labels", out / "labels.jsonl", "--classes", out / "classes.toml", "--scenes-gsd", 0.6]
    done = run("cut.py", dota / "images", *given, "--out", tmp_path / "set", "--tile", 64, "--overlap", 0)
    assert done.returncode == 0, done.stderr
    tiles = {tile["scene"]: tile for tile in lines(tmp_path / "set" / "manifest.jsonl")}
    assert tiles["P0000"]["counts"] == {"storage_tank": 1}
    assert tiles["P0000"]["n_ignored"] == 1  # the difficult plane


def test_xview_wagons_are_groups(tmp_path: Path) -> None:
    def box(x0: int, y0: int, x1: int, y1: int, number: int) -> dict[str, object]:
        told = {"bounds_imcoords": f"{x0},{y0},{x1},{y1}", "type_id": number, "image_id": "1038.tif"}
        return {"type": "Feature", "properties": told}

    # wagons of 50 × 10 px (15 m) 10 px (3 m) apart, and one 40 px (12 m) further on; a tower, a car
    features = [
        box(0, 0, 50, 10, 35),
        box(60, 0, 110, 10, 37),
        box(150, 0, 200, 10, 33),
        box(0, 90, 9, 99, 94),
        box(30, 90, 39, 99, 18),
    ]
    folder = tmp_path / "xview"
    folder.mkdir()
    (folder / "xView_train.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    done = run("adapt.py", "xview", folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = lines(tmp_path / "out" / "labels.jsonl")
    rail = [np.array(row["polygon"]) for row in rows if row["class"] == "rail_loading"]
    spans = sorted((points[:, 0].min(), points[:, 0].max()) for points in rail)
    assert spans == [pytest.approx((0, 110)), pytest.approx((150, 200))]
    assert {(row["class"], row.get("kind"), row.get("confidence")) for row in rows} == {
        ("rail_loading", None, "probable"), ("hard_negative", "Tower", None),
    }  # fmt: skip


def test_dior_upright_and_oriented(tmp_path: Path) -> None:
    folder = tmp_path / "dior"
    upright = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>50</ymax></bndbox>"
    turned = (
        "<robndbox>"
        + "".join(
            f"<x_{k}>{x}</x_{k}><y_{k}>{y}</y_{k}>"
            for k, x, y in (
                ("left_top", 10, 0),
                ("right_top", 20, 10),
                ("right_bottom", 10, 20),
                ("left_bottom", 0, 10),
            )
        )
        + "</robndbox>"
    )
    for kind, box in (("Horizontal", upright), ("Oriented", turned)):
        path = folder / "Annotations" / f"{kind} Bounding Boxes" / f"{kind}.xml"
        path.parent.mkdir(parents=True)
        path.write_text(f"<annotation><object><name>chimney</name>{box}</object></annotation>")
    done = run("adapt.py", "dior", folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    one, other = lines(tmp_path / "out" / "labels.jsonl")
    assert one["polygon"] == [[10, 20], [30, 20], [30, 50], [10, 50]]
    assert other["polygon"] == [[10, 0], [20, 10], [10, 20], [0, 10]]
    assert one["class"] == other["class"] == "hard_negative"


def test_airbus_tanks_with_our_labels(tmp_path: Path) -> None:
    folder = tmp_path / "airbus"
    for name in ("9f1025a76760", "aaaaaaaaaaaa"):
        picture(folder / "images" / f"{name}.jpg")
    (folder / "annotations.csv").write_text(
        'image_id,class,bounds\n0918a15c-8cfb-4da7-92cf-9f1025a76760,oil-storage-tank,"(5, 6, 15, 18)"\n'
        'ffffffff-8cfb-4da7-92cf-aaaaaaaaaaaa,oil-storage-tank,"(5, 6, 15, 18)"\n'
    )
    heap = {"image": "9f1025a76760", "class": "coal_heap", "polygon": rectangle(20, 20, 40, 40).tolist()}
    (tmp_path / "ours.jsonl").write_text(json.dumps(heap) + "\n")
    done = run("adapt.py", "airbus-oil", folder, "--out", tmp_path / "out", "--ours", tmp_path / "ours.jsonl")
    assert done.returncode == 0, done.stderr
    assert "Nobody has searched" not in done.stdout
    ours, tank = lines(tmp_path / "out" / "labels.jsonl")  # the other image nobody has searched
    assert (ours["class"], ours["image"]) == ("coal_heap", "9f1025a76760")
    assert tank["polygon"] == [[5, 6], [15, 6], [15, 18], [5, 18]]


def test_naip_is_background(tmp_path: Path) -> None:
    picture(tmp_path / "naip" / "302.tif")
    done = run("adapt.py", "naip", tmp_path / "naip", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "out" / "labels.jsonl") == [{"image": "302", "class": "none", "sensor": "naip"}]
    refused = run("adapt.py", "naip", tmp_path / "naip", "--out", tmp_path / "x", "--aim", "neighbours")
    assert refused.returncode == 2
    assert "negatives only" in refused.stderr


def test_groups_are_chains() -> None:
    boxes = [rectangle(x, 0, x + 10, 5) for x in (0, 12, 24, 60)]
    assert [sorted(np.ptp(points, axis=0).tolist()) for points in grouped(boxes, 3)] == [[5, 34], [5, 10]]
    assert grouped([], 3) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("dota", "labelTxt"),
        ("xview", "xView_train.geojson"),
        ("dior", "Annotations"),
        ("airbus-oil", "annotations.csv"),
        ("coco", "expected a source"),
        ("naip", "expected images"),
    ],
)
def test_a_folder_of_something_else(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    done = run("adapt.py", source, tmp_path / "empty", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_broken_line_is_named(dota: Path, tmp_path: Path) -> None:
    path = dota / "labelTxt" / "P0000.txt"
    path.write_text("10 10 20 storage-tank 0\n")
    done = run("adapt.py", "dota", dota, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"{path}:1" in done.stderr


def test_the_real_airbus_scenes(tmp_path: Path) -> None:
    folder = SHARED / "scenes" / "airbus-oil"
    if not folder.is_dir():
        pytest.skip("the Airbus scenes are not here (../shared/scenes/airbus-oil)")
    ours = SHARED / "labels" / "dev.jsonl"
    done = run("adapt.py", "airbus-oil", folder, "--out", tmp_path / "out", "--ours", ours)
    assert done.returncode == 0, done.stderr
    rows = lines(tmp_path / "out" / "labels.jsonl")
    labelled = {row["image"] for row in lines(ours)}
    assert {row["image"] for row in rows} == labelled
    assert sum(row.get("kind") == "oil-storage-tank" for row in rows) > 5000
    assert sum(row["class"] == "coal_heap" for row in rows) == sum(
        row["class"] == "coal_heap" for row in lines(ours)
    )
