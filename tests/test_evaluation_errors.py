"""How wrong detections are, worked out by hand: a truth laid beside what was found."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pithead.card import Card, CardClass, Rate, SizeRecall
from pithead.detections import SceneLine
from pithead.errors import DatasetError
from pithead.evaluation import Given, SceneResult, class_errors, from_record, result_of, summary, to_record
from pithead.evaluation.dispersion import between, of_counts, of_recall
from pithead.labels import Label

HEAP, FENCE, RAIL = range(3)
GSD_M = 0.6
SIDE_PX = 256
KM2 = (SIDE_PX * GSD_M / 1000) ** 2
CARD = Card(
    "plain",
    (
        CardClass("coal_heap", "box", "#ffffff", 0.5),
        CardClass("guard_perimeter", "line", "#ffffff", 0.5),
        CardClass("rail_loading", "strip", "#ffffff", 0.5),
    ),
    tile_px=256,
    gsd_m=GSD_M,
    licence="AGPL-3.0-or-later",
)

Outline = list[list[float]]


@pytest.fixture(name="path", scope="session")
def _path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "one.png"
    Image.fromarray(np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)).save(path)
    return path


def corners(x: float, y: float, w: float, h: float) -> Outline:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def heap(x: float, y: float, w: float, h: float) -> Label:
    points = np.array(corners(x, y, w, h))
    return Label(HEAP, "box", points, closed=True, weight="target", attributes={})


def fence(points: Sequence[tuple[float, float]], *, closed: bool = False) -> Label:
    return Label(FENCE, "line", np.array(points), closed=closed, weight="target", attributes={})


def drawn(points: Sequence[tuple[float, float]], *, closed: bool = False, score: float = 0.9) -> SceneLine:
    return SceneLine(np.array(points), closed, score, FENCE, 3)


def given_of(rows: list[tuple[int, float, Outline]], lines: tuple[SceneLine, ...] | None = None) -> Given:
    outlines = np.array([outline for _, _, outline in rows], np.float64).reshape(-1, 4, 2)
    return Given(
        outlines, np.array([s for _, s, _ in rows]), np.array([c for c, _, _ in rows], np.int64), lines
    )


def heaps(path: Path) -> SceneResult:
    """Three heaps of 30, 24 and 15 m: one found aside, one too wide, one not; and two that are not there."""
    labels = [
        heap(10, 10, 50, 20), heap(100, 100, 40, 20), heap(200, 10, 25, 20),
        replace(heap(8, 200, 44, 40), weight="ignore"),
    ]  # fmt: skip
    rows = [
        (HEAP, 0.9, corners(12, 10, 50, 20)),
        (HEAP, 0.8, corners(100, 100, 40, 24)),
        (HEAP, 0.7, corners(200, 200, 30, 20)),
        (HEAP, 0.6, corners(10, 205, 40, 30)),  # on what is ignored: not counted
        (HEAP, 0.4, corners(200, 10, 25, 20)),  # under the threshold of the card
    ]
    return result_of(path, labels, given_of(rows), CARD, gsd_m=GSD_M)


def test_heaps_by_hand(path: Path) -> None:
    result = heaps(path)
    told = class_errors([result], CARD, "one scene")
    assert [one.name for one in told] == ["coal_heap", "guard_perimeter", "rail_loading"]
    one = told[0]
    assert one.precision == Rate(3, 2)
    assert one.false_alarms_km2 == pytest.approx(1 / KM2)
    assert [(r.low_m, r.high_m, r.truths, r.found) for r in one.recall] == [
        (0, 20, 1, 0), (20, 50, 2, 2), (50, 100, 0, 0), (100, 200, 0, 0), (200, math.inf, 0, 0),
    ]  # fmt: skip
    assert one.recall_of(24) == SizeRecall(20, 50, 2, 2)
    assert one.recall_at(GSD_M) == SizeRecall(0.45, 0.75, 3, 2)
    assert (one.on, one.scenes, one.gsd_m) == ("one scene", 1, (GSD_M, GSD_M))
    assert one.km2 == pytest.approx(KM2)
    # One is off by 2 px (1.2 m) along its 30 m, the other, 1.2 times as wide, by as much across its 12 m.
    box, wider = one.box, math.log(1.2)
    assert box is not None
    assert box.pairs == 2
    assert box.centre_m == pytest.approx(1.2 / math.sqrt(2))
    assert (box.length_bias, box.length_sd) == pytest.approx((0, 0), abs=1e-9)
    assert (box.width_bias, box.width_sd) == pytest.approx((wider / 2, wider / math.sqrt(2)))
    assert (box.area_bias, box.area_sd) == pytest.approx((wider / 2, wider / math.sqrt(2)))
    assert box.along_share == pytest.approx(0.04 / math.sqrt(2))
    assert box.across_share == pytest.approx(0.1 / math.sqrt(2))
    assert box.area_scene_sd == 0  # of one scene nothing is known of others
    assert (one.recall_dispersion, one.alarm_dispersion) == (1, 1)
    row = summary([result], CARD)["classes"]["coal_heap"]
    assert (row["precision"], row["recall"]) == (one.precision.share, 2 / 3)
    # Of what is not there nothing is said, and not 0.
    rail = told[2]
    assert (rail.box, rail.lines, rail.precision.share, rail.recall[0].share) == (None, None, None, None)


def test_the_order_of_scenes_is_nothing(path: Path) -> None:
    first, second = heaps(path), result_of(path, [heap(10, 10, 60, 50)], given_of([]), CARD, gsd_m=GSD_M)
    (one, *_), (other, *_) = (
        class_errors(some, CARD, "x") for some in ([first, second, second], [second, first, second])
    )
    assert one.box is not None
    assert other.box is not None
    assert one.box.area_sd == pytest.approx(other.box.area_sd)
    assert (one.recall, one.precision, one.by_gsd) == (other.recall, other.precision, other.by_gsd)
    assert one.recall_dispersion == pytest.approx(other.recall_dispersion)
    assert one.alarm_dispersion == pytest.approx(other.alarm_dispersion)
    assert one.scenes == 3
    assert one.recall_of(24) == SizeRecall(20, 50, 4, 2)


def test_pixels_need_not_be_square(tmp_path: Path) -> None:
    # 0.6 m across and 1.2 m down: a heap of 40 x 40 px is 24 x 48 m, and one 2 px lower is off by 2.4 m.
    path, data = tmp_path / "flat.tif", np.full((3, 128, 256), 90, np.uint8)
    place = Affine(0.6, 0, 500_000, 0, -1.2, 4_400_000)
    with rasterio.open(
        path, "w", driver="GTiff", width=256, height=128, count=3, dtype="uint8", crs=32652, transform=place
    ) as file:
        file.write(data)
    labels = [heap(20, 20, 40, 40), heap(120, 20, 40, 40)]
    rows = [(HEAP, 0.9, corners(20, 22, 40, 40)), (HEAP, 0.9, corners(120, 20, 40, 40))]
    result = result_of(path, labels, given_of(rows), CARD, gsd_m=None)
    assert result.scale_m == pytest.approx((0.6, 1.2), rel=1e-3)  # UTM shows 1 m as 0.9996
    told = class_errors([result], CARD, "x")[0]
    assert told.box is not None
    assert told.box.centre_m == pytest.approx(2.4 / 2, rel=1e-3)  # the root of 2.4² over four numbers
    assert told.box.along_share == pytest.approx(2.4 / 48 / math.sqrt(2), rel=1e-3)
    assert told.box.across_share == pytest.approx(0, abs=1e-6)
    assert told.recall_of(47.9) == SizeRecall(20, 50, 2, 2)


def test_fences_by_hand(path: Path) -> None:
    # Two fences of 120 and 60 m. The first is drawn 3 m aside and 10 % longer, the second to a third, and one
    # of 60 m where nothing is.
    labels = [fence([(10, 20), (210, 20)]), fence([(10, 200), (110, 200)])]
    lines = (
        drawn([(10, 25), (230, 25)]), drawn([(10, 200), (43, 200)]), drawn([(140, 120), (240, 120)]),
    )  # fmt: skip
    told = class_errors([result_of(path, labels, given_of([], lines), CARD, gsd_m=GSD_M)], CARD, "x")[1]
    assert told.box is None
    assert [(r.truths, r.found) for r in told.recall] == [(2, 1), (0, 0), (0, 0), (0, 0)]
    assert told.precision == Rate(3, 2)  # what there is of the second is there
    assert told.false_alarms_km2 == pytest.approx(1 / KM2)
    line = told.lines
    assert line is not None
    assert (line.pairs, line.length_bias, line.length_sd) == (
        1,
        None,
        None,
    )  # one pair says nothing of spread
    # 19.8 m and the buffer's 10 m of the second are drawn, all of the first.
    assert line.completeness == pytest.approx((120 + 29.8) / 180, abs=1e-3)
    # Of 120 + 12 m those within 10 m, of which 3 are aside: the last 12 but √(10² - 3²) are not.
    beyond = 12 - math.sqrt(91)
    assert line.correctness == pytest.approx((132 - beyond + 19.8) / (132 + 19.8 + 60), abs=1e-3)
    assert line.offset_m == pytest.approx(
        3, abs=0.4
    )  # but for the 9.5 m beyond the end and the 19.8 m upon it


def test_rings_tell_what_they_enclose(path: Path) -> None:
    # Squares of 30 m and 48 m: the first is drawn as it is, the second 54 m wide, 3 m out on every side.
    labels = [
        fence([(10, 10), (60, 10), (60, 60), (10, 60)], closed=True),
        fence([(110, 110), (190, 110), (190, 190), (110, 190)], closed=True),
        fence([(10, 220), (90, 220)]),
    ]
    lines = (
        drawn([(10, 10), (60, 10), (60, 60), (10, 60)], closed=True),
        drawn([(105, 105), (195, 105), (195, 195), (105, 195)], closed=True),
        drawn([(10, 220), (90, 220)]),
    )
    line = class_errors([result_of(path, labels, given_of([], lines), CARD, gsd_m=GSD_M)], CARD, "x")[1].lines
    assert line is not None
    assert (line.pairs, line.rings) == (3, 2)
    longer = math.log(54 / 48)
    assert line.length_bias == pytest.approx(longer / 3)
    assert line.length_sd == pytest.approx(longer / math.sqrt(3))
    assert (line.area_bias, line.area_sd) == pytest.approx((longer, longer * math.sqrt(2)))


def test_lines_of_two_classes_are_not_told_apart(path: Path) -> None:
    card = replace(CARD, classes=(*CARD.classes, CardClass("canal", "line", "#ffffff", 0.5)))
    assert [one.name for one in class_errors([heaps(path)], card, "x")] == ["coal_heap", "rail_loading"]


def test_what_cannot_tell_is_refused(path: Path) -> None:
    with pytest.raises(DatasetError, match="got none"):
        class_errors([], CARD, "x")
    record = to_record(heaps(path))
    assert from_record(record).scale_m == pytest.approx((GSD_M, GSD_M))
    del record["scale_m"]  # as results were kept before
    with pytest.raises(DatasetError, match="measure again"):
        class_errors([from_record(record)], CARD, "x")


def test_scenes_that_differ_more_than_chance() -> None:
    scenes = np.repeat([0, 1], 10)
    kind = np.zeros(20, np.int64)
    assert of_recall(scenes == 0, kind, scenes) == pytest.approx(20)
    assert of_recall(np.arange(20) % 2 == 0, kind, scenes) == 1
    assert of_recall(scenes == 0, scenes, scenes) == 1  # size alone explains it
    assert of_recall(np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.int64)) == 1
    assert of_counts(np.array([0.0, 4]), np.array([1.0, 1])) == pytest.approx(4)
    assert of_counts(np.array([1.0, 4]), np.array([1.0, 4])) == 1
    assert between(np.array([0.0, 0, 1, 1]), np.array([3, 3, 8, 8])) == pytest.approx(math.sqrt(0.5))
    assert between(np.array([0.0, 1, 0, 1]), np.array([0, 0, 1, 1])) == 0
    assert between(np.array([0.0, 5]), np.array([0, 1])) == 0  # nothing tells scenes from objects


@given(st.integers(0, 10**6))
def test_chance_alone_is_no_difference_between_scenes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes, kinds = np.repeat(np.arange(300), 8), rng.integers(0, 3, 2400)
    found = rng.random(2400) < np.array([0.3, 0.6, 0.9])[kinds]
    assert of_recall(found, kinds, scenes) == pytest.approx(1, abs=0.4)  # 5 standard deviations
    shared = rng.normal(0, 0.5, 300)
    assert between(rng.normal(0, 1, 2400) + shared[scenes], scenes) == pytest.approx(0.5, abs=0.25)
