"""Folds that share no ground: scenes of one site, and sites that lie close together, are never parted.

A model that is measured on ground it has learnt from, on another day or from another sensor, looks better
than it is. So what is drawn for a fold is a place: all scenes that are joined by a common site or by less
than a distance between their footprints.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely

from pithead.dataset import Corners, Split, Tile, rank
from pithead.errors import DatasetError

METRES_PER_DEGREE = 111_320.0  # of a meridian, and of the equator
UNKNOWN = "unknown"
By = Literal["site", "sensor"]


@dataclass(frozen=True, slots=True)
class Ground:
    """A scene as folds see it: its name, site, and corners in lon, lat, None without georeference."""

    scene: str
    site: str
    footprint: Corners | None


def near_pairs(
    first: Sequence[Corners], second: Sequence[Corners], buffer_m: float
) -> Iterator[tuple[int, int]]:
    """Which footprints (lon, lat) come within `buffer_m` of which, touching counted: pairs of indices.

    Distances are taken in a plane through each pair: right to 1 % up to some 50 km, away from the poles and
    from the 180th meridian.
    """
    if not first or not second:
        return
    grown = [_grown(corners, buffer_m) for corners in first]
    tree = shapely.STRtree([shapely.Polygon(corners) for corners in second])
    for i, j in sorted(zip(*(side.tolist() for side in tree.query(grown)), strict=True)):
        if distance_m(first[i], second[j]) <= buffer_m:
            yield i, j


def distance_m(first: Corners, second: Corners) -> float:
    """Metres between two footprints (lon, lat), 0 where they share ground."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    middle = np.concatenate([a, b]).mean(axis=0)
    scale = METRES_PER_DEGREE * np.array([math.cos(math.radians(middle[1])), 1.0])
    polygons = [shapely.Polygon((points - middle) * scale) for points in (a, b)]
    return float(shapely.distance(*polygons))


def places_of(grounds: Sequence[Ground], buffer_m: float) -> dict[str, str]:
    """The place of each scene: the first name, in order, of the sites that it is joined with.

    Raises:
        DatasetError: a buffer below 0.
    """
    if not buffer_m >= 0:
        raise DatasetError(f"a buffer is a distance of at least 0 m; got {buffer_m}: try 500")
    place = {ground.site: ground.site for ground in grounds}

    def root(site: str) -> str:
        while place[site] != site:
            place[site] = place[place[site]]
            site = place[site]
        return site

    placed = [ground for ground in grounds if ground.footprint is not None]
    corners = [ground.footprint for ground in placed if ground.footprint is not None]
    for i, j in near_pairs(corners, corners, buffer_m):
        first, last = sorted((root(placed[i].site), root(placed[j].site)))
        place[last] = first
    return {ground.scene: root(ground.site) for ground in grounds}


def k_folds(tiles: Iterable[Tile], k: int, seed: int) -> dict[str, tuple[Tile, ...]]:
    """K datasets by name, in each of which another share of the places is val: "1-of-5" and so on.

    Places are dealt in the order of their ranks, each to the fold with the fewest tiles.

    Raises:
        DatasetError: fewer than two folds, or fewer places than folds.
    """
    every = tuple(tiles)
    sizes: dict[str, int] = {}
    for tile in every:
        sizes[tile.ground] = sizes.get(tile.ground, 0) + 1
    if not 2 <= k <= len(sizes):
        raise DatasetError(
            f"folds are 2 or more, and at most as many as there are places ({len(sizes)}); got {k}: "
            "ask for fewer or add scenes of other places"
        )
    held: dict[str, int] = {}
    totals = [0] * k
    for place in sorted(sizes, key=lambda place: (rank("fold", seed, place), place)):
        held[place] = min(range(k), key=lambda fold: (totals[fold], fold))
        totals[held[place]] += sizes[place]
    return {
        f"{fold + 1}-of-{k}": tuple(_in(t, "val" if held[t.ground] == fold else "train") for t in every)
        for fold in range(k)
    }


def leave_one_out(tiles: Iterable[Tile], by: By | None) -> dict[str, tuple[Tile, ...]]:
    """A dataset for each place or sensor, in which it alone is val; none for None.

    Tiles of other sensors on ground that the held-out sensor shows are in neither part.

    Raises:
        DatasetError: fewer than two of them, or a sensor on whose ground everything lies.
    """
    if by is None:
        return {}
    every = tuple(tiles)
    names = sorted({_key(tile, by) for tile in every})
    if len(names) < 2:
        raise DatasetError(f"leaving one {by} out needs at least 2; got {names}: add scenes, or name them")
    found = {}
    for name in names:
        held = {tile.ground for tile in every if _key(tile, by) == name}
        parts = [
            _in(tile, "val" if _key(tile, by) == name else "train")
            for tile in every
            if _key(tile, by) == name or tile.ground not in held
        ]
        if all(tile.split == "val" for tile in parts):
            raise DatasetError(f"{by} {name} shows all the ground there is: nothing is left to learn from")
        found[f"{by}-{name}"] = tuple(parts)
    return found


def _key(tile: Tile, by: By) -> str:
    return tile.ground if by == "site" else tile.sensor or UNKNOWN


def _in(tile: Tile, split: Split) -> Tile:
    return replace(tile, split=split)


def _grown(corners: Corners, buffer_m: float) -> shapely.Polygon:
    """A rectangle (lon, lat) round all that comes within a distance of a footprint, and a little more."""
    points = np.asarray(corners, float)
    high = buffer_m / METRES_PER_DEGREE * 1.02
    steepest = min(89.0, float(np.abs(points[:, 1]).max()) + high)
    wide = high / math.cos(math.radians(steepest))
    (left, low), (right, top) = points.min(axis=0), points.max(axis=0)
    rectangle: shapely.Polygon = shapely.box(left - wide, low - high, right + wide, top + high)
    return rectangle
