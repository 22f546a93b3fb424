"""Annotations: GeoJSON (map) or JSONL (scene px) → oriented boxes and spans (grid) → YOLO-OBB rows (tile).

A heap is a polygon and is taught as one oriented box. A rake of wagons is a polygon too, a strip: where it is
long it is taught in pieces. A perimeter is a line and is taught as consecutive oriented boxes along it, its
spans. What an annotator was unsure of is an "ignore": neither an
object nor background.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely

from pithead.classes import ClassInfo, ClassList, Geometry
from pithead.errors import LabelError
from pithead.files import write_whole
from pithead.geometry import Window, boxes_to_corners, canonical, clip_boxes, fit_box
from pithead.tiling import CELL_PX

Floats = npt.NDArray[np.float64]
Transform = Callable[[Floats], Floats]
Weight = Literal["target", "ignore"]

# Heaps that are plainly something else (the labelling guide): no coal, but too like it to call background.
OTHER_MATERIALS = frozenset({"aggregate", "ore", "other", "spoil_light", "sand", "gravel"})

SPAN_WIDTH_PX = 20.0  # 12 m at 0.6 m: fence, cleared strip and patrol track
_CONFIDENCES = frozenset({"sure", "probable", "possible"})
_NO_LABEL = frozenset({"none", "hard_negative"})
_GEOMETRY_KEYS = frozenset({"image", "class", "polygon", "line", "closed"})
STRIP_PAD_PX = 3.0  # 1.8 m at 0.6 m: a single track is 5 px wide, too narrow for a network of stride 8
_WHOLE_STRIP_PX = 64.0  # a strip no longer than two cells is one piece
_SHORTEST_SPAN_PX = 8.0
_BEND_PX = 1.5  # a vertex that bends a line by less than this is no visible corner, so no span starts there


@dataclass(frozen=True, slots=True)
class Label:
    """One annotated object: points (M, 2) in one frame (scene px when read), M >= 3 for a box or closed line.

    A box label's points are its outline; a line label's points follow the line (a closed one does not repeat
    its first point). Weight "ignore" is neither object nor background.
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
    """What a label file says of an image beside its objects: its site and date, where known."""

    site: str | None
    date: str | None


@dataclass(frozen=True, slots=True)
class GridLabels:
    """All labels of a scene as boxes in grid px: boxes (N, 5), classes (N,), ignore (N,) True = ignored."""

    boxes: Floats
    classes: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TileLabels:
    """What one tile is taught, in tile px: boxes (k, 5) of `classes`, ignored (j, 5) of `ignored_classes`."""

    boxes: Floats
    classes: npt.NDArray[np.int64]
    ignored: Floats
    ignored_classes: npt.NDArray[np.int64]

    @property
    def ignored_share(self) -> float:
        """Ignored area over all labelled area, 0–1; 0 without labels."""
        ignored = float((self.ignored[:, 2] * self.ignored[:, 3]).sum())
        taught = float((self.boxes[:, 2] * self.boxes[:, 3]).sum())
        return ignored / (ignored + taught) if ignored + taught > 0 else 0.0


def read_jsonl(path: str | Path, classes: ClassList) -> dict[str, tuple[Label, ...]]:
    """Labels by image id, in scene px: an empty tuple where nothing was found, no entry where nobody looked.

    Lines of the class none or hard_negative say that a human looked and saw nothing of ours.

    Raises:
        LabelError: a file that cannot be read or a line that breaks the format.
    """
    found: dict[str, list[Label]] = {}
    for where, record in _records(path):
        of_image = found.setdefault(_text(record, "image", where), [])
        name = _text(record, "class", where)
        if name not in _NO_LABEL:
            of_image.append(_label(record, _class_named(classes, name, where), where))
    return {image: tuple(labels) for image, labels in found.items()}


def read_facts(path: str | Path) -> dict[str, SceneFacts]:
    """Site and date by image id: the first "site" and "date" that any line of the image gives.

    Raises:
        LabelError: a file that cannot be read, or an image with two sites or dates.
    """
    found: dict[str, dict[str, str]] = {}
    for where, record in _records(path):
        of_image = found.setdefault(_text(record, "image", where), {})
        for key in ("site", "date"):
            if key in record and of_image.setdefault(key, _text(record, key, where)) != record[key]:
                raise LabelError(
                    f"{where}: an image has one {key}; got "
                    f"{of_image[key]!r} and {record[key]!r}: correct one of them"
                )
    return {image: SceneFacts(facts.get("site"), facts.get("date")) for image, facts in found.items()}


def write_jsonl(path: str | Path, labels: Mapping[str, Sequence[Label]], classes: ClassList) -> None:
    """Write what `read_jsonl` reads, images in the order given; one without labels gets a line "none"."""
    lines = []
    for image, of_image in labels.items():
        for label in of_image:
            is_line = label.geometry == "line"
            where = {"line" if is_line else "polygon": label.points.tolist()}
            shape = {**where, "closed": label.closed} if is_line else where
            record = {"image": image, "class": classes[label.class_id].name, **shape, **label.attributes}
            if label.weight == "ignore" and _weight(classes[label.class_id], label.attributes) == "target":
                record["confidence"] = "possible"
            lines.append(json.dumps(record, ensure_ascii=False))
        if not of_image:
            lines.append(json.dumps({"image": image, "class": "none"}))
    write_whole(path, "".join(line + "\n" for line in lines))


def read_geojson(path: str | Path, classes: ClassList, to_scene: Transform) -> tuple[Label, ...]:
    """Labels of one scene from a GeoJSON FeatureCollection (RFC 7946): polygons and lines, lon/lat.

    `to_scene` turns (M, 2) lon/lat into scene px. Each part of a Multi geometry is a label of its own; holes
    are left out. The properties are the keys of the JSONL format.

    Raises:
        LabelError: no GeoJSON, projected coordinates, an unknown class or another geometry.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        features = document["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelError(
            f"{path}: a GeoJSON FeatureCollection is needed; got {error!r}: export it again"
        ) from error
    _refuse_projected(document, path)
    found = []
    for i, feature in enumerate(features):
        where = f"{path}, feature {i}"
        properties = feature.get("properties") or {}
        name = _text(properties, "class", where)
        if name in _NO_LABEL:
            continue
        info = _class_named(classes, name, where)
        for kind, points in _parts(feature.get("geometry") or {}, where):
            scene = to_scene(points)
            found.append(
                _label({**properties, kind: scene.tolist(), "closed": kind == "polygon"}, info, where)
            )
    return tuple(found)


def box_of(label: Label) -> Floats:
    """The smallest oriented rectangle round the label: (5,) cx, cy, w, h, angle in the label's frame."""
    return fit_box(label.points)


def spans_of(
    label: Label, to_grid: Transform, *, cell_px: int = CELL_PX, width_px: float = SPAN_WIDTH_PX
) -> Floats:
    """A line as consecutive boxes (S, 5) in grid px, cut where it crosses the grid's cells.

    Each straight part is cut where its dominant axis (x where |dx| >= |dy|) meets a multiple of `cell_px`:
    the start of a span along a straight fence is invisible, but a network of that stride knows where its
    cells are. Pieces under 8 px join their neighbour of the same part; a part shorter than that has none.
    Example: (0, 5) → (100, 5) gives lengths 32, 32, 36: the last 4 px join the piece before.
    """
    points = to_grid(label.points)
    ring = np.vstack([points, points[:1]]) if label.closed else points
    ring = shapely.get_coordinates(shapely.simplify(shapely.linestrings(ring), _BEND_PX))
    spans = []
    for start, end in pairwise(ring):
        cuts = _cuts(start, end, cell_px)
        length = float(np.hypot(*(end - start)))
        angle = math.atan2(end[1] - start[1], end[0] - start[0])
        for t0, t1 in pairwise(cuts):
            if (t1 - t0) * length >= _SHORTEST_SPAN_PX:
                cx, cy = start + (end - start) * (t0 + t1) / 2
                spans.append((cx, cy, (t1 - t0) * length, width_px, angle))
    return canonical(np.array(spans, dtype=np.float64).reshape(-1, 5))


def pieces_of(
    label: Label, to_grid: Transform, *, cell_px: int = CELL_PX, pad_px: float = STRIP_PAD_PX
) -> Floats:
    """A strip as consecutive boxes (S, 5) in grid px, `pad_px` larger than what is there on every side.

    A strip longer than two cells is cut across where the middle of it crosses the grid's cells, as a span is,
    but pieces under half a cell join their neighbour.
    Example: (0, 0) to (100, 10) gives lengths 32, 32, 36 and width 10, and with the pad 38, 38, 42 and 16.
    """
    box = fit_box(to_grid(label.points))
    half = np.array([math.cos(box[4]), math.sin(box[4])]) * box[2] / 2
    start, end = box[:2] - half, box[:2] + half
    cuts = _cuts(start, end, cell_px, cell_px / 2) if box[2] > _WHOLE_STRIP_PX else [0.0, 1.0]
    pieces = np.tile(box, (len(cuts) - 1, 1))
    for piece, (t0, t1) in zip(pieces, pairwise(cuts), strict=True):
        piece[:2] = start + (end - start) * (t0 + t1) / 2
        piece[2] = (t1 - t0) * box[2]
    pieces[:, 2:4] += 2 * pad_px
    return canonical(pieces)


def in_grid(
    labels: Sequence[Label],
    to_grid: Transform,
    *,
    cell_px: int = CELL_PX,
    span_width_px: float = SPAN_WIDTH_PX,
    strip_pad_px: float | None = STRIP_PAD_PX,
) -> GridLabels:
    """All labels of a scene as boxes in grid px: one for a box, the spans of a line, the pieces of a strip.

    With `strip_pad_px` None a strip is one box, unpadded: what the joined pieces are measured against.
    """
    rows = [np.zeros((0, 5))]
    classes: list[int] = []
    ignore: list[bool] = []
    for label in labels:
        if label.geometry == "line":
            boxes = spans_of(label, to_grid, cell_px=cell_px, width_px=span_width_px)
        elif label.geometry == "strip" and strip_pad_px is not None:
            boxes = pieces_of(label, to_grid, cell_px=cell_px, pad_px=strip_pad_px)
        else:
            boxes = fit_box(to_grid(label.points))[None]
        rows.append(boxes)
        classes += [label.class_id] * len(boxes)
        ignore += [label.weight == "ignore"] * len(boxes)
    return GridLabels(np.vstack(rows), np.array(classes, dtype=np.int64), np.array(ignore, dtype=np.bool_))


def tile_rows(
    labels: GridLabels, window: Window, *, min_visible: float = 0.3, min_side_px: float = 4.0
) -> TileLabels:
    """The labels as one window sees them: clipped at its edges, refitted, in tile px.

    A box of which less than `min_visible` and no long stretch is inside, or whose short side is under
    `min_side_px` after clipping, is a sliver that nobody could name: it becomes ignored.
    """
    origin = np.array([window.x, window.y], dtype=np.float64)
    centre = origin + np.array([window.width, window.height]) / 2
    reach = np.hypot(labels.boxes[:, 2], labels.boxes[:, 3])[:, None] / 2
    half = np.array([window.width, window.height]) / 2
    near = (np.abs(labels.boxes[:, :2] - centre) < half + reach).all(axis=1)
    clipped, visible = clip_boxes(labels.boxes[near], window)
    seen = visible > 0
    boxes = clipped[seen].copy()
    boxes[:, :2] -= origin
    classes = labels.classes[near][seen]
    # Of an object longer than three tiles no tile sees 30 %: a stretch of it in its full width is enough.
    stretch = (boxes[:, 2] >= window.width / 4) & (boxes[:, 3] >= 0.6 * labels.boxes[near][seen][:, 3])
    sliver = (visible[seen] < min_visible) & ~stretch
    ignored = labels.ignore[near][seen] | sliver | (boxes[:, 3] < min_side_px)
    return TileLabels(boxes[~ignored], classes[~ignored], boxes[ignored], classes[ignored])


def yolo_obb_rows(boxes: Floats, classes: npt.NDArray[np.int64], tile_px: int) -> list[str]:
    """Rows "class x1 y1 x2 y2 x3 y3 x4 y4", the corners over the tile's side, always within 0–1.

    A refitted box can stand out of the tile by a corner; that corner is moved straight to the edge. One moved
    corner leaves the smallest rectangle round the four as it was, since the other three
    still span it; two, in a corner of the tile, shrink it a little.
    """
    corners = np.clip(boxes_to_corners(boxes) / tile_px, 0.0, 1.0).reshape(-1, 8)
    return [
        " ".join([str(int(class_id)), *(f"{value:.6f}" for value in row)])
        for class_id, row in zip(classes, corners, strict=True)
    ]


def _cuts(start: Floats, end: Floats, cell_px: int, shortest_px: float = _SHORTEST_SPAN_PX) -> list[float]:
    """Where a segment is cut, as fractions of it, 0 and 1 included; short end pieces joined."""
    delta = end - start
    axis = 0 if abs(delta[0]) >= abs(delta[1]) else 1
    low, high = sorted((float(start[axis]), float(end[axis])))
    lines = np.arange(math.floor(low / cell_px) + 1, math.ceil(high / cell_px)) * cell_px
    inner = sorted(float(t) for t in (lines - start[axis]) / delta[axis]) if len(lines) else []
    shortest = shortest_px / max(float(np.hypot(*delta)), 1e-9)
    if inner and inner[0] < shortest:
        inner = inner[1:]
    if inner and 1.0 - inner[-1] < shortest:
        inner = inner[:-1]
    return [0.0, *inner, 1.0]


def _records(path: str | Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The JSON objects of a JSONL file, each with "path:line" for messages."""
    try:
        lines = Path(path).read_text("utf-8").split("\n")  # not splitlines: U+2028 may stand in a note
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(
            f"a label file (JSONL) is needed; {path} cannot be read ({error}): check the path"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise LabelError(
                f"{where}: a line is one JSON object; got {line[:60]!r} ({error}): mend it"
            ) from error
        if not isinstance(record, dict):
            raise LabelError(f"{where}: a line is one JSON object; got {line[:60]!r}: mend it")
        yield where, record


def _label(record: Mapping[str, object], info: ClassInfo, where: str) -> Label:
    """One record as a Label; a "polygon" of a line class is its closed outline."""
    key = "line" if info.geometry == "line" and "line" in record else "polygon"
    closed = key == "polygon" or bool(record.get("closed", False))
    attributes = {k: str(v) for k, v in record.items() if k not in _GEOMETRY_KEYS and v is not None}
    if attributes.get("confidence", "sure") not in _CONFIDENCES:
        raise LabelError(
            f"{where}: confidence is sure, probable or possible; got {attributes['confidence']!r}: correct it"
        )
    try:
        points = np.array(record.get(key), dtype=np.float64)
        repeats = closed and len(points) > 1 and bool((points[0] == points[-1]).all())
        points = points[:-1] if repeats else points
        return Label(info.id, info.geometry, points, closed, _weight(info, attributes), attributes)
    except (TypeError, ValueError, LabelError) as error:
        raise LabelError(f'{where}: {info.name} needs "{key}": [[x, y], …]; {error}') from error


def _weight(info: ClassInfo, attributes: Mapping[str, str]) -> Weight:
    """Ignore what the annotator called possible, and heaps that are plainly of something else."""
    possible = attributes.get("confidence") == "possible"
    other = info.name == "coal_heap" and attributes.get("material") in OTHER_MATERIALS
    return "ignore" if possible or other else "target"


def _class_named(classes: ClassList, name: str, where: str) -> ClassInfo:
    """The class of a name, or a LabelError that says where."""
    if name not in classes.names:
        known = ", ".join([*classes.names, *sorted(_NO_LABEL)])
        raise LabelError(
            f"{where}: class is one of {known}; got {name!r}: correct the line or the class list"
        )
    return classes.named(name)


def _text(record: Mapping[str, object], key: str, where: str) -> str:
    """A key that must hold a non-empty text."""
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise LabelError(f'{where}: "{key}" is a text; got {value!r}: add it')
    return value


def _refuse_projected(document: Mapping[str, object], path: str | Path) -> None:
    """GeoJSON is lon/lat (RFC 7946); some programs write projected metres with an old "crs" member."""
    crs = document.get("crs")
    if crs is not None and not any(ok in json.dumps(crs) for ok in ("CRS84", "EPSG::4326", "EPSG:4326")):
        raise LabelError(
            f"{path}: GeoJSON is longitude and latitude; got {json.dumps(crs)}: export it in EPSG:4326"
        )


def _parts(geometry: Mapping[str, object], where: str) -> Iterator[tuple[Literal["polygon", "line"], Floats]]:
    """The outlines ("polygon") and lines ("line") of a GeoJSON geometry, (M, 2) each, heights dropped."""
    try:
        shape = shapely.from_geojson(json.dumps(geometry))
    except shapely.errors.GEOSException as error:
        raise LabelError(f"{where}: the geometry cannot be read ({error}): draw it again") from error
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon":
            yield "polygon", shapely.get_coordinates(part.exterior)
        elif part.geom_type == "LineString":
            yield "line", shapely.get_coordinates(part)
        else:
            raise LabelError(
                f"{where}: a label is a polygon or a line; got {part.geom_type}: draw its outline"
            )
