"""The long steps of measuring on real scenes: tiles, training, scans. Each is done once and then kept."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from plain_baseline import ScanJob, TrainJob
from real_data import PlainSize, Shot, chosen, dealt, labelled, plain_windows, write_plain, write_training

from pithead.card import Card
from pithead.classes import ClassList, load_classes
from pithead.detector import Detector
from pithead.errors import OptionError, PitheadError
from pithead.evaluation import (
    FLOOR,
    Given,
    Job,
    SceneResult,
    best_thresholds,
    keep_results,
    kept_results,
    measured,
    result_of,
)
from pithead.files import sha256_of, write_whole
from pithead.geometry import boxes_to_corners, fit_box
from pithead.labels import Label
from pithead.labels.jsonl import records, write_records
from pithead.manifest import read_entries
from pithead.recipe import MAY_CHANGE, Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
VAL_SHARE = 10  # one of so many places to learn from is for validation
EMPTY_FRACTION = 0.4
OVERLAP_PX = 128
THRESHOLD = 0.25
PLAIN_MODEL = "yolo26n-obb"
Merge = Literal["sahi", "sahi-tuned"]


class StepError(PitheadError, RuntimeError):
    """A program that was started for a step has failed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line says, the same for every program that measures on real scenes.

    Attributes:
        labels: Labels of the scenes in scene pixels, one JSON object a line.
        pretrained: yolo26n-obb.pt, where plain training starts; --starter goes back to the same file.
        starter: Where pithead's recipes start, and what is measured alone: weights exported by pithead.
        out: Folder of all that is made, and kept for the next time.
        gsd: Metres per pixel of scenes without georeference.
        folds: How many.
        hours: Length of each training.
        epochs: Passes over the tiles of each training instead.
        unmeasured: Classes of too little truth: here neither object nor background.
        all_heaps: Teach heaps of any material as coal_heap, every method alike, though only coal, spoil and
            unknown ones are measured: several times as many to learn from, for weights that tell none apart.
        device: Where trainings run: cpu or cuda.
        threads: CPU threads of a training.
        workers: Scenes that are measured side by side.
        classes: The class list.
    """

    labels: Path
    pretrained: Path
    starter: Path = ROOT / "weights" / "starter.onnx"
    out: Path = ROOT / "out" / "real"
    gsd: float | None = None
    folds: int = 3
    hours: float = 1 / 3
    epochs: int = 0
    unmeasured: tuple[str, ...] = ("mine_head",)
    all_heaps: bool = False
    device: str = "cpu"
    threads: int = 2
    workers: int = 2
    classes: Path = ROOT / "labeling" / "classes.toml"

    @property
    def budget(self) -> str:
        """Part of the names of runs: another length, or other lessons, are another run."""
        length = f"{self.epochs}ep" if self.epochs else f"{self.hours * 3600:.0f}s"
        return f"{length}-heaps" if self.all_heaps else length

    @property
    def length(self) -> str:
        """How long a training is, in words."""
        return f"{self.epochs} epochs" if self.epochs else f"{self.hours * 60:.0f} minutes on {self.device}"

    def command(self, program: str, *more: str) -> str:
        """The command that makes a page, with names for what is beside the project.

        Args:
            program: Its name.
            more: What only this program was told.
        """
        # seven digits: a length that was rounded more would be that of another run
        length = f"--epochs {self.epochs}" if self.epochs else f"--hours {self.hours:.7g}"
        told = [f"--gsd {self.gsd:g}"] * bool(self.gsd) + [f"--folds {self.folds}", length]
        told += ["--all-heaps"] * self.all_heaps + [f"--device {self.device}", *more]
        if self.starter != Told.of("starter"):
            told.append(f"--starter {named(self.starter)}")
        if self.unmeasured != Told.of("unmeasured"):
            told += [f"--unmeasured {name}" for name in self.unmeasured] or ["--empty-unmeasured"]
        return (
            f".venv/bin/python benchmarks/{program}.py SCENES --labels LABELS --pretrained yolo26n-obb.pt "
            f"{' '.join(told)} --report benchmarks/{program}.md"
        )

    @classmethod
    def of(cls, name: str) -> object:
        """What is taken where nothing is told."""
        return next(field.default for field in fields(cls) if field.name == name)


@dataclass(frozen=True, slots=True)
class Bench:
    """Labelled scenes, and the fold in which each is measured."""

    told: Told
    scenes: Path
    shots: tuple[Shot, ...]
    fold_of: Mapping[str, int]
    classes: ClassList
    lessons: Path
    """The labels to learn from."""

    @classmethod
    def open(cls, scenes: Path, told: Told) -> "Bench":
        """Read the labels and deal the places.

        Raises:
            OptionError: weights that are missing, classes that there are not, trainings of no length, or an
                --out with steps of other weights or labels.
            DatasetError, LabelError: scenes and labels do not fit together.
        """
        if min(told.hours, told.epochs) < 0 or not (told.hours or told.epochs):
            raise OptionError(f"expected --hours or --epochs over 0, got {told.hours} and {told.epochs}")
        known = load_classes(told.classes)
        if not set(told.unmeasured) <= set(known.names):
            raise OptionError(f"expected --unmeasured of {', '.join(known.names)}, got {told.unmeasured}")
        for path in (told.pretrained, told.starter):
            if not path.is_file():
                raise OptionError(f"expected weights at {path}, found none; check the path")
        shots = labelled(scenes, told.labels, known, told.gsd)
        _same_work(told)
        lessons = told.labels
        if told.all_heaps:
            lessons = told.out / "all_heaps.jsonl"
            write_records(lessons, map(of_any_material, (record for _, record in records(told.labels))))
        return cls(told, scenes, shots, dealt(shots, told.folds), known, lessons)

    def held_out(self, fold: int) -> tuple[Shot, ...]:
        """The scenes that are measured in a fold."""
        return tuple(shot for shot in self.shots if self.fold_of[shot.name] == fold)

    def taught(self, fold: int) -> tuple[Shot, ...]:
        """The scenes that may be learnt from in a fold, with the labels to learn."""
        shots = labelled(self.scenes, self.lessons, self.classes, self.told.gsd)
        return tuple(shot for shot in shots if self.fold_of[shot.name] != fold)

    def truth(self, shot: Shot) -> tuple[Label, ...]:
        """What a scene is measured by."""
        names = self.classes.names
        kept = (label for label in shot.labels if label.weight != "negative")
        return tuple(
            replace(label, weight="ignore") if names[label.class_id] in self.told.unmeasured else label
            for label in kept
        )


def _same_work(told: Told) -> None:
    """Refuse a folder whose finished steps are of other weights or labels: they would be taken for these."""
    files = {"labels": told.labels, "classes": told.classes, "starter": told.starter}
    files["pretrained"] = told.pretrained
    facts = {**{name: sha256_of(path) for name, path in files.items()}, "gsd": told.gsd}
    path = told.out / "bench.json"
    if path.is_file():
        before = json.loads(path.read_text("utf-8"))
        other = [name for name, fact in facts.items() if before.get(name) != fact]
        if other:
            raise OptionError(
                f"expected the same {', '.join(other)} as those that {told.out} was begun with, got others; "
                "choose another --out"
            )
    write_whole(path, json.dumps(facts, indent=1) + "\n")


def named(path: Path) -> str:
    """A file as a command on a page names it: from the project's folder on, or by its name alone."""
    full = path.resolve()
    return str(full.relative_to(ROOT)) if full.is_relative_to(ROOT) else full.name


def of_any_material(record: Mapping[str, object]) -> dict[str, object]:
    """A label that no longer says of what a heap is, so that it counts as one to be taught."""
    return {key: value for key, value in record.items() if key != "material"}


def split(taught: Sequence[Shot]) -> tuple[tuple[Shot, ...], tuple[Shot, ...]]:
    """The scenes to train and those to validate on: a tenth of the places, at least one."""
    count = min(VAL_SHARE, len({shot.place for shot in taught}))
    part = dealt(taught, count)
    objects = [0] * count
    for shot in taught:
        objects[part[shot.name]] += sum(label.weight == "target" for label in shot.labels)
    # the part that holds least, but something: objects are for learning
    least = min(range(count), key=lambda f: (objects[f] == 0, objects[f]))
    return (
        tuple(shot for shot in taught if part[shot.name] != least),
        tuple(shot for shot in taught if part[shot.name] == least),
    )


# --- pithead -------------------------------------------------------------------------------------------


def tiles_of(bench: Bench, recipe: Recipe) -> Path:
    """The folder of the tiles of all scenes, of the recipe's size and resolution."""
    kind = "-heaps" * bench.told.all_heaps
    return bench.told.out / f"tiles-{recipe.tile_px}-{recipe.gsd_m:g}{kind}"


def dataset_of(bench: Bench, recipe: Recipe) -> Path:
    """Cut all scenes into tiles, unless they are cut, and return their folder."""
    out = tiles_of(bench, recipe)
    if not (out / "manifest.jsonl").is_file():
        told = ("--scenes-gsd", bench.told.gsd) if bench.told.gsd else ()
        # max-ignored 1: a tile with one heap of coal among ten of gravel is worth more than it costs
        program(
            beside(out, ".log"), sys.executable, ROOT / "datasets" / "cut.py", bench.scenes,
            "--labels", bench.lessons, "--out", out, "--gsd", recipe.gsd_m, "--tile", recipe.tile_px,
            "--overlap", OVERLAP_PX, "--empty-fraction", EMPTY_FRACTION, "--max-ignored", 1,
            "--workers", bench.told.workers, *told,
        )  # fmt: skip
    return out


def fine_tuned(bench: Bench, recipe: Recipe, name: str, taught: Sequence[Shot], start: Path) -> Path:
    """Weights that learnt by the recipe from some scenes, from `start` on: the last ones, as ONNX.

    Raises:
        OptionError: what is kept is of another recipe of that name.
    """
    told, name = bench.told, f"{name}-{bench.told.budget}"
    folder = bench.told.out / "runs" / name
    weights = bench.told.out / "weights" / f"{name}.onnx"
    path = beside(folder, ".toml")
    data = tiles_of(bench, recipe) / "folds" / name
    plan = replace(
        recipe, name=name, dataset=str(data), weights=str(start.resolve()), epochs=told.epochs,
        epoch_tiles=0 if told.epochs else recipe.epoch_tiles,
        hours=0.0 if told.epochs else told.hours, device=told.device, threads=told.threads,
    )  # fmt: skip
    if path.is_file() and not same_lesson(read_recipe(path), plan):
        raise OptionError(
            f"expected {folder} to be of the recipe {recipe.name} as it is now, it was begun with another; "
            "give the recipe another name, or choose another --out"
        )
    if weights.is_file() and listed(weights):
        return weights
    train, val = split(taught)
    write_training(
        dataset_of(bench, recipe), name, [s.name for s in train], [s.name for s in val], bench.classes
    )
    write_whole(path, plan.to_toml())
    if not finished(folder, plan):
        program(
            beside(folder, ".log"), sys.executable, ROOT / "training" / "train.py", path, "--out",
            folder.parent, "--resume",
        )  # fmt: skip
        write_whole(folder / "trained", "")
    weights.parent.mkdir(parents=True, exist_ok=True)
    program(
        beside(weights, ".log"), sys.executable, ROOT / "training" / "export.py", folder, "--out",
        weights, "--checkpoint", "last", "--threshold", THRESHOLD,
    )  # fmt: skip
    return weights


def same_lesson(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes teach the same, wherever and however fast."""
    return one.sha256(leave_out=MAY_CHANGE) == other.sha256(leave_out=MAY_CHANGE)


def finished(folder: Path, plan: Recipe) -> bool:
    """Whether a training has come to its end.

    One that was killed while it drew its last curves has, too, and cannot be gone on with.
    """
    if (folder / "trained").is_file():
        return True
    if not (folder / "run.json").is_file():
        return False
    facts = json.loads((folder / "run.json").read_text("utf-8"))
    if plan.epochs:
        return bool(facts["epochs"] >= plan.epochs)
    return bool(facts["seconds"] >= plan.hours * 3600)


def listed(weights: Path) -> bool:
    """Whether weights stand in the list beside them: an export that was killed before that is not whole."""
    return any(entry["file"] == weights.name for entry in (read_entries(weights.parent) or {}).values())


def scanned(bench: Bench, weights: Path, shots: Sequence[Shot], keep: Path) -> list[SceneResult]:
    """Scenes measured through the scan path of pithead."""
    detector = Detector.open(weights)
    threads = 1 if bench.told.workers > 1 else bench.told.threads
    jobs = [
        Job(shot.path, bench.truth(shot), shot.facts, weights, detector.sha256, bench.told.gsd, threads)
        for shot in shots
    ]
    return measured(jobs, bench.told.workers, keep=keep)


# --- ultralytics and SAHI ------------------------------------------------------------------------------


def plain_trained(bench: Bench, recipe: Recipe, name: str, taught: Sequence[Shot]) -> Path:
    """A checkpoint trained by ultralytics' defaults on plain tiles of the same scenes, from DOTA."""
    told, name = bench.told, f"{name}-{bench.told.budget}"
    out = told.out / "runs" / name
    if (out / "plain.json").is_file():
        return out / "last.pt"
    data = out / "tiles" / "data.yaml"
    if not data.is_file():
        size = PlainSize(told.gsd, recipe.gsd_m, recipe.tile_px, OVERLAP_PX)
        each = [plain_windows(shot, size) for shot in split(taught)[0]]
        kept = chosen([tile for windows in each for tile in windows], EMPTY_FRACTION)
        write_plain(data.parent, kept, bench.classes, gsd_m=told.gsd)
    job = TrainJob(
        data=str(data.resolve()), model=f"{PLAIN_MODEL}.yaml", weights=str(told.pretrained.resolve()),
        out=str(out.resolve()), tile_px=recipe.tile_px, hours=told.hours, epochs=told.epochs, batch=16,
        seed=0, device=told.device, threads=told.threads,
    )  # fmt: skip
    _baseline("train", asdict(job), out / "train.json")
    return out / "last.pt"


def plain_scanned(
    bench: Bench, weights: Path, merge: Merge, shots: Sequence[Shot], card: Card
) -> list[SceneResult]:
    """Scenes measured with what SAHI finds in them."""
    told = bench.told
    out = told.out / "sahi" / f"{merge}-{sha256_of(weights)[:12]}"
    out.mkdir(parents=True, exist_ok=True)
    if not all((out / f"{shot.name}.npz").is_file() for shot in shots):
        job = ScanJob(
            weights=str(weights.resolve()), scenes=tuple(str(shot.path.resolve()) for shot in shots),
            out=str(out.resolve()), tile_px=card.tile_px, overlap=0.2, score=FLOOR,
            tuned=merge == "sahi-tuned", device=told.device, threads=told.threads,
        )  # fmt: skip
        _baseline("scan", asdict(job), out / "scan.json")
    found = []
    for shot in shots:
        given = read_given(out / f"{shot.name}.npz")
        found.append(result_of(shot.path, bench.truth(shot), given, card, gsd_m=told.gsd, facts=shot.facts))
    return found


def read_given(path: Path) -> Given:
    """What `plain_baseline.py scan` found: the smallest rectangle round each outline."""
    with np.load(path) as table:
        ends = np.cumsum(table["counts"])[:-1]
        outlines = np.split(table["points"], ends) if len(table["counts"]) else []
        boxes = np.array([fit_box(outline) for outline in outlines], np.float64).reshape(-1, 5)
        return Given(boxes_to_corners(boxes), table["scores"], table["classes"])


def _baseline(verb: str, job: Mapping[str, object], path: Path) -> None:
    write_whole(path, json.dumps(job, indent=1) + "\n")
    if not BENCH_PYTHON.is_file():
        raise StepError(
            f"expected an environment with SAHI at {BENCH_PYTHON.parents[1]}; make .venv-bench/.ready"
        )
    program(beside(path, ".log"), BENCH_PYTHON, ROOT / "benchmarks" / "plain_baseline.py", verb, path)


# --- measured ------------------------------------------------------------------------------------------


def across_folds(bench: Bench, results: Sequence[SceneResult], card: Card, keep: Path) -> list[SceneResult]:
    """The same results with areas, lines and counts at thresholds that the other folds give.

    A threshold that is the best on the scenes it is measured on flatters; one that is the same for all
    favours a method by chance. Average precision needs none.
    """
    found = []
    for fold in range(bench.told.folds):
        others = [r for r in results if bench.fold_of[r.scene] != fold]
        best = best_thresholds(others, card)
        mine = replace(card, classes=tuple(replace(c, threshold=best[c.name]) for c in card.classes))
        shots = {shot.name: shot for shot in bench.held_out(fold)}
        for result in (r for r in results if r.scene in shots):
            shot, every = shots[result.scene], result.every
            given = Given(every.corners_scene, every.scores, every.classes)
            found.append(
                result_of(shot.path, bench.truth(shot), given, mine, gsd_m=bench.told.gsd, facts=shot.facts)
            )
    keep_results(keep, found, card)
    return kept_results(keep)[0]


def beside(path: Path, suffix: str) -> Path:
    """A file beside what it belongs to; names may have points in them."""
    return path.with_name(path.name + suffix)


def program(log: Path, *command: object) -> None:
    """Run a program of this checkout; what it prints goes to the end of a file.

    Raises:
        StepError: it failed; the message has its last line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        done = subprocess.run(list(map(str, command)), stdout=out, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if done.returncode:
        lines = log.read_text("utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "nothing")
        name = Path(str(command[1])).name
        raise StepError(f"expected {name} to end well, it said: {last.strip()}; see {log} and run this again")
