"""Which file beside a scene speaks of it, and what it says."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pithead.errors import CatalogError
from pithead.sidefiles.dimap import read_dimap
from pithead.sidefiles.facts import Facts
from pithead.sidefiles.features import read_feature
from pithead.sidefiles.maxar import read_imd, read_isd

_TILE = re.compile(r"_R\d+C\d+", re.IGNORECASE)
# An encoding that nobody knows, a number or a time out of all range, brackets without end.
_ODD = (LookupError, OverflowError, RecursionError)
_MOST_BYTES = 16 << 20  # a .json of the same name may be labels of any size


def read_sidefiles(scene_path: str | Path) -> Facts:
    """What the first side file beside a scene says of it; nothing is known if there is none.

    Looked for, in this order: Maxar's .IMD and .XML, Airbus' DIM_*.XML and METADATA.DIM, Planet's
    *_metadata.json, and a STAC Item of the scene's name. Tiles of a product (_R1C1) share its side file, and
    images of a Planet scene (_visual) the one whose name and id their names begin with.

    Raises:
        CatalogError: A side file is malformed.
    """
    for path, sure in _beside(Path(scene_path)):
        facts = read_sidefile(path)
        if facts is not None:
            return facts
        if sure:
            raise CatalogError(
                f"{path}: expected metadata of Maxar, Airbus or Planet, got other content: get it again, or "
                "take it away and name the facts"
            )
    return Facts()


def read_sidefile(path: Path) -> Facts | None:
    """What one side file says; None if it is of no kind that is known.

    Raises:
        CatalogError: It is malformed: cut off, no XML or JSON, or holding a number or a time that is none.
    """
    ending = path.suffix.lower()
    try:
        content = path.read_bytes()
        if ending == ".imd":
            facts: Facts | None = read_imd(content.decode("latin-1"))
        elif ending in {".xml", ".dim"}:
            root = fromstring(content)
            facts = read_isd(root) or read_dimap(root)
        else:
            facts = read_feature(json.loads(content))
    except (OSError, ParseError, DefusedXmlException, ValueError, *_ODD) as error:
        raise CatalogError(
            f"{path}: expected metadata of a scene, got a file that is malformed ({error}): get it again, or "
            "take it away and name the facts"
        ) from error
    return None if facts is None else replace(facts, source=path.name)


def _beside(scene: Path) -> Iterator[tuple[Path, bool]]:
    """The files that are there, and whether their names promise that they are side files."""
    folder, stem = scene.parent, scene.stem
    product = _TILE.sub("", stem)
    names = [(f"{name}.IMD", True) for name in dict.fromkeys((stem, product))]
    names += [(f"{name}.XML", False) for name in dict.fromkeys((stem, product))]
    if product.upper().startswith("IMG_"):
        # Pléiades Neo adds the bands to the name of the image only: IMG_…_RGBN_R1C1.JP2 has DIM_….XML.
        names += [(f"DIM_{part[4:]}.XML", True) for part in (product, product.rpartition("_")[0])]
    if stem.upper().startswith("IMAGERY"):
        names.append(("METADATA.DIM", True))
    names += [
        (f"{part}_metadata.json", True)
        for part in _beginnings(stem)
        if part == stem or _speaks_of(folder / f"{part}_metadata.json", part)
    ]
    names.append((f"{stem}.json", False))
    for name, sure in names:
        ending = Path(name).suffix
        for written in dict.fromkeys((name, name.removesuffix(ending) + ending.swapcase(), name.lower())):
            path = folder / written
            if path.is_file() and (sure or path.stat().st_size <= _MOST_BYTES):
                yield path, sure
                break


def _speaks_of(path: Path, name: str) -> bool:
    """Whether Planet's metadata are of the scene of that name; also if they are too damaged to say so."""
    if not path.is_file():
        return False
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, *_ODD):
        return True
    return isinstance(document, dict) and str(document.get("id")).casefold() == name.casefold()


def _beginnings(stem: str) -> Iterator[str]:
    """A name, and what is left of it when the last word after a _ is taken off, and the next."""
    while stem:
        yield stem
        stem = stem.rpartition("_")[0]
