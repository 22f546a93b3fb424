"""The page that lies beside weights: what they are for and not for, from what, how good, and where they fail.

Everything on it comes from the card inside the file, so that the same weights always give the same page.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pithead.card import Card, ClassErrors
from pithead.card.words import RATIOS, boxes, in_order, lines, measured_on, recall, sureness
from pithead.sources import UNKNOWN

Table = Mapping[str, Any]

COLUMNS = (
    "truth", "ap50", "ap50_95", "precision", "recall", "f1", "false_alarms_per_km2", "area_f1",
    "area_ratio_median",
)  # fmt: skip
"""What a table of a class shows, in order, as `pithead.evaluation` names it."""

KEPT = (
    "scenes", "sites", "km2", "mean", "classes", "lines", "intervals", "by_circumstance", "calibration_error",
)  # fmt: skip
"""What of an evaluation is kept on a card."""

APART = {
    "ground resolution": "ground resolution",
    "snow": "ground",
    "season": "season",
    "off nadir": "off nadir",
}
"""What a reader must be told if nobody measured it apart, and which circumstance of an evaluation it is."""

WEAK = 0.5
"""A class with an AP50 under this is named among the limits."""

FOR = """Candidates for a person to look at: {classes} in satellite and aerial imagery of 0.3 to 1.2 m, to be
confirmed or thrown out one by one before anything is said about a place. A start for training on labels of
one's own."""
NOT_FOR = """- To state that something is there, or is not, on the word of these weights: they miss silently.
- To count, or to compare areas, sensors or years, before they are measured on labelled scenes of that kind.
- To identify people, or to aim anything at a place."""


def page(card: Card, file: str, sha256: str) -> str:
    """The whole page as Markdown."""
    card = Card.from_json(card.to_json())  # keys by the alphabet, as everybody reads it from a file
    parts = [
        _head(card, file, sha256),
        _uses(card),
        _data(card.training.get("data")),
        _lineage(card.training.get("lineage")),
        *(_evaluation(card, name, card.metrics[name]) for name in card.metrics),
        _errors(card.errors),
        _limits(card),
        _heads(card),
        _calibration(card),
        _precision(card.training.get("precision")),
        _run(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def selected(evaluation: Table) -> dict[str, Any]:
    """What of the JSON of an evaluation is kept on a card: no names of sites, weights must not carry them."""
    return nameless({key: evaluation[key] for key in KEPT if key in evaluation})


def nameless(told: Table) -> dict[str, Any]:
    """What a card keeps of an evaluation without the names of sites, which earlier versions kept too."""
    groups = told.get("by_circumstance") or {}
    if "site" not in groups:
        return dict(told)
    return {**told, "by_circumstance": {kind: rows for kind, rows in groups.items() if kind != "site"}}


def _head(card: Card, file: str, sha256: str) -> str:
    kind = card.training.get("precision", {}).get("type", "float32")
    names = [known.name for known in card.classes]
    return "\n".join(
        [
            f"# {card.name}",
            "",
            f"`{file}`, sha256 `{sha256}`. Written by `training/card.py` from the card inside the file.",
            "",
            f"- Input: {card.tile_px} px tiles at {card.gsd_m:g} m, 8 bit RGB; stretch: {card.stretch}.",
            f"- Output: at most {card.top_k} oriented boxes of a tile: {', '.join(names)}.",
            f"- Network: {card.training.get('model', 'not told')}, {kind}.",
            f"- Licence: {card.licence}.",
        ]
    )


def _uses(card: Card) -> str:
    names = ", ".join(known.name for known in card.classes)
    return f"## What it is for\n\n{FOR.format(classes=names)}\n\n## What it is not for\n\n{NOT_FOR}"


def _data(data: Table | None) -> str:
    if not data:
        return "## What it has learnt from\n\nNot told by the run."
    told = [f"{data['scenes']} scenes, in tiles: {_text(data['tiles'])}. Objects: {_text(data['objects'])}."]
    rows = [
        [name, row.get("title"), row["tiles"], row.get("licence", "unknown"), row.get("use", "unknown")]
        for name, row in data["sources"].items()
    ]
    told.append(_rows(("source", "title", "tiles", "licence", "may be used for"), rows))
    if any(row.get("use") != "training" for row in data["sources"].values()):
        told.append("**Not for passing on: among these is data whose licence would follow the weights.**")
    return "## What it has learnt from\n\n" + "\n\n".join(told)


def _lineage(chain: Sequence[Table] | None) -> str:
    """What it goes back to; nothing of cards that were written before anybody noted it."""
    if chain is None:
        return ""
    if not chain:
        return "## What it started from\n\nFrom nothing: its first weights were drawn by chance."
    told = [_rows(("file", "is", "sha256", "has learnt from", "note"), map(_ancestor, chain))]
    rows = [pair for one in chain for pair in _sources(one).items()]
    wrong = sorted({name for name, row in rows if row.get("use") != "training"})
    unsure = [
        one["file"] for one in chain if not _sources(one) and one.get("pretrained_on") in (None, UNKNOWN)
    ]
    if wrong:
        told.append(
            "**Not for passing on: these have learnt from data whose licence would follow the weights: "
            f"{_text(wrong)}.**"
        )
    if unsure:
        told.append(f"What {_text(unsure)} learnt from is not known: ask before you pass on what came of it.")
    if chain[-1].get("lineage") == UNKNOWN:
        told.append(f"What {chain[-1]['file']} started from is not known.")
    return "## What it started from\n\nFrom the nearest to the first.\n\n" + "\n\n".join(told)


def _ancestor(one: Table) -> list[object]:
    """An ancestor as a row."""
    sources = [f"{name} ({row.get('use', UNKNOWN)})" for name, row in _sources(one).items()]
    if "publisher" in one:
        what = f"weights of {one['publisher']} ({one['licence']})"
        return [one["file"], what, one["sha256"], f"{one['pretrained_on']} ({one['use']})", one.get("note")]
    return [one["file"], one.get("name"), one["sha256"], sources or UNKNOWN, one.get("note")]


def _sources(one: Table) -> Table:
    found = one.get("sources")
    return found if isinstance(found, Mapping) else {}


def _evaluation(card: Card, name: str, told: Any) -> str:  # noqa: ANN401 (what the card holds)
    if name == "calibration":
        return ""
    if name not in card.evaluations:
        return f"## {name}\n\n{_text(told)}"
    told = card.evaluations[name]
    spans, classes = told.get("intervals") or {}, told["classes"]
    columns = [c for c in COLUMNS if any(c in row for row in classes.values())]
    rows = [
        [known, row.get("threshold"), *(_with(row.get(c), spans.get(known), c) for c in columns)]
        for known, row in classes.items()
    ]
    mean = told.get("mean")
    if mean:
        rows.append(["mean", None, *(_with(mean.get(c), spans.get("mean"), c) for c in columns)])
    sites = f" of {told['sites']} sites" if told.get("sites") else ""
    parts = [f"{told['scenes']} scenes{sites}, {told['km2']:.1f} km²."]
    if spans:
        parts[0] += " In brackets: 95 % intervals."
    parts.append(_rows(("class", "threshold", *columns), rows))
    lines = told.get("lines")
    if lines:
        shares = ", ".join(
            f"{key} {_with(lines[key], spans.get('lines'), key)}"
            for key in ("completeness", "correctness", "quality")
        )
        parts.append(
            f"Perimeter lines within {lines['buffer_m']:g} m: {shares}, of {lines['truth_km']:.1f} km."
        )
    errors = told.get("calibration_error")
    if errors and card.calibration:
        parts.append(
            f"Expected calibration error: {_text({**card.ordered(errors), 'all': errors.get('all')})}."
        )
    return f"## How good: {name}\n\n" + "\n\n".join(parts)


def _errors(errors: Sequence[ClassErrors]) -> str:
    """How wrong detections are, where somebody has measured it."""
    if not errors:
        return ""
    told = (sureness(errors), recall(errors), boxes(errors), lines(errors))
    tables = [_rows(heads, rows) for heads, rows in told if rows]
    return "## How wrong\n\n" + "\n\n".join([measured_on(errors), *tables, RATIOS])


def _with(value: object, spans: Table | None, key: str) -> str:
    span = (spans or {}).get(key)
    return _text(value) if not span else f"{_text(value)} [{_text(span[0])}, {_text(span[1])}]"


def _limits(card: Card) -> str:
    parts: list[str] = []
    for title, told in card.evaluations.items():
        weak = [
            name for name, row in told["classes"].items() if (row.get("ap50") or 0.0) < WEAK and row["truth"]
        ]
        empty = [name for name, row in told["classes"].items() if not row["truth"]]
        if weak:
            parts.append(f"On {title} not to be counted with (AP50 under {WEAK}): {', '.join(weak)}.")
        if empty:
            parts.append(f"{title} has no {', '.join(empty)}: nothing is known of it there.")
        for kind, groups in (told.get("by_circumstance") or {}).items():
            known = {name: row for name, row in groups.items() if name != "unknown"}
            if kind == "site" or not known:
                continue
            parts.append(f"By {kind}, {title}:\n\n{_groups(card, kind, known)}")
    unknown = [name for name, kind in APART.items() if not _told_by(card, kind)]
    if unknown:
        parts.append(f"Not measured apart: {', '.join(unknown)}. How good it is there, nobody has looked.")
    return "## Limits\n\n" + "\n\n".join(parts)


def _told_by(card: Card, kind: str) -> bool:
    groups = [(told.get("by_circumstance") or {}).get(kind) or {} for told in card.evaluations.values()]
    return any(name != "unknown" for group in groups for name in group)


def _groups(card: Card, kind: str, groups: Table) -> str:
    names = list(card.ordered({name: None for row in groups.values() for name in row.get("classes", {})}))
    rows = [
        [
            group,
            row.get("scenes"),
            row.get("mean_ap50"),
            *(row["classes"].get(n, {}).get("ap50") for n in names),
        ]
        for group, row in ((name, groups[name]) for name in in_order(groups))
    ]
    return _rows((kind, "scenes", "mean AP50", *names), rows)


def _heads(card: Card) -> str:
    head, parity, parts = card.training.get("head"), card.training.get("parity"), []
    if head:
        parts.append(f"Shipped is the {head['shipped']} head: {head['why']}.")
        both = {name: head[name] for name in ("one-to-one", "one-to-many") if name in head}
        names = list(card.ordered({name: None for told in both.values() for name in told["ap50"]}))
        rows = [
            [name, told["mean_ap50"], *(told["ap50"].get(n) for n in names)] for name, told in both.items()
        ]
        parts.append(_rows(("head", "mean AP50", *names), rows))
    if parity:
        parts.append(
            f"ONNX Runtime gave what torch gave: {parity['rows']} rows of {parity['tiles']} tiles within "
            f"{parity['shift_px']:.2g} px and {parity['score_change']:.2g} of score; mean AP50 on "
            f"{parity['on']} {_text(parity['mean_ap50'])} and {_text(parity['mean_ap50_torch'])}."
        )
    return "## Heads, and the file against the run\n\n" + "\n\n".join(parts) if parts else ""


def _calibration(card: Card) -> str:
    told = card.metrics.get("calibration")
    if not card.calibration or not isinstance(told, Mapping):
        return "## Scores\n\nNot calibrated: a score is no probability."
    sides = {name: told[name] for name in ("fit", "check") if name in told}
    columns, rows = ["class", "curve"], []
    kinds: dict[str, list[str]] = {}
    for name, side in sides.items():
        kinds[name] = [kind for kind in ("before", "after", "by_chance") if kind in side]
        where = "scenes of the fit" if name == "fit" else "other scenes"
        columns += [f"{kind.replace('_', ' ')}, {where}" for kind in kinds[name]]
    for known in [*(c.name for c in card.classes), "all"]:
        curve = "–" if known == "all" else ("yes" if known in card.calibration else "no: too few")
        errors = [sides[name][kind].get(known) for name in sides for kind in kinds[name]]
        rows.append([known, curve, *map(_text, errors)])
    scenes = " and ".join(
        f"{side['scenes']} {'of the fit' if name == 'fit' else 'others'}" for name, side in sides.items()
    )
    chance = " By chance: what so few detections would have if every probability were true."
    return (
        "## Scores\n\nA score is the probability that the detection is right, by a curve for each class. "
        f"Expected calibration error before and after, on {scenes}; thresholds keep to "
        f"{told['false_alarms_per_km2']:g} false alarms of a class per km²."
        f"{chance if any('by_chance' in some for some in kinds.values()) else ''}\n\n{_rows(columns, rows)}"
    )


def _precision(told: Table | None) -> str:
    if not told:
        return ""
    parts = [f"Made from the single-precision file as {told['type']}."]
    if "on" in told:
        parts.append(
            f"Mean AP50 on {told['on']}: {_text(told['mean_ap50'])}, in single precision "
            f"{_text(told['mean_ap50_single'])}."
        )
    return "## Precision\n\n" + " ".join(parts)


TOLD_ELSEWHERE = ("data", "lineage", "head", "parity", "precision", "model", "thresholds", "names")


def _run(card: Card) -> str:
    facts = {key: card.training[key] for key in sorted(card.training) if key not in TOLD_ELSEWHERE}
    return "## The run\n\n" + "\n".join(f"- {key}: {_text(value)}" for key, value in facts.items())


def _rows(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(columns)
    lines = [names, ["---"] * len(names), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "–" if value is None else str(value)
