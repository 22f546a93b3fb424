"""Write an empty GeoPackage to label in with QGIS, and its styles as .qml."""

from pathlib import Path

from cyclopts import App

from pithead.classes import load_classes
from pithead.errors import LabelError, OptionError
from pithead.files import write_whole
from pithead.labels.maps import LAYERS, write_template
from pithead.labels.qgis import qml
from pithead.program import run

app = App(help_format="plaintext", version_flags=())
CLASSES = Path(__file__).resolve().parent / "classes.toml"


@app.default
def template(out: Path, *, crs: str = "EPSG:4326", classes: Path = CLASSES) -> None:
    """Write OUT (.gpkg) with the empty layers areas, lines and scenes, and OUT's folder with a .qml for each.

    QGIS shows the classes in their colours and offers them, confidence, kind and material as lists. Draw,
    save, and turn it into label lines: labeling/convert.py OUT labels.jsonl --scenes FOLDER.

    Args:
        out: File to write: new, since it may hold somebody's labels.
        crs: Coordinate system to draw in, such as that of the scenes.
        classes: The class list.
    """
    if out.suffix != ".gpkg":
        raise OptionError(f"expected a file that ends in .gpkg, got {out}: rename it")
    if out.exists():
        raise LabelError(f"{out} is there already and may hold labels: choose another name")
    class_list = load_classes(classes)
    write_template(out, class_list, crs)
    for layer in LAYERS:
        write_whole(out.with_name(f"{layer}.qml"), qml(layer, class_list))
    print(f"{out}: layers {', '.join(LAYERS)}")


if __name__ == "__main__":
    run(app)
