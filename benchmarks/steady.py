"""How steady detections are: on another grid of tiles, and on an 8-bit copy of a scene of 11 bits."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cyclopts
import numpy as np
from affine import Affine
from rich.console import Console
from rich.table import Table

from pithead.card import Card
from pithead.detections import Detections, SceneLine
from pithead.detector import Detector
from pithead.geometry import Window, corners_to_boxes, rotated_iou
from pithead.imagery import Pixels, Scene, open_scene, write_cog
from pithead.metrics import line_quality, match
from pithead.program import run
from pithead.scan import Way, assemble, detect_tiles

app = cyclopts.App(name="steady.py", help_format="plaintext")

DEEP_BITS = 11
LOWER = 0.8  # what is found at this share of the thresholds is just under them
BUFFER_M = 10.0


class Shifted:
    """A scene seen through a grid that begins `shift_px` grid pixels left of and above it."""

    def __init__(self, scene: Scene, shift_px: int, gsd_m: float) -> None:
        """Wrap an open scene."""
        self._scene, self._shift, self.gsd_m = scene, shift_px, scene.gsd_m
        self.scale = tuple(1.0 if abs(g / gsd_m - 1) < 0.01 else g / gsd_m for g in scene.gsd_m)
        self.width, self.height = (
            side + round(shift_px / scale)
            for side, scale in zip((scene.width, scene.height), self.scale, strict=True)
        )

    def read_window(self, window: Window, scale_x: float, scale_y: float) -> Pixels:
        """What the scene shows there."""
        moved = Window(window.x - self._shift, window.y - self._shift, window.width, window.height)
        return self._scene.read_window(moved, scale_x, scale_y)


@dataclass
class Change:
    """What two scans of the same ground disagree about, by class."""

    both: Counter[int]
    one: Counter[int]
    """Detections that only one of the two has."""
    near: Counter[int]
    """Of these, with a counterpart a little under the threshold."""
    away: list[float]
    """Differences of score of what both have."""
    lines: list[float]
    """Quality of the lines of one against those of the other."""

    def add(self, first: "Twice", second: "Twice", card: Card) -> None:
        """Compare two scans."""
        for kind in [k for k, known in enumerate(card.classes) if known.geometry != "line"]:
            one, other = (_of(found.sure, kind) for found in (first, second))
            pairs = match(one[1], rotated_iou(one[0], other[0]))
            had = pairs >= 0
            self.both[kind] += int(had.sum())
            self.away += np.abs(one[1][had] - other[1][pairs[had]]).tolist()
            left = np.setdiff1d(np.arange(len(other[0])), pairs)
            self.one[kind] += int((~had).sum()) + len(left)
            self.near[kind] += _known(one[0][~had], _of(second.low, kind)[0])
            self.near[kind] += _known(other[0][left], _of(first.low, kind)[0])


@dataclass
class Twice:
    """One look at a scene, with the thresholds of the card and with lower ones."""

    sure: Detections
    low: Detections


def _of(found: Detections, kind: int) -> tuple[np.ndarray, np.ndarray]:
    mine = found.classes == kind
    return corners_to_boxes(found.corners_scene[mine]), found.scores[mine]


def _known(boxes: np.ndarray, others: np.ndarray) -> int:
    """How many boxes have a counterpart."""
    return int((rotated_iou(boxes, others) >= 0.5).any(axis=1).sum()) if len(boxes) and len(others) else 0


@app.default
def steady(
    *scenes: Path,
    weights: Path = Path("weights/starter.onnx"),
    gsd: float | None = None,
    by: Literal["grid", "bits"] = "grid",
    overlap: int = 128,
    first: int | None = None,
) -> None:
    """Print how many detections are in one of two scans only, and how far the scores of the others differ.

    Parameters
    ----------
    scenes
        Images, or folders of images.
    weights
        An ONNX file with its card.
    gsd
        Metres per pixel of scenes without georeference.
    by
        The second scan: on a grid shifted by half a tile, or of an 8-bit copy of the scene in 11 bits.
    overlap
        Overlap of tiles in px.
    first
        Only so many scenes.
    """
    paths = [p for s in scenes for p in (sorted(s.rglob("*")) if s.is_dir() else [s])]
    paths = [p for p in paths if p.suffix in {".tif", ".jpg", ".png"}][:first]
    detector = Detector.open(weights)
    card = detector.card
    change = Change(Counter(), Counter(), Counter(), [], [])
    looks: Callable[..., Iterator[Twice]] = {"grid": _by_grid, "bits": _by_bits}[by]
    for path in paths:
        first_look, second_look = looks(path, gsd, detector, overlap)
        change.add(first_look, second_look, card)
        change.lines.append(_lines(first_look.sure, second_look.sure, card))
    _print(change, card, by, len(paths))


def _look(scene: Scene, detector: Detector, overlap: int) -> Twice:
    card = detector.card
    low = LOWER * np.array(card.thresholds)
    everything = detector.asked_for(min_score=float(low.min()))
    seen = detect_tiles(scene, everything, Way(overlap))
    return Twice(assemble(seen.above(card.thresholds), card), assemble(seen.above(low), card))


def _by_grid(path: Path, gsd: float | None, detector: Detector, overlap: int) -> Iterator[Twice]:
    with open_scene(path, gsd_m=gsd) as scene:
        yield _look(scene, detector, overlap)
        half = detector.card.tile_px // 2
        shifted = Shifted(scene, half, detector.card.gsd_m)
        again = _look(shifted, detector, overlap)  # type: ignore[arg-type]
        back = -half / np.array(shifted.scale)
        yield Twice(_moved(again.sure, back), _moved(again.low, back))


def _moved(found: Detections, by: np.ndarray) -> Detections:
    lines = tuple(replace(line, points_scene=line.points_scene + by) for line in found.lines)
    return replace(found, corners_scene=found.corners_scene + by, lines=lines)


def _by_bits(path: Path, gsd: float | None, detector: Detector, overlap: int) -> Iterator[Twice]:
    with tempfile.TemporaryDirectory() as folder, open_scene(path, gsd_m=gsd) as scene:
        deep, copy = Path(folder, "deep.tif"), Path(folder, "copy.tif")
        whole = Window(0, 0, scene.width, scene.height)
        data = scene.read_window(whole).data
        noise = np.random.default_rng(0).integers(0, 1 << (DEEP_BITS - 8), data.shape)
        _write(deep, (data.astype(np.uint16) << (DEEP_BITS - 8)) + noise.astype(np.uint16), scene)
        with open_scene(deep) as deeper:
            yield _look(deeper, detector, overlap)
            _write(copy, deeper.read_window(whole).data, scene)
        with open_scene(copy) as shallow:
            yield _look(shallow, detector, overlap)


def _write(path: Path, data: np.ndarray, like: Scene) -> None:
    """A GeoTIFF in the place of a scene, or of one without a place somewhere on a map."""
    transform = like.transform or Affine(like.gsd_m[0], 0, 500_000, 0, -like.gsd_m[1], 4_400_000)
    write_cog(
        path,
        np.moveaxis(data, -1, 0),
        transform,
        like.crs or "EPSG:32652",
        colorinterp=("red", "green", "blue"),
    )


def _lines(one: Detections, other: Detections, card: Card) -> float:
    """Quality of one's lines where the other's are the truth; nan if neither has any."""
    if not one.lines and not other.lines:
        return np.nan
    courses = [
        [
            np.concatenate([p, p[:1]]) if line.closed else p
            for line in found.lines
            for p in [line.points_scene]
        ]
        for found in (one, other)
    ]
    buffer_px = BUFFER_M / card.gsd_m / one.grid.scale_x
    return line_quality(*courses, buffer_px).quality or 0.0


def _course(line: SceneLine) -> np.ndarray:
    return np.concatenate([line.points_scene, line.points_scene[:1]]) if line.closed else line.points_scene


def _print(change: Change, card: Card, by: str, count: int) -> None:
    table = Table(
        "class", "in both", "in one only", "share", "of these just under", title=f"{count} scenes, by {by}"
    )
    for kind, known in [*enumerate(card.classes), (None, None)]:
        if known is not None and known.geometry == "line":
            continue
        both, one, near = (
            counted.total() if kind is None else counted[kind]
            for counted in (change.both, change.one, change.near)
        )
        share = f"{one / (2 * both + one):.2%}" if both + one else "–"
        table.add_row("all" if known is None else known.name, str(both), str(one), share, str(near))
    console = Console(width=110)
    console.print(table)
    away = np.array(change.away) if change.away else np.zeros(1)
    console.print(
        f"difference of scores: median {np.median(away):.4f}, 99th percentile {np.percentile(away, 99):.4f}, "
        f"most {away.max():.4f}"
    )
    lines = np.array(change.lines)
    if np.isfinite(lines).any():
        console.print(f"quality of lines against each other: median {np.nanmedian(lines):.3f}")


if __name__ == "__main__":
    run(app)
