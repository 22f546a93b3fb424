"""Detections and run records on a shelf: written whole, each run once, opened as one table."""

import io
import json
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import pyarrow as pa
import pyarrow.compute as pc

from pithead.errors import StoreError
from pithead.results import RECORD
from pithead.shelf import FolderShelf, Shelf
from pithead.store.compaction import compact
from pithead.store.listing import Listing, Member, list_store, own_name
from pithead.store.record import RunRecord
from pithead.store.rows import (
    SCHEMA,
    SCHEMA_FILE,
    TABLE,
    frame_of,
    in_order,
    rows_in,
    table_of,
    table_sha256,
    to_parquet,
)
from pithead.store.verification import Fault, verify

if TYPE_CHECKING:
    import duckdb

_TRIES = 7  # within a second and a half a compaction has moved on
_READERS = 8  # most of the time a small file is waited for


@dataclass(frozen=True, slots=True)
class Store:
    """The results of an archive; made by `Store.at`, and may be sent to other processes."""

    shelf: Shelf

    @classmethod
    def at(cls, place: str | Path | Shelf) -> "Store":
        """The store in a folder or at an address; a new one is made when the first result is put.

        Raises:
            StoreError: There lies a store of a newer schema, a damaged one, or results of inference/scan.py.
        """
        shelf = place if isinstance(place, Shelf) else Shelf.at(place)
        store = cls(shelf)
        store.check_schema()
        return store

    def check_schema(self) -> bool:
        """Whether a store has been made here.

        Raises:
            StoreError: as `at`.
        """
        told = f"{self.shelf.told}/{SCHEMA_FILE}"
        try:
            schema = json.loads(self.shelf.read(SCHEMA_FILE))["schema"]
        except FileNotFoundError:
            self._refuse_scans()
            return False
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f'expected {{"schema": {SCHEMA}}} in {told}, got another text: {error}'
            ) from error
        if schema != SCHEMA:
            raise StoreError(
                f"expected a store of schema {SCHEMA} at {self.shelf.told}, got {schema}: "
                "it was written by a newer pithead; open it with that one"
            )
        return True

    def _refuse_scans(self) -> None:
        """Refuse a folder of inference/scan.py's (schema 1).

        Raises:
            StoreError: It is one.
        """
        if isinstance(self.shelf, FolderShelf) and any(Path(self.shelf.place).glob(f"*{RECORD}")):
            raise StoreError(
                f"expected a store at {self.shelf.told}, got results of inference/scan.py (schema 1): make a "
                "store elsewhere, and take them in with pithead.store.take_scans"
            )

    # --- writing

    def put(self, record: RunRecord, rows: gpd.GeoDataFrame) -> RunRecord:
        """Keep the rows of a run and then its record, which is returned as it is stored; twice is once.

        Of a run that is there already the first result stays, and its record is returned.

        Args:
            record: The run; its `rows`, `result_sha256` and `file` are filled in.
            rows: Rows of schema 2 (`rows_of`), all of that scene, those weights and options.

        Raises:
            StoreError: The rows are not those of the record, or cannot be written; then nothing counts.
        """
        table = table_of(rows)
        _belong(table, record)
        full = replace(record, rows=len(table), result_sha256=table_sha256(table))
        full = replace(full, file=own_name(full))
        if self.shelf.exists(full.name):
            return self.record(full.name)
        if not self.check_schema():
            self.shelf.write(SCHEMA_FILE, json.dumps({"schema": SCHEMA}).encode() + b"\n")
        self.shelf.write(full.file, to_parquet(table))
        self.shelf.write(full.name, full.to_json())
        return full

    def forget(self, record: RunRecord) -> None:
        """Take a run's record away, and with it its rows: the scene counts as never scored.

        Raises:
            StoreError: There is no right to.
        """
        self.shelf.remove(record.name)
        if record.file:
            self.shelf.remove(record.file)

    def tidy(self) -> int:
        """Clear away files that killed processes left half-written, and say how many."""
        return self.shelf.tidy()

    def compact(self) -> int:
        """Put many small files of the same weights and site into one, while others read and write.

        A kill leaves no row twice and none lost. `tidy` goes first. Says how many files are gone.

        Raises:
            StoreError: A file is damaged, or there is no room; nothing is lost.
        """
        self.tidy()
        return compact(self)

    # --- reading

    def finished(self, weights_sha256: str, options_sha256: str) -> frozenset[str]:
        """The sha256 of every scene with a finished run of weights and options, by one listing.

        Raises:
            StoreError: The store cannot be listed.
        """
        names = self.shelf.names(RunRecord.folder(weights_sha256, options_sha256))
        return frozenset(name.rpartition("/")[2].removesuffix(".json") for name in names)

    def record(self, name: str) -> RunRecord:
        """The record of a name.

        Raises:
            FileNotFoundError: There is none.
            StoreError: It is damaged.
        """
        return RunRecord.from_json(self.shelf.read(name), f"{self.shelf.told}/{name}")

    def records(self, weights_sha256: str | None = None) -> Iterator[RunRecord]:
        """Every run record, or those of weights, by weights, options and scene.

        Raises:
            StoreError: A record is damaged.
        """
        names = self.shelf.names("runs" if weights_sha256 is None else f"runs/{weights_sha256}")
        with ThreadPoolExecutor(_READERS, thread_name_prefix="records") as pool:
            yield from pool.map(self.record, (name for name in names if name.endswith(".json")))

    def detections(
        self,
        weights: str | None = None,
        site: str | None = None,
        scenes: Collection[str] | None = None,
        classes: Collection[str] | None = None,
    ) -> gpd.GeoDataFrame:
        """The rows of finished runs as one table (CRS84), by scene, options, class and falling score.

        Rows of scenes without georeference are among them; their `frame` is "px" and not "lonlat".

        Args:
            weights: The sha256 of weights.
            site: The name of a site, as the rows say it.
            scenes: Ids of scenes.
            classes: Names of classes.

        Raises:
            StoreError: A file is damaged, or missing though a record tells of it.
        """
        return frame_of(self.table(weights, site, scenes, classes))

    def relation(
        self,
        weights: str | None = None,
        site: str | None = None,
        scenes: Collection[str] | None = None,
        classes: Collection[str] | None = None,
    ) -> "duckdb.DuckDBPyRelation":
        """As `detections`, as a relation of DuckDB in memory; geometry is WKB.

        Raises:
            StoreError: as `detections`.
        """
        import duckdb  # noqa: PLC0415 (scanning and planning do without)

        # DuckDB would fetch extensions by itself.
        connection = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        return connection.from_arrow(self.table(weights, site, scenes, classes))

    def table(
        self,
        weights: str | None = None,
        site: str | None = None,
        scenes: Collection[str] | None = None,
        classes: Collection[str] | None = None,
    ) -> pa.Table:
        """As `detections`, as an Arrow table with geometry as WKB.

        Raises:
            StoreError: as `detections`.
        """
        wanted = [
            None if site is None else pc.field("site") == site,
            None if classes is None else pc.field("class").isin(list(classes)),
        ]
        given = [one for one in wanted if one is not None]
        both = None if not given else given[0] if len(given) == 1 else given[0] & given[1]
        for tries in range(_TRIES):
            listing = self.listing(weights, scenes)
            try:
                if not listing.missing and not listing.damaged:
                    return self._read(listing, both)
            except FileNotFoundError:
                pass  # compacted while we read: the rows are elsewhere now
            time.sleep(0.01 * 2**tries)
        raise StoreError(self._lacking(listing))

    def listing(self, weights: str | None = None, scenes: Collection[str] | None = None) -> Listing:
        """Where the rows of each run are.

        Raises:
            StoreError: The store cannot be listed.
        """
        return list_store(self.shelf, weights, scenes, lambda name: self.record(name).file)

    def rows_of_file(
        self, name: str, members: list[Member], of: list[Member], wanted: pc.Expression | None = None
    ) -> pa.Table:
        """The rows of some members of a file.

        Args:
            name: The file.
            members: The runs whose rows are wanted.
            of: All runs in the file.
            wanted: A condition on the rows.

        Raises:
            FileNotFoundError: The file is gone.
            StoreError: It is damaged.
        """
        told = f"{self.shelf.told}/{name}"
        if len(of) == 1:
            table = rows_in(io.BytesIO(self.shelf.read(name)), told)
            return table if wanted is None else table.filter(wanted)
        if len(members) < len(of):
            mine = pc.field("scene").isin([member.scene for member in members])
            wanted = mine if wanted is None else wanted & mine
        with self.shelf.opened(name) as file:
            table = rows_in(file, told, wanted)
        if len(members) == len(of):
            return table
        keys = {(member.scene, member.options) for member in members}
        rows = zip(table["scene"].to_pylist(), table["options_sha256"].to_pylist(), strict=True)
        return table.filter(pa.array([(scene, options[:8]) in keys for scene, options in rows], pa.bool_()))

    def verify(self) -> tuple[Fault, ...]:
        """Hash the rows of every run and hold them to its record; () if all is as it was.

        Raises:
            StoreError: The store cannot be listed.
        """
        return verify(self)

    def _read(self, listing: Listing, wanted: pc.Expression | None) -> pa.Table:
        def read(name: str) -> pa.Table:
            members = listing.chosen[name]
            return self.rows_of_file(name, members, listing.holds.get(name, members), wanted)

        with ThreadPoolExecutor(_READERS, thread_name_prefix="rows") as pool:
            tables = list(pool.map(read, listing.chosen))
        return in_order(pa.concat_tables([TABLE.empty_table(), *tables]))

    def _lacking(self, listing: Listing) -> str:
        if listing.damaged:
            return next(iter(listing.damaged.values()))
        told = ", ".join(list(listing.missing.values())[:3])
        return (
            f"expected the detections of every run in {self.shelf.told}, got none for {len(listing.missing)} "
            f"of them ({told}): bring the files back from a copy, or remove these records and score again"
        )


def _belong(table: pa.Table, record: RunRecord) -> None:
    """Hold the rows to the record.

    Raises:
        StoreError: They are of another run, or some are in pixels and some on the ground.
    """
    for name in ("scene", "scene_sha256", "weights_sha256", "options_sha256"):
        others = set(table[name].to_pylist()) - {getattr(record, name)}
        if others:
            raise StoreError(
                f"expected rows with {name} {getattr(record, name)}, as their record says, got {others.pop()}"
            )
    frames = set(table["frame"].to_pylist())
    if len(frames) > 1 or not frames <= {"lonlat", "px"}:
        raise StoreError(f'expected rows of one frame, "lonlat" or "px", got {sorted(map(str, frames))}')
