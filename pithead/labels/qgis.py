"""What makes a GeoPackage of labels pleasant in QGIS: colours by class, and lists to choose values from.

Styles (QML) stand in the table layer_styles, which QGIS applies when it opens a layer. The lists of values
are also coded domains of the GeoPackage schema extension, which other software reads too.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

from pithead.classes import ClassInfo, ClassList
from pithead.labels.label import HARD_NEGATIVE

GREY = "#808080"
VALUES: Mapping[str, tuple[str, ...]] = {
    "confidence": ("sure", "probable", "possible"),
    "kind": (
        "headframe", "adit", "prep_plant", "crusher", "prison_like", "military_like", "industrial", "wagons",
        "rack", "yard", "unknown",
    ),
    "material": ("coal", "spoil", "ore", "aggregate", "other", "unknown"),
}  # fmt: skip
"""What labeling/guide.md lets an annotator choose."""

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_STYLES = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME
);
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, last_change)
VALUES ('layer_styles', 'attributes', 'layer_styles', '', '2000-01-01T00:00:00.000Z');
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS gpkg_extensions (
    table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
    scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
CREATE TABLE IF NOT EXISTS gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT,
    mime_type TEXT, constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
    CONSTRAINT gdc_tn UNIQUE (table_name, name)
);
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC,
    min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value)
);
"""
_STYLE_ROW = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,
    styleQML, styleSLD, useAsDefault, description, owner, update_time)
VALUES ('', '', ?, 'geom', 'pithead', ?, '', 1, 'labels of pithead', '', '2000-01-01T00:00:00.000Z')
"""
_SPECIFICATION = "http://www.geopackage.org/spec121/#extension_schema"


def furnish(path: Path, layers: Sequence[str], classes: ClassList) -> None:
    """Give the label layers of a GeoPackage their styles and lists of values; other layers stay."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_STYLES + _SCHEMA)
        for table in ("gpkg_data_columns", "gpkg_data_column_constraints"):
            database.execute(
                "INSERT OR IGNORE INTO gpkg_extensions VALUES (?, NULL, 'gpkg_schema', ?, 'read-write')",
                (table, _SPECIFICATION),
            )
        for layer in layers:
            database.execute(_STYLE_ROW, (layer, qml(layer, classes)))
            for field, values in lists_of(layer, classes).items():
                _domain(database, layer, field, values)


def lists_of(layer: str, classes: ClassList) -> dict[str, tuple[str, ...]]:
    """The lists of values by field of a layer: the classes of its geometry first."""
    if layer not in ("areas", "lines"):
        return {}
    names = tuple(info.name for info in classes if (info.geometry == "line") == (layer == "lines"))
    found = {"class": (*names, HARD_NEGATIVE), **VALUES}
    if layer == "lines":
        del found["material"]
    return found


def qml(layer: str, classes: ClassList) -> str:
    """The style of a layer of labels (areas, lines, scenes) as QGIS saves it."""
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology|Fields|Forms")
    if layer == "scenes":
        renderer = ET.SubElement(root, "renderer-v2", type="singleSymbol", forceraster="0", symbollevels="0")
        symbols = ET.SubElement(renderer, "symbols")
        _symbol(symbols, "0", "fill", GREY, "dash")
        return _text(root)
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr="class", forceraster="0", symbollevels="0"
    )
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    lists = lists_of(layer, classes)
    for number, name in enumerate(lists["class"]):
        colour = GREY if name == HARD_NEGATIVE else _named(classes, name).colour
        ET.SubElement(
            categories,
            "category",
            value=name,
            label=name.replace("_", " "),
            symbol=str(number),
            render="true",
        )
        _symbol(symbols, str(number), "line" if layer == "lines" else "fill", colour, "solid")
    fields = ET.SubElement(root, "fieldConfiguration")
    for field, values in lists.items():
        _choices(fields, field, values)
    defaults = ET.SubElement(root, "defaults")
    ET.SubElement(defaults, "default", field="confidence", expression="'sure'", applyOnUpdate="0")
    return _text(root)


def _named(classes: ClassList, name: str) -> ClassInfo:
    return classes.named(name)


def _symbol(parent: ET.Element, name: str, kind: str, colour: str, pen: str) -> None:
    """An outline in a colour, without filling: the image must be seen."""
    symbol = ET.SubElement(
        parent, "symbol", name=name, type=kind, alpha="1", clip_to_extent="1", force_rhr="0"
    )
    layer_class = "SimpleLine" if kind == "line" else "SimpleFill"
    layer = ET.SubElement(symbol, "layer", {"class": layer_class, "enabled": "1", "locked": "0", "pass": "0"})
    rgb = ",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5)) + ",255"
    told = (
        {"line_color": rgb, "line_width": "0.6", "line_width_unit": "MM", "line_style": pen}
        if kind == "line"
        else {
            "color": rgb, "style": "no", "outline_color": rgb, "outline_width": "0.5",
            "outline_width_unit": "MM", "outline_style": pen,
        }
    )  # fmt: skip
    options = ET.SubElement(layer, "Option", type="Map")
    for key, value in told.items():
        ET.SubElement(options, "Option", type="QString", name=key, value=value)


def _choices(fields: ET.Element, field: str, values: Sequence[str]) -> None:
    """A list to choose a field's value from."""
    widget = ET.SubElement(ET.SubElement(fields, "field", name=field), "editWidget", type="ValueMap")
    config = ET.SubElement(ET.SubElement(widget, "config"), "Option", type="Map")
    listed = ET.SubElement(config, "Option", type="List", name="map")
    for value in values:
        entry = ET.SubElement(listed, "Option", type="Map")
        ET.SubElement(entry, "Option", type="QString", name=value.replace("_", " "), value=value)


def _domain(database: sqlite3.Connection, layer: str, field: str, values: Sequence[str]) -> None:
    name = f"{layer}_{field}"
    database.execute(
        "INSERT OR REPLACE INTO gpkg_data_columns VALUES (?, ?, NULL, NULL, NULL, NULL, ?)",
        (layer, field, name),
    )
    database.executemany(
        "INSERT OR REPLACE INTO gpkg_data_column_constraints "
        "VALUES (?, 'enum', ?, NULL, NULL, NULL, NULL, ?)",
        [(name, value, value.replace("_", " ")) for value in values],
    )


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"
