"""Which detections are meant: what a client asks for, as conditions on the mirror's tables."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from typing import Annotated, Any, Final, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pithead.catalog import Site, site_named
from pithead.dates import parse_time
from pithead.review import Decision

DECISIONS: Final = ("unreviewed", *get_args(Decision))
_TEXT: Final = 500
_PREFIX: Final = 4
_FEW: Final = 0.2  # of scenes: where the tree costs as much as a look at every row


def _box(text: str) -> str:
    box_of(text)
    return text


def _time(text: str) -> str:
    if parse_time(text) is None:
        raise ValueError("expected a date such as 2019-03-12, or a time such as 2019-03-12T04:05:00Z")
    return text


def _decisions(text: str) -> str:
    if not set(_list(text)) <= set(DECISIONS):
        raise ValueError(f"expected {', '.join(DECISIONS)}, or several of them with commas")
    return text


Box = Annotated[
    str,
    Field(
        max_length=_TEXT, examples=["126.9,38.9,127.1,39.1"], description="West,south,east,north in degrees."
    ),
    AfterValidator(_box),
]
Moment = Annotated[str, Field(max_length=40, examples=["2019-03-12"]), AfterValidator(_time)]
Name = Annotated[str, Field(max_length=_TEXT)]


class Asked(BaseModel):
    """Which detections are meant; what is left out excludes nothing."""

    model_config = ConfigDict(extra="forbid")

    bbox: Box | None = None
    site: Annotated[Name | None, Field(description="A site: its id, name or alias.")] = None
    scene: Annotated[
        Name | None,
        Field(description="A scene by its id. Without it nothing is told of scenes without georeference."),
    ] = None
    class_: Annotated[
        Name | None,
        Field(
            alias="class", description="Classes with commas; what was relabelled counts as what it is now."
        ),
    ] = None
    min_score: Annotated[float | None, Field(ge=0, le=1)] = None
    max_score: Annotated[float | None, Field(ge=0, le=1)] = None
    from_: Annotated[Moment | None, Field(alias="from", description="Scenes taken then or later.")] = None
    to: Annotated[
        Moment | None, Field(description="Scenes taken then or before; a date means its whole day.")
    ] = None
    review: Annotated[
        str | None,
        Field(max_length=_TEXT, description=f"{', '.join(DECISIONS)}; several with commas."),
        AfterValidator(lambda text: text if text is None else _decisions(text)),
    ] = None
    weights: Annotated[
        Name | None,
        Field(
            description="Weights by name or the beginning of their sha256, or `all` side by side. Else "
            "of each scene the results of the weights that are served, or of the last that scored it."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions of SQL, all of which must hold, and their values in order."""

    conditions: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()

    def also(self, condition: str, *values: Any) -> "Where":  # noqa: ANN401 (whatever SQLite takes)
        """These and one more."""
        return Where((*self.conditions, condition), (*self.values, *values))

    def among(self, column: str, values: Iterable[str]) -> "Where":
        """These, and that a column has one of some texts."""
        some = tuple(values)
        return self.also(f"{column} IN ({', '.join('?' * len(some))})", *some)

    def __str__(self) -> str:
        """The conditions as SQL."""
        return " AND ".join(f"({one})" for one in self.conditions) or "1"


def where_of(asked: Asked, connection: Connection) -> Where:
    """What is asked for, as conditions on `mirror_detections d`."""
    where = (
        Where().also("d.frame = 'lonlat'")
        if asked.scene is None
        else Where().also("d.scene = ?", asked.scene)
    )
    where = _of_weights(where, asked.weights)
    if asked.site is not None:
        where = where.also("d.site = ?", site_called(connection, asked.site))
    if asked.class_ is not None:
        where = where.among("d.class_now", _list(asked.class_))
    if asked.review is not None:
        where = where.among("d.decision", _list(asked.review))
    if asked.min_score is not None:
        where = where.also("d.score >= ?", asked.min_score)
    if asked.max_score is not None:
        where = where.also("d.score <= ?", asked.max_score)
    taken = taken_in(asked.from_, asked.to)
    if taken.conditions:
        scenes = f"SELECT c.id FROM mirror_scenes c WHERE {taken}"  # noqa: S608 (conditions of ours)
        where = where.also(f"d.scene IN ({scenes})", *taken.values)
    return where if asked.bbox is None else _inside(where, asked.bbox, connection)


def taken_in(begin: str | None, end: str | None) -> Where:
    """When scenes were taken, as conditions on `mirror_scenes c`; a scene of no date is never meant."""
    where = Where()
    first, last = parse_time(begin), parse_time(end)
    if first is not None:
        where = where.also("c.acquired >= ?", first.isoformat())
    if last is not None and end is not None:
        where = where.also("c.acquired < ?", _after(last, end).isoformat())
    return where


def site_called(connection: Connection, text: str) -> str | None:
    """The name of the site that goes by an id, a name or an alias; None if there is none."""
    rows = connection.execute("SELECT slug, name, aliases FROM mirror_sites").fetchall()
    by_slug = {row["slug"]: row["name"] for row in rows}
    if text in by_slug:
        return str(by_slug[text])
    found = site_named((Site(row["name"], tuple(json.loads(row["aliases"]))) for row in rows), text)
    return None if found is None else found.name


def box_of(text: str) -> tuple[float, float, float, float]:
    """West, south, east and north of a text; west is east of east across the antimeridian.

    Raises:
        ValueError: It is no box on the Earth.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError("expected four numbers with commas: west,south,east,north") from error
    known = all(math.isfinite(one) for one in (west, south, east, north))
    if not (known and max(-west, west, -east, east) <= 180 and -90 <= south <= north <= 90):
        raise ValueError(
            "expected degrees: longitudes of -180 to 180, and south no more than north, -90 to 90"
        )
    return west, south, east, north


def spans_of(west: float, east: float) -> tuple[tuple[float, float], ...]:
    """The longitudes of a box as one stretch, or as two where the antimeridian lies inside."""
    return ((west, east),) if west <= east else ((west, 180.0), (-180.0, east))


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _of_weights(where: Where, weights: str | None) -> Where:
    if weights is None:
        return where.also("d.shown = 1")
    where = where.also("d.last = 1")
    if weights == "all":
        return where
    least = _PREFIX if len(weights) >= _PREFIX else 64
    return where.also(
        "d.run IN (SELECT r.number FROM mirror_runs r WHERE r.weights = ? "
        "OR substr(r.weights_sha256, 1, max(?, ?)) = ?)",
        weights,
        len(weights),
        least,
        weights,
    )


def _inside(where: Where, text: str, connection: Connection) -> Where:
    """These, and that a detection meets a box."""
    west, south, east, north = box_of(text)
    parts, values = [], list[float]()
    for left, right in spans_of(west, east):
        parts.append("d.west <= ? AND d.east >= ? AND d.south <= ? AND d.north >= ?")
        values += [right, left, north, south]
    exact = " OR ".join(parts)
    where = where.also(exact, *values)
    if not _is_small(connection, exact.replace("d.", "c."), values):
        return where
    # The tree keeps 32 bits of each number, rounded outwards, so the exact condition stays.
    tree = f"SELECT b.number FROM mirror_boxes b WHERE {exact.replace('d.', 'b.')}"  # noqa: S608
    return where.also(f"d.number IN ({tree})", *values)


def _is_small(connection: Connection, meets: str, values: list[float]) -> bool:
    """Whether a box meets so few scenes that looking its detections up is less than going through all."""
    some, every = connection.execute(
        f"SELECT coalesce(sum({meets}), 0), count(*) FROM mirror_scenes c WHERE c.frame = 'lonlat'",  # noqa: S608
        values,
    ).fetchone()
    return bool(some <= every * _FEW)


def _after(moment: datetime, text: str) -> datetime:
    """The first moment that is not meant any more: that after a time, or after the day of a date."""
    day = "T" not in text.upper() and ":" not in text
    try:
        return moment + (timedelta(days=1) if day else timedelta(microseconds=1))
    except OverflowError:  # after the last day of the calendar nothing was taken
        return datetime.max.replace(tzinfo=UTC)
