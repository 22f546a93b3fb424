"""Parts of a scene: together they are the scene, whoever did them, and damaged ones are done again."""

from pathlib import Path

import numpy as np
import pytest
from oracle import Oracle, position_scene
from test_scan import SIZE, oracle, write_scene

from pithead.detections import Coverage
from pithead.imagery import open_scene
from pithead.rescore.parts import TILES, count_of, decode, encode, slice_of
from pithead.scan import TileDetections, Way, assemble, detect_tiles, joined
from pithead.tiling import Grid

WAY = Way(overlap_px=64)


@pytest.fixture
def scene_path(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", position_scene(SIZE, SIZE))


def parts_of(path: Path, detector: Oracle, size: int) -> list[TileDetections]:
    with open_scene(path) as scene:
        total = len(Grid.of(scene, detector.card.gsd_m, detector.card.tile_px, WAY.overlap_px))
        return [detect_tiles(scene, detector, WAY, part=slice(at, at + size)) for at in range(0, total, size)]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_parts_joined_are_the_scene(scene_path: Path, card_json: str, size: int) -> None:
    detector = oracle(card_json)
    with open_scene(scene_path) as scene:
        whole = detect_tiles(scene, detector, WAY)
    parts = parts_of(scene_path, detector, size)
    again = joined(parts[::-1])
    assert again.coverage == whole.coverage
    assert again.valid_px == whole.valid_px
    one, other = assemble(whole, detector.card), assemble(again, detector.card)
    assert len(one.scores) > 3
    assert np.array_equal(one.corners_scene, other.corners_scene)
    assert np.array_equal(one.scores, other.scores)
    assert one.tiles == other.tiles


def test_a_missing_part_is_not_overlooked(scene_path: Path, card_json: str) -> None:
    parts = parts_of(scene_path, oracle(card_json), 1)
    with pytest.raises(ValueError, match="expected all"):
        joined(parts[1:])
    with pytest.raises(ValueError, match="parts of one grid, got 0"):
        joined([])


def test_a_part_survives_its_file(scene_path: Path, card_json: str) -> None:
    for seen in parts_of(scene_path, oracle(card_json), 2):
        content = encode(seen)
        again = decode(content, seen.grid)
        assert again is not None
        assert again.windows == seen.windows
        assert again.coverage == seen.coverage
        assert all(np.array_equal(a, b) for a, b in zip(again.rows, seen.rows, strict=True))
        assert encode(again) == content


def test_a_part_without_a_tile_that_was_run() -> None:
    grid = Grid(64, 64, 1.0, 1.0, 64, 0)
    empty = TileDetections(grid, (), (), Coverage(0, empty=1), 0)
    assert decode(encode(empty), grid) == empty


def test_damaged_parts_and_those_of_another_grid_are_none(scene_path: Path, card_json: str) -> None:
    seen = parts_of(scene_path, oracle(card_json), 1)[0]
    content = encode(seen)
    other = Grid(64, 64, 1.0, 1.0, 64, 0)
    assert decode(content, other) is None
    assert decode(b"", seen.grid) is None
    for at in (0, 20, len(content) - 1):
        damaged = bytearray(content)
        damaged[at] ^= 1
        assert decode(bytes(damaged), seen.grid) is None
    assert decode(content[:-4], seen.grid) is None


def test_every_tile_is_in_one_part() -> None:
    assert [count_of(n) for n in (0, 1, TILES, TILES + 1, 10 * TILES)] == [1, 1, 1, 2, 10]
    tiles = list(range(2 * TILES + 5))
    assert [tile for part in range(count_of(len(tiles))) for tile in tiles[slice_of(part)]] == tiles
