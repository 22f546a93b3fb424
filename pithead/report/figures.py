"""The figures of a history: charts with their tables, and the first against the last date."""

from collections.abc import Sequence
from html import escape

from pithead.changes.markup import table
from pithead.report.chart import chart
from pithead.report.dossier import Dossier
from pithead.report.markup import paragraph
from pithead.report.words import Words, amount, day, unit_of
from pithead.sites import UNITS, Change, Measure
from pithead.sites.quantities import REPOSE_DEG


def summary(dossier: Dossier, words: Words) -> str:
    """Each quantity on its first and last date, and the difference if it exceeds its error."""
    rows = [
        [words.thing(name), *_first_and_last(name, measures, dossier, words)]
        for name, measures in dossier.chronicle.quantities.items()
    ]
    heads = [words(f"summary.{key}") for key in ("quantity", "first", "last", "difference")]
    return table(words("summary.caption"), heads, rows, wordy=4) if rows else ""


def _first_and_last(
    name: str, measures: Sequence[Measure], dossier: Dossier, words: Words
) -> tuple[str, str, str]:
    known = [one for one in measures if one.observable]
    bare = [one for one in measures if one.reason == "not_measured"]
    if not known and bare:
        first, last = (_bare(name, one, dossier, words) for one in (bare[0], bare[-1]))
        return first, last, words("summary.no_error")
    if not known:
        return words("page.none"), words("page.none"), words("summary.unobservable")
    ends = [_value(name, one, dossier, words) for one in (known[0], known[-1])]
    if len(known) == 1:
        return ends[0], words("page.none"), words("summary.once")
    views = known[0].view, known[-1].view
    change = next(
        (one for one in dossier.sure if one.what == name and (one.before, one.after) == views), None
    )
    return ends[0], ends[1], words("summary.within") if change is None else by(change, words)


def by(change: Change, words: Words) -> str:
    """By how much something changed, with its interval where there is one."""
    unit = unit_of(change.what, change.cls)
    middle = amount(change.by, unit, signed=change.kind != "span_moved")
    if change.low == change.high:
        return middle if change.by else "–"
    signed = change.kind != "span_moved"
    low, high = (amount(end, unit, signed=signed, bare=True) for end in (change.low, change.high))
    return words("summary.by", by=middle, low=low, high=high)


def _value(name: str, one: Measure, dossier: Dossier, words: Words) -> str:
    value = amount(one.value or 0.0, UNITS[name])
    low, high = (amount(end or 0.0, UNITS[name], bare=True) for end in (one.low, one.high))
    date = day(dossier.chronicle.views[one.view].acquired)
    return words("summary.value", value=value, low=low, high=high, date=date)


def _bare(name: str, one: Measure, dossier: Dossier, words: Words) -> str:
    date = day(dossier.chronicle.views[one.view].acquired)
    return words("summary.bare", value=amount(one.raw, UNITS[name]), date=date)


def charts(dossier: Dossier, words: Words) -> str:
    """A chart and a table of each quantity."""
    parts = []
    views = dossier.chronicle.views
    for name, measures in dossier.chronicle.quantities.items():
        unit = UNITS[name]
        title = words("chart.unit", quantity=words.thing(name), unit=unit) if unit else words.thing(name)
        rows = [_row(name, one, dossier, words) for one in measures]
        heads = [words(f"chart.{key}") for key in ("date", "value", "interval", "raw", "checked")]
        proxy = ""
        if name == "heap_volume_m3":
            proxy = paragraph(words("chart.proxy", repose=f"{REPOSE_DEG:g}"), "note")
        parts.append(
            f'<article class="quantity" id="{name}"><h3>{escape(title)}</h3>'
            f"{chart(name, measures, views, words)}{proxy}{table(title, heads, rows)}</article>"
        )
    key = (
        f'<p class="key"><span class="mark corrected"></span>{escape(words("chart.corrected"))}'
        f'<span class="mark raw"></span>{escape(words("chart.found"))}'
        f'<span class="mark gap"></span>{escape(words("chart.gap"))}</p>'
    )
    return f'{key}<div class="quantities">{"".join(parts)}</div>' if parts else ""


def _row(name: str, one: Measure, dossier: Dossier, words: Words) -> list[str]:
    unit = UNITS[name]
    date = day(dossier.chronicle.views[one.view].acquired)
    checked = "–" if one.checked is None else f"{one.checked:.0%}"
    if one.value is None or one.low is None or one.high is None:
        why = words(f"reason.{one.reason}") if one.reason is not None else ""
        # Nothing found where nothing could be seen is no zero.
        raw = amount(one.raw, unit) if one.raw else "–"
        return [date, "–", words("chart.gap_because", why=why), raw, checked]
    span = f"{amount(one.low, unit, bare=True)} – {amount(one.high, unit, bare=True)}"
    return [date, amount(one.value, unit), span, amount(one.raw, unit), checked]
