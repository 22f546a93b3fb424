"""Whether a store still says what its run records say: what is missing, changed, damaged or unknown."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from pithead.errors import StoreError
from pithead.store.listing import Listing, Member, key_of
from pithead.store.record import RunRecord
from pithead.store.rows import SCHEMA_FILE, table_sha256

if TYPE_CHECKING:
    from pithead.store.store import Store


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be."""

    name: str
    """The file, in the store."""
    kind: Literal["missing", "changed", "damaged", "unknown"]
    told: str
    """What was expected, and what came."""

    def __str__(self) -> str:
        """The fault in a line."""
        return f"{self.name}: {self.kind}: {self.told}"


def verify(store: "Store") -> tuple[Fault, ...]:
    """Hash the rows of every run and hold them to its record; () if all is as it was.

    A file that no record knows is told as unknown. A kill between a file and its record leaves such a one;
    the next run of that scene takes it up.

    Raises:
        StoreError: The store cannot be listed.
    """
    faults = set(_faults(store))
    if any(fault.kind == "missing" for fault in faults):
        faults = set(_faults(store))  # a compaction may have been under way
    return tuple(sorted(faults, key=lambda fault: (fault.name, fault.kind, fault.told)))


def _faults(store: "Store") -> Iterator[Fault]:
    records: dict[str, RunRecord] = {}
    listing = store.listing()
    for name in listing.runs.values():
        try:
            records[name] = store.record(name)
        except FileNotFoundError:
            yield Fault(name, "missing", "it went while the store was looked at")
        except StoreError as error:
            yield Fault(name, "damaged", str(error))
    yield from (Fault(name, "damaged", why) for name, why in listing.damaged.items())
    yield from (Fault(name, "unknown", "no store has files of such a name") for name in listing.unknown)
    if records and not store.check_schema():
        yield Fault(SCHEMA_FILE, "missing", "a store says of which schema it is")
    for run in listing.missing.values():
        if run in records:
            yield Fault(records[run].file, "missing", f"{run} tells of its {records[run].rows} rows")
    known = {member.name for member in listing.members.values()}
    yield from (
        Fault(name, "unknown", "no run record tells of it") for name in listing.own if name not in known
    )
    for name, members in listing.chosen.items():
        yield from _held_to_records(store, listing, name, members, records)


def _held_to_records(
    store: "Store", listing: Listing, name: str, members: list[Member], records: dict[str, RunRecord]
) -> Iterator[Fault]:
    """The faults of one file: whose rows are not those that its records tell of."""
    try:
        table = store.rows_of_file(name, members, listing.holds.get(name, members))
    except FileNotFoundError:
        yield Fault(name, "missing", "it went while the store was looked at")
        return
    except StoreError as error:
        yield Fault(name, "damaged", str(error))
        return
    parts = _by_run(table)
    for member in members:
        run = listing.runs[key_of(member)]
        record = records.get(run)
        if record is None:
            continue
        rows = parts.pop((record.scene, record.options_sha256), table.slice(0, 0))
        told = table_sha256(rows)
        if record.name != run:
            yield Fault(run, "changed", f"it is the record of {record.name}")
        elif told != record.result_sha256 or len(rows) != record.rows:
            expected = f"expected {record.rows} rows with the sha256 {record.result_sha256}"
            yield Fault(name, "changed", f"{expected} of scene {record.scene}, got {len(rows)} with {told}")
    for scene, _ in parts:
        yield Fault(name, "changed", f"expected rows of its runs only, got some of scene {scene}")


def _by_run(table: pa.Table) -> dict[tuple[str, str], pa.Table]:
    """Rows of one run each; those of a run lie together."""
    runs = zip(table["scene"].to_pylist(), table["options_sha256"].to_pylist(), strict=True)
    parts, start = {}, 0
    for run, same in groupby(runs):
        count = sum(1 for _ in same)
        parts[run] = table.slice(start, count)
        start += count
    return parts
