"""Which weights a history is told by: as they are named, or those that scored most of the site."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pithead.card import Card
from pithead.catalog import Site
from pithead.changes.sides import first_used
from pithead.detector import Detector
from pithead.errors import WeightsError
from pithead.files import sha256_of
from pithead.rescore import Archive
from pithead.sites.notes import Note
from pithead.store import RunRecord

_PREFIX = re.compile("[0-9a-f]{4,64}")
_Kind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Meant:
    """One weights with one set of options, and the runs over scenes of a site."""

    sha256: str
    weights: str
    runs: tuple[RunRecord, ...]
    card: Card | None
    classes: tuple[str, ...]
    notes: tuple[Note, ...] = ()

    @property
    def name(self) -> tuple[str, str]:
        """Hash and name."""
        return self.sha256, self.weights


def meant_by(archive: Archive, site: Site, weights: str | Path | None) -> Meant | None:
    """The weights that are named, or those that scored most scenes of a site; None if none scored any.

    Of several sets of options that with which most scenes of the site were scored.

    Raises:
        WeightsError: No such weights have scored the site.
    """
    scenes = {entry.sha256 for entry in archive.catalog.scenes() if site.name in entry.sites}
    runs = [one for one in archive.store.records() if one.scene_sha256 in scenes]
    if not runs and weights is None:
        return None
    path = None if weights is None else Path(weights)
    file = path if path is not None and path.is_file() else None
    wanted = sha256_of(file) if file is not None else None if weights is None else str(weights)
    some = [one for one in runs if _is(one, wanted)]
    if not some:
        told = ", ".join(sorted({f"{one.weights} ({one.weights_sha256[:12]})" for one in runs})) or "none"
        raise WeightsError(
            f"expected weights that have scored scenes of {site.name} ({told}), got {weights}: run "
            "inference/rescore.py with them first"
        )
    sha256, options = _most(some, list(first_used(archive.log)))
    mine = tuple(one for one in some if (one.weights_sha256, one.options_sha256) == (sha256, options))
    card = archive.card(sha256) if file is None else Detector.open(file, verify=False).card
    asked = mine[0].options.get("classes")
    classes = tuple(str(name) for name in asked) if asked else tuple(mine[0].counts)
    if card is not None and not asked:
        classes = tuple(known.name for known in card.classes)
    kinds = {(one.weights_sha256, one.options_sha256) for one in runs}
    others = Note(
        "other_results",
        {
            "weights": f"{mine[0].weights} ({sha256[:12]})",
            "options": options[:8],
            "count": str(len(kinds) - 1),
        },
    )
    notes = (others,) if len(kinds) > 1 else ()
    return Meant(sha256, mine[0].weights, mine, card, classes, notes)


def _is(run: RunRecord, wanted: str | None) -> bool:
    """Whether a run is of the weights of a name, a sha256 or the beginning of one; None is all."""
    if wanted is None or run.weights == wanted:
        return True
    return bool(_PREFIX.fullmatch(wanted)) and run.weights_sha256.startswith(wanted)


def _most(runs: Iterable[RunRecord], order: list[str]) -> _Kind:
    """The weights and options of most runs; of as many, those that came last into the log."""
    counts: dict[_Kind, int] = {}
    for one in runs:
        kind = one.weights_sha256, one.options_sha256
        counts[kind] = counts.get(kind, 0) + 1

    def rank(kind: _Kind) -> tuple[int, int, str]:
        turn = order.index(kind[0]) if kind[0] in order else -1
        return counts[kind], turn, kind[1]

    return max(counts, key=rank)
