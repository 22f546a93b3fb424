"""Errors of weights as tables to read."""

import math
import re
from collections.abc import Iterable, Sequence

from pithead.card.errors import ClassErrors, SizeRecall

Table = tuple[tuple[str, ...], list[list[str]]]

UNSAID = "–"
_RANGE = re.compile(r"(?:(under )|from )(\d+(?:\.\d+)?)\D*|(\d+(?:\.\d+)?) to \d+(?:\.\d+)?\D*")
RATIOS = (
    "A ratio is found over true, the geometric mean of all pairs, ± the standard deviation of its logarithm. "
    "A detection finds an object from an overlap (IoU) of 0.5 on: boxes that are worse are misses and false "
    "alarms here, not large errors. A line is found where half of it is drawn within 10 m. Middles are off "
    "by the root of the mean square along one axis. How scenes differ: the variance of what is found, and of "
    "what is wrong, over that of chance."
)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of groups by the alphabet, of ranges ("under 5°", "5 to 10°", "from 10°") from low to high."""
    return sorted(names, key=_place)


def _place(name: str) -> tuple[float, int, str]:
    """The number at which a range ends or begins, and "under" before what begins there."""
    told = _RANGE.fullmatch(name)
    return (0.0, 0, name) if told is None else (float(told[2] or told[3]), int(told[1] is None), name)


def measured_on(errors: Sequence[ClassErrors]) -> str:
    """On what, in a sentence for each kind of scenes, and for what it holds."""
    kinds = {(e.on, e.scenes, e.km2, e.gsd_m): None for e in errors}
    told = [
        f"Measured on {on}: {scenes} scenes, {km2:.1f} km², {finest:.2f} to {coarsest:.2f} m per pixel."
        for on, scenes, km2, (finest, coarsest) in kinds
    ]
    return " ".join([*told, "It holds for scenes like these; of others nothing is known."])


def sureness(errors: Sequence[ClassErrors]) -> Table:
    """What was found, how much of it is right, and how much scenes differ."""
    heads = ("class", "found", "right", "wrong per km²", "scenes differ: found, wrong")
    rows = [
        [
            one.name,
            str(one.precision.found),
            str(one.precision.right),
            f"{one.false_alarms_km2:.2f}",
            f"{one.recall_dispersion:.1f}, {one.alarm_dispersion:.1f}",
        ]
        for one in errors
    ]
    return heads, rows


def recall(errors: Sequence[ClassErrors]) -> Table:
    """How many are found, by their size and by the ground resolution of the scene."""
    heads = ("class", "found, by size", "found, by metres per pixel")
    return heads, [[one.name, _recall(one.recall), _recall(one.by_gsd)] for one in errors]


def boxes(errors: Sequence[ClassErrors]) -> Table:
    """How far boxes are from the true ones."""
    heads = (
        "class", "pairs", "middle (m)", "along, of the length", "across, of the width", "length", "width",
        "area", "area, of a whole scene",
    )  # fmt: skip
    rows = []
    for one in errors:
        if one.box is not None:
            box = one.box
            length, width = _ratio(box.length_bias, box.length_sd), _ratio(box.width_bias, box.width_sd)
            area = _ratio(box.area_bias, box.area_sd)
            shares = [_number(share, ".3f") for share in (box.along_share, box.across_share)]
            middle, scene = f"{box.centre_m:.2f}", f"± {box.area_scene_sd:.3f}"
            rows.append([one.name, str(box.pairs), middle, *shares, length, width, area, scene])
    return heads, rows


def lines(errors: Sequence[ClassErrors]) -> Table:
    """How far lines are from the true ones."""
    heads = (
        "class", "drawn of what is there", "there of what is drawn", "beside it (m)", "pairs", "length",
        "rings", "enclosed area",
    )  # fmt: skip
    rows = []
    for one in errors:
        if one.lines is not None:
            line = one.lines
            shares = [_number(value, ".3f") for value in (line.completeness, line.correctness)]
            length, area = _ratio(line.length_bias, line.length_sd), _ratio(line.area_bias, line.area_sd)
            offset = _number(line.offset_m, ".2f")
            rows.append([one.name, *shares, offset, str(line.pairs), length, str(line.rings), area])
    return heads, rows


def _recall(kinds: Sequence[SizeRecall]) -> str:
    return ", ".join(f"{one.words} {one.found} of {one.truths}" for one in kinds if one.truths) or UNSAID


def _ratio(bias: float | None, sd: float | None) -> str:
    return UNSAID if bias is None or sd is None else f"{math.exp(bias):.3f} ± {sd:.3f}"


def _number(value: float | None, form: str) -> str:
    return UNSAID if value is None else f"{value:{form}}"
