"""What stands on parallel tracks: rakes of wagons, and which of them are one group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pithead.generate.canvas import FloatGrid, Patch
from pithead.generate.parts import Points, place

WAGON_GAP_M = 1.0
GROUP_GAP_M = 72.0  # several wagon lengths part groups; shorter gaps do not
SAGITTA_M = 2.5  # a group on a curve is kept short enough that its box fits
KINDS, _SHARES = ("open", "covered", "tank", "flat"), (0.38, 0.24, 0.26, 0.12)


@dataclass(frozen=True, slots=True)
class Yard:
    """Parallel tracks along a line or a gentle arc.

    Attributes:
        x_m: Centre.
        y_m: Centre.
        angle: Radians clockwise on the screen of the tracks at the centre.
        radius_m: Of the arc, inf for straight; its centre is at +v.
        length_m: Of the tracks.
        tracks_m: (T,) offsets across, growing.
    """

    x_m: float
    y_m: float
    angle: float
    radius_m: float
    length_m: float
    tracks_m: npt.NDArray[np.float64]

    def on_canvas(self, along_m: npt.ArrayLike, across_m: npt.ArrayLike) -> Points:
        """Metres along and across the tracks to canvas metres (M, 2)."""
        s, d = np.broadcast_arrays(np.asarray(along_m, np.float64), np.asarray(across_m, np.float64))
        local = np.stack([s, d], axis=-1).reshape(-1, 2).copy()
        if np.isfinite(self.radius_m):
            turn = local[:, 0] / self.radius_m
            room = self.radius_m - local[:, 1]
            local = np.stack([room * np.sin(turn), self.radius_m - room * np.cos(turn)], axis=1)
        return place(local, self.x_m, self.y_m, self.angle)

    def along_across(self, patch: Patch) -> tuple[FloatGrid, FloatGrid]:
        """Metres along and across the tracks of the cells of a patch with the yard's centre and angle."""
        if not np.isfinite(self.radius_m):
            return patch.u, patch.v
        radius = np.float32(self.radius_m)
        s = radius * np.arctan2(patch.u, radius - patch.v)
        # radius - hypot(...) loses metres to float32 at 3 km; this form does not
        reach = np.hypot(patch.u, radius - patch.v)
        d = (2 * radius * patch.v - patch.u**2 - patch.v**2) / (radius + reach)
        return s, d


@dataclass(frozen=True, slots=True)
class Rake:
    """Wagons on one track: all of one pitch, each of its own colour.

    Attributes:
        track_m: Offset of the track.
        start_m: Along the track, end of the first wagon.
        count: Wagons.
        wagon_m: Length and width of a wagon.
        kind: open, covered, tank or flat.
        alike: Part of the wagons that have the colour of the first.
    """

    track_m: float
    start_m: float
    count: int
    wagon_m: tuple[float, float]
    kind: str
    alike: float = 0.75

    @property
    def stop_m(self) -> float:
        """Along the track, end of the last wagon."""
        return self.start_m + self.count * (self.wagon_m[0] + WAGON_GAP_M) - WAGON_GAP_M


def rake_outline(yard: Yard, rake: Rake) -> Points:
    """Corners of all wagons of a rake, canvas metres (M, 2)."""
    starts = rake.start_m + np.arange(rake.count) * (rake.wagon_m[0] + WAGON_GAP_M)
    ends = np.concatenate([starts, starts + rake.wagon_m[0]])
    half = rake.wagon_m[1] / 2
    return np.concatenate([yard.on_canvas(ends, rake.track_m + side) for side in (-half, half)])


def draw_yard(x_m: float, y_m: float, angle: float, rng: np.random.Generator) -> Yard:
    """A running line, a siding or a yard of up to ten tracks, straight or on an arc of 700 m or more."""
    counts = np.arange(1, 11)
    count = int(rng.choice(counts, p=(0.06, 0.12, 0.17, 0.17, 0.15, 0.11, 0.08, 0.06, 0.04, 0.04)))
    spacing = rng.uniform(4.3, 5.5)
    offsets = np.asarray((np.arange(count) - (count - 1) / 2) * spacing, np.float64)
    radius = float(rng.uniform(700, 4000)) if rng.random() < 0.4 else np.inf
    length = float(np.clip(np.exp(rng.normal(np.log(430), 0.5)), 120, 1100))
    return Yard(x_m, y_m, angle, radius, min(length, 1.2 * radius), offsets)


def split_tracks(count: int, rng: np.random.Generator) -> list[list[int]]:
    """Blocks of one to six neighbouring tracks with two empty tracks between them."""
    blocks: list[list[int]] = []
    at = 0
    while at < count:
        size = min(int(rng.choice([1, 2, 3, 4, 6], p=[0.16, 0.24, 0.22, 0.2, 0.18])), count - at)
        blocks.append(list(range(at, at + size)))
        at += size + 2
    return blocks


def draw_groups(yard: Yard, rng: np.random.Generator) -> list[list[Rake]]:
    """Groups of rakes: neighbours in one group, groups far apart along or with empty tracks between."""
    longest = min(40 * 15.0, yard.length_m - 20)
    if np.isfinite(yard.radius_m):
        longest = min(longest, float(np.sqrt(8 * SAGITTA_M * yard.radius_m)))
    groups: list[list[Rake]] = []
    at = -yard.length_m / 2 + rng.uniform(5, 30)
    end = yard.length_m / 2 - 5
    blocks = split_tracks(len(yard.tracks_m), rng)
    while end - at > 34:
        length = min(max(34.0, longest * float(rng.uniform(0.2, 1))), end - at)
        for members in blocks:
            if rng.random() < 0.65 or (not groups and members is blocks[-1]):
                rakes = draw_group(yard, members, (at, at + length), rng)
                if rakes:
                    groups.append(rakes)
        at += length + GROUP_GAP_M + rng.uniform(2, 60)
        blocks = split_tracks(len(yard.tracks_m), rng)
    return groups


def draw_group(
    yard: Yard, members: list[int], reach_m: tuple[float, float], rng: np.random.Generator
) -> list[Rake]:
    """Rakes on most of the tracks of a block; some are short, some have a gap."""
    rakes: list[Rake] = []
    kind, alike = str(rng.choice(KINDS, p=_SHARES)), float(rng.uniform(0.2, 1.0))
    for member in members:
        if rakes and rng.random() < 0.15:
            continue
        wagon = (float(rng.uniform(11.5, 15.5)), float(rng.uniform(2.8, 3.2)))
        pitch, room = wagon[0] + WAGON_GAP_M, reach_m[1] - reach_m[0]
        start = reach_m[0] + float(rng.uniform(0, 8 if not rakes else 0.4 * room))
        count = int((reach_m[1] - start - float(rng.uniform(0, 10)) + WAGON_GAP_M) // pitch)
        if rakes and rng.random() < 0.3:
            count = int(count * rng.uniform(0.3, 1))
        if count < 2:
            continue
        first = int(rng.integers(2, count - 2)) if count > 8 and rng.random() < 0.3 else count
        gap = int(rng.integers(1, 4))
        track = float(yard.tracks_m[member])
        rakes.append(Rake(track, start, first, wagon, kind, alike))
        if count - first - gap >= 1:
            rakes.append(Rake(track, start + (first + gap) * pitch, count - first - gap, wagon, kind, alike))
        if rng.random() < 0.25:
            kind = str(rng.choice(KINDS, p=_SHARES))
    return rakes
