"""Labelled scenes → folds of places, and for each fold the tiles of pithead and those of a usual tiler."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pithead.classes import ClassList
from pithead.cutting import SPAN_WIDTH_M, footprint
from pithead.dataset import Split, data_yaml, rank, read_manifest, write_fold
from pithead.errors import OptionError
from pithead.evaluation import labelled_scenes, whole_scenes
from pithead.files import write_whole
from pithead.folds import Ground, places_of
from pithead.geometry import Window, clip_boxes
from pithead.imagery import Scene, open_scene
from pithead.labels import Label, SceneFacts, in_grid, yolo_obb_rows
from pithead.tiling import Grid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOOK_EVERY = 20  # of so many training tiles ultralytics looks at one when all is over: it insists on some
LEAST_VISIBLE = 0.1  # of an object, for a usual tiler to keep it: SAHI's own slicing of datasets has this
THUMB_PX = 128  # of the longest side of all
SAME_PHASE = 0.12  # 69 SPOT scenes: two pairs share 92 and 63 % and have 0.66 and 0.37; all others under 0.09
NEAR_M = 500.0  # scenes that come closer to each other than this are one place, as datasets/cut.py has it


@dataclass(frozen=True, slots=True)
class Shot:
    """A labelled scene: its file, its labels in scene px, what is known of it, the place that it shows.

    The place stands for the site in what is known: it is what intervals draw.
    """

    name: str
    path: Path
    labels: tuple[Label, ...]
    facts: SceneFacts
    place: str


@dataclass(frozen=True, slots=True)
class PlainTile:
    """A window of a scene in its own pixels and what a usual tiler teaches of it: boxes (N, 5) in tile px."""

    shot: Shot
    window: Window
    boxes: Floats
    classes: Ints

    @property
    def name(self) -> str:
        """The stem of its files."""
        return f"{self.shot.name}_{self.window.x}_{self.window.y}"


def labelled(scenes: Path, labels: Path, classes: ClassList, gsd_m: float | None) -> tuple[Shot, ...]:
    """The scenes of a folder that the label file names, in the order of their names.

    Raises:
        DatasetError: a labelled scene is missing, was looked at only in parts, or there is none.
        LabelError: the label file breaks the format.
    """
    found = labelled_scenes(scenes, whole_scenes(labels, classes), labels)
    grounds = [ground_of(path, sheet.facts.site or path.stem, gsd_m) for path, sheet in found]
    places = places_of(grounds, NEAR_M)
    for one, other in same_ground(tuple(path for path, _ in found), gsd_m):
        first, last = sorted((places[one], places[other]))
        places = {name: first if place == last else place for name, place in places.items()}
    return tuple(
        Shot(path.stem, path, sheet.labels, replace(sheet.facts, site=place), place)
        for path, sheet in found
        for place in (places[path.stem],)
    )


def ground_of(path: Path, site: str, gsd_m: float | None) -> Ground:
    """A scene as `pithead.folds` sees it."""
    with open_scene(path, gsd_m=gsd_m) as scene:
        grid = Grid.of(scene, float(np.mean(scene.gsd_m)), 640, 0)
        return Ground(path.stem, site, footprint(scene, grid))


@cache
def same_ground(paths: tuple[Path, ...], gsd_m: float | None) -> tuple[tuple[str, str], ...]:
    """Pairs of scenes, by name, that show the same ground by their pixels: crops of one image, shifted.

    Files without georeference say nothing of where they lie, and file names nothing of what is the same. What
    is compared is the phase of small pictures (C. Kuglin and D. Hines, 1975): any shift gives one peak. Crops
    that share half of each other are found; another date, resolution or turn of the same ground is not, and
    scenes of under half the size of the largest are not looked at.
    """
    metres = {path: _size_m(path, gsd_m) for path in paths}
    step_m = max(map(max, metres.values())) / THUMB_PX
    paths = tuple(path for path in paths if min(metres[path]) >= step_m * THUMB_PX / 2)
    small = [thumbnail(path, gsd_m, step_m) for path in paths]
    sides = [2 * max(image.shape[axis] for image in small) for axis in (0, 1)]
    spectra = [np.fft.rfft2(image, s=sides) for image in small]
    phases = [spectrum / np.maximum(np.abs(spectrum), 1e-9) for spectrum in spectra]
    return tuple(
        (paths[i].stem, paths[j].stem)
        for i, j in combinations(range(len(paths)), 2)
        if np.fft.irfft2(phases[i] * phases[j].conj(), s=sides).max() > SAME_PHASE
    )


def _size_m(path: Path, gsd_m: float | None) -> tuple[float, float]:
    with open_scene(path, gsd_m=gsd_m) as scene:
        return scene.width * scene.gsd_m[0], scene.height * scene.gsd_m[1]


def thumbnail(path: Path, gsd_m: float | None, step_m: float) -> Floats:
    """A scene in grey, a pixel for so many metres, fading to its edges."""
    width, height = (round(side / step_m) for side in _size_m(path, gsd_m))
    with open_scene(path, gsd_m=gsd_m) as scene:
        grey = scene.read(0, 0, scene.width, scene.height, width, height).data.mean(axis=2)
    return np.asarray((grey - grey.mean()) * np.outer(np.hanning(height), np.hanning(width)), np.float64)


def dealt(shots: Sequence[Shot], count: int, seed: int = 0) -> dict[str, int]:
    """The fold, 0 to count - 1, in which each scene is measured; scenes of a place are in one.

    Places are dealt by what they hold, rarest first, each to the fold that lacks it most: of every class both
    the objects and the places that show it are shared out, and so are the scenes.

    Raises:
        OptionError: fewer than two folds, or fewer places than folds.
    """
    places = sorted({shot.place for shot in shots})
    if not 2 <= count <= len(places):
        raise OptionError(f"expected from 2 to {len(places)} folds (that many places there are), got {count}")
    held = np.array([_holds([shot for shot in shots if shot.place == place]) for place in places])
    shares = held / np.maximum(held.sum(axis=0), 1)
    order = sorted(range(len(places)), key=lambda i: (-shares[i].max(), rank("deal", seed, places[i])))
    totals, fold_of = np.zeros((count, shares.shape[1])), {}
    for i in order:
        cost = [
            float(np.square(totals + np.outer(np.arange(count) == f, shares[i])).sum()) for f in range(count)
        ]
        fold_of[places[i]] = int(np.argmin(cost))
        totals[fold_of[places[i]]] += shares[i]
    return {shot.name: fold_of[shot.place] for shot in shots}


def _holds(shots: Sequence[Shot]) -> Floats:
    """Of classes 0 to 31 how many objects there are, then which there are at all, then the scenes (65,)."""
    ids = [label.class_id for shot in shots for label in shot.labels if label.weight == "target"]
    counts = np.bincount(ids, minlength=32)[:32]
    return np.concatenate([counts, counts > 0, [len(shots)]]).astype(np.float64)


def fold_name(fold: int, count: int) -> str:
    """The name of a fold, as `datasets/cut.py` writes them."""
    return f"{fold + 1}-of-{count}"


def write_training(
    dataset: Path, name: str, train: Iterable[str], val: Iterable[str], classes: ClassList
) -> Path:
    """Write DATASET/folds/NAME, whose tiles are those of the given scenes alone, and return the folder."""
    parts: dict[str, Split] = {**dict.fromkeys(train, "train"), **dict.fromkeys(val, "val")}
    tiles = [replace(t, split=parts[t.scene]) for t in read_manifest(dataset) if t.scene in parts]
    write_fold(dataset, name, tiles, classes)
    return dataset / "folds" / name


# --- a usual tiler -------------------------------------------------------------------------------------


def starts(length: int, tile_px: int, overlap_px: int) -> list[int]:
    """Where windows begin along a side: one after the other, the last pushed back into the scene.

    1500 px in tiles of 640 that overlap by 128: 0, 512 and 860.
    """
    last = max(0, length - tile_px)
    return [*range(0, last, tile_px - overlap_px), last]


@dataclass(frozen=True, slots=True)
class PlainSize:
    """Metres per pixel of a scene of no georeference and of the grid that fences are cut on; tiles in px."""

    gsd_m: float | None
    model_gsd_m: float
    tile_px: int
    overlap_px: int


def plain_windows(shot: Shot, size: PlainSize) -> list[PlainTile]:
    """Every window of a scene in its own pixels, with what a usual tiler keeps of the labels in it.

    One oriented box an object, cut at the tile's edge, if a tenth of it is inside. Only what counts as truth
    is taught: a usual tiler knows nothing to be ignored. A perimeter is the very spans that it is measured
    by, else there would be nothing to compare.
    """
    with open_scene(shot.path, gsd_m=size.gsd_m) as scene:
        grid = Grid.of(scene, size.model_gsd_m, 640, 0)
        rights, downs = (starts(side, size.tile_px, size.overlap_px) for side in (scene.width, scene.height))
    taught = [label for label in shot.labels if label.weight == "target"]
    truth = in_grid(taught, grid.to_grid, span_width_px=SPAN_WIDTH_M / size.model_gsd_m, strip_pad_px=None)
    boxes = truth.boxes / np.array([grid.scale_x, grid.scale_y, grid.scale_x, grid.scale_x, 1.0])
    windows = [Window(x, y, size.tile_px, size.tile_px) for y in downs for x in rights]
    return [_plain(shot, window, boxes, truth.classes) for window in windows]


def _plain(shot: Shot, window: Window, boxes: Floats, classes: Ints) -> PlainTile:
    clipped, visible = clip_boxes(boxes, window)
    kept = (visible >= LEAST_VISIBLE) & (clipped[:, 2:4].min(axis=1, initial=np.inf) > 0)
    mine = clipped[kept].copy()
    mine[:, :2] -= [window.x, window.y]
    return PlainTile(shot, window, mine, classes[kept])


def chosen(tiles: Sequence[PlainTile], empty_fraction: float, seed: int = 0) -> list[PlainTile]:
    """Every tile with an object, and so many of the others that they are `empty_fraction` of all."""
    full = [tile for tile in tiles if len(tile.boxes)]
    empty = sorted((t for t in tiles if not len(t.boxes)), key=lambda t: rank("plain", seed, t.name))
    return [*full, *empty[: round(len(full) * empty_fraction / (1 - empty_fraction))]]


def write_plain(out: Path, tiles: Sequence[PlainTile], classes: ClassList, *, gsd_m: float | None) -> Path:
    """Write tiles as ultralytics reads them and return data.yaml, which is written last."""
    by_shot: dict[str, list[PlainTile]] = {}
    for tile in tiles:
        by_shot.setdefault(tile.shot.name, []).append(tile)
    for mine in by_shot.values():
        with open_scene(mine[0].shot.path, gsd_m=gsd_m) as scene:
            for tile in mine:
                _write_tile(out, tile, scene)
    names = sorted(f"./images/{tile.name}.png\n" for tile in tiles if len(tile.boxes))
    write_whole(out / "looked_at.txt", "".join(names[::LOOK_EVERY]))
    write_whole(out / "data.yaml", data_yaml(classes, "images", "looked_at.txt"))
    return out / "data.yaml"


def _write_tile(out: Path, tile: PlainTile, scene: Scene) -> None:
    buffer = io.BytesIO()
    pixels = scene.read_window(tile.window, 1.0, 1.0)
    Image.fromarray(pixels.data).save(buffer, format="PNG", compress_level=1)
    rows = yolo_obb_rows(tile.boxes, tile.classes, tile.window.width)
    write_whole(out / "images" / f"{tile.name}.png", buffer.getvalue())
    write_whole(out / "labels" / f"{tile.name}.txt", "".join(row + "\n" for row in rows))
