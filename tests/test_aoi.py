import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from pithead import geometry
from pithead.aoi import Aoi, read_aoi, touched
from pithead.errors import OptionError
from pithead.imagery import Scene, open_scene
from pithead.tiling import Grid

UTM52 = CRS.from_epsg(32652)
PLACE = Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000)


def _scene(
    folder: Path, width: int = 1000, height: int = 800, crs: CRS | None = UTM52, transform: Affine = PLACE
) -> Scene:
    place = {"crs": crs, "transform": transform} if crs is not None else {"transform": transform}
    with rasterio.open(
        folder / "a.tif", "w", driver="GTiff", count=1, height=height, width=width, dtype="uint8", **place
    ) as out:
        out.write(np.full((1, height, width), 9, np.uint8))
    return open_scene(folder / "a.tif", gsd_m=0.6 if crs is None else None)


def _geojson(path: Path, *shapes: shapely.Geometry, crs: str | None = None) -> Path:
    features = [
        {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(shape))}
        for shape in shapes
    ]
    member = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **member, "features": features}))
    return path


def _lonlat(box_scene: tuple[float, float, float, float], crs: CRS = UTM52) -> shapely.Polygon:
    corners = shapely.get_coordinates(shapely.box(*box_scene))
    return shapely.Polygon(geometry.to_lonlat(geometry.affine_points(PLACE, corners), crs))


def test_geojson_comes_to_scene_pixels(tmp_path: Path) -> None:
    aoi = read_aoi(_geojson(tmp_path / "a.geojson", _lonlat((100, 200, 400, 300))))
    assert isinstance(aoi, Aoi)
    with _scene(tmp_path) as scene:
        area_scene = aoi.in_scene(scene)
    # 300 × 100 px: lines of longitude and latitude differ from lines of the map by less than a pixel.
    assert area_scene.bounds == pytest.approx((100, 200, 400, 300), abs=1e-3)
    assert area_scene.area == pytest.approx(30_000, abs=1)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "shp"])
@pytest.mark.parametrize("epsg", [32652, 3857, 4326, 32651])
def test_polygons_in_any_crs_are_the_same_area(tmp_path: Path, suffix: str, epsg: int) -> None:
    crs = CRS.from_epsg(epsg)
    lonlat = shapely.get_coordinates(_lonlat((100, 200, 400, 300)))
    shape = shapely.Polygon(geometry.from_lonlat(lonlat, crs))
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[shape], crs=f"EPSG:{epsg}")
    frame.to_file(tmp_path / f"a.{suffix}")
    with _scene(tmp_path) as scene:
        area_scene = read_aoi(tmp_path / f"a.{suffix}").in_scene(scene)
    assert area_scene.area == pytest.approx(30_000, rel=1e-3)
    assert area_scene.bounds == pytest.approx((100, 200, 400, 300), abs=0.05)


def test_long_edges_bend_with_the_map(tmp_path: Path) -> None:
    # 400 km along 60° N: in 200 km of it a straight line of the map departs by 1.3 km.
    north = shapely.Polygon([(125.4, 60), (132.6, 60), (132.6, 60.5), (125.4, 60.5)])
    _, y = geometry.from_lonlat([[129.0, 60.0]], UTM52)[0]
    # 200 km wide and 10 km high, the parallel in the middle.
    with _scene(tmp_path, 2000, 1000, transform=Affine(100, 0, 400_000, 0, -10, y + 5_000)) as scene:
        area_scene = read_aoi(_geojson(tmp_path / "a.geojson", north)).in_scene(scene)
        edge = scene.to_lonlat(shapely.get_coordinates(area_scene))
    inside = edge[edge[:, 1] < 60.02]
    # Every point of the southern edge lies on the parallel to a few metres.
    assert np.abs(inside[:, 1] - 60).max() < 5e-5
    assert len(inside) > 20


def test_an_area_far_larger_than_the_scene(tmp_path: Path) -> None:
    with _scene(tmp_path) as scene:
        area_scene = read_aoi(_geojson(tmp_path / "a.geojson", shapely.box(-180, -90, 180, 90))).in_scene(
            scene
        )
        assert area_scene.equals(shapely.box(0, 0, 1000, 800))


def test_several_polygons_holes_and_a_bow_tie(tmp_path: Path) -> None:
    holed = _lonlat((0, 0, 200, 200)).difference(_lonlat((50, 50, 150, 150)))
    corners = shapely.get_coordinates(_lonlat((300, 0, 400, 100)))
    bow = shapely.Polygon(corners[[0, 2, 1, 3, 0]])
    collection = shapely.GeometryCollection([shapely.Point(129, 39.7), _lonlat((500, 0, 600, 100))])
    parts = shapely.MultiPolygon([_lonlat((700, 0, 750, 50)), _lonlat((800, 0, 850, 50))])
    path = _geojson(tmp_path / "a.geojson", holed, bow, collection, parts)
    with _scene(tmp_path) as scene:
        area = read_aoi(path).in_scene(scene).area
    assert area == pytest.approx(200**2 - 100**2 + 100**2 / 2 + 100**2 + 2 * 50**2, abs=2)


def test_turned_and_north_down_scenes_take_an_area(tmp_path: Path) -> None:
    for transform in (PLACE @ Affine.rotation(30), Affine(0.6, 0, 500_000, 0, 0.6, 4_400_000)):
        corners_map = geometry.affine_points(transform, [[100, 100], [300, 100], [300, 150], [100, 150]])
        polygon = shapely.Polygon(geometry.to_lonlat(corners_map, UTM52))
        with _scene(tmp_path, transform=transform) as scene:
            area_scene = read_aoi(_geojson(tmp_path / "a.geojson", polygon)).in_scene(scene)
        assert area_scene.bounds == pytest.approx((100, 100, 300, 150), abs=1e-3)


def test_files_that_are_no_area(tmp_path: Path) -> None:
    square = _lonlat((0, 0, 9, 9))
    with pytest.raises(OptionError, match="nothing there"):
        read_aoi(tmp_path / "none.geojson")
    with pytest.raises(OptionError, match="expected polygons, got LineString, Point"):
        read_aoi(_geojson(tmp_path / "b.geojson", shapely.Point(1, 2), square.exterior))
    with pytest.raises(OptionError, match="expected polygons, got nothing"):
        read_aoi(_geojson(tmp_path / "c.geojson"))
    with pytest.raises(OptionError, match=r"longitude and latitude in degrees, got 500009 and 4\.4e"):
        read_aoi(_geojson(tmp_path / "d.geojson", shapely.box(500_000, 4_399_991, 500_009, 4_400_000)))
    with pytest.raises(OptionError, match="an area, got lines or points only"):
        read_aoi(_geojson(tmp_path / "e.geojson", shapely.Polygon([(0, 0), (1, 1), (2, 2), (0, 0)])))
    (tmp_path / "f.geojson").write_text("no json")
    with pytest.raises(OptionError, match="expected GeoJSON or a GeoPackage") as error:
        read_aoi(tmp_path / "f.geojson")
    assert "\n" not in str(error.value)


def test_polygons_without_a_crs_are_not_guessed(tmp_path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[shapely.box(1, 2, 3, 4)], crs=4326).to_file(tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    with pytest.raises(OptionError, match="coordinate system, got none"):
        read_aoi(tmp_path / "a.shp")


def test_layers_are_not_guessed(tmp_path: Path) -> None:
    for layer in ("one", "two"):
        frame = geopandas.GeoDataFrame(geometry=[shapely.box(1, 2, 3, 4)], crs=4326)
        frame.to_file(tmp_path / "a.gpkg", layer=layer)
    with pytest.raises(OptionError, match=r"one layer of polygons, got \['one', 'two'\]"):
        read_aoi(tmp_path / "a.gpkg")


def test_an_area_elsewhere_and_a_scene_nowhere(tmp_path: Path) -> None:
    beside = read_aoi(_geojson(tmp_path / "a.geojson", _lonlat((1010, 0, 1100, 90))))
    away = read_aoi(_geojson(tmp_path / "b.geojson", shapely.box(39, 50, 40, 51)))
    with _scene(tmp_path) as scene:
        for aoi in (beside, away):
            with pytest.raises(OptionError, match=r"meets .*got none of it"):
                aoi.in_scene(scene)
    with (
        _scene(tmp_path, crs=None, transform=Affine.translation(1, 1)) as scene,
        pytest.raises(OptionError, match="expected a georeference to place"),
    ):
        beside.in_scene(scene)


def test_windows_whose_own_ground_meets_the_area() -> None:
    grid = Grid(2000, 2000, 1.0, 1.0, 640, 128)  # 4 × 4 windows, 512 apart
    found = [(w.x, w.y) for w in touched(grid, shapely.box(500, 520, 520, 530))]
    assert found == [(0, 512), (512, 512)]
    # The overlap belongs to the later window, an edge to neither, the far rim to the last.
    assert [(w.x, w.y) for w in touched(grid, shapely.box(520, 520, 630, 630))] == [(512, 512)]
    assert [(w.x, w.y) for w in touched(grid, shapely.box(512, 0, 1024, 512))] == [(512, 0)]
    assert [(w.x, w.y) for w in touched(grid, shapely.box(1990, 1990, 2000, 2000))] == [(1536, 1536)]


_pixels = st.floats(0, 1500)


@settings(deadline=None, max_examples=60)
@given(_pixels, _pixels, st.floats(1, 700), st.floats(1, 700), st.sampled_from([0.5, 1.0, 1.7]))
def test_windows_show_the_area_once_and_no_more(x: float, y: float, w: float, h: float, scale: float) -> None:
    grid = Grid(round(1500 * scale), round(1400 * scale), scale, scale, 320, 64)
    area_scene = shapely.intersection(shapely.Point(x, y).buffer(min(w, h)), shapely.box(0, 0, 1500, 1400))
    if area_scene.area < 1e-6:
        return
    run = list(touched(grid, area_scene))
    shown = 0.0
    for window in run:
        rows, columns = grid.own(window)
        own_grid = shapely.box(
            window.x, window.y, window.x + columns.stop, window.y + rows.stop
        )  # own ground begins where the window does
        own_scene = shapely.transform(own_grid, grid.to_scene)
        part = shapely.intersection(own_scene, area_scene).area
        assert part > 0
        shown += part
    assert shown == pytest.approx(area_scene.area, rel=1e-6)
    assert len(run) == len(set(run))
