import os
import pickle
import random
import runpy
import sys
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from augment_scenes import GEOMETRIES, SIDE, colours_of, detail, generated, inside, iou, plate

from pithead.augment import Augmenter, View, donors_of, light
from pithead.augment.turns import turn
from pithead.augment.weather import drawn_out, shadow_direction
from pithead.errors import DatasetError, RecipeError
from pithead.recipe import Augmentation

LIGHT = ["snow", "low_sun", "cloud", "haze", "worse_sensor", "band_shift"]
LIGHT += ["noise", "panchromatic", "stretch", "jpeg", "brightness", "colour"]
PLACE = ["flip", "quarter_turns", "any_angle", "scale"]
ALL = Augmentation(
    **dict.fromkeys([*LIGHT, *PLACE, "copy_paste"], 0.5) | {"quarter_turns": True}  # type: ignore[arg-type]
)
PIXEL = np.array([[[3.0, 1.0], [4.0, 1.0], [4.0, 2.0], [3.0, 2.0]]])  # the pixel of column 3, row 1
BOXES = [
    [150, 130, 120, 60, 0.4],
    [420, 120, 150, 90, -0.9],
    [320, 330, 90, 44, 1.2],
    [130, 480, 160, 70, 0.0],
    [480, 470, 110, 100, 0.7],
]


def only(key: str) -> Augmentation:
    value = {"quarter_turns": True, "brightness": 0.3, "colour": 0.3}.get(key, 1.0)
    return Augmentation(**{key: value})  # type: ignore[arg-type]


def varied(key: str, view: View, seed: int = 0) -> View:
    return Augmenter(only(key), GEOMETRIES)(view, np.random.default_rng(seed))


def tiny(pixels: np.ndarray, corners: np.ndarray) -> View:
    return View(pixels, np.zeros(len(corners), int), corners, np.zeros((0, 4, 2)))


# --- turns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_corners_go_where_their_pixel_goes(quarters: int, *, mirror: bool) -> None:
    tile = np.zeros((8, 8, 3), np.uint8)
    tile[1, 3] = 200
    turned = turn(tiny(tile, PIXEL), quarters, mirror=mirror)
    x, y = turned.corners[0].min(axis=0).astype(int)
    assert turned.pixels[y, x, 0] == 200
    assert np.ptp(turned.corners[0], axis=0).tolist() == [1, 1]


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_the_grid_of_spans_goes_onto_itself(quarters: int, *, mirror: bool) -> None:
    on_grid = np.array([[[32.0, 10.0], [64.0, 10.0], [64.0, 20.0], [32.0, 20.0]]])
    turned = turn(tiny(np.zeros((128, 128, 3), np.uint8), on_grid), quarters, mirror=mirror)
    long_axis = int(np.ptp(turned.corners[0], axis=0).argmax())
    assert set(turned.corners[0, :, long_axis] % 32) == {0.0}


def test_a_quarter_turn_is_counter_clockwise() -> None:
    top_right = np.array([[[8.0, 0.0]] * 4])
    turned = turn(tiny(np.zeros((8, 8, 3), np.uint8), top_right), 1, mirror=False)
    assert turned.corners[0, 0].tolist() == [0.0, 0.0]  # top right goes to top left


def test_every_one_of_the_eight_positions_comes() -> None:
    plan = Augmentation(flip=0.5, quarter_turns=True)
    augmenter, view = Augmenter(plan, GEOMETRIES), tiny(np.zeros((8, 8, 3), np.uint8), PIXEL)
    spots = {
        tuple(augmenter(view, np.random.default_rng(seed)).corners[0].min(axis=0).tolist())
        for seed in range(60)
    }
    assert len(spots) == 8


# --- every change --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PLACE)
def test_boxes_cover_their_rectangles_after_a_change_of_place(key: str) -> None:
    view = plate(BOXES)
    for seed in range(4):
        after = varied(key, view, seed)
        shown = colours_of(after.pixels)
        whole = [i for i in range(5) if _untouched(shown == i)]
        found = []
        for outline in after.corners:
            x, y = np.clip(outline.mean(axis=0).astype(int), 0, SIDE - 1)
            i = int(shown[y, x])
            found.append(i)
            if i in whole:
                assert iou(inside(outline), shown == i) >= 0.95
            else:  # the edge cuts it: the box reaches round all that is left
                assert (inside(outline) & (shown == i)).sum() >= 0.97 * (shown == i).sum()
        assert set(whole) <= set(found)
        assert len(set(found)) == len(found)


def _untouched(region: np.ndarray) -> bool:
    """Whether all of a region is in the tile: more than a fringe of it, and off the edge."""
    ys, xs = np.nonzero(region)
    return len(ys) > 300 and min(xs.min(), ys.min()) > 1 and max(xs.max(), ys.max()) < SIDE - 2


@pytest.mark.parametrize("key", LIGHT)
def test_a_change_of_light_leaves_objects_where_they_are(key: str) -> None:
    view = generated(3)
    after = varied(key, view)
    assert after.corners is view.corners
    assert after.classes is view.classes
    assert after.ignored is view.ignored
    assert after.pixels.shape == view.pixels.shape
    assert (after.pixels != view.pixels).any()
    planes = [
        cv2.Laplacian(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.CV_32F) for p in (view.pixels, after.pixels)
    ]
    (dx, dy), _ = cv2.phaseCorrelate(*planes)
    assert np.hypot(dx, dy) < 1.0


@pytest.mark.parametrize("key", ["snow", "low_sun", "cloud", "haze", "noise", "stretch", "panchromatic"])
def test_boxes_cover_their_rectangles_in_another_light(key: str) -> None:
    # Dark rectangles, as coal is: they must stay darker than the ground beside them, right up to their sides.
    plain = plate(BOXES)
    dark = np.where((plain.pixels == 100).all(axis=-1, keepdims=True), plain.pixels, 30).astype(np.uint8)
    after = varied(key, replace(plain, pixels=dark), 1)
    light = cv2.GaussianBlur(after.pixels.mean(axis=-1).astype(np.float32), (0, 0), 1.0)
    for outline in after.corners:
        middle = outline.mean(axis=0)
        ring = inside(middle + (outline - middle) * 1.15) & ~inside(middle + (outline - middle) * 1.08)
        core = inside(middle + (outline - middle) * 0.92)
        assert light[core].mean() < light[ring].mean()


@pytest.mark.parametrize("key", [*LIGHT, *PLACE])
def test_the_same_generator_gives_the_same_bytes_whatever_came_before(key: str) -> None:
    view = generated(3)
    augmenter = Augmenter(only(key), GEOMETRIES)
    first = augmenter(view, np.random.default_rng(5))
    random.seed(1)
    cv2.setRNGSeed(3)
    augmenter(view, np.random.default_rng(6))
    again = augmenter(view, np.random.default_rng(5))
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.corners.tobytes() == again.corners.tobytes()
    assert first.classes.tolist() == again.classes.tolist()


def test_all_changes_together_give_true_views() -> None:
    views = [generated(seed) for seed in (3, 5)]
    augmenters = [Augmenter(ALL, GEOMETRIES, donors_of(views, GEOMETRIES)) for _ in range(2)]
    for seed in range(12):
        one, other = (a(views[seed % 2], np.random.default_rng(seed)) for a in augmenters)
        assert one.pixels.tobytes() == other.pixels.tobytes()
        assert one.corners.tobytes() == other.corners.tobytes()
        assert one.pixels.flags.c_contiguous
        assert np.isfinite(one.corners).all()
        middles = one.corners.mean(axis=1)
        assert ((middles > 0) & (middles < SIDE)).all()


def test_without_any_change_a_tile_stays_as_it_is() -> None:
    view = generated(3)
    same = Augmenter(Augmentation(), GEOMETRIES)(view, np.random.default_rng(1))
    assert same.pixels.tobytes() == view.pixels.tobytes()
    assert same.corners is view.corners


def test_a_chance_is_as_often_as_it_says() -> None:
    small = View(
        np.full((32, 32, 3), 90, np.uint8), np.zeros(0, int), np.zeros((0, 4, 2)), np.zeros((0, 4, 2))
    )
    augmenter = Augmenter(Augmentation(haze=0.25, noise=0.5), GEOMETRIES)
    hazy = noisy = both = 0
    for seed in range(400):
        pixels = augmenter(small, np.random.default_rng(seed)).pixels
        haze, noise = pixels.mean() > 95, detail(pixels) > 3.0
        hazy, noisy, both = hazy + haze, noisy + noise, both + (haze and noise)
    assert hazy == pytest.approx(100, abs=30)
    assert noisy == pytest.approx(200, abs=40)
    assert both == pytest.approx(50, abs=22)  # one does not follow from the other


# --- what each is --------------------------------------------------------------------------------------


def test_snow_is_white_on_ground_and_not_on_coal() -> None:
    view = plate(BOXES)
    pixels = np.where((view.pixels == 100).all(axis=-1, keepdims=True), [110] * 3, 25).astype(np.uint8)
    after = varied("snow", replace(view, pixels=pixels), 4).pixels
    assert after[pixels == 110].mean() > 170
    assert after[pixels == 25].mean() < 30


def test_haze_takes_contrast_and_lights_what_is_dark() -> None:
    before, after = generated(3).pixels, varied("haze", generated(3)).pixels
    assert after.std() < 0.85 * before.std()
    assert np.percentile(after, 2) > np.percentile(before, 2) + 20


def test_a_cloud_covers_a_part_and_its_shadow_only_darkens() -> None:
    view = generated(3)
    for seed in range(6):
        change = varied("cloud", view, seed).pixels.astype(int) - view.pixels
        touched = (np.abs(change) > 4).any(axis=-1).mean()
        assert 0.05 < touched < 0.75
        assert (change <= 0).all() or (change[view.pixels < 210] >= 0).all()


def test_a_low_sun_is_darker_and_its_shadows_longer() -> None:
    pixels = np.full((SIDE, SIDE, 3), 140, np.uint8)
    pixels[300:320, 300:320] = 230  # a roof
    pixels[300:320, 320:330] = 25  # its shadow, to the right
    view = View(pixels, np.zeros(0, int), np.zeros((0, 4, 2)), np.zeros((0, 4, 2)))
    assert shadow_direction(pixels) == pytest.approx(0, abs=0.3)
    after = varied("low_sun", view, 2).pixels.mean(axis=-1)
    ground = np.median(after)
    assert ground < 130
    row = after[310] < 0.8 * ground
    assert row[321:336].all()  # at least 5 px longer than it was
    assert not row[360:].any()
    assert not row[:318].any()


def test_what_is_drawn_out_reaches_that_far_and_no_farther() -> None:
    mask = np.zeros((9, 30), np.float32)
    mask[4, 5] = 1
    right = drawn_out(mask, 0.0, 13.0)
    assert np.flatnonzero(right[4]).tolist() == list(range(5, 19))
    assert right.sum() == 14


@pytest.mark.parametrize("seed", range(4))
def test_a_stretch_keeps_what_is_brighter_brighter(seed: int) -> None:
    before, after = generated(3).pixels, varied("stretch", generated(3), seed).pixels
    for band in range(3):
        order = np.argsort(before[..., band], axis=None, kind="stable")
        assert (np.diff(after[..., band].ravel()[order].astype(int)) >= 0).all()


def test_bands_lie_apart_by_no_more_than_two_pixels() -> None:
    pixels = np.full((SIDE, SIDE, 3), 50, np.uint8)
    pixels[300:340, 300:340] = 220
    view = View(pixels, np.zeros(0, int), np.zeros((0, 4, 2)), np.zeros((0, 4, 2)))
    for seed in range(5):
        after = varied("band_shift", view, seed).pixels.astype(float) - 50
        assert (after[..., 1] == pixels[..., 1] - 50.0).all()
        where = [
            np.array([(after[..., b].sum(axis=a) * np.arange(SIDE)).sum() for a in (0, 1)]) for b in range(3)
        ]
        spots = [spot / after[..., b].sum() for b, spot in enumerate(where)]
        far = [float(np.hypot(*(spots[b] - spots[1]))) for b in (0, 2)]
        assert 0.3 < max(far) < 2.1


def test_panchromatic_tiles_have_equal_bands() -> None:
    after = varied("panchromatic", generated(3)).pixels
    assert (after[..., 0] == after[..., 1]).all()
    assert (after[..., 0] == after[..., 2]).all()


def test_a_worse_sensor_sees_less_detail_and_a_noisy_one_more() -> None:
    view = generated(3)
    for seed in range(5):
        assert detail(varied("worse_sensor", view, seed).pixels) < detail(view.pixels)
    flat = replace(view, pixels=np.full_like(view.pixels, 120))
    for seed in range(5):
        noise = varied("noise", flat, seed).pixels.astype(float) - 120
        assert abs(noise.mean()) < 0.5
        assert 0.5 < noise.std() < 12


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"flip": 1.5}, "flip is a chance"),
        ({"snow": -0.1}, "snow is a chance"),
        ({"brightness": 1.0}, "brightness must be at least 0 and under 1"),
        ({"scale_least": 0.4}, "within 0.5 and 2"),
        ({"scale_least": 1.5, "scale_most": 1.2}, "in order"),
        ({"copy_paste_most": 0}, "copy_paste_most must be at least 1"),
        ({"quarter_turns": 1}, "expected bool, got 1"),
        ({"haze": True}, "expected float, got True"),
        ({"haze": float("nan")}, "haze is a chance"),
    ],
)
def test_an_impossible_plan_is_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        Augmentation(**values)  # type: ignore[arg-type]


def test_a_plan_is_off_by_default() -> None:
    plan = Augmentation()
    on = {field.name for field in fields(plan) if getattr(plan, field.name)}
    assert on == {"scale_least", "scale_most", "copy_paste_most"}  # how far and how many, not how often


def test_a_tile_that_is_no_square_is_refused() -> None:
    with pytest.raises(DatasetError, match="square"):
        View(np.zeros((4, 6, 3), np.uint8), np.zeros(0, int), np.zeros((0, 4, 2)), np.zeros((0, 4, 2)))
    with pytest.raises(DatasetError, match="four corners"):
        View(np.zeros((4, 4, 3), np.uint8), np.zeros(2, int), np.zeros((1, 4, 2)), np.zeros((0, 4, 2)))


def test_albumentations_finds_its_question_for_updates_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    class Watch:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "albumentations":
                found.append(os.environ.get("NO_ALBUMENTATIONS_UPDATE"))
                raise ModuleNotFoundError(name)

    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    monkeypatch.delitem(sys.modules, "albumentations")
    monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError):
        runpy.run_path(light.__file__)
    assert found == ["1"]


def test_an_augmenter_goes_to_other_processes() -> None:
    view = generated(3)
    augmenter = Augmenter(ALL, GEOMETRIES, donors_of([view], GEOMETRIES))
    sent = pickle.loads(pickle.dumps(augmenter))  # noqa: S301 (our own bytes)
    one, other = (a(view, np.random.default_rng(2)).pixels.tobytes() for a in (augmenter, sent))
    assert one == other
