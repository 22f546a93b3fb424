"""pithead.labels: formats, boxes, spans and tile rows against values worked out by hand, and ultralytics."""

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pithead.classes import ClassList, load_classes
from pithead.errors import LabelError
from pithead.geometry import Window, boxes_to_corners, rotated_iou
from pithead.labels import (
    GridLabels,
    Label,
    SceneFacts,
    box_of,
    in_grid,
    pieces_of,
    read_facts,
    read_jsonl,
    spans_of,
    tile_rows,
    write_jsonl,
    yolo_obb_rows,
)
from pithead.labels.label import label_of

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "labels" / "dev.jsonl"
Floats = npt.NDArray[np.float64]
RECTANGLE = [[10, 20], [30, 20], [30, 28], [10, 28]]


def same(points: Floats) -> Floats:
    return points


@pytest.fixture(scope="module")
def classes() -> ClassList:
    return load_classes(ROOT / "labeling" / "classes.toml")


def jsonl(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def line(*points: tuple[float, float], closed: bool = False) -> Label:
    return Label(2, "line", np.array(points, dtype=float), closed, "target", {})


def grid(*boxes: list[float], ignore: bool = False) -> GridLabels:
    n = len(boxes)
    return GridLabels(np.array(boxes, dtype=float).reshape(-1, 5), np.ones(n, np.int64), np.full(n, ignore))


# --- reading and writing -----------------------------------------------------------------------------------


def test_a_labelled_image_without_objects_is_there_and_an_empty_file_is_empty(
    tmp_path: Path, classes: ClassList
) -> None:
    assert read_jsonl(jsonl(tmp_path / "a.jsonl"), classes) == {}
    path = jsonl(
        tmp_path / "b.jsonl",
        {"image": "a", "class": "none", "note": "sea"},
        {"image": "b", "class": "hard_negative", "polygon": RECTANGLE},
    )
    assert read_jsonl(path, classes) == {"a": (), "b": ()}


@pytest.mark.parametrize(
    ("extra", "weight"),
    [
        ({"confidence": "sure", "material": "coal"}, "target"),
        ({"confidence": "probable", "material": "spoil"}, "target"),
        ({"material": "unknown"}, "target"),
        ({"confidence": "possible", "material": "coal"}, "ignore"),
        ({"confidence": "sure", "material": "aggregate"}, "ignore"),
        ({"confidence": "sure", "material": "ore"}, "ignore"),
        ({"confidence": "sure", "material": "sand"}, "ignore"),
    ],
)
def test_what_is_ignored(tmp_path: Path, classes: ClassList, extra: dict[str, str], weight: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"image": "a", "class": "coal_heap", "polygon": RECTANGLE, **extra})
    (label,) = read_jsonl(path, classes)["a"]
    assert label.weight == weight
    assert label.attributes == extra


def test_a_perimeter_is_an_outline_or_a_line(tmp_path: Path, classes: ClassList) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        {"image": "a", "class": "guard_perimeter", "polygon": [*RECTANGLE, RECTANGLE[0]]},
        {"image": "a", "class": "guard_perimeter", "line": RECTANGLE, "closed": False},
        {"image": "a", "class": "guard_perimeter", "line": RECTANGLE, "closed": True},
    )
    labels = read_jsonl(path, classes)["a"]
    assert [label.closed for label in labels] == [True, False, True]
    assert {len(label.points) for label in labels} == {4}  # a repeated first point is dropped
    assert {label.geometry for label in labels} == {"line"}


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"image": "a", "class": "castle", "polygon": RECTANGLE}, "castle"),
        ({"class": "coal_heap", "polygon": RECTANGLE}, '"image"'),
        ({"image": "a", "class": "coal_heap"}, "polygon"),
        ({"image": "a", "class": "coal_heap", "polygon": [[0, 0], [1, 1]]}, "at least 3"),
        ({"image": "a", "class": "coal_heap", "polygon": [[0, 0], [1, 1], [2]]}, "polygon"),
        ({"image": "a", "class": "coal_heap", "polygon": [[0, 0], [1, 1], [2, float("nan")]]}, "finite"),
        ({"image": "a", "class": "coal_heap", "polygon": RECTANGLE, "confidence": "maybe"}, "maybe"),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, classes: ClassList, record: dict[str, object], says: str
) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"image": "a", "class": "none"}, record)
    with pytest.raises(LabelError, match=rf"a\.jsonl:2.*{says}"):
        read_jsonl(path, classes)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_line_that_is_no_object(tmp_path: Path, classes: ClassList, text: str) -> None:
    (tmp_path / "a.jsonl").write_text("\n" + text)
    with pytest.raises(LabelError, match=":2"):
        read_jsonl(tmp_path / "a.jsonl", classes)
    with pytest.raises(LabelError, match="cannot be read"):
        read_jsonl(tmp_path / "no.jsonl", classes)


def test_what_is_written_is_read(tmp_path: Path, classes: ClassList) -> None:
    heap = Label(1, "box", np.array(RECTANGLE), True, "target", {"material": "coal"})  # noqa: FBT003
    labels = {
        "empty": (),
        "b": (
            heap,
            Label(3, "strip", heap.points, True, "ignore", {}),  # noqa: FBT003
            line((0, 0), (5, 0.5)),
            line((0, 0), (5, 0), (5, 5), closed=True),
        ),
    }
    write_jsonl(tmp_path / "a.jsonl", labels, classes)
    again = read_jsonl(tmp_path / "a.jsonl", classes)
    assert list(again) == ["empty", "b"]
    for one, other in zip(labels["b"], again["b"], strict=True):
        assert one.points.tolist() == other.points.tolist()
        assert (one.class_id, one.geometry, one.closed, one.weight) == (
            other.class_id,
            other.geometry,
            other.closed,
            other.weight,
        )


def test_a_line_separator_in_a_note_ends_no_line(tmp_path: Path, classes: ClassList) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"image": "a", "class": "none", "note": "one\u2028two\x85three"}\n', "utf-8")
    assert read_jsonl(path, classes) == {"a": ()}


def test_site_and_date(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        {"image": "a", "class": "none"},
        {"image": "b", "class": "none", "site": "north"},
        {"image": "b", "class": "none", "date": "2024-05-01", "site": "north"},
    )
    assert read_facts(path)["b"] == SceneFacts("north", "2024-05-01")  # as files had it before land was told
    land = {"biome": "steppe", "ground": "snow", "sensor": "WV02"}
    assert read_facts(jsonl(tmp_path / "b.jsonl", {"image": "a", "class": "none", **land})) == {
        "a": SceneFacts(None, None, "WV02", "steppe", "snow")
    }
    for angle, text in ((24.5, "24.5"), ("24.5", "24.5"), (0, "0"), (3.0, "3")):
        row = {"image": "a", "class": "none", "off_nadir_deg": angle}
        assert read_facts(jsonl(tmp_path / "b.jsonl", row))["a"] == SceneFacts(off_nadir_deg=text)
    for wrong in (91, -1, "steep", True, None, [1], float("nan"), float("inf"), 10**400):
        with pytest.raises(LabelError, match=r"b\.jsonl.*off_nadir_deg is a number of degrees from 0 to 90"):
            read_facts(jsonl(tmp_path / "b.jsonl", {"image": "a", "class": "none", "off_nadir_deg": wrong}))
    facts = read_facts(path)
    assert (facts["a"].site, facts["a"].date) == (None, None)
    assert (facts["b"].site, facts["b"].date) == ("north", "2024-05-01")
    twice = ({"image": "b", "class": "none", "site": site} for site in ("north", "south"))
    with pytest.raises(LabelError, match="south"):
        read_facts(jsonl(path, *twice))


def test_the_real_labels(classes: ClassList) -> None:
    if not REAL.is_file():
        pytest.skip("the labels of the real scenes are not part of the project")
    labels = read_jsonl(REAL, classes)
    assert len(labels) == 69
    every = [label for of in labels.values() for label in of]
    # sure and probable of the README: 3 plants; 37 perimeters; 104 rail loadings
    count = {c.name: sum(x.class_id == c.id and x.weight == "target" for x in every) for c in classes}
    assert (count["mine_head"], count["guard_perimeter"], count["rail_loading"]) == (3, 37, 104)


# --- boxes and spans ---------------------------------------------------------------------------------------


def test_box_of_a_rectangle() -> None:
    label = Label(1, "box", np.array(RECTANGLE), True, "target", {})  # noqa: FBT003
    assert box_of(label) == pytest.approx([20, 24, 20, 8, 0])


def test_a_label_is_frozen_with_its_points() -> None:
    with pytest.raises(ValueError, match="read-only"):
        line((0, 0), (1, 1)).points[0, 0] = 5


@pytest.mark.parametrize(
    ("points", "lengths"),
    [
        ([(0, 5), (100, 5)], [32, 32, 36]),  # the last 4 px join their neighbour
        ([(30, 5), (96, 5)], [34, 32]),  # so do the first 2
        ([(5, 0), (5, 64)], [32, 32]),
        ([(64, 0), (0, 0)], [32, 32]),  # backwards
        ([(0, 0), (64, 48)], [40, 40]),  # slanted: cut in x, 32 px of which are 40 of the line
        ([(10, 5), (17, 5)], []),  # under 8 px
        ([(30, 5), (37, 5)], []),
        ([(30, 5), (39, 5)], [9]),
        ([(-40, 5), (-20, 5)], [8, 12]),
        ([(0, 5), (50, 5.5), (64, 5)], [32, 32]),  # a bend that nobody sees
    ],
)
def test_spans_by_hand(points: list[tuple[float, float]], lengths: list[float]) -> None:
    spans = spans_of(line(*points), same)
    along = np.where(np.isclose(spans[:, 2], 20), spans[:, 3], spans[:, 2])  # short ones lie across
    assert along == pytest.approx(lengths)


def strip(x: float, y: float, w: float, h: float) -> Label:
    points = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    return Label(3, "strip", points, closed=True, weight="target", attributes={})


@pytest.mark.parametrize(
    ("length", "pieces"),
    [
        (64, [(37, 64)]),  # two cells: one piece
        (100, [(18.5, 27), (48, 32), (84.5, 41)]),  # 5 to 105: cut at 32 and 64, the last 9 px are joined
        (113, [(18.5, 27), (48, 32), (80, 32), (107, 22)]),
    ],
)
def test_pieces_by_hand(length: float, pieces: list[tuple[float, float]]) -> None:
    found = pieces_of(strip(5, 50, length, 10), same, pad_px=3)
    assert found[:, [0, 2]] == pytest.approx(np.add(pieces, [0, 6]))
    assert found[:, 1] == pytest.approx(55)
    assert found[:, 3] == pytest.approx(16)


def test_a_strip_is_measured_whole_and_taught_in_pieces() -> None:
    labels = [strip(0, 50, 128, 10)]
    taught, measured = in_grid(labels, same, strip_pad_px=3), in_grid(labels, same, strip_pad_px=None)
    assert taught.classes.tolist() == [3] * 4
    assert measured.boxes.tolist() == [[64, 55, 128, 10, 0]]


def test_a_ring_is_closed_and_its_spans_lie_on_it() -> None:
    spans = spans_of(line((0, 0), (64, 0), (64, 64), (0, 64), closed=True), same, width_px=10)
    assert len(spans) == 8
    assert spans[0] == pytest.approx([16, 0, 32, 10, 0])
    assert spans[2] == pytest.approx([64, 16, 32, 10, -math.pi / 2])
    assert spans[-1] == pytest.approx([0, 16, 32, 10, -math.pi / 2])


EIGHTHS = st.integers(0, 16000).map(lambda n: n / 8)  # so that moving them by whole cells is exact


@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_two_tiles_see_the_same_spans(points: list[tuple[float, float]]) -> None:
    """Moving by whole cells moves the spans by as much: the phase is the grid's."""
    spans = spans_of(line(*points), same)
    moved = spans_of(line(*points), lambda p: p - np.array([512.0, 96.0]))
    assert len(spans) == len(moved)
    assert moved[:, :2] + [512, 96] == pytest.approx(spans[:, :2], abs=1e-6)
    # 32 px of the dominant axis and up to 8 px joined at each end
    assert (spans[:, 2] <= 32 * math.sqrt(2) + 16 + 1e-6).all()


def test_in_grid_goes_by_the_transform() -> None:
    heap = Label(1, "box", np.array(RECTANGLE), True, "ignore", {})  # noqa: FBT003
    labels = in_grid([line((0, 5), (32, 5)), heap], lambda p: p * 2, span_width_px=12)
    assert labels.boxes.tolist() == [
        pytest.approx([16, 10, 32, 12, 0]),
        pytest.approx([48, 10, 32, 12, 0]),
        pytest.approx([40, 48, 40, 16, 0]),
    ]
    assert labels.classes.tolist() == [2, 2, 1]
    assert labels.ignore.tolist() == [False, False, True]
    assert in_grid([], same).boxes.shape == (0, 5)


# --- tiles -------------------------------------------------------------------------------------------------

WINDOW = Window(100, 200, 64, 64)


def test_nothing_in_a_tile() -> None:
    seen = tile_rows(grid(), WINDOW)
    assert (len(seen.boxes), len(seen.ignored), seen.ignored_share) == (0, 0, 0.0)
    assert yolo_obb_rows(seen.boxes, seen.classes, 64) == []
    assert len(tile_rows(grid([10, 10, 8, 8, 0]), WINDOW).boxes) == 0


def test_a_box_is_clipped_refitted_and_moved() -> None:
    # 40 × 10 round x = 100: its right half, 20 × 10 from x = 0 of the tile
    seen = tile_rows(grid([100, 230, 40, 10, 0]), WINDOW)
    assert seen.boxes.tolist() == [pytest.approx([10, 30, 20, 10, 0])]
    assert yolo_obb_rows(seen.boxes, seen.classes, 64) == [
        "1 0.000000 0.390625 0.312500 0.390625 0.312500 0.546875 0.000000 0.546875"
    ]


def test_slivers_and_ignored_labels_are_ignored() -> None:
    sliver = tile_rows(grid([85, 230, 40, 10, 0]), WINDOW)  # 5 of 40 px
    assert (len(sliver.boxes), len(sliver.ignored)) == (0, 1)
    thin = tile_rows(grid([130, 230, 40, 3, 0]), WINDOW)
    assert (len(thin.boxes), len(thin.ignored)) == (0, 1)
    told = tile_rows(grid([130, 230, 40, 10, 0], ignore=True), WINDOW)
    assert (len(told.boxes), len(told.ignored), told.ignored_share) == (0, 1, 1.0)
    assert told.ignored_classes.tolist() == [1]


BOXES = st.tuples(
    st.floats(-50, 690), st.floats(-50, 690), st.floats(20, 400), st.floats(0.2, 1), st.floats(-1.57, 1.57)
)


@given(st.lists(BOXES, max_size=8))
@settings(max_examples=60, deadline=None)
def test_rows_are_always_in_the_tile_and_read_back_as_the_boxes(rows: list[tuple[float, ...]]) -> None:
    boxes = [[x, y, w, w * ratio, angle] for x, y, w, ratio, angle in rows]
    seen = tile_rows(grid(*boxes), Window(0, 0, 640, 640))
    text = yolo_obb_rows(seen.boxes, seen.classes, 640)
    assert len(text) == len(seen.boxes)
    for row, box in zip(text, seen.boxes, strict=True):
        values = np.array([float(v) for v in row.split()[1:]])
        assert ((values >= 0) & (values <= 1)).all()
        corners = boxes_to_corners(box[None])[0]
        outside = ((corners < 0) | (corners > 640)).any(axis=1).sum()
        if outside <= 1:  # three corners are as they were: the rectangle round the row is the box
            read = box_of(Label(1, "box", values.reshape(4, 2) * 640, True, "target", {}))  # noqa: FBT003
            area = box[2] * box[3]
            assert read[2] * read[3] == pytest.approx(area, rel=0.02)


def test_ultralytics_reads_the_rows_as_the_boxes() -> None:
    ops = pytest.importorskip("ultralytics.utils.ops")
    boxes = [
        [300, 300, 90, 40, 0.5],
        [20, 300, 120, 30, 0.7],
        [620, 620, 80, 60, -0.4],
        [600, 100, 200, 20, 1.2],
    ]
    seen = tile_rows(grid(*[list(map(float, b)) for b in boxes]), Window(0, 0, 640, 640))
    rows = [row.split()[1:] for row in yolo_obb_rows(seen.boxes, seen.classes, 640)]
    read = ops.xyxyxyxy2xywhr(np.array(rows, dtype=np.float32) * 640)
    same_box = np.diag(rotated_iou(read, seen.boxes))
    assert same_box[[0, 1, 3]] == pytest.approx(np.ones(3), abs=0.03)
    assert same_box[2] > 0.8  # in the corner of a tile two corners are moved, which costs a little


def test_the_middle_of_a_very_long_object_is_taught() -> None:
    # 4000 x 50 px seen by a 640 px window in its middle: 16 % of it, but the full width over the whole tile.
    whole = GridLabels(np.array([[2000.0, 300, 4000, 50, 0]]), np.array([1]), np.array([False]))
    seen = tile_rows(whole, Window(1280, 0, 640, 640))
    np.testing.assert_allclose(seen.boxes, [[320, 300, 640, 50, 0]], atol=1e-9)
    # Of its end, 100 px reach into the next window: a sliver.
    end = tile_rows(whole, Window(3904, 0, 640, 640))
    assert len(end.boxes) == 0
    np.testing.assert_allclose(end.ignored[:, 2], [96.0], atol=1e-9)


def test_a_hard_negative_drawn_as_a_line_is_a_band() -> None:
    hedge = label_of({"line": [[10, 20], [110, 20]], "kind": "hedge"}, None, "here")
    assert (hedge.weight, hedge.closed, hedge.attributes["kind"]) == ("negative", True, "hedge")
    assert (hedge.points.min(axis=0).tolist(), hedge.points.max(axis=0).tolist()) == ([10, 17], [110, 23])
    with pytest.raises(LabelError, match="hard_negative"):
        label_of({"line": [[10, 20]]}, None, "here")
