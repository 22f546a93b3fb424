"""What can be wrong with labels and datasets, found before anybody learns from them."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import shapely

from pithead.classes import ClassInfo, ClassList
from pithead.dataset import Tile, damage
from pithead.errors import LabelError
from pithead.folds import near_pairs
from pithead.geometry import fit_box, polygon_iou
from pithead.imagery import Scene
from pithead.labels.jsonl import records
from pithead.labels.label import NO_LABEL, Floats, Label, class_named, label_of, text_of
from pithead.likeness import look_alikes, looks_of

Level = Literal["refused", "warning"]

OUTSIDE_PX = 2.0  # an annotator's hand may slip over the edge by so much
SAME_OBJECT = 0.5  # IoU from which two outlines on two dates are one object
SAME_LABEL = 0.8  # and from which two of one scene are


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: how bad, what kind, which file and line or which two tiles, and the remedy."""

    level: Level
    kind: str
    where: str
    text: str


# --- folds ---------------------------------------------------------------------------------------------


def leaks(root: Path, tiles: Sequence[Tile], buffer_m: float = 0.0) -> Iterator[Problem]:
    """Whatever train and val have in common: sites, ground, equal tiles, tiles that show the same."""
    train, val = ([t for t in tiles if t.split == split] for split in ("train", "val"))
    for split, part in (("train", train), ("val", val)):
        if not part:
            yield Problem(
                "warning", "empty fold", str(root), f"{split} has no tile: add scenes of other places"
            )
    yield from _shared_sites(train, val)
    yield from _shared_ground(train, val, buffer_m)
    yield from _equal(train, val)
    yield from _alike(root, train, val)


def _shared_sites(train: Sequence[Tile], val: Sequence[Tile]) -> Iterator[Problem]:
    for key in ("site", "ground"):
        first, second = ({str(getattr(tile, key)): tile for tile in part} for part in (train, val))
        for name in sorted(set(first) & set(second)):
            where = f"{first[name].path} and {second[name].path}"
            yield Problem(
                "refused", f"one {key} in both folds", where, f"{key} {name}: cut the dataset again"
            )
        if set(first) & set(second):
            return  # a shared site is a shared place


def _shared_ground(train: Sequence[Tile], val: Sequence[Tile], buffer_m: float) -> Iterator[Problem]:
    first, second = ([t for t in part if t.footprint is not None] for part in (train, val))
    corners = [[t.footprint for t in part if t.footprint is not None] for part in (first, second)]
    pairs: dict[tuple[str, str], list[tuple[Tile, Tile]]] = {}
    for i, j in near_pairs(corners[0], corners[1], buffer_m):
        pairs.setdefault((first[i].scene, second[j].scene), []).append((first[i], second[j]))
    for (a, b), of in sorted(pairs.items()):
        near = f"within {buffer_m:g} m of" if buffer_m else "sharing ground with"
        yield Problem(
            "refused",
            "shared ground",
            f"{of[0][0].path} and {of[0][1].path}",
            f"{len(of)} pairs of tiles, of scene {a} (train) {near} {b} (val): give them one site, or cut "
            "again with a larger --buffer-m",
        )


def _equal(train: Sequence[Tile], val: Sequence[Tile]) -> Iterator[Problem]:
    known = {tile.sha256: tile for tile in train}
    for tile in val:
        if tile.sha256 in known:
            where = f"{known[tile.sha256].path} and {tile.path}"
            yield Problem("refused", "equal tiles", where, "the same pixels in both folds: remove one scene")
    for part in (train, val):
        seen: dict[str, Tile] = {}
        for tile in part:
            if seen.setdefault(tile.sha256, tile) is not tile:
                where = f"{seen[tile.sha256].path} and {tile.path}"
                yield Problem("warning", "equal tiles", where, f"the same pixels twice in {tile.split}")


def _alike(root: Path, train: Sequence[Tile], val: Sequence[Tile]) -> Iterator[Problem]:
    """Tiles whose files are not there are left to `damage`."""
    train, val = ([t for t in part if (root / t.path).is_file()] for part in (train, val))
    one, other = looks_of([root / t.path for t in train]), looks_of([root / t.path for t in val], turned=True)
    told: set[tuple[int, int]] = set()
    for i, j, correlation in look_alikes(one, other):
        pair = (i, j // 8)
        if pair in told or train[i].sha256 == val[pair[1]].sha256:
            continue
        told.add(pair)
        yield Problem(
            "refused",
            "near-duplicates",
            f"{train[i].path} and {val[pair[1]].path}",
            f"look the same (correlation {correlation:.3f}): are they one place? Give their scenes one site",
        )


# --- tiles ---------------------------------------------------------------------------------------------


def broken(root: Path, tiles: Sequence[Tile], classes: ClassList) -> Iterator[Problem]:
    """Files that are missing or changed, and rows that are no boxes of known classes."""
    for text in damage(root, tiles):
        yield Problem("refused", "missing or changed file", text.split(" ", 1)[0], text)
    for tile in tiles:
        for name in (tile.labels, tile.ignores):
            if name is not None and (root / name).is_file():
                yield from _rows(root / name, classes)


def _rows(path: Path, classes: ClassList) -> Iterator[Problem]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        where = f"{path}:{number}"
        parts = line.split()
        try:
            values = [float(part) for part in parts[1:]]
            class_id = int(parts[0])
        except (ValueError, IndexError):
            values, class_id = [], -1
        if len(values) != 8 or not all(0 <= value <= 1 for value in values):
            text = f"a row is a class and 8 numbers from 0 to 1; got {line[:60]!r}: cut the dataset again"
            yield Problem("refused", "broken row", where, text)
        elif not 0 <= class_id < len(classes):
            text = f"class {class_id} is not in the list of {len(classes)}: use the list it was cut with"
            yield Problem("refused", "unknown class", where, text)


# --- labels --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A label and where it stands."""

    where: str
    label: Label
    info: ClassInfo


def read_labels(path: Path, classes: ClassList) -> tuple[dict[str, list[Found]], list[Problem]]:
    """The labels by image, and a problem for every line that is none; lines without object count too."""
    found: dict[str, list[Found]] = {}
    problems = []
    for where, record in records(path):
        try:
            of_image = found.setdefault(text_of(record, "image", where), [])
            name = text_of(record, "class", where)
            if name not in NO_LABEL:
                info = class_named(classes, name, where)
                of_image.append(Found(where, label_of(record, info, where), info))
        except LabelError as error:
            text = str(error).removeprefix(f"{where}: ")
            problems.append(Problem("refused", "no label", where, text))
    return found, problems


def shape_problems(found: Sequence[Found], scene: Scene) -> Iterator[Problem]:
    """Labels of a scene that lie outside, have no area, cross themselves, or are too small or too large."""
    for one in found:
        points = one.label.points
        low, high = points.min(axis=0), points.max(axis=0)
        if (low < -OUTSIDE_PX).any() or (high > np.array([scene.width, scene.height]) + OUTSIDE_PX).any():
            text = (
                f"reaches from {low.round(1).tolist()} to {high.round(1).tolist()} px, the scene ends at "
                f"{scene.width} × {scene.height}: is it another scene's, or in other units?"
            )
            yield Problem("refused", "outside the scene", one.where, text)
        yield from _degenerate(one)
        yield from _size(one, scene)


def _degenerate(one: Found) -> Iterator[Problem]:
    points = one.label.points
    if not one.label.closed:
        if not shapely.LineString(points).length > 0:
            yield Problem("refused", "degenerate", one.where, "a line without length: draw it again")
        return
    outline = shapely.Polygon(points)
    if not outline.convex_hull.area > 0:
        yield Problem("refused", "degenerate", one.where, "an outline without area: draw it again")
    elif not outline.is_valid:
        yield Problem("refused", "crosses itself", one.where, "its sides cross: put its corners in order")


def _size(one: Found, scene: Scene) -> Iterator[Problem]:
    size_m = size_of(one.label, scene)
    largest = one.info.largest_m or np.inf
    if one.label.weight == "target" and not one.info.smallest_m <= size_m <= largest:
        text = (
            f"{one.info.name} of {size_m:.1f} m; its list has {one.info.smallest_m:g} to {largest:g} m: "
            "check class, outline and resolution"
        )
        yield Problem("warning", "size", one.where, text)


def size_of(label: Label, scene: Scene) -> float:
    """Metres on the ground: the length of a line, the long side of another label."""
    if label.geometry == "line":
        ring = np.vstack([label.points, label.points[:1]]) if label.closed else label.points
        return scene.length_m(ring)
    box = fit_box(label.points)
    half = np.array([np.cos(box[4]), np.sin(box[4])]) * box[2] / 2
    return scene.length_m(np.stack([box[:2] - half, box[:2] + half]))


def twins(found: Sequence[Found]) -> Iterator[Problem]:
    """Labels of one scene that stand for the same object: the same class twice, or two classes."""
    boxes = [one for one in found if one.label.geometry != "line"]
    iou = polygon_iou([o.label.points for o in boxes], [o.label.points for o in boxes])
    for i, j in itertools.combinations(range(len(boxes)), 2):
        if iou[i, j] >= SAME_LABEL:
            names = sorted({boxes[i].info.name, boxes[j].info.name})
            text = f"overlaps {boxes[i].where} ({', '.join(names)}, IoU {iou[i, j]:.2f}): keep one"
            yield Problem("warning", "labelled twice", boxes[j].where, text)


def changed_class(
    scenes: Mapping[str, tuple[Sequence[Found], Sequence[Floats]]],
) -> Iterator[Problem]:
    """Objects that are labelled differently on two dates.

    Args:
        scenes: By scene its labels and, for each, its outline (M, 2) in metres of one frame for all.
    """
    for (a, (found_a, lines_a)), (b, (found_b, lines_b)) in itertools.combinations(sorted(scenes.items()), 2):
        iou = polygon_iou(lines_a, lines_b) if lines_a and lines_b else np.zeros((0, 0))
        for i, j in zip(*np.nonzero(iou >= SAME_OBJECT), strict=True):
            first, second = found_a[i], found_b[j]
            if first.info.id != second.info.id:
                text = (
                    f"{second.info.name} in {b}, {first.info.name} in {a} ({first.where}), "
                    f"IoU {iou[i, j]:.2f}: one of them is wrong, or the place has changed"
                )
                yield Problem("warning", "another class on another date", second.where, text)


def first_lines(problems: Iterable[Problem], level: Level) -> list[str]:
    """The problems of a level, a line each: where, what."""
    return [f"{p.kind}: {p.where}: {p.text}" for p in problems if p.level == level]
