"""Histories as an archive that the programs read: pictures, sites, what was found, and the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import shapely

from pithead import __version__
from pithead.card import ClassErrors
from pithead.catalog import Entry
from pithead.detector import Detector
from pithead.errors import DatasetError
from pithead.files import write_whole
from pithead.generate.history import (
    PROJECTED,
    Ground,
    History,
    PixelFrame,
    Shot,
    lay_ground,
    render_shot,
    sketch_shot,
)
from pithead.generate.scene import GeneratedScene
from pithead.imagery import write_cog
from pithead.pretend.errors import TYPICAL
from pithead.pretend.observe import THING, Names, observe
from pithead.pretend.telling import label_lines, shot_facts, sites_geojson
from pithead.pretend.weights import NAME, write_weights
from pithead.rescore import Archive, Options
from pithead.rescore.drive import run_facts
from pithead.rescore.intake import register, take_scenes, use_sites
from pithead.sidefiles import Facts
from pithead.store import RunRecord

How = Literal["observe", "render"]
SCENES, LABELS, TRUTH, WEIGHTS = "scenes", "labels.jsonl", "truth.json", f"{NAME}.onnx"
_COLOURS = {1: ("gray",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}


@dataclass(frozen=True, slots=True)
class Written:
    """What `write_archive` has left in its folder.

    Attributes:
        archive: The archive.
        weights: The pretended weights; None of rendered pictures, which are for real ones.
        scenes: How many pictures there are.
    """

    archive: Archive
    weights: Path | None
    scenes: int


def write_archive(
    histories: Sequence[History],
    folder: Path,
    how: How = "observe",
    *,
    errors: Sequence[ClassErrors] = TYPICAL,
    told: Callable[[str], None] = lambda _: None,
) -> Written:
    """Make an archive of histories in a folder that is empty or not there.

    `scenes/` has a picture for each shot, `labels.jsonl` what is in them, `truth.json` every figure,
    `sites.geojson` and the catalogue the sites. With "observe" the pictures are sketches, and the store has
    what a detector of the errors would find, under the weights `pretended.onnx`, whose card tells the errors.
    With "render" the pictures are for real weights, and nothing is scored yet.

    Args:
        histories: Of different places.
        folder: Where to.
        how: "observe" or "render".
        errors: Of the pretended detector.
        told: Called with the name of each picture that is made.

    Raises:
        DatasetError: The folder holds something, two histories share their place, or `how` is neither.
    """
    _check(histories, folder, how)
    (folder / SCENES).mkdir(parents=True)
    write_whole(folder / "sites.json", json.dumps(sites_geojson(histories), indent=1) + "\n")
    archive = Archive.open(folder, make=True)
    use_sites(archive, folder / "sites.json")
    (folder / "sites.json").unlink()  # the archive has its own copy
    detector = _detector(archive, how, errors)
    labels: list[str] = []
    truth: dict[str, Any] = {}
    for history in histories:
        ground = lay_ground(history) if how == "render" else None
        shots: list[dict[str, Any]] = []
        for shot in history.shots:
            name, scene = write_picture(history, shot, folder / SCENES, ground)
            told(name)
            labels += list(label_lines(name, scene))
            entry = _taken(archive, folder / SCENES / f"{name}.tif", history, shot)
            found = _scored(archive, detector, entry, history, shot, errors)
            shots.append({"scene": entry.id, **shot_facts(history, shot), "detections": found})
        truth[history.name] = {"seed": history.seed, "side_m": history.side_m, "shots": shots}
    write_whole(folder / LABELS, "".join(labels))
    write_whole(folder / TRUTH, json.dumps(truth, indent=1) + "\n")
    return Written(
        archive, None if detector is None else folder / WEIGHTS, len(list(archive.catalog.scenes()))
    )


def write_picture(
    history: History, shot: Shot, folder: Path, ground: Ground | None
) -> tuple[str, GeneratedScene]:
    """Write one shot as a GeoTIFF, rendered on a ground or sketched without; its name and the scene."""
    scene = sketch_shot(history, shot) if ground is None else render_shot(history, shot, ground)
    name = f"history_{history.seed:04d}_{shot.number:02d}_{shot.date:%Y%m%d}"
    write_cog(
        folder / f"{name}.tif",
        scene.data,
        PixelFrame(history, shot).transform,
        PROJECTED,
        colorinterp=_COLOURS[len(scene.data)],
        effort=1,
        nodata=0,
    )
    return name, scene


def _check(histories: Sequence[History], folder: Path, how: str) -> None:
    """Refuse what cannot be made.

    Raises:
        DatasetError: As `write_archive` says.
    """
    if how not in get_args(How):
        raise DatasetError(f"expected observe or render, got {how!r}")
    if not histories or len({history.origin for history in histories}) < len(histories):
        raise DatasetError("expected histories of different places: seeds differ by no multiple of 200")
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(
            f"expected an empty folder at {folder}, got one that holds something: name another"
        )


def _detector(archive: Archive, how: How, errors: Sequence[ClassErrors]) -> Detector | None:
    """The pretended weights, written and registered; None where pictures are for real ones."""
    if how == "render":
        return None
    write_weights(archive.folder / WEIGHTS, errors)
    detector = Detector.open(archive.folder / WEIGHTS, threads=1, device="cpu")
    register(archive, detector)
    return detector


def _taken(archive: Archive, path: Path, history: History, shot: Shot) -> Entry:
    """Take a picture in with what a vendor would say of it; its entry."""
    covered = shapely.union_all([*shot.clouds]).intersection(shot.footprint).area / shot.footprint.area
    facts = Facts(
        acquired=shot.date,
        sensor=shot.sensor.name,
        off_nadir_deg=round(shot.off_nadir_deg, 2),
        sun_azimuth_deg=round(shot.sun_azimuth_deg, 2),
        sun_elevation_deg=round(shot.sun_elevation_deg, 2),
        cloud_percent=round(100 * covered, 1),
    )
    take_scenes(archive, [str(path)], None, facts)
    entries = [entry for entry in archive.catalog.scenes() if entry.href == str(path.absolute())]
    if not entries or history.name not in entries[0].sites:
        raise DatasetError(f"expected {path} in the catalogue at {history.name}: its footprint is wrong")
    return entries[0]


def _scored(
    archive: Archive,
    detector: Detector | None,
    entry: Entry,
    history: History,
    shot: Shot,
    errors: Sequence[ClassErrors],
) -> dict[str, str]:
    """Put what a pretended detector finds into the store; of which thing each detection is."""
    if detector is None:
        return {}
    options = Options()
    names = Names(entry.id, entry.sha256, detector.sha256, options.sha256)
    rows = observe(history, shot, errors, np.random.default_rng([history.seed, shot.number, 29]), names)
    counts = {known.name: int((rows["class"] == known.name).sum()) for known in detector.card.classes}
    record = RunRecord(
        scene=entry.id, scene_sha256=entry.sha256,
        weights=detector.card.name, weights_sha256=detector.sha256,
        options=options.table, options_sha256=options.sha256,
        site=entry.sites[0], sites=entry.sites,
        version=__version__, host="", started=shot.date.isoformat(timespec="milliseconds"), seconds=0.0,
        tiles={"all": 1, "run": 1, "empty": 0, "plain": 0, "outside": 0},
        valid_km2=round((shot.footprint.area - sum(gap.area for gap in shot.nodata)) / 1e6, 9),
        counts=counts,
    )  # fmt: skip
    archive.log.append("run.finished", run_facts(archive.store.put(record, rows)))
    return dict(zip(rows["detection"], rows[THING], strict=True))
