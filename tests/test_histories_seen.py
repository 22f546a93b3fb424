"""What a pretended detector finds in the pictures of a history."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from test_histories import EARLY, LATE, SQUARE, history, shot, thing

from pithead.card import BoxErrors, ClassErrors, LineErrors, Rate, SizeRecall
from pithead.generate.history import CONFUSER, Block, History, Pile, Plant, Ring, Shot, Thing
from pithead.generate.parts import rectangle, sides_m
from pithead.pretend import THING, TYPICAL, Names, observe, plausible, pretended_card
from pithead.pretend.boxes import boxes_of
from pithead.pretend.lines import lines_of
from pithead.pretend.observe import _shape
from pithead.store.rows import COLUMNS, content_sha256, table_of

END = float("inf")
CLASSES = ("mine_head", "coal_heap", "guard_perimeter", "rail_loading")
RIGHT = BoxErrors(100, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
EXACT = LineErrors(1.0, 1.0, 0.0, 0.0, 0.0, 10, 10, 0.0, 0.0)


def errors(
    name: str = "coal_heap",
    *,
    found: int = 1000,
    false_alarms_km2: float = 0.0,
    box: BoxErrors | None = RIGHT,
    lines: LineErrors | None = None,
    recall: tuple[SizeRecall, ...] | None = None,
) -> ClassErrors:
    sizes = recall or (SizeRecall(0.0, END, 1000, found),)
    return ClassErrors(name, sizes, Rate(100, 80), false_alarms_km2, box, lines, "a test", 1, 1.0, (0.3, 1.2))


LINES = errors("guard_perimeter", box=None, lines=EXACT)
HEAP = thing("heap", "coal_heap", (EARLY, Pile(-100, 50, 0.4, 20, 10)))


def on_site(site: History, rows: gpd.GeoDataFrame) -> list[shapely.Geometry]:
    return [shapely.transform(shape, site.from_lonlat) for shape in rows.geometry]


def many(site: History, view: Shot, one: ClassErrors, count: int) -> pd.DataFrame:
    """What is found in many looks at one picture; as `observe`, but without the cost of rows."""
    looks = boxes_of if one.lines is None else lines_of
    found = [each for i in range(count) for each in looks(site, view, one, np.random.default_rng(i))]
    shapes = [_shape(each) for each in found]
    sides = np.array([(0.0, 0.0) if each.line else sides_m(each.points_m) for each in found])
    columns = {THING: [each.thing for each in found], "score": [each.score for each in found]}
    return pd.DataFrame(
        {
            **columns,
            "geometry": shapes,
            "closed": [each.closed for each in found],
            "length_m": [
                s.length if f.line else a for s, f, a in zip(shapes, found, sides[:, 0], strict=True)
            ],
            "width_m": sides[:, 1],
            "area_m2": [shape.area for shape in shapes],
        }
    )


# --- one that is never wrong


def test_a_perfect_detector_finds_the_rectangle_where_the_picture_shows_it() -> None:
    site = history(HEAP)
    view = shot(shift_m=(5.0, -3.0), off_nadir_deg=25.0)
    (row,) = observe(site, view, [errors()]).itertuples()
    assert (row.thing, row.length_m, row.width_m, row.area_m2) == ("heap", 40, 20, 800)
    assert not row.cut
    (shape,) = on_site(site, observe(site, view, [errors()]))
    truth = shapely.affinity.translate(shapely.Polygon(HEAP.form(EARLY).box), 5, -3)  # type: ignore[union-attr]
    turned = shape.symmetric_difference(truth).area / truth.area  # boxes are turned by a degree or so
    assert turned < 0.1
    assert shape.centroid.distance(truth.centroid) < 0.01
    assert row.centre_x_px == pytest.approx(400 - 100 + 5, abs=0.01)
    assert row.centre_y_px == pytest.approx(400 - 50 + 3, abs=0.01)


def test_a_plant_leans_by_a_third_of_its_tower() -> None:
    plant = Plant(0, 0, 0, 1, rectangle(0, 0, 0, 60, 30), height_m=30.0)
    site = history(thing("head", "mine_head", (EARLY, plant)))
    view = shot(off_nadir_deg=30.0, azimuth_deg=180.0)  # from the south: it leans north
    (shape,) = on_site(site, observe(site, view, [errors("mine_head")]))
    assert shape.centroid.y == pytest.approx(10 * np.tan(np.pi / 6), abs=0.01)


def test_a_perfect_line_is_the_ring() -> None:
    site = history(thing("ring", "guard_perimeter", (EARLY, Ring(SQUARE, height_m=0.0))))
    (row,) = observe(site, shot(), [LINES]).itertuples()
    assert (row.thing, row.length_m, row.enclosed_area_m2, row.closed) == ("ring", 400, 10_000, True)
    assert pd.isna(row.area_m2)
    assert row.geometry.is_ring


def test_a_ring_that_the_frame_cuts_is_open_and_cut() -> None:
    site = history(thing("ring", "guard_perimeter", (EARLY, Ring(SQUARE, height_m=0.0))))
    rows = observe(site, shot(footprint=shapely.box(-400, -400, 50, 400)), [LINES])
    assert rows["length_m"].tolist() == [pytest.approx(200, abs=0.1)]
    assert not rows["closed"].any()
    assert rows["cut"].all()


@pytest.mark.parametrize(
    "hidden",
    [
        {"clouds": (shapely.box(-200, -50, 0, 150),)},
        {"nodata": (shapely.box(-200, -50, 0, 150),)},
        {"haze": 0.7},
        {"footprint": shapely.box(-60, -400, 400, 400)},
    ],
)
def test_nothing_is_found_where_nothing_can_be_seen(hidden: dict[str, object]) -> None:
    rows = observe(history(HEAP), shot(**hidden), [errors()])
    assert rows.empty
    assert set(COLUMNS) | {THING} == set(rows.columns)


def test_of_what_is_partly_hidden_the_rest_is_found_unless_that_is_too_little() -> None:
    heap = thing("heap", "coal_heap", (EARLY, Pile(0, 0, 0, 30, 10)))  # x from -25 to 25
    site = history(heap)
    (row,) = observe(site, shot(clouds=(shapely.box(10, -50, 90, 50),)), [errors()]).itertuples()
    assert row.length_m == pytest.approx(35, abs=0.01)
    assert observe(site, shot(clouds=(shapely.box(4, -50, 90, 50),)), [errors()]).empty
    (row,) = observe(site, shot(footprint=shapely.box(-400, -400, 10, 400)), [errors()]).itertuples()
    assert row.cut


def test_a_thing_that_is_gone_is_not_found() -> None:
    gone = thing("gone", "coal_heap", (EARLY, Pile(0, 0, 0, 30, 10)), (LATE, None))
    assert len(observe(history(gone), shot(), [errors()])) == 1
    assert observe(history(gone), shot(LATE), [errors()]).empty


# --- one that is as wrong as its card says


def test_recall_goes_by_size_and_snow() -> None:
    sizes = (SizeRecall(0.0, 30.0, 10, 3), SizeRecall(30.0, END, 10, 9))
    small = thing("small", "coal_heap", (EARLY, Pile(100, 0, 0, 0, 10)))
    site, card = history(HEAP, small), errors(recall=sizes)
    counts = many(site, shot(), card, 300)[THING].value_counts()
    assert counts["small"] == pytest.approx(90, abs=4 * np.sqrt(300 * 0.3 * 0.7))
    assert counts["heap"] == pytest.approx(270, abs=4 * np.sqrt(300 * 0.9 * 0.1))
    snowed = many(site, shot(snow=True), card, 300)[THING].value_counts()
    assert snowed["heap"] == pytest.approx(81, abs=4 * np.sqrt(300 * 0.27 * 0.73))


def test_recall_goes_by_ground_resolution() -> None:
    by_gsd = (SizeRecall(0.0, 0.8, 10, 8), SizeRecall(0.8, 1.5, 10, 2))
    card = replace(errors(found=500), by_gsd=by_gsd)
    found = len(many(history(HEAP), shot(), card, 300))  # at 1 m: odds of 1 times (1/4) / 1
    assert found == pytest.approx(300 * 0.2, abs=4 * np.sqrt(300 * 0.2 * 0.8))


def test_boxes_are_off_as_measured() -> None:
    box = BoxErrors(100, 2.0, 0.1, 0.08, -0.05, 0.12, 0.05, 0.17)
    site = history(HEAP)
    rows = many(site, shot(), errors(box=box), 400)
    ratios = np.log(rows[["length_m", "width_m", "area_m2"]].to_numpy(float) / [40, 20, 800])
    assert ratios.mean(axis=0) == pytest.approx([0.1, -0.05, 0.05], abs=0.03)
    assert ratios.std(axis=0) == pytest.approx([0.08, 0.12, 0.17], rel=0.15)
    middles = np.array([shape.centroid.coords[0] for shape in rows["geometry"]]) - [-100, 50]
    assert np.sqrt((middles**2).mean(axis=0)) == pytest.approx([2, 2], rel=0.15)


def test_false_alarms_are_as_many_as_measured_and_half_of_them_stand_there() -> None:
    block = Block(rectangle(0, 0, 0, 20, 10))
    alike = Thing("roof", "coal_heap", CONFUSER, ((EARLY, block),))
    rows = many(history(alike), shot(), errors(false_alarms_km2=1.5), 300)
    expected = 300 * 1.5 * 0.64
    assert len(rows) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    standing = int((rows[THING] == "roof").sum())
    assert standing == pytest.approx(expected / 2, abs=4 * np.sqrt(expected / 2))
    assert set(rows[THING]) == {"roof", ""}


def test_a_score_is_its_own_probability() -> None:
    # Four right to one wrong, as the precision says.
    heaps = [thing(f"heap-{i}", "coal_heap", (EARLY, Pile(60 * i - 100, 50, 0, 20, 10))) for i in range(4)]
    rows = many(history(*heaps), shot(), errors(false_alarms_km2=1 / 0.64), 300)
    right = (rows[THING] != "").to_numpy()
    score = rows["score"].to_numpy()
    assert right.mean() == pytest.approx(0.8, abs=0.05)
    for low, high in ((0.4, 0.7), (0.7, 0.85), (0.85, 1.0)):
        inside = (score >= low) & (score < high)
        assert right[inside].mean() == pytest.approx(score[inside].mean(), abs=0.08)


def test_lines_have_gaps_and_waver_as_measured() -> None:
    ring = Ring(4 * SQUARE - 200, height_m=0.0)
    site = history(thing("ring", "guard_perimeter", (EARLY, ring)))
    card = errors("guard_perimeter", box=None, lines=LineErrors(0.85, 0.9, 1.5, 0.0, 0.0, 10, 10))
    rows = many(site, shot(), card, 80)
    assert rows["length_m"].sum() / (80 * 1600) == pytest.approx(0.85, abs=0.04)
    assert 0.1 < rows["closed"].sum() / 80 < 0.6
    off = [shapely.Point(at).distance(ring.shape) for line in rows["geometry"] for at in line.coords]
    assert np.sqrt(np.mean(np.square(off))) == pytest.approx(1.5, rel=0.15)


# --- as rows of a store


def test_rows_are_those_of_a_store() -> None:
    drawn = History.draw(4)
    rows = observe(drawn, drawn.shots[0])
    assert len(table_of(rows)) == len(rows)
    assert content_sha256(rows) == content_sha256(observe(drawn, drawn.shots[0]))
    assert set(rows["frame"]) == {"lonlat"}
    assert set(rows["scene"]) == {Names.of(drawn, drawn.shots[0]).scene}
    known = {one.id for one in drawn.things} | {""}
    assert set(rows[THING]) <= known
    inside = rows["site"].notna()
    outline = shapely.transform(drawn.outline, drawn.to_lonlat)
    assert (rows.geometry.intersects(outline) == inside).all()


def test_typical_errors_agree_with_themselves() -> None:
    right, false, km2 = dict.fromkeys(CLASSES, 0), dict.fromkeys(CLASSES, 0), 0.0
    for seed in range(6):
        drawn = History.draw(seed)
        wrong = {one.id for one in drawn.things if not one.real} | {""}
        for one in drawn.shots:
            rows = observe(drawn, one)
            km2 += one.visible.area / 1e6
            for cls, name in zip(rows["class"], rows[THING], strict=True):
                (false if name in wrong else right)[cls] += 1
    for one in TYPICAL:
        share = right[one.name] / (right[one.name] + false[one.name])
        assert share == pytest.approx(one.precision.share, abs=0.12), one.name
        assert false[one.name] / km2 == pytest.approx(one.false_alarms_km2, rel=0.5), one.name


def test_plausible_errors_lie_round_the_measured_ones() -> None:
    rng = np.random.default_rng(1)
    drawn = [plausible(TYPICAL, rng)[1] for _ in range(400)]
    shares = np.array([[kind.share or 0 for kind in one.recall] for one in drawn])
    measured = [52 / 90, 197 / 240, 307 / 330]
    assert shares.mean(axis=0) == pytest.approx(measured, abs=0.01)
    assert shares[:, 0].std() == pytest.approx(np.sqrt(measured[0] * (1 - measured[0]) / 90), rel=0.15)
    biases = np.array([one.box.length_bias for one in drawn if one.box is not None])
    assert biases.std() == pytest.approx(0.08 / np.sqrt(556), rel=0.15)
    assert np.mean([one.false_alarms_km2 for one in drawn]) == pytest.approx(0.64, rel=0.1)


def test_the_card_says_how_wrong_it_is() -> None:
    card = pretended_card()
    assert card.errors == TYPICAL
    assert [one.geometry for one in card.classes] == ["box", "box", "line", "strip"]
    assert card.probabilities([0.3], [1]) == pytest.approx([0.3])
