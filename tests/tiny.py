"""A dataset of few small tiles with bright boxes, for tests of training and export."""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pithead.dataset import Tile, write_manifest
from pithead.geometry import Window
from pithead.recipe import Recipe, read_recipe

SMOKE = Path(__file__).parents[1] / "training" / "recipes" / "smoke.toml"
NAMES = ("mine_head", "coal_heap", "guard_perimeter", "rail_loading")
SIDE = 128


def tiny_recipe(dataset: Path, **changes: object) -> Recipe:
    """Return the smoke recipe for tiles of 128 px, two a batch, one thread, without bfloat16."""
    small = replace(read_recipe(SMOKE), dataset=str(dataset), tile_px=SIDE, batch=2, threads=1, amp=False)
    return replace(small, **changes)  # type: ignore[arg-type]


def write_tiny_dataset(folder: Path, train: int = 4, val: int = 2) -> Path:
    """Write tiles of 128 px, each with one box of 40 × 24 px of class 1; the first with an ignored area."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    tiles = []
    for i in range(train + val):
        x, y = (int(v) for v in rng.integers(0, 60, 2))
        pixels = rng.integers(40, 80, (SIDE, SIDE, 3), np.uint8)
        pixels[y : y + 24, x : x + 40] = 250
        corners = np.array([[x, y], [x + 40, y], [x + 40, y + 24], [x, y + 24]]) / SIDE
        row = "1 " + " ".join(f"{value:.6f}" for value in corners.ravel()) + "\n"
        cv2.imwrite(str(folder / f"{i}.png"), pixels)
        (folder / f"{i}.txt").write_text(row, encoding="utf-8")
        tiles.append(_tile(folder, i, "train" if i < train else "val", ignores="0.txt" if i == 0 else None))
    write_manifest(folder, tiles)
    return folder


def _tile(folder: Path, i: int, split: str, ignores: str | None) -> Tile:
    return Tile(
        path=f"{i}.png",
        labels=f"{i}.txt",
        ignores=ignores,
        sha256=hashlib.sha256((folder / f"{i}.png").read_bytes()).hexdigest(),
        labels_sha256=hashlib.sha256((folder / f"{i}.txt").read_bytes()).hexdigest(),
        scene=split,
        site=split,
        split=split,  # type: ignore[arg-type]
        date=None,
        window=Window(0, 0, SIDE, SIDE),
        gsd_m=0.6,
        counts={"coal_heap": 1},
        n_ignored=int(ignores is not None),
    )
