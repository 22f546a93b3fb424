"""A comparison as one page that asks for nothing else, for eyes, keyboards and screen readers alike."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import geopandas as gpd
import pandas as pd

from pithead.changes import order, pairs
from pithead.changes.chips import NEW, OLD, Chip
from pithead.changes.difference import SCORE_STEP, Comparison
from pithead.changes.gate import Judged
from pithead.changes.markup import table
from pithead.changes.words import about, rules, sides, size, words
from pithead.evaluation.page import STYLE, text

MOST_ROWS, MOST_SCENES = 400, 100
"""Of what is longer, the rest is in the files beside the page."""

COVERED = (
    "“Of these covered” counts lost and gained objects whose ground is not empty on the other side: four "
    "fifths of it or more is taken by other objects of the same class. Most are heaps or walls that one side "
    "draws as one and the other in several parts."
)

MORE_STYLE = f"""
a {{ color: #0b57a4 }} a:focus-visible, summary:focus-visible, [tabindex]:focus-visible
  {{ outline: 3px solid #0b57a4; outline-offset: 2px }}
.skip {{ position: absolute; left: -9999px }} .skip:focus {{ position: static }}
nav ul {{ display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; margin: 10px 0 }}
.wide + .wide {{ margin-top: 16px }} thead th {{ white-space: normal; vertical-align: bottom }}
caption {{ text-align: left; color: #444; padding: 4px 0; caption-side: top }}
tbody th {{ font-weight: 400; color: #222; border-bottom: 1px solid #e3e3e3; text-align: left }}
td.words, th.words {{ text-align: left; white-space: normal }}
ul.gate {{ padding-left: 18px }} .met {{ color: #14632f }} .unmet {{ color: #a01313; font-weight: 600 }}
ol.queue {{ list-style: none; padding: 0; display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 600px), 1fr)) }}
ol.queue article {{ background: #fff; border: 1px solid #e3e3e3; padding: 8px 10px; height: 100%;
  box-sizing: border-box }}
article h3 {{ margin: 0 0 2px; font-size: 15px }} article p {{ margin: 2px 0; font-size: 13.5px }}
.two {{ display: grid; grid-template-columns: 1fr 1fr; gap: 8px; margin-top: 6px }}
.two figure {{ padding: 0; border-width: 3px; border-style: solid }}
.two figure.old {{ border-color: {OLD} }} .two figure.new {{ border-color: {NEW} }}
.told {{ overflow-wrap: anywhere; color: #555 }}
"""


def page(
    comparison: Comparison,
    numbers: Mapping[str, Any],
    queue: gpd.GeoDataFrame,
    chips: Mapping[int, Chip],
    judged: Sequence[Judged],
) -> str:
    """The whole page.

    Args:
        comparison: What was compared.
        numbers: Its `figures`.
        queue: Its `queue_of`.
        chips: Pictures by rank; what has none is listed in a table.
        judged: The conditions, if there were any.
    """
    title = f"{comparison.old.told} → {comparison.new.told}"
    sections = {
        "Conditions": "".join(_gate(judged)),
        "By class": _by_class(numbers),
        "Reviews": _reviews(comparison, numbers),
        "By site": _by_site(numbers),
        "To be looked at": _queue(queue, chips),
        "Scenes of one side": _lone(comparison),
        "How it is counted": _rules(comparison),
    }
    shown = {name: body for name, body in sections.items() if body}
    links = "".join(f'<li><a href="#{_id(name)}">{name}</a></li>' for name in shown)
    bodies = "".join(
        f'<section aria-labelledby="{_id(name)}"><h2 id="{_id(name)}" tabindex="-1">{name}</h2>{body}'
        "</section>"
        for name, body in shown.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}</style></head>"
        f'<body><a class="skip" href="#main">To the content</a><main id="main"><h1>{escape(title)}</h1>'
        f'<p class="about">{escape(sides(comparison))}</p>'
        f'<p class="about">{escape(about(numbers, queue))}</p>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{bodies}</main></body></html>\n'
    )


def _id(name: str) -> str:
    return name.lower().replace(" ", "-")


def _gate(judged: Sequence[Judged]) -> Iterator[str]:
    if judged:
        met = all(one.met for one in judged)
        yield f"<p>{'All conditions are met.' if met else 'Not all conditions are met.'}</p><ul class='gate'>"
        for one in judged:
            yield f'<li class="{"met" if one.met else "unmet"}">{escape(one.told)}</li>'
        yield "</ul>"


def _by_class(numbers: Mapping[str, Any]) -> str:
    keys = (
        "old", "new", "kept", "moved", "lost", "lost_covered", "gained", "gained_covered", "kept_share",
        "score_changed", "score_change_median",
    )  # fmt: skip
    heads = [
        "class", "old", "new", "kept", "moved", "lost", "of these covered", "gained", "of these covered",
        "kept / old", f"score changed by {SCORE_STEP}", "median change",
    ]  # fmt: skip
    every = {**numbers["classes"], "all": numbers["all"]}
    found = f"<p>{escape(COVERED)}</p>"
    found += table("Objects", heads, [[name, *(text(row[k]) for k in keys)] for name, row in every.items()])
    metres = ("old_m", "new_m", "kept_m", "lost_m", "gained_m", "kept_m_share")
    lines = {name: row for name, row in numbers["classes"].items() if row["old_m"] or row["new_m"]}
    if lines:
        rows = [
            [name, *(f"{row[k]:,.0f}" for k in metres[:-1]), text(row[metres[-1]])]
            for name, row in lines.items()
        ]
        heads = ["class", "old, m", "new, m", "kept, m", "lost, m", "gained, m", "kept / old"]
        found += table(f"Perimeters by length, within {pairs.BUFFER_M:g} m", heads, rows)
    return found


def _reviews(comparison: Comparison, numbers: Mapping[str, Any]) -> str:
    reviews = comparison.reviews
    if not len(reviews):
        return "<p>Nobody has reviewed anything in the scenes that both have scored.</p>"
    keys = (
        "accepted", "accepted_lost", "recall_on_accepted_old", "recall_on_accepted", "rejected",
        "rejected_back", "rejected_back_rate_old", "rejected_back_rate",
    )  # fmt: skip
    heads = [
        "class", "accepted", "lost by the new", "recall, old", "recall, new", "rejected", "given by the new",
        "rate, old", "rate, new",
    ]  # fmt: skip
    every = {**numbers["classes"], "all": numbers["all"]}
    rows = [[name, *(text(row[k]) for k in keys)] for name, row in every.items()]
    return table("What people said", heads, rows) + _against(reviews)


def _against(reviews: gpd.GeoDataFrame) -> str:
    """Where the new weights contradict a person, first where the old ones did not."""
    against = reviews[reviews["there"] != reviews["by_new"]]
    if not len(against):
        return "<p>The new weights contradict nobody.</p>"
    against = against.assign(too=against["by_old"] == against["by_new"]).sort_values("too", kind="stable")
    rows = [
        [
            str(row["class"]), f"{'is one' if row['there'] else 'is none'} ({row['decision']})",
            "given" if row["by_old"] else "not given", "given" if row["by_new"] else "not given",
            str(row["reviewer"]), str(row["scene"]),
        ]
        for _, row in against.head(MOST_ROWS).iterrows()
    ]  # fmt: skip
    heads = ["class", "a person says", "by the old weights", "by the new weights", "reviewer", "scene"]
    words = f"{len(against)} contradictions, {int((~against['too']).sum())} of them not of the old weights"
    more = f"<p>{len(against) - len(rows)} more are in changes.json.</p>" if len(against) > len(rows) else ""
    contradicted = table("Where the new weights contradict a person", heads, rows, wordy=6)
    return f"<details><summary>{words}</summary>{contradicted}{more}</details>"


def _by_site(numbers: Mapping[str, Any]) -> str:
    keys = ("old", "new", "kept", "moved", "lost", "gained", "recall_on_accepted", "rejected_back_rate")
    rows = [
        [site or "at no site", name, f"{told['km2']:.2f}", *(text(row[k]) for k in keys)]
        for site, told in numbers["sites"].items()
        for name, row in (told["classes"] or {"nothing found": told["all"]}).items()
    ]
    heads = ["site", "class", "km²", *(key.replace("_", " ") for key in keys)]
    more = f"<p>{len(rows) - MOST_ROWS} more are in changes.json.</p>" if len(rows) > MOST_ROWS else ""
    return table("Sites", heads, rows[:MOST_ROWS], wordy=2) + more if rows else ""


def _queue(queue: gpd.GeoDataFrame, chips: Mapping[int, Chip]) -> str:
    if not len(queue):
        return "<p>Nothing has changed.</p>"
    shown = queue["rank"].isin(list(chips))
    key = (
        f'<p class="key">Drawn: <span style="background:{OLD}"></span>old weights<span style="background:'
        f'{NEW}"></span>new weights; thick the one that is meant, dashed where the other side has it.</p>'
    )
    articles = "".join(_article(row, chips[int(row["rank"])]) for _, row in queue[shown].iterrows())
    pictures = f'{key}<ol class="queue">{articles}</ol>' if articles else ""
    rest = queue[~shown]
    if not len(rest):
        return pictures
    rows = [
        [
            str(row["rank"]), str(row["effect"]), str(row["class"]), words(row), size(row),
            str(row["site"] or ""), str(row["scene"]),
        ]
        for _, row in rest.head(MOST_ROWS).iterrows()
    ]  # fmt: skip
    heads = ["rank", "effect", "class", "what", "size", "site", "scene"]
    more = f"<p>{len(rest) - len(rows)} more are in queue.geojson.</p>" if len(rest) > len(rows) else ""
    return pictures + table("Without a picture", heads, rows, wordy=7) + more


def _article(row: pd.Series, chip: Chip) -> str:
    rank, kind = int(row["rank"]), row["kind"]
    name = f"{row['class']}, {size(row)}"
    none = "nothing" if row["apart"] == 1 else "no such object of its own"
    old = none if kind == "gained" else f"{row['class']}, {size(row, 'old_')}, score {row['old_score']:.2f}"
    new = none if kind == "lost" else f"{name}, score {row['new_score']:.2f}"
    pictures = "".join(
        f'<figure class="{side}"><img src="{source}" width="320" height="320" loading="lazy" '
        f'alt="{side} weights: {escape(what)}"><figcaption>{side}: {escape(what)}</figcaption></figure>'
        for side, source, what in (("old", chip.old, old), ("new", chip.new, new))
    )
    place = f"{row['site']}, " if isinstance(row["site"], str) else ""
    return (
        f'<li><article id="rank-{rank}" tabindex="-1" aria-labelledby="name-{rank}"><h3 id="name-{rank}">'
        f"{rank}. {escape(row['effect'])}: {escape(name)}</h3><p>{escape(words(row))}</p>"
        f'<p class="told">{escape(place + row["scene"])}; {chip.across_m:.0f} m across</p>'
        f'<div class="two">{pictures}</div></article></li>'
    )


def _lone(comparison: Comparison) -> str:
    parts = []
    for side, scenes, other in (
        (comparison.old, comparison.only_old, "new"),
        (comparison.new, comparison.only_new, "old"),
    ):
        if scenes:
            names = "".join(f"<li>{escape(side.scenes[sha].scene)}</li>" for sha in scenes[:MOST_SCENES])
            more = f"<li>and {len(scenes) - MOST_SCENES} more</li>" if len(scenes) > MOST_SCENES else ""
            parts.append(
                f"<details><summary>{len(scenes)} scenes that the {other} weights have not scored</summary>"
                f"<ul>{names}{more}</ul></details>"
            )
    return "".join(parts) and "<p>They are in no figure: nothing in them is lost or gained.</p>" + "".join(
        parts
    )


def _rules(comparison: Comparison) -> str:
    told = [*rules(comparison), *(order.__doc__ or "").split("\n\n")]
    return "".join(f"<p>{escape(' '.join(line.split()))}</p>" for line in told)
