"""What the merge at tile seams does to the boxes of a perfect detector, beside suppression over the scene."""

import sys
import time
import tracemalloc
from pathlib import Path

import cyclopts
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from pithead.geometry import Window, rotated_iou
from pithead.program import run
from pithead.seams import merge

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from oracle import KINDS, Floats, place, scene_of, seen, windows_of

app = cyclopts.App(name="seams.py", help_format="plaintext")


@app.default
def seams(
    *, seeds: int = 5, tiles: tuple[int, ...] = (640, 1024), overlaps: tuple[int, ...] = (64, 128, 256)
) -> None:
    """Print, for each kind of scene, tile and overlap: objects, the error of the count, the median IoU.

    Parameters
    ----------
    seeds
        Scenes of each kind.
    tiles
        Sides of tiles in px.
    overlaps
        Overlaps in px.
    """
    table = Table("scene", "tile", "overlap", "objects", "merge", "NMS 0.5", "median IoU", "5th percentile")
    for kind in KINDS:
        for tile_px in tiles:
            for overlap_px in overlaps:
                table.add_row(
                    kind, str(tile_px), str(overlap_px), *_measured(kind, tile_px, overlap_px, seeds)
                )
    console = Console(width=120)
    console.print(table)
    console.print(_cost())


def _measured(kind: str, tile_px: int, overlap_px: int, seeds: int) -> list[str]:
    objects, wrong, plain, overlap = 0, 0, 0, []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, tile_px, overlap_px])
        boxes, size = scene_of(kind, rng, tile_px)
        windows = windows_of(size, size, tile_px, overlap_px)
        classes = np.zeros(len(boxes), np.int64)
        rows = [seen(boxes, classes, window, rng=rng) for window in windows]
        merged = merge(windows, rows)
        objects += len(boxes)
        wrong += abs(len(merged.boxes) - len(boxes))
        plain += abs(_suppressed(windows, rows) - len(boxes))
        overlap += rotated_iou(boxes, merged.boxes).max(axis=1).tolist()
    low, middle = np.percentile(overlap, [5, 50])
    return [str(objects), f"±{wrong}", f"±{plain}", f"{middle:.3f}", f"{low:.3f}"]


def _suppressed(windows: list[Window], rows: list[npt.NDArray[np.float32]]) -> int:
    """How many boxes are left by suppression over the scene at IoU 0.5, the usual way."""
    boxes = np.concatenate(
        [r[:, :5] + np.array([w.x, w.y, 0, 0, 0]) for w, r in zip(windows, rows, strict=True)]
    )
    order = np.argsort(-np.concatenate([r[:, 5] for r in rows]), kind="stable")
    same = rotated_iou(boxes[order], boxes[order]) > 0.5
    kept = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if kept[i]:
            kept[i + 1 :] &= ~same[i, i + 1 :]
    return int(kept.sum())


def _cost() -> str:
    """Time and memory of merging 100,000 boxes."""
    rng = np.random.default_rng(0)
    boxes = _many(rng)
    windows = windows_of(24_000, 24_000, 640, 128)
    corner = np.array([[w.x, w.y] for w in windows])
    rows = []
    for x, y in corner:
        near = (np.abs(boxes[:, 0] - x - 320) < 320) & (np.abs(boxes[:, 1] - y - 320) < 320)
        found = boxes[near] - [x, y, 0, 0, 0]
        rows.append(
            np.column_stack([found, np.full(len(found), 0.5), np.zeros(len(found))]).astype(np.float32)
        )
    count = sum(map(len, rows))
    began = time.perf_counter()
    merged = merge(windows, rows)
    seconds = time.perf_counter() - began
    tracemalloc.start()
    merge(windows, rows)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    found = f"{count} boxes of {len(windows)} tiles to {len(merged.boxes)} of {len(boxes)} objects"
    return f"{found}: {seconds:.2f} s, {peak:.0f} MiB at the peak"


def _many(rng: np.random.Generator) -> Floats:
    """Sixty-four thousand boxes on a jittered lattice."""
    step = 24_000 / 253
    at = (np.stack(np.meshgrid(np.arange(253), np.arange(253)), axis=-1).reshape(-1, 2) + 0.5) * step
    some = place(rng, 50, 10, 60, 3000)[rng.integers(0, 50, len(at))]
    return np.column_stack([at + rng.uniform(-15, 15, at.shape), some[:, 2:]])


if __name__ == "__main__":
    run(app)
