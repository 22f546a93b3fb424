"""Whoever does the tasks: one detector, and the scene that it has open.

It keeps no state that matters: parts and records lie on disk, and a task that is done twice leaves the same
bytes.
"""

import errno
import os
import platform
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt

from pithead import __version__
from pithead.card import Card
from pithead.catalog import Entry
from pithead.detector import Detector
from pithead.errors import StoreError, WeightsError
from pithead.imagery import Scene, open_scene
from pithead.rescore.parts import count_of, decode, encode, slice_of
from pithead.rescore.task import Job, Outcome, Task
from pithead.rescore.whereabouts import site_of
from pithead.scan import TileDetections, assemble, detect_tiles, joined
from pithead.shelf import Shelf
from pithead.store import RunRecord, Store, rows_of
from pithead.tiling import Grid
from pithead.vectors import Origin, layers

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Worker:
    """Does tasks of one job, one after the other."""

    def __init__(self, job: Job) -> None:
        """Open the detector.

        Raises:
            WeightsError: The weights are missing, or not those of the job.
        """
        opened = Detector.open(job.weights, threads=job.threads, device=job.device, verify=job.verify)
        if opened.sha256 != job.weights_sha256:
            raise WeightsError(
                f"expected weights {job.weights_sha256} at {job.weights}, got {opened.sha256}: every worker "
                "needs the same file"
            )
        self._job = job
        self._detector = _Timed(opened.asked_for(job.options.classes, job.options.min_score))
        self._batch = opened.batch
        self._store = Store.at(job.store)
        self._scene: tuple[str, Scene] | None = None

    def do(self, task: Task) -> Outcome:
        """Do a task and tell how it ended; whatever a scene does to its reader is an outcome, not a crash."""
        began, self._detector.seconds = time.perf_counter(), 0.0
        try:
            _check_same(task.entry)
            outcome = self._done(task)
        except Exception as error:  # noqa: BLE001 (a scene that breaks its reader must not stop the others)
            outcome = _failed(error)
        if outcome.end in {"finished", "failed", "changed"}:
            self._close()
        seconds = time.perf_counter() - began
        return replace(outcome, model_s=self._detector.seconds, busy_s=seconds, host=platform.node())

    def _done(self, task: Task) -> Outcome:
        if task.kind != "part" and (record := self._known(task.entry)) is not None:
            return Outcome("finished", record=record)  # by a worker that died before it could say so
        scene, began = self._opened(task.entry), datetime.now(UTC)
        card, options = self._detector.card, self._job.options
        grid = Grid.of(scene, card.gsd_m, card.tile_px, options.overlap_px)
        parts = count_of(len(grid), self._job.part_tiles)
        way = options.way(self._batch)
        if parts == 1:
            return self._finished(task.entry, scene, detect_tiles(scene, self._detector, way), began)
        shelf = part_shelf(self._job, task.entry)
        if task.kind == "part":
            seen = detect_tiles(scene, self._detector, way, part=slice_of(task.number, self._job.part_tiles))
            _check_same(task.entry)
            shelf.write(part_name(task.number), encode(seen))
            return Outcome("part", tiles=seen.coverage.run, pixels=_pixels(seen))
        found = {number: _read(shelf, number, grid) for number in range(parts)}
        missing = tuple(number for number, seen in found.items() if seen is None)
        if task.kind == "open" or missing:
            return Outcome("split", missing=missing, parts=parts)
        whole = joined([seen for seen in found.values() if seen is not None])
        return self._finished(task.entry, scene, whole, began, counted=False)

    def _known(self, entry: Entry) -> RunRecord | None:
        """The record of a scene that is in the store already."""
        folder = RunRecord.folder(self._job.weights_sha256, self._job.options.sha256)
        name = f"{folder}/{entry.sha256}.json"
        return self._store.record(name) if self._store.shelf.exists(name) else None

    def _finished(
        self, entry: Entry, scene: Scene, seen: TileDetections, began: datetime, *, counted: bool = True
    ) -> Outcome:
        """Merge, measure and store what was seen of a scene."""
        job, card = self._job, self._detector.card
        _check_same(entry)
        options_sha256, origin = job.options.sha256, Origin(entry.id, entry.sha256, job.weights_sha256)
        rows = rows_of(
            layers(assemble(seen, card), scene, card, origin), scene, origin,
            scene_id=entry.id, options_sha256=options_sha256, acquired=entry.acquired,
            site_of=lambda shape: site_of(shape, entry, job.sites),
        )  # fmt: skip
        record = RunRecord(
            scene=entry.id, scene_sha256=entry.sha256,
            weights=card.name, weights_sha256=job.weights_sha256,
            options=job.options.table, options_sha256=options_sha256,
            site=entry.sites[0] if entry.sites else None, sites=entry.sites,
            version=__version__, host=platform.node(), started=began.isoformat(timespec="milliseconds"),
            seconds=round((datetime.now(UTC) - began).total_seconds(), 3),
            tiles={"all": len(seen.grid), **asdict(seen.coverage)},
            valid_km2=round(seen.valid_px * card.gsd_m**2 / 1e6, 9),
            counts=_counts(rows, card),
        )  # fmt: skip
        record = self._store.put(record, rows)
        if counted:
            return Outcome("finished", record=record, tiles=seen.coverage.run, pixels=_pixels(seen))
        for name in (shelf := part_shelf(job, entry)).names():
            shelf.remove(name)
        return Outcome("finished", record=record)

    def _opened(self, entry: Entry) -> Scene:
        """The scene of an entry; the one that is open already is opened only once for all of its parts."""
        if self._scene is None or self._scene[0] != entry.id:
            self._close()
            self._scene = (
                entry.id,
                open_scene(entry.href, gsd_m=entry.gsd_m[0], stretch=self._job.options.rule),
            )
        return self._scene[1]

    def _close(self) -> None:
        if self._scene is not None:
            self._scene[1].close()
            self._scene = None


class _ChangedError(Exception):
    """A scene is no longer what the catalogue knows."""


def _check_same(entry: Entry) -> None:
    """Refuse a file that is another than the catalogue knows; one that is gone fails when it is opened."""
    try:
        now = Path(entry.href).stat() if entry.mtime_ns else None
    except OSError:
        return
    if now is not None and (now.st_size, now.st_mtime_ns) != (entry.bytes, entry.mtime_ns):
        raise _ChangedError(f"{entry.href} has changed since it was taken in: take it in again with --add")


class _Timed:
    """A detector that adds up how long its model ran."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.card: Card = detector.card
        self.seconds = 0.0

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        began = time.perf_counter()
        rows = self._detector.detect(tiles)
        self.seconds += time.perf_counter() - began
        return rows


def _counts(rows: gpd.GeoDataFrame, card: Card) -> dict[str, int]:
    """How many rows there are of each class of the card."""
    return {known.name: int((rows["class"] == known.name).sum()) for known in card.classes}


def part_shelf(job: Job, entry: Entry) -> Shelf:
    """Where the parts of a scene lie until it is finished."""
    run = f"{job.weights_sha256[:12]}/{job.options.sha256[:8]}"
    return Shelf.at(job.work).sub(f"{run}/{entry.sha256}/{job.part_tiles}")


def part_name(number: int) -> str:
    """The file of a part."""
    return f"{number:06d}.part"


def _read(shelf: Shelf, number: int, grid: Grid) -> TileDetections | None:
    try:
        return decode(shelf.read(part_name(number)), grid)
    except FileNotFoundError:
        return None


def _pixels(seen: TileDetections) -> int:
    """Valid pixels that were looked at, at the resolution of the scene."""
    return round(seen.valid_px / (seen.grid.scale_x * seen.grid.scale_y))


def _is_refused(error: OSError) -> bool:
    return isinstance(error, PermissionError) or error.errno == errno.EROFS


def _failed(error: Exception) -> Outcome:
    if isinstance(error, _ChangedError):
        return Outcome("changed", error=str(error))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return Outcome("full", error=f"no room to write: {os.strerror(cause.errno)}")
        if isinstance(error, StoreError) and isinstance(cause, OSError) and _is_refused(cause):
            return Outcome("full", error=f"no right to read or write: {cause.strerror or cause}")
        cause = cause.__cause__
    name = type(error).__name__
    return Outcome("failed", error=f"{name}: {' '.join(str(error).split())}")
