"""All that there is to say of an evaluation, and the files that say it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pithead.card import Card
from pithead.evaluation.breakdown import by_circumstance, by_size
from pithead.evaluation.chart import Axis, Chart, Series
from pithead.evaluation.chips import chips, worst
from pithead.evaluation.curve import curves
from pithead.evaluation.errors import class_errors
from pithead.evaluation.figures import best_thresholds, summary
from pithead.evaluation.page import markdown, page
from pithead.evaluation.result import SceneResult
from pithead.evaluation.sampling import intervals
from pithead.files import write_whole

DARKER = 0.72
"""Class colours are chosen to be seen on imagery; on paper they must be darker."""
FEWEST, MOST = 0.01, 100.0  # false alarms per km² that a chart shows


def account(results: Sequence[SceneResult], card: Card) -> dict[str, Any]:
    """What `summary` has, with intervals, thresholds, curves, and by size and circumstance; for JSON."""
    return {
        **summary(results, card),
        "intervals": intervals(results, card),
        "best_thresholds": best_thresholds(results, card),
        "by_size": by_size(results, card),
        "by_circumstance": by_circumstance(results, card),
        "curves": curves(results, card),
    }


def write_account(
    folder: Path,
    title: str,
    results: Sequence[SceneResult],
    card: Card,
    *,
    paths: Mapping[str, Path],
    gsd_m: float | None = None,
) -> dict[str, Any]:
    """Write evaluation.json, table.md, curves/*.png and index.html, which needs none of the others.

    Args:
        folder: Where to.
        title: What was measured.
        results: Of all scenes.
        card: Of the weights.
        paths: The file of each scene by its name, for chips.
        gsd_m: Metres per pixel of scenes without georeference.

    Returns:
        What `account` gives, and under "errors" the tables of `class_errors`.
    """
    told = results and all(result.scale_m is not None for result in results)
    errors = class_errors(results, card, title) if told else ()
    numbers = {**account(results, card), "errors": [one.as_table() for one in errors]}
    charts = charts_of(numbers["curves"], card)
    shown = chips(worst(results, card), results, paths, card, gsd_m)
    for chart in charts:
        write_whole(folder / "curves" / f"{chart.name}.png", chart.png())
    write_whole(folder / "table.md", markdown(title, numbers))
    write_whole(folder / "index.html", page(title, numbers, card, charts, shown, errors))
    write_whole(folder / "evaluation.json", json.dumps(numbers, indent=1) + "\n")
    return numbers


def charts_of(told: Mapping[str, Any], card: Card) -> list[Chart]:
    """Precision over recall, F1 and false alarms over the threshold, recall over false alarms."""
    threshold, alarms = Axis("threshold"), Axis("false alarms per square km", FEWEST, MOST, log=True)
    recall, rung = Axis("recall"), "by_rung"
    kinds = (
        ("precision_recall", "Precision and recall", recall, Axis("precision"), "by_score"),
        ("f1", "F1 of a scan with each threshold", threshold, Axis("F1"), rung),
        ("froc", "Recall against false alarms", alarms, recall, "by_score"),
        ("false_alarms", "False alarms of a scan with each threshold", threshold, alarms, rung),
    )
    keys = {
        "precision_recall": ("recall", "precision"),
        "f1": ("threshold", "f1"),
        "froc": ("false_alarms_per_km2", "recall"),
        "false_alarms": ("threshold", "false_alarms_per_km2"),
    }
    return [
        Chart(
            name,
            title,
            x,
            y,
            tuple(
                Series(
                    known.name,
                    _darker(known.colour),
                    _points(told[known.name][source], *keys[name]),
                    source == rung,
                )
                for known in card.classes
            ),
        )
        for name, title, x, y, source in kinds
    ]


def _points(columns: Mapping[str, Sequence[float | None]], x: str, y: str) -> tuple[tuple[float, float], ...]:
    pairs = zip(columns[x], columns[y], strict=True)
    return tuple((a, b) for a, b in pairs if a is not None and b is not None and math.isfinite(a + b))


def _darker(colour: str) -> str:
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * DARKER):02x}" for i in (1, 3, 5))
