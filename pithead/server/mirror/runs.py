"""Runs of the store and their detections, as the mirror has them."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from sqlite3 import Connection
from typing import Any, Final

import pyarrow as pa

from pithead.errors import StoreError
from pithead.server.database import Database
from pithead.server.mirror.detections import Rows
from pithead.server.mirror.doubt import Doubt
from pithead.server.mirror.scenes import Ground
from pithead.store import RunRecord, Store

_LOG: Final = logging.getLogger("pithead.server")
_AT_A_TIME: Final = 64
"""So many scenes are read and written together: nobody else who writes waits longer than for these."""
AGAIN_S: Final = 60.0


class Faults:
    """Runs that could not be read, so that not every request tries them again."""

    def __init__(self) -> None:
        """Nothing is known to be amiss."""
        self._since: dict[str, float] = {}

    def add(self, name: str, error: StoreError) -> None:
        """Leave a run out for a minute, and say so to whoever runs the server."""
        self._since[name] = time.monotonic()
        _LOG.error("the run %s is left out of lists and maps: %s", name, error)

    def names(self) -> set[str]:
        """The runs that are left out now; those whose minute is over are not, and are forgotten."""
        now = time.monotonic()
        self._since = {name: since for name, since in self._since.items() if now - since < AGAIN_S}
        return set(self._since)

    @property
    def due(self) -> bool:
        """Whether a run is to be tried again, as its minute is over."""
        now = time.monotonic()
        return any(now - since >= AGAIN_S for since in tuple(self._since.values()))


def take_runs(database: Database, store: Store, ground: Ground, faults: Faults) -> None:
    """Make the mirror's runs those of the store, as far as the catalogue has their scenes.

    Of a run that was done again with another result, as the log tells, the new one is taken.

    Raises:
        StoreError: The store cannot be listed.
    """
    wanted = {name: sha for name in store.shelf.names("runs") if (sha := _scene_of(name)) in ground.entries}
    with database.writing() as connection:
        gone = _gone(connection, wanted)
        connection.executemany("DELETE FROM mirror_runs WHERE number = ?", [(number,) for number in gone])
        known = {row["name"] for row in connection.execute("SELECT name FROM mirror_runs")}
    missing = sorted(wanted.keys() - known - faults.names())
    of_weights: dict[str, list[RunRecord]] = defaultdict(list)
    for record in _records(store, missing, faults):
        of_weights[record.weights_sha256].append(record)
    for weights, records in sorted(of_weights.items()):
        for start in range(0, len(records), _AT_A_TIME):
            _take(database, store, weights, records[start : start + _AT_A_TIME], ground, faults)


def show(database: Database, served_sha256: str) -> None:
    """Settle which runs are shown unless others are asked for, where that is not settled.

    Of a scene that is the last run of the weights that are served; if they have not scored it, the last of
    all.
    """
    ranked = """
        SELECT number, row_number() OVER (
                   PARTITION BY scene ORDER BY weights_sha256 = ? DESC, started DESC, name DESC) = 1 AS shown,
               row_number() OVER (
                   PARTITION BY scene, weights_sha256 ORDER BY started DESC, name DESC) = 1 AS last
        FROM mirror_runs"""
    with database.writing() as connection:
        other = connection.execute(
            f"SELECT r.number, n.shown, n.last FROM mirror_runs r JOIN ({ranked}) n USING (number) "  # noqa: S608
            "WHERE r.shown != n.shown OR r.last != n.last",
            (served_sha256,),
        ).fetchall()
        settled = [(row["shown"], row["last"], row["number"]) for row in other]
        connection.executemany("UPDATE mirror_runs SET shown = ?, last = ? WHERE number = ?", settled)
        connection.executemany("UPDATE mirror_detections SET shown = ?, last = ? WHERE run = ?", settled)


def _scene_of(name: str) -> str:
    """The sha256 of the scene of a run record, by its name."""
    return name.rpartition("/")[2].removesuffix(".json")


def _gone(connection: Connection, wanted: Mapping[str, str]) -> list[int]:
    """Runs that the store has no more, and those of which the log has told another result since."""
    rows = connection.execute(
        "SELECT r.number, r.name, f.seq > r.told AND f.result_sha256 != r.result_sha256 AS redone "
        "FROM mirror_runs r LEFT JOIN mirror_finished f USING (scene_sha256, weights_sha256, options_sha256)"
    )
    return [row["number"] for row in rows if row["name"] not in wanted or row["redone"]]


def _records(store: Store, names: Iterable[str], faults: Faults) -> Iterable[RunRecord]:
    for name in names:
        try:
            record = store.record(name)
        except FileNotFoundError:
            continue  # forgotten meanwhile
        except StoreError as error:
            faults.add(name, error)
            continue
        if record.name == name:
            yield record
        else:
            faults.add(name, StoreError(f"expected its record, got that of {record.name}"))


def _take(
    database: Database,
    store: Store,
    weights: str,
    records: Sequence[RunRecord],
    ground: Ground,
    faults: Faults,
) -> None:
    """Take in some runs of weights; if one of them is damaged, the others all the same."""
    try:
        table = store.table(weights, scenes={record.scene for record in records})
    except StoreError as error:
        if len(records) == 1:
            faults.add(records[0].name, error)
            return
        for record in records:
            _take(database, store, weights, [record], ground, faults)
        return
    parts = _by_run(table)
    with database.writing() as connection:
        row = connection.execute("SELECT * FROM mirror_weights WHERE sha256 = ?", (weights,)).fetchone()
        doubt = Doubt.of_row(row)
        for record in records:
            entry = ground.entries[record.scene_sha256]
            number = _put(connection, record, entry.id)
            rows = parts.get((record.scene_sha256, record.options_sha256))
            if number is not None and rows is not None:
                Rows.of(rows, entry, ground.sites, doubt).put(connection, number)


def _by_run(table: pa.Table) -> dict[tuple[str, str], pa.Table]:
    """The rows of each run; they come by scene and options."""
    keys = list(zip(table["scene_sha256"].to_pylist(), table["options_sha256"].to_pylist(), strict=True))
    starts = [i for i, key in enumerate(keys) if i == 0 or keys[i - 1] != key]
    ends = [*starts[1:], len(keys)][: len(starts)]  # none of no rows
    return {keys[start]: table.slice(start, end - start) for start, end in zip(starts, ends, strict=True)}


def _put(connection: Connection, record: RunRecord, scene: str) -> int | None:
    """Write a run down; gives its number, None if another process was first."""
    told = connection.execute(
        "SELECT seq FROM mirror_finished "
        "WHERE scene_sha256 = ? AND weights_sha256 = ? AND options_sha256 = ?",
        (record.scene_sha256, record.weights_sha256, record.options_sha256),
    ).fetchone()
    known: dict[str, Any] = {
        "name": record.name, "scene": scene, "scene_sha256": record.scene_sha256,
        "weights": record.weights, "weights_sha256": record.weights_sha256,
        "options_sha256": record.options_sha256, "result_sha256": record.result_sha256,
        "told": -1 if told is None else told["seq"], "rows": record.rows, "started": record.started,
        "record": json.dumps(asdict(record)),
    }  # fmt: skip
    names, marks = ", ".join(known), ", ".join("?" * len(known))
    row = connection.execute(
        f"INSERT OR IGNORE INTO mirror_runs ({names}) VALUES ({marks}) RETURNING number",  # noqa: S608
        list(known.values()),
    ).fetchone()
    return None if row is None else int(row["number"])
