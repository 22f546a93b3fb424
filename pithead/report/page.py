"""A dossier as one page that asks for nothing else, for eyes, keyboards, screen readers and printers."""

from html import escape

from pithead.changes.page import MORE_STYLE
from pithead.evaluation.page import STYLE
from pithead.report import changed, figures, followed
from pithead.report.chart import HATCH
from pithead.report.discretion import GRAIN_M
from pithead.report.dossier import Dossier
from pithead.report.markup import paragraph
from pithead.report.provenance import provenance
from pithead.report.sketch import sketch
from pithead.report.words import Words, day

REPORT_STYLE = """
:lang(ko) { word-break: keep-all; overflow-wrap: break-word }
td.words { min-width: 5em }
html[lang=ko] body { font-family: "Noto Sans KR", "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic",
  sans-serif }
main { max-width: 1240px } .defs { position: absolute; width: 0; height: 0 }
.first { font-weight: 600; border-left: 4px solid #0b57a4; padding-left: 10px }
.note, .told { color: #555; font-size: 13px }
.map { max-width: 760px; width: 100%; background: #fff; border: 1px solid #e3e3e3 }
.map text, .chart text { font-size: 12px; fill: #222 }
.map .number { paint-order: stroke; stroke: #fff; stroke-width: 3px; font-weight: 600 }
.map .site { fill: none; stroke: #666; stroke-dasharray: 8 5 }
.picture { display: block; width: 100%; aspect-ratio: 1; background: #111 }
.missing { aspect-ratio: 1; display: grid; place-items: center; text-align: center; padding: 12px;
  background: #ececec; color: #444; font-size: 13px; box-sizing: border-box }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 12px }
.quantities { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr));
  gap: 16px; align-items: start }
.quantity { background: #fff; border: 1px solid #e3e3e3; padding: 4px 12px 10px; min-width: 0 }
.quantity table { font-size: 12.5px; width: 100% } .quantity th, .quantity td { padding: 2px 8px;
  white-space: normal } .quantity caption { position: absolute; left: -9999px }
.quantity tbody th, .quantity td:nth-child(2), .quantity td:nth-child(4) { white-space: nowrap }
.chart { width: 100%; height: auto; display: block }
.key .mark { display: inline-block; width: 12px; height: 12px; margin: 0 6px 0 16px; vertical-align: -1px;
  box-sizing: border-box }
.key .mark:first-child { margin-left: 0 }
.key .corrected { background: #0b57a4; border: 0; border-radius: 50% }
.key .raw { border: 2px solid #8a5a00; transform: rotate(45deg) scale(.8); background: #fff }
.key .gap { border: 1px solid #9a9a9a;
  background: repeating-linear-gradient(45deg, #9a9a9a 0 2px, #f3f3f3 2px 5px) }
ol.changes { list-style: none; padding: 0; display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr)) }
ol.changes article { background: #fff; border: 1px solid #e3e3e3; padding: 8px 10px }
.classes span { margin-right: 16px; white-space: nowrap }
.swatch { display: inline-block; width: 14px; height: 10px; border: 1px solid #333; margin-right: 6px }
.states td { text-align: center } .states th:first-child { white-space: nowrap }
.states thead th { text-align: center } .upright { writing-mode: vertical-rl; transform: rotate(180deg);
  white-space: nowrap; font-weight: 400 }
.unsure { color: #777 } .sure { font-weight: 900; outline: 1.5px solid #222; border-radius: 50%;
  padding: 0 3px }
dt { font-weight: 600; margin-top: 10px } dd { margin: 2px 0 2px 18px; max-width: 90ch }
.hash { font: 11px/1.3 ui-monospace, monospace; overflow-wrap: anywhere; white-space: normal;
  display: inline-block; max-width: 34ch; word-break: break-all }
.hashes td, .hashes th { text-align: left; vertical-align: top }
.hashes caption { position: absolute; left: -9999px }
.told { overflow-wrap: anywhere }
@media print {
  @page { size: A4; margin: 14mm 12mm }
  body { background: #fff; font-size: 10pt; -webkit-print-color-adjust: exact; print-color-adjust: exact }
  main { padding: 0; max-width: none } nav, .skip { display: none } h1 { font-size: 16pt }
  h2 { break-after: avoid; margin-top: 22px } h3 { break-after: avoid }
  figure, article, tr { break-inside: avoid }
  h2 + p, .key { break-after: avoid } .map { max-width: 125mm }
  .strip { grid-template-columns: repeat(4, 1fr) } .quantities { display: block }
  .quantity { display: grid; grid-template-columns: 84mm 1fr; column-gap: 4mm; margin-bottom: 3mm }
  .quantity h3, .quantity .note { grid-column: 1 / 3; margin: 2px 0 } .quantity .note { grid-row: 3 }
  .quantity table { font-size: 6.8pt }
  .quantity .wide th, .quantity .wide td { padding: 0 3px; white-space: nowrap }
  .quantity .wide td:nth-child(3) { white-space: normal; width: 44mm }
  section:has(> #map) { break-inside: avoid }
  ol.changes { grid-template-columns: 1fr 1fr; gap: 8px } ol.changes .picture { max-height: 40mm }
  table { font-size: 8pt } th, td { padding: 2px 4px }
  .wide { overflow: visible } .wide td, .wide th { white-space: normal } .hash { font-size: 6.5pt }
  .states th:first-child { white-space: normal }
}
"""


def page(dossier: Dossier, words: Words) -> str:
    """The whole page in a language; the same dossier gives the same text."""
    title = words("page.title", site=dossier.name)
    sections = {
        "summary": figures.summary(dossier, words),
        "changes": changed.sure(dossier, words) if dossier.chronicle.views else "",
        "charts": figures.charts(dossier, words),
        "map": _map(dossier, words),
        "strip": followed.strip(dossier, words),
        "tracks": followed.tracks(dossier, words),
        "signs": followed.signs(dossier, words),
        "doubtful": changed.doubtful(dossier, words),
        "unsaid": _unsaid(dossier, words),
        "method": "".join(paragraph(text) for text in words.many("method.text")),
        "provenance": provenance(dossier, words),
    }
    shown = {name: body for name, body in sections.items() if body}
    return whole(title, "".join(paragraph(text, kind) for text, kind in _head(dossier, words)), shown, words)


def whole(title: str, head: str, sections: dict[str, str], words: Words) -> str:
    """A page of sections, by the names of their headings under `page` in the words."""
    titles = {name: escape(words(f"page.{name}")) for name in sections}
    links = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in titles.items())
    bodies = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}" tabindex="-1">{titles[name]}</h2>{body}</section>'
        for name, body in sections.items()
    )
    return (
        f'<!doctype html>\n<html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}{REPORT_STYLE}</style></head>"
        f'<body><a class="skip" href="#main">{escape(words("page.skip"))}</a>{HATCH}<main id="main">'
        f'<h1>{escape(title)}</h1>{head}<nav aria-label="{escape(words("page.sections"))}"><ul>{links}</ul>'
        f"</nav>{bodies}</main></body></html>\n"
    )


def _head(dossier: Dossier, words: Words) -> list[tuple[str, str]]:
    """What stands at the top, with the kind of each paragraph."""
    views, told, chronicle = dossier.chronicle.views, dossier.discretion, dossier.chronicle
    if not views:
        return [(words("head.nothing"), "first")]
    span = {"count": len(views), "first": day(views[0].acquired), "last": day(views[-1].acquired)}
    if chronicle.weights_sha256 is None:
        lines = [(words("head.no_weights", **span), "about")]
    else:
        weights = {"weights": chronicle.weights, "sha256": chronicle.weights_sha256[:12]}
        lines = [(words("head.span", **span, **weights), "about")]
    if dossier.place is not None:
        lon, lat = dossier.place
        key = "head.at_coarse" if told.coarse else "head.at"
        lines.append((words(key, lon=lon, lat=lat, km=f"{told.coarsen_km or 0:g}"), "about"))
    if chronicle.site.aliases and not told.coarse:
        lines.append((words("head.aliases", names=", ".join(chronicle.site.aliases)), "about"))
    lines.append((words("head.read_first"), "first"))
    lines.append((_checked(dossier, words), ""))
    if told.coarse:
        lines.append((words("head.coarse", km=f"{told.coarsen_km:g}", grain=f"{GRAIN_M:g}"), ""))
    lines += [(words("head.redacted"), "")] if told.redact else []
    return lines


def _checked(dossier: Dossier, words: Words) -> str:
    """How much of it a person has looked at."""
    views = dossier.chronicle.views
    every = [one for view in views for one in view.sightings]
    checked, rejected = sum(one.checked for one in every), sum(len(view.rejected) for view in views)
    if not checked and not rejected:
        return words("head.checked_none")
    return words("head.checked_some", checked=checked, all=len(every), rejected=rejected)


def _map(dossier: Dossier, words: Words) -> str:
    drawn = sketch(dossier, words)
    if not drawn:
        return ""
    coarse = dossier.discretion.coarse
    more = paragraph(words("map.coarse", grain=f"{GRAIN_M:g}")) if coarse else ""
    return f"{paragraph(words('map.caption'))}{more}{drawn}"


def _unsaid(dossier: Dossier, words: Words) -> str:
    """What cannot be said, and why."""
    lines = [f"<li>{escape(words.note(note))}</li>" for note in dossier.notes]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""
