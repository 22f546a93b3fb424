"""Where every figure comes from: scenes and their hashes, weights, reviewers, records of the log."""

from html import escape

from pithead.changes.markup import Html, table
from pithead.report.dossier import Dossier
from pithead.report.markup import paragraph
from pithead.report.words import Words
from pithead.sites import View

DECISIONS = {"accept": "accepted", "reject": "rejected", "relabel": "relabelled", "redraw": "redrawn"}


def provenance(dossier: Dossier, words: Words) -> str:
    """Scenes, weights, reviews, and how all of it is checked."""
    chronicle, sources = dossier.chronicle, dossier.sources
    parts = []
    if chronicle.weights_sha256 is not None:
        options = next((one.options_sha256[:8] for one in chronicle.views if one.options_sha256), "–")
        record = "–" if sources.weights is None else str(sources.weights)
        parts.append(
            paragraph(
                words(
                    "provenance.weights",
                    name=chronicle.weights,
                    sha256=chronicle.weights_sha256,
                    record=record,
                    options=options,
                ),
                "told",
            )
        )
    if chronicle.views:
        parts += [_heading(words("provenance.scenes")), _scenes(dossier, words)]
    parts += [_heading(words("provenance.reviews")), _reviews(dossier, words)]
    parts += [_heading(words("provenance.check")), *_check(dossier, words)]
    if sources.last is not None:
        parts.append(paragraph(words("page.state", seq=sources.last, time=sources.time), "told"))
    return "".join(parts)


def _heading(text: str) -> str:
    return f"<h3>{escape(text)}</h3>"


def _scenes(dossier: Dossier, words: Words) -> str:
    heads = [
        words(f"provenance.{key}")
        for key in ("date", "sensor", "gsd", "angle", "shift", "shift_how", "records", "scene", "sha256")
    ]
    rows = [_scene(dossier, view, words) for view in dossier.chronicle.views]
    return f'<div class="hashes">{table(words("provenance.scenes"), heads, rows, wordy=2)}</div>'


def _scene(dossier: Dossier, view: View, words: Words) -> list[str]:
    sources, shift = dossier.sources, view.shift
    seqs = [known.get(view.scene_sha256) for known in (sources.added, sources.scored)]
    angle = view.off_nadir_deg
    east, north = (f"{metres:+.1f}".replace("-", "−") for metres in (shift.dx_m, shift.dy_m))
    moved = {"dx": east, "dy": north, "sd": f"{shift.sd_m:.1f}"}
    return [
        dossier.discretion.when(view).replace("T", " ").replace("+00:00", " UTC"),
        view.sensor or words("page.unknown"),
        f"{view.gsd_m:.2f}",
        words("page.unknown") if angle is None else f"{angle:.1f}°",
        words("provenance.shift_value", **moved),
        words(f"provenance.{shift.how}", pairs=shift.pairs),
        ", ".join("–" if seq is None else str(seq) for seq in seqs),
        Html(f'<span class="hash">{escape(dossier.discretion.scene(view.scene))}</span>'),
        Html(f'<span class="hash">{view.scene_sha256}</span>'),
    ]


def _reviews(dossier: Dossier, words: Words) -> str:
    known = dossier.sources.by_reviewer
    if not known:
        return paragraph(words("provenance.no_reviews"))
    if dossier.discretion.redact:
        every = list(known.values())
        known = {
            words("provenance.left_out"): {
                decision: sum(counts.get(decision, 0) for counts in every) for decision in DECISIONS
            }
        }
    heads = [words("provenance.reviewer"), *(words(f"provenance.{name}") for name in DECISIONS.values())]
    rows = [[name, *(str(counts.get(one, 0)) for one in DECISIONS)] for name, counts in known.items()]
    return table(words("provenance.review_caption"), heads, rows)


def _check(dossier: Dossier, words: Words) -> list[str]:
    told = dossier.discretion
    which = "chain_coarse" if told.coarse else "chain_redacted" if told.redact else "chain_whole"
    files = {"chain": f"{dossier.slug}.chain.jsonl", "file": f"{dossier.slug}.{words.language}.html"}
    return [paragraph(words("provenance.check_text", **files)), paragraph(words(f"provenance.{which}"))]
