"""The cards of imagery sources: which of them a scene is from, and under what licence it is."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pithead.errors import DatasetError

GENERATED, UNKNOWN = "generated", "unknown"


def read_sources(folder: Path) -> dict[str, dict[str, Any]]:
    """The cards of a folder (datasets/sources) by name.

    Raises:
        DatasetError: One cannot be read or lacks name, title, licence or use.
    """
    cards = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            card = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DatasetError(f"expected the card of a source at {path}: {error}; mend it") from error
        lacking = sorted({"name", "title", "licence", "use"} - card.keys())
        if lacking:
            raise DatasetError(f"expected the card of a source at {path}, got none of {', '.join(lacking)}")
        cards[str(card["name"])] = card
    return cards


def source_of(scene: str, names: Iterable[str]) -> str | None:
    """The source that the name of a scene begins with, the longest if there are several; None if none.

    `generate.py` names its scenes so, and `cut.py` those of a folder of negatives by the folder's name.
    """
    fitting = [
        name for name in names if scene == name or scene.startswith((f"{name}-", f"{name}_", f"{name}/"))
    ]
    return max(fitting, key=len, default=None)


def provenance(
    tiles: Iterable[tuple[str, str]], cards: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Title, licence and use of every source, with the number of tiles that show something of it.

    A generated scene may stand on an image: `generate.py` names the image as its site, and such a tile is of
    both sources.

    Args:
        tiles: Scene and site of each tile.
        cards: What `read_sources` gives. What is of no source is told under ``unknown``.
    """
    counts: Counter[str] = Counter()
    for scene, site in tiles:
        mine, ground = source_of(scene, cards), source_of(site, cards)
        drawn_on_an_image = mine == GENERATED and site != scene
        counts.update(
            {mine or UNKNOWN, (ground or UNKNOWN) if drawn_on_an_image else (ground or mine or UNKNOWN)}
        )
    return {
        name: {
            "tiles": count,
            **{key: cards[name][key] for key in ("title", "licence", "use") if name in cards},
        }
        for name, count in sorted(counts.items())
    }
