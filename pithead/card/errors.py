"""How wrong weights are, class by class: what a history of a site needs to say how sure it is.

All of it is measured on whole labelled scenes, as a plain scan with the card's thresholds finds them, and
holds for scenes like those (`ClassErrors.on`) and for no others. A detection finds an object from an IoU of
0.5 on, one to one; what overlaps less is a miss and a false alarm at once, so the errors of boxes are those
of pairs that are at least as good as that.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, TypeVar

from pithead.card.rules import is_count, is_number, is_table, require
from pithead.errors import CardError

Part = TypeVar("Part", "SizeRecall", "Rate", "BoxErrors", "LineErrors")
REMEDY = "measure the errors again with training/evaluate.py and training/card.py --errors"


@dataclass(frozen=True, slots=True)
class SizeRecall:
    """Of the objects from `low` to under `high` metres, how many there were and how many were found.

    Long sides of boxes and strips and lengths of lines; in `ClassErrors.by_gsd` metres per pixel of scenes.
    """

    low_m: float
    high_m: float
    """Infinite where there is no upper end; null in JSON."""
    truths: int
    found: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        _numbers(self, "low_m", least=0.0)
        open_ended = isinstance(self.high_m, float) and self.high_m == math.inf
        _require(open_ended or is_number(self.high_m), "high_m is a number, or null for no end", self.high_m)
        _require(self.low_m < self.high_m, "low_m is under high_m", (self.low_m, self.high_m))
        _share(self.found, self.truths, "found and truths")

    @property
    def share(self) -> float | None:
        """The share that was found; None where there was nothing to find."""
        return self.found / self.truths if self.truths else None

    @property
    def words(self) -> str:
        """Between what: under 20 m, 20 to 50 m, from 200 m."""
        if self.low_m == 0:
            return f"under {self.high_m:g} m"
        return f"from {self.low_m:g} m" if self.high_m == math.inf else f"{self.low_m:g} to {self.high_m:g} m"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many were found, and how many of those are right."""

    found: int
    right: int

    def __post_init__(self) -> None:
        """Check the counts."""
        _share(self.right, self.found, "right and found")

    @property
    def share(self) -> float | None:
        """The share that is right; None where nothing was found."""
        return self.right / self.found if self.found else None


@dataclass(frozen=True, slots=True)
class BoxErrors:
    """How far the boxes of `pairs` found objects are from the true ones.

    A ratio is ln(found / true): bias is its mean, so exp(bias) is by how much too large boxes are, and sd
    its standard deviation. Of a found area A the true one is A / exp(area_bias), and lies in 95 % of cases
    within a factor of exp(1.96 · area_sd), as far as ratios are lognormal.
    """

    pairs: int
    centre_m: float
    """Root of the mean square of how far middles are off along one axis; large objects rule it."""
    length_bias: float
    length_sd: float
    width_bias: float
    width_sd: float
    area_bias: float
    area_sd: float
    along_share: float | None = None
    """The same as a share: along the true box of its length."""
    across_share: float | None = None
    """And across it, of its width."""
    area_scene_sd: float = 0.0
    """The part of `area_sd` that all boxes of one scene have in common: it does not shrink in their sum."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        _require(is_count(self.pairs, 2), "errors of boxes are of two pairs or more", self.pairs)
        shares = [key for key in ("along_share", "across_share") if getattr(self, key) is not None]
        _numbers(self, "centre_m", "length_sd", "width_sd", "area_sd", "area_scene_sd", *shares, least=0.0)
        _numbers(self, "length_bias", "width_bias", "area_bias")


@dataclass(frozen=True, slots=True)
class LineErrors:
    """How far lines are from the true ones; None is what the scenes cannot tell.

    Of lengths, within 10 m: `completeness` is the share of what is there that is drawn, `correctness` the
    share of what is drawn that is there. Of `pairs` of whole lines, one to one, each to at least a half
    within 10 m of the other: ratios as in `BoxErrors`, of the length, and of the area of those `rings` that
    are closed on both sides.
    """

    completeness: float | None
    correctness: float | None
    offset_m: float | None
    """Root of the mean square distance of what is drawn, within 10 m of a true line, from that line."""
    length_bias: float | None
    length_sd: float | None
    pairs: int = 0
    rings: int = 0
    area_bias: float | None = None
    area_sd: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        _require(is_count(self.pairs, 0), "pairs is a whole number", self.pairs)
        _require(is_count(self.rings, 0) and self.rings <= self.pairs, "rings are pairs", self.rings)
        known = {f.name for f in fields(self) if getattr(self, f.name) is not None}
        _numbers(self, *(known & {"completeness", "correctness"}), least=0.0, most=1.0)
        _numbers(self, *(known & {"offset_m", "length_sd", "area_sd"}), least=0.0)
        _numbers(self, *(known & {"length_bias", "area_bias"}))


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """What was measured of one class, and on what.

    Attributes:
        name: The class.
        recall: By size, without gaps from small to large. A line is found where at least half of it is drawn.
        precision: What a scan with the card's threshold found, and what of it is right; lines count whole.
        false_alarms_km2: What of it is wrong, per km² looked at.
        box: None for classes of lines, and where fewer than two were found.
        lines: None for every other class.
        on: What the scenes are, in words.
        scenes: How many.
        km2: Their area.
        gsd_m: The finest and the coarsest of them, in metres per pixel.
        by_gsd: Recall by the ground resolution of the scene, without gaps from fine to coarse.
        recall_dispersion: By what factor the variance of what is found in a scene exceeds that of objects
            that are found or missed independently; 1 if it does not.
        alarm_dispersion: The same of false alarms in a scene, against a Poisson law.
    """

    name: str
    recall: tuple[SizeRecall, ...]
    precision: Rate
    false_alarms_km2: float
    box: BoxErrors | None
    lines: LineErrors | None
    on: str
    scenes: int
    km2: float
    gsd_m: tuple[float, float]
    by_gsd: tuple[SizeRecall, ...] = ()
    recall_dispersion: float = 1.0
    alarm_dispersion: float = 1.0

    def __post_init__(self) -> None:
        """Check every field."""
        for key in ("name", "on"):
            value = getattr(self, key)
            _require(isinstance(value, str) and bool(value), f"{key} of errors is text", value)
        _require(is_count(self.scenes), "errors are of one scene or more", self.scenes)
        _numbers(self, "false_alarms_km2", least=0.0)
        _numbers(self, "recall_dispersion", "alarm_dispersion", least=1.0)
        _require(is_number(self.km2) and self.km2 > 0, "km2 is a number over 0", self.km2)
        finest, coarsest = self.gsd_m
        known = is_number(finest) and is_number(coarsest)
        _require(known and 0 < finest <= coarsest, "gsd_m is the finest and the coarsest", self.gsd_m)
        _require(len(self.recall) > 0, f"recall of {self.name} has a size", 0)
        for kinds in (self.recall, self.by_gsd):
            ends = [(one.high_m, other.low_m) for one, other in pairwise(kinds)]
            _require(all(high == low for high, low in ends), "sizes follow each other without gaps", ends)
        _require(self.box is None or self.lines is None, f"{self.name} is of boxes or of lines", "both")

    def recall_of(self, size_m: float) -> SizeRecall | None:
        """What was measured of objects of this size; None beyond all of them."""
        return next((one for one in self.recall if one.low_m <= size_m < one.high_m), None)

    def recall_at(self, gsd_m: float) -> SizeRecall | None:
        """What was measured in scenes of this ground resolution; None where nobody has measured."""
        return next((one for one in self.by_gsd if one.low_m <= gsd_m < one.high_m), None)

    def as_table(self) -> dict[str, Any]:
        """Plain values for JSON."""
        table: dict[str, Any] = asdict(self)
        for key in ("recall", "by_gsd"):
            table[key] = [{**one, "high_m": _finite(one["high_m"])} for one in table[key]]
        return {**table, "gsd_m": list(self.gsd_m)}

    @classmethod
    def of(cls, table: object) -> "ClassErrors":
        """Read what `as_table` gave.

        Raises:
            CardError: A key is missing or unknown, or a value is impossible.
        """
        keys = frozenset(f.name for f in fields(cls))
        if not isinstance(table, Mapping) or not is_table(table, keys):
            raise CardError(f"expected in a card: errors of {sorted(keys)}; got {table!r}; {REMEDY}")
        pair = table["gsd_m"]
        _require(_is_list(pair) and len(pair) == 2, "gsd_m is the finest and the coarsest", pair)
        return cls(
            **{
                **table,
                "recall": _recalls(table["recall"]),
                "by_gsd": _recalls(table["by_gsd"]),
                "precision": _part(Rate, table["precision"]),
                "box": None if table["box"] is None else _part(BoxErrors, table["box"]),
                "lines": None if table["lines"] is None else _part(LineErrors, table["lines"]),
                "gsd_m": tuple(pair),
            }
        )


def _recalls(rows: object) -> tuple[SizeRecall, ...]:
    if not isinstance(rows, Sequence) or not _is_list(rows):
        raise CardError(f"expected in a card: recall as a list; got {rows!r}; {REMEDY}")
    ended = [
        {**row, "high_m": math.inf} if isinstance(row, Mapping) and row.get("high_m", 0) is None else row
        for row in rows
    ]
    return tuple(_part(SizeRecall, row) for row in ended)


def _part(kind: type[Part], table: object) -> Part:
    keys = frozenset(f.name for f in fields(kind))
    if not isinstance(table, Mapping) or not is_table(table, keys):
        raise CardError(f"expected in a card: {kind.__name__} of {sorted(keys)}; got {table!r}; {REMEDY}")
    return kind(**table)


def _finite(value: float) -> float | None:
    return None if value == math.inf else value


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _share(part: object, whole: object, names: str) -> None:
    holds = is_count(part, 0) and is_count(whole, 0)
    _require(holds, f"{names} are whole numbers", (part, whole))
    _require(part <= whole, f"{names}: no more than there are", (part, whole))  # type: ignore[operator]


def _numbers(of: object, *names: str, least: float = -math.inf, most: float = math.inf) -> None:
    for name in names:
        value = getattr(of, name)
        within = is_number(value) and least <= value <= most
        _require(within, f"{name} is a number from {least:g} to {most:g}", value)


def _require(holds: bool, expected: str, came: object) -> None:  # noqa: FBT001 (reads as a sentence)
    require(holds, expected, came, REMEDY)
