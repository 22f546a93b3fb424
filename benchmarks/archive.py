"""What an archive costs beside the bare scan, how it scales, and how long planning takes.

    benchmarks/archive.py cost SCENES --count 200    the bare model, the bare scan, 1 and 2 workers, a cluster
    benchmarks/archive.py plan --count 100000          planning an archive of so many scenes

Every method is a process of its own, with one thread per worker, on the same scenes; the ratios are of one
run. `cost` needs as many free cores as workers.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table
from shapely.geometry import box

from pithead.catalog import Catalog, Entry
from pithead.catalog.ledger import Ledger
from pithead.detector import Detector
from pithead.errors import SceneError
from pithead.imagery import open_scene
from pithead.program import run
from pithead.rescore import Archive, Options, plan
from pithead.scan import scan
from pithead.tiling import Grid, read_tile

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "weights" / "starter.onnx"
PROGRAM = ROOT / "inference" / "rescore.py"

app = App(name="archive.py")


@app.command
def cost(scenes: Path, *, count: int = 200, weights: Path = WEIGHTS, ray: bool = True) -> None:
    """Score COUNT scenes in every way, and say what each costs beside the scan alone.

    Parameters
    ----------
    scenes:
        A folder of GeoTIFFs, such as datasets/generate.py makes.
    ray:
        Also a cluster of two nodes with a core each, on this machine.
    """
    chosen = sorted(scenes.glob("*.tif"))[:count]
    if len(chosen) < count:
        raise SceneError(f"{scenes}: expected {count} scenes, got {len(chosen)}")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _call(PROGRAM, base / "1", "--add", *chosen)
        for name in ("2", "ray"):
            subprocess.run(["cp", "-r", base / "1", base / name], check=True)  # noqa: S603, S607
        seconds = {"scan alone": _call(__file__, "alone", str(weights), *chosen)}
        inner = {}
        for workers in ("1", "2"):
            name = f"{workers} worker{'s' * (workers != '1')}"
            seconds[name] = _call(PROGRAM, base / workers, "--weights", weights, "--workers", workers)
            inner[name] = json.loads((base / workers / "status.json").read_text())
        if ray:
            name = "Ray, two nodes of one core"
            seconds[name] = _on_a_cluster(base / "ray", weights)
            inner[name] = json.loads((base / "ray" / "status.json").read_text())
        model_s = _model_seconds(chosen[:: max(1, len(chosen) // 20)], weights) * _tiles(base, weights)
    _print(seconds, inner, model_s)


@app.command
def alone(weights: Path, *scenes: Path) -> None:
    """Scan scenes one after the other with one thread, and keep nothing."""
    detector = Detector.open(weights, threads=1)
    for path in scenes:
        with open_scene(path) as scene:
            scan(scene, detector)


@app.command(name="plan")
def plan_many(*, count: int = 100_000, weights: Path = WEIGHTS) -> None:
    """Plan an archive of COUNT scenes, of which half are scored, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        began = time.perf_counter()
        _make_many(base, count, weights)
        print(f"archive of {count:,} scenes made in {time.perf_counter() - began:.0f} s")
        for turn in ("first", "second"):
            call = [sys.executable, __file__, "planned", str(base / "archive"), str(weights)]
            done = subprocess.run(call, check=True, capture_output=True, text=True)  # noqa: S603
            print(f"{turn}: {done.stdout.strip()}")


@app.command
def planned(archive: Path, weights: Path) -> None:
    """Plan, and say how long it took and how much memory the process had."""
    detector = Detector.open(weights, threads=1)
    began = time.perf_counter()
    todo = plan(Archive.open(archive), detector.card, detector.sha256, Options())
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(todo.todo):,} to score, {todo.finished:,} scored before, {todo.tiles:,} tiles, "
        f"{todo.km2:,.0f} km2: {seconds:.2f} s, {peak:.0f} MB"
    )


def _make_many(base: Path, count: int, weights: Path) -> None:
    """An archive whose scenes are small files with the entries of large ones."""
    opened = Detector.open(weights, threads=1)
    archive = Archive.open(base / "archive", make=True)
    (base / "scenes").mkdir()
    ledger = Ledger(base / "archive", *_pages(archive.catalog))
    for i in range(count):
        ledger.put(_entry(base / "scenes" / f"scene{i:06d}.tif", i))
    ledger.commit()
    runs = base / "archive" / "store" / "runs" / opened.sha256 / Options().sha256
    runs.mkdir(parents=True)
    for i in range(0, count, 2):
        (runs / f"{_sha256(i)}.json").write_text("{}")
    (base / "archive" / "store" / "schema.json").write_text('{"schema": 2}\n')


def _pages(catalog: Catalog) -> tuple[object, tuple[Entry, ...]]:
    from pithead.catalog import books  # noqa: PLC0415 (only to fill an archive faster than by --add)

    return books.read_books(catalog.folder), ()


def _sha256(i: int) -> str:
    return f"{i:012x}".ljust(64, "0")


def _entry(path: Path, i: int) -> Entry:
    path.write_bytes(b"scene")
    stat = path.stat()
    west, south = 124 + i % 400 * 0.01, 38 + i // 400 * 0.01
    return Entry(
        id=f"{path.stem}-{_sha256(i)[:12]}",
        href=str(path),
        sha256=_sha256(i),
        bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        width=16_000,
        height=16_000,
        crs="EPSG:32652",
        gsd_m=(0.5, 0.5),
        footprint=box(west, south, west + 0.1, south + 0.1),
        acquired=datetime(2010, 1, 1, tzinfo=UTC) + timedelta(hours=i),
        sensor="WV02",
        off_nadir_deg=12.0,
        sun_azimuth_deg=150.0,
        sun_elevation_deg=40.0,
        km2=64.0,
        sites=(),
        changed=False,
        added=datetime(2026, 1, 1, tzinfo=UTC),
        transform=(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_400_000.0),
    )


def _call(program: str | Path, *words: object) -> float:
    """Run a program, and return how long the whole process took."""
    began = time.perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, str(program), *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return time.perf_counter() - began


def _on_a_cluster(archive: Path, weights: Path) -> float:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster  # noqa: PLC0415 (only if it is measured)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        return _call(PROGRAM, archive, "--weights", weights, "--ray", cluster.address)
    finally:
        cluster.shutdown()


def _model_seconds(scenes: list[Path], weights: Path) -> float:
    """How long the bare model takes for one tile, with one thread."""
    detector = Detector.open(weights, threads=1)
    times = []
    for path in scenes:
        with open_scene(path) as scene:
            grid = Grid.of(scene, detector.card.gsd_m, detector.card.tile_px, Options().overlap_px)
            tiles = [read_tile(scene, grid, window).data[None] for window in grid.windows()]
        for tile in tiles:
            began = time.perf_counter()
            detector.detect(tile)
            times.append(time.perf_counter() - began)
    return sum(times[1:]) / len(times[1:])


def _tiles(base: Path, weights: Path) -> int:
    sha256 = Detector.open(weights, threads=1).sha256
    return sum(record.tiles["run"] for record in Archive.open(base / "1").store.records(sha256))


def _print(seconds: dict[str, float], inner: dict[str, dict[str, float]], model_s: float) -> None:
    table = Table(
        "", "whole process", "beside scan alone", "without its start", "km²/s", "bare model", "speed"
    )
    table.add_row("the bare model", f"{model_s:.1f} s", f"{model_s / seconds['scan alone']:.2f}")
    one = inner["1 worker"]["seconds"]
    for name, took in seconds.items():
        told = inner.get(name)
        more = ["", "", "", ""]
        if told is not None:
            more = [
                f"{told['seconds']:.1f} s",
                f"{told['km2_per_second']:.3f}",
                f"{told['model_share']:.0%}",
                f"{one / told['seconds']:.2f}",
            ]
        table.add_row(name, f"{took:.1f} s", f"{took / seconds['scan alone']:.2f}", *more)
    Console(width=110).print(table)


if __name__ == "__main__":
    run(app)
