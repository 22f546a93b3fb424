"""pithead.dataset: the manifest, the split by site, and the data.yaml that survives a move."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pithead.classes import load_classes
from pithead.dataset import (
    Tile,
    damage,
    data_yaml,
    dataset_sha256,
    drawn_split,
    rank,
    read_manifest,
    split_sites,
    verify,
    write_manifest,
)
from pithead.errors import DatasetError
from pithead.geometry import Window

ROOT = Path(__file__).parents[1]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tile(name: str = "a", image: bytes = b"image", labels: bytes = b"") -> Tile:
    return Tile(
        path=f"images/train/{name}.png",
        labels=f"labels/train/{name}.txt",
        ignores=None,
        sha256=sha(image),
        labels_sha256=sha(labels),
        scene="scene",
        site="mine – north",
        split="train",
        date="2024-05-01",
        window=Window(-32, 64, 640, 640),
        gsd_m=0.6,
        counts={"coal_heap": 2},
        n_ignored=1,
    )


def test_the_manifest_is_read_as_it_was_written_ordered_by_path(tmp_path: Path) -> None:
    write_manifest(tmp_path, [])
    assert read_manifest(tmp_path) == ()
    write_manifest(tmp_path, [tile("b"), tile("a")])
    assert read_manifest(tmp_path) == (tile("a"), tile("b"))
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.jsonl"]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"window": {"x": 1}}'])
def test_a_manifest_that_is_none(tmp_path: Path, line: str) -> None:
    with pytest.raises(DatasetError, match="cut it"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(DatasetError, match="manifest line"):
        read_manifest(tmp_path)


def test_a_tile_with_a_wrong_split_or_sum() -> None:
    text = tile().to_json()
    with pytest.raises(DatasetError, match="test"):
        Tile.from_json(text.replace('"split": "train"', '"split": "test"'))
    with pytest.raises(DatasetError, match="64 hex"):
        Tile.from_json(text.replace(sha(b"image"), "abc"))


def test_a_footprint_may_be_there_or_not() -> None:
    placed = replace(tile(), footprint=((127.0, 39.0), (127.01, 39.0), (127.01, 38.99)))
    assert Tile.from_json(placed.to_json()) == placed
    record = json.loads(tile().to_json())
    assert record.pop("footprint") is None
    assert Tile.from_json(json.dumps(record)) == tile()  # as it was written before the field was there
    for wrong in ([[1, 2]], [[1, 2], [3, 4], [5, 91]], [[1, 2, 3]] * 3, 7, "abc"):
        with pytest.raises(DatasetError, match="cut the dataset again"):
            Tile.from_json(json.dumps({**record, "footprint": wrong}))


def test_all_damage_is_listed(tmp_path: Path) -> None:
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_bytes(b"0 0 0")
    first, second = damage(tmp_path, [tile()])
    assert "a.png is in the manifest but not on disk" in first
    assert "a.txt has sha256" in second


def test_one_sum_for_all() -> None:
    tiles = [tile("a"), tile("b")]
    assert dataset_sha256(tiles) == dataset_sha256(reversed(tiles))
    empty = sha(b"")
    assert dataset_sha256([]) == empty
    assert dataset_sha256([tile("a")]) == sha(f"images/train/a.png {sha(b'image')} {empty}\n".encode())
    assert dataset_sha256([tile("a", labels=b"0")]) != dataset_sha256([tile("a")])


def test_verify_finds_what_is_missing_or_differs(tmp_path: Path) -> None:
    one = tile()
    for name, content in ((one.path, b"image"), (one.labels, b"")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    verify(tmp_path, [one])
    (tmp_path / one.labels).write_bytes(b"0 0 0")
    with pytest.raises(DatasetError, match="sha256"):
        verify(tmp_path, [one])
    (tmp_path / one.path).unlink()
    with pytest.raises(DatasetError, match="not on disk"):
        verify(tmp_path, [one])


def test_a_rank_is_known() -> None:
    # sha256("a") = ca978112ca1bbd…: the first 7 bytes over 2^56
    assert rank("a") == 0xCA978112CA1BBD / 2**56
    assert rank("a", 1) != rank("a1")


@settings(deadline=None)
@given(st.sets(st.text(max_size=5), min_size=2, max_size=40), st.floats(0.01, 0.99), st.integers(0, 5))
def test_both_splits_are_there_whatever_the_sites(sites: set[str], fraction: float, seed: int) -> None:
    splits = split_sites(sites, fraction, seed)
    assert set(splits) == sites
    assert set(splits.values()) == {"train", "val"}
    assert splits == split_sites(sorted(sites), fraction, seed)


def test_a_site_stays_where_it_is() -> None:
    sites = [f"site {i}" for i in range(200)]
    first, all_of_them = split_sites(sites[:100], 0.1, 0), split_sites(sites, 0.1, 0)
    assert {s: all_of_them[s] for s in first} == first
    assert all(drawn_split(s, 0.1, 0) == all_of_them[s] for s in sites)
    assert 5 < sum(split == "val" for split in all_of_them.values()) < 40


@pytest.mark.parametrize(
    ("sites", "fraction"), [([], 0.1), (["a"], 0.1), (["a", "b"], 0.0), (["a", "b"], 1.0)]
)
def test_a_split_that_cannot_be(sites: list[str], fraction: float) -> None:
    with pytest.raises(DatasetError):
        split_sites(sites, fraction, 0)


def test_ultralytics_finds_a_dataset_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = pytest.importorskip("ultralytics.data.utils").check_det_dataset
    first, second = tmp_path / "first", tmp_path / "second"
    for split in ("train", "val"):
        (first / "images" / split).mkdir(parents=True)
    (first / "data.yaml").write_text(data_yaml(load_classes(ROOT / "labeling" / "classes.toml")))
    shutil.move(first, second)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(
        "ultralytics.data.utils.check_font", lambda _: None
    )  # it would look for a font online
    found = check(str(second / "data.yaml"))
    assert Path(found["train"]) == second / "images" / "train"
    assert Path(found["val"]) == second / "images" / "val"
    assert found["names"] == {0: "mine_head", 1: "coal_heap", 2: "guard_perimeter", 3: "rail_loading"}
