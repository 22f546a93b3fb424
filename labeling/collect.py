"""Bring annotations of tiles back from Label Studio: labels of scenes, in their pixels and on the map."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App
from rich.console import Console

from pithead.classes import ClassList, load_classes
from pithead.errors import LabelError, OptionError
from pithead.labels.join import joined
from pithead.labels.label import Floats, Label, SceneFacts
from pithead.labels.label_studio import read_label_studio
from pithead.labels.maps import write_geopackage
from pithead.labels.places import Places
from pithead.labels.seen import seen_share
from pithead.labels.sheet import Sheet, no_sizes, write_lines
from pithead.labels.sidecar import Sidecar, in_scene, read_sidecar
from pithead.program import run
from pithead.studio import Studio, read_key

HERE = Path(__file__).resolve().parent
WHOLE = 1 - 1e-6
app = App(help_format="plaintext", version_flags=())


@app.default
def collect(
    tiles: Path,
    *,
    out: Path,
    export: Path | None = None,
    url: str | None = None,
    key_file: Path | None = None,
    project: int | None = None,
    scenes: Path | None = None,
    classes: Path = HERE / "classes.toml",
) -> None:
    """Place the annotations of TILES (a folder of labeling/propose.py) in their scenes again.

    Writes OUT (.jsonl): labels in scene pixels, with the areas that were looked at where they are not the
    whole scene; and, with --scenes, OUT with the ending .gpkg in ground coordinates. What the edge between
    two tiles has cut is joined. Of several annotations of a tile the one submitted last counts.

    Args:
        tiles: Folder with tiles/ and the sidecars in it.
        out: File to write (.jsonl).
        export: File that Label Studio has exported (JSON).
        url: Address of Label Studio, to fetch the annotations from instead.
        key_file: File with its API key.
        project: Number of the project there.
        scenes: Folder of the scenes, for the GeoPackage.
        classes: The class list.
    """
    if out.suffix != ".jsonl":
        raise OptionError(f"expected an --out that ends in .jsonl, got {out}: rename it")
    class_list = load_classes(classes)
    sheets = annotated(export, url, key_file, project, class_list)
    folder = tiles / "tiles" if (tiles / "tiles").is_dir() else tiles
    found = by_scene([(sheet, read_sidecar(folder, sheet.image)) for sheet in sheets])
    if scenes is not None:
        write_geopackage(out.with_suffix(".gpkg"), found, class_list, Places(scenes))
    write_lines(out, found, class_list)
    count = sum(len(sheet.labels) for sheet in found)
    Console().print(f"{count} labels of {len(found)} scenes from {len(sheets)} tiles: {out}", soft_wrap=True)


def annotated(
    export: Path | None, url: str | None, key_file: Path | None, project: int | None, classes: ClassList
) -> list[Sheet]:
    """The sheets of an export, or of a server."""
    if export is not None and url is None:
        return read_label_studio(export, classes, no_sizes)
    if export is not None or url is None or key_file is None or project is None:
        raise OptionError("expected --export, or --url with --key-file and --project: give one of the two")
    tasks = Studio.at(url, read_key(key_file)).tasks(project)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"project {project} of {url.replace('/', '_')}.json"
        path.write_text(json.dumps(tasks), "utf-8")
        return read_label_studio(path, classes, no_sizes)


def by_scene(found: Sequence[tuple[Sheet, Sidecar]]) -> list[Sheet]:
    """One sheet for each scene, in order of names."""
    labels: dict[str, list[Label]] = {}
    windows: dict[str, list[Floats]] = {}
    seen: dict[str, dict[str, Sidecar]] = {}
    for sheet, sidecar in found:
        if sidecar.name in seen.setdefault(sidecar.scene, {}):
            raise LabelError(f"every tile is one task; {sidecar.name} is in two: delete one of them")
        seen[sidecar.scene][sidecar.name] = sidecar
        placed = in_scene(sheet, sidecar)
        labels.setdefault(sidecar.scene, []).extend(placed)
        windows.setdefault(sidecar.scene, []).extend([sidecar.outline] * len(placed))
    sheets = []
    for scene in sorted(labels):
        several = list(seen[scene].values())
        facts = next((one.facts for one in several if one.facts != SceneFacts()), SceneFacts())
        outlines = tuple(one.outline for one in several)
        width, height = several[0].size
        whole = seen_share(outlines, [[0, 0], [width, 0], [width, height], [0, height]]) > WHOLE
        of_scene = joined(labels[scene], windows[scene])
        sheets.append(Sheet(scene, (width, height), of_scene, facts, () if whole else outlines))
    return sheets


if __name__ == "__main__":
    run(app)
