"""Changes: those beyond their error with pictures before and after, and differences that prove nothing."""

from collections.abc import Sequence
from html import escape

from pithead.changes.markup import Html, table
from pithead.report.dossier import Dossier
from pithead.report.figures import by
from pithead.report.markup import again, drawn, paragraph
from pithead.report.pictures import Picture
from pithead.report.words import Words, day
from pithead.sites import UNITS, Change

MOST_ROWS = 150
"""Of what is longer, the rest is in the CSV."""


def sure(dossier: Dossier, words: Words) -> str:
    """What changed beyond its error: a table, and pictures."""
    if not dossier.sure:
        return paragraph(words("change.none"))
    cards = _cards(dossier)
    links = {number: f"pictures-{card[0] + 1}" for card in cards for number in card}
    rows = [
        _row(dossier, number, one, words, links.get(number))
        for number, one in enumerate(dossier.sure[:MOST_ROWS])
    ]
    more = len(dossier.sure) - len(rows)
    parts = [paragraph(words("change.intro"))]
    parts.append(table(words("change.caption_sure"), _heads(words), rows, wordy=4))
    parts += [paragraph(words("change.more_rows", count=more))] if more else []
    if cards:
        if len(links) < len(dossier.sure):
            parts.append(paragraph(words("change.pictures", count=len(links))))
        parts.append(f'<ol class="changes">{"".join(_card(dossier, card, words) for card in cards)}</ol>')
    return "".join(parts)


def doubtful(dossier: Dossier, words: Words) -> str:
    """Differences that prove nothing."""
    if not dossier.doubtful:
        return ""
    rows = [_row(dossier, None, one, words)[1:] for one in dossier.doubtful[:MOST_ROWS]]
    more = len(dossier.doubtful) - len(rows)
    parts = [paragraph(words("change.doubtful", count=len(dossier.doubtful)))]
    parts.append(table(words("change.caption_doubtful"), _heads(words)[1:], rows, wordy=3))
    parts += [paragraph(words("change.more_rows", count=more))] if more else []
    return "".join(parts)


def _heads(words: Words) -> list[str]:
    return [words(f"change.{key}") for key in ("number", "between", "what", "kind", "by", "checked")]


def _dates(dossier: Dossier, one: Change) -> tuple[str, str]:
    views = dossier.chronicle.views
    return day(views[one.before].acquired), day(views[one.after].acquired)


def _row(
    dossier: Dossier, number: int | None, one: Change, words: Words, link: str | None = None
) -> list[str]:
    """A row of the table; its number is where the page of all sites points at."""
    before, after = _dates(dossier, one)
    place = "" if number is None else str(number + 1)
    if number is not None:
        shown = place if link is None else f'<a href="#{link}">{place}</a>'
        place = Html(f'<span id="change-{number + 1}">{shown}</span>')
    return [
        place,
        words("change.from_to", before=before, after=after),
        words.thing(one.what),
        words(f"change.{one.kind}"),
        by(one, words),
        words("change.yes" if one.checked else "change.no") if one.what not in UNITS else "–",
    ]


def _cards(dossier: Dossier) -> list[list[int]]:
    """The numbers of changes that have pictures; those of quantities between the same dates share them."""
    cards: list[list[int]] = []
    together: dict[tuple[int, int], list[int]] = {}
    for number, one in enumerate(dossier.sure):
        if not _pair(dossier, number):
            continue
        mine = [] if one.shape is not None else together.setdefault((one.before, one.after), [])
        if not mine:
            cards.append(mine)
        mine.append(number)
    return cards


def _pair(dossier: Dossier, number: int) -> tuple[Picture, ...]:
    """The pictures of a change, of its own place or of the whole site."""
    one = dossier.sure[number]
    own = tuple(dossier.chips[number, n] for n in (one.before, one.after) if (number, n) in dossier.chips)
    if one.shape is not None:
        return own
    return tuple(dossier.strip[n] for n in (one.before, one.after) if n in dossier.strip)


def _card(dossier: Dossier, numbers: Sequence[int], words: Words) -> str:
    """Changes between the same dates, with the ground before and after."""
    first = dossier.sure[numbers[0]]
    names = []
    for number in numbers:
        one = dossier.sure[number]
        name = f"{number + 1}. {words.thing(one.what)}: {words(f'change.{one.kind}')}"
        names.append(f"<h3>{escape(name)}</h3><p>{escape(by(one, words))}</p>")
    across = words("change.across", metres=f"{_pair(dossier, numbers[0])[0].across_m:,.0f}")
    ground = across if first.shape is not None else f"{words('change.whole')}, {across}"
    return (
        f'<li><article id="pictures-{numbers[0] + 1}" tabindex="-1">{"".join(names)}'
        f'<p class="told">{escape(ground)}</p><div class="two">'
        f"{_before_and_after(dossier, numbers[0], words)}</div></article></li>"
    )


def _before_and_after(dossier: Dossier, number: int, words: Words) -> str:
    one, figures = dossier.sure[number], []
    for key, view, date in zip(
        ("before", "after"), (one.before, one.after), _dates(dossier, one), strict=True
    ):
        caption = words(f"change.{key}", date=date)
        label = f"{words.thing(one.what)}, {words(f'change.{one.kind}')}; {caption}"
        picture = dossier.chips.get((number, view))
        if picture is not None:
            body = drawn(picture, label, only=one.cls)
        elif one.shape is None and view in dossier.strip:
            body = again(dossier.strip[view], label, f"view-{view}")
        else:
            body = f'<div class="missing">{escape(words("strip.missing"))}</div>'
        figures.append(f"<figure>{body}<figcaption>{escape(caption)}</figcaption></figure>")
    return "".join(figures)
