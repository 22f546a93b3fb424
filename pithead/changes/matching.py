"""Who is whose in one scene, class by class: the pairs of two weights, and what was said of either's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from pithead.changes.ground import LONLAT, Ground, Shapes, as_lines
from pithead.changes.pairs import Ints, Pairs, apart, beyond_m
from pithead.changes.said import Said, found, last_words
from pithead.changes.side import Scored

PAIRED = np.dtype(
    [
        ("old", np.int64), ("new", np.int64), ("line", np.bool_), ("moved", np.bool_), ("overlap", float),
        ("shift_m", float), ("apart", float), ("old_m", float), ("lost_m", float), ("new_m", float),
        ("gained_m", float),
    ]
)  # fmt: skip
"""What is told of a pair, or of an object alone. `apart` is the share of one alone that lies outside of all
objects of the other side, `lost_m` how much of an old line lies beyond all new ones, `gained_m` how much of a
new one beyond all old ones; of boxes all metres are 0."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one side in some scenes, and where each scene's are among them."""

    frame: gpd.GeoDataFrame
    shapes: Shapes
    classes: npt.NDArray[np.object_]
    places: Mapping[str, Ints]

    @classmethod
    def of(cls, rows: gpd.GeoDataFrame, classes: frozenset[str]) -> "Rows":
        """Those of rows (schema 2) that are of certain classes."""
        frame = rows[rows["class"].isin(classes)].reset_index(drop=True)
        places = {str(sha): np.sort(at) for sha, at in frame.groupby("scene_sha256").indices.items()}
        return cls(
            frame, np.asarray(frame.geometry.array, dtype=object), frame["class"].to_numpy(object), places
        )

    def at(self, scene_sha256: str) -> Ints:
        """Which rows are of a scene."""
        return self.places.get(scene_sha256, np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Heard:
    """Something said of a scene, and the row of either side that is what was spoken of; -1 for none."""

    said: Said
    scored: Scored
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class Matched:
    """One scene: all objects of both sides, and what people said. Rows are numbers in `Rows.frame`."""

    pairs: tuple[npt.NDArray[np.void], ...]
    """Of `PAIRED`, one array a class; -1 stands for the side that has no such object."""
    heard: tuple[Heard, ...]


def match(old: Rows, new: Rows, scene_sha256: str, scored: Scored, said: Sequence[Said]) -> Matched:
    """Match one scene, each class by itself.

    Args:
        old: Rows of the one side, of this scene and maybe others.
        new: Of the other.
        scene_sha256: The scene.
        scored: What is known of it.
        said: Of this scene, in the order in which it was said.
    """
    sides = old, new
    at = [rows.at(scene_sha256) for rows in sides]
    mine = [rows.frame.iloc[places] for rows, places in zip(sides, at, strict=True)]
    ground = Ground.of(*mine, else_at=said[0].shape if said and said[0].frame == LONLAT else None)
    shapes = [ground.in_metres(rows.shapes[places]) for rows, places in zip(sides, at, strict=True)]
    names = [rows.classes[places] for rows, places in zip(sides, at, strict=True)]
    last = last_words(said, ground)
    pairs, heard = [], list[Heard]()
    for name in sorted({*names[0], *names[1], *(one.class_name for one in last)}):
        of = [np.flatnonzero(some == name) for some in names]
        here = [some[p] for some, p in zip(shapes, of, strict=True)]
        lines = any(bool((shapely.get_dimensions(some) == 1).any()) for some in here)
        here = [as_lines(some) if lines else some for some in here]
        numbers = [places[p] for places, p in zip(at, of, strict=True)]
        pairs.append(_paired(here, numbers, lines=lines))
        about = [one for one in last if one.class_name == name]
        by = [found(about, some, ground, lines=lines) for some in here]
        rows = [_chosen(some, chosen) for some, chosen in zip(numbers, by, strict=True)]
        heard += [Heard(one, scored, int(i), int(j)) for one, i, j in zip(about, *rows, strict=True)]
    return Matched(tuple(pairs), tuple(heard))


def _paired(shapes: Sequence[Shapes], numbers: Sequence[Ints], *, lines: bool) -> npt.NDArray[np.void]:
    """Pairs, and what is left over of either side, of one scene and class."""
    old, new = shapes
    pairs = Pairs.lines(old, new) if lines else Pairs.boxes(old, new)
    lone = [np.setdiff1d(np.arange(len(old)), pairs.old), np.setdiff1d(np.arange(len(new)), pairs.new)]
    a = np.concatenate([pairs.old, lone[0], np.full(len(lone[1]), -1)]).astype(np.int64)
    b = np.concatenate([pairs.new, np.full(len(lone[0]), -1), lone[1]]).astype(np.int64)
    both = slice(len(pairs.old))
    table = np.zeros(len(a), PAIRED)  # a data frame for each class of each scene would take half of the time
    table["old"], table["new"], table["line"] = _chosen(numbers[0], a), _chosen(numbers[1], b), lines
    table["overlap"] = table["shift_m"] = table["apart"] = np.nan
    table["moved"][both], table["overlap"][both] = pairs.moved, pairs.overlap.round(4)
    table["shift_m"][both] = pairs.shift_m.round(2)
    table["apart"][(b < 0)] = apart(old[lone[0]], new, lines=lines).round(4)
    table["apart"][(a < 0)] = apart(new[lone[1]], old, lines=lines).round(4)
    if lines:
        table["old_m"][a >= 0] = shapely.length(old)[a[a >= 0]].round(2)
        table["new_m"][b >= 0] = shapely.length(new)[b[b >= 0]].round(2)
        table["lost_m"][a >= 0] = beyond_m(old, new)[a[a >= 0]].round(2)
        table["gained_m"][b >= 0] = beyond_m(new, old)[b[b >= 0]].round(2)
    return table


def _chosen(numbers: Ints, chosen: Ints) -> Ints:
    """numbers[chosen], and -1 where -1 was chosen."""
    out = np.full(len(chosen), -1, np.int64)
    out[chosen >= 0] = numbers[chosen[chosen >= 0]]
    return out
