"""A history as tables for programs: quantities, changes, states and signs as CSV, in English."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from pithead.report.dossier import Dossier
from pithead.report.words import unit_of
from pithead.sites import UNITS, View

Row = Mapping[str, object]

QUANTITIES = (
    "site", "acquired", "scene", "scene_sha256", "quantity", "unit", "found", "value", "low", "high",
    "observable", "reason", "checked",
)  # fmt: skip
CHANGES = (
    "site", "number", "sure", "what", "class", "kind", "before", "after", "before_sha256", "after_sha256",
    "by", "low", "high", "unit", "checked",
)  # fmt: skip
STATES = (
    "site", "thing", "class", "acquired", "scene_sha256", "state", "reason", "p", "detections",
)  # fmt: skip
SIGNS = ("site", "rule", "acquired", "scene_sha256", "holds", "reason", "things", "checked")
TABLES = {"quantities": QUANTITIES, "changes": CHANGES, "states": STATES, "signs": SIGNS}


def tables(dossier: Dossier) -> dict[str, str]:
    """The text of each table by its name; what is not known is empty."""
    rows = {
        "quantities": quantities(dossier),
        "changes": changes(dossier),
        "states": states(dossier),
        "signs": signs(dossier),
    }
    return {name: _csv(columns, rows[name]) for name, columns in TABLES.items()}


def quantities(dossier: Dossier) -> list[Row]:
    """A row for each quantity and date; `found` is uncorrected, `low` to `high` the 95 % interval."""
    return [
        {
            **_of_view(dossier, dossier.chronicle.views[one.view]),
            "scene": dossier.discretion.scene(dossier.chronicle.views[one.view].scene),
            "quantity": name,
            "unit": UNITS[name],
            "found": _number(one.raw),
            "value": _number(one.value),
            "low": _number(one.low),
            "high": _number(one.high),
            "observable": one.observable,
            "reason": one.reason,
            "checked": _number(one.checked),
        }
        for name, measures in dossier.chronicle.quantities.items()
        for one in measures
    ]


def changes(dossier: Dossier) -> list[Row]:
    """A row for each change, `number` as on the page, then for each difference that proves nothing."""
    views = dossier.chronicle.views
    every = [(number, one) for number, one in enumerate(dossier.sure, start=1)]
    return [
        {
            "site": dossier.name,
            "number": number,
            "sure": one.sure,
            "what": one.what,
            "class": one.cls,
            "kind": one.kind,
            "before": dossier.discretion.when(views[one.before]),
            "after": dossier.discretion.when(views[one.after]),
            "before_sha256": views[one.before].scene_sha256,
            "after_sha256": views[one.after].scene_sha256,
            "by": _number(one.by),
            "low": _number(one.low),
            "high": _number(one.high),
            "unit": unit_of(one.what, one.cls),
            "checked": one.checked,
        }
        for number, one in [*every, *((None, one) for one in dossier.doubtful)]
    ]


def states(dossier: Dossier) -> list[Row]:
    """A row for each thing and date."""
    return [
        {
            **_of_view(dossier, view),
            "thing": track.id,
            "class": track.cls,
            "state": track.states[number].kind,
            "reason": track.states[number].reason,
            "p": _number(track.states[number].p),
            "detections": " ".join(track.sightings[number]),
        }
        for track in dossier.chronicle.tracks
        for number, view in enumerate(dossier.chronicle.views)
    ]


def signs(dossier: Dossier) -> list[Row]:
    """A row for each rule and date; `holds` is empty where it cannot be said."""
    return [
        {
            **_of_view(dossier, dossier.chronicle.views[one.view]),
            "rule": one.rule,
            "holds": one.holds,
            "reason": one.reason,
            "things": " ".join(one.parts),
            "checked": one.checked,
        }
        for one in dossier.chronicle.signs
    ]


def _of_view(dossier: Dossier, view: View) -> dict[str, object]:
    return {
        "site": dossier.name,
        "acquired": dossier.discretion.when(view),
        "scene_sha256": view.scene_sha256,
    }


def _number(value: float | None) -> float | None:
    """To six digits: more is no knowledge."""
    return None if value is None else float(f"{value:.6g}")


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(row.get(name)) for name in columns} for row in rows)
    return text.getvalue()


def _plain(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else value
