"""What a scan costs and finds, beside the bare network and other tools with the same network and scene.

Peers: `bare`, the ONNX Runtime session alone on as many tiles as pithead runs; `pithead`, its scan with
default options; `ultralytics`, a loop of predict over windows read with rasterio and rotated NMS over the
scene; `sahi`, get_sliced_prediction; `geodeep`, geodeep.detect. Each runs in a process of its own, round by
round in turn, the first one changing from round to round. The same for all:

- the network: peers get the part of the weights' graph that ultralytics' exporter would write
  (peer_graphs.py);
- the scene, its tiles of the same ground with the same overlap, the lowest score, the threads of ONNX
  Runtime;
- one run on a black tile before the scan, as part of the start (GeoDeep offers no way to do that).

What is left as each has it: ONNX Runtime's other options (threads that spin while they wait, which pithead
turns off; --no-peers-spin does it for all), batches of one tile, NMS by IoS 0.5 (SAHI) and IoU 0.5 (the loop,
GeoDeep). SAHI's additional pass over the whole scene is off: it would cost a tile and find nothing at this
scale.

Of each peer a run comes first that is not counted, and one during which others kept the cores busy is
repeated, and left out if that did not help. "whole" is the process from its start to its end; "scan" is from
the scene's opening to the last detection, without imports, loading, and the black tile. CPU seconds are user
and system time, by wait4. Memory is VmHWM, the most resident memory of the process. AP50 is taken from all
detections over --score, with the labels of the scene as pithead/evaluation.py has them; strips are left out
of it, since pithead joins their pieces and others do not. For "upright" both detections and truth are
replaced by the upright boxes round them: GeoDeep has no others.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from bench_scenes import own_scene, repeated
from cyclopts import App, Parameter
from peer_graphs import set_overlap, write_constant, write_geodeep, write_ultralytics
from peers import PEERS, Job
from rich.console import Console
from rich.table import Table

from pithead.card import Card
from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.errors import OptionError, PitheadError, SceneError
from pithead.geometry import boxes_to_corners, corners_to_boxes
from pithead.imagery import open_scene
from pithead.labels import GridLabels, in_grid, read_jsonl
from pithead.metrics import ap_by_class, match_scene
from pithead.program import run
from pithead.tiling import Grid

app = App(name="scan_peers.py", help_format="plaintext")

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "weights" / "starter.onnx"
CACHE = ROOT / "out" / "bench"
NEEDS = {"ultralytics": "ultralytics", "sahi": "sahi", "geodeep": "geodeep"}
# Peers neither report home nor fetch anything, and see no GPU.
ENVIRONMENT = {
    "YOLO_OFFLINE": "True", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "0", "DO_NOT_TRACK": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip
OTHERS = 0.1  # of a core: a run during which others used more is repeated once, then left out if it can be
PAUSE_S = 5.0
COSTS = ("cpu_s", "scan_cpu_s", "wall_s", "scan_wall_s", "peak_mb", "start_mb")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of the scene in pixels of the grid."""

    grid: Grid
    labels: GridLabels
    card: Card


@dataclass(frozen=True, slots=True)
class Found:
    """What one peer found in a scene."""

    corners: Floats
    scores: Floats
    classes: npt.NDArray[np.int64]


class PeerError(PitheadError):
    """A peer ended with an error."""


@app.default
def compare(  # noqa: PLR0913 (options of a command line)
    *,
    scene: Path | None = None,
    labels: Path | None = None,
    weights: Path = WEIGHTS,
    rounds: int = 3,
    size: int = 4096,
    peers: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = tuple(PEERS),
    threads: int | None = None,
    overlap: int = 128,
    score: float = 0.25,
    peers_spin: bool = True,
    repeat: bool = True,
    cache: Path = CACHE,
    json_out: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Scan one scene with every peer, round by round, and print what each costs and finds.

    Parameters
    ----------
    scene
        An 8-bit RGB image with a georeference; without it one is generated, with labels.
    labels
        JSON lines of the scene's labels, for AP50.
    weights
        An ONNX file of training/export.py.
    rounds
        How often each peer runs.
    size
        Side of the generated scene in px.
    peers
        Which ones, of bare, pithead, ultralytics, sahi, geodeep.
    threads
        Threads of ONNX Runtime; without it as many as there are cores.
    overlap
        Of tiles, in px of the model.
    score
        The lowest score of a detection.
    peers_spin
        Whether threads of ultralytics, SAHI and GeoDeep spin while they wait, as they do by themselves.
    repeat
        Whether a run during which others kept the cores busy is repeated.
    cache
        Where the scene and the peers' graphs are kept.
    json_out
        A file for every number of every round.
    """
    _check(peers, rounds)
    cache.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    if scene is None:
        scene, labels = own_scene(cache, size, cores)
    job, truth = _prepared(scene, labels, weights, cache, overlap)
    job.score, job.threads, job.peers_spin = score, threads or cores, peers_spin
    runs = _rounds(job, peers, rounds, cache, repeat=repeat)
    quality = {name: _quality(cache / f"{name}.npz", truth) for name in peers if name != "bare"}
    console = Console(width=130)
    disturbed = sum(r["others"] > OTHERS for each in runs.values() for r in each)
    console.print(
        f"{scene.name}: {job.tiles} tiles, {job.threads} threads, {rounds} rounds, score from {score}; "
        f"{disturbed} runs disturbed by others"
    )
    console.print(_cost_table(runs), _ratio_table(runs), _quality_table(runs, quality))
    if json_out is not None:
        facts = {"job": asdict(job), "runs": runs, "quality": quality}
        json_out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


@app.command
def memory(
    *, size: int = 8192, weights: Path = WEIGHTS, constant: bool = False, tile_limit: int | None = None,
    threads: int | None = None, overlap: int = 128, cache: Path = CACHE,
) -> None:  # fmt: skip
    """Print the most resident memory of a scan of a large JPEG COG, a generated scene over and over.

    Parameters
    ----------
    size
        Side of the scene in px.
    weights
        An ONNX file of training/export.py.
    constant
        Instead of the network, a graph that gives the same 20 boxes in every tile: the data path alone.
    tile_limit
        Stop after so many tiles; nothing is merged then.
    threads
        Threads of ONNX Runtime; without it as many as there are cores.
    overlap
        Of tiles, in px of the model.
    cache
        Where the scenes are kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    tile, _ = own_scene(cache, min(size, 4096), cores)
    scene = repeated(tile, size, cache / f"repeated_{size}.tif")
    if constant:
        write_constant(weights, cache / "constant.onnx")
        weights = cache / "constant.onnx"
    job, _ = _prepared(scene, None, weights, cache, overlap, others=False)
    job.threads, job.limit = threads or cores, tile_limit
    facts = _run("pithead", job, cache)
    count = len(np.load(cache / "pithead.npz")["scores"])
    print(
        f"{size} × {size} px, {'constant rows' if constant else weights.name}, {facts['tiles']} tiles, "
        f"{count} detections: {facts['start_mb']:.0f} MB before the scan, {facts['peak_mb']:.0f} MB at most, "
        f"{facts['scan_wall_s']:.0f} s"
    )


@app.command
def speed(
    *, size: int = 8192, weights: Path = WEIGHTS, device: str = "auto", readers: int = 1,
    threads: int | None = None, overlap: int = 128, rounds: int = 3, cache: Path = CACHE,
) -> None:  # fmt: skip
    """Print how fast a large JPEG COG is scanned, on the CPU or a GPU, and the share of the bare rate.

    Parameters
    ----------
    size
        Side of the scene in px.
    weights
        An ONNX file of training/export.py, or of training/half.py.
    device
        auto, cpu, cuda or tensorrt.
    readers
        Threads that read tiles.
    threads
        Threads of ONNX Runtime; without it as many as there are cores.
    overlap
        Of tiles, in px of the model.
    rounds
        How often each runs, in turn, after one that is not counted.
    cache
        Where the scenes are kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    tile, _ = own_scene(cache, min(size, 4096), cores)
    scene = repeated(tile, size, cache / f"repeated_{size}.tif")
    job, _ = _prepared(scene, None, weights, cache, overlap, others=False)
    job.threads, job.device, job.readers = threads or cores, device, readers
    runs = _rounds(job, ("bare", "pithead"), rounds, cache, repeat=True)
    title = f"{size} × {size} px, {device}, {readers} readers: least–median–most"
    table = Table("", "bare", "pithead", title=title)
    scene_mpx = size**2 / 1e6
    rates = {
        "Mpx of tiles a second": (job.tiles * job.tile_px**2 / 1e6, 1),
        "Mpx of the scene a second": (scene_mpx, 1),
        "km² a second at 0.5 m": (scene_mpx / 4, 2),
    }
    for what, (amount, digits) in rates.items():
        cells = [_spread([amount / run["scan_wall_s"] for run in each], digits) for each in runs.values()]
        table.add_row(what, *cells)
    shares = [b["scan_wall_s"] / p["scan_wall_s"] for b, p in zip(*runs.values(), strict=True)]
    table.add_row("share of the bare rate", "1", _spread(shares, 3))
    Console(width=110).print(table)


def _check(peers: Sequence[str], rounds: int) -> None:
    if strange := sorted(set(peers) - set(PEERS)):
        raise OptionError(f"expected peers of {', '.join(PEERS)}; got {', '.join(strange)}")
    if "pithead" not in peers or rounds < 1:
        raise OptionError("expected pithead among the peers and at least 1 round")
    if missing := [n for n in peers if n in NEEDS and importlib.util.find_spec(NEEDS[n]) is None]:
        raise OptionError(f"expected {', '.join(missing)} to be installed: run this by make bench")


def _prepared(
    scene: Path, labels: Path | None, weights: Path, cache: Path, overlap: int, *, others: bool = True
) -> tuple[Job, Truth | None]:
    """The graphs of the peers, the facts of the scene, and its labels."""
    card = Detector.open(weights).card
    with open_scene(scene) as opened:
        if others and (opened.dtype != "uint8" or opened.bands != (1, 2, 3)):
            raise SceneError(f"{scene}: expected 8-bit RGB, which every peer reads; got another scene")
        grid = Grid.of(opened, card.gsd_m, card.tile_px, overlap)
    ultralytics, geodeep = cache / "ultralytics.onnx", cache / "geodeep.onnx"
    if others:
        write_ultralytics(weights, ultralytics)
        write_geodeep(weights, geodeep)
        set_overlap(geodeep, 100 * overlap / card.tile_px)
    job = Job(
        scene=str(scene), weights=str(weights), ultralytics=str(ultralytics), geodeep=str(geodeep),
        out=str(cache / "result"), config_dir=str(cache / "config"), tile_px=card.tile_px,
        window_px=round(card.tile_px / grid.scale_x), overlap_px=overlap, score=0.25, threads=1,
        tiles=len(grid), peers_spin=True,
    )  # fmt: skip
    return job, None if labels is None else _truth(labels, scene.stem, grid, card)


def _truth(labels: Path, image: str, grid: Grid, card: Card) -> Truth:
    known = read_jsonl(labels, load_classes(ROOT / "labeling" / "classes.toml")).get(image, ())
    width_px = card.span_width_m / card.gsd_m
    rows = in_grid(known, grid.to_grid, cell_px=card.cell_px, span_width_px=width_px, strip_pad_px=None)
    return Truth(grid, rows, card)


def _rounds(
    job: Job, peers: Sequence[str], rounds: int, cache: Path, *, repeat: bool
) -> dict[str, list[dict[str, float]]]:
    """Every peer once a round, after a run that is not counted: files are in memory, modules compiled."""
    job.tiles = int(_run("pithead", job, cache)["tiles"])
    for name in peers:
        _run(name, job, cache)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    for i in range(rounds):
        turn = i % len(peers)
        for name in [*peers[turn:], *peers[:turn]]:
            runs[name].append(_alone(name, job, cache, repeat=repeat))
            cost = runs[name][-1]
            words = f"{cost['cpu_s']:.2f} CPU s, {cost['wall_s']:.2f} s, others {cost['others']:.0%}"
            print(f"round {i + 1}, {name}: {words}", file=sys.stderr)
    return runs


def _alone(name: str, job: Job, cache: Path, *, repeat: bool) -> dict[str, float]:
    """Run one peer, once more if others had the cores: threads that spin cost more then."""
    facts = _run(name, job, cache)
    if repeat and facts["others"] > OTHERS:
        time.sleep(PAUSE_S)
        facts = _run(name, job, cache)
    return facts


def _calm(*together: list[dict[str, float]]) -> list[tuple[dict[str, float], ...]]:
    """The rounds in which nobody else kept the cores busy while these peers ran; all, if there is none."""
    every = list(zip(*together, strict=True))
    return [runs for runs in every if all(r["others"] <= OTHERS for r in runs)] or every


def _busy_s() -> float:
    """CPU time of everything on this machine so far, 0 where the kernel does not say."""
    try:
        ticks = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, soft, steal = map(int, ticks[:8])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _run(name: str, job: Job, cache: Path) -> dict[str, float]:
    """Run one peer and wait for it; its costs."""
    order, log, out = (cache / f"{name}.{suffix}" for suffix in ("job", "log", "json"))
    order.write_text(json.dumps(asdict(job) | {"out": str(out)}), encoding="utf-8")
    out.unlink(missing_ok=True)
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    if job.device != "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str((cache / "pyc").resolve())}
    command = [sys.executable, str(Path(__file__).with_name("peers.py")), name, str(order)]
    with log.open("wb") as file:
        began, busy = time.perf_counter(), _busy_s()
        child = subprocess.Popen(command, env=environment, stdout=file, stderr=file)  # noqa: S603 (our own)
        _, status, usage = os.wait4(child.pid, 0)
        wall, busy = time.perf_counter() - began, _busy_s() - busy
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or not out.exists():
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise PeerError(f"expected {name} to end well, got status {child.returncode}: {last}; see {log}")
    facts: dict[str, float] = json.loads(out.read_text(encoding="utf-8"))
    cpu = usage.ru_utime + usage.ru_stime
    others = max(0.0, busy - cpu) / wall
    return {"cpu_s": cpu, "wall_s": wall, "others": others, **facts}


def _quality(path: Path, truth: Truth | None) -> dict[str, Any]:
    """How many detections, and AP50 by class: oriented and upright."""
    arrays = np.load(path)
    found = Found(arrays["corners"], arrays["scores"], arrays["classes"])
    facts: dict[str, Any] = {"detections": len(found.scores)}
    if truth is None:
        return facts
    names = [known.name for known in truth.card.classes]
    for kind, shape in (("oriented", corners_to_boxes), ("upright", _upright)):
        aps = _ap(found, truth, shape)
        facts[kind] = dict(zip(names, aps, strict=True))
        whole = [ap for i, ap in enumerate(aps) if i not in truth.card.strip_classes and ap is not None]
        facts[f"ap50_{kind}"] = statistics.fmean(whole) if whole else None
    return facts


def _ap(found: Found, truth: Truth, shape: Callable[[Floats], Floats]) -> list[float | None]:
    labels = truth.labels
    boxes = shape(boxes_to_corners(labels.boxes))
    matches = match_scene(
        shape(truth.grid.to_grid(found.corners)),
        found.scores,
        found.classes,
        boxes[~labels.ignore],
        labels.classes[~labels.ignore],
        boxes[labels.ignore],
        labels.classes[labels.ignore],
    )
    return [result.ap for result in ap_by_class([matches], [0.0] * len(truth.card.classes))]


def _upright(corners: Floats) -> Floats:
    """Corners (N, 4, 2) to the upright boxes (N, 5) round them."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.column_stack([(low + high) / 2, high - low, np.zeros(len(corners))])


def _spread(values: Sequence[float], digits: int) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{min(values):.{digits}f}–{middle}–{max(values):.{digits}f}"


def _cost_table(runs: dict[str, list[dict[str, float]]]) -> Table:
    heads = ("CPU s, whole", "CPU s, scan", "wall s, whole", "wall s, scan", "peak MB", "MB at start")
    table = Table("peer", "tiles", "rounds", *heads, title="cost: least–median–most of the rounds")
    for name, rounds in runs.items():
        digits = [0 if key.endswith("_mb") else 2 for key in COSTS]
        calm = [r for (r,) in _calm(rounds)]
        cells = [_spread([r[key] for r in calm], d) for key, d in zip(COSTS, digits, strict=True)]
        table.add_row(name, f"{rounds[-1]['tiles']:.0f}", str(len(calm)), *cells)
    return table


def _ratio_table(runs: dict[str, list[dict[str, float]]]) -> Table:
    """CPU time over that of the bare session and of SAHI in the same round."""
    table = Table("peer", title="ratios of CPU time within a round: least–median–most")
    columns = [(base, key) for base in ("bare", "sahi") if base in runs for key in ("cpu_s", "scan_cpu_s")]
    for base, key in columns:
        table.add_column(f"to {base}, {'whole' if key == 'cpu_s' else 'scan'}")
    for name, rounds in runs.items():
        cells = [_spread([r[key] / b[key] for r, b in _calm(rounds, runs[base])], 3) for base, key in columns]
        table.add_row(name, *cells)
    return table


def _quality_table(runs: dict[str, list[dict[str, float]]], quality: dict[str, dict[str, Any]]) -> Table:
    names = list(next(iter(quality.values())).get("oriented", {}))
    table = Table("peer", "detections", "AP50", "AP50 upright", *names, title="found; AP50 without strips")
    for name in (n for n in runs if n in quality):
        facts = quality[name]
        turned = name != "geodeep"
        by_class = facts.get("oriented" if turned else "upright", {})
        overall = _number(facts.get("ap50_oriented") if turned else None)
        cells = [_number(by_class.get(each)) + ("" if turned else " upright") for each in names]
        table.add_row(name, str(facts["detections"]), overall, _number(facts.get("ap50_upright")), *cells)
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    run(app)
