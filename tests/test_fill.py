"""pithead.labels.fill: masks one can count and means worked out by hand."""

import numpy as np

from pithead.labels.fill import filled, mask_of
from pithead.labels.seen import rectangle, seen_share


def test_a_mask_covers_the_pixels_of_the_rectangle() -> None:
    mask = mask_of([rectangle(2, 1, 5, 3)], (4, 8))
    assert mask.sum() == 6
    assert mask[1:3, 2:5].all()
    outside = mask_of([rectangle(-5, -5, 1, 9), rectangle(20, 20, 30, 30)], (4, 8))
    assert (outside.sum(), outside[:, 0].all()) == (4, True)
    assert not mask_of([], (4, 8)).any()


def test_the_mean_is_that_of_the_other_pixels() -> None:
    data = np.array([[[10, 0, 0], [20, 0, 1], [90, 9, 9], [200, 200, 200]]], np.uint8)
    valid = np.array([[True, True, True, False]])
    hidden = np.array([[False, False, True, True]])
    assert filled(data, valid, hidden).tolist() == [[[10, 0, 0], [20, 0, 1], [15, 0, 0], [200, 200, 200]]]
    assert filled(data, valid, ~valid) is not None
    assert filled(data, valid, np.ones((1, 4), bool)) is data  # nothing is left to take a mean of


def test_the_share_of_a_window_that_was_seen() -> None:
    window = rectangle(0, 0, 10, 10)
    assert seen_share((), window) == 1
    assert seen_share([rectangle(0, 0, 5, 10), rectangle(4, 0, 6, 10)], window) == 0.6
    assert seen_share([rectangle(20, 0, 25, 10)], window) == 0
