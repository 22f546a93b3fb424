"""Scenes and sites of the catalogue, as the mirror has them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from sqlite3 import Connection
from typing import Any, Final

import shapely

from pithead.catalog import Catalog, Entry, Site, facts_of
from pithead.footprint import bbox_of
from pithead.server.database import Database
from pithead.server.screen import to_screen
from pithead.store.listing import slug

_SCENE = (
    "id", "sha256", "acquired", "sensor", "gsd_x_m", "gsd_y_m", "width", "height", "km2", "frame",
    "west", "south", "east", "north", "sites", "more", "href", "bytes", "mtime_ns", "changed",
)  # fmt: skip
_TOLD = (
    "identity", "crs", "level", "off_nadir_deg", "incidence_deg", "sun_azimuth_deg", "sun_elevation_deg",
    "cloud_percent", "footprint",
)  # fmt: skip

MOVED: Final = "moved"
"""The fact that names scenes of which detections are to be put at their sites anew."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The scenes of the archive by sha256, and its sites by name."""

    entries: Mapping[str, Entry]
    sites: Mapping[str, Site]


def take_scenes(database: Database, catalog: Catalog) -> Ground:
    """Make the mirror's scenes and sites those of the catalogue.

    Raises:
        CatalogError: The catalogue is damaged.
    """
    entries, sites = catalog.scenes(), catalog.sites()
    rows = {entry.id: _row(entry) for entry in entries}
    told = json.dumps([[site.name, site.aliases, _hash(site)] for site in sites])
    moved: set[str] = set()
    with database.writing() as connection:
        known = {
            row["id"]: tuple(row)
            for row in connection.execute(f"SELECT {', '.join(_SCENE)} FROM mirror_scenes")  # noqa: S608
        }
        connection.executemany(
            "DELETE FROM mirror_scenes WHERE id = ?", [(name,) for name in known.keys() - rows.keys()]
        )
        fresh = [row for name, row in rows.items() if known.get(name) != row]
        at = _SCENE.index("sites")
        for row in fresh:
            before = known.get(row[0])
            _put(connection, row, json.loads(row[at]))
            if before is not None and before[at] != row[at]:
                moved.add(str(row[1]))
        was = connection.execute("SELECT value FROM mirror_facts WHERE name = 'sites'").fetchone()
        if was is None or was["value"] != told:
            _put_sites(connection, sites)
            connection.execute("INSERT OR REPLACE INTO mirror_facts VALUES ('sites', ?)", (told,))
            moved |= set() if was is None else {entry.sha256 for entry in entries}
        _note_moved(connection, moved)
    return Ground({one.sha256: one for one in entries}, {one.name: one for one in sites})


def _note_moved(connection: Connection, moved: set[str]) -> None:
    """Write down of which scenes the detections may be at other sites than before: a kill forgets nothing."""
    before = connection.execute("SELECT value FROM mirror_facts WHERE name = ?", (MOVED,)).fetchone()
    every = moved | set(json.loads(before["value"]) if before else ())
    if every:
        connection.execute(
            "INSERT OR REPLACE INTO mirror_facts VALUES (?, ?)", (MOVED, json.dumps(sorted(every)))
        )


def slugs_of(names: Iterable[str]) -> dict[str, str]:
    """A short name for addresses of each site; several that would be alike get a mark of their own."""
    plain = {name: slug(name) for name in names}
    alike = list(plain.values())
    return {
        name: text if alike.count(text) == 1 else f"{text}-{sha256(name.encode()).hexdigest()[:6]}"
        for name, text in plain.items()
    }


def _put(connection: Connection, row: Sequence[Any], sites: Sequence[str]) -> None:
    marks, sets = ", ".join("?" * len(_SCENE)), ", ".join(f"{name} = excluded.{name}" for name in _SCENE[1:])
    connection.execute(
        f"INSERT INTO mirror_scenes ({', '.join(_SCENE)}) VALUES ({marks}) "  # noqa: S608
        f"ON CONFLICT (id) DO UPDATE SET {sets}",
        row,
    )
    connection.execute("DELETE FROM mirror_scene_sites WHERE scene = ?", (row[0],))
    connection.executemany("INSERT INTO mirror_scene_sites VALUES (?, ?)", [(site, row[0]) for site in sites])


def _put_sites(connection: Connection, sites: Sequence[Site]) -> None:
    short = slugs_of(site.name for site in sites)
    connection.execute("DELETE FROM mirror_sites")
    connection.executemany(
        "INSERT INTO mirror_sites VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                short[site.name], site.name, json.dumps(site.aliases, ensure_ascii=False),
                *([None] * 4 if site.polygon is None else bbox_of(site.polygon)),
            )
            for site in sites
        ],
    )  # fmt: skip


def _row(entry: Entry) -> tuple[Any, ...]:
    facts = facts_of(entry)
    if entry.footprint is None:
        corners = to_screen([[0, entry.height], [entry.width, 0]], entry.gsd_m).round(8) + 0.0
        bounds = [float(value) for value in corners.ravel()]
    else:
        bounds = bbox_of(entry.footprint)
    return (
        entry.id, entry.sha256, facts["acquired"], entry.sensor, *map(float, entry.gsd_m), entry.width,
        entry.height, float(entry.km2), "px" if entry.footprint is None else "lonlat", *bounds,
        json.dumps(entry.sites, ensure_ascii=False), json.dumps({name: facts[name] for name in _TOLD}),
        entry.href, entry.bytes, entry.mtime_ns, int(entry.changed),
    )  # fmt: skip


def _hash(site: Site) -> str | None:
    return None if site.polygon is None else sha256(shapely.to_wkb(site.polygon)).hexdigest()
