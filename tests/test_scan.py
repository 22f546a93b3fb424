"""A perfect detector goes through the real tiler, reader and merge."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from oracle import Oracle, place, position_scene
from rasterio.crs import CRS

from pithead.card import Card, CardClass
from pithead.errors import OptionError
from pithead.geometry import corners_to_boxes, rotated_iou
from pithead.imagery import open_scene
from pithead.scan import Detections, Way, scan

SIZE = 1100


def write_scene(path: Path, data: npt.NDArray[np.uint8], *, nodata: int | None = None) -> Path:
    height, width, _ = data.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8", nodata=nodata,
        crs=CRS.from_epsg(32652), transform=Affine(0.6, 0, 500_000, 0, -0.6, 4_400_000),
    ) as out:  # fmt: skip
        out.write(np.moveaxis(data, -1, 0))
    return path


@pytest.fixture
def scene_path(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", position_scene(SIZE, SIZE))


def oracle(card_json: str, kind: int = 1) -> Oracle:
    boxes = place(np.random.default_rng(3), 40, 20, 90, SIZE)
    return Oracle(boxes, np.full(len(boxes), kind, np.int64), Card.from_json(card_json))


def scanned(path: Path, detector: Oracle, **options: int) -> Detections:
    with open_scene(path) as scene:
        return scan(scene, detector, Way(**options))


@pytest.mark.parametrize("overlap_px", [64, 128])
@pytest.mark.parametrize("batch", [1, 5])
def test_every_object_once_and_in_place(
    scene_path: Path, card_json: str, overlap_px: int, batch: int
) -> None:
    detector = oracle(card_json)
    found = scanned(scene_path, detector, overlap_px=overlap_px, batch=batch)
    assert len(found.scores) == len(detector.boxes)
    assert rotated_iou(detector.boxes, corners_to_boxes(found.corners_scene)).max(axis=1).min() > 0.99
    assert found.corners_scene.dtype == np.float64
    assert (found.classes == 1).all()
    assert found.coverage.run == len(found.grid)


def test_the_same_twice_whatever_the_batch(scene_path: Path, card_json: str) -> None:
    detector = oracle(card_json)
    first, again = scanned(scene_path, detector, batch=1), scanned(scene_path, detector, batch=7)
    assert first.corners_scene.tobytes() == again.corners_scene.tobytes()
    assert first.scores.tobytes() == again.scores.tobytes()


@pytest.mark.parametrize("readers", [2, 4])
def test_the_same_whatever_the_number_of_readers(scene_path: Path, readers: int) -> None:
    # At 1.1 m instead of 0.6 every tile is resampled; rows that sum up the pixels show any that differ.
    class Sums:
        card = Card("sums", (CardClass("a", "box", "#ffffff", 0.0),), 256, 1.1, "CC0-1.0")

        def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
            return [np.array([[128, 128, 9, 5, 0, tile.mean() / 255, 0]], np.float32) for tile in tiles]

    with open_scene(scene_path) as scene:
        one, several = (scan(scene, Sums(), Way(64, readers=n)) for n in (1, readers))
        assert scene.read(0, 0, 9, 9, 9, 9).valid.all()  # the scene itself stays open
    assert len(one.scores) == len(one.grid) > 8
    assert one.corners_scene.tobytes() == several.corners_scene.tobytes()
    assert one.scores.tobytes() == several.scores.tobytes()


def test_spans_become_a_ring_across_tiles(scene_path: Path, card_json: str) -> None:
    detector = oracle(card_json, kind=2)
    sides = [[(192 + 32 * i + 16, y, 32, 20, 0) for i in range(20)] for y in (192, 832)]
    ends = [[(x, 192 + 32 * i + 16, 32, 20, -np.pi / 2) for i in range(20)] for x in (192, 832)]
    detector.boxes = np.array([*sides[0], *sides[1], *ends[0], *ends[1]], np.float64)
    detector.classes = np.full(80, 2, np.int64)
    (ring,) = scanned(scene_path, detector).lines
    assert ring.closed
    assert ring.class_id == 2
    assert ring.spans == 80
    corners = np.array([[192, 192], [832, 192], [832, 832], [192, 832]])
    reach = np.linalg.norm(ring.points_scene[:, None] - corners, axis=-1)
    assert (reach.min(axis=0) < 8).all()


def test_tiles_without_pixels_are_not_run(tmp_path: Path, card_json: str) -> None:
    data = position_scene(SIZE, SIZE) | np.array([0, 0, 64], np.uint8)
    data[:, 400:] = 0
    path = write_scene(tmp_path / "half.tif", data, nodata=0)
    detector = oracle(card_json)
    detector.boxes = np.zeros((0, 5))
    detector.classes = np.zeros(0, np.int64)
    steps: list[tuple[int, int]] = []
    with open_scene(path) as scene:
        found = scan(scene, detector, progress=lambda done, of: steps.append((done, of)))
    columns = found.grid.columns
    assert found.coverage.empty == len(found.grid) // columns * (columns - 4)  # origins 0, 128, 256, 384
    assert found.coverage.run + found.coverage.empty == len(found.grid)
    assert steps[-1] == (len(found.grid), len(found.grid))
    assert found.corners_scene.shape == (0, 4, 2)


@pytest.mark.parametrize("options", [{"overlap_px": 160}, {"overlap_px": 100}, {"batch": 0}, {"readers": 0}])
def test_impossible_options(scene_path: Path, card_json: str, options: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        scanned(scene_path, oracle(card_json), **options)
