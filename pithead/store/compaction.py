"""Many small files of the same weights and site become one, while others read and write.

The new file is written whole and names the files that it stands for; only then do these go. A kill in between
leaves rows at two places, of which readers take one, and the next compaction goes on. Two compactions at once
do no harm: each removes only what its own new file stands for.
"""

from collections import defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING

import pyarrow as pa

from pithead.errors import StoreError
from pithead.store.listing import Listing, Member, key_of
from pithead.store.rows import in_order, is_px, to_parquet

if TYPE_CHECKING:
    from pithead.store.store import Store


def compact(store: "Store") -> int:
    """Put the rows of each folder of weights and site into one file, and into one more if some are in pixels.

    Says how many files are gone.

    Raises:
        StoreError: A file is damaged, or there is no room; nothing is lost.
    """
    listing = store.listing()
    if listing.damaged:
        raise StoreError(next(iter(listing.damaged.values())))
    folders: dict[str, list[str]] = defaultdict(list)
    for name in sorted({*listing.holds, *listing.own}):
        folders[name.rpartition("/")[0]].append(name)
    return sum(_compact_folder(store, listing, names) for _, names in sorted(folders.items()))


def _compact_folder(store: "Store", listing: Listing, names: list[str]) -> int:
    """Make one file of those in a folder that are read, and remove those that it stands for."""
    read = [name for name in names if name in listing.chosen]
    if len(read) == 1 and len(listing.chosen[read[0]]) == len(listing.holds.get(read[0], read)):
        made: dict[str, bytes] = {read[0]: b""}  # one file is as few as can be
    else:
        try:
            made = _merged(store, listing, read)
        except FileNotFoundError:
            return 0  # another compaction is at it
    for name in sorted(made.keys() - set(names)):
        store.shelf.write(name, made[name])
    stands_for = {member.name for name in read for member in listing.chosen[name]}
    gone = [name for name in names if name not in made and _replaced(listing, name, stands_for)]
    for name in gone:
        store.shelf.remove(name)
    return len(gone)


def _merged(store: "Store", listing: Listing, read: list[str]) -> dict[str, bytes]:
    """The files to be written, by name: of all rows on the ground, and of all in pixels if there are any."""
    parts: dict[bool, list[tuple[list[Member], pa.Table]]] = defaultdict(list)
    for name in read:
        members = listing.chosen[name]
        rows = store.rows_of_file(name, members, listing.holds.get(name, members))
        parts[is_px(rows)].append((members, rows))
    made = {}
    for mine in parts.values():
        holds = [member.name for members, _ in mine for member in members]
        content = to_parquet(in_order(pa.concat_tables([rows for _, rows in mine])), holds)
        folder = holds[0].rpartition("/")[0]
        made[f"{folder}/compacted.{sha256(content).hexdigest()[:16]}.parquet"] = content
    return made


def _replaced(listing: Listing, name: str, stands_for: set[str]) -> bool:
    """Whether all that counts of a file is in the new one, which stands for members of these names.

    A run's own file that its record does not name stays: a record that names it may be about to be written.
    """
    if name in listing.own:
        return name in stands_for
    return all(
        member.name in stands_for
        for member in listing.holds[name]
        if listing.members.get(key_of(member)) == member
    )
