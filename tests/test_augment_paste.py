import numpy as np
import pytest
from augment_scenes import (
    COLOURS,
    FENCE,
    GEOMETRIES,
    GROUND,
    HEAP,
    RAIL,
    SIDE,
    generated,
    inside,
    iou,
    label,
    plate,
    rectangle,
    view_of,
)

from pithead.augment import Augmenter, Donor, View, donors_of
from pithead.augment.pieces import whole_strips
from pithead.augment.turns import turn_points
from pithead.geometry import boxes_to_corners, corners_to_boxes, rotated_iou
from pithead.labels import in_grid
from pithead.recipe import Augmentation

RAKE = [300.0, 320.0, 150.0, 12.0, 0.35]
PLAN = Augmentation(copy_paste=1.0, copy_paste_most=4)
NOTHING = np.zeros((0, 4, 2))


def grained(view: View, seed: int = 0) -> View:
    """With a little noise: ground that is all of one value is paint, and nothing is pasted on it."""
    noise = np.random.default_rng(seed).integers(-3, 4, view.pixels.shape)
    return View((view.pixels + noise).clip(0, 255).astype(np.uint8), view.classes, view.corners, view.ignored)


def rake() -> View:
    pixels = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    pixels[inside(rectangle(*RAKE))] = COLOURS[1]
    return grained(view_of(in_grid([label(RAIL, rectangle(*RAKE))], lambda p: p), pixels))


def heaps() -> View:
    return grained(plate([[200, 200, 90, 50, 0.6], [450, 420, 60, 60, 0.0]], HEAP))


def empty(seed: int = 1) -> View:
    return grained(View(np.full((SIDE, SIDE, 3), GROUND, np.uint8), np.zeros(0, int), NOTHING, NOTHING), seed)


def pasted(view: View, donors: tuple[Donor, ...], seed: int) -> View:
    return Augmenter(PLAN, GEOMETRIES, donors)(view, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(8))
def test_a_pasted_heap_is_where_its_box_is(seed: int) -> None:
    after = pasted(empty(), donors_of([heaps()], GEOMETRIES), seed)
    assert len(after.classes) >= 1
    assert set(after.classes.tolist()) == {HEAP}
    shown = np.abs(after.pixels.astype(int) - GROUND).sum(axis=-1) > 120
    assert iou(shown, np.any([inside(outline) for outline in after.corners], axis=0)) >= 0.95
    for outline in after.corners:
        assert outline.min() >= 0
        assert outline.max() <= SIDE


@pytest.mark.parametrize("seed", range(4))
def test_a_pasted_rake_is_cut_on_the_grid_of_its_new_tile(seed: int) -> None:
    (donor,) = donors_of([rake()], GEOMETRIES)
    assert donor.box[2:4] == pytest.approx([150, 12], abs=0.01)
    after = pasted(empty(), (donor,), seed)
    assert set(after.classes.tolist()) == {RAIL}
    pieces = corners_to_boxes(after.corners)
    assert pieces[:, 3] == pytest.approx(18, abs=0.01)
    shown = np.abs(after.pixels.astype(int) - GROUND).sum(axis=-1) > 120
    bare = [inside(rectangle(*(box - [0, 0, 0, 6, 0]))) for box in pieces]
    covered = np.any(bare, axis=0)
    assert (shown & covered).sum() > 0.97 * shown.sum()
    strips = whole_strips(pieces, 3.0, SIDE)
    assert 1 <= len(strips) <= 4
    assert np.sort(strips[:, 2:4], axis=1) == pytest.approx(np.array([[12.0, 150.0]] * len(strips)), abs=0.01)
    assert len(pieces) >= 4 * len(strips)


def test_nothing_is_pasted_on_what_is_there() -> None:
    donors = donors_of([heaps(), rake()], GEOMETRIES)
    fence = label(FENCE, [[60, 80], [560, 60], [580, 560], [90, 540]])
    base = view_of(
        in_grid([fence, label(HEAP, rectangle(320, 320, 180, 120, 0.3))], lambda p: p), empty().pixels
    )
    doubtful = np.stack([rectangle(200, 200, 120, 80, 0.2)])
    view = View(base.pixels, base.classes, base.corners, doubtful)
    there = corners_to_boxes(np.concatenate([view.corners, view.ignored]))
    count = 0
    for seed in range(15):
        after = pasted(view, donors, seed)
        new = corners_to_boxes(after.corners[len(view.classes) :])
        assert after.corners[: len(view.classes)].tolist() == view.corners.tolist()
        assert not rotated_iou(new, there).any()
        touched = (after.pixels != view.pixels).any(axis=-1)
        for outline in np.concatenate([view.corners, view.ignored]):
            assert not (touched & inside(outline)).any()
        heaps_only = new[after.classes[len(view.classes) :] == HEAP]
        assert (rotated_iou(heaps_only, heaps_only) > 0).sum() == len(heaps_only)
        count += len(new)
    assert count > 12


def test_nothing_is_pasted_on_paint_or_where_there_is_no_ground() -> None:
    donors = donors_of([heaps()], GEOMETRIES)
    blank = View(np.full((SIDE, SIDE, 3), GROUND, np.uint8), np.zeros(0, int), NOTHING, NOTHING)
    assert not len(pasted(blank, donors, 0).classes)


def test_only_whole_objects_that_stand_alone_are_cut_out() -> None:
    boxes = [
        [200, 200, 80, 50, 0.2],
        [230, 215, 60, 50, 0.9],
        [20, 400, 80, 50, 0.0],
        [450, 450, 70, 40, 0.5],
    ]
    (donor,) = donors_of([plate(boxes, HEAP)], GEOMETRIES)
    assert donor.box[2:4] == pytest.approx([70, 40])


def test_a_neighbour_is_not_cut_out_with_an_object() -> None:
    near = plate([[200, 200, 60, 40, 0.0], [200, 244, 60, 40, 0.0]], HEAP)  # 4 px of ground between them
    for donor in donors_of([near], GEOMETRIES):
        own = donor.pixels[int(donor.box[1]), int(donor.box[0])]
        other = next(c for c in COLOURS[:2] if (c != own).any())
        assert not donor.share[(donor.pixels == other).all(axis=-1)].any()


def test_a_span_of_a_fence_is_no_donor() -> None:
    fence = label(FENCE, [[100, 100], [400, 130]], closed=False)
    assert donors_of([view_of(in_grid([fence], lambda p: p), empty().pixels)], GEOMETRIES) == ()


def test_donors_are_limited_and_those_kept_come_from_anywhere() -> None:
    tiles = [grained(plate([[100 + i, 200, 60, 40, 0.0]], HEAP), i) for i in range(20)]
    donors = donors_of(tiles, GEOMETRIES, most=12)
    assert len(donors) == 4  # a third for each of three classes
    assert all(max(donor.share.shape) <= 256 for donor in donors)
    assert donors_of([plate([[320, 320, 400, 200, 0]], HEAP)], GEOMETRIES) == ()
    again = donors_of(tiles, GEOMETRIES, most=12)
    assert [d.pixels.tobytes() for d in donors] == [d.pixels.tobytes() for d in again]
    late = donors_of(iter(tiles), GEOMETRIES, most=12, seed=1)
    assert [d.pixels.tobytes() for d in late] != [d.pixels.tobytes() for d in donors]


def test_shadows_fall_alike() -> None:
    (donor,) = donors_of([plate([[320, 320, 60, 40, 0.3]], HEAP)], GEOMETRIES)
    lit = Donor(donor.pixels, donor.share, HEAP, donor.box, 0.4)
    for quarters in range(4):
        for mirror in (False, True):
            turned = lit.turned(quarters, mirror=mirror)
            assert turned.shadow is not None
            tip = lit.box[:2] + 10 * np.array([np.cos(0.4), np.sin(0.4)])
            size = lit.share.shape[1], lit.share.shape[0]
            ends = turn_points(np.stack([lit.box[:2], tip]), size, quarters, mirror=mirror)
            way = (ends[1] - ends[0]) / 10
            assert np.allclose(way, [np.cos(turned.shadow), np.sin(turned.shadow)])
            assert turned.share.shape == turned.pixels.shape[:2]


@pytest.mark.parametrize("seed", range(3))
def test_on_generated_tiles_new_boxes_are_of_donors_and_apart_from_all_others(seed: int) -> None:
    donors = donors_of([generated(3), generated(5)], GEOMETRIES)
    assert donors
    view = generated(3)
    after = pasted(view, donors, seed)
    old = corners_to_boxes(np.concatenate([view.corners, view.ignored]))
    new = corners_to_boxes(after.corners[len(view.classes) :])
    assert not rotated_iou(new, old).any()
    unchanged = (after.pixels == view.pixels).all(axis=-1)
    for outline in boxes_to_corners(old):
        assert unchanged[inside(outline)].all()
