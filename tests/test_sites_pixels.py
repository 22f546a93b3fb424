"""What the pixels of scenes say of a site: what hides it, and how far scenes are apart."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from scipy.ndimage import gaussian_filter, shift

from pithead.geometry import from_lonlat
from pithead.imagery import open_scene, write_cog
from pithead.sites import Frame
from pithead.sites.pixels import Picture, picture_of
from pithead.sites.register import Edges, correlation, edges_of, offset_of
from pithead.sites.visibility import blocks_of, cells_of, hidden_in, veil

Floats = npt.NDArray[np.float64]


def ground(seed: int = 0, side: int = 300) -> Floats:
    """Mottled ground with roofs and dark heaps, 20 to 200."""
    rng = np.random.default_rng(seed)
    land = 90 + 400 * gaussian_filter(rng.normal(0, 1, (side, side)), 3)
    for row, col in rng.integers(10, side - 20, (60, 2)):
        land[row : row + 6, col : col + 12] = rng.choice([30.0, 190.0])
    return np.asarray(np.clip(land, 20, 200), np.float64)


def picture(light: Floats, valid: npt.NDArray[np.bool_] | None = None) -> Picture:
    shown = np.ones(light.shape, np.bool_) if valid is None else valid
    return Picture(light, light, light, shown, -300.0, 300.0, 2.0)


def pearson(
    a: Floats, mask_a: npt.NDArray[np.bool_], b: Floats, mask_b: npt.NDArray[np.bool_], dy: int, dx: int
) -> float:
    """By numpy, cell by cell: b seen dy rows down and dx columns right of a."""
    pairs = [
        (a[row, col], b[row + dy, col + dx])
        for row in range(a.shape[0])
        for col in range(a.shape[1])
        if 0 <= row + dy < a.shape[0] and 0 <= col + dx < a.shape[1]
        and mask_a[row, col] and mask_b[row + dy, col + dx]
    ]  # fmt: skip
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def test_cells_of_a_picture_lie_where_the_frame_says(tmp_path: Path) -> None:
    """A scene of UTM, 1 m, black but for 20 × 10 white pixels whose corner is 100 m east, 50 m north."""
    frame = Frame(129.0, 40.0)
    east, north = from_lonlat(np.array([129.0, 40.0]), CRS.from_epsg(32652))
    data = np.full((3, 800, 800), 10, np.uint8)
    transform = Affine(1, 0, east - 400, 0, -1, north + 400)
    data[:, 340:350, 500:520] = 250
    path = tmp_path / "scene.tif"
    write_cog(path, data, transform, "EPSG:32652", colorinterp=("red", "green", "blue"))
    with open_scene(path) as scene:
        seen = picture_of(scene, frame, (-300.0, -300.0, 500.0, 300.0))
    assert seen.light.shape == (300, 400)
    assert not seen.valid[:, 351:].any()  # beyond 400 m the scene has nothing
    assert seen.valid[:, :348].all()
    rows, cols = np.nonzero(seen.light > 130)
    x = seen.west_m + (cols.mean() + 0.5) * seen.step_m
    y = seen.north_m - (rows.mean() + 0.5) * seen.step_m
    assert (x, y) == pytest.approx((110.0, 55.0), abs=0.6)


def test_clouds_and_what_holds_no_data_are_found_and_nothing_else() -> None:
    light = ground() * 0.6
    clear = picture(light)
    assert hidden_in(clear, None) == ()
    light[80:180, 100:200] = 230 + gaussian_filter(np.random.default_rng(1).normal(0, 20, (100, 100)), 3)
    valid = np.ones(light.shape, np.bool_)
    valid[:, :40] = False
    found = {reason: shape for shape, reason in hidden_in(picture(light, valid), None)}
    assert set(found) == {"cloud", "nodata"}
    cloud = shapely.box(-100, -60, 100, 140)
    assert found["cloud"].intersection(cloud).area / cloud.area > 0.95
    assert found["cloud"].difference(cloud.buffer(64)).area == 0
    assert found["nodata"].area == pytest.approx(600 * 80, rel=0.25)


def snowed(seed: int = 0, white: float = 190.0, colour: float = 4.0) -> Picture:
    """The ground with snow on half of it, in patches."""
    patches = gaussian_filter(np.random.default_rng(seed + 90).normal(0, 1, (300, 300)), 12) > 0
    light = np.where(patches, white, 0.6 * ground(seed))
    return Picture(light, light - colour / 2, light + colour / 2, np.ones(light.shape, np.bool_), 0, 0, 2.0)


def test_snow_is_white_and_bare_ground_is_not() -> None:
    assert blocks_of(snowed()).snow == pytest.approx(190, abs=5)
    assert [why for _, why in hidden_in(snowed(), None)] == ["snow"]
    assert blocks_of(picture(ground())).snow is None
    assert blocks_of(snowed(colour=120)).snow is None  # yellow fields beside dark woods


def test_over_snow_only_what_is_brighter_is_cloud() -> None:
    some = snowed(white=170.0)
    light = some.light.copy()
    light[60:140, 60:140] = 245.0
    clouded = Picture(light, light - 2, light + 2, some.valid, 0, 0, 2.0)
    blocks = blocks_of(clouded)
    assert blocks.snow is not None
    assert cells_of(blocks.cloud, clouded)[64:128, 64:128].all()
    assert cells_of(blocks.cloud, clouded).mean() < 0.2
    assert not blocks_of(some).cloud.any()


def test_haze_is_where_nothing_is_dark() -> None:
    light = ground()
    everything = ~blocks_of(picture(light)).cloud
    assert veil(picture(light), None, everything) < 0.5
    hazy = picture(180 + light * 0.15)
    assert veil(hazy, None, everything) > 0.9
    assert [reason for _, reason in hidden_in(hazy, None)] == ["haze"]


def test_blocks_become_cells() -> None:
    blocks = blocks_of(picture(ground())).blank
    assert blocks.shape == (19, 19)
    assert cells_of(~blocks, picture(ground())).all()


def test_correlation_is_pearsons_of_what_both_show() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(5, 2, (24, 30)), rng.normal(1, 3, (24, 30))
    mask_a, mask_b = rng.random((24, 30)) > 0.2, rng.random((24, 30)) > 0.3
    found = correlation(a, mask_a, b, mask_b, 5)
    for dy, dx in ((0, 0), (3, -2), (-4, 5)):
        assert found[5 + dy, 5 + dx] == pytest.approx(pearson(a, mask_a, b, mask_b, dy, dx), abs=1e-9)


def test_pictures_of_two_dates_are_laid_on_each_other() -> None:
    """The second shows everything 7 m farther east and 5 m farther south, brighter, and half under cloud."""
    wide = ground(3, 340)
    first = wide[20:320, 20:320]
    second = shift(wide, (2.5, 3.5), order=1)[20:320, 20:320] * 0.8 + 40
    hidden = np.zeros(second.shape, np.bool_)
    hidden[:120, :150] = True
    second[hidden] = 240
    found = offset_of(edges_of(picture(first)), edges_of(picture(second), hidden))
    assert found is not None
    assert found.metres == pytest.approx([7.0, -5.0], abs=0.4)


def test_pictures_of_two_places_are_not() -> None:
    assert offset_of(edges_of(picture(ground(4))), edges_of(picture(ground(5)))) is None
    nothing = Edges(np.zeros((300, 300)), np.zeros((300, 300), np.bool_), 2.0)
    assert offset_of(nothing, nothing) is None
