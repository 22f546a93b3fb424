"""What several results say together: resamples, differences, sizes, circumstances; what is kept of them."""

import hashlib
import json
import pickle
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeOnnx
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_sidefiles import IMD

from pithead.card import Card, CardClass
from pithead.detector import Detector
from pithead.errors import CatalogError, DatasetError, LabelError
from pithead.evaluation import (
    IOUS,
    LADDER,
    Given,
    Job,
    SceneResult,
    by_circumstance,
    by_size,
    compare,
    curves,
    evaluate_scene,
    from_record,
    intervals,
    jobs_of,
    keep_results,
    kept_results,
    kept_scenes,
    measured,
    result_of,
    summary,
    to_record,
    verdict,
)
from pithead.evaluation.jobs import VERSION
from pithead.evaluation.sampling import Figures
from pithead.files import sha256_of
from pithead.labels import Label, SceneFacts

ROOT = Path(__file__).resolve().parents[1]
HEAD, HEAP, FENCE, RAIL = range(4)
GSD_M = 0.6
SIDE_PX = 256


@pytest.fixture(scope="session")
def plain_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "one.png"
    Image.fromarray(np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def card(card_json: str) -> Card:
    return Card.from_json(card_json)


def corners(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def label(class_id: int, x: float, y: float, w: float, h: float) -> Label:
    points = np.array(corners(x, y, w, h))
    return Label(class_id, "box", points, closed=True, weight="target", attributes={})


def given_of(rows: list[tuple[int, float, list[list[float]]]]) -> Given:
    outlines = np.array([outline for _, _, outline in rows], np.float64).reshape(-1, 4, 2)
    return Given(outlines, np.array([s for _, s, _ in rows]), np.array([c for c, _, _ in rows], np.int64))


def random_result(path: Path, card: Card, seed: int, skill: float = 0.7) -> SceneResult:
    """Heaps and heads in one scene, some of them found, by chance, and some that are not there."""
    rng, chance = np.random.default_rng(seed), np.random.default_rng([seed, int(skill * 1000)])
    labels = [
        label(int(rng.integers(0, 2)), *rng.uniform(10, 200, 2), *rng.uniform(10, 45, 2))
        for _ in range(rng.integers(0, 9))
    ]
    rows = [
        (one.class_id, float(chance.uniform(0.3, 1)), (one.points + chance.normal(0, 2, 2)).tolist())
        for one in labels
        if chance.random() < skill
    ]
    rows += [
        (
            int(chance.integers(0, 2)),
            float(chance.uniform(0, 0.9)),
            corners(*chance.uniform(9, 200, 2), 20, 9),
        )
        for _ in range(chance.integers(0, 6))
    ]
    found = result_of(path, labels, given_of(rows), card, gsd_m=GSD_M, facts=SceneFacts(site=f"s{seed % 7}"))
    return replace(found, scene=f"scene{seed}")


def test_boxes_of_another_program_are_measured_as_a_scan_is(plain_scene: Path, make_onnx: MakeOnnx) -> None:
    rows = [
        [100, 100, 60, 20, 0, 0.9, HEAP],
        [30, 200, 40, 30, 0, 0.6, HEAD],
        [180, 40, 40, 10, 0, 0.15, HEAP],
    ]
    detector = Detector.open(make_onnx(rows))
    labels = [label(HEAP, 70, 90, 80, 20), label(HEAD, 10, 185, 40, 30)]
    scanned = evaluate_scene(plain_scene, labels, detector, gsd_m=GSD_M)
    boxes = [(int(r[6]), r[5], corners(r[0] - r[2] / 2, r[1] - r[3] / 2, r[2], r[3])) for r in rows]
    told = result_of(plain_scene, labels, given_of(boxes[::-1]), detector.card, gsd_m=GSD_M)
    assert summary([told], detector.card) == summary([scanned], detector.card)
    np.testing.assert_array_equal(told.ladder, scanned.ladder)
    np.testing.assert_array_equal(told.every.truth, scanned.every.truth)
    assert told.every.scores.tolist() == pytest.approx([0.9, 0.6, 0.15])
    # 75 % of the heap is found: right at an IoU of 0.75 and no more
    assert [int(n) for n in told.every.truth[0]] == [0] * (IOUS.index(0.75) + 1) + [-1] * 4


def test_fences_of_another_program_are_linked_like_our_own(plain_scene: Path, card: Card) -> None:
    fence = Label(
        FENCE, "line", np.array([[0.0, 100], [192, 100]]), closed=False, weight="target", attributes={}
    )
    spans = [(FENCE, 0.9, corners(x, 90, 64, 20)) for x in (0.0, 64.0, 128.0)]
    result = result_of(plain_scene, [fence], given_of(spans), card, gsd_m=GSD_M)
    assert result.lines.quality == pytest.approx(1.0)
    assert [line.length_m for line in result.true_lines] == pytest.approx([192 * GSD_M])
    assert [line.lacking_m for line in result.true_lines] == pytest.approx([0.0])
    rows = by_size([result], card)["guard_perimeter"]
    assert rows["under 200 m"]["completeness"] == pytest.approx(1.0)
    assert rows["from 1000 m"]["completeness"] is None


def test_boxes_without_an_area_are_wrong_and_no_trouble(plain_scene: Path, card: Card) -> None:
    # what is left of a box that reached over the edge of its scene
    flat = [[256.0, 10.0], [256.0, 20.0], [256.0, 20.0], [256.0, 10.0]]
    rows = [(class_id, 0.9, flat) for class_id in range(4)] + [(HEAP, 0.8, corners(200, 10, 50, 40))]
    result = result_of(plain_scene, [label(HEAP, 200, 10, 50, 40)], given_of(rows), card, gsd_m=GSD_M)
    heap = summary([result], card)["classes"]["coal_heap"]
    assert (heap["precision"], heap["ap50"], heap["area_f1"]) == pytest.approx((0.5, 0.5, 1.0))


def test_what_is_given_must_fit(plain_scene: Path, card: Card) -> None:
    with pytest.raises(LabelError, match="give four corners"):
        Given(np.zeros((2, 4, 2)), np.zeros(1), np.zeros(1, np.int64))
    with pytest.raises(LabelError, match="classes from 0 to 3"):
        result_of(plain_scene, [], given_of([(7, 0.5, corners(0, 0, 9, 9))]), card, gsd_m=GSD_M)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_weights_are_what_repeated_scenes_are(
    plain_scene_results: list[SceneResult], some: list[int]
) -> None:
    results, card = plain_scene_results, PLAIN
    weights = np.bincount(some, minlength=6)[None].astype(float)
    figures = Figures.of(results[:6], card)
    told = dict(zip(figures.names, figures(weights)[0].tolist(), strict=True))
    numbers = summary([results[i] for i in some], card)
    for name, row in numbers["classes"].items():
        for key in ("ap50", "ap50_95", "precision", "recall", "f1", "false_alarms_per_km2", "area_f1"):
            if key in row:
                assert told[name, key] == pytest.approx(np.nan if row[key] is None else row[key], nan_ok=True)
        for budget, recall in row["recall_at"].items():
            expected = np.nan if recall is None else recall
            assert told[name, f"recall_at_{budget}"] == pytest.approx(expected, nan_ok=True)
    mean = numbers["mean"]["ap50"]
    assert told["mean", "ap50"] == pytest.approx(np.nan if mean is None else mean, nan_ok=True)


PLAIN = Card(
    name="plain",
    classes=(
        CardClass("mine_head", "box", "#ffffff", 0.5),
        CardClass("coal_heap", "box", "#ffffff", 0.5),
        CardClass("guard_perimeter", "line", "#ffffff", 0.5),
    ),
    tile_px=256,
    gsd_m=GSD_M,
    licence="AGPL-3.0-or-later",
)


@pytest.fixture(scope="session")
def plain_scene_results(plain_scene: Path) -> list[SceneResult]:
    return [random_result(plain_scene, PLAIN, seed) for seed in range(12)]


def test_intervals_hold_the_figures_and_are_quick(plain_scene_results: list[SceneResult]) -> None:
    many = [replace(r, scene=f"{r.scene}{i}") for i in range(6) for r in plain_scene_results]
    start = time.perf_counter()
    told = intervals(many, PLAIN)
    assert time.perf_counter() - start < 10  # 1000 resamples of 72 scenes; a second where nothing else runs
    numbers = summary(many, PLAIN)
    low, high = told["coal_heap"]["ap50"]
    assert low <= numbers["classes"]["coal_heap"]["ap50"] <= high
    assert told["guard_perimeter"]["ap50"] is None
    assert told["lines"]["quality"] is None


def test_the_better_of_two_is_told(plain_scene: Path, plain_scene_results: list[SceneResult]) -> None:
    good, seeds = plain_scene_results, range(12)
    bad = [random_result(plain_scene, PLAIN, seed, skill=0.2) for seed in seeds]
    told = compare(good, bad[::-1], PLAIN)
    mean = told[0]
    assert (mean.of, mean.figure) == ("mean", "ap50")
    assert mean.a == summary(good, PLAIN)["mean"]["ap50"]
    assert mean.b == summary(bad, PLAIN)["mean"]["ap50"]
    assert mean.difference is not None
    assert mean.interval is not None
    assert mean.interval.low <= mean.difference <= mean.interval.high
    assert mean.sure
    assert mean.a_better is not None
    assert mean.a_better > 0.97
    assert verdict(told, "left", "right", good).startswith("left is better than right: mean AP50 0.")
    backwards = compare(bad, good, PLAIN)
    assert backwards[0].difference == pytest.approx(-mean.difference)
    assert verdict(backwards, "left", "right", bad).startswith("right is better than left")


def test_the_same_is_not_better(plain_scene_results: list[SceneResult]) -> None:
    told = compare(plain_scene_results, plain_scene_results, PLAIN)
    assert told[0].difference == 0
    assert told[0].a_better == 0.5
    assert not told[0].sure
    assert verdict(told, "a", "b", plain_scene_results).startswith("Neither is shown to be better")


def test_only_the_same_scenes_are_compared(plain_scene: Path, plain_scene_results: list[SceneResult]) -> None:
    with pytest.raises(DatasetError, match="same scenes"):
        compare(plain_scene_results, plain_scene_results[1:], PLAIN)
    other = [
        replace(random_result(plain_scene, PLAIN, 50 + i), scene=r.scene)
        for i, r in enumerate(plain_scene_results)
    ]
    with pytest.raises(DatasetError, match="same truth"):
        compare(plain_scene_results, other, PLAIN)


def test_objects_of_a_size(plain_scene: Path, card: Card) -> None:
    # Heaps of 15, 30 and 90 m; found are the first two; beside them a false one of 30 m, the surest.
    labels = [label(HEAP, 10, 10, 25, 20), label(HEAP, 60, 60, 50, 20), label(HEAP, 50, 200, 150, 30)]
    rows = [
        (HEAP, 0.8, corners(10, 10, 25, 20)),
        (HEAP, 0.7, corners(60, 60, 50, 20)),
        (HEAP, 0.9, corners(180, 20, 50, 20)),
    ]
    rows_of = by_size([result_of(plain_scene, labels, given_of(rows), card, gsd_m=GSD_M)], card)["coal_heap"]
    assert rows_of["under 20 m"] == {"truth": 1, "found": 1, "recall": 1.0, "ap50": 1.0}
    assert rows_of["20 to 50 m"] == {"truth": 1, "found": 1, "recall": 1.0, "ap50": 0.5}
    assert rows_of["50 to 100 m"] == {"truth": 1, "found": 0, "recall": 0.0, "ap50": 0.0}
    assert rows_of["from 200 m"] == {"truth": 0, "found": 0, "recall": None, "ap50": None}


def test_scenes_of_a_site_a_sensor_a_season(plain_scene: Path, card: Card) -> None:
    heap, found = label(HEAP, 10, 10, 25, 20), given_of([(HEAP, 0.8, corners(10, 10, 25, 20))])
    facts = [SceneFacts("north", "2021-07-02", "WV3"), SceneFacts("south", "2021-01-02", "WV3"), SceneFacts()]
    results = [
        replace(result_of(plain_scene, [heap], some, card, gsd_m=GSD_M, facts=told), scene=str(i))
        for i, (told, some) in enumerate(zip(facts, (found, given_of([]), found), strict=True))
    ]
    told = by_circumstance(results, card)
    assert {name: group["classes"]["coal_heap"]["ap50"] for name, group in told["site"].items()} == {
        "north": 1.0,
        "south": 0.0,
        "unknown": 1.0,
    }
    assert {name: group["scenes"] for name, group in told["sensor"].items()} == {"3 × uint8": 1, "WV3": 2}
    assert set(told["season"]) == {"summer", "winter", "unknown"}
    assert set(told["ground resolution"]) == {"0.45 to 0.75 m"}
    assert told["site"]["north"]["classes"]["mine_head"]["ap50"] is None


def test_scenes_of_a_land_and_of_what_lies_on_it(plain_scene: Path, card: Card) -> None:
    heap, found = label(HEAP, 10, 10, 25, 20), given_of([(HEAP, 0.8, corners(10, 10, 25, 20))])
    facts = [
        SceneFacts(biome="steppe", ground="no snow", off_nadir_deg="9.9"),
        SceneFacts(biome="snow", ground="snow", off_nadir_deg="20"),
        SceneFacts(),
    ]
    results = [
        replace(result_of(plain_scene, [heap], some, card, gsd_m=GSD_M, facts=told), scene=str(i))
        for i, (told, some) in enumerate(zip(facts, (found, given_of([]), found), strict=True))
    ]
    told = by_circumstance(results, card)
    for kind, names in (
        ("ground", ("no snow", "snow", "unknown")),
        ("biome", ("steppe", "snow", "unknown")),
        ("off nadir", ("under 10°", "20 to 30°", "unknown")),
    ):
        groups = {name: told[kind][name]["classes"]["coal_heap"]["ap50"] for name in told[kind]}
        assert groups == dict(zip(names, (1.0, 0.0, 1.0), strict=True))
    old = to_record(results[0])
    del old["about"]["biome"], old["about"]["ground"]  # as results were kept before
    assert from_record(old).about.ground is None


def test_kept_results_stay_good_where_no_land_is_told(plain_scene: Path) -> None:
    plain = SceneFacts("n", "2021-07-02", "WV3")
    facts = (plain, replace(plain, ground="snow"), replace(plain, off_nadir_deg="20"))
    keys = [Job(plain_scene, (), one, Path("a.onnx"), "ab", None, None).key for one in facts]
    old = [[VERSION, "ab", sha256_of(plain_scene), None, []], ["n", "2021-07-02", "WV3"]]
    assert keys[0] == hashlib.sha256(json.dumps(old).encode()).hexdigest()
    assert len(set(keys)) == 3


def test_curves_end_where_the_counts_do(plain_scene: Path, card: Card) -> None:
    labels = [label(HEAP, 10, 10, 25, 20), label(HEAP, 60, 60, 50, 20)]
    rows = [
        (HEAP, 0.9, corners(10, 10, 25, 20)),
        (HEAP, 0.6, corners(180, 20, 50, 20)),
        (HEAP, 0.3, corners(60, 60, 50, 20)),
    ]
    told = curves([result_of(plain_scene, labels, given_of(rows), card, gsd_m=GSD_M)], card)["coal_heap"]
    km2 = (SIDE_PX * GSD_M / 1000) ** 2
    assert told["by_score"]["score"] == pytest.approx([0.9, 0.6, 0.3])
    assert told["by_score"]["precision"] == pytest.approx([1, 1 / 2, 2 / 3], abs=1e-6)
    assert told["by_score"]["recall"] == [0.5, 0.5, 1.0]
    assert told["by_score"]["false_alarms_per_km2"] == pytest.approx([0, 1 / km2, 1 / km2], rel=1e-4)
    at = dict(zip(told["by_rung"]["threshold"], told["by_rung"]["f1"], strict=True))
    assert (at[0.3], at[0.6], at[0.9], at[0.95]) == pytest.approx((4 / 5, 2 / 4, 2 / 3, 0))
    assert len(at) == len(LADDER)


def test_a_result_is_the_same_after_json_and_pickle(plain_scene_results: list[SceneResult]) -> None:
    for result in plain_scene_results[:4]:
        told = json.dumps(to_record(result))
        assert json.dumps(to_record(from_record(json.loads(told)))) == told
        assert json.dumps(to_record(pickle.loads(pickle.dumps(result)))) == told  # noqa: S301 (our own bytes)


def test_kept_results_come_back(tmp_path: Path, plain_scene_results: list[SceneResult]) -> None:
    keep_results(tmp_path, plain_scene_results, PLAIN)
    back, card = kept_results(tmp_path)
    assert card == PLAIN
    assert compare(back, plain_scene_results, PLAIN)[0].difference == 0
    assert kept_scenes(tmp_path) == dict.fromkeys(sorted(result.scene for result in back))
    index = json.loads((tmp_path / "measured.json").read_text("utf-8"))
    # as it was before anybody noted hashes
    (tmp_path / "measured.json").write_text(json.dumps({**index, "scenes": list(index["scenes"])}))
    assert len(kept_results(tmp_path)[0]) == len(back)
    assert kept_scenes(tmp_path)["scene3"] is None
    (tmp_path / "scenes" / "scene3.json").write_text("{")
    with pytest.raises(DatasetError, match="scene3"):
        kept_results(tmp_path)
    with pytest.raises(DatasetError, match="measure the weights first"):
        kept_results(tmp_path / "none")


def dataset(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    lines = []
    for i in range(count):
        Image.fromarray(np.full((SIDE_PX, SIDE_PX, 3), 90 + i, np.uint8)).save(folder / f"{i}.png")
        row = {
            "image": str(i),
            "class": "coal_heap",
            "polygon": corners(70, 90, 60, 20),
            "confidence": "sure",
        }
        doubt = {
            "image": str(i),
            "class": "coal_heap",
            "polygon": corners(0, 0, 9, 9),
            "confidence": "possible",
        }
        sand = {
            "image": str(i),
            "class": "coal_heap",
            "polygon": corners(9, 0, 9, 9),
            "material": "aggregate",
        }
        lines += [json.dumps(one) for one in (row, doubt, sand)]
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def jobs(weights: Path, scenes: Path) -> list[Job]:
    return jobs_of(weights, scenes, scenes / "labels.jsonl", ROOT / "labeling" / "classes.toml", GSD_M, 1)


def test_what_is_doubtful_or_no_coal_is_neither_right_nor_wrong(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    rows = [[4.5, 4.5, 9, 9, 0, 0.9, HEAP], [13.5, 4.5, 9, 9, 0, 0.9, HEAP], [100, 100, 60, 20, 0, 0.8, HEAP]]
    weights = make_onnx(rows)
    results = measured(jobs(weights, dataset(tmp_path / "scenes")), 1)
    heap = summary(results, Detector.open(weights).card)["classes"]["coal_heap"]
    assert (heap["truth"], heap["precision"], heap["recall"], heap["ap50"]) == (3, 1.0, 1.0, 1.0)


def test_what_labels_do_not_tell_is_what_the_vendor_tells(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scenes = dataset(tmp_path / "scenes")
    for name in "01":
        (scenes / f"{name}.IMD").write_text(IMD)
    with (scenes / "labels.jsonl").open("a") as lines:
        lines.write(json.dumps({"image": "1", "class": "none", "sensor": "mine", "off_nadir_deg": 3}) + "\n")
    told = [
        (one.facts.date, one.facts.sensor, one.facts.off_nadir_deg) for one in jobs(make_onnx([]), scenes)
    ]
    assert told == [("2019-03-12", "WV02", "26.9"), ("2019-03-12", "mine", "3"), (None, None, None)]
    (scenes / "2.IMD").write_text("BEGIN_GROUP = IMAGE_1")
    with pytest.raises(CatalogError, match=r"2\.IMD"):
        jobs(make_onnx([]), scenes)


def test_two_files_of_one_name_would_count_twice(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    scenes = dataset(tmp_path / "scenes")
    Image.new("RGB", (SIDE_PX, SIDE_PX)).save(scenes / "1.jpg")
    with pytest.raises(DatasetError, match="got 1 twice"):
        jobs(make_onnx([]), scenes)


def test_a_measuring_that_was_stopped_goes_on(
    tmp_path: Path, make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, scenes, out = (
        make_onnx([[100, 100, 60, 20, 0, 0.9, HEAP]]),
        dataset(tmp_path / "scenes"),
        tmp_path / "out",
    )
    whole = measured(jobs(weights, scenes), 1)
    asked: list[str] = []

    def counted(path: Path, *args: object, **kwargs: object) -> SceneResult:
        asked.append(path.stem)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return evaluate_scene(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("pithead.evaluation.jobs.evaluate_scene", counted)
    with pytest.raises(KeyboardInterrupt):
        measured(jobs(weights, scenes), 1, keep=out)
    with pytest.raises(DatasetError, match="goes on where it ended"):
        kept_results(out)
    done: list[tuple[int, int]] = []
    again = measured(jobs(weights, scenes), 1, keep=out, progress=lambda *now: done.append(now))
    assert asked == ["0", "1", "1", "2"]
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert [to_record(r) for r in again] == [to_record(r) for r in whole]
    assert [to_record(r) for r in kept_results(out)[0]] == [to_record(r) for r in whole]
    text = (scenes / "labels.jsonl").read_text()
    (scenes / "labels.jsonl").write_text(text.replace("[[70, 90]", "[[71, 90]", 1))
    measured(jobs(weights, scenes), 1, keep=out)
    assert asked[4:] == ["0"]  # its labels are others now
