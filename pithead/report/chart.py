"""A quantity over time as SVG: corrected values with their intervals, gaps where nothing can be said."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

from pithead.report.words import Words, amount, day
from pithead.sites import UNITS, Measure, View

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 74, 16, 12, 34
INK, LINE, PALE, RAW, GAP = "#222222", "#0b57a4", "#dddddd", "#8a5a00", "#9a9a9a"
# Once on a page, before every chart and picture.
HATCH = (
    '<svg class="defs" aria-hidden="true"><pattern id="gap" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#f3f3f3"/>'
    f'<line x1="0" y1="0" x2="0" y2="6" stroke="{GAP}" stroke-width="2"/></pattern><pattern id="veil" '
    'width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" y1="0" '
    'x2="0" y2="9" stroke="#ffffff" stroke-width="2.5"/></pattern></svg>'
)


@dataclass(frozen=True, slots=True)
class _Field:
    """From dates and values to places in the picture."""

    first: datetime
    last: datetime
    top: float

    def x(self, when: datetime) -> float:
        """Where a date lies."""
        whole = (self.last - self.first).total_seconds()
        share = (when - self.first).total_seconds() / whole if whole else 0.5
        return LEFT + 14 + share * (WIDTH - LEFT - RIGHT - 28)

    def y(self, value: float) -> float:
        """Where a value lies."""
        return TOP + (1 - value / self.top) * (HEIGHT - TOP - BOTTOM)


def chart(name: str, measures: Sequence[Measure], views: Sequence[View], words: Words) -> str:
    """The picture of one quantity; it asks for nothing else, and says for screen readers what it is."""
    whens = [views[one.view].acquired for one in measures]
    highest = max((max(one.raw, one.high or 0.0) for one in measures), default=0.0)
    step = _step(highest)
    field = _Field(min(whens), max(whens), max(step, math.ceil(highest / step) * step))
    parts = [*_axes(field, step, UNITS[name])]
    parts += [_gap(field, one, views, words) for one in measures if not one.observable]
    parts += _line(field, measures, views)
    parts += [_mark(field, name, one, views[one.view]) for one in measures]
    label = words("chart.label", quantity=words.thing(name), count=len(measures))
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _axes(field: _Field, step: float, unit: str) -> list[str]:
    parts = []
    for number in range(round(field.top / step) + 1):
        y = field.y(number * step)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{PALE}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{_tick(number * step, step, unit)}</text>"
        )
    for when, text in _dates(field.first, field.last):
        x = field.x(when)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}" '
            f'stroke="{INK}"/><text x="{x:.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{text}</text>'
        )
    base = f"{LEFT},{TOP} {LEFT},{HEIGHT - BOTTOM} {WIDTH - RIGHT},{HEIGHT - BOTTOM}"
    return [*parts, f'<polyline points="{base}" fill="none" stroke="{INK}"/>']


def _gap(field: _Field, one: Measure, views: Sequence[View], words: Words) -> str:
    when = views[one.view].acquired
    why = words(f"reason.{one.reason}") if one.reason is not None else ""
    title = f"{day(when)}: {words('chart.gap')}, {why}"
    return (
        f'<rect x="{field.x(when) - 5:.1f}" y="{TOP}" width="10" height="{HEIGHT - TOP - BOTTOM}" '
        f'fill="url(#gap)"><title>{escape(title)}</title></rect>'
    )


def _line(field: _Field, measures: Sequence[Measure], views: Sequence[View]) -> list[str]:
    """Corrected values, joined where no date between them is a gap."""
    runs: list[list[str]] = [[]]
    for one in measures:
        if one.value is None:
            runs.append([])
        else:
            runs[-1].append(f"{field.x(views[one.view].acquired):.1f},{field.y(one.value):.1f}")
    return [
        f'<polyline points="{" ".join(run)}" fill="none" stroke="{LINE}" stroke-width="1.5" '
        'stroke-opacity="0.55"/>'
        for run in runs
        if len(run) > 1
    ]


def _mark(field: _Field, name: str, one: Measure, view: View) -> str:
    """An interval with its value, and what was found as a diamond."""
    x, raw = field.x(view.acquired), field.y(one.raw)
    diamond = (
        f'<path d="M{x:.1f},{raw - 4:.1f} l4,4 l-4,4 l-4,-4 z" fill="#fff" stroke="{RAW}" '
        'stroke-width="1.5"/>'
    )
    if one.value is None or one.low is None or one.high is None:
        return diamond if one.raw else ""  # nothing found where nothing could be seen is no zero
    low, high, value = field.y(one.low), field.y(one.high), field.y(one.value)
    told = f"{day(view.acquired)}: {amount(one.value, UNITS[name])}"
    told += f" ({amount(one.low, UNITS[name], bare=True)} – {amount(one.high, UNITS[name], bare=True)})"
    return (
        f'<g><title>{escape(told)}</title><path d="M{x - 4:.1f},{low:.1f} h8 M{x - 4:.1f},{high:.1f} h8 '
        f'M{x:.1f},{low:.1f} V{high:.1f}" stroke="{LINE}" stroke-width="2" fill="none"/>{diamond}'
        f'<circle cx="{x:.1f}" cy="{value:.1f}" r="4" fill="{LINE}"/></g>'
    )


def _step(highest: float) -> float:
    """A round step of which four or so reach the highest value: 1, 2 or 5 times a power of ten.

    890 has steps of 200.
    """
    if highest <= 0:
        return 1.0
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if rough <= power * factor * 1.12)


def _tick(value: float, step: float, unit: str) -> str:
    digits = max(0, -math.floor(math.log10(step))) if unit else 0
    return f"{value:,.{digits}f}" if digits or step >= 1 or value == int(value) else ""


def _dates(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Dates to be written under the axis: beginnings of years, or of a shorter time whole dates."""
    years = [datetime(year, 1, 1, tzinfo=UTC) for year in range(first.year + 1, last.year + 1)]
    if len(years) >= 3:
        return [(year, str(year.year)) for year in years[:: math.ceil(len(years) / 9)]]
    if first == last:
        return [(first, day(first))]
    parts: list[timedelta] = [(last - first) * number / 3 for number in range(4)]
    return [(first + part, day(first + part)) for part in parts]
