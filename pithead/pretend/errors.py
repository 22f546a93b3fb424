"""How wrong a pretended detector is: errors as a card has them, and others that the same scenes allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pithead.card import BoxErrors, ClassErrors, LineErrors, Rate, SizeRecall

_ON: Final = "no scenes: they are made up, for generated site histories"
_SCENES: Final = (60, 60.0, (0.3, 1.2))


def _class(
    name: str,
    recall: tuple[SizeRecall, ...],
    precision: Rate,
    false_alarms_km2: float,
    box: BoxErrors | None,
    lines: LineErrors | None = None,
) -> ClassErrors:
    scenes, km2, gsd_m = _SCENES
    return ClassErrors(name, recall, precision, false_alarms_km2, box, lines, _ON, scenes, km2, gsd_m)


TYPICAL: Final = (
    _class(
        "mine_head",
        (SizeRecall(0.0, 40.0, 60, 43), SizeRecall(40.0, float("inf"), 140, 120)),
        Rate(204, 163),
        0.14,
        BoxErrors(163, 2.2, -0.02, 0.10, -0.03, 0.12, -0.05, 0.16),
    ),
    _class(
        "coal_heap",
        (
            SizeRecall(0.0, 15.0, 90, 52),
            SizeRecall(15.0, 30.0, 240, 197),
            SizeRecall(30.0, float("inf"), 330, 307),
        ),
        Rate(654, 556),
        0.64,
        BoxErrors(556, 1.1, 0.01, 0.08, 0.02, 0.10, 0.03, 0.14),
    ),
    _class(
        "guard_perimeter",
        (SizeRecall(0.0, 300.0, 70, 56), SizeRecall(300.0, float("inf"), 90, 85)),
        Rate(166, 141),
        0.12,
        None,
        LineErrors(0.91, 0.93, 1.3, -0.004, 0.012, 120, 98, -0.005, 0.02),
    ),
    _class(
        "rail_loading",
        (SizeRecall(0.0, 60.0, 110, 84), SizeRecall(60.0, float("inf"), 220, 198)),
        Rate(352, 282),
        0.11,
        BoxErrors(282, 1.6, -0.02, 0.06, 0.03, 0.14, 0.01, 0.15),
    ),
)
"""Errors of weights that find most of what is there: about as good as the starter weights are on generated
scenes. Precision and false alarms per km² agree with each other on generated histories."""


def plausible(errors: Sequence[ClassErrors], rng: np.random.Generator) -> tuple[ClassErrors, ...]:
    """Rates that the detector may have in truth, if it was measured to have these.

    Measured rates are of few objects. So a report that allows for that is held to a detector whose recall is
    drawn from the Beta distribution that follows from `found` of `truths` and Jeffreys' prior, its false
    alarms from the Gamma distribution of those that were seen, and its box biases from their standard error.
    """
    return tuple(_plausible(one, rng) for one in errors)


def _plausible(one: ClassErrors, rng: np.random.Generator) -> ClassErrors:
    many = 1_000_000
    recall = tuple(
        replace(
            kind,
            truths=many,
            found=round(many * rng.beta(kind.found + 0.5, kind.truths - kind.found + 0.5)),
        )
        for kind in one.recall
    )
    seen = one.false_alarms_km2 * one.km2
    false_alarms = float(rng.gamma(seen + 0.5) / one.km2)
    box = one.box
    if box is not None:
        root = np.sqrt(box.pairs)
        box = replace(
            box,
            length_bias=box.length_bias + float(rng.normal(0, box.length_sd / root)),
            width_bias=box.width_bias + float(rng.normal(0, box.width_sd / root)),
        )
    lines = one.lines
    if lines is not None and lines.length_bias is not None and lines.length_sd is not None and lines.pairs:
        error = float(rng.normal(0, lines.length_sd / np.sqrt(lines.pairs)))
        lines = replace(lines, length_bias=lines.length_bias + error)
    return replace(one, recall=recall, false_alarms_km2=false_alarms, box=box, lines=lines)
