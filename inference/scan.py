"""Find mine heads, coal heaps, guard perimeters and rail loading in scenes."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from shapely.geometry.base import BaseGeometry

from pithead.aoi import Aoi, read_aoi
from pithead.card import Card
from pithead.dates import date_of
from pithead.detector import Detector, Device
from pithead.errors import OptionError, OutsideError, WeightsError
from pithead.imagery import Scene, images_in, is_local, open_scene, parse_stretch, told_name
from pithead.program import run
from pithead.results import ENDINGS, Run, scene_sha256, write_results
from pithead.scan import Way, scan
from pithead.vectors import Layers, Origin

app = App(name="scan.py")

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, as it stands in run.json."""

    gsd: float | None = None
    bands: tuple[int, ...] = ()
    stretch: str | None = None
    aoi: str | None = None
    skip_plain: bool = False
    overlap: int = 128
    threads: int | None = None
    readers: int = 1
    device: Device = "auto"
    classes: tuple[str, ...] = ()
    min_score: float | None = None
    limit: int | None = None
    date: str | None = None
    unverified: bool = False

    @property
    def acquired(self) -> datetime | None:
        """The date as a time in UTC.

        Raises:
            OptionError: It is no date.
        """
        return None if self.date is None else date_of(self.date)

    def open(self, scene: str) -> Scene:
        """Open a scene as the user says that it is to be read."""
        rule = None if self.stretch is None else parse_stretch(self.stretch)
        return open_scene(scene, gsd_m=self.gsd, stretch=rule, bands=self.bands or None)

    def way(self, batch: int, area_scene: BaseGeometry | None = None) -> Way:
        """How to go through a scene with a detector of that batch."""
        return Way(self.overlap, max(4, batch), self.readers, area_scene, self.skip_plain)


@app.default
def scan_scenes(  # noqa: PLR0913 (options of a command line)
    *scenes: str,
    weights: Path | None = None,
    out: Path = Path("out"),
    gsd: Annotated[float | None, Parameter(help="Metres per pixel, for scenes without georeference.")] = None,
    bands: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    stretch: str | None = None,
    aoi: Path | None = None,
    skip_plain: bool = False,
    overlap: int = 128,
    threads: int | None = None,
    classes: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    min_score: float | None = None,
    limit: int | None = None,
    readers: int = 1,
    device: Device = "auto",
    date: str | None = None,
    unverified: Annotated[bool, Parameter(negative="")] = False,
    quiet: bool = False,
) -> None:
    """Find mine heads, coal heaps, guard perimeters and rail loading in scenes.

    Of a scene NAME.tif it leaves OUT/NAME.geojson (longitude, latitude), NAME.gpkg (layers boxes and
    perimeters in the scene's CRS), NAME.parquet, NAME.png, NAME.stac.json and NAME.run.json; all of them or
    none.

    Parameters
    ----------
    scenes:
        Images, folders of images, or addresses: https://, s3:// and GDAL's /vsi paths.
    weights:
        An ONNX file with its card; without it the newest weights/starter*.onnx of this repository.
    out:
        Where the results go.
    bands:
        The bands to be read as red, green and blue (--bands 5 3 2), or one for all; else the file says.
    stretch:
        To 8 bits: "percentile 2-98", "range 200-1500" or "none"; else the first, of more than 8 bits.
    aoi:
        Polygons (GeoJSON, GeoPackage): only there is scanned.
    skip_plain:
        Leave out tiles without texture: open water, thick cloud.
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
    device:
        Where the model runs; auto is a GPU if onnxruntime has one. TensorRT builds an engine first.
    date:
        When the scenes were taken (2019-03-12), if their files do not say.
    unverified:
        Take the weights even if the manifest.toml beside them does not list them as they are.
    quiet:
        No progress bar and no table.
    """
    options = Options(
        gsd, bands, stretch, None if aoi is None else str(aoi), skip_plain, overlap, threads, readers,
        device, classes, min_score, limit, date, unverified,
    )  # fmt: skip
    paths = _images(scenes)
    _refuse_overwriting(paths, out)
    weights = weights or _starter()
    if limit is not None and limit < 1:
        raise OptionError(f"expected a limit of at least 1 detection, got {limit}")
    opened = Detector.open(weights, threads=threads, device=device, verify=not unverified)
    detector = opened.asked_for(classes, min_score)
    options.way(detector.batch).check(detector.card)
    area = None if aoi is None else read_aoi(aoi)
    job = _Job(detector, weights, out, options, options.acquired, area)
    inside, outside = _looked_over(paths, options, area)
    results = [_scan_one(path, job, quiet=quiet) for path in inside]
    if not quiet:
        Console().print(_table(results, detector.card))
        for path in outside:
            Console().print(f"{told_name(path)}: lies outside of {aoi}; not scanned", soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for every scene."""

    detector: Detector
    weights: Path
    out: Path
    options: Options
    acquired: datetime | None
    area: Aoi | None


def _name(scene: str) -> str:
    """What the results of a scene are called: its file name without the ending."""
    return PurePosixPath(told_name(scene)).stem if not is_local(scene) else Path(scene).stem


def _images(scenes: tuple[str, ...]) -> list[str]:
    """The scenes, and the images in folders; two of one name would overwrite each other's results."""
    if not scenes:
        raise OptionError("expected a scene or a folder of scenes, got none: scan.py SCENE --out DIR")
    found = [image for scene in scenes for image in images_in(scene)]
    names: dict[str, str] = {}
    for scene in found:
        other = names.setdefault(_name(scene), scene)
        if other != scene:
            raise OptionError(
                f"expected scenes of different names, got {told_name(other)} and {told_name(scene)}; "
                "scan them apart"
            )
    return list(names.values())


def _refuse_overwriting(scenes: list[str], out: Path) -> None:
    """A result is never written over a scene: the picture of a.png into its own folder would be one."""
    for scene in filter(is_local, scenes):
        name, place = _name(scene), Path(scene).resolve()
        if any((out / f"{name}{ending}").resolve() == place for ending in ENDINGS):
            raise OptionError(
                f"expected another folder than that of {scene}, got --out {out}: it would be replaced"
            )


def _starter() -> Path:
    starters = sorted(WEIGHTS.glob("starter*.onnx"))
    if not starters:
        raise WeightsError(f"expected {WEIGHTS}/starter*.onnx, got no such file: name weights with --weights")
    return starters[-1]


def _looked_over(paths: list[str], options: Options, area: Aoi | None) -> tuple[list[str], list[str]]:
    """The scenes to scan and those outside of the area: a bad one is told of before any work is done."""
    inside, outside, reason = [], [], None
    for path in paths:
        with options.open(path) as scene:
            try:
                if area is not None:
                    area.in_scene(scene)
                inside.append(path)
            except OutsideError as error:
                outside.append(path)
                reason = reason or error
    if reason is not None and not inside:
        raise reason
    return inside, outside


def _scan_one(path: str, job: _Job, *, quiet: bool) -> Layers:
    """Scan one scene and write all of its results at once."""
    began, clock = datetime.now(UTC), time.perf_counter()
    detector, options = job.detector, job.options
    with options.open(path) as scene, _bar(_name(path), quiet=quiet) as bar:
        origin = Origin(_name(path), scene_sha256(scene), detector.sha256)
        found = scan(
            scene,
            detector,
            options.way(detector.batch, None if job.area is None else job.area.in_scene(scene)),
            lambda done, of: bar.update(bar.task_ids[0], completed=done, total=of),
        )
        found = found if options.limit is None else found.surest(options.limit, detector.card.line_classes)
        record = Run(
            origin, job.weights, detector.card, asdict(options), job.area, began,
            time.perf_counter() - clock, job.acquired,
        )  # fmt: skip
        return write_results(job.out, scene, found, record)


@contextmanager
def _bar(name: str, *, quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # In a log file a bar is noise, and an error would not be the only line.
    off = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=off, transient=True) as bar:
        bar.add_task(name, total=None)
        yield bar


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
