"""What a scan leaves of a scene: map layers, a picture, a STAC Item and a record; all of it or nothing."""

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

from pithead import __version__
from pithead.aoi import Aoi
from pithead.card import Card
from pithead.detections import Detections
from pithead.errors import OptionError
from pithead.files import sha256_of
from pithead.imagery import Scene, is_local
from pithead.picture import write_picture
from pithead.stac import scene_item, write_item
from pithead.vectors import Layers, Origin, layers, write_geojson, write_geopackage, write_geoparquet

RECORD = ".run.json"
ITEM = ".stac.json"
ENDINGS = (".geojson", ".gpkg", ".parquet", ".png", ITEM, RECORD)
LIBRARIES = ("numpy", "onnxruntime", "rasterio", "pyproj", "shapely", "scipy", "geopandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Run:
    """What a record says beside what was found."""

    origin: Origin
    weights: Path
    card: Card
    options: Mapping[str, object]
    aoi: Aoi | None
    started: datetime
    scan_s: float
    acquired: datetime | None = None
    """When the scene was taken, if the user knows; else the file is asked."""


def write_results(out: Path, scene: Scene, found: Detections, run: Run) -> Layers:
    """Write NAME.geojson, .gpkg, .parquet, .png, .stac.json and .run.json into a folder, all or none.

    Raises:
        OptionError: The folder cannot be written to.
        SceneError: The scene cannot be read any further, for the picture.
    """
    name, card = run.origin.scene, run.card
    result = layers(found, scene, card, run.origin)
    with all_or_nothing(out) as folder:
        write_geojson(folder / f"{name}.geojson", result, scene)
        write_geopackage(folder / f"{name}.gpkg", result, scene)
        write_geoparquet(folder / f"{name}.parquet", result, scene)
        write_picture(folder / f"{name}.png", scene, found, card)
        counts = _classes(result, card)
        acquired = run.acquired or scene.acquired
        item = scene_item(scene, run.origin, counts, acquired=acquired, created=run.started)
        write_item(folder / f"{name}{ITEM}", item, f"{name}{RECORD}")
        facts = {
            "scene": scene_facts(scene, run.origin, acquired),
            "weights": {"path": str(run.weights), "sha256": run.origin.weights_sha256, "name": card.name},
            "options": dict(run.options),
            "aoi_sha256": None if run.aoi is None else sha256_of(Path(run.aoi.path)),
            "versions": _versions(),
            "grid": asdict(found.grid) | {"columns": found.grid.columns, "rows": found.grid.rows},
            "counts": {"tiles": {"all": len(found.grid), **asdict(found.coverage)}, "classes": counts},
            "times": {
                "started": run.started.isoformat(timespec="seconds"),
                "scan_s": round(run.scan_s, 3),
            },
        }
        facts["results"] = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
        record = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}{RECORD}").write_text(record, encoding="utf-8")
    return result


@contextmanager
def all_or_nothing(out: Path) -> Iterator[Path]:
    """A folder beside the results, whose files are moved among them if all went well.

    The record names the hashes of the others: an old one goes first and the new one comes last, so that
    results with a record are whole whenever the program is killed.

    Raises:
        OptionError: The folder cannot be written to.
    """
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".part-", dir=out))
    except OSError as error:
        raise OptionError(f"{out}: expected a folder to write to, got {error.strerror}") from error
    try:
        yield folder
        files = sorted(folder.iterdir(), key=lambda file: (file.name.endswith(RECORD), file.name))
        (out / files[-1].name).unlink(missing_ok=True)
        for file in files:
            os.replace(file, out / file.name)  # noqa: PTH105 (atomic within one file system)
    except BaseException:
        shutil.rmtree(folder)
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
    folder.rmdir()


def scene_facts(scene: Scene, origin: Origin, acquired: datetime | None) -> dict[str, object]:
    """What the record says of the scene; of its address nothing that could be a key."""
    return {
        "path": scene.told,
        "sha256": origin.scene_sha256,
        "files": scene_hashes(scene),
        "acquired": None if acquired is None else acquired.isoformat(),
        "width": scene.width,
        "height": scene.height,
        "crs": None if scene.crs is None else scene.crs.to_string(),
        "gsd_m": [round(g, 6) for g in scene.gsd_m],
        "bands": list(scene.bands),
        "dtype": scene.dtype,
        "stretch": None if scene.stretch is None else asdict(scene.stretch),
    }


def scene_hashes(scene: Scene) -> dict[str, str]:
    """sha256 by path of every file of this machine that the scene is made of: sources of a VRT, a mask."""
    return {path: sha256_of(Path(path)) for path in scene.files}


def scene_sha256(scene: Scene) -> str | None:
    """sha256 of the scene's own file; None of a remote one: to hash it would be to fetch all of it."""
    own = Path(scene.path)
    return sha256_of(own) if is_local(scene.path) and own.is_file() else None


def _versions() -> dict[str, str]:
    return {
        "pithead": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _classes(result: Layers, card: Card) -> dict[str, int]:
    classes = [*result.boxes["class"], *result.perimeters["class"]]
    return {known.name: classes.count(known.name) for known in card.classes}
