"""Keep an archive of scenes, and score again whatever new weights have not seen; nothing is scored twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.live import Live

from pithead.aoi import read_aoi
from pithead.catalog import read_sites
from pithead.dates import date_of
from pithead.detector import Detector, Device
from pithead.errors import EvidenceError, OptionError, SceneError
from pithead.files import sha256_of
from pithead.program import run
from pithead.rescore import Archive, Choice, Crew, Job, LocalCrew, Options, Plan, Tally, cores, gpus
from pithead.rescore.board import Board
from pithead.rescore.drive import drive, reconcile
from pithead.rescore.export import export
from pithead.rescore.intake import note_changes, register, take_results, take_scenes, take_stac, use_sites
from pithead.rescore.overview import end_lines, many, overview, plan_lines, progress, seconds_of_a_tile
from pithead.rescore.parts import TILES
from pithead.rescore.plan import plan
from pithead.rescore.upkeep import check, compact, sign_head
from pithead.sidefiles import Facts

app = App(name="rescore.py")


Many = Parameter(consume_multiple=True, negative="")
Flag = Parameter(negative="")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Intake:
    """What is taken in, and what is said of it."""

    add: Annotated[tuple[str, ...], Many] = ()
    """Scenes to take in: images, folders of images, or addresses."""
    take: Annotated[tuple[str, ...], Many] = ()
    """STAC catalogues, Items, or FeatureCollections of Items as an API gives them, to be taken in."""
    asset: str | None = None
    """Which asset of these Items is the scene, by its key; else the one called visual, or the only one."""
    scans: Annotated[tuple[Path, ...], Many] = ()
    """Folders that scan.py --out has filled: their results are kept, under the options of those scans."""
    sites: Path | None = None
    """Polygons of the sites (GeoJSON; properties name and aliases), instead of those before."""
    date: str | None = None
    """When the scenes were taken (2019-03-12), if neither they nor their side files say."""
    sensor: str | None = None
    """What took them, such as WV02."""
    gsd: float | None = None
    """Metres per pixel, of scenes without georeference."""
    off_nadir: float | None = None
    """Degrees between straight down and the scene."""
    sun_azimuth: float | None = None
    """Degrees from north."""
    sun_elevation: float | None = None
    """Degrees above the horizon."""
    fetch: Annotated[bool, Flag] = False
    """Fetch remote scenes whole to hash them."""

    @property
    def facts(self) -> Facts:
        """What the user says of every scene."""
        taken = None if self.date is None else date_of(self.date)
        return Facts(
            acquired=taken, sensor=self.sensor, gsd_m=self.gsd, off_nadir_deg=self.off_nadir,
            sun_azimuth_deg=self.sun_azimuth, sun_elevation_deg=self.sun_elevation,
        )  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Scoring:
    """How scenes are scored, by whom, and which."""

    weights: Path | None = None
    """An ONNX file with its card: what it has not scored yet is scored."""
    dry_run: Annotated[bool, Flag] = False
    """Only say what would be done."""
    since: str | None = None
    """Only scenes taken since that date."""
    aoi: Path | None = None
    """Only scenes that show a part of these polygons."""
    limit: int | None = None
    """At most so many scenes."""
    retry_failed: Annotated[bool, Flag] = False
    """Also scenes that failed three times before."""
    overlap: int = 128
    """How far tiles overlap, in pixels of the model: a multiple of 32."""
    skip_plain: Annotated[bool, Flag] = False
    """Leave out tiles without texture: open water, thick cloud."""
    stretch: str | None = None
    """To 8 bits, as scan.py has it."""
    classes: Annotated[tuple[str, ...], Many] = ()
    """Only these classes."""
    min_score: float | None = None
    """The lowest score, instead of the card's thresholds."""
    workers: int | None = None
    """Worker processes (or actors); without it one for every core or GPU."""
    threads: int = 1
    """CPU threads of each worker's model."""
    device: Device = "auto"
    """Where the models run."""
    part_tiles: int = TILES
    """Tiles of a part: a larger scene is done in parts, by several workers, and goes on after a kill."""
    ray: str | None = None
    """Let a Ray cluster do it: HOST:6379, or auto for the one that runs here or else one of this machine."""
    unverified: Annotated[bool, Flag] = False
    """Take weights even if the manifest.toml beside them does not list them as they are."""

    @property
    def options(self) -> Options:
        """What of it changes the result."""
        return Options(self.overlap, self.skip_plain, self.stretch, self.classes, self.min_score)

    def detector(self) -> Detector:
        """The weights, opened once to know what they are; workers open their own."""
        if self.weights is None:
            raise OptionError("expected --weights, got none")
        opened = Detector.open(
            self.weights, threads=self.threads, device=self.device, verify=not self.unverified
        )
        return opened.asked_for(self.classes, self.min_score)

    def choice(self, site: str | None) -> Choice:
        """The scenes that are meant."""
        if self.limit is not None and self.limit < 1:
            raise OptionError(f"expected a limit of at least 1 scene, got {self.limit}")
        since = None if self.since is None else date_of(self.since)
        return Choice(site, since, None if self.aoi is None else read_aoi(self.aoi), self.limit)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Upkeep:
    """What else is done with an archive."""

    store: str | None = None
    """Where what is found goes, when an archive is begun: a folder, or s3://…; else in the archive."""
    verify: Annotated[bool, Flag] = False
    """Hash everything again: the log, every result and every scene; what is broken is named."""
    compact: Annotated[bool, Flag] = False
    """Join the store's small files."""
    export: Path | None = None
    """Write what was found to FILE.gpkg, .geojson or .csv; beside it FILE.scenes.csv, the scenes that were
    looked at, and FILE.chain.jsonl, their part of the log. --weights, --site, --since and --aoi choose."""
    every: Annotated[bool, Flag] = False
    """Export the results of all weights and options side by side."""
    sign: Path | None = None
    """Sign the head of the log with an ed25519 key (PEM), with --export after its record."""
    status: Path | None = None
    """Where figures go while it runs (JSON, and .prom for Prometheus); else ARCHIVE/status.json."""
    metrics_port: int | None = None
    """Serve the figures for Prometheus on this port of this machine."""
    quiet: Annotated[bool, Flag] = False
    """No table."""


@app.default
def rescore(
    archive: Path,
    *,
    site: str | None = None,
    intake: Intake = Intake(),
    scoring: Scoring = Scoring(),
    upkeep: Upkeep = Upkeep(),
) -> None:
    """Keep an archive of scenes, and score again what new weights have not scored yet.

    rescore.py ARCHIVE --add SCENE... --site NAME takes scenes in; rescore.py ARCHIVE --weights W.onnx scores
    them; both can be asked for at once. What was scored before with the same weights and options is not
    scored again, and a run that was killed goes on.

    Parameters
    ----------
    archive:
        The folder of the archive; --add, --take or --sites make it.
    site:
        The site that scenes are taken in for; else only scenes of this site are scored or exported.
    """
    makes = bool(intake.add or intake.take or intake.sites or intake.scans)
    facts, options = intake.facts, scoring.options
    _check_asked(intake, scoring, upkeep)
    opened = Archive.open(archive, upkeep.store, make=makes)
    out = Console(quiet=upkeep.quiet, soft_wrap=True, highlight=False)
    _take_in(opened, intake, facts, site, out)
    if scoring.weights is not None:
        # Only one run may score; whoever looks, exports or verifies need not wait for it.
        with nullcontext() if scoring.dry_run else opened.alone():
            _score(opened, scoring, options, site, upkeep, out)
    _keep_up(opened, scoring, site, upkeep, out)
    if not (makes or scoring.weights or upkeep.compact or upkeep.export or upkeep.sign or upkeep.verify):
        for line in overview(opened):
            out.print(line)


def _check_asked(intake: Intake, scoring: Scoring, upkeep: Upkeep) -> None:
    """Refuse, before anything is done, what cannot be meant.

    Raises:
        CatalogError: The file of sites is none.
        OptionError: A dry run that would write, or one without weights; or nobody would work.
    """
    if intake.sites is not None:
        read_sites(intake.sites)
    if scoring.dry_run and scoring.weights is None:
        raise OptionError("expected --weights with --dry-run: what is left to do depends on them")
    writes = (intake.add, intake.take, intake.scans, intake.sites, upkeep.compact, upkeep.export, upkeep.sign)
    if scoring.dry_run and any(writes):
        raise OptionError(
            "expected --dry-run with nothing that writes: leave out what takes in, exports or signs"
        )
    if scoring.workers is not None and scoring.workers < 1:
        raise OptionError(f"expected at least 1 worker, got {scoring.workers}")
    if scoring.threads < 1:
        raise OptionError(f"expected at least 1 thread, got {scoring.threads}")


def _take_in(archive: Archive, asked: Intake, facts: Facts, site: str | None, out: Console) -> None:
    if asked.sites is not None:
        out.print(f"{use_sites(archive, asked.sites)} sites")
    news = [
        take_stac(archive, path, site, facts, asset=asked.asset, fetch=asked.fetch) for path in asked.take
    ]
    if asked.add:
        news.append(take_scenes(archive, asked.add, site, facts, fetch=asked.fetch))
    failed = [pair for one in news for pair in one.failed]
    if news:
        fresh, known = sum(one.new for one in news), sum(one.known for one in news)
        amended, moved = sum(one.amended for one in news), sum(one.moved for one in news)
        out.print(f"{many(fresh, 'new scene')}, {known} known before ({amended} amended, {moved} moved)")
    for remark in (remark for one in news for remark in one.remarks):
        out.print(remark)
    for folder in asked.scans:
        out.print(f"{many(take_results(archive, folder, site), 'result')} of scans from {folder}")
    for path, reason in failed:
        out.print(f"not taken in: {path}: {reason}")
    if failed:
        raise SceneError(f"{many(len(failed), 'scene')} not taken in, for the reasons above")


def _score(
    archive: Archive, asked: Scoring, options: Options, site: str | None, upkeep: Upkeep, out: Console
) -> None:
    detector = asked.detector()
    todo = plan(
        archive, detector.card, detector.sha256, options, asked.choice(site),
        retry_failed=asked.retry_failed, verify=upkeep.verify,
    )  # fmt: skip
    workers = asked.workers or (gpus() if detector.device == "cuda" else cores() // asked.threads) or 1
    for line in plan_lines(todo, seconds_of_a_tile(detector) if todo.todo else 0.0, workers):
        out.print(line)
    if asked.dry_run:
        return
    note_changes(archive, todo)
    archive.store.tidy()
    reconcile(archive, detector.sha256, options.sha256)
    if not todo.todo:
        _refuse_left_out(todo, 0)
        return
    register(archive, detector)
    job = Job(
        detector.path.absolute(), detector.sha256, options, archive.store_place, archive.work_place,
        {known.name: known for known in archive.catalog.sites()}, asked.threads, asked.device,
        part_tiles=asked.part_tiles, verify=not asked.unverified,
    )  # fmt: skip
    board = Board(upkeep.status or archive.folder / "status.json", upkeep.metrics_port)
    with board, _crew(asked, job, workers) as crew, _table(quiet=upkeep.quiet) as table:

        def watch(tally: Tally) -> None:
            board.show(tally)
            table(tally)

        tally = drive(archive, todo, job, crew, watch)
    for line in end_lines(tally):
        out.print(line)
    _refuse_left_out(todo, len(tally.failures))


def _refuse_left_out(todo: Plan, failed: int) -> None:
    """End with an error where scenes that were meant have no result: who runs this by night must notice.

    Raises:
        SceneError: There are such.
    """
    left = failed + len(todo.aside) + len(todo.changed) + len(todo.gone)
    if left:
        of = len(todo.todo) + todo.finished + left - failed
        raise SceneError(
            f"{left} of {of} scenes have no result, named above with the reason: mend them, and try those "
            "that failed again with --retry-failed"
        )


@contextmanager
def _crew(asked: Scoring, job: Job, workers: int) -> Iterator[Crew]:
    """The workers, who end with the run."""
    if asked.ray is None:
        crew: Crew = LocalCrew(job, workers, 0 if job.device == "cpu" else gpus())
    else:
        from pithead.rescore.cluster import RayCrew  # noqa: PLC0415 (ray takes two seconds)

        on_gpu = job.device in {"cuda", "tensorrt"}
        crew = RayCrew(job, asked.ray, gpus_each=float(on_gpu), most=asked.workers)
    try:
        yield crew
    finally:
        crew.close()


@contextmanager
def _table(*, quiet: bool) -> Iterator[Callable[[Tally], None]]:
    """What shows a tally on a terminal; elsewhere, nothing: the status file is for that."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda tally: live.update(progress(tally), refresh=True)


def _keep_up(archive: Archive, scoring: Scoring, site: str | None, upkeep: Upkeep, out: Console) -> None:
    if upkeep.compact:
        out.print(f"{compact(archive)} files joined")
    if upkeep.export is not None:
        wanted = None if scoring.weights is None else (sha256_of(scoring.weights), scoring.options.sha256)
        choice = replace(scoring.choice(site), limit=None)
        made = export(archive, upkeep.export, choice, wanted, every=upkeep.every, key=upkeep.sign)
        signed = "" if upkeep.sign is None else ", signed"
        told = f"{many(made.detections, 'detection')} of {many(made.scenes, 'scene')}"
        out.print(f"{told} in {upkeep.export}{signed}")
        if made.left_out:
            out.print(f"{made.left_out:,} in scenes without georeference are on no map: a .csv has them")
    elif upkeep.sign is not None:
        out.print(f"signed: {sign_head(archive, upkeep.sign)}")
    if upkeep.verify:
        faults = check(archive)
        for fault in faults:
            out.print(fault)
        if faults:
            raise EvidenceError(f"{many(len(faults), 'fault')} found, named above: nothing was changed")
        out.print("the log is whole, and every result and every scene is what it was")


if __name__ == "__main__":
    run(app)
