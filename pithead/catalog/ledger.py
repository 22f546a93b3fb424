"""The catalogue in memory while it is written, in an order that a kill at any moment leaves valid."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pithead.catalog import books
from pithead.catalog.books import Books
from pithead.catalog.entry import Entry, Site
from pithead.catalog.index import Index, drop_index, write_index
from pithead.catalog.intake import Identified, Offer, id_of, told_anew
from pithead.catalog.item import entry_of, item_of
from pithead.catalog.places import misses, named_for, sites_of
from pithead.catalog.telling import amendments
from pithead.errors import CatalogError
from pithead.files import write_whole

News = Literal["new", "known", "copy", "moved"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a scene that was to be taken in."""

    path: str
    """As it was given."""
    entry: Entry
    """As it is now."""
    news: News
    """A scene of its own; or known, from this place; or its bytes are known from another place; or they were,
    are there no more, and this is its place from now on."""
    replaced: tuple[str, ...] = ()
    """Ids of scenes whose file held other bytes: they are marked as changed."""
    before: Entry | None = None
    """As it was before; None of a new one."""
    remark: str | None = None
    """What the user should know of it."""

    @property
    def amended(self) -> dict[str, tuple[Any, Any]]:
        """What it says otherwise than before: old and new as JSON has them, by the name of the field."""
        return {} if self.before is None else amendments(self.before, self.entry)

    @property
    def restored(self) -> bool:
        """Whether its place was found to hold other bytes before, and holds its own again."""
        was_changed = self.before is not None and self.before.changed
        return was_changed and not self.entry.changed and self.news != "moved"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a scene that was offered is, and what became of the one of the same bytes."""

    found: Identified | Entry
    """An entry of its own; or what a file is whose bytes are known."""
    lost: str | None = None
    """The place of the known scene, if it was looked for there and is gone or holds other bytes."""
    kept: str | None = None
    """The same, if it was marked as changed and its bytes are there again."""


def read_entries(folder: Path, pages: Books) -> tuple[Entry, ...]:
    """Every entry by its Item, sorted by id.

    Raises:
        CatalogError: An Item is missing or damaged.
    """
    entries = [_read_item(books.item_path(folder, year, name)) for year, name in pages.places()]
    return tuple(sorted(entries, key=lambda entry: entry.id))


def _read_item(path: Path) -> Entry:
    try:
        return entry_of(json.loads(path.read_bytes()))
    except CatalogError as error:
        raise CatalogError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: expected an Item of the catalogue, got {error}") from error


class Ledger:
    """Entries by id, by hash and by place, and which of them are not written yet."""

    def __init__(self, folder: Path, pages: Books, entries: Iterable[Entry]) -> None:
        """Take over what the pages and Items of a folder say."""
        self.folder, self.pages = folder, pages
        self.entries = {entry.id: entry for entry in entries}
        self._by_sha256 = {entry.sha256: entry.id for entry in self.entries.values()}
        self._by_place: dict[str, set[str]] = {}
        self._folders = _folders(pages)
        # What a kill left in two folders is mended with whatever is written next.
        self._new = {name: self.entries[name] for name, years in self._folders.items() if len(years) > 1}
        for entry in self.entries.values():
            self._by_place.setdefault(entry.href, set()).add(entry.id)

    def by_sha256(self, sha256: str) -> Entry | None:
        """The scene of that hash."""
        name = self._by_sha256.get(sha256)
        return None if name is None else self.entries[name]

    def at(self, href: str) -> Entry | None:
        """The scene that a place holds, as far as is known."""
        there = (self.entries[name] for name in self._by_place.get(href, ()))
        return next((entry for entry in there if not entry.changed), None)

    def put(self, entry: Entry) -> Entry:
        """Keep an entry, to be written if it says anything new."""
        old = self.entries.get(entry.id)
        if old != entry:
            if old is not None:
                self._by_place[old.href].discard(old.id)
            self._new[entry.id] = self.entries[entry.id] = entry
            self._by_sha256[entry.sha256] = entry.id
            self._by_place.setdefault(entry.href, set()).add(entry.id)
        return entry

    def merge(self, offer: Offer, looked: Looked, site: Site | None) -> Taken:
        """Take in a scene, or tell what is known of it.

        Args:
            offer: What was asked for.
            looked: What it is.
            site: The site that it is taken in for.
        """
        found = looked.found
        news: News = "new"
        known = self.by_sha256(found.sha256)
        replaced = self._replace(found)
        if known is None:
            if not isinstance(found, Entry):
                raise CatalogError(
                    f"{found.href}: expected a known scene, got one that is gone: add it again"
                )
            taken = self.entries.get(found.id)
            clash = taken is not None and taken.sha256 != found.sha256
            name = id_of(found.href, found.sha256, long=True) if clash else found.id
            fresh = replace(found, id=name)
        else:
            fresh, news = _again(told_anew(known, offer.facts), looked)
        entry = self.put(fresh if site is None else named_for(fresh, site))
        return Taken(offer.path, entry, news, replaced, known, _remark(entry, site))

    def _replace(self, found: Identified | Entry) -> tuple[str, ...]:
        """Mark the scenes whose file holds other bytes now."""
        there = [self.entries[name] for name in sorted(self._by_place.get(found.href, ()))]
        gone = [entry for entry in there if entry.sha256 != found.sha256 and not entry.changed]
        return tuple(self.put(replace(entry, changed=True)).id for entry in gone)

    def commit(self, *, index: bool = True) -> None:
        """Write what is new: Items, then pages of years, then the root, then (if wanted) the index.

        Under the lock only. An Item that is not on a page yet is not part of the catalogue, and an index that
        was made of other pages is stale: whenever it is killed, a reader sees the scenes before or after.
        """
        if not self._new:
            return
        if not self._new.keys().isdisjoint(self._folders):
            drop_index(self.folder)
        for entry in self._new.values():
            text = json.dumps(item_of(entry), indent=1, ensure_ascii=False)
            write_whole(books.path_of(self.folder, entry), text + "\n")
        self._write_pages()
        self._new.clear()
        self.pages = books.read_books(self.folder)
        self._folders = _folders(self.pages)
        if index:
            sites, digest = sites_of(self.folder)
            entries = sites.assign(sorted(self.entries.values(), key=lambda entry: entry.id))
            write_index(self.folder, Index(entries, digest), self.pages.digest)

    def _write_pages(self) -> None:
        """Pages with what they gain, the root, pages without what they lose.

        So a scene that moves is on two pages for a moment rather than on none.
        """
        before = {year: set(ids) for year, ids in self.pages.years.items()}
        after = {year: ids - self._new.keys() for year, ids in before.items()}
        for entry in self._new.values():
            after.setdefault(entry.folder, set()).add(entry.id)
        both = {year: ids | before.get(year, set()) for year, ids in after.items()}
        for year in sorted(year for year in both if both[year] != before.get(year)):
            books.write_year(self.folder, year, tuple(sorted(both[year])))
        books.write_root(self.folder, tuple(sorted(after)), self.pages.revision + 1)
        for year in sorted(year for year in both if both[year] != after[year]):
            books.write_year(self.folder, year, tuple(sorted(after[year])))
            for name in both[year] - after[year]:
                old = books.item_path(self.folder, year, name)
                old.unlink(missing_ok=True)
                with suppress(OSError):  # what a kill has left half-written may lie there still
                    old.parent.rmdir()


def _folders(pages: Books) -> dict[str, set[str]]:
    """The folders of each Item by its id: one, or two if a kill came while it was moved."""
    found: dict[str, set[str]] = {}
    for year, ids in pages.years.items():
        for name in ids:
            found.setdefault(name, set()).add(year)
    return found


def _again(known: Entry, looked: Looked) -> tuple[Entry, News]:
    """A known scene that was found: at its place, at another one, or at one that becomes its place."""
    found = looked.found
    if known.href in {found.href, looked.lost}:
        moved = known.href != found.href
        again = replace(
            known,
            href=found.href,
            identity=found.identity if moved else known.identity,
            bytes=found.bytes,
            mtime_ns=found.mtime_ns,
            etag=found.etag,
            changed=False,
            copies=tuple(place for place in known.copies if place != found.href),
        )
        return again, "moved" if moved else "known"
    changed = known.changed and known.href != looked.kept
    return replace(known, changed=changed, copies=tuple(sorted({*known.copies, found.href}))), "copy"


def _remark(entry: Entry, site: Site | None) -> str | None:
    if site is None or not misses(entry, site):
        return None
    return f"scene {entry.id} was taken in for {site.name}, whose polygon it does not meet"
