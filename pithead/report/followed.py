"""What was seen on each date: pictures of the site, the state of each thing, and the signs that hold."""

from html import escape

from pithead.changes.markup import Html, table
from pithead.report.dossier import Dossier
from pithead.report.markup import drawn, paragraph, swatch
from pithead.report.words import Words, day
from pithead.sites import Rule, Sign, Track, View

MOST_TRACKS = 120
"""Of more the rest is in the CSV."""


def strip(dossier: Dossier, words: Words) -> str:
    """The site on every date, with what was found and what is hidden."""
    views = dossier.chronicle.views
    if not views:
        return ""
    parts = []
    if dossier.strip_across_m is not None:
        parts.append(paragraph(words("strip.caption", across=f"{dossier.strip_across_m:,.0f}")))
    parts += [paragraph(words("strip.blurred"))] if dossier.discretion.coarse else []
    parts.append(paragraph(words("strip.key")))
    parts.append(_classes(dossier, words))
    figures = "".join(_figure(dossier, number, view, words) for number, view in enumerate(views))
    return f'{"".join(parts)}<div class="strip">{figures}</div>'


def _classes(dossier: Dossier, words: Words) -> str:
    names = dict.fromkeys(track.cls for track in dossier.chronicle.tracks)
    shown = "".join(f"<span>{swatch(name)}{escape(words.thing(name))}</span>" for name in names)
    return f'<p class="classes">{shown}</p>'


def _figure(dossier: Dossier, number: int, view: View, words: Words) -> str:
    date = day(view.acquired)
    picture = dossier.strip.get(number)
    if picture is None:
        key = "strip.not_cut" if dossier.strip_across_m is None else "strip.missing"
        body = f'<div class="missing">{escape(words(key))}</div>'
    else:
        body = drawn(picture, words("strip.alt", site=dossier.name, date=date), f"view-{number}")
    angle = view.off_nadir_deg
    facts = [
        view.sensor or words("page.unknown"),
        words("strip.gsd", gsd=f"{view.gsd_m:.2f}"),
        words("strip.angle_unknown") if angle is None else words("strip.angle", angle=f"{angle:.0f}"),
        words("strip.found", count=len(view.sightings)),
    ]
    reasons = dict.fromkeys(words(f"reason.{reason}") for _, reason in view.hidden)
    facts += [words("strip.hidden", reasons=", ".join(reasons))] if reasons else []
    return f"<figure>{body}<figcaption><b>{date}</b><br>{escape('; '.join(facts))}</figcaption></figure>"


def tracks(dossier: Dossier, words: Words) -> str:
    """The state of each thing on each date."""
    views, every = dossier.chronicle.views, dossier.chronicle.tracks
    if not every:
        return ""
    sure = {one.detection for view in views for one in view.sightings if one.checked}
    heads = [words("track.thing"), *(_upright(day(view.acquired)) for view in views)]
    rows = [
        [words.thing(track.id), *(_state(track, number, words, sure) for number in range(len(views)))]
        for track in every[:MOST_TRACKS]
    ]
    used = dict.fromkeys(
        state.reason for track in every for state in track.states if state.reason is not None
    )
    letters = "; ".join(f"{words(f'letter.{reason}')} {words(f'reason.{reason}')}" for reason in used)
    parts = [paragraph(words("track.key")), paragraph(letters) if letters else ""]
    parts.append(f'<div class="states">{table(words("track.caption"), heads, rows)}</div>')
    more = len(every) - len(rows)
    parts += [paragraph(words("track.more", count=more))] if more else []
    return "".join(parts)


def _upright(date: str) -> Html:
    return Html(f'<span class="upright">{date}</span>')


def _state(track: Track, number: int, words: Words, sure: set[str]) -> Html:
    state = track.states[number]
    if state.reason is not None:
        mark, told = words(f"letter.{state.reason}"), words(f"reason.{state.reason}")
        return Html(f'<span class="unsure" title="{escape(told)}">{escape(mark)}</span>')
    told = words(f"track.{state.kind}")
    mark = "●" if state.kind == "present" else "○"
    strong = ' class="sure"' if any(one in sure for one in track.sightings[number]) else ""
    return Html(f'<span{strong} title="{escape(told)}" aria-label="{escape(told)}">{mark}</span>')


def signs(dossier: Dossier, words: Words) -> str:
    """Each rule, with the dates on which it holds and the things that make it hold."""
    chronicle = dossier.chronicle
    if not chronicle.rules or not chronicle.views:
        return ""
    heads = [words("sign.rule"), *(_upright(day(view.acquired)) for view in chronicle.views)]
    found = {(one.rule, one.view): one for one in chronicle.signs}
    rows = [
        [_structure(rule, words)]
        + [_holds(found.get((rule.name, number)), words) for number in range(len(chronicle.views))]
        for rule in chronicle.rules
    ]
    shown = table(words("sign.caption"), heads, rows)
    told = "".join(_means(rule, dossier, words) for rule in chronicle.rules)
    return f'{paragraph(words("sign.intro"))}<div class="states">{shown}</div><dl>{told}</dl>'


def _structure(rule: Rule, words: Words) -> str:
    *first, last = (words.thing(name) for name in rule.near)
    near = words("sign.and").join([*([words("sign.comma").join(first)] if first else []), last])
    return words("sign.means", subject=words.thing(rule.subject), metres=f"{rule.within_m:g}", near=near)


def _holds(sign: Sign | None, words: Words) -> Html:
    if sign is None or sign.holds is None:
        reason = None if sign is None else sign.reason
        told = words(f"reason.{reason}") if reason is not None else words("page.unknown")
        mark = words("sign.unknown")
        return Html(f'<span class="unsure" title="{escape(told)}">{escape(mark)}</span>')
    title = ", ".join(words.thing(part) for part in sign.parts)
    strong = ' class="sure"' if sign.checked else ""
    text = words("sign.yes" if sign.holds else "sign.no")
    return Html(f'<span{strong} title="{escape(title)}">{escape(text)}</span>')


def _means(rule: Rule, dossier: Dossier, words: Words) -> str:
    """What a rule is held to be a sign of, who says so, and of what it was made on each date."""
    means, author = (words.told(text) for text in (rule.means, rule.author))
    author = dossier.discretion.person(author or rule.author, words("provenance.left_out")) or rule.author
    foreign = ' lang="en"' if means is None else ""
    together: dict[tuple[str, ...], list[str]] = {}
    for one in dossier.chronicle.signs:
        if one.rule == rule.name and one.holds:
            date = day(dossier.chronicle.views[one.view].acquired)
            together.setdefault(one.parts, []).append(date)
    parts = [
        words("sign.parts_of", things=", ".join(map(words.thing, things)), dates=", ".join(dates))
        for things, dates in together.items()
    ]
    signed = words("sign.author", author=author, date=rule.date)
    listed = f"<dd>{escape(words('sign.parts'))}: {escape('; '.join(parts))}</dd>" if parts else ""
    return (
        f"<dt>{escape(_structure(rule, words))}</dt><dd{foreign}>{escape(means or rule.means)}</dd>"
        f'<dd class="told">{escape(signed)}</dd>{listed}'
    )
