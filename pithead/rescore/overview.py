"""What an archive holds, what a run will do and has done: in lines for a person."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from rich.table import Table

from pithead.detector import Detector
from pithead.rescore.archive import Archive
from pithead.rescore.plan import Plan
from pithead.rescore.tally import Tally


def overview(archive: Archive) -> Iterator[str]:
    """Scenes with their dates and ground, sites, and how many scenes each weights has scored."""
    scenes = archive.catalog.scenes()
    dates = sorted(entry.acquired for entry in scenes if entry.acquired is not None)
    spans = f", {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}" if dates else ""
    undated = len(scenes) - len(dates)
    km2, changed = sum(entry.km2 for entry in scenes), sum(entry.changed for entry in scenes)
    yield (
        f"scenes: {len(scenes):,}, {km2:,.1f} km²{spans}, {undated} without a date, "
        f"{changed} changed since they were taken in"
    )
    shown = Counter(name for entry in scenes for name in entry.sites)
    for site in archive.catalog.sites():
        yield f"site: {site.name}, on {many(shown[site.name], 'scene')}"
    known = {entry.sha256 for entry in scenes}
    runs = Counter(
        (one.weights, one.weights_sha256[:12], one.options_sha256[:8])
        for one in archive.store.records()
        if one.scene_sha256 in known  # a store may be shared by several archives
    )
    for (name, weights, options), count in sorted(runs.items()):
        yield f"scored: {many(count, 'scene')} by {name} {weights} with options {options}"
    head = archive.log.head()
    yield "log: empty" if head is None else f"log: {head.seq + 1:,} records, head {head.hash}"


def plan_lines(todo: Plan, tile_s: float, workers: int) -> Iterator[str]:
    """What is to be done and about how long that takes, and what cannot be done, with the reason."""
    took = timedelta(seconds=round(todo.tiles * tile_s / workers))
    yield (
        f"{many(len(todo.todo), 'scene')} to score, {todo.km2:,.1f} km², {todo.tiles:,} tiles, about {took} "
        f"with {many(workers, 'worker')}; {todo.finished} scored before"
    )
    for entry in todo.changed:
        yield f"changed since it was taken in, not scored: {entry.id}"
    if todo.changed:
        yield "(put their bytes back, or take in what is there now, both with --add)"
    for entry in todo.gone:
        yield f"not there, not scored: {entry.id}"
    for entry, reason in todo.aside:
        yield f"set aside before (--retry-failed): {entry.id}: {reason}"


def end_lines(tally: Tally) -> Iterator[str]:
    """What a run has done, and which scenes it has set aside."""
    told, took = tally.told, timedelta(seconds=round(tally.seconds))
    yield (
        f"{many(tally.done, 'scene')} scored in {took}: {tally.km2:,.2f} km², "
        f"{told['km2_per_second']:.3f} km²/s, {told['mpx_per_second']:.2f} Mpx/s, "
        f"{told['model_share']:.0%} of the workers' time was the bare model"
    )
    for scene, reason in sorted(tally.failures.items()):
        yield f"set aside: {scene}: {reason}"


def progress(tally: Tally) -> Table:
    """How far a run is, in a line of figures and one of what is under way."""
    told = tally.told
    table = Table("scenes", "failed", "km²", "km²/s", "Mpx/s", "model share", "workers", "left")
    left = told.get("eta_seconds")
    table.add_row(
        f"{tally.done} of {len(tally.plan.todo)}",
        str(len(tally.failures)),
        f"{tally.km2:,.2f}",
        f"{told['km2_per_second']:.3f}",
        f"{told['mpx_per_second']:.2f}",
        f"{told['model_share']:.0%}",
        str(tally.workers),
        "" if left is None else str(timedelta(seconds=round(left))),
    )
    table.caption = ", ".join(sorted(tally.active)[:4])
    return table


def seconds_of_a_tile(detector: Detector) -> float:
    """How long the model takes for a tile, measured now."""
    side = detector.card.tile_px
    tiles = np.zeros((detector.batch, side, side, 3), np.uint8)
    detector.detect(tiles)  # the first run also lays out the graph
    began = time.perf_counter()
    detector.detect(tiles)
    return (time.perf_counter() - began) / detector.batch


def many(count: int, what: str) -> str:
    """`1 scene`, `2 scenes`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
