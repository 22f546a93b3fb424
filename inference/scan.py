"""Find mine heads, coal heaps, guard perimeters and rail loading in scenes."""

import hashlib
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pithead import __version__
from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import OptionError, SceneError, WeightsError
from pithead.imagery import Scene, open_scene
from pithead.picture import write_picture
from pithead.program import run
from pithead.scan import Detections, check_options, scan
from pithead.vectors import Layers, Origin, layers, write_geojson, write_geopackage, write_geoparquet

app = App(name="scan.py")

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
IMAGES = {".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"}
RECORD = ".run.json"
RESULTS = (".geojson", ".gpkg", ".parquet", ".png", RECORD)
LIBRARIES = ("numpy", "onnxruntime", "rasterio", "pyproj", "shapely", "scipy", "geopandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, as it stands in run.json."""

    gsd: float | None
    overlap: int
    threads: int | None
    classes: tuple[str, ...]
    min_score: float | None
    limit: int | None
    readers: int


@app.default
def scan_scenes(  # noqa: PLR0913 (options of a command line)
    *scenes: Path,
    weights: Path | None = None,
    out: Path = Path("out"),
    gsd: Annotated[float | None, Parameter(help="Metres per pixel, for scenes without georeference.")] = None,
    overlap: int = 128,
    threads: int | None = None,
    classes: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    min_score: float | None = None,
    limit: int | None = None,
    readers: int = 1,
    quiet: bool = False,
) -> None:
    """Find mine heads, coal heaps, guard perimeters and rail loading in scenes.

    Of a scene NAME.tif it leaves OUT/NAME.geojson (longitude, latitude), NAME.gpkg (layers boxes and
    perimeters in the scene's CRS), NAME.parquet, NAME.png and NAME.run.json; all of them or none.

    Parameters
    ----------
    scenes:
        Images, or folders of images.
    weights:
        An ONNX file with its card; without it the newest weights/starter*.onnx of this repository.
    out:
        Where the results go.
    overlap:
        How far tiles overlap, in pixels of the model: a multiple of 32, at most half a tile.
    threads:
        Threads of the model; without it all cores.
    classes:
        Only these classes, by name.
    min_score:
        The lowest score of a detection, instead of the card's threshold of each class.
    limit:
        At most so many detections of a scene, the surest.
    readers:
        Threads that read tiles ahead of the model.
    quiet:
        No progress bar and no table.
    """
    paths = _images(scenes)
    _refuse_overwriting(paths, out)
    weights = weights or _starter()
    if limit is not None and limit < 1:
        raise OptionError(f"expected a limit of at least 1 detection, got {limit}")
    detector = Detector.open(weights, threads=threads).asked_for(classes, min_score)
    check_options(detector.card, overlap, readers=readers)
    for path in paths:  # a bad scene is told of before any work is done
        open_scene(path, gsd_m=gsd).close()
    options = Options(gsd, overlap, threads, classes, min_score, limit, readers)
    results = [_scan_one(path, detector, weights, out, options, quiet=quiet) for path in paths]
    if not quiet:
        Console().print(_table(results, detector.card))


def _images(scenes: tuple[Path, ...]) -> list[Path]:
    """The scenes, and the images in folders; two of one name would overwrite each other's results."""
    if not scenes:
        raise OptionError("expected a scene or a folder of scenes, got none: scan.py SCENE --out DIR")
    found: list[Path] = []
    for path in scenes:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
        if not inside:
            raise SceneError(f"{path}: expected images ({', '.join(sorted(IMAGES))}), got none")
        found += inside
    names: dict[str, Path] = {}
    for path in found:
        other = names.setdefault(path.stem, path)
        if other != path:
            raise OptionError(f"expected scenes of different names, got {other} and {path}; scan them apart")
    return list(names.values())


def _refuse_overwriting(scenes: list[Path], out: Path) -> None:
    """A result is never written over a scene: the picture of a.png into its own folder would be one."""
    for path in scenes:
        if any((out / f"{path.stem}{suffix}").resolve() == path.resolve() for suffix in RESULTS):
            raise OptionError(
                f"expected another folder than that of {path}, got --out {out}: it would be replaced"
            )


def _starter() -> Path:
    starters = sorted(WEIGHTS.glob("starter*.onnx"))
    if not starters:
        raise WeightsError(f"expected {WEIGHTS}/starter*.onnx, got no such file: name weights with --weights")
    return starters[-1]


def _scan_one(
    path: Path, detector: Detector, weights: Path, out: Path, options: Options, *, quiet: bool
) -> Layers:
    """Scan one scene and write all of its results at once."""
    began, clock = datetime.now(UTC), time.perf_counter()
    origin = Origin(path.stem, _sha256(path), detector.sha256)
    with open_scene(path, gsd_m=options.gsd) as scene, _bar(path.name, quiet=quiet) as bar:
        found = scan(
            scene,
            detector,
            overlap_px=options.overlap,
            readers=options.readers,
            progress=lambda done, of: bar.update(bar.task_ids[0], completed=done, total=of),
        )
        found = found if options.limit is None else found.surest(options.limit, detector.card.line_classes)
        scanned = time.perf_counter()
        result = layers(found, scene, detector.card, origin)
        with _all_or_nothing(out) as folder:
            write_geojson(folder / f"{path.stem}.geojson", result, scene)
            write_geopackage(folder / f"{path.stem}.gpkg", result, scene)
            write_geoparquet(folder / f"{path.stem}.parquet", result, scene)
            write_picture(folder / f"{path.stem}.png", scene, found, detector.card)
            facts = {
                "scene": _scene_facts(path, scene, origin),
                "weights": {"path": str(weights), "sha256": detector.sha256, "name": detector.card.name},
                "options": asdict(options),
                "versions": _versions(),
                "counts": _counts(found, result, detector.card),
                "times": {
                    "started": began.isoformat(timespec="seconds"),
                    "scan_s": round(scanned - clock, 3),
                    "write_s": round(time.perf_counter() - scanned, 3),
                },
            }
            facts["results"] = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
            record = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
            (folder / f"{path.stem}{RECORD}").write_text(record, encoding="utf-8")
    return result


@contextmanager
def _bar(name: str, *, quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # In a log file a bar is noise, and an error would not be the only line.
    off = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=off, transient=True) as bar:
        bar.add_task(name, total=None)
        yield bar


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[Path]:
    """A folder beside the results, whose files are moved among them if all went well.

    The record names the hashes of the others: an old one goes first and the new one comes last, so that
    results with a record are whole whenever the program is killed.
    """
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".part-", dir=out))
    except OSError as error:
        raise OptionError(f"{out}: expected a folder to write to, got {error.strerror}") from error
    try:
        yield folder
        files = sorted(folder.iterdir(), key=lambda file: (file.name.endswith(RECORD), file.name))
        (out / files[-1].name).unlink(missing_ok=True)
        for file in files:
            os.replace(file, out / file.name)  # noqa: PTH105 (atomic within one file system)
    except BaseException:
        shutil.rmtree(folder)
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
    folder.rmdir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scene_facts(path: Path, scene: Scene, origin: Origin) -> dict[str, object]:
    return {
        "path": str(path),
        "sha256": origin.scene_sha256,
        "width": scene.width,
        "height": scene.height,
        "crs": None if scene.crs is None else scene.crs.to_string(),
        "gsd_m": [round(g, 6) for g in scene.gsd_m],
        "bands": list(scene.bands),
        "dtype": scene.dtype,
        "stretch": None if scene.stretch is None else asdict(scene.stretch),
    }


def _versions() -> dict[str, str]:
    return {
        "pithead": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _counts(found: Detections, result: Layers, card: Card) -> dict[str, object]:
    classes = [*result.boxes["class"], *result.perimeters["class"]]
    return {
        "tiles": len(found.grid),
        "tiles_run": found.tiles_run,
        "tiles_without_pixels": found.tiles_skipped,
        "classes": {known.name: classes.count(known.name) for known in card.classes},
    }


def _table(results: list[Layers], card: Card) -> Table:
    """Per class of all scenes: how many, how sure, how much."""
    table = Table("class", "count", "median score", "total", title=f"{len(results)} scene(s)")
    for known in card.classes:
        line = known.geometry == "line"
        frames = [r.perimeters if line else r.boxes for r in results]
        mine = [frame[frame["class"] == known.name] for frame in frames]
        scores = [s for frame in mine for s in frame["score"]]
        total = sum(float(frame["length_m" if line else "area_m2"].sum()) for frame in mine)
        middle = f"{statistics.median(scores):.2f}" if scores else "–"
        table.add_row(known.name, str(len(scores)), middle, f"{total:,.0f} {'m' if line else 'm²'}")
    return table


if __name__ == "__main__":
    run(app)
