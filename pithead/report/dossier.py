"""All that a dossier shows of a site, before it has words: the same for every language and format."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from pithead.report.discretion import Discretion
from pithead.report.pictures import Picture, Square, change_squares, cut, site_square
from pithead.report.sources import Sources, sources_of
from pithead.rescore import Archive
from pithead.sites import Change, Chronicle, Note

PICTURES = 40
"""Changes that are shown before and after, without a word."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """A history, what may be told of it, its pictures and its sources."""

    name: str
    """How the site is called in it."""
    slug: str
    """The beginning of the names of its files."""
    chronicle: Chronicle
    discretion: Discretion
    sure: tuple[Change, ...]
    """Changes beyond their error, by date."""
    doubtful: tuple[Change, ...]
    """Differences that prove nothing."""
    strip: Mapping[int, Picture] = field(default_factory=dict, hash=False)
    """Of each view the ground of the site."""
    strip_across_m: float | None = None
    chips: Mapping[tuple[int, int], Picture] = field(default_factory=dict, hash=False)
    """Of each change in `sure` (its number) and view the ground of the change."""
    sources: Sources = field(default_factory=Sources)
    unknown_scenes: tuple[str, ...] = ()
    """Scenes of the site that have no view; notes may name them."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """What cannot be said, with scenes as they may be named."""
        scenes = {*self.unknown_scenes, *(one.scene for one in self.chronicle.views)}
        return tuple(
            Note(note.code, {key: self.discretion.text(value, scenes) for key, value in note.values.items()})
            for note in self.chronicle.notes
        )

    @property
    def place(self) -> tuple[float, float] | None:
        """Longitude and latitude of the middle, as they may be told."""
        frame = self.chronicle.frame
        return None if frame is None else self.discretion.place(frame.lon, frame.lat)


def dossier_of(
    archive: Archive,
    chronicle: Chronicle,
    discretion: Discretion | None = None,
    *,
    pictures: int = PICTURES,
) -> Dossier:
    """Gather what a dossier shows.

    Args:
        archive: Where the history is from.
        chronicle: The history.
        discretion: How much may be told; without it all.
        pictures: At most so many changes are shown before and after; with 0 there is no picture at all.

    Raises:
        EvidenceError: A link of the log is broken.
        StoreError: The store is damaged.
    """
    told = discretion or Discretion()
    names = _names(archive, told)
    name = told.site(chronicle.site.name, len(names) + 1)
    name, slug = names.get(chronicle.site.name, (name, slug_of(name)))
    sure = tuple(one for one in chronicle.changes if one.sure)
    wanted: dict[tuple[str, int], Square] = {}
    whole = site_square(chronicle) if pictures else None
    if whole is not None:
        wanted = {("strip", number): whole for number in range(len(chronicle.views))}
    for number, change in enumerate(sure[:pictures]):
        squares = change_squares(change, coarse=told.coarse)
        if squares is not None:
            wanted |= {(str(number), change.before): squares[0], (str(number), change.after): squares[1]}
    views = {one.scene_sha256 for one in chronicle.views}
    entries = {one.sha256: one for one in archive.catalog.scenes()}
    options = {
        one.scene_sha256: one.options
        for one in archive.store.records(chronicle.weights_sha256)
        if one.scene_sha256 in views
    }  # fmt: skip
    found = cut(chronicle, wanted, entries, options, told)
    return Dossier(
        name, slug, chronicle, told, sure,
        tuple(one for one in chronicle.changes if not one.sure),
        strip={view: one for (key, view), one in found.items() if key == "strip"},
        strip_across_m=None if whole is None else whole.across_m,
        chips={(int(key), view): one for (key, view), one in found.items() if key != "strip"},
        sources=sources_of(archive.log, chronicle),
        unknown_scenes=tuple(one.id for one in entries.values() if one.sha256 not in views),
    )  # fmt: skip


def slug_of(name: str) -> str:
    """A name as a part of file names: letters and digits of any script, with hyphens between."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[^\w]+", "-", folded).strip("-_") or "site"


def _names(archive: Archive, discretion: Discretion) -> dict[str, tuple[str, str]]:
    """How each site of an archive is called, and a slug that no other has, by its name."""
    found: dict[str, tuple[str, str]] = {}
    taken: set[str] = {"index"}
    for number, site in enumerate(sorted(archive.catalog.sites(), key=lambda one: one.name), start=1):
        name = discretion.site(site.name, number)
        slug = slug_of(name)
        while slug in taken:
            slug = f"{slug}-{number}"
        taken.add(slug)
        found[site.name] = name, slug
    return found
