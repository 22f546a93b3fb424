"""The pages of the catalogue above the Items: the root, and one a year with the names of its Items."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac

from pithead.catalog.entry import Entry
from pithead.errors import CatalogError
from pithead.files import write_whole

PAGE = "catalog.json"
SCHEMA = 1
_SCHEMA_KEY, _REVISION_KEY = "pithead:schema", "pithead:revision"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Books:
    """What the pages say."""

    revision: int
    """Goes up whenever anything is written."""
    years: Mapping[str, tuple[str, ...]]
    """Ids of Items, sorted, by the folder that they lie in; in the order of the folders."""
    digest: str
    """sha256 over the pages."""

    def places(self) -> Iterator[tuple[str, str]]:
        """Folder and id of every Item, once: if a kill left it in two folders, the first has it."""
        seen: set[str] = set()
        for year, ids in self.years.items():
            for name in ids:
                if name not in seen:
                    seen.add(name)
                    yield year, name


def read_books(folder: Path) -> Books:
    """Read the pages of an archive.

    Again, if the root is written meanwhile: a scene that moves is on the page that gains it before that, and
    on the one that loses it until after, so that one of the two shows it.

    Raises:
        CatalogError: There is none, it is damaged, or it is of another make or a newer schema.
    """
    while True:
        pages = _read_once(folder)
        root = _page(folder / PAGE, lambda _: None)
        if root.get(_REVISION_KEY, 0) == pages.revision:
            return pages


def _read_once(folder: Path) -> Books:
    hashed = hashlib.sha256()
    root = _page(folder / PAGE, hashed.update)
    schema = root.get(_SCHEMA_KEY)
    if schema != SCHEMA:
        made = f"schema {schema}" if schema else "one that pithead did not make"
        raise CatalogError(
            f"{folder / PAGE}: expected an archive of schema {SCHEMA}, got {made}: "
            + ("use a newer pithead" if schema else "make an archive in another folder and take this one in")
        )
    years = {}
    for child in sorted(_hrefs(root, "child")):
        page = _page(folder / child, hashed.update)
        years[child.split("/")[1]] = tuple(sorted(href.split("/")[1] for href in _hrefs(page, "item")))
    return Books(int(root.get(_REVISION_KEY, 0)), years, hashed.hexdigest())


def no_folder(folder: Path) -> CatalogError:
    """The error where a file lies in the place of an archive, or of a folder above it."""
    return CatalogError(
        f"{folder}: expected the folder of an archive, got a file, or a place inside one: name the folder "
        "first, and scenes with --add"
    )


def write_year(folder: Path, year: str, ids: tuple[str, ...]) -> None:
    """Write the page of a year."""
    links = [{"rel": rel, "href": f"../{PAGE}", "type": _JSON} for rel in ("root", "parent")]
    links += [
        {"rel": "item", "href": f"./{name}/{name}.json", "type": "application/geo+json"} for name in ids
    ]
    told = "whose date nobody knows" if not year.isdigit() else f"of {year}"
    _write(folder / year / PAGE, f"pithead-{year}", f"The scenes {told}.", links, {})


def write_root(folder: Path, years: tuple[str, ...], revision: int) -> None:
    """Write the root."""
    links = [{"rel": "root", "href": f"./{PAGE}", "type": _JSON}]
    links += [{"rel": "child", "href": f"./{year}/{PAGE}", "type": _JSON, "title": year} for year in years]
    more = {_SCHEMA_KEY: SCHEMA, _REVISION_KEY: revision}
    _write(folder / PAGE, "pithead-archive", "Scenes of an archive, by year.", links, more)


def item_path(folder: Path, year: str, name: str) -> Path:
    """Where an Item lies."""
    return folder / year / name / f"{name}.json"


def path_of(folder: Path, entry: Entry) -> Path:
    """Where the Item of an entry lies."""
    return item_path(folder, entry.folder, entry.id)


def _write(
    path: Path, name: str, description: str, links: list[dict[str, str]], more: Mapping[str, Any]
) -> None:
    document = {
        "type": "Catalog",
        "id": name,
        "stac_version": pystac.get_stac_version(),
        "description": description,
        "links": links,
        **more,
    }
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _page(path: Path, hash_more: Callable[[bytes], None]) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        hash_more(hashlib.sha256(content).digest())
        page = json.loads(content)
        if not isinstance(page, dict) or not isinstance(page.get("links"), list):
            raise CatalogError(f"{path}: expected a page of a STAC catalogue, got other JSON")
    except FileNotFoundError as error:
        raise CatalogError(
            f"{path}: expected an archive there, got nothing: make one with --add SCENE"
        ) from error
    except NotADirectoryError as error:
        raise no_folder(path.parent) from error
    except (OSError, ValueError) as error:
        if isinstance(error, CatalogError):
            raise
        told = error.strerror if isinstance(error, OSError) else error
        raise CatalogError(f"{path}: expected a page of a STAC catalogue, got: {told}") from error
    return page


def _hrefs(page: Mapping[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in page["links"] if link.get("rel") == rel]
