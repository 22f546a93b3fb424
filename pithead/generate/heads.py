"""Mine heads: headframes, preparation plants and crushers with galleries, adits.

The label covers what is built: towers with their struts, shaft building, winding house and galleries
with both their ends; not shadows, heaps, yards or lorries.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pithead.generate.canvas import Canvas, Truth
from pithead.generate.heaps import add_small_heap
from pithead.generate.parts import (
    CONCRETE,
    DIRT,
    STEEL,
    Colour,
    Points,
    beam,
    block,
    disc,
    inside_canvas,
    pad,
    place,
    rectangle,
    roof_colour,
    sides_m,
    smooth_noise,
    stroke,
    tight_rectangle,
    vary,
)


@dataclass(slots=True)
class Site:
    """A head being built: its own frame, and the corners of what belongs into its label.

    Attributes:
        canvas: Where.
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen of the frame's first axis.
        rng: Source of chance.
        corners: (M, 2) arrays of all that is built.
    """

    canvas: Canvas
    x_m: float
    y_m: float
    angle: float
    rng: np.random.Generator
    corners: list[Points] = field(default_factory=list)

    def at(self, u: float, v: float) -> Points:
        """Local metres to canvas metres (2,)."""
        return np.asarray(place([[u, v]], self.x_m, self.y_m, self.angle)[0], np.float64)

    def house(
        self,
        middle: tuple[float, float],
        size: tuple[float, float],
        top_m: float,
        colour: Colour,
        ridge_m: float = 0.0,
    ) -> None:
        """A building of the head, parallel to its axes."""
        spot = self.at(*middle)
        corners = rectangle(spot[0], spot[1], self.angle, *size)
        self.corners.append(block(self.canvas, corners, top_m, colour, ridge_m=ridge_m))

    def span(
        self,
        ends: tuple[tuple[float, float], tuple[float, float]],
        width_m: float,
        tops_m: tuple[float, float],
        colour: Colour,
        dash_m: float = 0.0,
    ) -> None:
        """A gallery or strut of the head."""
        start, stop = self.at(*ends[0]), self.at(*ends[1])
        self.corners.append(beam(self.canvas, start, stop, width_m, tops_m, colour, dash_m=dash_m))


def lattice_tower(site: Site, foot_m: float, height_m: float, back_m: float, colour: Colour) -> None:
    """A headframe at the origin: four legs, girders, a platform with sheaves, struts leaning along +u."""
    half = foot_m / 2
    for side in (-1.0, 1.0):
        for end in (-1.0, 1.0):
            leg = (end * half, side * half)
            site.span((leg, (leg[0] + 0.9, leg[1])), 0.9, (height_m, height_m), colour)
        low = (half + back_m, side * half * 1.5)
        site.span((low, (half * 0.5, side * half * 0.6)), 1.1, (0.8, height_m - 2), colour, 2.2)
        site.span(
            ((-half, side * half), (half, side * half)), 0.6, (height_m * 0.45, height_m * 0.9), colour, 1.4
        )
    for share in (0.3, 0.62):
        across = half + back_m * share
        reach = half * (1.5 - 0.8 * (1 - share))
        top = height_m * (1 - share) * 0.95
        site.span(((across, -reach), (across, reach)), 0.7, (top, top), colour, 1.3)
    site.span(((-half, -half), (half, half)), 0.5, (height_m * 0.3, height_m * 0.8), colour, 1.2)
    middle = site.at(0, 0)
    deck = rectangle(middle[0], middle[1], site.angle, foot_m * 0.62, foot_m * 0.62)
    site.corners.append(block(site.canvas, deck, height_m, tuple(0.8 * c for c in colour)))  # type: ignore[arg-type]
    for side in (-1.0, 1.0):
        wheel = site.at(0, side * 1.3)
        disc(site.canvas, wheel[0], wheel[1], min(2.4, foot_m * 0.2), height_m + 2.5, colour)


def headframe(site: Site) -> str:
    """A lattice tower at its shaft building, with winding house and often a gallery to a bunker."""
    rng = site.rng
    height = float(np.clip(rng.normal(32, 11), 15, 60))
    foot = float(np.clip(height * rng.uniform(0.22, 0.32), 6, 14))
    back = height * float(rng.uniform(0.45, 0.7))
    size = float(rng.uniform(14, 34)), float(rng.uniform(12, 24))
    roof = roof_colour(rng)
    over = bool(rng.random() < 0.5)
    shaft_u = -size[0] / 2 + (foot * 0.3 if over else -foot / 2 - 1)
    site.house(
        (shaft_u, 0), size, float(rng.uniform(7, min(14, height * 0.5))), roof, float(rng.uniform(0, 2))
    )
    far = foot / 2 + back + rng.uniform(6, 18)
    winder = float(rng.uniform(10, 16)), float(rng.uniform(12, 22))
    site.house((far + winder[0] / 2, 0), winder, float(rng.uniform(6, 10)), roof_colour(rng), 1.5)
    for side in (-0.8, 0.8):
        rope = site.at(far, side), site.at(1, side)
        stroke(site.canvas, np.array(rope), 0.2, STEEL, alpha=0.3)
    tone = vary((0.3, 0.3, 0.3, 0.3) if rng.random() < 0.6 else (0.36, 0.18, 0.13, 0.33), rng, 0.3)
    lattice_tower(site, foot, height, back, tone)
    if rng.random() < 0.4:
        side = float(rng.choice([-1.0, 1.0]))
        length = float(rng.uniform(16, 34))
        stop = shaft_u + rng.uniform(0, 30), side * (size[1] / 2 + length)
        width = float(rng.uniform(2.6, 4))
        site.span(
            ((shaft_u, side * (size[1] / 2 - 1)), stop),
            width,
            (6, float(rng.uniform(12, 22))),
            roof_colour(rng),
        )
        site.house(
            stop,
            (float(rng.uniform(8, 14)), float(rng.uniform(8, 14))),
            float(rng.uniform(14, 24)),
            roof_colour(rng),
        )
    return "headframe"


def prep_plant(site: Site) -> str:
    """Two to four tall buildings in a chain, joined by inclined galleries; a conveyor to a stockpile."""
    rng = site.rng
    spot = np.array([-rng.uniform(25, 45), rng.uniform(-8, 8)])
    turn = rng.uniform(-0.4, 0.4)
    previous: tuple[float, float] | None = None
    gallery, top_before = roof_colour(rng), 4.0
    count = int(rng.integers(2, 5))
    main = int(rng.integers(1, count))
    for number in range(count):
        big = number == main
        size = (
            rng.uniform(20, 42) if big else rng.uniform(8, 16),
            rng.uniform(16, 26) if big else rng.uniform(7, 13),
        )
        top = float(rng.uniform(18, 32) if big else rng.uniform(6, 16))
        here = (float(spot[0]), float(spot[1]))
        if previous is not None:
            site.span((previous, here), float(rng.uniform(2.8, 4.2)), (top_before * 0.6, top * 0.9), gallery)
        site.house(here, (float(size[0]), float(size[1])), top, roof_colour(rng), float(rng.uniform(0, 2)))
        if big:
            penthouse = here[0] + rng.uniform(-5, 5), here[1]
            site.house(penthouse, (float(size[0]) * 0.4, float(size[1]) * 0.5), top + 5, roof_colour(rng))
        previous, top_before = here, top
        turn += rng.normal(0, 0.7)
        spot = spot + rng.uniform(32, 58) * np.array([np.cos(turn), np.sin(turn)])
    if rng.random() < 0.7 and previous is not None:
        turn += rng.normal(0, 0.5)
        end = previous[0] + 38 * np.cos(turn), previous[1] + 38 * np.sin(turn)
        radius = float(rng.uniform(8, 15))
        if inside_canvas(site.canvas, site.at(*end)[None, :], 30) and _clear(site, end, radius + 4):
            add_small_heap(site.canvas, site.at(*end), radius, "coal", rng)
            site.span(
                (previous, (float(end[0]), float(end[1]))), 2.4, (top_before * 0.5, radius * 0.7 + 3), gallery
            )
    return "prep_plant"


def _clear(site: Site, spot: tuple[float, float], radius_m: float) -> bool:
    """Whether nothing has been built round a spot yet."""
    centre = site.at(*spot)
    patch = site.canvas.patch(centre[0], centre[1], 0.0, radius_m, radius_m)
    if patch is None or not site.canvas.free(patch):
        return False
    near = site.canvas.height[patch.rows, patch.cols] - site.canvas.ground[patch.rows, patch.cols]
    return bool(near.max() < 0.5)


def crusher(site: Site) -> str:
    """A crushing plant: machines in the middle, three to five conveyors like a star, heaps at their ends."""
    rng = site.rng
    material = str(rng.choice(["sand", "gravel", "spoil_light", "coal"], p=[0.3, 0.35, 0.15, 0.2]))
    arms = int(rng.integers(3, 6))
    turns = rng.uniform(0, 2 * np.pi) + (np.arange(arms) + rng.uniform(-0.3, 0.3, arms)) * 2 * np.pi / arms
    dark = vary((0.13, 0.125, 0.12, 0.14) if rng.random() < 0.7 else (0.4, 0.3, 0.12, 0.4), rng)
    ends: list[tuple[float, float]] = []
    for turn in turns:
        reach = float(rng.uniform(14, 34))
        ends.append((float(reach * np.cos(turn)), float(reach * np.sin(turn))))
    for number, end in enumerate(ends):
        radius = float(rng.uniform(4.5, 8.5))
        if number > 0 and rng.random() < 0.85:
            heap = end[0] * (1 + 0.1 * radius / 20), end[1] * (1 + 0.1 * radius / 20)
            add_small_heap(site.canvas, site.at(*heap), radius, material, rng)
        site.span(((0, 0), end), float(rng.uniform(1.2, 2.2)), (3.0, radius * 0.7 + 2.5), dark)
    site.house((0, 0), (float(rng.uniform(7, 12)), float(rng.uniform(5, 8))), float(rng.uniform(7, 13)), dark)
    site.house(ends[0], (float(rng.uniform(5, 8)), float(rng.uniform(4, 6))), float(rng.uniform(5, 8)), dark)
    middle = ends[1][0] * 0.5, ends[1][1] * 0.5
    site.house(middle, (float(rng.uniform(3, 5)), float(rng.uniform(3, 5))), float(rng.uniform(6, 9)), dark)
    return "crusher"


def adit(site: Site) -> str:
    """A portal in a bank with wing walls, its track out to a tip, a shed, and the spoil fan beyond."""
    rng, canvas = site.rng, site.canvas
    _bank(site, float(rng.uniform(9, 20)))
    width = float(rng.uniform(5, 8))
    pale = vary(CONCRETE, rng, 0.2)
    site.house((-19, 0), (float(rng.uniform(6, 12)), width), float(rng.uniform(4.5, 6)), pale)
    for side in (-1.0, 1.0):
        site.span(((-16, side * width / 2), (-10, side * (width / 2 + 4))), 1.0, (5, 1.5), pale)
    mouth = site.at(-12, 0)
    slot = canvas.patch(mouth[0], mouth[1], site.angle, 2.2, width / 2 - 0.8)
    if slot is not None:
        inside = (np.abs(slot.u) < 2.0) & (np.abs(slot.v) < width / 2 - 1)
        canvas.paint(slot, inside, (0.02, 0.02, 0.02, 0.02))
    length = _track_out(site)
    site.house((length - 3, 0), (6.0, 6.0), float(rng.uniform(4, 7)), roof_colour(rng))
    side = float(rng.choice([-1.0, 1.0]))
    shed = float(rng.uniform(10, 20)), float(rng.uniform(6, 10))
    site.house(
        (rng.uniform(-6, 6), side * (6 + shed[1] / 2)),
        shed,
        float(rng.uniform(3.5, 6)),
        roof_colour(rng),
        1.2,
    )
    _fan(site, length + 2)
    return "adit"


def _track_out(site: Site) -> float:
    """Lay a track from the portal to the tip: its length in metres."""
    rng, canvas = site.rng, site.canvas
    length = float(rng.uniform(18, 34))
    stroke(
        canvas,
        np.array([site.at(-11, 0), site.at(length, 0)]),
        4.5,
        vary((0.2, 0.19, 0.18, 0.2), rng),
        ragged=0.1,
    )
    for side in (-0.6, 0.6):
        stroke(
            canvas,
            np.array([site.at(-11, side), site.at(length, side)]),
            0.25,
            vary((0.42, 0.4, 0.37, 0.42), rng),
            alpha=0.8,
        )
    return length


def _bank(site: Site, height_m: float) -> None:
    """Raise a hillside behind the portal: a scarp 14 m behind the centre, fading out round it."""
    canvas, rng = site.canvas, site.rng
    centre = site.at(-48, 0)
    patch = canvas.patch(centre[0], centre[1], site.angle, 42, 52)
    if patch is None:
        return
    wander = 2.0 * smooth_noise(patch.u.shape, 14 / canvas.gsd_m, rng)
    front = (26 - patch.u + wander + 0.004 * patch.v**2) / 14  # 0 at the foot of the scarp, 1 at its crest
    fade = np.clip((40 + patch.u) / 30, 0, 1) * np.clip((50 - np.abs(patch.v)) / 28, 0, 1)
    smooth = fade * fade * (3 - 2 * fade)
    rough = 1 + 0.12 * smooth_noise(patch.u.shape, 9 / canvas.gsd_m, rng)
    rise = np.where(np.abs(patch.u) <= 42, np.clip(front, 0, 1) * smooth * rough * height_m, 0)
    canvas.add_height(patch, np.clip(rise, 0, None))
    bare = np.clip(1 - np.abs(front - 0.5), 0, 1) * smooth
    canvas.paint(patch, bare * 0.8, vary((0.3, 0.26, 0.21, 0.32), rng), 0.12)


def _fan(site: Site, start_m: float) -> None:
    """Spoil tipped from the end of the track: a half cone that opens away from it, not in the label."""
    canvas, rng = site.canvas, site.rng
    reach = float(rng.uniform(18, 40))
    centre = site.at(start_m + reach / 2, 0)
    patch = canvas.patch(centre[0], centre[1], site.angle, reach / 2 + 4, reach)
    if patch is None:
        return
    u = patch.u + np.float32(reach / 2)
    away = np.hypot(u, patch.v) + 1.8 * smooth_noise(u.shape, 6 / canvas.gsd_m, rng)
    opening = np.abs(np.arctan2(patch.v, np.maximum(u, 0.01))) < 0.95
    mask = opening & (u > 0) & (away < reach)
    top = 5 * np.clip((reach - away) / 7, 0, 1) * np.clip(u / 6, 0, 1)
    canvas.raise_to(patch, mask, top)
    tone = (0.15, 0.145, 0.14, 0.16) if rng.random() < 0.5 else (0.3, 0.28, 0.26, 0.31)
    canvas.paint(patch, mask * np.clip((reach - away) / 2, 0, 1), vary(tone, rng), 0.12)


VARIANTS = {"headframe": headframe, "prep_plant": prep_plant, "crusher": crusher, "adit": adit}
ROOM_M = {
    "headframe": (150.0, 150.0),
    "prep_plant": (230.0, 190.0),
    "crusher": (100.0, 100.0),
    "adit": (200.0, 130.0),
}


def add_mine_head(
    canvas: Canvas, x_m: float, y_m: float, angle: float, rng: np.random.Generator, kind: str | None = None
) -> bool:
    """A mine head of a kind, or one drawn by chance; False when there is no free room.

    Args:
        canvas: Where to build.
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen.
        rng: Source of chance.
        kind: headframe, prep_plant, crusher or adit.
    """
    chosen = kind or str(rng.choice(list(VARIANTS), p=[0.4, 0.25, 0.2, 0.15]))
    room = rectangle(x_m, y_m, angle, *ROOM_M[chosen])
    if not inside_canvas(canvas, room) or not canvas.free(room):
        return False
    site = Site(canvas, x_m, y_m, angle, rng)
    ground = vary(DIRT if rng.random() < 0.5 else (0.17, 0.16, 0.15, 0.18), rng, 0.2)
    yard = rectangle(x_m, y_m, angle, ROOM_M[chosen][0] * 0.6, ROOM_M[chosen][1] * 0.55)
    pad(canvas, yard, ground, float(rng.uniform(0.3, 0.9)), rng)
    VARIANTS[chosen](site)
    box = tight_rectangle(np.concatenate(site.corners))
    both = tight_rectangle(np.concatenate([room, box]))
    long_m, short_m = sides_m(box)
    facts: dict[str, str | float] = {"kind": chosen, "box_area_m2": round(long_m * short_m, 1)}
    canvas.truths.append(Truth("mine_head", box, attributes=facts))
    for corners in (room, both if not canvas.free(both) else box):
        centre, side = corners.mean(axis=0), corners[1] - corners[0]
        half_u, half_v = np.hypot(*side) / 2, np.hypot(*(corners[2] - corners[1])) / 2
        patch = canvas.patch(centre[0], centre[1], float(np.arctan2(side[1], side[0])), half_u, half_v)
        if patch is not None:
            canvas.take(patch, (np.abs(patch.u) <= half_u) & (np.abs(patch.v) <= half_v))
    return True
