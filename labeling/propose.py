"""Write tiles of scenes for Label Studio, with what a model found as a start."""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely
from affine import Affine
from cyclopts import App
from PIL import Image
from rich.console import Console
from rich.progress import track

from pithead.classes import ClassInfo, ClassList, load_classes
from pithead.detections import Detections
from pithead.detector import Detector
from pithead.errors import ClassesError, LabelError, OptionError
from pithead.files import write_whole
from pithead.geometry import Window
from pithead.imagery import Scene, open_scene
from pithead.labels import Label, SceneFacts, read_facts
from pithead.labels.jsonl import records
from pithead.labels.label import Floats
from pithead.labels.label_studio import result_of
from pithead.labels.places import images_of
from pithead.labels.sheet import Sheet, told
from pithead.labels.sidecar import Sidecar, shown_in
from pithead.program import run
from pithead.scan import Way, scan
from pithead.studio import Studio, read_key

HERE = Path(__file__).resolve().parent
TILES = "tiles"
TASKS = "tasks.json"
app = App(help_format="plaintext", version_flags=())


@dataclass(frozen=True, slots=True)
class Server:
    """Where tasks are sent, if they are."""

    url: str | None = None
    """Address of Label Studio."""
    key_file: Path | None = None
    """File with its API key (Account & Settings)."""
    project: str = "pithead"
    """Title of the project that is created."""


@app.default
def propose(  # noqa: PLR0913 (options of a command line)
    scenes: Path,
    *,
    out: Path,
    weights: Path | None = None,
    picked: Path | None = None,
    facts: Path | None = None,
    tile: int = 1024,
    gsd: float | None = None,
    min_score: float | None = None,
    threads: int | None = None,
    classes: Path = HERE / "classes.toml",
    server: Server | None = None,
) -> None:
    """Cut SCENES into tiles at their own resolution, and write tasks for Label Studio into the folder OUT.

    OUT/tiles/NAME.png is a tile as 8-bit RGB, lossless; NAME.json beside it says scene, window, coordinate
    system, transform and what is known of the scene: labeling/collect.py needs it. OUT/tasks.json is what
    Label Studio imports. With weights the tasks hold what the model found. Tiles lie side by side and do not
    overlap.

    Args:
        scenes: Folder of scenes, or one scene.
        out: Folder to write: new, or empty.
        weights: An .onnx with a card, whose detections are proposed.
        picked: Only the tiles of this file of labeling/pick.py.
        facts: JSON lines (such as labels) with "image" and what is known of it, such as "site" and "date".
        tile: Side of a tile in pixels of the scene.
        gsd: Metres per pixel of scenes that have no georeference.
        min_score: Lowest score of a proposal, instead of the card's.
        threads: CPU threads.
        classes: The class list.
        server: Where the tasks are sent too.
    """
    check_options(tile, out)
    class_list = load_classes(classes)
    detector = None if weights is None else opened(weights, min_score, threads, class_list)
    known = read_facts(facts) if facts else {}
    chosen = None if picked is None else read_picked(picked)
    studio = None if server is None else reached(server)
    tasks: list[dict[str, Any]] = []
    with whole_folder(out) as part:
        for path in track(paths_of(scenes, chosen), "tiles", console=Console(stderr=True)):
            with open_scene(path, gsd_m=gsd) as scene:
                windows = chosen[path.stem] if chosen is not None else list(windows_of(scene, tile))
                told_of = known.get(path.stem, SceneFacts())
                written = [write_tile(scene, path.stem, w, told_of, detector, part / TILES) for w in windows]
                labels = proposed(scene, detector, windows, class_list)
                tasks += [task_of(one, labels, detector, class_list, out.name) for one in written]
        write_whole(part / TASKS, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    print(f"{len(tasks)} tiles and {TASKS} in {out}")
    if studio is not None and server is not None:
        send(studio, server.project, tasks, detector, out)


def check_options(tile: int, out: Path) -> None:
    """Refuse what cannot be, before any work."""
    if tile < 64:
        raise OptionError(f"expected a --tile of at least 64 px, got {tile}")
    if out.is_dir() and any(out.iterdir()):
        raise OptionError(f"a folder to write tiles into is new or empty; {out} holds files: choose another")


def paths_of(scenes: Path, chosen: Mapping[str, Sequence[Window]] | None) -> list[Path]:
    """The scenes to cut, of which every chosen one is there."""
    paths = [scenes] if scenes.is_file() else images_of(scenes)
    if chosen is None:
        return paths
    missing = sorted(set(chosen) - {path.stem for path in paths})
    if missing:
        raise LabelError(
            f"every scene that was picked lies in {scenes}; {missing[0]} does not: check the folder"
        )
    return [path for path in paths if path.stem in chosen]


def opened(weights: Path, min_score: float | None, threads: int | None, classes: ClassList) -> Detector:
    """The detector, whose classes must all be in the list."""
    detector = Detector.open(weights, threads=threads).asked_for(min_score=min_score)
    strange = sorted({known.name for known in detector.card.classes} - set(classes.names))
    if strange:
        raise ClassesError(
            f"{weights} finds {', '.join(strange)}, which the class list has not: use its list"
        )
    return detector


def read_picked(path: Path) -> dict[str, list[Window]]:
    """The windows of each scene, in whole scene px, in the order of the file."""
    found: dict[str, list[Window]] = {}
    for where, record in records(path):
        try:
            corners = [float(value) for value in record["window"]]  # type: ignore[attr-defined]
            x0, y0 = (int(np.floor(value + 1e-6)) for value in corners[:2])
            x1, y1 = (int(np.ceil(value - 1e-6)) for value in corners[2:])
            found.setdefault(str(record["image"]), []).append(Window(x0, y0, x1 - x0, y1 - y0))
        except (KeyError, TypeError, ValueError) as error:
            raise LabelError(
                f'{where}: a picked tile has "image" and "window": [x0, y0, x1, y1]; {error!r}: pick again'
            ) from error
    return found


def windows_of(scene: Scene, tile: int) -> Iterator[Window]:
    """Windows side by side that cover a scene; the last ones are as small as what is left."""
    for y in range(0, scene.height, tile):
        for x in range(0, scene.width, tile):
            yield Window(x, y, min(tile, scene.width - x), min(tile, scene.height - y))


def proposed(
    scene: Scene, detector: Detector | None, windows: Sequence[Window], classes: ClassList
) -> list[tuple[Label, float]]:
    """What a model finds where the windows are, as labels in scene px with their scores."""
    if detector is None:
        return []
    area = shapely.union_all([shapely.box(w.x, w.y, w.right, w.bottom) for w in windows])
    found: Detections = scan(scene, detector, Way(area_scene=area))
    names = [known.name for known in detector.card.classes]
    labels: list[tuple[Label, float]] = []
    for corners, score, class_id in zip(found.corners_scene, found.scores, found.classes, strict=True):
        info = classes.named(names[int(class_id)])
        if info.geometry != "line":
            labels.append((_label(info, corners, closed=True), float(score)))
    for line in found.lines:
        info = classes.named(names[line.class_id])
        labels.append((_label(info, line.points_scene, closed=line.closed), line.score))
    return labels


def _label(info: ClassInfo, points: Floats, *, closed: bool) -> Label:
    return Label(info.id, info.geometry, points, closed, "target", {})


def task_of(
    sidecar: Sidecar,
    labels: Sequence[tuple[Label, float]],
    detector: Detector | None,
    classes: ClassList,
    folder: str,
) -> dict[str, Any]:
    """The task of one tile; `folder` is where the server looks for it, under its own."""
    data = {
        "image": f"/data/local-files/?d={quote(f'{folder}/{TILES}/{sidecar.name}.png')}",
        "name": sidecar.name,
        "scene": sidecar.scene,
        "site": "",
        "date": "",
        **told(sidecar.facts),
    }
    task: dict[str, Any] = {"data": data}
    if detector is not None:
        result = []
        for number, (label, score) in enumerate(labels):
            sheet = Sheet(f"{sidecar.name}-{number}", sidecar.shown, shown_in([label], sidecar))
            result += [{**region, "score": round(score, 4)} for region in result_of(sheet, classes)]
        task["predictions"] = [{"model_version": version_of(detector), "result": result}]
    return task


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the name `out` when all went well; else nothing is left of it."""
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if out.is_dir():
            out.rmdir()
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def version_of(detector: Detector) -> str:
    """What a prediction says of the weights it is from."""
    return f"{detector.card.name} {detector.sha256[:12]}"


def write_tile(
    scene: Scene, name: str, window: Window, facts: SceneFacts, detector: Detector | None, folder: Path
) -> Sidecar:
    """Write one tile as PNG, and beside it where it is from."""
    shown = Window(
        window.x,
        window.y,
        min(window.width, scene.width - window.x),
        min(window.height, scene.height - window.y),
    )
    buffer = io.BytesIO()
    Image.fromarray(scene.read_window(shown).data).save(buffer, format="PNG", compress_level=6)
    place = None if scene.transform is None else scene.transform @ Affine.translation(shown.x, shown.y)
    date = facts.date or (scene.acquired.date().isoformat() if scene.acquired else None)
    sidecar = Sidecar(
        name=f"{name}_{shown.x}_{shown.y}",
        scene=name,
        size=(scene.width, scene.height),
        window=shown,
        crs=None if scene.crs is None else str(scene.crs.to_wkt()),
        transform=None if place is None else tuple(float(v) for v in place[:6]),
        gsd_m=scene.gsd_m,
        stretch=scene.told,
        facts=replace(facts, date=date),
        sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
        weights=None if detector is None else detector.sha256,
    )
    write_whole(folder / f"{sidecar.name}.png", buffer.getvalue())
    sidecar.write(folder)
    return sidecar


def reached(server: Server) -> Studio:
    """The server, asked before any work."""
    if server.url is None or server.key_file is None:
        raise OptionError("expected --server.url and --server.key-file together, got one of them: give both")
    return Studio.at(server.url, read_key(server.key_file))


def send(
    studio: Studio, title: str, tasks: Sequence[Mapping[str, Any]], detector: Detector | None, out: Path
) -> None:
    """Create a project, let it show the tiles, and add the tasks."""
    project = studio.create(title, (HERE / "label_studio.xml").read_text("utf-8"))
    studio.show_files(project, (out / TILES).resolve())
    count = studio.add(project, tasks)
    if detector is not None:
        studio.start_from(project, version_of(detector))
    print(f"{count} tasks in project {project}: {studio.url}/projects/{project}")


if __name__ == "__main__":
    run(app)
