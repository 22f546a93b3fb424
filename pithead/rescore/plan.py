"""What is to be scored: every scene that has no finished record for these weights and options."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from pithead.card import Card
from pithead.catalog import Entry, State, renewed
from pithead.errors import SceneError
from pithead.rescore.archive import Archive
from pithead.rescore.choice import Choice, chosen
from pithead.rescore.options import Options
from pithead.shelf import Shelf
from pithead.tiling import SAME_SCALE, Grid


@dataclass(frozen=True, slots=True)
class Plan:
    """The scenes of a run, and those that it leaves out, with the reason."""

    todo: tuple[Entry, ...]
    tiles: int
    """Tiles of all of them, also those that will turn out empty."""
    finished: int = 0
    """Scenes with a record, whose files are what they were."""
    touched: tuple[Entry, ...] = ()
    """Scenes whose files have another size or time but the same bytes, as they are now."""
    changed: tuple[Entry, ...] = ()
    """Their files hold other bytes than when they were taken in."""
    gone: tuple[Entry, ...] = ()
    aside: tuple[tuple[Entry, str], ...] = ()
    """Failed three times in an earlier run, with the last error."""
    tiles_of: dict[str, int] = field(default_factory=dict)
    """Tiles by the id of a scene."""

    @property
    def km2(self) -> float:
        """The ground of the scenes that are to be scored."""
        return sum(entry.km2 for entry in self.todo)


def plan(
    archive: Archive,
    card: Card,
    weights_sha256: str,
    options: Options,
    choice: Choice | None = None,
    *,
    retry_failed: bool = False,
    verify: bool = False,
) -> Plan:
    """Find the scenes without a finished record.

    Files are asked for size and time only, unless those differ or `verify` is set: then they are hashed.

    Raises:
        CatalogError: The archive has no such site.
        OptionError: The overlap does not fit the weights.
    """
    options.way(1).check(card)
    choice = choice or Choice()
    meant = list(chosen(archive.catalog, choice))
    current = {entry.href for entry in meant if not entry.changed}
    meant = [entry for entry in meant if not entry.changed or entry.href not in current]
    finished = archive.store.finished(weights_sha256, options.sha256)
    failures = {} if retry_failed else aside(archive.work_place, weights_sha256, options)
    found = _Found([], [], [], [], [])
    for entry in meant:
        done = entry.sha256 in finished
        if not done and choice.limit is not None and len(found.todo) >= choice.limit:
            continue
        if not done and not entry.changed and entry.sha256 in failures:
            found.aside.append(entry)
        else:
            found.add(archive, entry, done=done, verify=verify)
    tiles_of = {entry.id: tiles(entry, card, options) for entry in found.todo}
    return Plan(
        todo=tuple(found.todo),
        tiles=sum(tiles_of.values()),
        finished=len(
            {entry.sha256 for entry in meant} & finished - {entry.sha256 for entry in found.changed}
        ),
        touched=tuple(found.touched),
        changed=tuple(found.changed),
        gone=tuple(found.gone),
        aside=tuple((entry, failures[entry.sha256]) for entry in found.aside),
        tiles_of=tiles_of,
    )


@dataclass(slots=True)
class _Found:
    """Scenes by what became of their files."""

    todo: list[Entry]
    touched: list[Entry]
    changed: list[Entry]
    gone: list[Entry]
    aside: list[Entry]

    def add(self, archive: Archive, entry: Entry, *, done: bool, verify: bool) -> None:
        """Look at a scene's file, and put the scene where it belongs.

        One that is scored is looked at too, where that costs no more than to ask a disk: other bytes at its
        place have no result. It may be gone: what was found in it stands.
        """
        if entry.changed:
            self.changed.append(entry)
            return
        if done and entry.remote:
            return
        state, now = _looked_at(archive, entry, verify=verify and not done)
        if state == "touched":
            self.touched.append(now)
        if state == "changed":
            self.changed.append(entry)
        elif state == "gone" and not done:
            self.gone.append(entry)
        elif not done:
            self.todo.append(now)


def _looked_at(archive: Archive, entry: Entry, *, verify: bool) -> tuple[State, Entry]:
    """State and entry of a scene's file; one whose disk or server does not answer is as good as gone."""
    try:
        state = archive.catalog.state(entry, verify=verify)
        return state, renewed(entry) if state == "touched" else entry
    except SceneError:
        return "gone", entry


def tiles(entry: Entry, card: Card, options: Options) -> int:
    """How many tiles a scene has, as `Grid.of` would lay them."""
    relative = (gsd / card.gsd_m for gsd in entry.gsd_m)
    scale_x, scale_y = (1.0 if abs(scale - 1) < SAME_SCALE else scale for scale in relative)
    width, height = max(1, round(entry.width * scale_x)), max(1, round(entry.height * scale_y))
    return len(Grid(width, height, scale_x, scale_y, card.tile_px, options.overlap_px))


# --- scenes that have failed


def failed_shelf(work_place: str, weights_sha256: str, options: Options) -> Shelf:
    """Where it is noted which scenes failed too often."""
    return Shelf.at(work_place).sub(f"{weights_sha256[:12]}/{options.sha256[:8]}/failed")


def set_aside(shelf: Shelf, entry: Entry, error: str) -> None:
    """Note that a scene failed too often; it is left out until someone asks for it again."""
    note = {"scene": entry.id, "scene_sha256": entry.sha256, "error": error}
    shelf.write(f"{entry.sha256}.json", (json.dumps(note, indent=2, ensure_ascii=False) + "\n").encode())


def aside(work_place: str, weights_sha256: str, options: Options) -> dict[str, str]:
    """The error of every scene that was set aside, by its sha256."""
    shelf = failed_shelf(work_place, weights_sha256, options)
    notes = (json.loads(shelf.read(name)) for name in shelf.names())
    return {note["scene_sha256"]: note["error"] for note in notes}


def forgive(shelf: Shelf, entries: Sequence[Entry]) -> None:
    """Forget that scenes failed; of an object store only what lies there is asked for."""
    for name in sorted({f"{entry.sha256}.json" for entry in entries}.intersection(shelf.names())):
        shelf.remove(name)
