"""pithead.agreement and labeling/agree.py: figures worked out by hand, and the same whoever comes first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from pithead.agreement import compare, kappa, matched, total
from pithead.classes import load_classes
from pithead.imagery import write_cog
from pithead.labels import Label
from pithead.labels.label import weight_of
from pithead.labels.seen import rectangle

ROOT = Path(__file__).parents[1]
CLASSES = load_classes(ROOT / "labeling" / "classes.toml")
SHARED = ROOT.parent / "shared"


def box(x: float, y: float, w: float, h: float, class_id: int = 1, **attributes: str) -> Label:
    info = CLASSES[class_id]
    points = rectangle(x, y, x + w, y + h)
    return Label(class_id, info.geometry, points, True, weight_of(info, attributes), attributes)  # noqa: FBT003


def line(*points: tuple[float, float], confidence: str = "sure") -> Label:
    weight = "ignore" if confidence == "possible" else "target"
    return Label(2, "line", np.array(points, float), False, weight, {})  # type: ignore[arg-type]  # noqa: FBT003


def test_pairs_are_those_of_the_largest_sum() -> None:
    overlaps = np.array([[0.6, 0.9, 0.0], [0.0, 0.8, 0.2]])
    # 0.6 + 0.8 is more than 0.9 + 0.2, which greedy matching would take (0.2 is under the least, too)
    assert [(p.first, p.second) for p in matched(overlaps, 0.3)] == [(0, 0), (1, 1)]
    assert [p.iou for p in matched(overlaps, 0.3)] == [0.6, 0.8]
    assert matched(np.zeros((0, 3)), 0.3) == []


def test_kappa_of_the_textbook() -> None:
    assert kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert kappa([[7, 0], [0, 3]]) == pytest.approx(1)
    assert kappa([[0, 5], [5, 0]]) == pytest.approx(-1)
    assert kappa([[5, 0], [0, 0]]) is None
    assert kappa(np.zeros((2, 2))) is None


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_kappa_is_0_where_answers_are_independent(a: int, b: int, c: int) -> None:
    rows, columns = np.array([a, b]), np.array([c, a + b])
    assert kappa(np.outer(rows, columns)) == pytest.approx(0, abs=1e-9)


def test_counts_of_one_scene_by_hand() -> None:
    first = [box(0, 0, 40, 20), box(100, 0, 40, 20), box(200, 0, 40, 20)]
    second = [
        box(0, 0, 40, 20),  # the same
        box(120, 0, 40, 20),  # half of it shared: IoU 1/3
        box(0, 200, 40, 20),  # only here
    ]
    found = compare(first, second, CLASSES, 1.0)
    heaps = found.counts[1]
    assert heaps.pairs == (2, 1)
    assert heaps.alone == (2, 4)
    assert heaps.f1(0) == pytest.approx(4 / 6)
    assert heaps.f1(1) == pytest.approx(2 / 6)
    assert heaps.median_iou == pytest.approx((1 + 1 / 3) / 2)
    assert (heaps.area.shared, heaps.area.predicted, heaps.area.truth) == (1200, 2400, 2400)
    assert heaps.area.f1 == pytest.approx(0.5)
    assert found.confusion[1, 1] == 2
    assert (found.confusion[1, -1], found.confusion[-1, 1]) == (1, 1)
    whys = [(d.annotator, d.index, d.why) for d in found.disagreements]
    assert (0, 2, "only one of the two has it") in whys
    assert (1, 2, "only one of the two has it") in whys
    assert (0, 1, "outline: IoU 0.33") in whys
    assert len(whys) == 4


def test_two_names_for_one_thing() -> None:
    found = compare([box(0, 0, 40, 20, 1)], [box(0, 0, 40, 20, 3)], CLASSES, 1.0)
    assert found.counts[1].f1(0) == found.counts[3].f1(0) == 0
    assert found.confusion[1, 3] == 1
    assert {d.why for d in found.disagreements} == {"class: coal_heap or rail_loading"}


def test_doubt_counts_neither_way() -> None:
    sure, possible = box(0, 0, 40, 20), box(0, 0, 40, 20, confidence="possible")
    ore = box(0, 0, 40, 20, material="ore")
    for one, other in ((sure, possible), (possible, sure), (ore, sure), (possible, possible)):
        found = compare([one], [other], CLASSES, 1.0)
        assert found.counts[1].f1(0) is None
        assert not found.disagreements
        assert found.counts[1].area.predicted == found.counts[1].area.truth == 0
    two = [box(0, 0, 20, 20), box(20, 0, 20, 20)]  # both lie in one doubtful area
    assert compare(two, [possible], CLASSES, 1.0).counts[1].f1(0) is None


def test_perimeters_are_compared_as_areas_and_as_lines() -> None:
    ring = Label(2, "line", rectangle(0, 0, 100, 100), True, "target", {})  # noqa: FBT003
    shifted = Label(2, "line", rectangle(5, 0, 105, 100), True, "target", {})  # noqa: FBT003
    found = compare([ring], [shifted], CLASSES, 1.0)
    assert found.counts[2].median_iou == pytest.approx(95 / 105)
    assert found.lines.quality == pytest.approx(1)
    open_line = compare([line((0, 0), (100, 0))], [line((0, 0), (50, 0))], CLASSES, 1.0)
    assert open_line.counts[2].median_iou == pytest.approx(0.5)
    # 60 of 100 m lie within 10 m of the other's 50 m, all of which lies within 10 m of the first
    assert open_line.lines.quality == pytest.approx(60 / 100)
    doubt = compare([line((0, 0), (100, 0))], [line((0, 0), (100, 0), confidence="possible")], CLASSES, 1.0)
    assert doubt.lines.predicted_m == doubt.lines.truth_m == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 60), st.integers(0, 3), st.booleans()), max_size=8
    ),
    st.data(),
)
def test_it_is_the_same_whoever_comes_first(
    some: list[tuple[int, int, int, bool]], data: st.DataObject
) -> None:
    def drawn(rows: list[tuple[int, int, int, bool]]) -> list[Label]:
        return [
            box(x, y, 40, 20, k if k != 2 else 0, confidence="possible" if doubt else "sure")
            for x, y, k, doubt in rows
        ]

    first = drawn(some)
    second = [*drawn(data.draw(st.permutations(some))), box(500, 0, 40, 20)]
    there, back = compare(first, second, CLASSES, 0.6), compare(second, first, CLASSES, 0.6)
    for info in CLASSES:
        a, b = there.counts[info.id], back.counts[info.id]
        assert a.area.f1 == pytest.approx(b.area.f1)
        for k in (0, 1):
            assert a.f1(k) is None or 0 <= a.f1(k) <= 1


def test_scenes_add_up() -> None:
    one = compare([box(0, 0, 40, 20)], [box(0, 0, 40, 20)], CLASSES, 1.0)
    other = compare([box(0, 0, 40, 20)], [], CLASSES, 1.0)
    both = total([one, other], CLASSES)
    assert both.counts[1].f1(0) == pytest.approx(2 / 3)
    assert both.confusion.sum() == 2
    assert total([], CLASSES).counts[1].f1(0) is None


def run(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "labeling" / "agree.py"), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def test_disagreements_lie_on_the_map(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    pixels = np.random.default_rng(0).integers(1, 255, (3, 100, 300), dtype=np.uint8)
    place = Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)
    write_cog(scenes / "a.tif", pixels, place, "EPSG:32652", colorinterp=("red", "green", "blue"))
    heap = {"image": "a", "class": "coal_heap", "confidence": "sure"}
    for name, x in (("one", 100), ("two", 200)):
        row = {**heap, "polygon": rectangle(x, 20, x + 40, 60).tolist()}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    out = tmp_path / "out"
    done = run(tmp_path / "one.jsonl", tmp_path / "two.jsonl", "--scenes", scenes, "--out", out)
    assert done.returncode == 0, done.stderr
    areas = gpd.read_file(out / "disagreements.gpkg", layer="areas")
    assert sorted(zip(areas["annotator"], areas.geometry.centroid.x, strict=True)) == [
        ("1", pytest.approx(500_060)), ("2", pytest.approx(500_110)),
    ]  # fmt: skip
    figures = json.loads((out / "agreement.json").read_text())
    assert figures["classes"]["coal_heap"]["f1_at_0.3"] == 0
    assert figures["scenes"] == ["a"]


def test_files_without_a_common_scene(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"image": name, "class": "none"}) + "\n")
    done = run(tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--scenes", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no scene in common" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_doubly_labelled_scenes(tmp_path: Path) -> None:
    labels = SHARED / "labels"
    if not (labels / "second.jsonl").is_file():
        pytest.skip("the doubly labelled scenes are not here (../shared/labels)")
    scenes = SHARED / "scenes" / "airbus-oil" / "images"
    done = run(
        labels / "dev.jsonl", labels / "second.jsonl", "--scenes", scenes, "--gsd", 1.2, "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "agreement.json").read_text())
    assert len(figures["scenes"]) == 9
    rail = figures["classes"]["rail_loading"]
    assert 0.5 < rail["f1_at_0.5"] <= rail["f1_at_0.3"] < 0.8  # labels/README.md: 0.47 and 0.63 of 14 scenes
    assert not (tmp_path / "disagreements.gpkg").exists()  # these scenes have no georeference
