"""pithead.strips: pieces cut by the rule of labels are laid together again."""

import numpy as np
import numpy.typing as npt
import pytest

from pithead.geometry import boxes_to_corners, rotated_iou
from pithead.labels import Label, pieces_of
from pithead.strips import join

Floats = npt.NDArray[np.float64]
PAD = 3.0


def pieces(*box: float) -> Floats:
    corners = boxes_to_corners([box])[0]
    label = Label(3, "strip", corners, closed=True, weight="target", attributes={})
    return pieces_of(label, lambda points: points, pad_px=PAD)


def joined(boxes: Floats, score: float = 0.5) -> Floats:
    return join(boxes, np.full(len(boxes), score), pad_px=PAD).boxes


@pytest.mark.parametrize("angle", np.linspace(-1.5, 1.5, 13).tolist())
@pytest.mark.parametrize(("length", "width"), [(30, 17), (64, 5), (65, 5), (250, 5), (500, 13), (400, 60)])
def test_a_strip_comes_back(length: float, width: float, angle: float) -> None:
    box = (700.0, 700.0, length, width, angle)
    found = joined(pieces(*box))
    assert rotated_iou(found, [box]) == pytest.approx(np.ones((1, 1)), abs=0.03)


def test_jitter_does_not_part_or_widen_a_strip() -> None:
    rng = np.random.default_rng(4)
    overlaps, counts = [], []
    for _ in range(60):
        box = (700.0, 700.0, rng.uniform(80, 600), 13.0, rng.uniform(-1.5, 1.5))
        seen = pieces(*box)
        seen[:, :4] += rng.normal(0, 1, (len(seen), 4))
        seen[:, 4] += rng.normal(0, np.radians(2), len(seen))
        found = joined(seen)
        counts.append(len(found))
        overlaps.append(float(rotated_iou(found, [box]).max()))
    assert counts == [1] * 60
    assert np.median(overlaps) > 0.9


def test_a_bent_strip_is_as_wide_as_the_rectangle_round_it() -> None:
    # Twelve pieces of 32 px on an arc with a bow of 6 px: 10 px wide, 16 with the bow.
    x = np.arange(12) * 32 + 16.0
    bow = 6 * (1 - ((x - 192) / 192) ** 2)
    slope = np.arctan(-12 * (x - 192) / 192**2)
    boxes = np.stack([x, 100 + bow, np.full(12, 38.0), np.full(12, 16.0), slope], axis=1)
    (found,) = joined(boxes)
    assert found[2] == pytest.approx(384, abs=1)
    assert found[3] == pytest.approx(16, abs=0.5)
    assert found[1] == pytest.approx(103, abs=0.5)


def test_one_missed_piece_is_bridged_two_are_not() -> None:
    boxes = pieces(160.0, 100.0, 320.0, 5.0, 0.0)
    assert len(boxes) == 10
    assert len(joined(np.delete(boxes, 4, axis=0))) == 1
    assert len(joined(np.delete(boxes, [4, 5], axis=0))) == 2


def test_groups_with_an_empty_track_between_stay_apart() -> None:
    # Tracks 5 m apart, wagons 3 m wide, at 0.6 m: 16.7 px from the first to the third, 5 px each.
    both = np.concatenate([pieces(300.0, 100.0, 400.0, 5.0, 0.3), pieces(305.0, 117.4, 400.0, 5.0, 0.3)])
    assert len(joined(both)) == 2


def test_a_piece_seen_twice_counts_once() -> None:
    once = pieces(160.0, 100.0, 320.0, 13.0, 0.0)
    twice = np.concatenate([once, np.add(once, [2, 1, 1, -1, 0])])
    scores = np.concatenate([np.full(len(once), 0.8), np.full(len(once), 0.3)])
    found = join(twice, scores, pad_px=PAD)
    (members,) = found.members
    assert sorted(members.tolist()) == list(range(10))
    assert found.scores == pytest.approx([0.8])
    assert found.boxes[0, :4] == pytest.approx([160, 100, 320, 13])


def test_the_score_is_the_mean_by_length() -> None:
    boxes = np.array([[16, 100, 38, 16, 0], [64, 100, 70, 16, 0]], np.float64)  # 32 and 64 px
    assert join(boxes, [0.3, 0.9], pad_px=PAD).scores == pytest.approx([0.7])


def test_nothing_gives_nothing_and_the_order_does_not_matter() -> None:
    assert joined(np.zeros((0, 5))).shape == (0, 5)
    boxes = np.concatenate([pieces(300.0, 100.0, 400.0, 5.0, 0.3), pieces(300.0, 400.0, 90.0, 30.0, 1.0)])
    one, other = joined(boxes), joined(boxes[::-1])
    assert sorted(one.round(6).tolist()) == sorted(other.round(6).tolist())
