"""Many labelled scenes measured, by several processes, and kept so that a run that was killed goes on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pithead.card import Card
from pithead.classes import ClassList, load_classes
from pithead.detector import Detector
from pithead.errors import ClassesError, DatasetError, OptionError
from pithead.evaluation.result import SceneResult, from_record, to_record
from pithead.evaluation.scene import evaluate_scene
from pithead.files import sha256_of, write_whole
from pithead.labels import Label, SceneFacts
from pithead.labels.sheet import Sheet, no_sizes, read_lines
from pithead.sidefiles import read_sidefiles

SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".vrt")
PARTS, INDEX = "scenes", "measured.json"
VERSION = 2
"""Raise it when the same scene, labels and weights give another result: kept ones are measured anew."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One scene for one worker."""

    scene: Path
    labels: tuple[Label, ...]
    facts: SceneFacts
    weights: Path
    sha256: str
    """Of the weights."""
    gsd_m: float | None
    threads: int | None
    keep: Path | None = None
    """The folder in which the result is kept."""

    @property
    def key(self) -> str:
        """What decides the result: two jobs of one key have the same."""
        labels = [(x.class_id, x.geometry, x.points.tolist(), x.closed, x.weight) for x in self.labels]
        told = (VERSION, self.sha256, sha256_of(self.scene), self.gsd_m, labels)
        facts = [self.facts.site, self.facts.date, self.facts.sensor]
        land = [self.facts.biome, self.facts.ground]
        facts += land if any(land) else []  # results that were kept before there was any such fact stay good
        facts += [self.facts.off_nadir_deg] if self.facts.off_nadir_deg is not None else []
        return hashlib.sha256(json.dumps([told, facts]).encode()).hexdigest()


def jobs_of(
    weights: Path, scenes: Path, labels: Path, classes: Path, gsd: float | None, workers: int
) -> list[Job]:
    """A job for each labelled scene of the folder, in the order of their names.

    Date, sensor and angle that the labels do not tell are those of the vendor's file beside a scene.

    Raises:
        CatalogError: The vendor's file beside a scene is malformed.
        ClassesError: The weights know other classes than the class list.
        DatasetError: A labelled scene is missing, or was only partly looked at.
        OptionError: Nobody works.
    """
    if workers < 1:
        raise OptionError(f"expected at least 1 worker, got {workers}")
    detector = Detector.open(weights)
    known = load_classes(classes)
    if known.names != tuple(c.name for c in detector.card.classes):
        raise ClassesError(
            f"expected weights of the classes {', '.join(known.names)}, got "
            f"{', '.join(c.name for c in detector.card.classes)}; give the class list they were trained with"
        )
    threads = 1 if workers > 1 else None
    sheets = whole_scenes(labels, known)
    return [
        Job(path, _taught(sheet), _with_sidefile(sheet.facts, path), weights, detector.sha256, gsd, threads)
        for path, sheet in labelled_scenes(scenes, sheets, labels)
    ]


def whole_scenes(labels: Path, known: ClassList) -> dict[str, Sheet]:
    """The sheets by image, of scenes that somebody has looked at whole.

    Raises:
        DatasetError: Of one only a part was looked at.
        LabelError: The file cannot be read, or a line breaks the format.
    """
    sheets = read_lines(labels, known, no_sizes)
    partly = next((sheet.image for sheet in sheets if sheet.seen), None)
    if partly is not None:
        raise DatasetError(
            f"expected scenes that somebody has looked at whole; of {partly} in {labels} only a part was: "
            "what is found elsewhere in it would count as false. Measure on other scenes"
        )
    return {sheet.image: sheet for sheet in sheets}


def labelled_scenes(scenes: Path, sheets: dict[str, Sheet], labels: Path) -> list[tuple[Path, Sheet]]:
    """The files of a folder that have a sheet, by name or name without suffix, in the order of their names.

    Raises:
        DatasetError: None has, a sheet has no file, or two have one name.
    """
    found = sorted((p for p in scenes.glob("*") if p.suffix.lower() in SUFFIXES), key=lambda p: p.name)
    names = {path: path.name if path.name in sheets else path.stem for path in found}
    pairs = [(path, sheets[name]) for path, name in names.items() if name in sheets]
    stems = [path.stem for path, _ in pairs]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double is not None:
        raise DatasetError(
            f"expected scenes of different names in {scenes}, got {double} twice: it would count twice; move "
            "one out"
        )
    missing = sorted(sheets.keys() - set(names.values()))
    if missing and pairs:
        shown = ", ".join(missing[:3])
        raise DatasetError(f"expected a scene for each labelled image in {scenes}, got none for {shown}")
    if not pairs:
        raise DatasetError(f"expected scenes in {scenes} that {labels} names, got none; check both paths")
    return pairs


def _with_sidefile(facts: SceneFacts, scene: Path) -> SceneFacts:
    """What labels tell of a scene, and what only the vendor's file beside it tells."""
    beside = read_sidefiles(scene)
    angle = None if beside.off_nadir_deg is None else f"{beside.off_nadir_deg:g}"
    date = None if beside.acquired is None else beside.acquired.date().isoformat()
    return replace(
        facts,
        date=facts.date or date,
        sensor=facts.sensor or beside.sensor,
        off_nadir_deg=facts.off_nadir_deg or angle,
    )


def _taught(sheet: Sheet) -> tuple[Label, ...]:
    return tuple(label for label in sheet.labels if label.weight != "negative")


def measure(job: Job) -> SceneResult:
    """Scan and compare one scene, unless its result is kept."""
    if job.keep is None:
        return _measured(job)
    part, key = job.keep / f"{job.scene.stem}.json", job.key
    kept = _read(part, key)
    if kept is None:
        kept = _measured(job)
        write_whole(part, json.dumps({"key": key, "result": to_record(kept)}) + "\n")
    return kept


def _measured(job: Job) -> SceneResult:
    detector = Detector.open(job.weights, threads=job.threads)
    return evaluate_scene(job.scene, job.labels, detector, gsd_m=job.gsd_m, facts=job.facts)


def measured(
    jobs: Sequence[Job], workers: int, *, keep: Path | None = None, progress: Progress | None = None
) -> list[SceneResult]:
    """Every job done, in order.

    Args:
        jobs: What `jobs_of` gives.
        workers: How many scenes are measured at the same time.
        keep: A folder: each result is written to it as soon as it is there, and one that is there for the
            same weights, scene and labels is not measured again.
        progress: Called with the number of scenes done and of all.
    """
    if keep is not None and jobs:
        hashes = {job.scene.stem: sha256_of(job.scene) for job in jobs}
        _write_index(keep, Detector.open(jobs[0].weights).card, hashes)
    tasks = [replace(job, keep=None if keep is None else keep / PARTS) for job in jobs]
    if workers == 1:
        return _counted(map(measure, tasks), len(tasks), progress)
    with ProcessPoolExecutor(workers) as pool:
        return _counted(pool.map(measure, tasks), len(tasks), progress)


def _counted(results: Iterable[SceneResult], total: int, progress: Progress | None) -> list[SceneResult]:
    done: list[SceneResult] = []
    for result in results:
        done.append(result)
        if progress is not None:
            progress(len(done), total)
    return done


def keep_results(folder: Path, results: Sequence[SceneResult], card: Card) -> None:
    """Write results of any origin as `measured` keeps them, for `kept_results`."""
    for result in results:
        record = {"key": None, "result": to_record(result)}
        write_whole(folder / PARTS / f"{result.scene}.json", json.dumps(record) + "\n")
    _write_index(folder, card, {result.scene: None for result in results})


def kept_scenes(folder: Path) -> dict[str, str | None]:
    """The sha256 of each scene whose result a folder holds, by its name; None where nobody noted it.

    Raises:
        DatasetError: It holds no results.
    """
    return _read_index(folder)[1]


def kept_results(folder: Path) -> tuple[list[SceneResult], Card]:
    """The results that a folder holds, in the order of their names, and the card they were measured by.

    Raises:
        DatasetError: It holds none, or one that cannot be read.
    """
    card, scenes = _read_index(folder)
    names = sorted(scenes)
    found = {name: _read(folder / PARTS / f"{name}.json", None) for name in names}
    missing = [name for name, result in found.items() if result is None]
    if missing:
        raise DatasetError(
            f"expected the results of {len(names)} scenes in {folder}, got none or a damaged one of "
            f"{', '.join(missing[:3])}; run the measuring again, it goes on where it ended"
        )
    return [result for result in found.values() if result is not None], card


def _read_index(folder: Path) -> tuple[Card, dict[str, str | None]]:
    """The card and the scenes of a folder; before anybody noted their hashes, the scenes were a list."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        scenes = index["scenes"]
        card = Card.from_json(json.dumps(index["card"]))
        return card, dict(scenes) if isinstance(scenes, dict) else dict.fromkeys(scenes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"expected what training/evaluate.py --out writes in {folder}, got none ({error}); "
            "measure the weights first"
        ) from error


def _write_index(folder: Path, card: Card, scenes: Mapping[str, str | None]) -> None:
    """Write which scenes belong together, with their hashes: what else lies there is of another measuring."""
    index = {"card": json.loads(card.to_json()), "scenes": dict(sorted(scenes.items()))}
    write_whole(folder / INDEX, json.dumps(index, indent=1) + "\n")


def _read(part: Path, key: str | None) -> SceneResult | None:
    """A kept result, if it is there, whole, and of this key (of any without one)."""
    try:
        record = json.loads(part.read_text("utf-8"))
        return from_record(record["result"]) if key in (None, record["key"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
