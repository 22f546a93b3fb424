"""One card: classes, tiles, thresholds, curves, what was learnt from and what was measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.calibration import Beta
from pithead.card.errors import ClassErrors
from pithead.card.rules import REMEDY, is_colour, is_count, is_number, require
from pithead.errors import CardError

SCHEMA = 2
METADATA_KEY = "pithead_card"
GEOMETRIES = ("box", "strip", "line")


@dataclass(frozen=True, slots=True)
class CardClass:
    """One class of a detector, in the order of its ids.

    `geometry` is ``box`` (a row is an object), ``strip`` (rows are pieces of a long one) or ``line`` (rows
    are spans of a line),
    `colour` is ``#rrggbb``; rows with a score under `threshold` are not detections.
    """

    name: str
    geometry: str
    colour: str
    threshold: float

    def __post_init__(self) -> None:
        """Check every field."""
        require(isinstance(self.name, str) and bool(self.name), "a class has a name", self.name)
        require(self.geometry in GEOMETRIES, f"geometry of {self.name} is box, strip or line", self.geometry)
        require(is_colour(self.colour), f"colour of {self.name} is #rrggbb", self.colour)
        require(
            is_number(self.threshold) and 0 <= self.threshold <= 1, "a threshold is 0 to 1", self.threshold
        )


@dataclass(frozen=True, slots=True)
class Card:
    """What a user of weights must know, and what `pithead.scan` needs to use them rightly.

    Attributes:
        name: Name of the weights.
        classes: The classes in the order of their ids.
        tile_px: Side of the square tiles that go in, a multiple of `cell_px`.
        gsd_m: Ground resolution of the tiles in metres per pixel.
        licence: Licence of the weights (SPDX).
        span_width_m: Width of the spans that line classes are taught as.
        strip_pad_m: How much larger than what is there, on every side, pieces of strips are taught.
        cell_px: Grid that spans and pieces are locked to; the origin of every tile must lie on it.
        stretch: How scenes of more than 8 bits become 8 bits.
        top_k: Rows per tile that come out.
        calibration: The curve from score to probability of each class that has one, as `Beta.as_table`
            writes it; None: nobody has calibrated these weights.
        training: Hashes of dataset and recipe, versions, how long, on what.
        metrics: Measured numbers, good or bad, by the name of what was measured.
        errors: How wrong detections of a class are, for each class of which somebody has measured it; in the
            JSON only where there are any, so that cards without them are the same text as ever.
        schema: Version of this layout.
    """

    name: str
    classes: tuple[CardClass, ...]
    tile_px: int
    gsd_m: float
    licence: str
    span_width_m: float = 12.0
    strip_pad_m: float = 1.8
    cell_px: int = 32
    stretch: str = "percentile 2-98 per scene"
    top_k: int = 300
    calibration: Mapping[str, Mapping[str, float]] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    errors: tuple[ClassErrors, ...] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.schema == SCHEMA, f"this pithead reads cards of schema {SCHEMA}", self.schema)
        for key in ("name", "licence", "stretch"):
            require(
                isinstance(getattr(self, key), str) and bool(getattr(self, key)), f"{key} is text", "none"
            )
        require(len(self.classes) > 0, "a card has at least one class", 0)
        names = [known.name for known in self.classes]
        require(len(set(names)) == len(names), "class names differ", names)
        for key in ("tile_px", "cell_px", "top_k"):
            require(is_count(getattr(self, key)), f"{key} is a whole number over 0", getattr(self, key))
        require(self.tile_px % self.cell_px == 0, f"tile_px is a multiple of {self.cell_px}", self.tile_px)
        for key in ("gsd_m", "span_width_m", "strip_pad_m"):
            value = getattr(self, key)
            require(is_number(value) and value > 0, f"{key} is a number over 0", value)
        if self.calibration is not None:
            require(isinstance(self.calibration, Mapping), "calibration is a table", self.calibration)
            strange = sorted(self.calibration.keys() - set(names))
            require(not strange, "calibration names classes of the card", strange)
            for table in self.calibration.values():
                Beta.of(table)
        known = {c.name: c.geometry for c in self.classes}
        told = [one.name for one in self.errors]
        require(len(set(told)) == len(told), "errors are told once of a class", told)
        require(set(told) <= known.keys(), "errors name classes of the card", told)
        for one in self.errors:
            foreign = one.box if known[one.name] == "line" else one.lines
            require(foreign is None, f"errors of {one.name} are those of a {known[one.name]}", foreign)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The threshold of every class, in the order of the ids."""
        return tuple(known.threshold for known in self.classes)

    def probabilities(self, scores: npt.ArrayLike, classes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The probability (N,) of scores (N,) of the network; for a class without a curve, the score."""
        stated = np.array(scores, np.float64)
        of = np.asarray(classes, np.int64)
        for class_id, known in enumerate(self.classes):
            if self.calibration and known.name in self.calibration:
                mine = of == class_id
                stated[mine] = Beta.of(self.calibration[known.name])(stated[mine])
        return stated

    def errors_of(self, name: str) -> ClassErrors | None:
        """What was measured of a class by its name; None where nobody has measured it."""
        return next((one for one in self.errors if one.name == name), None)

    @property
    def evaluations(self) -> dict[str, Mapping[str, Any]]:
        """What `training/evaluate.py` measured, by its title, the classes of each in the order of the ids."""
        return {
            title: {**told, "classes": self.ordered(told["classes"])}
            for title, told in sorted(self.metrics.items())
            if isinstance(told, Mapping) and isinstance(told.get("classes"), Mapping)
        }

    def ordered(self, by_class: Mapping[str, Any]) -> dict[str, Any]:
        """What is told of classes by their names, in the order of their ids: JSON has it by the alphabet."""
        return {known.name: by_class[known.name] for known in self.classes if known.name in by_class}

    @property
    def line_classes(self) -> frozenset[int]:
        """The ids of the classes whose rows are spans of lines."""
        return frozenset(i for i, known in enumerate(self.classes) if known.geometry == "line")

    @property
    def strip_classes(self) -> frozenset[int]:
        """The ids of the classes whose rows are pieces of strips."""
        return frozenset(i for i, known in enumerate(self.classes) if known.geometry == "strip")

    def to_json(self) -> str:
        """Return the card as JSON with sorted keys."""
        table = asdict(self)
        del table["errors"]
        if self.errors:
            table["errors"] = [one.as_table() for one in self.errors]
        return json.dumps(table, sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Read a card.

        Raises:
            CardError: It is no JSON, a key is missing or unknown, or a value is impossible.
        """
        try:
            table = json.loads(text)
        except ValueError as error:
            raise CardError(f"expected a card as JSON: {error}; {REMEDY}") from error
        known = {f.name for f in fields(cls)}
        require(isinstance(table, dict), "a card is a JSON object", type(table).__name__)
        require(table.keys() | {"errors"} == known, f"a card has the keys {sorted(known)}", sorted(table))
        require(isinstance(table["classes"], list), "classes is a list", type(table["classes"]).__name__)
        try:
            classes = tuple(CardClass(**entry) for entry in table["classes"])
        except TypeError as error:
            raise CardError(
                f"expected classes of name, geometry, colour, threshold: {error}; {REMEDY}"
            ) from error
        told = table.get("errors", [])
        require(isinstance(told, list), "errors is a list", type(told).__name__)
        return cls(**{**table, "classes": classes, "errors": tuple(map(ClassErrors.of, told))})
