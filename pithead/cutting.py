"""Labelled scenes → tiles with their rows: which windows of a scene become tiles, and what is written.

Every scene is by itself, so that scenes can be cut side by side, and one that is cut already stays.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pithead.classes import ClassList
from pithead.dataset import Corners, Split, Tile, rank
from pithead.files import lines_of, write_whole
from pithead.geometry import Window, boxes_to_corners
from pithead.imagery import Pixels, Scene, open_scene
from pithead.labels import GridLabels, Label, TileLabels, in_grid, tile_rows, yolo_obb_rows
from pithead.labels.fill import filled, mask_of
from pithead.labels.seen import rectangle, seen_share
from pithead.tiling import Grid, read_tile

Floats = npt.NDArray[np.float64]

FORMAT = 4  # part of every marker: raise it when tiles of an older cut must not be kept
DEGREE_DECIMALS = 8  # 1 mm
SPAN_WIDTH_M = 12.0
STRIP_PAD_M = 1.8
LEAST_SEEN = 0.5  # a window of which less was looked at is left out
MARKERS = "scenes"


@dataclass(frozen=True, slots=True)
class Options:
    """What every tile of a dataset shares.

    `max_ignored` is the largest share of ignored in labelled area, `min_left` the least of an object that a
    tile's edge may leave for it to be taught.
    """

    gsd_m: float
    tile_px: int
    overlap_px: int
    min_valid: float
    max_ignored: float = 0.4
    min_left: float = 0.6


@dataclass(frozen=True, slots=True)
class Source:
    """One scene to cut, or several chips that share a tile.

    Files; metres per pixel if told; labels and what was looked at (scene px; all of it if empty); what is
    known of it; its corners in lon, lat; the fold it is in.
    """

    name: str
    files: tuple[Path, ...]
    gsd_m: float | None
    labels: tuple[Label, ...]
    site: str
    date: str | None
    sensor: str | None = None
    seen: tuple[Floats, ...] = ()
    split: Split = "train"
    place: str | None = None
    negatives: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which windows of a source become tiles."""

    source: Source
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a source by what they hold: objects, hard negatives and no object, nothing at all."""

    source: Source
    labelled: tuple[Window, ...]
    hard: tuple[Window, ...]
    empty: tuple[Window, ...]


# --- which windows become tiles ------------------------------------------------------------------------


def windows_of(source: Source, options: Options) -> Windows:
    """Sort the windows of a scene.

    Windows in which more than `max_ignored` of the labelled area is ignored teach more doubt than truth and
    are nowhere; nor are windows in which everything is ignored, or of which nobody has looked at half.
    """
    with open_scene(source.files[0], gsd_m=source.gsd_m) as scene:
        grid = Grid.of(scene, options.gsd_m, options.tile_px, options.overlap_px)
    boxes, hard = grid_labels(source, grid, options), negatives_of(source, grid)
    found: tuple[list[Window], ...] = ([], [], [])
    for window in grid.windows():
        if seen_share(source.seen, grid.to_scene(corners_of(grid, window))) < LEAST_SEEN:
            continue
        rows = tile_rows(boxes, window, min_visible=options.min_left)
        if len(rows.boxes) and rows.ignored_share <= options.max_ignored:
            found[0].append(window)
        elif not len(rows.boxes) and not len(rows.ignored):
            found[1 if within(hard, window) else 2].append(window)
    return Windows(source, *(tuple(windows) for windows in found))


def choose(sorted_windows: Sequence[Windows], empty_fraction: float, seed: int) -> list[Plan]:
    """The labelled windows, those with hard negatives, and so many empty ones of all scenes.

    Those without an object are `empty_fraction` of all, or more where more have hard negatives.
    """
    n_labelled = sum(len(of.labelled) for of in sorted_windows)
    n_hard = sum(len(of.hard) for of in sorted_windows)
    n_empty = max(0, round(n_labelled * empty_fraction / (1 - empty_fraction)) - n_hard)
    ranked = sorted(
        (rank("empty", seed, of.source.name, w.x, w.y), of.source.name, w)
        for of in sorted_windows
        for w in of.empty
    )
    drawn = {(name, window) for _, name, window in ranked[:n_empty]}
    return [
        Plan(of.source, (*of.labelled, *of.hard, *(w for w in of.empty if (of.source.name, w) in drawn)))
        for of in sorted_windows
    ]


def grid_labels(source: Source, grid: Grid, options: Options) -> GridLabels:
    """The labels of a scene as the network is taught them, in grid px."""
    return in_grid(
        source.labels,
        grid.to_grid,
        span_width_px=SPAN_WIDTH_M / options.gsd_m,
        strip_pad_px=STRIP_PAD_M / options.gsd_m,
    )


def negatives_of(source: Source, grid: Grid) -> list[tuple[str, Floats]]:
    """Name and middle (2,) in grid px of each hard negative; its name is its kind, else its note."""
    return [
        (
            label.attributes.get("kind") or label.attributes.get("note") or "unnamed",
            grid.to_grid(label.points).mean(axis=0),
        )
        for label in source.labels
        if label.weight == "negative"
    ]


def within(hard: Sequence[tuple[str, Floats]], window: Window) -> dict[str, int]:
    """How many hard negatives of each name have their middle in a window."""
    found: dict[str, int] = {}
    for name, (x, y) in hard:
        if window.x <= x < window.right and window.y <= y < window.bottom:
            found[name] = found.get(name, 0) + 1
    return found


# --- cutting -------------------------------------------------------------------------------------------


def cut_source(plan: Plan, options: Options, classes: ClassList, out: Path) -> list[Tile]:
    """Cut one scene, or find it cut already: its marker is written last and names all that went in."""
    marker = out / MARKERS / f"{plan.source.name}.jsonl"
    inputs = fingerprint(plan, options)
    if marker.is_file():
        first, *rest = lines_of(marker.read_text("utf-8"))
        done = [Tile.from_json(line) for line in rest] if first == inputs else None
        if done is not None and all(
            (out / tile.path).is_file() and (out / tile.labels).is_file() for tile in done
        ):
            return done
    chips = len(plan.source.files) > 1
    tiles = cut_chips(plan.source, options, out) if chips else cut_scene(plan, options, classes, out)
    write_whole(marker, "\n".join([inputs, *(tile.to_json() for tile in tiles)]).encode() + b"\n")
    return tiles


def fingerprint(plan: Plan, options: Options) -> str:
    """A sum over all that decides what the tiles of a scene are."""
    digest = hashlib.sha256(json.dumps([FORMAT, asdict(options)]).encode())
    source = plan.source
    facts = [getattr(source, key) for key in ("name", "gsd_m", "site", "date", "sensor", "split", "place")]
    digest.update(repr(facts).encode())
    for path in source.files:
        digest.update(repr((path.name, path.stat().st_size, path.stat().st_mtime_ns)).encode())
    for label in source.labels:
        told = (label.class_id, label.closed, label.weight, sorted(label.attributes.items()))
        digest.update(repr(told).encode() + label.points.tobytes())
    for outline in source.seen:
        digest.update(b"seen" + outline.tobytes())
    digest.update(repr(plan.windows).encode())
    return digest.hexdigest()


def cut_scene(plan: Plan, options: Options, classes: ClassList, out: Path) -> list[Tile]:
    """Read, label and write the planned windows of one scene."""
    source, tiles = plan.source, []
    with open_scene(source.files[0], gsd_m=source.gsd_m) as scene:
        grid = Grid.of(scene, options.gsd_m, options.tile_px, options.overlap_px)
        boxes, hard = grid_labels(source, grid, options), negatives_of(source, grid)
        for window in plan.windows:
            pixels = read_tile(scene, grid, window)
            if pixels.valid.mean() >= options.min_valid:
                rows = tile_rows(boxes, window, min_visible=options.min_left)
                data = hide(pixels, rows, source.seen, grid, window)
                tile = write_tile(data, rows, window, source, options, classes, out)
                tiles.append(
                    replace(tile, footprint=footprint(scene, grid, window), negatives=within(hard, window))
                )
    return tiles


def hide(
    pixels: Pixels, rows: TileLabels, seen: Sequence[Floats], grid: Grid, window: Window
) -> npt.NDArray[np.uint8]:
    """The tile without objects that its edge cuts and without ground that nobody has looked at.

    Where what is cut lies over an object that is taught, the object stays.
    """
    shape = pixels.valid.shape[0], pixels.valid.shape[1]
    hidden = mask_of(list(boxes_to_corners(rows.ignored[rows.cut])), shape)
    hidden &= ~mask_of(list(boxes_to_corners(rows.boxes)), shape)
    if seen:
        origin = np.array([window.x, window.y])
        hidden |= ~mask_of([grid.to_grid(outline) - origin for outline in seen], shape)
    return filled(pixels.data, pixels.valid, hidden)


def corners_of(grid: Grid, window: Window) -> Floats:
    """The corners (4, 2) in grid px of what a window shows of its scene, clockwise."""
    right, bottom = min(window.right, grid.width), min(window.bottom, grid.height)
    return rectangle(max(window.x, 0), max(window.y, 0), right, bottom)


def footprint(scene: Scene, grid: Grid, window: Window | None = None) -> Corners | None:
    """The corners (lon, lat) of a window, or of the whole scene, clockwise; None without georeference."""
    if scene.crs is None:
        return None
    shown = window or Window(0, 0, grid.width, grid.height)
    corners = grid.to_scene(corners_of(grid, shown))
    return tuple((lon, lat) for lon, lat in scene.to_lonlat(corners).round(DEGREE_DECIMALS).tolist())


def cut_chips(source: Source, options: Options, out: Path) -> list[Tile]:
    """Lay small background chips side by side into one tile, row by row, the rest black."""
    size = options.tile_px
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    read = []
    for path in source.files:
        with open_scene(path, gsd_m=source.gsd_m) as scene:
            grid = Grid.of(scene, options.gsd_m, size, options.overlap_px)
            read.append(read_tile(scene, grid, Window(0, 0, size, size)).data[: grid.height, : grid.width])
    cell = max(max(chip.shape[:2]) for chip in read)
    for i, chip in enumerate(read):
        row, column = divmod(i, size // cell)
        canvas[row * cell : row * cell + chip.shape[0], column * cell : column * cell + chip.shape[1]] = chip
    nothing = tile_rows(in_grid((), lambda p: p), Window(0, 0, size, size))
    tile = write_tile(canvas, nothing, Window(0, 0, size, size), source, options, None, out)
    return [replace(tile, negatives=source.negatives)]


def write_tile(
    data: npt.NDArray[np.uint8],
    seen: TileLabels,
    window: Window,
    source: Source,
    options: Options,
    classes: ClassList | None,
    out: Path,
) -> Tile:
    """Write one tile, its rows and its ignored areas; the row of the manifest."""
    name = f"{source.split}/{source.name}_{window.x}_{window.y}"
    image, labels, ignores = f"images/{name}.png", f"labels/{name}.txt", f"ignores/{name}.txt"
    buffer = io.BytesIO()
    Image.fromarray(data).save(buffer, format="PNG", compress_level=1)
    rows = rows_of(seen.boxes, seen.classes, options.tile_px)
    write_whole(out / image, buffer.getvalue())
    write_whole(out / labels, rows)
    if len(seen.ignored):
        write_whole(out / ignores, rows_of(seen.ignored, seen.ignored_classes, options.tile_px))
    counts = {c.name: n for c in classes or () if (n := int((seen.classes == c.id).sum()))}
    return Tile(
        path=image,
        labels=labels,
        ignores=ignores if len(seen.ignored) else None,
        sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
        labels_sha256=hashlib.sha256(rows).hexdigest(),
        scene=source.name,
        site=source.site,
        split=source.split,
        date=source.date,
        window=window,
        gsd_m=options.gsd_m,
        counts=counts,
        n_ignored=len(seen.ignored),
        sensor=source.sensor,
        place=source.place,
        negatives=source.negatives,
        n_cut=int(seen.cut.sum()),
    )


def rows_of(boxes: Floats, classes: npt.NDArray[np.int64], tile_px: int) -> bytes:
    """The label rows of a tile as the bytes of its file."""
    return "".join(row + "\n" for row in yolo_obb_rows(boxes, classes, tile_px)).encode()
