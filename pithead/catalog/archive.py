"""The catalogue of an archive: scenes and sites, taken in, listed, and held against their files."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pithead.catalog import books, intake
from pithead.catalog.books import Books
from pithead.catalog.entry import Entry, Site
from pithead.catalog.foreign import offers_of
from pithead.catalog.index import Index, read_index, write_index
from pithead.catalog.intake import Identified, Offer
from pithead.catalog.ledger import Ledger, Looked, Taken, read_entries
from pithead.catalog.lock import locked
from pithead.catalog.places import SITES, read_sites, site_meant, site_named, sites_of
from pithead.catalog.state import State, state_of
from pithead.errors import CatalogError, PitheadError, SceneError
from pithead.files import write_whole
from pithead.sidefiles import Facts

Told = Callable[[str, PitheadError], None]
Noted = Callable[[Sequence[Taken]], None]
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
        except (FileExistsError, NotADirectoryError) as error:
            raise books.no_folder(place) from error
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

    def items(self) -> tuple[Entry, ...]:
        """Every scene as its Item says now, past the index, sorted by id: to find out what was edited.

        Raises:
            CatalogError: A page or an Item is missing or damaged.
        """
        _, read = self._read(books.read_books(self.folder))
        return sites_of(self.folder)[0].assign(read)

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
        with _writing(self.folder):
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
        noted: Noted | None = None,
    ) -> tuple[Taken, ...]:
        """Take scenes in: hash them, read their side files, write their Items; one added twice is one.

        A scene whose bytes are known from another place is not taken in twice: the place is noted as a copy,
        or is the scene's from now on if they are at the known place no more. One at whose place another scene
        was is a new one, and the other is marked as changed. What the user says of a known scene is written
        down; its ground resolution is not, as its results rest on it.

        Args:
            offers: What to take in, and what is known of it beforehand.
            site: The name or an alias of the site that they are taken in for; a new name is a new site.
            fetch: Whether remote scenes are fetched to be hashed.
            failed: Called with path and error of each scene that cannot be taken in; else the first raises.
            noted: Called with what became of some of them just before that is written, while nobody else
                writes: a log then has everything in its order. After a kill between, the scenes are as they
                were, and the same call again mends that.

        Raises:
            PitheadError: As `failed` says, the site has an empty name, or the catalogue is damaged.
        """
        ledger = self._ledger(None)
        self._meant(ledger, site)
        taken: list[Taken] = []
        for start in range(0, len(offers), _AT_A_TIME):
            part = offers[start : start + _AT_A_TIME]
            looked = list(_look(ledger, part, fetch=fetch, failed=failed))
            with _writing(self.folder):
                ledger = self._ledger(ledger)
                meant = self._meant(ledger, site)
                now = self._placed([ledger.merge(offer, found, meant) for offer, found in looked])
                if noted is not None:
                    noted(now)
                ledger.commit(index=start + _AT_A_TIME >= len(offers))
            taken += now
        return tuple(taken)

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
        noted: Noted | None = None,
    ) -> tuple[Taken, ...]:
        """Take in the scenes of another STAC catalogue, an Item, or an API's collection of Items.

        Args:
            path: A file, or an address; it may name remote scenes.
            site: As for `take`.
            facts: What the user says of all of them: before side files, and these before the catalogue.
            asset: Which asset of an Item is the scene, by its key; without it the `visual` or the only one.
            trusted: Whether a remote scene goes by the hash that the catalogue states; else by a fingerprint.
            fetch: As for `take`.
            failed: As for `take`, and with the id of each Item that leaves open which asset is the scene.
            noted: As for `take`.

        Raises:
            CatalogError: It is no STAC.
            PitheadError: As for `take`.
        """
        offers = list(offers_of(str(path), facts, asset=asset, trusted=trusted, failed=failed))
        return self.take(offers, site, fetch=fetch, failed=failed, noted=noted)

    def update(self, entries: Iterable[Entry]) -> None:
        """Write down what is new of the files of known scenes: `renewed` entries, or ones marked as changed.

        Nothing else of them is taken over, as they may have been amended since; of one that has moved since,
        nothing is.

        Raises:
            CatalogError: One of them is not known.
        """
        with _writing(self.folder):
            ledger = self._ledger(None)
            for entry in entries:
                known = ledger.entries.get(entry.id)
                if known is None or known.sha256 != entry.sha256:
                    raise CatalogError(f"expected a scene of {self.folder}, got {entry.id}: add it first")
                if known.href == entry.href:
                    ledger.put(
                        replace(
                            known,
                            bytes=entry.bytes,
                            mtime_ns=entry.mtime_ns,
                            etag=entry.etag,
                            changed=known.changed or entry.changed,
                        )
                    )
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

    def _meant(self, ledger: Ledger, text: str | None) -> Site | None:
        """The site that a name stands for, among those of the file and those of scenes, or a new one."""
        if text is None:
            return None
        names = {name for entry in ledger.entries.values() for name in entry.named_sites}
        sites, _ = sites_of(self.folder)
        # Those of the file first: scenes may have been taken in by an alias before there was one.
        return site_named(sites.sites, text) or site_meant(sites.with_names(names), text)

    def _placed(self, taken: Sequence[Taken]) -> list[Taken]:
        """What was taken in with its sites, before and now."""
        sites, _ = sites_of(self.folder)
        now = sites.assign([one.entry for one in taken])
        known = [one.before for one in taken if one.before is not None]
        was = {id(entry): placed for entry, placed in zip(known, sites.assign(known), strict=True)}
        return [
            replace(one, entry=entry, before=None if one.before is None else was[id(one.before)])
            for one, entry in zip(taken, now, strict=True)
        ]

    def _ledger(self, known: Ledger | None) -> Ledger:
        """What the folder says now; that which is known if nobody wrote since."""
        pages = books.read_books(self.folder)
        if known is not None and known.pages.digest == pages.digest:
            return known
        found = read_index(self.folder, pages.digest)
        return Ledger(
            self.folder, pages, read_entries(self.folder, pages) if found is None else found.entries
        )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold the lock to write; a full disk and the like is told as the archive's fault, and of no scene."""
    try:
        with locked(folder):
            yield
    except PitheadError:
        raise
    except OSError as error:
        raise CatalogError(
            f"{folder}: expected an archive to write to, got: {error.strerror or error}; what it holds is "
            "unharmed: mend that (room, rights) and run again"
        ) from error


def _look(
    ledger: Ledger, offers: Sequence[Offer], *, fetch: bool, failed: Told | None
) -> Iterator[tuple[Offer, Looked]]:
    """What each of the scenes is; several are looked at together, and come in their order."""

    def look(offer: Offer) -> Looked | PitheadError:
        try:
            href = intake.place_of(offer.path)
            known = ledger.at(href)
            if known is not None and not fetch and intake.unchanged(known):
                if known.identity == "bytes":
                    intake.held(href, known.sha256, offer.sha256)
                return Looked(known)
            found = intake.identify(href, offer.sha256, fetch=fetch)
            same = ledger.by_sha256(found.sha256)
            return Looked(intake.entry_from(offer, found)) if same is None else _held_to(found, same)
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


def _held_to(found: Identified, known: Entry) -> Looked:
    """What a file of known bytes is, and whether the scene is still where it was."""
    if found.href == known.href:
        return Looked(found)
    try:
        state = state_of(known, verify=known.changed)
    except SceneError:
        return Looked(found)  # a server or a disk that does not answer now may still have it
    if state in {"gone", "changed"}:
        return Looked(found, lost=known.href)
    return Looked(found, kept=known.href if known.changed else None)
