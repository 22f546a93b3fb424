"""One annotated object, and what every format of labels has in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely

from pithead.classes import ClassInfo, ClassList, Geometry
from pithead.errors import LabelError

Floats = npt.NDArray[np.float64]
Weight = Literal["target", "ignore", "negative"]

# Heaps that are plainly something else (the labelling guide): no coal, but too like it to call background.
OTHER_MATERIALS = frozenset({"aggregate", "ore", "other", "spoil_light", "sand", "gravel"})

_CONFIDENCES = frozenset({"sure", "probable", "possible"})
HARD_NEGATIVE = "hard_negative"
NEGATIVE_ID = -1  # class_id of a hard negative
BAND_PX = 3.0
NO_LABEL = frozenset({"none", HARD_NEGATIVE, "seen"})
FACTS = ("site", "date", "sensor", "biome", "ground", "off_nadir_deg")
GEOMETRY_KEYS = frozenset({"image", "class", "polygon", "line", "closed"})


@dataclass(frozen=True, slots=True)
class Label:
    """One annotated object: points (M, 2) in one frame (scene px when read), M >= 3 for a box or closed line.

    A box label's points are its outline; a line label's points follow the line (a closed one does not repeat
    its first point). Weight "ignore" is neither object nor background; "negative" is a hard negative,
    background by name: its class_id is -1.
    """

    class_id: int
    geometry: Geometry
    points: Floats
    closed: bool
    weight: Weight
    attributes: Mapping[str, str]

    def __post_init__(self) -> None:
        """Check the points and make them read-only.

        Raises:
            LabelError: too few points, or points that are not finite (M, 2).
        """
        points = np.array(self.points, dtype=np.float64)
        least = 3 if self.closed or self.geometry != "line" else 2
        if (
            points.ndim != 2
            or points.shape[1:] != (2,)
            or len(points) < least
            or not np.isfinite(points).all()
        ):
            raise LabelError(
                f"a {self.geometry} label has at least {least} finite points [x, y]; "
                f"got an array of shape {points.shape}: complete its outline or delete it"
            )
        points.flags.writeable = False
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "attributes", dict(self.attributes))


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What a label file says of an image beside its objects, where it is known: in the order of `FACTS`."""

    site: str | None = None
    date: str | None = None
    sensor: str | None = None
    biome: str | None = None
    """What land it is, such as steppe."""
    ground: str | None = None
    """What lies on it: snow or no snow."""
    off_nadir_deg: str | None = None
    """Degrees between straight down and the scene, 0 to 90, as text: all formats keep facts so."""

    def __post_init__(self) -> None:
        """Refuse an angle that is none.

        Raises:
            LabelError: It is no number from 0 to 90.
        """
        try:
            right = self.off_nadir_deg is None or 0 <= float(self.off_nadir_deg) <= 90
        except ValueError:
            right = False
        if not right:
            raise LabelError(
                f"off_nadir_deg is a number of degrees from 0 to 90; got {self.off_nadir_deg!r}: correct it"
            )


def label_of(record: Mapping[str, object], info: ClassInfo | None, where: str) -> Label:
    """One record as a Label; a "polygon" of a line class is its closed outline; no class: a hard negative.

    A hard negative drawn as a line (a hedge) is a band of 3 px on both sides of it.
    """
    class_id, geometry = (info.id, info.geometry) if info else (NEGATIVE_ID, "box")
    key = "line" if geometry == "line" and "line" in record else "polygon"
    closed = key == "polygon" or bool(record.get("closed", False))
    attributes = {k: str(v) for k, v in record.items() if k not in GEOMETRY_KEYS and v is not None}
    if attributes.get("confidence", "sure") not in _CONFIDENCES:
        raise LabelError(
            f"{where}: confidence is sure, probable or possible; got {attributes['confidence']!r}: correct it"
        )
    try:
        points = np.array(record.get(key), dtype=np.float64)
        if info is None and key not in record and "line" in record:
            points = band_of(np.array(record["line"], dtype=np.float64))
        repeats = closed and len(points) > 1 and bool((points[0] == points[-1]).all())
        points = points[:-1] if repeats else points
        return Label(class_id, geometry, points, closed, weight_of(info, attributes), attributes)
    except (TypeError, ValueError, LabelError) as error:
        name = info.name if info else HARD_NEGATIVE
        raise LabelError(f'{where}: {name} needs "{key}": [[x, y], …]; {error}') from error


def band_of(line: Floats) -> Floats:
    """The outline (M, 2) of a narrow band along a line: what a hard negative drawn as a line stands for.

    Raises:
        ValueError: a line of fewer than two points, or of points that are none.
    """
    if line.ndim != 2 or line.shape[1:] != (2,) or len(line) < 2 or not np.isfinite(line).all():
        raise ValueError(f"a line has at least two finite points [x, y]; got an array of shape {line.shape}")
    band = shapely.buffer(shapely.LineString(line), BAND_PX, cap_style="flat", join_style="mitre")
    outline: Floats = shapely.get_coordinates(
        band.exterior if band.geom_type == "Polygon" else band.convex_hull
    )
    return outline


def record_of(label: Label, classes: ClassList) -> dict[str, object]:
    """A label as `label_of` reads it: class, "polygon" or "line" with "closed", and its attributes."""
    info = None if label.class_id == NEGATIVE_ID else classes[label.class_id]
    is_line = label.geometry == "line"
    shape: dict[str, object] = {"line" if is_line else "polygon": label.points.tolist()}
    if is_line:
        shape["closed"] = label.closed
    record = {"class": info.name if info else HARD_NEGATIVE, **shape, **label.attributes}
    if label.weight == "ignore" and weight_of(info, label.attributes) == "target":
        record["confidence"] = "possible"
    return record


def weight_of(info: ClassInfo | None, attributes: Mapping[str, str]) -> Weight:
    """Ignore what the annotator called possible, and heaps that are plainly of something else."""
    if info is None:
        return "negative"
    possible = attributes.get("confidence") == "possible"
    other = info.name == "coal_heap" and attributes.get("material") in OTHER_MATERIALS
    return "ignore" if possible or other else "target"


def class_named(classes: ClassList, name: str, where: str) -> ClassInfo:
    """The class of a name, or a LabelError that says where."""
    if name not in classes.names:
        known = ", ".join([*classes.names, *sorted(NO_LABEL)])
        raise LabelError(
            f"{where}: class is one of {known}; got {name!r}: correct the line or the class list"
        )
    return classes.named(name)


def fact_of(record: Mapping[str, object], key: str, where: str) -> str:
    """One of `FACTS`; an angle that is no text as text, for `facts_told` to judge."""
    value = record.get(key)
    if key != "off_nadir_deg" or isinstance(value, str):
        return text_of(record, key, where)
    return f"{value:g}" if isinstance(value, float) else str(value)  # not :g, some int are too large for it


def facts_told(told: Mapping[str, str], where: str) -> SceneFacts:
    """`SceneFacts` of what is told by name, or a LabelError that says where."""
    try:
        return SceneFacts(**told)
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def text_of(record: Mapping[str, object], key: str, where: str) -> str:
    """A key that must hold a non-empty text."""
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise LabelError(f'{where}: "{key}" is a text; got {value!r}: add it')
    return value
