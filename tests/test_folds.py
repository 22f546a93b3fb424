"""pithead.folds: no place is on both sides, whatever the sites are called."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pithead.dataset import Corners, Tile
from pithead.errors import DatasetError
from pithead.folds import Ground, distance_m, k_folds, leave_one_out, near_pairs, places_of
from pithead.geometry import Window

SUM = "0" * 64
METRE = 1 / 111_320  # degrees of latitude


def square(east_m: float, north_m: float, side_m: float = 100.0, lat: float = 60.0) -> Corners:
    """A square with its south-west corner so many metres from 127° E at a latitude, where a degree of
    longitude is half as long."""
    corners = [(0, 0), (side_m, 0), (side_m, side_m), (0, side_m)]
    return tuple((127 + (east_m + x) * METRE / 0.5, lat + (north_m + y) * METRE) for x, y in corners)


def tile(scene: str, place: str, sensor: str | None = None) -> Tile:
    return Tile(
        f"images/train/{scene}.png", f"labels/train/{scene}.txt", None, SUM, SUM, scene, place, "train", None,
        Window(0, 0, 64, 64), 0.6, {}, 0, sensor=sensor, place=place,
    )  # fmt: skip


def test_distances_are_those_on_the_ground() -> None:
    assert distance_m(square(0, 0), square(300, 0)) == pytest.approx(200, rel=0.01)
    assert distance_m(square(0, 0), square(0, -400)) == pytest.approx(300, rel=0.01)
    assert distance_m(square(0, 0), square(400, 500)) == pytest.approx(500, rel=0.01)  # 3-4-5
    assert distance_m(square(0, 0), square(50, 50)) == 0


def test_near_pairs_are_those_within_the_buffer() -> None:
    first, second = [square(0, 0), square(5000, 0)], [square(300, 0), square(0, 0), square(5000, 350)]
    assert list(near_pairs(first, second, 0)) == [(0, 1)]
    assert list(near_pairs(first, second, 205)) == [(0, 0), (0, 1)]
    assert list(near_pairs(first, second, 255)) == [(0, 0), (0, 1), (1, 2)]
    assert not list(near_pairs([], second, 100))


@given(
    st.lists(st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000)), min_size=2, max_size=8),
    st.floats(0, 1500),
    st.sampled_from([-70.0, 0.0, 42.0, 60.0]),
)
def test_near_pairs_miss_none(corners: list[tuple[float, float]], buffer_m: float, lat: float) -> None:
    footprints = [square(x, y, lat=lat) for x, y in corners]
    every = {
        (i, j)
        for i, a in enumerate(footprints)
        for j, b in enumerate(footprints)
        if distance_m(a, b) <= buffer_m
    }
    assert set(near_pairs(footprints, footprints, buffer_m)) == every


def test_places_join_sites_and_neighbours_and_neighbours_of_neighbours() -> None:
    grounds = [
        Ground("a1", "a", square(0, 0)),
        Ground("a2", "a", square(50_000, 0)),  # far away, but the same site
        Ground("b", "b", square(50_150, 0)),  # 50 m from a2
        Ground("c", "c", square(50_500, 0)),  # 250 m from b
        Ground("d", "d", None),
        Ground("d2", "d", None),
    ]
    assert places_of(grounds, 100) == {"a1": "a", "a2": "a", "b": "a", "c": "c", "d": "d", "d2": "d"}
    assert places_of(grounds, 300)["c"] == "a"
    assert places_of(grounds[::-1], 300) == places_of(grounds, 300)
    with pytest.raises(DatasetError, match="at least 0"):
        places_of(grounds, -1)


def test_each_place_is_val_in_one_fold() -> None:
    tiles = [tile(f"s{i}", f"p{i // 3}") for i in range(30)]
    folds = k_folds(tiles, 5, seed=0)
    assert list(folds) == [f"{i}-of-5" for i in range(1, 6)]
    for parts in folds.values():
        held = {t.place for t in parts if t.split == "val"}
        assert len(held) == 2  # ten places of three tiles each, dealt evenly
        assert not held & {t.place for t in parts if t.split == "train"}
    assert sorted(t.scene for parts in folds.values() for t in parts if t.split == "val") == sorted(
        t.scene for t in tiles
    )
    assert k_folds(tiles[::-1], 5, seed=0)["1-of-5"] == folds["1-of-5"][::-1]
    with pytest.raises(DatasetError, match="10"):
        k_folds(tiles, 11, seed=0)


def test_a_sensor_left_out_shares_no_ground_with_the_others() -> None:
    tiles = [tile("a", "x", "WV02"), tile("b", "x", "GE01"), tile("c", "y", "WV02"), tile("d", "z", None)]
    folds = leave_one_out(tiles, "sensor")
    assert {t.scene: t.split for t in folds["sensor-GE01"]} == {"b": "val", "c": "train", "d": "train"}
    assert {t.scene: t.split for t in folds["sensor-WV02"]} == {"a": "val", "c": "val", "d": "train"}
    assert set(folds) == {"sensor-GE01", "sensor-WV02", "sensor-unknown"}
    sites = leave_one_out(tiles, "site")
    assert {t.scene for t in sites["site-x"] if t.split == "val"} == {"a", "b"}
    with pytest.raises(DatasetError, match="at least 2"):
        leave_one_out([tile("a", "x"), tile("b", "x")], "site")
    with pytest.raises(DatasetError, match="all the ground"):
        leave_one_out([tile("a", "x", "WV02"), tile("b", "x", "GE01")], "sensor")


def test_an_older_manifest_is_divided_by_site() -> None:
    old = replace(tile("a", "x"), place=None)
    assert old.ground == "x"
