"""What is to be told, of which site, by which weights, out of an archive in which state."""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection

from pithead.server.settings import ROOT, Settings

RULES = ROOT / "inference" / "signs.toml"
"""The rules for signs."""
_OF_SITE = "JOIN mirror_scene_sites s ON s.scene = c.id AND s.site = ?"


@dataclass(frozen=True, slots=True)
class Order:
    """A history to be told.

    Attributes:
        id: The short name of the site.
        site: Its name.
        archive: The folder of the archive.
        weights: The sha256 of the weights by which it is told; None where none has scored the site.
        served: The file of the weights that are served; others are looked for beside it.
        rules: The file of rules for signs, if there is one.
        state: A hash of all in catalogue, store and log that the history rests on.
        remote: Whether the store lies behind an address.
    """

    id: str
    site: str
    archive: str
    weights: str | None
    served: str
    rules: str | None
    state: str
    remote: bool = False

    def to_json(self) -> str:
        """As a text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """The order of a text of `to_json`."""
        return cls(**json.loads(text))


def order_of(
    connection: Connection, site: str, settings: Settings, served_sha256: str, *, remote: bool = False
) -> Order:
    """The history of a site as the mirror knows the archive now; another state is another history.

    It is told by the weights that scored most of its scenes; of as many by those that are served.

    Args:
        connection: Of the mirror, held to the archive.
        site: The name of a site of the archive.
        settings: Those of the server.
        served_sha256: The hash of the weights that are served.
        remote: Whether the store lies behind an address.
    """
    (name,) = connection.execute("SELECT slug FROM mirror_sites WHERE name = ?", (site,)).fetchone()
    weights = connection.execute(
        f"SELECT r.weights_sha256 FROM mirror_scenes c {_OF_SITE} "  # noqa: S608 (a part of ours)
        "JOIN mirror_runs r ON r.scene = c.id GROUP BY r.weights_sha256 "
        "ORDER BY count(DISTINCT c.id) DESC, r.weights_sha256 = ? DESC, max(r.started) DESC, 1 LIMIT 1",
        (site, served_sha256),
    ).fetchone()
    rules = RULES if RULES.is_file() else None
    state = [served_sha256, _stamp(rules), *_rows(connection, site)]
    return Order(
        id=str(name),
        site=site,
        archive=str(settings.archive.absolute()),
        weights=None if weights is None else str(weights[0]),
        served=str(settings.weights.absolute()),
        rules=None if rules is None else str(rules),
        state=sha256(json.dumps(state).encode()).hexdigest(),
        remote=remote,
    )


def _rows(connection: Connection, site: str) -> list[object]:
    """What the mirror has of sites, of the scenes of one, of their runs, and of reviews of what was found."""
    of_runs = f"{_OF_SITE} JOIN mirror_runs r ON r.scene = c.id"
    reviewed = "mirror_detections d ON d.scene = c.id JOIN mirror_reviews v ON v.detection = d.id"
    scenes = connection.execute(f"SELECT c.* FROM mirror_scenes c {_OF_SITE} ORDER BY c.id", (site,))  # noqa: S608
    runs = connection.execute(
        f"SELECT r.name, r.result_sha256, r.told FROM mirror_scenes c {of_runs} ORDER BY r.name",  # noqa: S608
        (site,),
    )
    said = connection.execute(
        f"SELECT v.hash FROM mirror_scenes c {_OF_SITE} JOIN {reviewed} ORDER BY v.seq",  # noqa: S608
        (site,),
    )
    sites = connection.execute("SELECT value FROM mirror_facts WHERE name = 'sites'")
    return [[tuple(row) for row in some] for some in (sites, scenes, runs, said)]


def _stamp(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    found = path.stat()
    return found.st_mtime_ns, found.st_size
