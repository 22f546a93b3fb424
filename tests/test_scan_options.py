"""What inference/scan.py is asked for is what it does, and stands in the record."""

import json
import subprocess
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import MakeOnnx
from PIL import Image
from rasterio.crs import CRS
from test_programs import program
from test_remote import _served

SIZE = 1000  # tiles of 256 px every 192: 5 by 5, the last ones overhang
UTM = Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000)
CRS_HERE = CRS.from_epsg(32652)
HEAP = [100.0, 120.0, 60.0, 30.0, 0.5, 0.9, 1.0]  # in every tile


def write_scene(path: Path, data: np.ndarray[Any, Any] | None = None, **more: Any) -> Path:  # noqa: ANN401
    if data is None:
        data = np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE)).astype(np.uint8)
    profile = {"driver": "GTiff", "count": len(data), "height": data.shape[1], "width": data.shape[2]}
    place = {"crs": CRS_HERE, "transform": UTM, "dtype": str(data.dtype)}
    with rasterio.open(path, "w", **(profile | place | more)) as out:
        out.write(data)
    return path


def write_area(path: Path, left: float, top: float, right: float, bottom: float) -> Path:
    """A rectangle in pixels of the scene."""
    (x0, y0), (x1, y1) = UTM @ (left, top), UTM @ (right, bottom)
    gpd.GeoDataFrame(geometry=[shapely.box(x0, y1, x1, y0)], crs=32652).to_crs(4326).to_file(path)
    return path


class Scanner:
    """The program with weights that see one heap in every tile."""

    def __init__(self, weights: Path, out: Path) -> None:
        self.weights, self.out = weights, out

    def done(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return program(*arguments, "--weights", self.weights, "--out", self.out, "--overlap", "64")

    def record(self, *arguments: str | Path, name: str = "a") -> Any:  # noqa: ANN401
        done = self.done(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads((self.out / f"{name}.run.json").read_text())

    def heaps(self) -> Any:  # noqa: ANN401
        return gpd.read_file(self.out / "a.gpkg", layer="boxes")


@pytest.fixture
def scanner(tmp_path: Path, make_onnx: MakeOnnx) -> Scanner:
    return Scanner(make_onnx([HEAP]), tmp_path / "out")


def test_only_the_area_of_interest(tmp_path: Path, scanner: Scanner) -> None:
    scene = write_scene(tmp_path / "a.tif")
    area = write_area(tmp_path / "area.geojson", 200, 200, 600, 380)
    record = scanner.record(scene, "--aoi", area)
    # Tiles are at 0, 192, 384, 576 and 768 px: the area lies in the ground of three, all in one row.
    assert record["counts"]["tiles"] == {"all": 25, "run": 3, "empty": 0, "plain": 0, "outside": 22}
    assert record["options"]["aoi"] == str(area)
    assert len(record["aoi_sha256"]) == 64
    heaps = scanner.heaps()
    assert sorted(heaps["centre_x_px"].round().tolist()) == [292, 484]  # that at 676 lies outside of the area
    assert heaps["tiles"].tolist() == ["6", "7"]
    assert not heaps["cut"].any()


def test_an_area_elsewhere_is_told_before_any_work(tmp_path: Path, scanner: Scanner) -> None:
    scene = write_scene(tmp_path / "a.tif")
    area = write_area(tmp_path / "area.geojson", 5000, 0, 6000, 900)
    done = scanner.done(scene, "--aoi", area)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "meets" in done.stderr
    assert not scanner.out.exists()


def test_of_several_scenes_those_outside_are_named(tmp_path: Path, scanner: Scanner) -> None:
    scene = write_scene(tmp_path / "a.tif")
    elsewhere = write_scene(tmp_path / "b.tif", transform=UTM @ Affine.translation(20_000, 0))
    area = write_area(tmp_path / "area.geojson", 200, 200, 600, 380)
    done = scanner.done(scene, elsewhere, "--aoi", area)
    assert done.returncode == 0, done.stderr
    assert f"{elsewhere}: lies outside" in done.stdout
    assert {path.name.partition(".")[0] for path in scanner.out.iterdir()} == {"a"}


def test_plain_tiles_are_counted(tmp_path: Path, scanner: Scanner) -> None:
    data = np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE)).astype(np.uint8)
    data[:, :, 384:] = 90  # open water
    scene = write_scene(tmp_path / "a.tif", data)
    every, few = scanner.record(scene), scanner.record(scene, "--skip-plain")
    assert every["counts"]["tiles"] == {"all": 25, "run": 25, "empty": 0, "plain": 0, "outside": 0}
    assert few["counts"]["tiles"] == {"all": 25, "run": 10, "empty": 0, "plain": 15, "outside": 0}


def test_bands_and_stretch_are_on_record(tmp_path: Path, scanner: Scanner) -> None:
    data = np.random.default_rng(0).integers(100, 2000, (5, SIZE, SIZE)).astype(np.uint16)
    scene = write_scene(tmp_path / "a.tif", data, photometric="minisblack")
    done = scanner.done(scene)
    assert done.returncode == 2
    assert "--bands" in done.stderr
    record = scanner.record(scene, "--bands", "5", "3", "2", "--stretch", "range 200-1500")
    assert record["scene"]["bands"] == [5, 3, 2]
    assert record["scene"]["stretch"] == {"low": [200] * 3, "high": [1500] * 3}
    assert record["options"]["stretch"] == "range 200-1500"
    percentiles = scanner.record(scene, "--bands", "4", "--stretch", "percentile 5-95")["scene"]["stretch"]
    low, high = np.percentile(data[3], [5, 95])
    assert percentiles["low"] == pytest.approx([low] * 3, abs=20)  # of a sample
    assert percentiles["high"] == pytest.approx([high] * 3, abs=20)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (("--stretch", "2-98"), "percentile 2-98"),
        (("--bands", "7"), "band"),
        (("--date", "spring"), "2019-03-12"),
        (("--aoi", "none.geojson"), "none.geojson"),
    ],
)
def test_a_wrong_option_is_one_line(
    tmp_path: Path, scanner: Scanner, wrong: tuple[str, str], expected: str
) -> None:
    done = scanner.done(write_scene(tmp_path / "a.tif"), *wrong)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert expected in done.stderr
    assert not scanner.out.exists()


def test_the_date(tmp_path: Path, scanner: Scanner) -> None:
    record = scanner.record(write_scene(tmp_path / "a.tif"), "--date", "2019-03-12")
    assert record["scene"]["acquired"] == "2019-03-12T00:00:00+00:00"
    item = json.loads((scanner.out / "a.stac.json").read_text())
    assert item["properties"]["datetime"] == "2019-03-12T00:00:00Z"


def test_a_remote_scene_leaves_no_key(tmp_path: Path, scanner: Scanner) -> None:
    write_scene(tmp_path / "a.tif", driver="COG", blocksize=256)
    local = scanner.record(tmp_path / "a.tif")
    boxes = scanner.heaps().drop(columns=["scene_sha256"])
    with _served(tmp_path) as server:
        remote = scanner.record(f"{server.address}/a.tif?sig=SECRET")
    assert remote["scene"]["path"] == f"{server.address}/a.tif"
    assert (remote["scene"]["sha256"], remote["scene"]["files"]) == (None, {})
    assert remote["counts"] == local["counts"]
    assert scanner.heaps().drop(columns=["scene_sha256"]).equals(boxes)
    assert scanner.heaps()["scene_sha256"].isna().all()
    for path in scanner.out.iterdir():
        assert b"SECRET" not in path.read_bytes(), path.name


@pytest.mark.parametrize("overviews", [True, False])
def test_a_tenth_of_a_remote_scene_is_fetched_for_a_tenth_of_it(
    tmp_path: Path, scanner: Scanner, overviews: bool  # noqa: FBT001
) -> None:  # fmt: skip
    side = 3072
    data = np.random.default_rng(0).integers(1, 255, (3, side, side)).astype(np.uint8)
    size = {} if overviews else {"overviews": "NONE"}
    scene = write_scene(tmp_path / "a.tif", data, driver="COG", blocksize=128, compress="deflate", **size)
    # Tiles of 256 px at 64 px of overlap: 5 x 5 of 16 x 16.
    area = write_area(tmp_path / "area.geojson", 1160, 1160, 2100, 2100)
    with _served(tmp_path) as server:
        record = scanner.record(f"{server.address}/a.tif", "--aoi", area)
        sent = server.sent
    assert record["counts"]["tiles"]["run"] == 25
    assert sent < 0.15 * scene.stat().st_size
    with Image.open(scanner.out / "a.png") as picture:
        assert picture.size == (1024, 1024)  # 5 tiles every 192 px: the ground that was looked at
