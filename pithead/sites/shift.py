"""By how much each scene is wrong about where it is, told from the things that stand still.

Middles of heaps and heads, and the courses of perimeters, of every two scenes are matched, and the
displacement that fits best is found by least squares with weights that fall for what does not fit
(Cauchy's). A line says only how far it is off across its direction, so two lines at right angles are worth
a point; and as fences lean with the angle of the scene and a line may be off as a whole, however long a
line is, no side of it is known better than to a metre and that lean. The displacements of all pairs are
then settled into one shift for each scene, with a mean of 0.

What is assumed: shifts are the same all over the site; before anything is matched, a shift is taken to be
0 ± 5 m on either axis (what vendors state as CE90 of 10 m is 4.7 m), and up to 20 m between two scenes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from pithead.geometry import Floats
from pithead.sites.kinds import FENCE, FITS_M, HEAD, HEAP, lean_m
from pithead.sites.view import How, Shift, View

PRIOR_M = 5.0
REACH_M = 20.0
"""No two scenes are farther apart than this."""
STEP_M = 2.5
SAMPLE_M = 12.0
"""Points along lines: about half a span, whose errors are its own."""
GROSS_M = 4.0
"""A match that is off by this much counts half."""
ALIKE_M = 1.0
"""What all of a line may be off by."""
LEAST_SD_M = 0.3
ROUNDS = ((8.0, 3), (5.0, 3), (4.0, 2))
"""How far apart matches may be, and how often they are weighed anew."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Marks:
    """What of a scene stands still: points (N, 2) with kinds and errors, and points on lines with normals."""

    points: Floats
    kinds: Ints
    sd_m: Floats
    on_lines: Floats
    """(M, 2)"""
    normals: Floats
    """(M, 2)"""
    line_sd_m: Floats
    """(M,) the error of a point, with its part of the one that its whole line has in common."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.points) + len(self.on_lines)


@dataclass(frozen=True, slots=True)
class Offset:
    """What two scenes differ by, (2,), and how much is known of it: the inverse of its covariance (2, 2)."""

    metres: Floats
    known: Floats
    pairs: int


def marks_of(view: View) -> Marks:
    """The marks of a scene, as it shows them."""
    boxes = [one for one in view.of(HEAP, HEAD) if not one.cut and (one.p is None or one.p >= 0.3)]
    points = np.array([shapely.get_coordinates(shapely.centroid(one.shape))[0] for one in boxes])
    sd = [float(np.hypot(FITS_M, lean_m(one.cls, view) if one.cls == HEAD else 0.0)) for one in boxes]
    lines = [_samples(one.shape) for one in view.of(FENCE)]
    along = np.concatenate([np.zeros((0, 4)), *lines])
    common = ALIKE_M**2 + lean_m(FENCE, view) ** 2
    each = [np.full(len(line), np.sqrt(FITS_M**2 * 2 + len(line) * common)) for line in lines]
    return Marks(
        points.reshape(-1, 2),
        np.array([one.cls == HEAD for one in boxes], np.int64),
        np.array(sd, np.float64),
        along[:, :2],
        along[:, 2:],
        np.concatenate([np.zeros(0), *each]),
    )


def _samples(line: shapely.Geometry) -> Floats:
    """Points on the straight parts of a line, with the normals there (M, 4)."""
    points = shapely.get_coordinates(line)
    found = [np.zeros((0, 4))]
    for a, b in pairwise(points):
        length = float(np.hypot(*(b - a)))
        count = int(length // SAMPLE_M)
        if count:
            t = (np.arange(count) + 0.5) / count
            normal = np.array([a[1] - b[1], b[0] - a[0]]) / length
            found.append(np.hstack([a + t[:, None] * (b - a), np.tile(normal, (count, 1))]))
    return np.concatenate(found)


def shifts(
    views: Sequence[View], by_images: Mapping[tuple[int, int], Offset] | None = None
) -> tuple[Shift, ...]:
    """The shift of each view, by what its sightings have in common with those of the others, and by images.

    A view without matches keeps 0 ± 5 m and is marked `how="none"`.

    Args:
        views: The views.
        by_images: What the pixels of two views say (`register`), by their indices, the lower one first.
    """
    images = dict(by_images or {})
    marks = [marks_of(view) for view in views]
    placed = settled(len(marks), images)[0] if images else _voted(marks)
    offsets: dict[tuple[int, int], Offset] = {}
    for reach, times in ROUNDS:
        objects = {
            (i, j): found
            for i in range(len(marks))
            for j in range(i + 1, len(marks))
            if (found := _offset(marks[i], marks[j], placed[j] - placed[i], reach, times)) is not None
        }
        offsets = {key: _both(objects.get(key), images.get(key)) for key in sorted({*objects, *images})}
        placed, sd = settled(len(marks), offsets)
    return tuple(
        _shift(
            placed[i],
            float(sd[i]),
            [key for key in objects if i in key],
            [key for key in images if i in key],
            offsets,
        )
        for i in range(len(marks))
    )


def _shift(
    xy: Floats,
    sd_m: float,
    objects: list[tuple[int, int]],
    images: list[tuple[int, int]],
    offsets: Mapping[tuple[int, int], Offset],
) -> Shift:
    """A shift with how it is known."""
    if not objects and not images:
        return Shift()
    how: How = "both" if objects and images else "objects" if objects else "images"
    pairs = max(offsets[key].pairs for key in (*objects, *images))
    return Shift(float(xy[0]), float(xy[1]), sd_m, pairs, how)


def _both(one: Offset | None, other: Offset | None) -> Offset:
    """Two offsets of a pair, each as much as is known of it."""
    if one is None or other is None:
        only = one or other
        if only is None:
            raise TypeError  # one of them is there
        return only
    known = one.known + other.known
    metres = np.linalg.solve(known, one.known @ one.metres + other.known @ other.metres)
    return Offset(np.asarray(metres, np.float64), known, one.pairs + other.pairs)


def shifted(
    views: Sequence[View], by_images: Mapping[tuple[int, int], Offset] | None = None
) -> tuple[View, ...]:
    """The views with their shifts, as `shifts` finds them."""
    found = shifts(views, by_images)
    return tuple(replace(view, shift=shift) for view, shift in zip(views, found, strict=True))


def settled(count: int, offsets: Mapping[tuple[int, int], Offset]) -> tuple[Floats, Floats]:
    """Shifts (N, 2) that fit the offsets of pairs best, least squares with the prior, and their errors (N,).

    Each scene's own errors are in all of its pairs, which are therefore not independent: of N scenes the
    information of every pair counts 2 / N.
    """
    square, right = np.eye(2 * count) / PRIOR_M**2, np.zeros(2 * count)
    for (i, j), offset in offsets.items():
        known = offset.known * 2 / max(count, 2)
        a, b = slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2)
        square[a, a] += known
        square[b, b] += known
        square[a, b] -= known
        square[b, a] -= known
        right[b] += known @ offset.metres
        right[a] -= known @ offset.metres
    spread = np.linalg.inv(square) if count else square
    placed = (spread @ right).reshape(-1, 2)
    # The mean of all is 0 ± prior / sqrt(N): nobody can know it, and it moves nothing against anything.
    common = PRIOR_M**2 / max(count, 1)
    own = np.maximum(np.diag(spread).reshape(-1, 2).mean(axis=1) - common, LEAST_SD_M**2)
    return placed, np.sqrt(own)


def _voted(marks: Sequence[Marks]) -> Floats:
    """A first guess of every shift: where most marks of a scene fall on those of the richest scene."""
    placed = np.zeros((len(marks), 2))
    if not any(map(len, marks)):
        return placed
    # The scene with most marks first, then each against all that lie already.
    order = sorted(range(len(marks)), key=lambda i: (-len(marks[i]), i))
    base = [order[0]]
    for i in order[1:]:
        if len(marks[i]):
            placed[i] = _vote(marks[i], [(marks[j], placed[j]) for j in base[:4]])
            base.append(i)
    middle = placed[[len(one) > 0 for one in marks]].mean(axis=0)
    return np.where([[len(one) > 0] for one in marks], placed - middle, 0.0)


def _vote(mine: Marks, others: list[tuple[Marks, Floats]]) -> Floats:
    """The displacement on a grid at which most of a scene's marks have one of another scene near them."""
    ticks = np.arange(-REACH_M, REACH_M + STEP_M / 2, STEP_M)
    tries = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    # Marks also fit by chance: where few do, a smaller displacement is likelier. Between two scenes one of
    # 5 m counts as much as one mark, which left the fewest gross errors (benchmarks/histories.py).
    score = -(tries**2).sum(axis=1) / PRIOR_M**2
    for other, at in others:
        for kind in np.unique(mine.kinds).tolist():
            score += _near(mine.points[mine.kinds == kind], other.points[other.kinds == kind] - at, tries)
        score += 0.5 * _near(mine.on_lines, other.on_lines - at, tries, reach=SAMPLE_M / 2)
    return np.asarray(tries[int(np.argmax(score))], np.float64)


def _near(mine: Floats, theirs: Floats, tries: Floats, reach: float = 3.0) -> Floats:
    """For each displacement (G, 2), how many of my points then lie by one of theirs, the nearer the more."""
    if not len(mine) or not len(theirs):
        return np.zeros(len(tries))
    moved = mine[None] - tries[:, None]
    far, _ = cKDTree(theirs).query(moved.reshape(-1, 2), distance_upper_bound=3 * reach)
    return np.asarray(np.exp(-((far / reach) ** 2) / 2).reshape(len(tries), -1).sum(axis=1), np.float64)


def _offset(first: Marks, second: Marks, guess: Floats, reach: float, times: int) -> Offset | None:
    """What the second scene shows beside the first, from matches within reach of a guess; None without."""
    found = guess
    for _ in range(times):
        rows, off, sd, pairs = _matches(first, second, found, reach)
        if not pairs:
            return None
        rest = off - rows @ found
        wide = max(1.0, 1.4826 * float(np.median(np.abs(rest) / sd)))
        weight = 1 / ((wide * sd) ** 2 * (1 + (rest / GROSS_M) ** 2))
        # A little certainty of the guess: what lines along one direction leave open stays as it was.
        known = (rows * weight[:, None]).T @ rows
        loose = np.eye(2) / 1e4
        found = np.asarray(
            np.linalg.solve(known + loose, rows.T @ (weight * off) + loose @ guess), np.float64
        )
    return Offset(found, known, pairs)


def _matches(first: Marks, second: Marks, guess: Floats, reach: float) -> tuple[Floats, Floats, Floats, int]:
    """Equations row · offset = off ± sd: for both axes of a matched point, and one for a point on a line."""
    rows, off, sd, count = [np.zeros((0, 2))], [np.zeros(0)], [np.zeros(0)], 0
    for kind in np.unique(first.kinds).tolist():
        mine, theirs = np.flatnonzero(first.kinds == kind), np.flatnonzero(second.kinds == kind)
        a, b = _mutual(first.points[mine] + guess, second.points[theirs], reach)
        gap = second.points[theirs[b]] - first.points[mine[a]]
        error = np.hypot(first.sd_m[mine[a]], second.sd_m[theirs[b]])
        rows += [np.tile([1.0, 0.0], (len(a), 1)), np.tile([0.0, 1.0], (len(a), 1))]
        off += [gap[:, 0], gap[:, 1]]
        sd += [error, error]
        count += len(a)
    if len(first.on_lines) and len(second.on_lines):
        far, b = cKDTree(second.on_lines).query(first.on_lines + guess)
        alike = np.abs((first.normals * second.normals[b]).sum(axis=1)) > np.cos(np.radians(20))
        gap = second.on_lines[b] - first.on_lines
        across = (second.normals[b] * (gap - guess)).sum(axis=1)
        a = np.flatnonzero((far < reach + SAMPLE_M) & alike & (np.abs(across) < reach))
        rows.append(second.normals[b[a]])
        off.append((second.normals[b[a]] * gap[a]).sum(axis=1))
        sd.append(np.hypot(first.line_sd_m[a], second.line_sd_m[b[a]]))
        count += len(a)
    return np.concatenate(rows), np.concatenate(off), np.concatenate(sd), count


def _mutual(a: Floats, b: Floats, reach: float) -> tuple[Ints, Ints]:
    """Indices of points that are each other's nearest, no farther apart than `reach`."""
    if not len(a) or not len(b):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    far, there = cKDTree(b).query(a)
    _, back = cKDTree(a).query(b)
    kept = np.flatnonzero((back[there] == np.arange(len(a))) & (far <= reach))
    return kept.astype(np.int64), np.asarray(there[kept], np.int64)
