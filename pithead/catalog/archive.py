"""The catalogue of an archive: scenes and sites, taken in, listed, and held against their files."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pithead.catalog import books, intake
from pithead.catalog.books import Books
from pithead.catalog.entry import Entry, Site
from pithead.catalog.foreign import offers_of
from pithead.catalog.index import Index, read_index, write_index
from pithead.catalog.intake import Identified, Offer
from pithead.catalog.ledger import Ledger, Taken, read_entries
from pithead.catalog.lock import locked
from pithead.catalog.places import SITES, read_sites, sites_of
from pithead.catalog.state import State, state_of
from pithead.errors import CatalogError, PitheadError
from pithead.files import write_whole
from pithead.sidefiles import Facts

Told = Callable[[str, PitheadError], None]
_LOOKERS = 4  # hashing waits for disks, and remote scenes for their servers
_AT_A_TIME = 512  # scenes that are written together: a kill costs no more than so many looks


@dataclass(frozen=True, slots=True)
class Catalog:
    """The archive in a folder; nothing of it is kept in memory: what it says is what lies there now."""

    folder: Path

    @classmethod
    def make(cls, folder: str | Path) -> "Catalog":
        """Make an empty archive in a folder, which is made if it is missing.

        Raises:
            CatalogError: There is a catalogue already, or the folder cannot be written to.
        """
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)
            with locked(place):
                if (place / books.PAGE).exists():
                    raise CatalogError(f"{place}: expected a folder without a catalogue, got one: open it")
                books.write_root(place, (), 0)
        except OSError as error:
            raise CatalogError(f"{place}: expected a folder to write to, got {error.strerror}") from error
        return cls(place)

    @classmethod
    def open(cls, folder: str | Path) -> "Catalog":
        """The archive that lies in a folder.

        Raises:
            CatalogError: There is none, or one of another make or a newer schema.
        """
        books.read_books(Path(folder))
        return cls(Path(folder))

    def scenes(self) -> tuple[Entry, ...]:
        """Every scene, sorted by id; also those whose file was found to be changed.

        They come from the index if it is of these pages and sites, else from the Items, and the index is made
        anew if the folder may be written to and nobody else writes.

        Raises:
            CatalogError: A page or an Item is missing or damaged.
        """
        pages = books.read_books(self.folder)
        sites, digest = sites_of(self.folder)
        found = read_index(self.folder, pages.digest)
        if found is not None and found.sites == digest:
            return found.entries
        pages, read = self._read(pages) if found is None else (pages, found.entries)
        entries = sites.assign(read)
        try:
            with locked(self.folder, wait=False) as mine:
                if mine:
                    write_index(self.folder, Index(entries, digest), pages.digest)
        except OSError:
            pass  # an archive that is only read has its Items
        return entries

    def sites(self) -> tuple[Site, ...]:
        """Every site, sorted by name: those of `sites.geojson`, and names that scenes were taken in for.

        Raises:
            CatalogError: The catalogue or its file of sites is damaged.
        """
        named = {name for entry in self.scenes() for name in entry.sites}
        return sites_of(self.folder)[0].with_names(named)

    def set_sites(self, geojson: str | Path) -> tuple[Site, ...]:
        """Put another file in the place of `sites.geojson`; what scenes show follows from it at once.

        Raises:
            CatalogError: It is no file of sites; the old one stays.
        """
        path = Path(geojson)
        read_sites(path)
        with locked(self.folder):
            write_whole(self.folder / SITES, path.read_bytes())
        return self.sites()

    def add(
        self,
        paths: Iterable[str | Path],
        site: str | None = None,
        facts: Facts | None = None,
        *,
        fetch: bool = False,
    ) -> tuple[Entry, ...]:
        """Take scenes in, and give their entries in the same order; `take` tells more of each.

        Args:
            paths: Files, or addresses (https://, s3://).
            site: The name or an alias of the site that they are taken in for.
            facts: What the user says of all of them: it comes before what side files say.
            fetch: Whether remote scenes are fetched to be hashed.

        Raises:
            PitheadError: One of them cannot be taken in; scenes before it may have been.
        """
        offers = [Offer(str(path), facts or Facts()) for path in paths]
        return tuple(taken.entry for taken in self.take(offers, site, fetch=fetch))

    def take(
        self,
        offers: Sequence[Offer],
        site: str | None = None,
        *,
        fetch: bool = False,
        failed: Told | None = None,
    ) -> tuple[Taken, ...]:
        """Take scenes in: hash them, read their side files, write their Items; one added twice is one.

        A scene whose bytes are known from another place is not taken in twice: the place is noted as a copy.
        One at whose place another scene was is a new one, and the other is marked as changed. What the user
        says of a known scene is written down; its ground resolution is not, as its results rest on it.

        Args:
            offers: What to take in, and what is known of it beforehand.
            site: The name or an alias of the site that they are taken in for.
            fetch: Whether remote scenes are fetched to be hashed.
            failed: Called with path and error of each scene that cannot be taken in; else the first raises.

        Raises:
            PitheadError: As `failed` says, or the catalogue is damaged.
        """
        ledger = self._ledger(None)
        taken: list[Taken] = []
        for start in range(0, len(offers), _AT_A_TIME):
            part = offers[start : start + _AT_A_TIME]
            looked = list(_look(ledger, part, fetch=fetch, failed=failed))
            with locked(self.folder):
                ledger = self._ledger(ledger)
                taken += [ledger.merge(offer, found, site) for offer, found in looked]
                ledger.commit(index=start + _AT_A_TIME >= len(offers))
        sites, _ = sites_of(self.folder)
        placed = sites.assign([ledger.entries[one.entry.id] for one in taken])
        return tuple(
            Taken(one.path, entry, one.news, one.replaced) for one, entry in zip(taken, placed, strict=True)
        )

    def take_stac(
        self,
        path: str | Path,
        site: str | None = None,
        facts: Facts | None = None,
        *,
        asset: str | None = None,
        trusted: bool = True,
        fetch: bool = False,
        failed: Told | None = None,
    ) -> tuple[Taken, ...]:
        """Take in the scenes of another STAC catalogue, an Item, or an API's collection of Items.

        Args:
            path: A file, or an address; it may name remote scenes.
            site: As for `take`.
            facts: What the user says of all of them: before side files, and these before the catalogue.
            asset: Which asset of an Item is the scene, by its key; without it the `visual` or the only one.
            trusted: Whether a remote scene goes by the hash that the catalogue states; else by a fingerprint.
            fetch: As for `take`.
            failed: As for `take`.

        Raises:
            CatalogError: It is no STAC, or an Item leaves open which of its assets is the scene.
            PitheadError: As for `take`.
        """
        offers = list(offers_of(str(path), facts, asset=asset, trusted=trusted))
        return self.take(offers, site, fetch=fetch, failed=failed)

    def update(self, entries: Iterable[Entry]) -> None:
        """Write down what is new of known scenes: `renewed` entries, or ones marked as changed.

        Raises:
            CatalogError: One of them is not known.
        """
        with locked(self.folder):
            ledger = self._ledger(None)
            for entry in entries:
                known = ledger.entries.get(entry.id)
                if known is None or known.sha256 != entry.sha256:
                    raise CatalogError(f"expected a scene of {self.folder}, got {entry.id}: add it first")
                ledger.put(entry)
            ledger.commit()

    def state(self, entry: Entry, *, verify: bool = False) -> State:
        """What became of a scene's file: same, touched, changed or gone.

        Args:
            entry: A scene.
            verify: Whether it is hashed even if size and time are the same.

        Raises:
            SceneError: Nobody can say: a disk or a server does not answer.
        """
        return state_of(entry, verify=verify)

    def _read(self, pages: Books) -> tuple[Books, tuple[Entry, ...]]:
        """Every entry by its Item; again, if somebody moved one in the meantime."""
        try:
            return pages, read_entries(self.folder, pages)
        except CatalogError:
            now = books.read_books(self.folder)
            if now.digest == pages.digest:
                raise
        return self._read(now)

    def _ledger(self, known: Ledger | None) -> Ledger:
        """What the folder says now; that which is known if nobody wrote since."""
        pages = books.read_books(self.folder)
        if known is not None and known.pages.digest == pages.digest:
            return known
        found = read_index(self.folder, pages.digest)
        return Ledger(
            self.folder, pages, read_entries(self.folder, pages) if found is None else found.entries
        )


def _look(
    ledger: Ledger, offers: Sequence[Offer], *, fetch: bool, failed: Told | None
) -> Iterator[tuple[Offer, Identified | Entry]]:
    """What each of the scenes is; several are looked at together, and come in their order."""

    def look(offer: Offer) -> Identified | Entry | PitheadError:
        try:
            href = intake.place_of(offer.path)
            known = ledger.at(href)
            if known is not None and not fetch and intake.unchanged(known):
                return known
            found = intake.identify(href, offer.sha256, fetch=fetch)
            return intake.entry_from(offer, found) if ledger.by_sha256(found.sha256) is None else found
        except PitheadError as error:
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor(_LOOKERS, thread_name_prefix="look") as pool:
        # Each file is opened without this warning, but threads that do so undo each other's filters.
        warnings.filterwarnings("ignore", message="Dataset has no geotransform")
        for offer, found in zip(offers, pool.map(look, offers), strict=True):
            if not isinstance(found, PitheadError):
                yield offer, found
            elif failed is None:
                pool.shutdown(cancel_futures=True)
                raise found
            else:
                failed(offer.path, found)
