"""A site and its years, drawn by chance: a yard of heaps, mine heads, a siding, guarded compounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import shapely

from pithead.generate.canvas import Canvas
from pithead.generate.heads import VARIANTS, Site
from pithead.generate.history.forms import FLIP, Block, Form, Plant, Ring, Wagons
from pithead.generate.history.lives import FATES, Slot, live
from pithead.generate.history.room import Room, ring_round
from pithead.generate.history.thing import CONFUSER, Thing
from pithead.generate.parts import Points, place, rectangle, sides_m, tight_rectangle
from pithead.generate.perimeters import draw_ring
from pithead.generate.sidings import Rake, Yard, draw_group

HEADS = ("headframe", "prep_plant")
"""The kinds of mine heads that are one plant from one seed, whatever the resolution."""

_CONFUSERS = {"coal_heap": 4, "mine_head": 3, "rail_loading": 3}
_OUTWARD_M = (20.0, 40.0)
_BERTH_APART_M = 82.0  # groups nearer than 72 m would be one


@dataclass(slots=True)
class _Site:
    """A site being drawn.

    Attributes:
        room: Its ground.
        times: When it is looked at.
        rng: Source of chance.
        things: What stands there so far.
    """

    room: Room
    times: Sequence[datetime]
    rng: np.random.Generator
    things: list[Thing]

    def turn(self) -> int:
        """One of the later dates but the last two: when something changes."""
        return int(self.rng.integers(2, len(self.times) - 1))


def draw_things(
    rng: np.random.Generator, times: Sequence[datetime], side_m: float
) -> tuple[tuple[Thing, ...], tuple[Yard, datetime] | None]:
    """What stands at a site of a square, and its siding with the time since when it is there.

    Args:
        rng: Source of chance.
        times: When it is looked at: things change at these times.
        side_m: Of the square.
    """
    site = _Site(Room(side_m), times, rng, [])
    yard = _heap_yard(site)
    angle = yard[1]
    _compound(site, 0, float(rng.uniform(0.18, 0.3) * side_m))
    _head(site, 0, yard[0], angle)
    siding = _siding(site, yard[0], angle)
    _head(site, 1, yard[0], angle)
    if rng.random() < 0.5:
        _compound(site, 1, float(rng.uniform(90, 160)))
    _confusers(site)
    return tuple(site.things), siding


def _heap_yard(site: _Site) -> tuple[Points, float]:
    """Heaps of all fates in rows; the middle and the direction of the yard."""
    rng, side_m = site.rng, site.room.side_m
    columns = 3 if side_m >= 1000 else 2
    rows = int(rng.integers(2, 4))
    pitch = np.array([76.0 + 14, 30.0 + 12])
    spot = site.room.put(
        ring_round(rng, np.zeros(2), 0, 0.15 * side_m), columns * pitch[0], rows * pitch[1], 0.0
    )
    x_m, y_m, angle = spot or (0.0, 0.0, 0.0)
    count = columns * rows
    fates = [*FATES[: min(5, count)], *rng.choice(FATES, max(0, count - 5))]
    for number, fate in enumerate(rng.permutation(fates)):
        column, row = number % columns, number // columns
        local = [(column - (columns - 1) / 2) * pitch[0], (row - (rows - 1) / 2) * pitch[1]]
        at = place([local], x_m, y_m, angle)[0]
        slot = Slot(float(at[0]), float(at[1]), angle)
        site.things += live(f"heap-{number}", str(fate), slot, site.times, rng)
    return np.array([x_m, y_m]), angle


def plant(kind: str, seed: int) -> Plant:
    """A mine head of a kind and seed at 0, its rectangle and height measured on a trial canvas."""
    canvas = Canvas.flat(300, 300, 0.5)
    corners = build_plant(canvas, (150.0, 150.0, 0.0), kind, seed)
    box = (tight_rectangle(corners) - 150.0) * FLIP
    return Plant(0.0, 0.0, 0.0, seed, box, float(canvas.height.max()))


def moved_plant(built: Plant, x_m: float, y_m: float, angle: float) -> Plant:
    """The same plant with the middle of its rectangle at a place and its long side along an angle."""
    middle, side = built.box.mean(axis=0), built.box[1] - built.box[0]
    other = built.box[2] - built.box[1]
    long = side if np.hypot(*side) >= np.hypot(*other) else other
    turn = angle - float(np.arctan2(long[1], long[0]))
    origin = np.array([x_m, y_m]) - place([middle], 0.0, 0.0, turn)[0]
    box = place(built.box, float(origin[0]), float(origin[1]), turn)
    return Plant(float(origin[0]), float(origin[1]), turn, built.seed, box, built.height_m)


def build_plant(canvas: Canvas, where: tuple[float, float, float], kind: str, seed: int) -> Points:
    """Build a mine head on a canvas; the corners (M, 2) of all that is built, in its metres.

    Args:
        canvas: Where.
        where: x right, y down, and radians clockwise on the screen.
        kind: One of HEADS.
        seed: Of its chance.
    """
    canvas.taken[:] = True  # so that a plant tips no heap of its own, of which the plan would not know
    site = Site(canvas, *where, np.random.default_rng([seed, 3]))
    VARIANTS[kind](site)
    return np.concatenate(site.corners)


def _head(site: _Site, number: int, near: Points, angle: float) -> None:
    """A mine head within 300 m of the heaps: there from the first, taken in use, or given up."""
    rng = site.rng
    kind = HEADS[int(rng.integers(len(HEADS)))]
    trial = plant(kind, int(rng.integers(2**31)))
    spot = site.room.put(ring_round(rng, near, 120, 330, angle), *sides_m(trial.box))
    if spot is None:
        return
    built = moved_plant(trial, *spot)
    shares = (0.4, 0.3, 0.3) if number == 0 else (0.2, 0.5, 0.3)
    fate = str(rng.choice(["kept", "built", "removed"], p=shares))
    changes: list[tuple[datetime, Form | None]] = [(site.times[0], built)]
    if fate == "built":
        changes = [(site.times[site.turn()], built)]
    if fate == "removed":
        changes.append((site.times[site.turn()], None))
    site.things.append(Thing(f"head-{number}", "mine_head", kind, tuple(changes)))


def _siding(site: _Site, near: Points, angle: float) -> tuple[Yard, datetime] | None:
    """A spur of one to three tracks beside the heaps, built on a date or there before; wagons on it."""
    rng = site.rng
    tracks = int(rng.integers(1, 4))
    length = float(rng.uniform(0.25, 0.42) * site.room.side_m)
    spot = site.room.put(ring_round(rng, near, 90, 300, angle), length, tracks * 5.0 + 14)
    if spot is None:
        return None
    x_m, y_m, turn = spot
    offsets = (np.arange(tracks) - (tracks - 1) / 2) * float(rng.uniform(4.4, 5.2))
    yard = Yard(x_m, -y_m, -turn, float("inf"), length, np.asarray(offsets, np.float64))
    since = 0 if rng.random() < 0.3 else site.turn()
    berths = 2 if length > 2 * 90 + _BERTH_APART_M else 1
    room = (length - 20 - (berths - 1) * _BERTH_APART_M) / berths
    for berth in range(berths):
        start = -length / 2 + 10 + berth * (room + _BERTH_APART_M)
        changes: list[tuple[datetime, Form | None]] = []
        for time in site.times[since:]:
            group = _group(yard, (start, start + room), rng) if rng.random() < 0.75 else None
            changes.append((time, group))
        site.things.append(Thing(f"berth-{berth}", "rail_loading", "wagons", tuple(changes)))
    return yard, site.times[since]


def _group(yard: Yard, room_m: tuple[float, float], rng: np.random.Generator) -> Wagons | None:
    """Wagons on all or some tracks of a berth; None where chance puts none."""
    length = (room_m[1] - room_m[0]) * float(rng.uniform(0.55, 1.0))
    start = room_m[0] + float(rng.uniform(0, room_m[1] - room_m[0] - length))
    rakes: list[Rake] = draw_group(yard, list(range(len(yard.tracks_m))), (start, start + length), rng)
    return Wagons(yard, tuple(rakes)) if rakes else None


def _compound(site: _Site, number: int, size_m: float) -> None:
    """A compound behind its line: the first is moved outward, another is built or given up."""
    rng = site.rng
    points = _placed_ring(site, size_m)
    if points is None:
        return
    height = float(rng.uniform(2.4, 4.5))
    first, turn = Ring(points, height_m=height), site.turn()
    changes: list[tuple[datetime, Form | None]] = [(site.times[0], first)]
    fate = "moved" if number == 0 else str(rng.choice(["kept", "built", "removed"]))
    if fate == "moved":
        moved = Ring(_outward(points, rng), height_m=height)
        changes.append((site.times[turn], moved))
        if turn + 2 < len(site.times) and rng.random() < 0.3:
            again = Ring(_outward(moved.points_m, rng), height_m=height)
            changes.append((site.times[turn + 2], again))
    elif fate == "built":
        changes = [(site.times[turn], first)]
    elif fate == "removed":
        changes.append((site.times[turn], None))
    site.things.append(Thing(f"perimeter-{number}", "guard_perimeter", fate, tuple(changes)))


def _placed_ring(site: _Site, size_m: float) -> Points | None:
    """A ring with room round it to be moved outward; smaller where there is no room for a large one."""
    for share in (1.0, 0.75, 0.55):
        ring = draw_ring(site.rng, max(90.0, share * size_m))
        wide, high = (np.ptp(ring, axis=0) + 2 * _OUTWARD_M[1] + 20).tolist()
        anywhere = ring_round(site.rng, np.zeros(2), 0, 0.6 * site.room.side_m)
        spot = site.room.put(anywhere, wide, high, 15.0)
        if spot is not None:
            return place(ring, *spot)
    return None


def _outward(points: Points, rng: np.random.Generator) -> Points:
    """The ring with one of its longer sides moved 20 to 40 m outward; every corner else stays."""
    ring = shapely.Polygon(points)
    after = np.roll(points, -1, axis=0)
    sides = np.hypot(*(after - points).T)
    for side in rng.permutation(np.flatnonzero(sides >= 0.6 * sides.max())).tolist():
        way = (after[side] - points[side]) / sides[side]
        normal = np.array([way[1], -way[0]])
        if ring.contains(shapely.Point((points[side] + after[side]) / 2 + normal)):
            normal = -normal
        moved = points.copy()
        moved[[side, (side + 1) % len(points)]] += normal * float(rng.uniform(*_OUTWARD_M))
        if shapely.Polygon(moved).is_valid and shapely.Polygon(moved).area > ring.area:
            return moved
    return np.asarray(points * 1.1 - points.mean(axis=0) * 0.1, np.float64)


def _confusers(site: _Site) -> None:
    """What a detector may take for something on every date; each is alike from first to last."""
    rng = site.rng
    sizes = {"coal_heap": (22.0, 12.0), "mine_head": (50.0, 24.0), "rail_loading": (70.0, 4.0)}
    for cls, count in _CONFUSERS.items():
        for number in range(count):
            long, wide = (np.array(sizes[cls]) * np.exp(rng.normal(0, [0.4, 0.15]))).tolist()
            spot = site.room.put(ring_round(rng, np.zeros(2), 0, 0.6 * site.room.side_m), long, wide, 12.0)
            if spot is not None:
                block = Block(rectangle(*spot, long, wide))
                site.things.append(Thing(f"{cls}-not-{number}", cls, CONFUSER, ((site.times[0], block),)))
