"""How large a thing truly is on each date, given how large its detections are.

ln length and ln width of what was found are the true ones plus the bias of the weights plus noise, as the
card has it. What is true follows by Bayes with a normal prior: mean and covariance of all things of the
class at the site. Without it large things would be taken for larger than they are, and their sum for too
large: the mean of exp(noise) is not 1. What a person has drawn anew has no bias, and an error of a pixel on
each side.

On a date that does not show a thing its size is interpolated between the dates before and after, or is that
of the nearest one, and its error grows with the time between, as fast as sizes of the class at this site
change from one date to the next. Where it was seen, its size is that of its own date alone: nothing is
smoothed over time, so that a sudden change stays one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from pithead.geometry import Floats
from pithead.sites.linking import Strand, enclosed
from pithead.sites.view import Sighting, View
from pithead.sites.weights import Drawn

LEAST_M = 0.5
DRIFT = 0.05
"""The least that ln sizes are held to change in a year, as a standard deviation."""
FLAT = 1.0
"""Standard deviation of the prior where fewer than 4 things say what is usual."""
MANY = 4


@dataclass(frozen=True, slots=True)
class Usual:
    """Of the things of a class at a site: mean (2,), covariance (2, 2) and drift a year (2,) of ln sizes."""

    mean: Floats
    spread: Floats
    drift: Floats


@dataclass(frozen=True, slots=True)
class SceneNoise:
    """Errors of sizes that all things of a scene share: their share of the variance, and draws (T, K, 2)."""

    share: float
    draws: Floats


def logs_of(one: Sighting) -> Floats:
    """Natural logarithms of length and width of a box; of a line of length and enclosed area (open: NaN)."""
    if not one.is_line:
        return np.log(np.maximum([one.length_m, one.width_m or 0.0], LEAST_M))
    area = one.enclosed_m2
    if one.closed and not area:
        ground = enclosed(one.shape)
        area = None if ground is None else ground.area
    return np.array([np.log(max(one.length_m, LEAST_M)), np.log(area) if area else np.nan])


def usual(strands: Sequence[Strand], views: Sequence[View], drawn: Drawn, real: Sequence[float]) -> Usual:
    """What is usual for these strands; what is measured less what noise alone would spread.

    Each sighting counts by the probability that it is of a thing at all (`real`): false alarms have other
    sizes. What changes from date to date is part of the spread.
    """
    some = [
        (logs, share)
        for strand, share in zip(strands, real, strict=True)
        for number, one in strand.at.items()
        if number not in strand.partly and np.isfinite(logs := logs_of(one)).all()
    ]
    found, worth = np.array([logs for logs, _ in some]), np.array([share for _, share in some])
    steps = [
        (logs_of(strand.at[b]) - logs_of(strand.at[a])) ** 2 / max(views[b].year - views[a].year, 0.1)
        - 2 * np.diag(drawn.noise) / max(views[b].year - views[a].year, 0.1)
        for strand in strands
        for a, b in zip(sorted(strand.at)[:-1], sorted(strand.at)[1:], strict=True)
    ]
    moved = np.array(steps)[np.isfinite(steps).all(axis=1)] if steps else np.zeros((0, 2))
    drift = np.sqrt(np.maximum(moved.mean(axis=0), DRIFT**2)) if len(moved) else np.full(2, 0.3)
    middle = drawn.bias.mean(axis=0)
    if sum(real) < MANY or worth.sum() < MANY:
        centre = np.average(found, axis=0, weights=worth) if worth.sum() > 0 else np.log([25.0, 12.0])
        return Usual(centre - middle, np.eye(2) * FLAT**2, drift)
    values, vectors = np.linalg.eigh(np.cov(found.T, aweights=worth) - drawn.noise)
    spread = (vectors * np.maximum(values, 0.15**2)) @ vectors.T
    return Usual(np.average(found, axis=0, weights=worth) - middle, spread, drift)


def scene_noise(views: Sequence[View], drawn: Drawn, rng: np.random.Generator) -> SceneNoise:
    """Draw the part of the errors of sizes that all things of a scene share (`BoxErrors.area_scene_sd`)."""
    box = drawn.of.box
    share = 0.0 if box is None or not box.area_sd else min((box.area_scene_sd / box.area_sd) ** 2, 1.0)
    return SceneNoise(share, rng.standard_normal((len(views), len(drawn.bias), 2)))


def draw_sizes(
    strand: Strand,
    views: Sequence[View],
    drawn: Drawn,
    common: Usual,
    alike: SceneNoise,
    rng: np.random.Generator,
) -> Floats:
    """Natural logarithms of a strand's sizes in K draws on each date, (K, T, 2); NaN what no date tells.

    Sightings that are cut, by an edge or by what hides them, count only where there are no whole ones.
    """
    draws = len(drawn.bias)
    whole = [number for number in strand.at if number not in strand.partly] or list(strand.at)
    found = {number: _posterior(strand.at[number], views[number], drawn, common) for number in whole}
    # Of a perimeter that is open on a date, what it encloses is told by the dates on which it is closed.
    open_ = {number for number, (mean, _) in found.items() if np.isnan(mean).any()}
    for number in open_ if len(open_) < len(found) else ():
        closed = {key: value for key, value in found.items() if key not in open_}
        told = _between(number, closed, views, common)
        found[number][0][:, 1], found[number][1][1, 1] = told[0][:, 1], told[1][1, 1]
    out = np.full((draws, len(views), 2), np.nan)
    for number in range(len(views)):
        mean, spread = found[number] if number in found else _between(number, found, views, common)
        own = np.sqrt(1 - alike.share) * rng.standard_normal((draws, 2))
        both = own + np.sqrt(alike.share) * alike.draws[number]
        noise = both @ np.linalg.cholesky(spread + np.eye(2) * 1e-9).T
        out[:, number] = mean + noise * drawn.spread[:, None]
    return out


def _posterior(one: Sighting, view: View, drawn: Drawn, common: Usual) -> tuple[Floats, Floats]:
    """Mean (K, 2) and covariance (2, 2) of the true ln sizes of a sighting."""
    logs, bias, noise = logs_of(one), drawn.bias, drawn.noise
    if one.decision == "redraw":
        sides = np.maximum(np.exp(logs), view.gsd_m) if not one.is_line else np.full(2, one.length_m)
        bias, noise = np.zeros_like(bias), np.diag((np.sqrt(2) * view.gsd_m / sides) ** 2)
    if one.is_line and drawn.of.lines is not None and drawn.of.lines.area_sd is None and one.closed:
        noise = noise + np.diag([0.0, _ring_noise(one, drawn.of.lines.offset_m or 3.0) ** 2])
    if not np.isfinite(logs).all():
        mean = np.where(np.isfinite(logs), logs - bias, np.nan)
        return mean, noise.copy()
    gain = common.spread @ np.linalg.inv(common.spread + noise)
    return common.mean + (logs - bias - common.mean) @ gain.T, gain @ noise


def _ring_noise(ring: Sighting, offset_m: float) -> float:
    """The relative error of an enclosed area of which every side is off by itself.

    The root of the sum of the squares of the sides, times the offset, over the area: of a square of 100 m and
    an offset of 2 m, 200 · 2 / 10,000 = 0.04.
    """
    sides = np.hypot(*np.diff(shapely.get_coordinates(shapely.simplify(ring.shape, offset_m)), axis=0).T)
    return float(offset_m * np.sqrt((sides**2).sum()) / max(np.exp(logs_of(ring)[1]), 1.0))


def _between(
    number: int, found: dict[int, tuple[Floats, Floats]], views: Sequence[View], common: Usual
) -> tuple[Floats, Floats]:
    """The same for a date that does not show it, from those around it that do."""
    year = views[number].year
    before = max((k for k in found if k < number), default=None)
    after = min((k for k in found if k > number), default=None)
    if before is None or after is None:
        near = after if before is None else before
        mean, spread = found[near if near is not None else 0]
        return mean, spread + np.diag(common.drift**2 * abs(year - views[near or 0].year))
    whole = max(views[after].year - views[before].year, 1e-6)
    part = (year - views[before].year) / whole
    (first, error), (second, other) = found[before], found[after]
    first, second = np.where(np.isnan(first), second, first), np.where(np.isnan(second), first, second)
    # A walk that is held at both ends (a Brownian bridge) strays most in the middle.
    stray = np.diag(common.drift**2 * whole * part * (1 - part))
    return first + (second - first) * part, error * (1 - part) ** 2 + other * part**2 + stray
