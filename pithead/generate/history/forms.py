"""What a thing at a site looks like at one time: a pile, a line of fence, wagons on tracks, a plant.

Metres of the site's frame: x east, y north, 0 in the middle of the site. Angles are radians from east
towards north.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely

from pithead.generate.parts import Points, rectangle, sides_m, tight_rectangle
from pithead.generate.sidings import WAGON_GAP_M, Rake, Yard, rake_outline

REPOSE = float(np.tan(np.radians(35.0)))
"""The slope of every pile: the tangent of the angle of repose of coal, 35°."""

_QUARTER = 64  # corners of a quarter of a circle: a polygon of 256 corners has 0.9999 of its area
FLIP = np.array([1.0, -1.0])
"""From metres up to metres down and back: the painters count down the screen."""


@dataclass(frozen=True, slots=True)
class Pile:
    """A heap of loose bulk: all that lies within `radius_m` of a straight crest.

    Attributes:
        x_m: Middle of the crest.
        y_m: Middle of the crest.
        angle: Of the crest.
        crest_m: Its length, 0 for a cone.
        radius_m: From the crest to the toe.
        flat: Where the top is cut level, as a part of the height of a sharp crest; 1 leaves it sharp.
    """

    x_m: float
    y_m: float
    angle: float
    crest_m: float
    radius_m: float
    flat: float = 1.0

    @property
    def shape(self) -> shapely.Polygon:
        """The outline of the toe."""
        half = self.crest_m / 2 * np.array([np.cos(self.angle), np.sin(self.angle)])
        middle = np.array([self.x_m, self.y_m])
        crest = shapely.LineString([middle - half, middle + half])
        if self.crest_m == 0:
            return shapely.Point(middle).buffer(self.radius_m, quad_segs=_QUARTER)
        return crest.buffer(self.radius_m, quad_segs=_QUARTER)

    @property
    def box(self) -> Points:
        """The tightest rectangle, (4, 2): crest and diameter by diameter."""
        length = self.crest_m + 2 * self.radius_m
        return rectangle(self.x_m, self.y_m, self.angle, length, 2 * self.radius_m)

    @property
    def height_m(self) -> float:
        """Of the top over the ground."""
        return REPOSE * self.radius_m * self.flat

    @property
    def area_m2(self) -> float:
        """What it covers: pi r² + 2 r times the crest."""
        return float(np.pi * self.radius_m**2 + 2 * self.radius_m * self.crest_m)

    @property
    def volume_m3(self) -> float:
        """Of the heap at the angle of repose: prism and cone, less those above a level top."""
        whole = _ridge_m3(self.crest_m, self.radius_m)
        return whole - _ridge_m3(self.crest_m, self.radius_m * (1 - self.flat))


def _ridge_m3(crest_m: float, radius_m: float) -> float:
    """A ridge with half a cone at both ends: slope (r² · crest + pi r³ / 3)."""
    return float(REPOSE * (radius_m**2 * crest_m + np.pi * radius_m**3 / 3))


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """The outer line of a guarded compound.

    Attributes:
        points_m: (M, 2) its corners; the first is not repeated.
        closed: Whether it comes back to its start.
        height_m: Of fence or wall.
    """

    points_m: Points
    closed: bool = True
    height_m: float = 3.0

    @property
    def course(self) -> Points:
        """The line as it is walked; a ring ends where it began."""
        return np.concatenate([self.points_m, self.points_m[:1]]) if self.closed else self.points_m

    @property
    def shape(self) -> shapely.LineString:
        """The line; of a ring, its ends meet."""
        return shapely.LineString(self.course)

    @property
    def box(self) -> Points:
        """The tightest rectangle round it, (4, 2)."""
        return tight_rectangle(self.points_m)

    @property
    def length_m(self) -> float:
        """Of the line."""
        return float(self.shape.length)

    @property
    def enclosed_m2(self) -> float:
        """Inside of a ring; 0 of an open line."""
        return float(shapely.Polygon(self.points_m).area) if self.closed else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Wagons:
    """One group of wagons on neighbouring tracks of a siding.

    Attributes:
        yard: The tracks, in metres right and down of the site's middle, as the painters have them.
        rakes: Its wagons, track by track.
    """

    yard: Yard
    rakes: tuple[Rake, ...]

    @property
    def shape(self) -> shapely.Polygon:
        """The rectangle round all wagons."""
        return shapely.Polygon(self.box)

    @property
    def box(self) -> Points:
        """The tightest rectangle, (4, 2)."""
        corners = np.concatenate([rake_outline(self.yard, rake) for rake in self.rakes])
        return tight_rectangle(corners * FLIP)

    @property
    def height_m(self) -> float:
        """Of a wagon."""
        return 3.4

    @property
    def wagons(self) -> int:
        """How many there are."""
        return sum(rake.count for rake in self.rakes)

    @property
    def standing_m(self) -> float:
        """Metres of track under wagons, all tracks together."""
        return float(sum(rake.stop_m - rake.start_m for rake in self.rakes))

    @property
    def occupied_m(self) -> float:
        """Metres of the siding along which anything stands, on whatever track."""
        return float(max(r.stop_m for r in self.rakes) - min(r.start_m for r in self.rakes))

    @property
    def pitch_m(self) -> float:
        """Of a wagon, with the gap to the next, on average."""
        long = [rake.wagon_m[0] + WAGON_GAP_M for rake in self.rakes for _ in range(rake.count)]
        return float(np.mean(long))


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """A mine head: what is built, by the seed of its painter.

    Attributes:
        x_m: Middle of its frame.
        y_m: Middle of its frame.
        angle: Of its frame.
        seed: Of the chance by which it is built: the same seed is the same plant.
        box: (4, 2) the tightest rectangle round what is built.
        height_m: Of its tallest part.
    """

    x_m: float
    y_m: float
    angle: float
    seed: int
    box: Points
    height_m: float

    @property
    def shape(self) -> shapely.Polygon:
        """The rectangle."""
        return shapely.Polygon(self.box)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A rectangle that a detector may take for something: a shed, a dark roof, a row of lorries.

    Attributes:
        box: (4, 2) its corners.
        height_m: Over the ground.
    """

    box: Points
    height_m: float = 3.0

    @property
    def shape(self) -> shapely.Polygon:
        """The rectangle."""
        return shapely.Polygon(self.box)


Form: TypeAlias = Pile | Ring | Wagons | Plant | Block


def size_m(form: Form) -> float:
    """What a form is as large as: the long side of its rectangle, the length of a line."""
    return form.length_m if isinstance(form, Ring) else sides_m(form.box)[0]
