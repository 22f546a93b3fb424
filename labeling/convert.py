"""Turn labels of one format into another."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from pithead.classes import ClassList, load_classes
from pithead.errors import OptionError
from pithead.labels.formats import FORMATS, format_of, read_sheets
from pithead.labels.places import Places
from pithead.labels.shapes import info_named
from pithead.labels.sheet import Sheet
from pithead.program import run

app = App(help_format="plaintext", version_flags=())
CLASSES = Path(__file__).resolve().parent / "classes.toml"
Name = Literal["jsonl", "geojson", "gpkg", "label-studio", "coco", "cvat", "dota", "yolo-obb", "yolo"]


@app.default
def convert(
    source: Path,
    out: Path,
    *,
    source_format: Annotated[Name | None, Parameter(name="--from")] = None,
    out_format: Annotated[Name | None, Parameter(name="--to")] = None,
    scenes: Path | None = None,
    classes: Path = CLASSES,
) -> None:
    """Read labels of one format and write them in another: every label, or an error and nothing.

    Formats: jsonl (labeling/guide.md), geojson, gpkg (QGIS), label-studio, coco, cvat (for images 1.1), dota,
    yolo-obb, yolo. What the written format cannot hold is said.

    Args:
        source: File, or folder of dota and yolo.
        out: File or folder to write; a folder must be new or empty.
        source_format: Format of the source; told by its name and content where it is left out.
        out_format: Format to write; told by the name where it is left out.
        scenes: Folder of the labelled images. Needed to go from pixels to the ground or back, and for formats
            that count in parts of an image whose size they do not name.
        classes: The class list.
    """
    name_in, name_out = source_format or format_of(source), out_format or format_of(out)
    if out.is_dir() and any(out.iterdir()):
        raise OptionError(f"a folder to write labels into is new or empty; {out} holds files: choose another")
    class_list, places = load_classes(classes), Places(scenes)
    sheets = read_sheets(source, name_in, class_list, places)
    FORMATS[name_out].write(out, sheets, class_list, places)
    report(sheets, class_list, out)
    if FORMATS[name_out].loses:
        Console().print(f"{name_out} cannot hold: {FORMATS[name_out].loses}", soft_wrap=True)


def report(sheets: list[Sheet], classes: ClassList, out: Path) -> None:
    """Print what was written."""
    table = Table("", "target", "ignored", title=f"{out}: {len(sheets)} images")
    labels = [label for sheet in sheets for label in sheet.labels]
    for class_id in sorted({label.class_id for label in labels}):
        of_class = [label.weight for label in labels if label.class_id == class_id]
        info = info_named(classes, class_id)
        ignored = of_class.count("ignore")
        table.add_row(info.name if info else "hard negative", str(len(of_class) - ignored), str(ignored))
    Console().print(table)


if __name__ == "__main__":
    run(app)
