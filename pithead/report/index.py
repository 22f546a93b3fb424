"""All sites of an archive on one page, with their changes in order: those first that surely changed most."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from pithead.changes.markup import Html, table
from pithead.report.chain import ENDING, exported
from pithead.report.dossier import Dossier
from pithead.report.figures import by
from pithead.report.markup import paragraph
from pithead.report.page import whole
from pithead.report.words import Words, day, words_of
from pithead.rescore import Archive
from pithead.results import all_or_nothing
from pithead.sites import UNITS, Change, Chronicle
from pithead.sites.kinds import FENCE

MOST_ROWS = 300


@dataclass(frozen=True, slots=True)
class Line:
    """A change of a site in the ranked list."""

    number: int
    """On the page of its site, from 1."""
    change: Change
    share: float
    """The least share of what is there that has changed, 0 to 1."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the index says of a site, without pictures, so that any number of sites fits into memory."""

    name: str
    slug: str | None
    """None of a site of which these weights have scored nothing."""
    scenes: int = 0
    first: str = ""
    last: str = ""
    doubtful: int = 0
    notes: int = 0
    lines: tuple[Line, ...] = ()
    dossier: Dossier | None = field(default=None, repr=False)
    """Without its pictures."""


def share_of(change: Change, chronicle: Chronicle) -> float:
    """The least share of what is there that has surely changed, 0 to 1; 0 of what proves nothing.

    Of a quantity: the end of its interval that is nearer to 0, over the larger of both values. 2000 m² and
    more by 338 to 3258: 0.17. Of a thing or a span: its size over all that was found of its kind, on the date
    with more of it.
    """
    if not change.sure:
        return 0.0
    if change.what in UNITS:
        measures = {one.view: one.value or 0.0 for one in chronicle.quantities[change.what]}
        most = max(measures.get(change.before, 0.0), measures.get(change.after, 0.0))
        least = min(abs(change.low), abs(change.high))
        return min(least / most, 1.0) if most else 1.0
    whole_ = max(_found(chronicle, change, view) for view in (change.before, change.after))
    size = change.shape.length if change.kind == "span_moved" and change.shape is not None else abs(change.by)
    return min(size / whole_, 1.0) if whole_ else 1.0


def _found(chronicle: Chronicle, change: Change, view: int) -> float:
    """All that was found of the class of a change in a view, in its unit."""
    name = change.cls or FENCE
    some = chronicle.views[view].of(name)
    return sum(one.length_m if name == FENCE or one.area_m2 is None else one.area_m2 for one in some)


def told_of(dossier: Dossier) -> Told:
    """What the index says of a dossier."""
    chronicle, views = dossier.chronicle, dossier.chronicle.views
    lines = tuple(
        Line(
            number,
            one,
            share_of(one, chronicle),
            day(views[one.before].acquired),
            day(views[one.after].acquired),
        )
        for number, one in enumerate(dossier.sure, start=1)
    )
    bare = Dossier(
        dossier.name, dossier.slug, chronicle, dossier.discretion, dossier.sure, dossier.doubtful,
        sources=dossier.sources, unknown_scenes=dossier.unknown_scenes,
    )  # fmt: skip
    dates = [day(view.acquired) for view in views]
    return Told(
        dossier.name, dossier.slug, len(views), *((dates[0], dates[-1]) if dates else ("", "")),
        len(dossier.doubtful), len(dossier.notes), lines, bare,
    )  # fmt: skip


def ranked(sites: Sequence[Told]) -> list[tuple[Told, Line]]:
    """The changes of all sites in their order: by share, what a person has confirmed first, then by name."""
    every = [(site, line) for site in sites for line in site.lines]

    def place(one: tuple[Told, Line]) -> tuple[float, bool, str, int]:
        site, line = one
        return -round(line.share, 3), not line.change.checked, site.name, line.number

    return sorted(every, key=place)


def index_page(sites: Sequence[Told], words: Words) -> str:
    """The page of all sites."""
    title = words("page.index_title", sites=len(sites))
    head = paragraph(words("index.intro")) + paragraph(words("head.read_first"), "first")
    every = ranked(sites)
    sections = {
        "changes": _changes(every, words) if every else paragraph(words("index.none")),
        "sites": _sites(sites, words),
    }
    return whole(title, head, sections, words)


def _link(site: Told, words: Words, text: str, anchor: str = "") -> Html:
    return Html(f'<a href="{escape(site.slug or "")}.{words.language}.html{anchor}">{escape(text)}</a>')


def _changes(every: Sequence[tuple[Told, Line]], words: Words) -> str:
    heads = [words("index.rank"), words("index.site")]
    heads += [words(f"change.{key}") for key in ("between", "what", "kind", "by")]
    heads += [words("index.share"), words("change.checked")]
    rows = [
        [
            str(rank),
            _link(site, words, site.name, f"#change-{line.number}"),
            words("change.from_to", before=line.before, after=line.after),
            words.thing(line.change.what),
            words(f"change.{line.change.kind}"),
            by(line.change, words),
            f"{line.share:.0%}",
            "–" if line.change.what in UNITS else words("change.yes" if line.change.checked else "change.no"),
        ]
        for rank, (site, line) in enumerate(every[:MOST_ROWS], start=1)
    ]
    more = len(every) - len(rows)
    found = paragraph(words("index.rank_rule")) + table(words("index.changes"), heads, rows, wordy=6)
    return found + (paragraph(words("change.more_rows", count=more)) if more else "")


def _sites(sites: Sequence[Told], words: Words) -> str:
    heads = [words(f"index.{key}") for key in ("site", "scenes", "dates", "sure", "doubtful", "notes")]
    rows = []
    for site in sites:
        if site.slug is None:
            rows.append([site.name, words("index.failed")])
            continue
        dates = words("change.from_to", before=site.first, after=site.last) if site.first else "–"
        counts = (len(site.lines), site.doubtful, site.notes)
        rows.append([_link(site, words, site.name), str(site.scenes), dates, *map(str, counts)])
    return table(words("index.sites"), heads, rows)


def write_index(
    out: Path,
    archive: Archive,
    sites: Sequence[Told],
    languages: Sequence[str] = ("en",),
    key: Path | None = None,
) -> tuple[str, ...]:
    """Write index.LANGUAGE.html and index.chain.jsonl beside the dossiers; returns their names.

    Raises:
        OptionError: The folder cannot be written to, or there are no words of a language.
        StoreError: The log cannot be written.
    """
    with all_or_nothing(out) as folder:
        files = [folder / f"index.{language}.html" for language in languages]
        for path, language in zip(files, languages, strict=True):
            path.write_text(index_page(sites, words_of(language)), encoding="utf-8")
        chain = folder / f"index{ENDING}"
        dossiers = [one.dossier for one in sites if one.dossier is not None]
        chain.write_bytes(exported(archive, files, dossiers, key))
    return tuple(file.name for file in (*files, chain))
