"""Choose the tiles that are worth labelling next."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pithead.acquisition import Candidate, Pick, choose, describe, disagreement, season_of, uncertainty
from pithead.card import Card
from pithead.classes import load_classes
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.evaluation import FLOOR, Sensitive
from pithead.files import sha256_of, write_whole
from pithead.geometry import Window
from pithead.imagery import Scene, open_scene
from pithead.labels import SceneFacts, read_facts
from pithead.labels.places import images_of
from pithead.labels.seen import seen_share
from pithead.labels.sheet import Sheet, no_sizes, read_lines
from pithead.program import run
from pithead.scan import Way, detect_tiles
from pithead.tiling import Grid

Floats = npt.NDArray[np.float64]
app = App(help_format="plaintext", version_flags=())
CLASSES = Path(__file__).resolve().parent / "classes.toml"
DONE = 0.5  # a tile of which this share was looked at is not looked at again
_LONLAT = "OGC:CRS84"


@dataclass(slots=True)
class Watcher:
    """One or two models as one detector that remembers what it saw of each tile."""

    detectors: tuple[Sensitive, ...]
    seen: list[tuple[Floats, Floats, Floats]] = field(default_factory=list)

    @property
    def card(self) -> Card:
        """The card of the first model."""
        return self.detectors[0].card

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """The rows of the first model."""
        thresholds = [known.threshold for known in self.card.classes]
        found = [detector.detect(tiles) for detector in self.detectors]
        for i, tile in enumerate(tiles):
            between = (
                disagreement(found[0][i], found[-1][i], thresholds)
                if len(found) > 1
                else np.zeros(len(thresholds))
            )
            self.seen.append((uncertainty(found[0][i], thresholds), between, describe(tile)))
        return found[0]


@dataclass(frozen=True, slots=True)
class Looked:
    """What the models saw of every tile of a scene, whatever is labelled of it.

    windows (N, 4) x, y, width, height in grid px; doubts and differences (N, C); looks (N, D); corners
    (N, 4, 2) in scene px and in lon, lat (N or 0, 4, 2); the date that the file names, or nothing.
    """

    windows: npt.NDArray[np.int64]
    doubts: Floats
    differences: Floats
    looks: Floats
    corners: Floats
    lonlat: Floats
    date: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate lies: its corners (4, 2) in scene px and, with georeference, in lon, lat."""

    corners_scene: npt.NDArray[np.float64]
    corners_lonlat: npt.NDArray[np.float64] | None


@app.default
def pick(  # noqa: PLR0913 (options of a command line)
    scenes: Path,
    *,
    weights: Annotated[tuple[Path, ...], Parameter(negative="")],
    out: Path,
    count: int = 200,
    labels: Path | None = None,
    gsd: float | None = None,
    overlap: int = 0,
    threads: int | None = None,
    classes: Path = CLASSES,
) -> None:
    """Choose COUNT tiles of the folder SCENES for labeling/propose.py, best first; it works offline.

    A tile is worth more if the model is unsure of it, if two models differ about it, if it looks unlike
    those already chosen, and if its site and season have few of them. OUT is one JSON object a line: image,
    window in scene px, site, season, worth and what it is made of. OUT with the ending .gpkg lies beside it,
    if the scenes have a georeference. What was seen of each scene is kept in OUT with the ending .looked: a
    run that was stopped goes on, and another choice from the same scenes takes seconds.

    Args:
        scenes: Folder of scenes.
        weights: An .onnx with a card; a second one of the same tile size adds where the two differ.
        out: File to write (.jsonl).
        count: How many tiles.
        labels: What is labelled already (JSONL): it is not chosen again, and it says site and date of scenes.
        gsd: Metres per pixel of scenes that have no georeference.
        overlap: Overlap of tiles in pixels of the model, a multiple of 32.
        threads: CPU threads.
        classes: The class list.
    """
    if out.suffix != ".jsonl":
        raise OptionError(f"expected an --out that ends in .jsonl, got {out}: rename it")
    detectors = opened(weights, threads)
    sheets = {s.image: s for s in read_lines(labels, load_classes(classes), no_sizes)} if labels else {}
    facts = read_facts(labels) if labels else {}
    candidates: list[Candidate] = []
    places: list[Place] = []
    paths = images_of(scenes)
    for path in track(paths, "looking", console=Console(stderr=True)):
        seen = looked_at(path, gsd, detectors, overlap, weights, out.with_suffix(".looked"))
        for candidate, place in open_tiles(path.stem, seen, facts.get(path.stem), sheets.get(path.stem)):
            candidates.append(candidate)
            places.append(place)
    picks = choose(candidates, count)
    rows = [row_of(number, p, candidates[p.index], places[p.index]) for number, p in enumerate(picks, 1)]
    write_map(out.with_suffix(".gpkg"), rows, [places[p.index] for p in picks])
    write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    report(rows, len(candidates), len(paths), out)


def opened(weights: Sequence[Path], threads: int | None) -> tuple[Sensitive, ...]:
    """One or two models that take the same tiles."""
    if not 1 <= len(weights) <= 2:
        raise OptionError(f"expected one or two --weights, got {len(weights)}: name one or two")
    detectors = [Detector.open(path, threads=threads) for path in weights]
    kinds = {(d.card.tile_px, d.card.gsd_m, tuple(c.name for c in d.card.classes)) for d in detectors}
    if len(kinds) > 1:
        raise OptionError(
            f"expected weights of one tile size, resolution and class list, got {sorted(kinds)}: "
            "choose two of a kind"
        )
    return tuple(Sensitive(detector, FLOOR) for detector in detectors)


def looked_at(
    path: Path,
    gsd_m: float | None,
    detectors: tuple[Sensitive, ...],
    overlap: int,
    weights: Sequence[Path],
    folder: Path,
) -> Looked:
    """What the models see of a scene, or have seen: kept in a folder, so that a stopped run goes on."""
    stat = path.stat()
    told = [path.name, stat.st_size, stat.st_mtime_ns, gsd_m, overlap, *(sha256_of(w) for w in weights)]
    kept = folder / f"{path.stem}-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.npz"
    names = [field.name for field in fields(Looked)]
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            return Looked(**{name: arrays[name] for name in names})
    with open_scene(path, gsd_m=gsd_m) as scene:
        found = look(scene, detectors, overlap)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: getattr(found, name) for name in names})
    write_whole(kept, buffer.getvalue())
    return found


def look(scene: Scene, detectors: tuple[Sensitive, ...], overlap: int) -> Looked:
    """Show every tile of a scene to the models."""
    watcher = Watcher(detectors)
    found = detect_tiles(scene, watcher, Way(overlap_px=overlap))
    corners = [corners_of(found.grid, window) for window in found.windows]
    lonlat = [scene.to_lonlat(one) for one in corners] if scene.crs is not None else []
    doubts, differences, looks = (np.array([seen[k] for seen in watcher.seen], np.float64) for k in range(3))
    return Looked(
        np.array([(w.x, w.y, w.width, w.height) for w in found.windows], np.int64).reshape(-1, 4),
        doubts,
        differences,
        looks,
        np.array(corners, np.float64).reshape(-1, 4, 2),
        np.array(lonlat, np.float64).reshape(-1, 4, 2),
        np.array([scene.acquired.date().isoformat()] if scene.acquired else [], np.str_),
    )


def open_tiles(
    name: str, seen: Looked, facts: SceneFacts | None, sheet: Sheet | None
) -> Iterator[tuple[Candidate, Place]]:
    """Every tile of a scene that nobody has labelled yet."""
    if sheet is not None and not sheet.seen:
        return
    told = facts or SceneFacts()
    date = told.date or (str(seen.date[0]) if len(seen.date) else None)
    for i, window in enumerate(seen.windows):
        if sheet is not None and seen_share(sheet.seen, seen.corners[i]) >= DONE:
            continue
        lonlat = seen.lonlat[i] if len(seen.lonlat) else None
        season = season_of(date, None if lonlat is None else float(lonlat[0, 1]))
        doubts, differences, looks = (a[i] for a in (seen.doubts, seen.differences, seen.looks))
        x, y, width, height = (int(v) for v in window)
        yield (
            Candidate(
                name, Window(x, y, width, height), told.site or name, season, doubts, differences, looks
            ),
            Place(seen.corners[i], lonlat),
        )


def corners_of(grid: Grid, window: Window) -> npt.NDArray[np.float64]:
    """The corners (4, 2) in scene px of what a window shows of the scene, clockwise."""
    right, bottom = min(window.right, grid.width), min(window.bottom, grid.height)
    return grid.to_scene([[window.x, window.y], [right, window.y], [right, bottom], [window.x, bottom]])


def row_of(number: int, pick: Pick, candidate: Candidate, place: Place) -> dict[str, object]:
    """One line of the file."""
    x0, y0 = place.corners_scene[0]
    x1, y1 = place.corners_scene[2]
    return {
        "rank": number,
        "image": candidate.scene,
        "window": [round(float(v), 3) for v in (x0, y0, x1, y1)],
        "site": candidate.site,
        "season": candidate.season,
        "worth": round(pick.worth, 4),
        "uncertainty": round(float(candidate.uncertainty.sum()), 4),
        "disagreement": round(float(candidate.disagreement.sum()), 4),
        "novelty": round(pick.novelty, 4),
    }


def write_map(path: Path, rows: Sequence[dict[str, object]], places: Sequence[Place]) -> None:
    """Write the chosen tiles that lie on the map as a layer `tiles`."""
    placed = [
        (row, p.corners_lonlat) for row, p in zip(rows, places, strict=True) if p.corners_lonlat is not None
    ]
    if not placed:
        return
    columns = {key: [row[key] for row, _ in placed] for key in placed[0][0] if key != "window"}
    shapes = [shapely.polygons(corners) for _, corners in placed]
    part = path.with_name(f".{path.stem}.part.gpkg")
    part.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    gpd.GeoDataFrame(columns, geometry=shapes, crs=_LONLAT).to_file(
        part, layer="tiles", driver="GPKG", engine="pyogrio", dataset_options={"VERSION": "1.2"}
    )
    part.replace(path)


def report(rows: Sequence[dict[str, object]], candidates: int, scenes: int, out: Path) -> None:
    """Print what was chosen."""
    table = Table(
        "site", "season", "tiles", title=f"{out}: {len(rows)} of {candidates} tiles of {scenes} scenes"
    )
    groups = sorted({(str(row["site"]), str(row["season"])) for row in rows})
    for site, season in groups[:20]:
        n = sum((row["site"], row["season"]) == (site, season) for row in rows)
        table.add_row(site, season, str(n))
    if len(groups) > 20:
        table.add_row(f"and {len(groups) - 20} more", "", "")
    Console().print(table)


if __name__ == "__main__":
    run(app)
