"""The account of an evaluation as one page that asks for nothing else, and as a table in Markdown."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pithead.card import Card, ClassErrors
from pithead.card.words import RATIOS, boxes, lines, sureness
from pithead.evaluation.chart import Chart
from pithead.evaluation.chips import DETECTION, IGNORED, TRUTH, Chip
from pithead.evaluation.figures import COLUMNS

HEADS = {
    "truth": "objects",
    "ap50": "AP50",
    "ap50_95": "AP50–95",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "false_alarms_per_km2": "false alarms / km²",
    "area_f1": "area F1",
    "area_ratio_median": "area found / true",
}
WITH_INTERVAL = frozenset({"ap50", "ap50_95", "recall", "f1", "false_alarms_per_km2", "area_f1"})
MOST_GROUPS = 60
"""Sites beyond so many are in the JSON only."""

STYLE = f"""
:root {{ color-scheme: light }}
body {{ font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fafafa; margin: 0 }}
main {{ max-width: 1320px; margin: 0 auto; padding: 24px 20px 60px }}
h1 {{ font-size: 24px; margin: 0 0 4px }} h2 {{ font-size: 19px; margin: 36px 0 8px }}
h3 {{ font-size: 15px; margin: 20px 0 6px }} p {{ margin: 6px 0; max-width: 76ch }}
.about {{ color: #555 }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; background: #fff; font-variant-numeric: tabular-nums; font-size: 14px }}
th, td {{ padding: 5px 9px; border-bottom: 1px solid #e3e3e3; text-align: right; white-space: nowrap }}
th {{ font-weight: 600; color: #444; border-bottom: 2px solid #bbb }}
th:first-child, td:first-child {{ text-align: left }}
td small {{ display: block; color: #777; font-size: 11.5px }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 14px }}
.charts svg {{ background: #fff; border: 1px solid #e3e3e3; width: 100%; height: auto }}
.sizes {{ display: flex; flex-wrap: wrap; gap: 0 36px }}
.chips {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 14px }}
figure {{ margin: 0; background: #fff; border: 1px solid #e3e3e3; padding: 6px }}
figure img {{ display: block; width: 100%; aspect-ratio: 1 }}
figcaption {{ font-size: 12.5px; line-height: 1.4; padding: 5px 2px 1px; overflow-wrap: anywhere }}
figcaption b {{ font-size: 13.5px }}
details {{ margin: 10px 0 }} summary {{ cursor: pointer; font-weight: 600 }}
.key span {{ display: inline-block; width: 22px; height: 9px; margin: 0 5px 0 14px;
  border: 1px solid #333 }}
.truth {{ background: {TRUTH} }} .found {{ background: {DETECTION} }} .ignored {{ background: {IGNORED} }}
"""


def page(
    title: str,
    numbers: Mapping[str, Any],
    card: Card,
    charts: Sequence[Chart],
    chips: Sequence[Chip],
    errors: Sequence[ClassErrors] = (),
) -> str:
    """The whole page.

    Args:
        title: What was measured.
        numbers: What `account` gives.
        card: The classes in their order.
        charts: Curves of `charts_of`.
        chips: The worst faults, cut out.
        errors: What `class_errors` gives; nothing of them, if not given.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{escape(about(numbers))}</p>',
        '<div class="wide">',
        _main_table(numbers),
        "</div>",
        f"<p>{escape(_explained(numbers))}</p>",
        f"<p>{escape(line_words(numbers))}</p>",
        f"<p>{escape(_calibration_words(numbers))}</p>",
        "<h2>Curves</h2>",
        "<p>Fewer false alarms than 0.01 per km² stand at 0.01.</p>",
        '<div class="charts">',
        *(chart.svg() for chart in charts),
        "</div>",
        "<h2>By size</h2>",
        _size_tables(numbers, card),
        *_errors(errors),
        "<h2>By circumstance</h2>",
        _circumstance_tables(numbers),
        *_faults(chips, card),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def markdown(title: str, numbers: Mapping[str, Any]) -> str:
    """The main table with intervals, and the line under it, as Markdown."""
    heads = ["class", "threshold", *HEADS.values()]
    rows = [[name, *_row(numbers, name)] for name in numbers["classes"]]
    rows.append(["mean", "", "", *_mean_cells(numbers), *[""] * (len(HEADS) - 3)])
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(part.replace('|', ' ') for part in row)} |" for row in rows]
    text = [f"# {title}", about(numbers), "\n".join(lines), _explained(numbers), line_words(numbers)]
    return "\n\n".join([*text, _calibration_words(numbers)]) + "\n"


def about(numbers: Mapping[str, Any]) -> str:
    """How much was looked at."""
    sites = f" of {numbers['sites']} sites" if numbers["sites"] else ""
    return f"{numbers['scenes']} scenes{sites}, {numbers['km2']:.1f} km²."


def line_words(numbers: Mapping[str, Any]) -> str:
    """How well perimeters are drawn, with intervals."""
    lines, spans = numbers["lines"], numbers.get("intervals", {}).get("lines", {})
    parts = [
        f"{key} {text(lines[key])}{_bracket(spans.get(key))}"
        for key in ("completeness", "correctness", "quality")
    ]
    return (
        f"Perimeter lines within {lines['buffer_m']:g} m: {', '.join(parts)}, of {lines['truth_km']:.1f} km."
    )


def text(value: float | str | None) -> str:
    """A value as a table shows it; – where there is none."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int | str) else f"{value:.3f}"


def _bracket(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"


def _row(numbers: Mapping[str, Any], name: str) -> list[str]:
    row, spans = numbers["classes"][name], numbers["intervals"].get(name, {})
    cells = [text(row["threshold"])]
    for key in COLUMNS:
        span = spans.get(key) if key in WITH_INTERVAL and row.get(key) is not None else None
        cells.append(text(row.get(key)) + _bracket(span))
    return cells


def _mean_cells(numbers: Mapping[str, Any]) -> list[str]:
    spans = numbers["intervals"].get("mean", {})
    return [text(value) + _bracket(spans.get(key)) for key, value in numbers["mean"].items()]


def _main_table(numbers: Mapping[str, Any]) -> str:
    rows = [[name, *_row(numbers, name)] for name in numbers["classes"]]
    rows.append(["mean", "", "", *_mean_cells(numbers), *[""] * (len(HEADS) - 3)])
    return _table(["class", "threshold", *HEADS.values()], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(words: str) -> str:
    figure, bracket, interval = words.partition(" [")
    small = f"<small>{escape(interval[:-1].replace(', ', ' to '))}</small>" if bracket else ""
    return f"<td>{escape(figure)}{small}</td>"


def _explained(numbers: Mapping[str, Any]) -> str:
    drawn = "sites" if numbers["sites"] else "scenes"
    return (
        "Average precision is over all scores; precision, recall, F1, false alarms and areas are those of a "
        f"scan with the threshold. Intervals: 95 % of resamples of {drawn}. – is what these scenes cannot "
        "tell. A guard perimeter counts by its spans here, and by its line below."
    )


def _calibration_words(numbers: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {text(value)}" for name, value in numbers["calibration_error"].items())
    return f"Expected calibration error: {parts}."


def _size_tables(numbers: Mapping[str, Any], card: Card) -> str:
    parts = []
    for known in card.classes:
        rows = numbers["by_size"][known.name]
        keys = list(next(iter(rows.values())))
        heads = ["length" if known.geometry == "line" else "long side"]
        heads += [HEADS.get(key, key.replace("_", " ")) for key in keys]
        cells = [[size, *(text(row[key]) for key in keys)] for size, row in rows.items() if row["truth"]]
        shown = _table(heads, cells) if cells else "<p>No objects.</p>"
        parts.append(f"<div><h3>{escape(known.name)}</h3>{shown}</div>")
    return f'<div class="sizes">{"".join(parts)}</div>'


def _errors(errors: Sequence[ClassErrors]) -> list[str]:
    if not errors:
        return []
    tables = [_table(heads, rows) for heads, rows in (sureness(errors), boxes(errors), lines(errors)) if rows]
    shown = [f'<div class="wide">{table}</div>' for table in tables]
    return ["<h2>How wrong</h2>", f"<p>{escape(RATIOS)}</p>", *shown]


def _circumstance_tables(numbers: Mapping[str, Any]) -> str:
    parts = []
    for kind, groups in numbers["by_circumstance"].items():
        if list(groups) == ["unknown"]:
            parts.append(f"<p>{escape(kind.capitalize())}: nothing says it.</p>")
            continue
        classes = list(numbers["classes"])
        heads = [kind, "scenes", "km²", "mean AP50", *(f"{name} AP50" for name in classes), "line quality"]
        rows = [
            [name, str(group["scenes"]), f"{group['km2']:.1f}", text(group["mean_ap50"])]
            + [f"{text(row['ap50'])} ({row['truth']})" for row in group["classes"].values()]
            + [text(group["line_quality"])]
            for name, group in list(groups.items())[:MOST_GROUPS]
        ]
        more = len(groups) - len(rows)
        table = _table(heads, rows) + (f"<p>And {more} more in evaluation.json.</p>" if more else "")
        parts.append(f'<h3>By {escape(kind)}</h3><div class="wide">{table}</div>')
    return "".join(parts) + (
        "<p>In brackets: objects. A sensor that nothing names is told as bands × type of its files.</p>"
    )


def _faults(chips: Sequence[Chip], card: Card) -> list[str]:
    key = (
        '<p class="key">Drawn: <span class="truth"></span>what is there<span class="found"></span>what was '
        'found<span class="ignored"></span>not counted</p>'
    )
    kinds = (
        ("miss", "Worst misses", "The largest objects that a scan with the thresholds does not find."),
        ("false alarm", "Worst false alarms", "The surest detections of what is not there."),
    )
    parts: list[str] = []
    for kind, heading, words in kinds:
        parts += [f"<h2>{heading}</h2><p>{words}</p>{key}"]
        for class_id, known in enumerate(card.classes):
            mine = [c for c in chips if c.fault.kind == kind and c.fault.class_id == class_id]
            figures = "".join(_figure(chip, known.name) for chip in mine) or "<p>None.</p>"
            parts.append(f'<h3>{escape(known.name)}</h3><div class="chips">{figures}</div>')
    return parts


def _figure(chip: Chip, name: str) -> str:
    fault = chip.fault
    words = f"{name}, {fault.size_m:.0f} m"
    return (
        f'<figure><img src="{chip.picture}" alt="{escape(fault.kind)}: {escape(words)}" loading="lazy">'
        f"<figcaption><b>{escape(words)}</b><br>{escape(fault.words)}<br>{escape(fault.scene)}</figcaption>"
        "</figure>"
    )
