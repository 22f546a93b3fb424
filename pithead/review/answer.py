"""What a person has answered, and the reviews that come of it once the detections are looked up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import geopandas as gpd
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.errors import OptionError
from pithead.review.review import Decision, Review

_NAMED = 5
"""So many unknown detections are named in a message."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision about a detection of which only the id is known."""

    detection: str
    decision: str
    where: str
    """Where the person has given it, for messages: "queue.csv, row 7"."""
    class_name: str | None = None
    """To relabel, what it is; else nothing, or the class that the detection has."""
    note: str | None = None
    reviewer: str | None = None
    geometry: BaseGeometry | None = None
    """In longitude and latitude; only to redraw it is looked at."""


def settled(
    answers: Iterable[Answer],
    rows: gpd.GeoDataFrame,
    classes: frozenset[str],
    reviewer: str | None = None,
    note: str = "",
) -> tuple[Review, ...]:
    """The reviews that answers mean, all or none; the same answer given twice is one.

    Args:
        answers: What was said.
        rows: Detections of a store, those that are spoken of at least.
        classes: What a detection may be relabelled as.
        reviewer: Who says it, where an answer does not.
        note: What goes with every answer that has no note of its own.

    Raises:
        OptionError: A detection is unknown, one has two answers, or an answer lacks what it needs.
    """
    given = tuple(answers)
    known = {row["detection"]: row for row in rows.to_dict("records")}
    strange = list(dict.fromkeys(one for one in given if one.detection not in known))
    if strange:
        told = ", ".join(f"{one.detection} ({one.where})" for one in strange[:_NAMED])
        more = f" and {len(strange) - _NAMED} more" if len(strange) > _NAMED else ""
        raise OptionError(f"expected ids of detections in the store, got {told}{more}: no review was given")
    found: dict[str, tuple[Review, Answer]] = {}
    for one in given:
        review = _review(one, known[one.detection], classes, one.reviewer or reviewer, one.note or note)
        before, first = found.setdefault(one.detection, (review, one))
        if before != review:
            raise OptionError(
                f"expected one answer about detection {one.detection}, got two that differ "
                f"({first.where}; {one.where}): no review was given"
            )
    return tuple(review for review, _ in found.values())


def _review(
    answer: Answer, row: Mapping[str, Any], classes: frozenset[str], reviewer: str | None, note: str
) -> Review:
    decision, own = answer.decision, str(row["class"])
    if decision not in get_args(Decision):
        raise OptionError(f"{answer.where}: expected {', '.join(get_args(Decision))}, got {decision!r}")
    if not reviewer:
        raise OptionError(
            f"{answer.where}: expected who says it: --by NAME, or a column reviewer; the name stands in the "
            "log for good, a pen name does as well"
        )
    try:
        return Review(
            detection=answer.detection,
            scene_sha256=str(row["scene_sha256"]),
            class_name=own,
            decision=decision,  # type: ignore[arg-type]  # it is one of them, as was checked
            reviewer=reviewer,
            geometry=_redrawn(answer, row) if decision == "redraw" else row["geometry"],
            new_class=_new_class(answer, own, classes),
            note=note,
            frame=row["frame"],
        )
    except OptionError as error:
        raise OptionError(f"{answer.where}: {error}") from error


def _new_class(answer: Answer, own: str, classes: frozenset[str]) -> str | None:
    other = answer.class_name
    if answer.decision == "relabel":
        if other == own or other not in classes:
            raise OptionError(
                f"expected what {answer.detection} is instead of {own}, one of "
                f"{', '.join(sorted(classes - {own}))}; got {other or 'no class'}"
            )
        return other
    if other not in {None, own}:
        raise OptionError(
            f"expected no other class to {answer.decision} a {own}, got {other}: to say so, relabel it"
        )
    return None


def _redrawn(answer: Answer, row: Mapping[str, Any]) -> BaseGeometry:
    """The outline that a person has drawn: one part, flat."""
    if row["frame"] != "lonlat":
        raise OptionError(
            f"expected a detection on a map to redraw, got {answer.detection}: its scene has no georeference"
        )
    shape = answer.geometry
    parts = [] if shape is None else [one for one in shapely.get_parts(shape) if not one.is_empty]
    if len(parts) != 1 or parts[0].geom_type not in {"Polygon", "LineString"}:
        raise OptionError(
            f"expected one polygon or line to redraw {answer.detection}, got "
            f"{'none' if shape is None else shape.geom_type}: it comes from a GeoJSON or GeoPackage"
        )
    flat: BaseGeometry = shapely.force_2d(parts[0])
    return flat
