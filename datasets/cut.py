"""Scenes and labels → lossless tiles, YOLO-OBB rows and a manifest, split by site."""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from cyclopts import App, Parameter
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pithead.classes import ClassList, load_classes
from pithead.dataset import (
    DATA_YAML,
    Split,
    Tile,
    data_yaml,
    dataset_sha256,
    drawn_split,
    rank,
    split_sites,
    write_manifest,
)
from pithead.errors import DatasetError, OptionError
from pithead.files import lines_of, write_whole
from pithead.geometry import Window
from pithead.imagery import open_scene
from pithead.labels import (
    GridLabels,
    Label,
    SceneFacts,
    TileLabels,
    in_grid,
    read_facts,
    read_jsonl,
    tile_rows,
    yolo_obb_rows,
)
from pithead.program import run
from pithead.tiling import Grid, read_tile

ROOT = Path(__file__).resolve().parents[1]

FORMAT = 2  # part of every marker: raise it when tiles of an older cut must not be kept
SPAN_WIDTH_M = 12.0
STRIP_PAD_M = 1.8
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
app = App(help_format="plaintext", version_flags=())


@dataclass(frozen=True, slots=True)
class Options:
    """What every tile of a dataset shares."""

    gsd_m: float
    tile_px: int
    overlap_px: int
    min_valid: float
    max_ignored: float


@dataclass(frozen=True, slots=True)
class Source:
    """One scene to cut, or several chips that share a tile: files, their gsd if told, labels, site, split."""

    name: str
    files: tuple[Path, ...]
    gsd_m: float | None
    labels: tuple[Label, ...]
    site: str
    date: str | None
    split: Split = "train"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which windows of a source become tiles."""

    source: Source
    windows: tuple[Window, ...]


# --- what there is to cut ------------------------------------------------------------------------------


def find_sources(scenes: Path, labels: Path, classes: ClassList, scenes_gsd_m: float | None) -> list[Source]:
    """The labelled scenes of a folder, ordered by name; a scene without a line in the labels is left out."""
    by_image, facts = read_jsonl(labels, classes), read_facts(labels)
    files = {name: path for path in imagery_of(scenes) for name in (path.stem, path.name)}
    missing = sorted(set(by_image) - set(files))
    if missing:
        raise DatasetError(
            f"every labelled image lies in {scenes}; {len(missing)} do not, "
            f"such as {missing[0]}: check the folder"
        )
    if not by_image:
        raise DatasetError(f"{labels} has no line: label the scenes of {scenes} first")
    found = []
    for image in sorted(by_image):
        known = facts.get(image, SceneFacts(None, None))
        name = files[image].stem
        site = known.site or name
        found.append(Source(name, (files[image],), scenes_gsd_m, by_image[image], site, known.date))
    return found


def find_negatives(folder: Path, gsd_m: float | None, options: Options) -> list[Source]:
    """Every image of a folder as background; chips of up to half a tile share one, side by side."""
    whole, chips = [], []
    for path in imagery_of(folder):
        with open_scene(path, gsd_m=gsd_m) as scene:
            grid = Grid.of(scene, options.gsd_m, options.tile_px, options.overlap_px)
        if 2 * max(grid.width, grid.height) <= options.tile_px:
            chips.append((path, max(grid.width, grid.height)))
        else:
            # chips cut from one image are named image_row_column: the image is the site
            site = f"{folder.name}/{re.sub(r'_[0-9]+_[0-9]+$', '', path.stem)}"
            whole.append(Source(f"{folder.name}-{path.stem}", (path,), gsd_m, (), site, None))
    if chips:
        per_tile = (options.tile_px // max(size for _, size in chips)) ** 2
        for i in range(0, len(chips), per_tile):
            name = f"{folder.name}-chips-{i // per_tile:04d}"
            files = tuple(path for path, _ in chips[i : i + per_tile])
            whole.append(Source(name, files, gsd_m, (), name, None))
    return whole


def imagery_of(folder: Path) -> list[Path]:
    """The images of a folder, ordered by name; two of one stem would share their labels and are refused."""
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise DatasetError(
            f"a folder of images ({', '.join(SUFFIXES)}) is needed; {folder} has none: check the path"
        )
    stems = [path.stem for path in found]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double is not None:
        raise DatasetError(f"images in {folder} have different names; {double} is there twice: rename one")
    return found


def grid_labels(source: Source, grid: Grid, options: Options) -> GridLabels:
    """The labels of a scene as the network is taught them, in grid px."""
    return in_grid(
        source.labels,
        grid.to_grid,
        span_width_px=SPAN_WIDTH_M / options.gsd_m,
        strip_pad_px=STRIP_PAD_M / options.gsd_m,
    )


# --- which windows become tiles ------------------------------------------------------------------------


def plan(source: Source, options: Options) -> tuple[Plan, Plan]:
    """The labelled windows of a scene and its empty ones.

    Windows in which more than `max_ignored` of the labelled area is ignored teach more doubt than truth and
    are in neither; nor are windows in which everything is ignored.
    """
    with open_scene(source.files[0], gsd_m=source.gsd_m) as scene:
        grid = Grid.of(scene, options.gsd_m, options.tile_px, options.overlap_px)
    boxes = grid_labels(source, grid, options)
    labelled, empty = [], []
    for window in grid.windows():
        seen = tile_rows(boxes, window)
        if len(seen.boxes) and seen.ignored_share <= options.max_ignored:
            labelled.append(window)
        elif not len(seen.boxes) and not len(seen.ignored):
            empty.append(window)
    return Plan(source, tuple(labelled)), Plan(source, tuple(empty))


def choose(plans: Sequence[tuple[Plan, Plan]], empty_fraction: float, seed: int) -> list[Plan]:
    """The labelled windows and so many empty ones that they are `empty_fraction` of all, over all scenes."""
    n_labelled = sum(len(labelled.windows) for labelled, _ in plans)
    n_empty = round(n_labelled * empty_fraction / (1 - empty_fraction))
    ranked = sorted(
        (rank("empty", seed, empty.source.name, w.x, w.y), empty.source.name, w)
        for _, empty in plans
        for w in empty.windows
    )
    drawn = {(name, window) for _, name, window in ranked[:n_empty]}
    return [
        replace(
            labelled,
            windows=(*labelled.windows, *(w for w in empty.windows if (empty.source.name, w) in drawn)),
        )
        for labelled, empty in plans
    ]


# --- cutting -------------------------------------------------------------------------------------------


def cut_source(planned: Plan, options: Options, classes: ClassList, out: Path) -> list[Tile]:
    """Cut one scene, or find it cut already: its marker is written last and names all that went in."""
    source = planned.source
    marker = out / "scenes" / f"{source.name}.jsonl"
    inputs = fingerprint(planned, options)
    if marker.is_file():
        first, *rest = lines_of(marker.read_text("utf-8"))
        done = [Tile.from_json(line) for line in rest] if first == inputs else None
        if done is not None and all(
            (out / tile.path).is_file() and (out / tile.labels).is_file() for tile in done
        ):
            return done
    tiles = (
        cut_chips(source, options, out)
        if len(source.files) > 1
        else cut_scene(planned, options, classes, out)
    )
    write_whole(marker, "\n".join([inputs, *(tile.to_json() for tile in tiles)]).encode() + b"\n")
    return tiles


def fingerprint(planned: Plan, options: Options) -> str:
    """A sum over all that decides what the tiles of a scene are."""
    digest = hashlib.sha256(json.dumps([FORMAT, asdict(options)]).encode())
    source = planned.source
    digest.update(repr([source.name, source.gsd_m, source.site, source.date, source.split]).encode())
    for path in source.files:
        digest.update(repr((path.name, path.stat().st_size, path.stat().st_mtime_ns)).encode())
    for label in source.labels:
        digest.update(repr((label.class_id, label.closed, label.weight)).encode() + label.points.tobytes())
    digest.update(repr(planned.windows).encode())
    return digest.hexdigest()


def cut_scene(planned: Plan, options: Options, classes: ClassList, out: Path) -> list[Tile]:
    """Read, label and write the planned windows of one scene."""
    source, tiles = planned.source, []
    with open_scene(source.files[0], gsd_m=source.gsd_m) as scene:
        grid = Grid.of(scene, options.gsd_m, options.tile_px, options.overlap_px)
        boxes = grid_labels(source, grid, options)
        for window in planned.windows:
            pixels = read_tile(scene, grid, window)
            if pixels.valid.mean() >= options.min_valid:
                seen = tile_rows(boxes, window)
                tiles.append(write_tile(pixels.data, seen, window, source, options, classes, out))
    return tiles


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
    return [write_tile(canvas, nothing, Window(0, 0, size, size), source, options, None, out)]


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
    name = f"{source.name}_{window.x}_{window.y}"
    image, labels, ignores = (
        f"{kind}/{source.split}/{name}{end}"
        for kind, end in (("images", ".png"), ("labels", ".txt"), ("ignores", ".txt"))
    )
    buffer = io.BytesIO()
    Image.fromarray(data).save(buffer, format="PNG", compress_level=1)
    rows = rows_of(seen.boxes, seen.classes, options.tile_px)
    write_whole(out / image, buffer.getvalue())
    write_whole(out / labels, rows)
    if len(seen.ignored):
        write_whole(out / ignores, rows_of(seen.ignored, seen.ignored_classes, options.tile_px))
    counts = {c.name: int((seen.classes == c.id).sum()) for c in classes or ()}
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
        counts={key: n for key, n in counts.items() if n},
        n_ignored=len(seen.ignored),
    )


def rows_of(boxes: npt.NDArray[np.float64], classes: npt.NDArray[np.int64], tile_px: int) -> bytes:
    """The label rows of a tile as the bytes of its file."""
    return "".join(row + "\n" for row in yolo_obb_rows(boxes, classes, tile_px)).encode()


def remove_strays(out: Path, tiles: Iterable[Tile]) -> None:
    """Delete what an earlier cut with other options left: ultralytics reads every file that lies there."""
    kept = {name for tile in tiles for name in (tile.path, tile.labels, tile.ignores) if name}
    for kind in ("images", "labels", "ignores"):
        for path in (out / kind).glob("*/*"):
            if path.relative_to(out).as_posix() not in kept:
                path.unlink()
    for cache in (out / "labels").glob("*.cache"):
        cache.unlink()


# --- the program ---------------------------------------------------------------------------------------


@app.default
def cut(  # noqa: PLR0913 (each is an option of the command line)
    scenes: Path,
    *,
    labels: Path,
    out: Path,
    classes: Path = ROOT / "labeling" / "classes.toml",
    gsd: float = 0.6,
    tile: int = 640,
    overlap: int = 128,
    val_fraction: float = 0.1,
    empty_fraction: float = 0.15,
    min_valid: float = 0.05,
    seed: int = 0,
    workers: int = 2,
    scenes_gsd: float | None = None,
    negatives: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    negatives_gsd: Annotated[tuple[float, ...], Parameter(negative="")] = (),
) -> None:
    """Cut labelled scenes into tiles for training, in the layout of ultralytics.

    OUT gets images/, labels/ and ignores/ with train/ and val/ in each, data.yaml, manifest.jsonl, and
    scenes/ (a marker for each finished scene: run the command again to go on after an interruption). Labels
    cut at a tile's edge are refitted to what is visible. Slivers and labels marked to be ignored go to
    ignores/; a tile in which they are more than 40 % of the labelled area is left out, as is one with too few
    valid pixels (min-valid). The same input gives the same bytes, whatever the number of workers.

    Args:
        scenes: Folder of scenes; file names, with or without suffix, are the image ids of the labels.
        labels: Labels in scene pixels, one JSON object a line; scenes without a line are left out.
        out: Folder of the dataset: new, or one that this program made.
        classes: The class list.
        gsd: Metres per pixel of the tiles.
        tile: Side of a tile in pixels, a multiple of 32.
        overlap: Overlap of neighbouring tiles in pixels, a multiple of 32.
        val_fraction: Share of the sites, drawn by hash, that is kept for validation.
        empty_fraction: Share of tiles without any label among the tiles of the scenes.
        min_valid: Tiles with a smaller share of valid pixels are left out.
        seed: Seed of the draws of sites and empty tiles.
        workers: Processes.
        scenes_gsd: Metres per pixel of scenes that have no georeference.
        negatives: Folder of images that show none of the classes; all its tiles are added. May be repeated.
        negatives_gsd: Metres per pixel of its images without georeference: one for all folders, or one each.
    """
    check_options(out, empty_fraction, workers)
    options = Options(gsd, tile, overlap, min_valid, max_ignored=0.4)
    class_list = load_classes(classes)
    found = find_sources(scenes, labels, class_list, scenes_gsd)
    background = [
        source
        for folder, folder_gsd in paired(negatives, negatives_gsd)
        for source in find_negatives(folder, folder_gsd, options)
    ]
    splits = split_sites([source.site for source in found], val_fraction, seed)
    plans = [plan(replace(source, split=splits[source.site]), options) for source in found]
    jobs = choose(plans, empty_fraction, seed)
    for source in background:  # of a negative every window is empty and every one is kept
        split = drawn_split(source.site, val_fraction, seed)
        jobs.append(plan(replace(source, split=split), options)[1])
    tiles = work(jobs, options, class_list, out, workers)
    remove_strays(out, tiles)
    write_manifest(out, tiles)
    write_whole(out / DATA_YAML, data_yaml(class_list).encode())
    report(tiles, class_list, out)


def check_options(out: Path, empty_fraction: float, workers: int) -> None:
    """Refuse what cannot be, before any work."""
    if not 0 <= empty_fraction < 1:
        raise OptionError(f"--empty-fraction is from 0 to below 1; got {empty_fraction}: try 0.15")
    if workers < 1:
        raise OptionError(f"--workers is 1 or more; got {workers}: try 2")
    if out.is_dir() and any(out.iterdir()) and not (out / "scenes").is_dir():
        raise OptionError(
            f"--out is a new folder or one of this program; {out} holds other files: choose another"
        )


def paired(folders: Sequence[Path], gsds: Sequence[float]) -> list[tuple[Path, float | None]]:
    """Every folder of negatives with its resolution."""
    if len(gsds) not in (0, 1, len(folders)):
        raise OptionError(
            f"--negatives-gsd is given once or once a folder; got {len(gsds)} for {len(folders)}: repeat it"
        )
    each: list[float | None] = [*gsds] * len(folders) if len(gsds) == 1 else [*gsds] or [None] * len(folders)
    return list(zip(folders, each, strict=True))


def work(jobs: Sequence[Plan], options: Options, classes: ClassList, out: Path, workers: int) -> list[Tile]:
    """Cut every source, in processes if there are several; the tiles in the order of the jobs."""
    names = [job.source.name for job in jobs]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DatasetError(f"scenes and negatives have different names; {double} is there twice: rename one")
    (out / "scenes").mkdir(parents=True, exist_ok=True)
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
    console, n = Console(stderr=True), len(jobs)
    repeated = ([options] * n, [classes] * n, [out] * n)
    if workers == 1:
        done = track(map(cut_source, jobs, *repeated), "cutting", n, console=console)
        return [tile for tiles in done for tile in tiles]
    # spawn: GDAL and its caches do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = track(pool.map(cut_source, jobs, *repeated), "cutting", n, console=console)
        return [tile for tiles in done for tile in tiles]


def report(tiles: Sequence[Tile], classes: ClassList, out: Path) -> None:
    """Print what the dataset holds."""
    table = Table("", "train", "val", title=f"{out}: {len(tiles)} tiles, sha256 {dataset_sha256(tiles)[:12]}")
    splits: Mapping[str, list[Tile]] = {s: [t for t in tiles if t.split == s] for s in ("train", "val")}
    table.add_row("scenes", *(str(len({t.scene for t in of})) for of in splits.values()))
    table.add_row("tiles", *(str(len(of)) for of in splits.values()))
    table.add_row("without label", *(str(sum(not t.counts for t in of)) for of in splits.values()))
    for info in classes:
        table.add_row(
            info.name, *(str(sum(t.counts.get(info.name, 0) for t in of)) for of in splits.values())
        )
    table.add_row("ignored", *(str(sum(t.n_ignored for t in of)) for of in splits.values()))
    Console().print(table)


if __name__ == "__main__":
    run(app)
