"""An archive on disk: the catalogue of its scenes, the store of what was found, and the log of evidence."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pithead.card import Card
from pithead.catalog import Catalog
from pithead.errors import CatalogError
from pithead.evidence import Log
from pithead.files import write_whole
from pithead.store import Store

SETTINGS = "archive.json"
LOCK = "rescore.lock"


@dataclass(frozen=True, slots=True)
class Archive:
    """A folder with a catalogue and a log; its store may lie elsewhere, where every worker reaches it."""

    folder: Path
    catalog: Catalog
    store: Store
    log: Log
    store_place: str
    work_place: str

    @classmethod
    def open(cls, folder: str | Path, store: str | None = None, *, make: bool = False) -> "Archive":
        """Open an archive, or make one.

        Args:
            folder: Where its catalogue is.
            store: Where what is found goes, another folder or an address such as s3://bucket/camps; it is
                remembered. Without it, what was remembered, else `store` in the folder.
            make: Whether a folder without a catalogue gets one.

        Raises:
            CatalogError: There is no catalogue and none is to be made, or results lie in another store.
        """
        folder = Path(folder)
        fresh = make and not (folder / "catalog.json").exists()
        catalog = Catalog.make(folder) if fresh else Catalog.open(folder)
        place = _settled(folder, store)
        own = str((folder / "store").absolute())
        # Beside a bucket would be another bucket, which may be another's.
        bucket = "://" in place and "/" not in place.partition("://")[2].rstrip("/")
        beside = f"{place.rstrip('/')}{'/work' if bucket else '.work'}"
        work = str((folder / "work").absolute()) if place == own else beside
        return cls(folder, catalog, Store.at(place), Log(folder / "log.jsonl"), place, work)

    def card(self, weights_sha256: str) -> Card | None:
        """The card of weights that were used here; None if none was kept, as by earlier versions.

        Raises:
            CardError: It cannot be read.
        """
        try:
            return Card.from_json(self._card_path(weights_sha256).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def keep_card(self, weights_sha256: str, card: Card) -> None:
        """Keep the card of weights: what was found has to be understood when the weights are gone."""
        path = self._card_path(weights_sha256)
        if not path.exists():
            write_whole(path, card.to_json())

    def _card_path(self, weights_sha256: str) -> Path:
        return self.folder / "cards" / f"{weights_sha256}.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the archive: two runs at once would do everything twice.

        Raises:
            CatalogError: Another run holds it, or its folder cannot be written to.
        """
        try:
            held = (self.folder / LOCK).open("a")
        except OSError as error:
            raise CatalogError(
                f"expected a folder to write to at {self.folder}, got: {error.strerror}; work on a copy"
            ) from error
        with held as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CatalogError(
                    f"expected an archive that nobody works on, another run holds {self.folder / LOCK}: wait "
                    "for it, or stop it"
                ) from error
            yield


def _settled(folder: Path, asked: str | None) -> str:
    """The place of the store: as it was settled before, or as it is asked for now."""
    path = folder / SETTINGS
    own = str((folder / "store").absolute())
    settled = _remembered(path)
    if settled is None and (folder / "store").exists():
        settled = own
    if asked is not None and "://" not in asked:
        asked = str(Path(asked).absolute())
    if asked is not None and asked.startswith("memory://"):
        raise CatalogError(
            f"expected a store that every process sees, got {asked}: name a folder or a bucket"
        )
    if asked is not None and settled is not None and asked != settled:
        raise CatalogError(
            f"expected the store of this archive, {settled}, got {asked}: to move a store, copy it and mend "
            f"{path}"
        )
    if asked is not None and settled is None and asked != own:
        write_whole(path, json.dumps({"store": asked}, indent=2) + "\n")
    return asked or settled or own


def _remembered(path: Path) -> str | None:
    """The store that a file of settings names; None without one."""
    try:
        return str(json.loads(path.read_text("utf-8"))["store"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(f'expected {{"store": "PLACE"}} in {path}, got another text: {error!r}') from error
