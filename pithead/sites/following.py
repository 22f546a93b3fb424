"""One class of a site followed over its views: strands, on which dates they are there, and how large."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors
from pithead.geometry import Floats
from pithead.sites.gaps import Gaps, filled, whole_lines
from pithead.sites.kinds import FENCE, RAIL, hides
from pithead.sites.linking import BUFFER_M, Linked, Strand, link
from pithead.sites.look import Look
from pithead.sites.presence import Rates, drawings_of
from pithead.sites.sizes import draw_sizes, logs_of, scene_noise, usual
from pithead.sites.states import hidden_by, state_of, visible_ground
from pithead.sites.tracks import Track
from pithead.sites.view import Reason, Sighting, View
from pithead.sites.weights import PLACE_KM2, Drawn

COVERED = 0.5
"""A place is taken where so much of it lies under another thing of the class."""
NEAR_EDGE_M = 3.0
MOST_P, LEAST_P = 0.99, 0.01
"""No calibration is so good that a score says more."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What the draws say of a class; arrays over strands (S), draws (K) and views (T)."""

    cls: str
    linked: Linked
    hidden: tuple[tuple[Reason | None, ...], ...]
    """(S, T) why a strand could not be seen."""
    drawn: Drawn | None
    there: tuple[Floats, ...] = ()
    """(K, T) of each strand, 1 where it is there."""
    more: tuple[Floats, ...] = ()
    """(K, T) how many like it no date shows."""
    sizes: tuple[Floats, ...] = ()
    """(K, T, 2) logarithms of its sizes."""
    recalls: tuple[Floats, ...] = ()
    """(T,) how likely it is found in each view, by what else that view shows and misses."""
    gaps: Gaps = field(default_factory=dict)
    """Of perimeters, by strand and view."""


def follow(
    views: Sequence[View], cls: str, drawn: Drawn | None, site: BaseGeometry | None, rng: np.random.Generator
) -> Followed:
    """Follow a class: link its sightings, and, where errors are known, draw what is true.

    Args:
        views: In order of time, with their shifts.
        cls: The class.
        drawn: The errors of the weights in draws; None where the card does not have them.
        site: The polygon of the site in its frame: what has its middle outside is another site's.
        rng: Source of chance.
    """
    linked = _inside(link(views, cls, None if drawn is None else _fit_of(drawn.of)), site)
    gaps: Gaps = {}
    if cls == FENCE:
        linked, gaps = whole_lines(linked, views, None if drawn is None else drawn.of)
    for strand in linked.strands if cls != FENCE else ():
        strand.partly |= {n for n, one in strand.at.items() if _is_part(one, views[n])}
    errors = None if drawn is None else drawn.of
    hidden = tuple(
        tuple(hidden_by(view, s.placed[s.nearest(n)], errors) for n, view in enumerate(views))
        for s in linked.strands
    )
    if drawn is None or not linked.strands:
        return Followed(cls, linked, hidden, drawn)
    looks = [_look(s, linked, views, drawn, why) for s, why in zip(linked.strands, hidden, strict=True)]
    between = np.maximum(np.diff([view.year for view in views]), 1e-3)
    told = drawings_of(looks, between, _rates(drawn, views, site), rng)
    common = usual(linked.strands, views, drawn, [float(one.real.mean()) for one in told.drawings])
    alike = scene_noise(views, drawn, rng)
    sizes = [draw_sizes(strand, views, drawn, common, alike, rng) for strand in linked.strands]
    if cls == FENCE:
        sizes = [filled(one, i, gaps, told.pace, drawn.of, rng) for i, one in enumerate(sizes)]
    return Followed(
        cls,
        linked,
        hidden,
        drawn,
        tuple(one.there.astype(np.float64) for one in told.drawings),
        tuple(one.unseen for one in told.drawings),
        tuple(sizes),
        told.recalls,
        gaps,
    )


def _rates(drawn: Drawn, views: Sequence[View], site: BaseGeometry | None) -> Rates:
    """What is known of a class, and how many false alarms are expected in what each view shows."""
    grounds = [visible_ground(view, drawn.of.name) for view in views]
    km2 = np.array([g.area if site is None else g.intersection(site).area for g in grounds]) / 1e6
    return Rates(drawn.odds, drawn.alarm, drawn.together, km2[:, None] * (drawn.alarm / PLACE_KM2))


def _fit_of(errors: ClassErrors) -> float | None:
    """How far off things are along one axis, where the card says."""
    if errors.box is not None:
        return errors.box.centre_m
    return None if errors.lines is None else errors.lines.offset_m


def _inside(linked: Linked, site: BaseGeometry | None) -> Linked:
    """Without strands whose middles lie outside of the site, by the median of their dates."""
    if site is None:
        return linked

    def kept(strand: Strand) -> bool:
        middles = [shapely.get_coordinates(shape.centroid)[0] for shape in strand.placed.values()]
        return bool(site.intersects(shapely.Point(np.median(middles, axis=0))))

    strands = tuple(strand for strand in linked.strands if kept(strand))
    groups = {strand.group for strand in strands}
    return Linked(strands, tuple((group, event) for group, event in linked.events if group in groups))


def _is_part(one: Sighting, view: View) -> bool:
    """Whether a sighting ends where the scene, or what can be seen of it, ends."""
    if one.cut:
        return True
    near = one.shape.buffer(NEAR_EDGE_M)
    covers = (cover for cover, reason in view.hidden if hides(reason, one.cls))
    return not view.looked.covers(near) or any(near.intersects(cover) for cover in covers)


def _look(
    strand: Strand, linked: Linked, views: Sequence[View], drawn: Drawn, hidden: Sequence[Reason | None]
) -> Look:
    """What each view says of a strand."""
    count = len(views)
    seen = np.array([n in strand.at for n in range(count)])
    visible = np.array([why is None for why in hidden])
    sure = np.array([n in strand.at and strand.at[n].checked for n in range(count)])
    free = [n not in strand.at and bool(visible[n]) for n in range(count)]
    denied = np.array([free[n] and _denied(strand, n, view) for n, view in enumerate(views)])
    covered = np.array([free[n] and not denied[n] and _covered(strand, linked, n) for n in range(count)])
    recall = np.stack([
        drawn.recall(float(np.exp(logs_of(strand.at[strand.nearest(n)])[0])), view.gsd_m)
        for n, view in enumerate(views)
    ])  # fmt: skip
    odds = _score_odds(strand, drawn)
    missed = visible & ~seen & ~denied & ~covered
    return Look(seen, missed, sure, denied, covered, recall, odds, _size(strand))


def _size(strand: Strand) -> float:
    """The mean ln size of a strand; NaN of lines, and where no date shows the whole of it."""
    whole = [one for number, one in strand.at.items() if number not in strand.partly and not one.is_line]
    return float(np.mean([logs_of(one).sum() for one in whole])) if whole else float("nan")


def _score_odds(strand: Strand, drawn: Drawn) -> Floats:
    """The odds that the scores of a strand state, against those of all that is found: 1 without scores.

    Of several dates the geometric mean: one place looks alike on all, so its scores are no news after one.
    """
    known = [float(np.clip(one.p, LEAST_P, MOST_P)) for one in strand.at.values() if one.p is not None]
    if not known:
        return np.ones(len(drawn.odds))
    right, found = drawn.of.precision.right, drawn.of.precision.found
    usually = (right + 0.5) / (found - right + 0.5)
    stated = float(np.exp(np.mean([np.log(p / (1 - p)) for p in known])))
    return np.full(len(drawn.odds), stated / usually)


def _denied(strand: Strand, number: int, view: View) -> bool:
    """Whether a person has said that a strand's place is empty."""
    return _taken(strand, number, [view.placed(one.shape) for one in view.rejected if one.cls == strand.cls])


def _covered(strand: Strand, linked: Linked, number: int) -> bool:
    """Whether a strand's place is under another thing of its class."""
    if strand.cls == RAIL:  # a rake hides no other, and two on a siding are linked in any order
        return False
    others = [s.placed[number] for s in linked.strands if s is not strand and number in s.at]
    return _taken(strand, number, others)


def _taken(strand: Strand, number: int, others: Sequence[BaseGeometry]) -> bool:
    """Whether half of a strand's place lies under others."""
    place = strand.placed[strand.nearest(number)]
    if not others:
        return False
    ground = shapely.union_all(others)
    if strand.cls == FENCE:
        return bool(place.intersection(ground.buffer(BUFFER_M)).length >= COVERED * place.length)
    return bool(place.intersection(ground).area >= COVERED * place.area)


def tracks_of(followed: Followed, views: Sequence[View]) -> tuple[Track, ...]:
    """The tracks of a class, by first date and from west to east."""
    groups: dict[int, list[int]] = {}
    for number, strand in enumerate(followed.linked.strands):
        groups.setdefault(strand.group, []).append(number)

    def key(members: list[int]) -> tuple[int, float, float]:
        first = min((followed.linked.strands[i] for i in members), key=lambda s: min(s.at))
        x, y = shapely.get_coordinates(first.placed[min(first.at)].centroid)[0]
        return min(first.at), float(x), float(y)

    ordered = sorted(groups.values(), key=key)
    return tuple(
        _track(followed, members, f"{followed.cls}-{number}", len(views))
        for number, members in enumerate(ordered, start=1)
    )


def _track(followed: Followed, members: list[int], name: str, count: int) -> Track:
    """The track that some strands make."""
    strands = [followed.linked.strands[i] for i in members]
    last = max(strand.last for strand in strands)
    shape = shapely.union_all([strand.placed[last] for strand in strands if last in strand.at])
    chances = None
    if followed.drawn is not None:
        chances = np.mean(np.max([followed.there[i] for i in members], axis=0), axis=0)
    states = []
    for n in range(count):
        reasons = [followed.hidden[i][n] for i in members]
        recall = None if chances is None else float(min(followed.recalls[i][n] for i in members))
        states.append(state_of(
            seen=any(n in strand.at for strand in strands),
            hidden=next((why for why in reasons if why is not None), None),
            recall=recall,
            p=None if chances is None else float(chances[n]),
        ))  # fmt: skip
    events = tuple(event for group, event in followed.linked.events if group == strands[0].group)
    found = [[[one.detection for one in s.found(n)] for n in range(count)] for s in strands]
    seen = tuple(tuple(name for names in found for name in names[n]) for n in range(count))
    each = tuple(
        tuple(names[n][slot] if slot < len(names[n]) else None for n in range(count))
        for names in found
        for slot in range(max(map(len, names)))
    )
    return Track(name, followed.cls, seen, each, tuple(states), shape, events)
