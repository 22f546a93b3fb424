"""Scenes and labels → lossless tiles, YOLO-OBB rows and a manifest, in folds that share no ground."""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pithead.classes import ClassList, load_classes
from pithead.cutting import (
    MARKERS,
    Options,
    Plan,
    Source,
    choose,
    cut_source,
    footprint,
    windows_of,
)
from pithead.dataset import (
    DATA_YAML,
    FOLDS,
    Tile,
    data_yaml,
    dataset_sha256,
    drawn_split,
    split_sites,
    write_fold,
    write_manifest,
)
from pithead.errors import DatasetError, OptionError
from pithead.files import write_whole
from pithead.folds import By, Ground, k_folds, leave_one_out, places_of
from pithead.imagery import open_scene
from pithead.labels.sheet import by_image, no_sizes, read_lines
from pithead.program import run
from pithead.tiling import Grid

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
app = App(help_format="plaintext", version_flags=())


@dataclass(frozen=True, slots=True)
class Background:
    """A folder of images that show none of the classes, and their metres per pixel if told."""

    folder: Path
    gsd_m: float | None


# --- what there is to cut ------------------------------------------------------------------------------


def find_sources(scenes: Path, labels: Path, classes: ClassList, scenes_gsd_m: float | None) -> list[Source]:
    """The labelled scenes of a folder, ordered by name; a scene without a line in the labels is left out."""
    sheets = by_image(read_lines(labels, classes, no_sizes), str(labels))
    files = {name: path for path in imagery_of(scenes) for name in (path.stem, path.name)}
    missing = sorted(set(sheets) - set(files))
    if missing:
        raise DatasetError(
            f"every labelled image lies in {scenes}; {len(missing)} do not, "
            f"such as {missing[0]}: check the folder"
        )
    if not sheets:
        raise DatasetError(f"{labels} has no line: label the scenes of {scenes} first")
    return [
        Source(
            name=files[image].stem,
            files=(files[image],),
            gsd_m=scenes_gsd_m,
            labels=sheet.labels,
            site=sheet.facts.site or files[image].stem,
            date=sheet.facts.date,
            sensor=sheet.facts.sensor,
            seen=sheet.seen,
        )
        for image, sheet in sorted(sheets.items())
    ]


def find_negatives(background: Background, options: Options) -> list[Source]:
    """Every image of a folder as background; chips of up to half a tile share one, side by side.

    They are hard negatives by the name of the folder.
    """
    whole, chips = [], []
    folder, gsd_m = background.folder, background.gsd_m
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
            named = {folder.name: len(files)}
            whole.append(Source(name, files, gsd_m, (), name, None, negatives=named))
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


def ground_of(source: Source, options: Options) -> Ground:
    """A scene as folds see it."""
    with open_scene(source.files[0], gsd_m=source.gsd_m) as scene:
        grid = Grid.of(scene, options.gsd_m, options.tile_px, options.overlap_px)
        return Ground(source.name, source.site, footprint(scene, grid))


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
    buffer_m: float = 500.0,
    folds: int | None = None,
    leave_out: By | None = None,
    empty_fraction: float = 0.15,
    min_valid: float = 0.05,
    min_left: float = 0.6,
    max_ignored: float = 0.4,
    seed: int = 0,
    workers: int = 2,
    scenes_gsd: float | None = None,
    negatives: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    negatives_gsd: Annotated[tuple[float, ...], Parameter(negative="")] = (),
) -> None:
    """Cut labelled scenes into tiles for training, in the layout of ultralytics.

    OUT gets images/, labels/ and ignores/ with train/ and val/ in each, data.yaml, manifest.jsonl, and
    scenes/ (a marker for each finished scene: run the command again to go on after an interruption). An
    object cut at a tile's edge is refitted to what is visible; if that is too little of it, it is painted
    over with the tile's mean. That, and labels marked to be ignored, go to ignores/; a tile in which doubtful
    labels are more of the labelled area than max-ignored is left out, as is one with too few valid pixels
    (min-valid). All scenes of a site, and of sites close to it, are in one fold. The same input gives the
    same bytes, whatever the number of workers.

    Args:
        scenes: Folder of scenes; file names, with or without suffix, are the image ids of the labels.
        labels: Labels in scene pixels, one JSON object a line; scenes without a line are left out.
        out: Folder of the dataset: new, or one that this program made.
        classes: The class list.
        gsd: Metres per pixel of the tiles.
        tile: Side of a tile in pixels, a multiple of 32.
        overlap: Overlap of neighbouring tiles in pixels, a multiple of 32.
        val_fraction: Share of the places, drawn by hash, that is kept for validation.
        buffer_m: Scenes whose footprints come this close to each other are one place.
        folds: Also write that many datasets under OUT/folds, each with another share of the places in val.
        leave_out: Also write a dataset for each site (place) or sensor, in which it alone is val.
        empty_fraction: Share of tiles without any label among the tiles of the scenes. Those with hard
            negatives come first, and all of them.
        min_valid: Tiles with a smaller share of valid pixels are left out.
        min_left: Share of an object that a tile's edge must leave of it for it to be taught.
        max_ignored: Largest share of ignored in labelled area; 1 keeps every tile that shows an object, which
            saves rare classes.
        seed: Seed of the draws of places and empty tiles.
        workers: Processes.
        scenes_gsd: Metres per pixel of scenes that have no georeference.
        negatives: Folder of images that show none of the classes; all its tiles are added. May be repeated.
        negatives_gsd: Metres per pixel of its images without georeference: one for all folders, or one each.
    """
    check_options(out, empty_fraction, min_left, workers)
    options = Options(gsd, tile, overlap, min_valid, max_ignored, min_left)
    class_list = load_classes(classes)
    found = find_sources(scenes, labels, class_list, scenes_gsd)
    background = [
        source for one in paired(negatives, negatives_gsd) for source in find_negatives(one, options)
    ]
    placed = in_places(found, background, options, val_fraction, buffer_m, seed)
    jobs = choose([windows_of(s, options) for s in placed[: len(found)]], empty_fraction, seed)
    # of a negative every window is empty and every one is kept
    jobs += [Plan(source, windows_of(source, options).empty) for source in placed[len(found) :]]
    tiles = work(jobs, options, class_list, out, workers)
    finish(out, tiles, class_list)
    more = {**(k_folds(tiles, folds, seed) if folds else {}), **leave_one_out(tiles, leave_out)}
    write_folds(out, more, class_list)
    report(tiles, more, class_list, out)


def in_places(
    found: Sequence[Source],
    background: Sequence[Source],
    options: Options,
    val_fraction: float,
    buffer_m: float,
    seed: int,
) -> list[Source]:
    """All sources, each in its place and in the fold of its place.

    Places with labels are drawn together, so that both folds have some; a place of backgrounds by itself.
    """
    every = [*found, *background]
    places = places_of([ground_of(source, options) for source in every], buffer_m)
    labelled = {places[source.name] for source in found}
    splits = split_sites(labelled, val_fraction, seed)
    splits |= {p: drawn_split(p, val_fraction, seed) for p in places.values() if p not in labelled}
    return [replace(s, split=splits[places[s.name]], place=places[s.name]) for s in every]


def check_options(out: Path, empty_fraction: float, min_left: float, workers: int) -> None:
    """Refuse what cannot be, before any work."""
    if not 0 <= empty_fraction < 1:
        raise OptionError(f"--empty-fraction is from 0 to below 1; got {empty_fraction}: try 0.15")
    if not 0 < min_left <= 1:
        raise OptionError(f"--min-left is above 0 and at most 1; got {min_left}: try 0.6")
    if workers < 1:
        raise OptionError(f"--workers is 1 or more; got {workers}: try 2")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKERS).is_dir():
        raise OptionError(
            f"--out is a new folder or one of this program; {out} holds other files: choose another"
        )


def paired(folders: Sequence[Path], gsds: Sequence[float]) -> list[Background]:
    """Every folder of negatives with its resolution."""
    if len(gsds) not in (0, 1, len(folders)):
        raise OptionError(
            f"--negatives-gsd is given once or once a folder; got {len(gsds)} for {len(folders)}: repeat it"
        )
    each: list[float | None] = [*gsds] * len(folders) if len(gsds) == 1 else [*gsds] or [None] * len(folders)
    return [Background(folder, gsd_m) for folder, gsd_m in zip(folders, each, strict=True)]


def work(jobs: Sequence[Plan], options: Options, classes: ClassList, out: Path, workers: int) -> list[Tile]:
    """Cut every source, in processes if there are several; the tiles in the order of the jobs."""
    names = [job.source.name for job in jobs]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DatasetError(f"scenes and negatives have different names; {double} is there twice: rename one")
    (out / MARKERS).mkdir(parents=True, exist_ok=True)
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


def finish(out: Path, tiles: Sequence[Tile], classes: ClassList) -> None:
    """Write what lists the tiles, and leave no other tile."""
    remove_strays(out, tiles)
    write_manifest(out, tiles)
    write_whole(out / DATA_YAML, data_yaml(classes).encode())


def remove_strays(out: Path, tiles: Iterable[Tile]) -> None:
    """Delete what an earlier cut with other options left: ultralytics reads every file that lies there."""
    kept = {name for tile in tiles for name in (tile.path, tile.labels, tile.ignores) if name}
    for kind in ("images", "labels", "ignores"):
        for path in (out / kind).glob("*/*"):
            if path.relative_to(out).as_posix() not in kept:
                path.unlink()
    for cache in (out / "labels").glob("*.cache"):
        cache.unlink()


def write_folds(out: Path, folds: Mapping[str, Sequence[Tile]], classes: ClassList) -> None:
    """Write every fold, and no other."""
    if (out / FOLDS).is_dir():
        shutil.rmtree(out / FOLDS)
    for name, tiles in folds.items():
        write_fold(out, re.sub(r"[^\w.-]+", "_", name), tiles, classes)


def report(tiles: Sequence[Tile], folds: Mapping[str, Sequence[Tile]], classes: ClassList, out: Path) -> None:
    """Print what the dataset holds."""
    table = Table("", "train", "val", title=f"{out}: {len(tiles)} tiles, sha256 {dataset_sha256(tiles)[:12]}")
    splits: Mapping[str, list[Tile]] = {s: [t for t in tiles if t.split == s] for s in ("train", "val")}
    table.add_row("places", *(str(len({t.ground for t in of})) for of in splits.values()))
    table.add_row("scenes", *(str(len({t.scene for t in of})) for of in splits.values()))
    table.add_row("tiles", *(str(len(of)) for of in splits.values()))
    table.add_row("without label", *(str(sum(not t.counts for t in of)) for of in splits.values()))
    for info in classes:
        table.add_row(
            info.name, *(str(sum(t.counts.get(info.name, 0) for t in of)) for of in splits.values())
        )
    table.add_row("ignored", *(str(sum(t.n_ignored for t in of)) for of in splits.values()))
    table.add_row("of these cut", *(str(sum(t.n_cut for t in of)) for of in splits.values()))
    table.add_row(
        "hard negatives", *(str(sum(sum(t.negatives.values()) for t in of)) for of in splits.values())
    )
    for name, of_fold in folds.items():
        numbers = (str(sum(t.split == split for t in of_fold)) for split in ("train", "val"))
        table.add_row(f"tiles of {name}", *numbers)
    Console().print(table)


if __name__ == "__main__":
    run(app)
