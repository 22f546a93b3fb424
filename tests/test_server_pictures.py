"""Tiles and chips: every pixel shows what lies there, in whatever CRS, number type or none a scene is."""

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rio_tiler.constants import WEB_MERCATOR_TMS

from pithead.errors import SceneError
from pithead.imagery import open_scene
from pithead.server.pictures import Outline, Plate, chip_png, overview, tile, tile_png
from pithead.server.pictures.plate import Place
from pithead.server.screen import to_screen

# rasterio and rio-tiler multiply transforms as the package affine will not for ever.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

SIZE = (600, 400)
QUARTERS = np.array([[[200, 20, 20], [20, 200, 20]], [[20, 20, 200], [200, 200, 20]]], np.uint8)
"""The colours of a scene: above left and right, below left and right."""
UTM = Affine(0.5, 0, 500_000, 0, -0.5, 4_400_000)
PLACES: dict[str, tuple[str | None, Affine]] = {
    "utm": ("EPSG:32652", UTM),
    "turned": ("EPSG:32652", UTM @ Affine.rotation(30)),
    "mirrored": ("EPSG:32652", Affine(-0.5, 0, 500_300, 0, 0.5, 4_399_800)),
    "degrees": ("EPSG:4326", Affine(6e-6, 0, 129, 0, -4.5e-6, 39.7)),
    "mercator": ("EPSG:3857", Affine(0.6, 0, 14_360_000, 0, -0.6, 4_820_000)),
    "mercator turned": ("EPSG:3857", Affine(0.6, 0, 14_360_000, 0, -0.6, 4_820_000) @ Affine.rotation(-20)),
    "polar": ("EPSG:3413", Affine(0.5, 0, 1_000_000, 0, -0.5, -1_500_000)),
    "nowhere": (None, Affine.identity()),
}


def quarters(width: int = SIZE[0], height: int = SIZE[1]) -> npt.NDArray[np.uint8]:
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    return np.moveaxis(QUARTERS[rows[:, None], columns[None]], -1, 0)


def write(
    path: Path,
    data: npt.NDArray[Any],
    crs: str | None = "EPSG:32652",
    transform: Affine = UTM,
    colours: tuple[ColorInterp, ...] | None = None,
    **more: Any,  # noqa: ANN401
) -> Path:
    place = {} if crs is None else {"crs": CRS.from_user_input(crs), "transform": transform}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2],
            dtype=data.dtype, photometric="RGB", **place, **more,
        ) as out:  # fmt: skip
            if colours is not None:
                out.colorinterp = colours
            out.write(data)
    return path


def read(png: bytes | None) -> npt.NDArray[np.uint8]:
    """RGBA (256, 256, 4)."""
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.size == (256, 256)
        return np.asarray(image.convert("RGBA"))


def tiles_of(plate: Plate, z: int, folder: Path) -> dict[tuple[int, int], npt.NDArray[np.uint8]]:
    """Every tile of a zoom that has something of a scene."""
    with plate.opened() as scene:
        place = Place.of(scene)
    first, last = (
        WEB_MERCATOR_TMS.tile(place.west, place.north, z),
        WEB_MERCATOR_TMS.tile(place.east, place.south, z),
    )
    found = {}
    for x in range(first.x, last.x + 1):
        for y in range(first.y, last.y + 1):
            png = tile_png(plate, z, x, y, folder)
            if png is not None:
                found[x, y] = read(png)
    return found


def expected(plate: Plate, crs: str | None, transform: Affine, z: int, x: Any, y: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Where in its pixels a scene lies under points of the grid of tiles, without any code of ours.

    Longitude and latitude by the formula of the Web Mercator projection of the tiles.
    """
    side = 2.0**z
    lon = x / side * 360 - 180
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * y / side))))
    there = pyproj.Transformer.from_crs("OGC:CRS84", crs or "EPSG:3857", always_xy=True).transform(lon, lat)
    if crs is None:
        assert plate.gsd_m is not None
        return there[0] / plate.gsd_m, -there[1] / plate.gsd_m
    inverse = ~transform
    return (
        inverse.a * there[0] + inverse.b * there[1] + inverse.c,
        inverse.d * there[0] + inverse.e * there[1] + inverse.f,
    )


@pytest.mark.parametrize("z", [15, 17, 18])
@pytest.mark.parametrize("name", PLACES)
def test_each_pixel_shows_what_lies_there(name: str, z: int, tmp_path: Path) -> None:
    crs, transform = PLACES[name]
    path = write(tmp_path / "a.tif", quarters(), crs, transform)
    plate = Plate(str(path), gsd_m=None if crs else 0.6)
    tiles = tiles_of(plate, z, tmp_path)
    assert tiles
    inside = outside = 0
    row, column = np.mgrid[4:256:7, 4:256:7]
    for (x, y), rgba in tiles.items():
        px, py = expected(plate, crs, transform, z, x + (column + 0.5) / 256, y + (row + 0.5) / 256)
        # So many pixels of the scene a pixel of the tile has; near an edge it shows both sides of it.
        near = 3 * max(1, 2 ** (18 - z))
        edges = [np.abs(px - at) for at in (0, 300, 600)] + [np.abs(py - at) for at in (0, 200, 400)]
        clear = np.min(edges, axis=0) >= near
        there = clear & (px > 0) & (px < 600) & (py > 0) & (py < 400)
        colours = QUARTERS[(py[there] >= 200).astype(int), (px[there] >= 300).astype(int)]
        seen = rgba[row, column]
        assert (seen[there][:, :3] == colours).all()
        assert (seen[there][:, 3] == 255).all()
        assert (seen[clear & ~there][:, 3] == 0).all()
        inside, outside = inside + int(there.sum()), outside + int((clear & ~there).sum())
    assert inside > (100 if z > 15 else 0)
    assert outside


def test_values_are_stretched_as_a_scan_stretches_them(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(300, 1500, 600).astype(np.uint16), (3, 400, 600))
    crs, transform = PLACES["mercator"]
    path = write(tmp_path / "a.tif", ramp, crs, transform)
    tiles = tiles_of(Plate(str(path)), 18, tmp_path)
    with open_scene(path) as scene:
        seen = scene.read(0, 0, 600, 400, 600, 400).data
    column = np.arange(0, 256, 17)
    for (x, y), rgba in tiles.items():
        px, py = expected(Plate(""), crs, transform, 18, x + (column + 0.5) / 256, np.full(16, y + 0.5))
        there = (px > 3) & (px < 597) & (py > 3) & (py < 397)
        known = seen[py[there].astype(int), px[there].astype(int), 0].astype(int)
        assert (np.abs(rgba[128, column[there], 0] - known) <= 1).all()
    plain = tiles_of(Plate(str(path), stretch="range 0-3000"), 18, tmp_path)
    values = np.concatenate([rgba[rgba[..., 3] > 0][:, 0] for rgba in plain.values()])
    assert values.max() == pytest.approx(1500 / 3000 * 255, abs=1)
    assert values.min() == pytest.approx(300 / 3000 * 255, abs=1)


def test_what_holds_no_data_is_transparent(tmp_path: Path) -> None:
    data = quarters()
    data[:, :200] = 0
    path = write(tmp_path / "a.tif", data, nodata=0)
    tiles = tiles_of(Plate(str(path)), 17, tmp_path)
    colours = {tuple(pixel) for rgba in tiles.values() for pixel in rgba[rgba[..., 3] > 0][:, :3].tolist()}
    # Nothing of the upper half, and no edge that is mixed with its black.
    assert all(min(colour) >= 19 and colour[1] < 201 for colour in colours)
    assert (200, 20, 20) not in colours
    assert {(20, 20, 200), (200, 200, 20)} <= colours


def test_infrared_that_is_tagged_alpha_is_no_mask(tmp_path: Path) -> None:
    infrared = np.random.default_rng(0).integers(1, 255, (1, 400, 600)).astype(np.uint8)
    colours = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha
    path = write(tmp_path / "a.tif", np.concatenate([quarters(), infrared]), colours=colours)
    tiles = tiles_of(Plate(str(path)), 17, tmp_path)
    opaque = sum(int((rgba[..., 3] == 255).sum()) for rgba in tiles.values())
    # 300 × 200 m on the ground at 39.7° north, where a pixel of zoom 17 is 1.194 m × cos 39.7°.
    assert opaque == pytest.approx(300 * 200 / (1.19433 * math.cos(math.radians(39.748))) ** 2, rel=0.02)


def test_tiles_side_by_side_fit_together(tmp_path: Path) -> None:
    across = np.linspace(0, 255, 600).astype(np.uint8)
    path = write(tmp_path / "a.tif", np.broadcast_to(across, (3, 400, 600)))
    tiles = tiles_of(Plate(str(path)), 19, tmp_path)
    met = 0
    for (x, y), left in tiles.items():
        right = tiles.get((x + 1, y))
        if right is not None:
            both = (left[:, -1, 3] > 0) & (right[:, 0, 3] > 0)
            steps = np.abs(left[both, -1, 0].astype(int) - right[both, 0, 0].astype(int))
            assert (steps <= 2).all()
            met += int(both.sum())
    assert met > 200


def test_where_nothing_is_there_is_none(tmp_path: Path) -> None:
    plate = Plate(str(write(tmp_path / "a.tif", quarters())))
    assert tile_png(plate, 17, 0, 0, tmp_path) is None
    empty = Plate(str(write(tmp_path / "b.tif", np.zeros((3, 40, 60), np.uint8), nodata=0)))
    assert tiles_of(empty, 17, tmp_path) == {}


@pytest.mark.parametrize("z", [0, 1, 5, 10, 22, 24])
def test_any_zoom_gives_a_picture_or_none(z: int, tmp_path: Path) -> None:
    plate = Plate(str(write(tmp_path / "a.tif", quarters())))
    with plate.opened() as scene:
        place = Place.of(scene)
    there = WEB_MERCATOR_TMS.tile((place.west + place.east) / 2, (place.south + place.north) / 2, z)
    png = tile_png(plate, z, there.x, there.y, tmp_path)
    if z > 14:
        assert (read(png)[..., 3] == 255).all()


def test_a_scene_across_the_antimeridian_is_on_both_sides(tmp_path: Path) -> None:
    # UTM zone 1 begins at 180°; at 65° north 6° are about 282 km, and the middle has an easting of 500 km.
    zone = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:32601", always_xy=True)
    east, north = zone.transform(180.0, 65.0)
    path = write(
        tmp_path / "a.tif", quarters(), "EPSG:32601", Affine(0.5, 0, east - 150, 0, -0.5, north + 100)
    )
    plate, side = Plate(str(path)), 2**16
    row = WEB_MERCATOR_TMS.tile(179.9999, 65.0, 16).y
    west, east_side = (tile_png(plate, 16, x, row, tmp_path) for x in (side - 1, 0))
    assert {tuple(pixel) for pixel in read(west)[:, 250:].reshape(-1, 4).tolist()} >= {(200, 20, 20, 255)}
    assert {tuple(pixel) for pixel in read(east_side)[:, :5].reshape(-1, 4).tolist()} >= {(20, 200, 20, 255)}


def test_a_large_scene_is_read_once_for_all_that_is_seen_from_afar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "SIDE_PX", 64)
    monkeypatch.setattr(tile, "SIDE_PX", 64)
    crs, transform = PLACES["turned"]
    data = quarters()
    data[:, :50] = 0
    path = write(tmp_path / "a.tif", data, crs, transform, nodata=0)
    plate, folder = Plate(str(path)), tmp_path / "overviews"
    near = tiles_of(plate, 18, folder)
    assert near
    assert not folder.exists()
    far = tiles_of(plate, 14, folder)
    (kept,) = folder.iterdir()
    with Image.open(kept) as image:
        assert image.size == (64, 43)
    colours = [pixel for rgba in far.values() for pixel in rgba[rgba[..., 3] > 0][:, :3].tolist()]
    assert len(colours) > 100
    for colour in QUARTERS.reshape(-1, 3).astype(int):
        assert min(np.abs(np.array(colours) - colour).sum(axis=1)) < 20
    kept.chmod(0o400)
    stamp = kept.stat().st_mtime_ns
    assert tiles_of(plate, 12, folder)
    assert kept.stat().st_mtime_ns == stamp
    other = write(tmp_path / "a.tif", 255 - data, crs, transform)
    assert tiles_of(Plate(str(other)), 14, folder)
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_is_gone_or_another_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "secret-name.tif", quarters())
    found = path.stat()
    plate = Plate(str(path), bytes=found.st_size, mtime_ns=found.st_mtime_ns, sha256="0" * 64)
    assert tiles_of(plate, 17, tmp_path)
    write(path, 255 - quarters())
    with pytest.raises(SceneError, match="other bytes") as caught:
        tile_png(plate, 17, 0, 0, tmp_path)
    assert "secret" not in str(caught.value)
    path.unlink()
    with pytest.raises(SceneError, match="not there") as caught:
        tile_png(plate, 17, 0, 0, tmp_path)
    assert "secret" not in str(caught.value)
    path.write_bytes(b"II*\0 and no more")
    with pytest.raises(SceneError, match="damaged") as caught:
        tile_png(Plate(str(path)), 17, 0, 0, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_file_that_was_touched_only_is_shown(tmp_path: Path) -> None:
    from pithead.files import sha256_of

    path = write(tmp_path / "a.tif", quarters())
    plate = Plate(str(path), bytes=path.stat().st_size, mtime_ns=5, sha256=sha256_of(path))
    assert tiles_of(plate, 17, tmp_path)


# --- chips


def chip(
    plate: Plate, *outlines: Outline, margin_m: float | None = None, px: int = 200
) -> npt.NDArray[np.uint8]:
    png = chip_png(plate, list(outlines), margin_m=margin_m, side_px=px)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", ["utm", "turned", "nowhere"])
def test_a_chip_shows_the_detection_in_the_middle(name: str, tmp_path: Path) -> None:
    crs, transform = PLACES[name]
    plate = Plate(str(write(tmp_path / "a.tif", quarters(), crs, transform)), gsd_m=None if crs else 0.5)
    corners = np.array([[280, 180], [320, 180], [320, 220], [280, 220]], float)
    with plate.opened() as scene:
        shown = scene.to_lonlat(corners) if crs else to_screen(corners, (0.5, 0.5))
    # 40 px of 0.5 m and 15 m on each side are 50 m, so 100 px of the scene and 2 px of the chip for each.
    image = chip(plate, Outline(shapely.Polygon(shown), "#ff00ff"), margin_m=15)
    assert image.shape == (200, 200, 3)
    assert [
        image[y, x].tolist() for y, x in ((20, 20), (20, 180), (180, 20), (180, 180))
    ] == QUARTERS.reshape(-1, 3).tolist()
    assert [
        image[y, x].tolist() for y, x in ((90, 90), (90, 110), (110, 90), (110, 110))
    ] == QUARTERS.reshape(-1, 3).tolist()
    for y, x in ((60, 100), (140, 100), (100, 60), (100, 140)):
        assert image[y, x].tolist() == [255, 0, 255]


def test_a_chip_at_the_edge_is_black_outside(tmp_path: Path) -> None:
    plate = Plate(str(write(tmp_path / "a.tif", quarters())))
    with plate.opened() as scene:
        line = shapely.LineString(scene.to_lonlat([[0, 0], [30, 0]]))
    image = chip(plate, Outline(line, "#ffffff"))
    assert image[10, 10].tolist() == [0, 0, 0]
    assert image[150, 150].tolist() == QUARTERS[0, 0].tolist()


def test_an_outline_of_before_is_dashed(tmp_path: Path) -> None:
    plate = Plate(str(write(tmp_path / "a.tif", quarters())))
    with plate.opened() as scene:
        new, old = (
            shapely.Polygon(scene.to_lonlat(shapely.get_coordinates(shapely.box(*bounds))))
            for bounds in ((120, 80, 160, 120), (100, 60, 180, 140))
        )
    image = chip(plate, Outline(new, "#ff00ff"), Outline(old, "#ffffff", dashed=True), margin_m=20, px=400)
    purple, white = ((image == colour).all(axis=2).sum() for colour in ([255, 0, 255], [255, 255, 255]))
    assert white > 100
    # The dashed line is twice as long, and half of it is drawn.
    assert 0.5 < white / purple < 1.5
