"""What training reads: tiles and label rows of a dataset, as batches for ultralytics' loss."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from pithead.augment import Augmenter, View
from pithead.dataset import read_manifest
from pithead.errors import DatasetError
from pithead.geometry import boxes_to_corners, corners_to_boxes
from pithead.recipe import Recipe


@dataclass(frozen=True, slots=True)
class TrainTile:
    """One tile of the manifest: where its picture, its label rows and its ignored areas are."""

    path: Path
    labels: Path
    ignores: Path | None
    classes: frozenset[str]
    """Names of the classes that it shows."""


def read_tiles(dataset: Path, split: str) -> tuple[TrainTile, ...]:
    """Return the tiles of one split, sorted by path.

    Raises:
        DatasetError: There is no manifest, or it breaks the format.
    """
    return tuple(
        TrainTile(
            dataset / t.path,
            dataset / t.labels,
            dataset / t.ignores if t.ignores else None,
            frozenset(name for name, count in t.counts.items() if count),
        )
        for t in sorted(read_manifest(dataset), key=lambda tile: tile.path)
        if t.split == split
    )


def read_pixels(path: Path, tile_px: int) -> npt.NDArray[np.uint8]:
    """Read one tile as RGB uint8 (tile_px, tile_px, 3)."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape != (tile_px, tile_px, 3):
        came = "no readable image" if pixels is None else f"{pixels.shape[1]} × {pixels.shape[0]} px"
        raise DatasetError(f"expected a tile of {tile_px} × {tile_px} px at {path}, got {came}; cut it again")
    return np.asarray(pixels[..., ::-1], np.uint8)


def read_rows(path: Path, tile_px: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Read YOLO-OBB rows as classes (N,) and corners (N, 4, 2) in tile px.

    Raises:
        DatasetError: The file is missing, or a row is no class and 8 numbers.
    """
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"expected label rows at {path}: {error}; cut the dataset again") from error
    try:
        table = np.array(rows, np.float64).reshape(len(rows), 9)
    except ValueError as error:
        raise DatasetError(
            f"expected rows of a class and 8 numbers in {path}; cut the dataset again"
        ) from error
    return table[:, 0].astype(np.int64), table[:, 1:].reshape(-1, 4, 2) * tile_px


@dataclass(frozen=True, slots=True)
class Sample:
    """One tile as the network sees it: pixels (3, H, W), classes (N,), boxes (N, 5), ignored (M, 5) in px."""

    path: Path
    pixels: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    ignored: npt.NDArray[np.float32]


def read_view(tile: TrainTile, tile_px: int) -> View:
    """Read the pixels, rows and ignored areas of a tile.

    Raises:
        DatasetError: A file is missing or broken.
    """
    classes, corners = read_rows(tile.labels, tile_px)
    ignored = read_rows(tile.ignores, tile_px)[1] if tile.ignores else np.zeros((0, 4, 2))
    return View(read_pixels(tile.path, tile_px), classes, corners, ignored)


def sample_of(path: Path, view: View) -> Sample:
    """Turn a view into what a batch is made of."""
    return Sample(
        path,
        np.ascontiguousarray(view.pixels.transpose(2, 0, 1)),
        view.classes,
        corners_to_boxes(view.corners).astype(np.float32),
        corners_to_boxes(view.ignored).astype(np.float32),
    )


class TrainingTiles(Dataset[Sample]):
    """Sample k of a run, for every k: its tile and its random view follow from the seed and k alone.

    So a resumed run goes on with sample k as if it had never stopped, whatever the number of workers.
    """

    def __init__(self, tiles: tuple[TrainTile, ...], recipe: Recipe, augmenter: Augmenter) -> None:
        """Take the tiles of the training split."""
        self.tiles, self.recipe, self.augmenter = tiles, recipe, augmenter
        self._pass, self._order = -1, np.arange(len(tiles))
        self._repeats = repeats(tiles, recipe.balance)

    def __len__(self) -> int:
        """Return the number of tiles of one epoch."""
        return self.recipe.epoch_tiles or len(self.tiles)

    def __getitem__(self, k: int) -> Sample:
        """Return sample k: its tile in the order of its pass over all tiles, in its own random view."""
        number, place = divmod(k, len(self.tiles))
        if number != self._pass:
            self._order = draw(self._repeats, np.random.default_rng([self.recipe.seed, number]))
            self._pass = number
        tile = self.tiles[int(self._order[place])]
        view = read_view(tile, self.recipe.tile_px)
        return sample_of(tile.path, self.augmenter(view, np.random.default_rng([self.recipe.seed, 1, k])))


class ValidationTiles(Dataset[Sample]):
    """The tiles that a run is watched on, as they are."""

    def __init__(self, tiles: tuple[TrainTile, ...], recipe: Recipe) -> None:
        """Take the tiles of the validation split, or as many of them as the recipe says, spread over it."""
        self.tiles = spread(tiles, recipe.val_tiles) if recipe.val_tiles > 0 else tiles
        self.recipe = recipe

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tiles)

    def __getitem__(self, k: int) -> Sample:
        """Return tile k."""
        return sample_of(self.tiles[k].path, read_view(self.tiles[k], self.recipe.tile_px))


def spread(tiles: tuple[TrainTile, ...], most: int) -> tuple[TrainTile, ...]:
    """At most so many tiles, evenly spread: of 5 tiles and 3, the first, the second and the fourth."""
    return tiles if len(tiles) <= most else tuple(tiles[i * len(tiles) // most] for i in range(most))


def repeats(tiles: Sequence[TrainTile], share: float) -> npt.NDArray[np.float64]:
    """How often each tile comes (N,), relative to the others: more often if it shows a rare class.

    A class on a share f of the tiles below `share` repeats them by the root of share / f; a tile comes as
    often as its rarest class asks.

    A. Gupta, P. Dollár and R. Girshick: LVIS: A Dataset for Large Vocabulary Instance Segmentation.
    CVPR 2019.
    """
    counts = Counter(name for tile in tiles for name in tile.classes)
    factor = {name: max(1.0, (share * len(tiles) / count) ** 0.5) for name, count in counts.items()}
    return np.array([max((factor[name] for name in tile.classes), default=1.0) for tile in tiles])


def draw(weights: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """As many indices as there are weights (N,), in random order, each about as often as it weighs.

    Systematic: an index of weight w comes floor or ceil of N · w / sum times, with equal weights once each.
    """
    order = rng.permutation(len(weights))
    edges = np.cumsum(weights[order])
    places = (np.arange(len(order)) + rng.random()) * edges[-1] / len(order)
    return rng.permutation(order[np.minimum(np.searchsorted(edges, places, "right"), len(order) - 1)])


def collate(samples: list[Sample], *, oriented: bool) -> dict[str, Any]:
    """Join samples into the batch that ultralytics' losses and validators read.

    Boxes are shares of the side, (N, 5) with the angle or (N, 4) upright ones round them; `ignored` (M, 6) is
    tile and box in px.
    """
    size = samples[0].pixels.shape[-1]
    boxes = np.concatenate([sample.boxes for sample in samples])
    ignored = np.concatenate([sample.ignored for sample in samples])
    rows = _upstream_angles(boxes) if oriented else _upright(boxes)
    scale = np.array([size, size, size, size, 1], np.float32)[: rows.shape[1]]
    return {
        "img": torch.from_numpy(np.stack([sample.pixels for sample in samples])),
        "cls": torch.from_numpy(np.concatenate([sample.classes for sample in samples])[:, None]).float(),
        "bboxes": torch.from_numpy(rows / scale),
        "batch_idx": _index([sample.boxes for sample in samples]),
        "ignored": torch.cat(
            (_index([sample.ignored for sample in samples])[:, None], torch.from_numpy(ignored)), dim=1
        ),
        "im_file": [str(sample.path) for sample in samples],
        "ori_shape": [(size, size)] * len(samples),
        "resized_shape": [(size, size)] * len(samples),
        "ratio_pad": [((1.0, 1.0), (0.0, 0.0))] * len(samples),
    }


def _upright(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return cx, cy, w, h (N, 4) of the upright rectangles round boxes (N, 5)."""
    corners = boxes_to_corners(boxes.astype(np.float64)).reshape(-1, 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate(((low + high) / 2, high - low), axis=1).astype(np.float32)


def _index(parts: list[npt.NDArray[np.float32]]) -> torch.Tensor:
    return torch.from_numpy(np.repeat(np.arange(len(parts)), [len(p) for p in parts]).astype(np.float32))


def _upstream_angles(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Turn angles from [-pi/2, pi/2) to ultralytics' [-pi/4, 3pi/4): what the pretrained head has learnt."""
    boxes = boxes.copy()
    boxes[boxes[:, 4] < -np.pi / 4, 4] += np.pi
    return boxes
