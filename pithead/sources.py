"""The cards of imagery sources: which of them a scene is from, and under what licence it is."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pithead.errors import DatasetError


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
    scenes: Mapping[str, int], cards: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Title, licence and use of every source, with the number of tiles that are from it.

    Args:
        scenes: How many tiles are of each scene.
        cards: What `read_sources` gives. Scenes of no source are told under ``unknown``.
    """
    found: dict[str, dict[str, Any]] = {}
    for scene, tiles in sorted(scenes.items()):
        name = source_of(scene, cards) or "unknown"
        card = cards.get(name, {})
        row = found.setdefault(
            name, {"tiles": 0, **{key: card[key] for key in ("title", "licence", "use") if key in card}}
        )
        row["tiles"] += tiles
    return dict(sorted(found.items()))
