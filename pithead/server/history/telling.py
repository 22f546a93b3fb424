"""From a chronicle to what the server tells of it."""

from typing import Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

from pithead.server.discreet import without_folders
from pithead.server.history import words
from pithead.sites import REASONS, UNITS, Change, Chronicle, Frame, Measure, Sign, Track, View
from pithead.sites.quantities import CLASS_OF
from pithead.vectors import DEGREE_DECIMALS

_DIGITS: Final = 6


def told(history: Chronicle, frame: Frame, site: str) -> words.SiteHistory:
    """What is told of a chronicle.

    Args:
        history: A chronicle with views.
        frame: Its frame.
        site: The id of the site.
    """
    days = [view.acquired.date().isoformat() for view in history.views]
    return words.SiteHistory(
        id=site,
        name=history.site.name,
        aliases=list(history.site.aliases),
        place=words.Place(lon=frame.lon, lat=frame.lat),
        weights=history.weights or "",
        weights_sha256=history.weights_sha256 or "",
        views=[_view(view, day) for view, day in zip(history.views, days, strict=True)],
        quantities=[
            words.Quantity.model_validate({
                "name": name,
                "unit": UNITS[name],
                "class": CLASS_OF[name],
                "measures": [_measure(one, days) for one in measures],
            })
            for name, measures in history.quantities.items()
        ],
        tracks=[_track(one, frame, days) for one in history.tracks],
        changes=[_change(one, frame, days) for one in history.changes],
        rules=[
            words.Rule(
                name=rule.name, subject=rule.subject, near=list(rule.near), within_m=rule.within_m,
                means=rule.means, author=rule.author, date=rule.date,
            )
            for rule in history.rules
        ],
        signs=[_sign(one, days) for one in history.signs],
        reasons={str(word): text for word, text in REASONS.items()},
        notes=[without_folders(str(note)) for note in history.notes],
    )  # fmt: skip


def _view(view: View, day: str) -> words.View:
    shift, whole = view.shift, view.looked.area
    return words.View(
        scene=view.scene,
        scene_sha256=view.scene_sha256,
        acquired=view.acquired.isoformat(),
        date=day,
        sensor=view.sensor,
        gsd_m=_short(view.gsd_m),
        off_nadir_deg=None if view.off_nadir_deg is None else _short(view.off_nadir_deg),
        weights_sha256=view.weights_sha256,
        shift=words.Shift(
            east_m=round(shift.dx_m, 2), north_m=round(shift.dy_m, 2), sd_m=_short(shift.sd_m),
            pairs=shift.pairs, how=shift.how,
        ),
        looked_km2=_short(whole / 1e6),
        hidden=[
            words.Hidden(reason=reason, share=round(min(shape.area / whole, 1.0), 4))
            for shape, reason in view.hidden
            if whole
        ],
        looked_through=view.pixels,
        detections=len(view.sightings),
        rejected=len(view.rejected),
    )  # fmt: skip


def _measure(one: Measure, days: list[str]) -> words.Measure:
    value, low, high = (None if v is None else _short(v) for v in (one.value, one.low, one.high))
    return words.Measure(
        view=one.view, date=days[one.view], raw=_short(one.raw), value=value, low=low, high=high,
        observable=one.observable, reason=one.reason,
        checked=None if one.checked is None else _short(one.checked),
    )  # fmt: skip


def _track(track: Track, frame: Frame, days: list[str]) -> words.Track:
    states = [
        words.State(date=day, state=state.kind, reason=state.reason, p=state.p, detections=list(found))
        for state, found, day in zip(track.states, track.sightings, days, strict=True)
    ]
    events = [
        words.Event(
            kind=one.kind, before=one.before, after=one.after,
            detections_before=list(one.detections_before), detections_after=list(one.detections_after),
        )
        for one in track.events
    ]  # fmt: skip
    return words.Track.model_validate({
        "id": track.id, "class": track.cls, "first_seen": track.first_seen, "last_seen": track.last_seen,
        "states": states, "events": events, "geometry": _placed(track.shape, frame),
    })  # fmt: skip


def _change(one: Change, frame: Frame, days: list[str]) -> words.Change:
    line = one.cls in (None, "guard_perimeter")
    return words.Change.model_validate({
        "what": one.what, "kind": one.kind, "before": one.before, "after": one.after,
        "before_date": days[one.before], "after_date": days[one.after],
        "by": _short(one.by), "low": _short(one.low), "high": _short(one.high),
        "unit": UNITS.get(one.what, "m" if line else "m²"), "sure": one.sure, "class": one.cls,
        "checked": one.checked, "geometry": None if one.shape is None else _placed(one.shape, frame),
    })  # fmt: skip


def _sign(one: Sign, days: list[str]) -> words.Sign:
    return words.Sign(
        rule=one.rule, view=one.view, date=days[one.view], holds=one.holds, reason=one.reason,
        parts=list(one.parts), checked=one.checked,
    )  # fmt: skip


def _placed(shape: BaseGeometry, frame: Frame) -> dict[str, Any]:
    """A shape of the frame as GeoJSON."""
    degrees = shapely.transform(frame.in_degrees(shape), lambda xy: xy.round(DEGREE_DECIMALS))
    return dict(shapely.geometry.mapping(degrees))


def _short(value: float) -> float:
    """A number to six digits: no figure of a history is known better."""
    return float(f"{value:.{_DIGITS}g}")
