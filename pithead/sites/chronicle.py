"""The history of a site: what was seen of it, followed, measured and compared."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry

from pithead.card import ClassErrors
from pithead.catalog import Site, site_named
from pithead.errors import CatalogError
from pithead.rescore import Archive
from pithead.sites.differences import Change, changes_of_sums, changes_of_tracks
from pithead.sites.following import Followed, follow, tracks_of
from pithead.sites.frame import Frame
from pithead.sites.kinds import FENCE, HEAD, HEAP, RAIL
from pithead.sites.looking import look_at
from pithead.sites.meant import Meant, meant_by
from pithead.sites.notes import Note
from pithead.sites.quantities import CLASS_OF, QUANTITIES, Measure, Sums, seen_of, sums_of
from pithead.sites.reading import read_site
from pithead.sites.shift import shifted
from pithead.sites.signs import Rule, Sign, read_rules, signs_of
from pithead.sites.spans import changes_of_spans
from pithead.sites.tracks import Track
from pithead.sites.view import View
from pithead.sites.weights import DRAWS, Drawn, drawn

CLASSES = (HEAD, HEAP, FENCE, RAIL)


@dataclass(frozen=True, slots=True)
class Chronicle:
    """What can be said of a site over time, and in `notes` what cannot, and why.

    Indices of views in tracks, measures, changes and signs are those of `views`, which are in order of time.
    """

    site: Site
    frame: Frame | None
    """None where nothing says where the site is."""
    views: tuple[View, ...]
    tracks: tuple[Track, ...]
    quantities: Mapping[str, tuple[Measure, ...]] = field(hash=False)
    """For each of `QUANTITIES` a measure for each view; one that the weights do not look for is left out."""
    changes: tuple[Change, ...]
    signs: tuple[Sign, ...]
    rules: tuple[Rule, ...]
    notes: tuple[Note, ...]
    weights_sha256: str | None = None
    weights: str | None = None
    """The name of the weights."""


def chronicle(
    archive: Archive, site: str, *, weights: str | Path | None = None, rules: str | Path | None = None
) -> Chronicle:
    """The history of a site of an archive, by one weights.

    Args:
        archive: The archive.
        site: The name or an alias of the site.
        weights: A file of weights, for its card with measured errors; or a name or sha256 of weights in the
            store. Without it, those that scored most scenes of the site, the last of them by the log; their
            card is that which the archive keeps.
        rules: A file of rules (`inference/signs.toml`); without it there are no signs.

    Raises:
        CatalogError: The archive has no such site.
        OptionError: The rules are malformed.
        WeightsError: No such weights have scored the archive.
    """
    known = archive.catalog.sites()
    place = site_named(known, site)
    if place is None:
        names = ", ".join(one.name for one in known) or "none"
        raise CatalogError(f"expected a site of this archive ({names}), got {site!r}")
    told = () if rules is None else read_rules(rules)
    meant = meant_by(archive, place, weights)
    if meant is None:
        return Chronicle(place, None, (), (), {}, (), (), told, (Note("nothing_scored"),))
    calibrated = frozenset(meant.card.calibration or ()) if meant.card is not None else frozenset[str]()
    read = read_site(archive, place, meant.runs, calibrated)
    notes = (*meant.notes, *read.notes, *_of_card(meant))
    if read.frame is None or read.polygon is None or not read.views:
        none = Note("nothing_told")
        return Chronicle(place, read.frame, (), (), {}, (), (), told, (*notes, none), *meant.name)
    views, offsets, unread = look_at(read.views, read.entries, read.frame, read.polygon.bounds)
    views = shifted(views, offsets)
    history = tell(
        place, read.frame, views, read.polygon, errors_of(meant), classes=meant.classes, rules=told
    )
    return replace(
        history,
        notes=(*notes, *unread, *history.notes),
        weights_sha256=meant.sha256,
        weights=meant.weights,
    )


def tell(
    site: Site,
    frame: Frame,
    views: Sequence[View],
    polygon: BaseGeometry,
    errors: Mapping[str, ClassErrors],
    *,
    classes: Sequence[str] = CLASSES,
    rules: Sequence[Rule] = (),
    draws: int = DRAWS,
) -> Chronicle:
    """The history of a site out of its views; the same views give the same history.

    Args:
        site: The site.
        frame: Its frame.
        views: Its views in order of time, with their shifts (`shift.shifted`).
        polygon: Its ground in the frame.
        errors: What is known of how wrong the weights are, by class.
        classes: What the weights look for.
        rules: The rules for signs.
        draws: How many times what is true is drawn.

    Raises:
        CatalogError: The views are not in order of time.
    """
    if any(after.acquired < before.acquired for before, after in pairwise(views)):
        raise CatalogError("expected the views of a site in order of time")
    ordered = tuple(views)
    rng = np.random.default_rng(zlib.crc32(site.name.encode()))
    known: dict[str, Drawn | None] = {
        name: drawn(errors[name], rng, draws) if name in errors else None for name in CLASSES
    }
    followed: dict[str, Followed] = {
        name: follow(ordered, name, known[name], polygon, rng) for name in CLASSES if name in classes
    }
    sums = {
        name: sums_of(name, followed[cls], ordered, [seen_of(v, cls, polygon) for v in ordered], rng)
        for name, cls in CLASS_OF.items()
        if cls in followed
    }
    tracks = tuple(track for name in followed for track in tracks_of(followed[name], ordered))
    return Chronicle(
        site,
        frame,
        ordered,
        tracks,
        {name: sums[name].measures for name in QUANTITIES if name in sums},
        tuple(_changes(sums, tracks, followed, ordered, errors)),
        signs_of(rules, tracks, ordered),
        tuple(rules),
        tuple(_notes(ordered, errors, classes)),
    )


def _changes(
    sums: Mapping[str, Sums],
    tracks: Sequence[Track],
    followed: Mapping[str, Followed],
    views: Sequence[View],
    errors: Mapping[str, ClassErrors],
) -> list[Change]:
    """All changes, by date and name."""
    found = [*changes_of_sums(sums), *changes_of_tracks(tracks, followed)]
    if FENCE in followed:
        recalls = followed[FENCE].recalls
        worst = np.min(recalls, axis=0).tolist() if recalls else None
        found += changes_of_spans(views, errors.get(FENCE), worst)
    # Of a class without measured errors nothing is sure: nobody knows what its changes would have to exceed.
    found = [one if one.cls is None or one.cls in errors else replace(one, sure=False) for one in found]
    return sorted(found, key=lambda one: (one.after, one.before, one.what, one.kind, one.by))


def _notes(views: Sequence[View], errors: Mapping[str, ClassErrors], classes: Sequence[str]) -> list[Note]:
    """What of these views cannot be said, and why."""
    notes = []
    for name in CLASSES:
        if name not in classes:
            notes.append(Note("not_looked_for", {"cls": name}))
        elif name not in errors:
            notes.append(Note("no_errors", {"cls": name}))
        else:
            notes.append(Note("errors_on", {"cls": name, "on": errors[name].on}))
    loose = [view.scene for view in views if view.shift.how == "none"]
    if loose and len(views) > 1:
        notes.append(Note("loose", {"scenes": ", ".join(loose)}))
    blank = [view.scene for view in views if not view.pixels]
    if blank:
        notes.append(Note("not_looked_through", {"scenes": ", ".join(blank)}))
    return notes


def errors_of(meant: Meant) -> dict[str, ClassErrors]:
    """The measured errors of the weights by class; {} where there are none, or the runs were other ones.

    Errors are of what a scan with the thresholds of the card finds (`pithead.card.errors`).
    """
    if meant.card is None or meant.runs[0].options.get("min_score") is not None:
        return {}
    return {one.name: one for one in meant.card.errors}


def _of_card(meant: Meant) -> list[Note]:
    """What is missing of the card."""
    if meant.card is None:
        return [Note("no_card", {"weights": f"{meant.weights} ({meant.sha256[:12]})"})]
    if meant.runs[0].options.get("min_score") is not None:
        return [Note("min_score")]
    if not meant.card.calibration:
        return [Note("not_calibrated", {"weights": meant.weights})]
    return []
