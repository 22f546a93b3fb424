"""The pictures of a site, drawn by chance: dates, sensors, angles, shifts, seasons, weather."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import shapely

from pithead.generate.history.shot import MOST_SHIFT_M, THICK, Sensor, Shot

SENSORS = (
    Sensor("generated 0.3 m", 0.31, 11, ("red", "green", "blue", "nir")),
    Sensor("generated 0.5 m", 0.5, 8, ("red", "green", "blue")),
    Sensor("generated 0.5 m pan", 0.5, 11, ("grey",)),
    Sensor("generated 0.6 m", 0.61, 11, ("red", "green", "blue", "nir")),
    Sensor("generated 0.7 m", 0.7, 8, ("red", "green", "blue")),
    Sensor("generated 1.2 m", 1.2, 8, ("red", "green", "blue")),
)
_SEASONS = ("winter", "spring", "summer", "autumn")
_MARGIN_M = 60.0


def draw_times(rng: np.random.Generator, count: int) -> tuple[datetime, ...]:
    """So many times in the forenoon (UTC), 40 to 600 days apart."""
    start = datetime(int(rng.integers(2006, 2011)), int(rng.integers(1, 13)), 5, tzinfo=UTC)
    days = np.cumsum(rng.integers(40, 600, count))
    minutes = rng.integers(0, 150, count)
    return tuple(
        start + timedelta(days=int(day), hours=1, minutes=int(minute))
        for day, minute in zip(days, minutes, strict=True)
    )


def draw_shots(
    rng: np.random.Generator, times: Sequence[datetime], sensors: int, side_m: float
) -> tuple[Shot, ...]:
    """A picture at each time, by so many sensors."""
    picked = sorted(rng.choice(len(SENSORS), sensors, replace=False).tolist())
    order = [picked[int(i)] for i in rng.permutation(np.arange(len(times)) % sensors)]
    return tuple(
        _shot(rng, number, time, SENSORS[sensor], side_m)
        for number, (time, sensor) in enumerate(zip(times, order, strict=True))
    )


def season_of(time: datetime) -> str:
    """Of the northern half of the Earth: winter is December to February."""
    return _SEASONS[time.month % 12 // 3]


def _shot(rng: np.random.Generator, number: int, time: datetime, sensor: Sensor, side_m: float) -> Shot:
    season = season_of(time)
    frame, nodata = _frame(rng, side_m)
    reach = min(float(rng.rayleigh(3.0)), MOST_SHIFT_M - 0.01)
    turn = float(rng.uniform(0, 2 * np.pi))
    noon = float(rng.uniform(140, 175))
    elevation = {"winter": 28.0, "spring": 50.0, "summer": 66.0, "autumn": 42.0}[season]
    thick = rng.random() < 0.06
    return Shot(
        number=number,
        date=time,
        sensor=sensor,
        off_nadir_deg=float(rng.uniform(1, 30)),
        azimuth_deg=float(rng.uniform(0, 360)),
        sun_azimuth_deg=noon,
        sun_elevation_deg=elevation + float(rng.uniform(-4, 4)),
        shift_m=(reach * float(np.cos(turn)), reach * float(np.sin(turn))),
        season=season,
        snow=season == "winter" and bool(rng.random() < 0.5),
        haze=float(rng.uniform(THICK, 0.8)) if thick else float(rng.uniform(0, 0.2)),
        clouds=_clouds(rng, side_m) if rng.random() < 0.35 else (),
        footprint=frame,
        nodata=nodata,
    )


def _frame(rng: np.random.Generator, side_m: float) -> tuple[shapely.Polygon, tuple[shapely.Polygon, ...]]:
    """The frame, mostly with the whole site in it, and a wedge without pixels where its strip ended."""
    half = side_m / 2 + _MARGIN_M
    low, high = -half + rng.uniform(-20, 20, 2), half + rng.uniform(-20, 20, 2)
    if rng.random() < 0.15:
        side = int(rng.integers(4))
        cut = float(rng.uniform(0.1, 0.35)) * side_m
        (low if side < 2 else high)[side % 2] += cut if side < 2 else -cut
    frame = shapely.box(*low.round(), *high.round())
    if rng.random() > 0.1:
        return frame, ()
    west, _, _, north = frame.bounds
    reach = rng.uniform(0.2, 0.6, 2) * side_m
    return frame, (shapely.Polygon([(west, north), (west + reach[0], north), (west, north - reach[1])]),)


def _clouds(rng: np.random.Generator, side_m: float) -> tuple[shapely.Polygon, ...]:
    """One to five clouds, each some round puffs."""
    clouds: list[shapely.Polygon] = []
    for _ in range(int(rng.integers(1, 6))):
        middle = rng.uniform(-0.55, 0.55, 2) * side_m
        size = float(rng.uniform(0.05, 0.16)) * side_m
        puffs = middle + rng.normal(0, 0.5 * size, (6, 2))
        puff = [shapely.Point(at).buffer(size * float(rng.uniform(0.4, 0.9)), quad_segs=6) for at in puffs]
        clouds += [part for part in shapely.get_parts(shapely.union_all(puff)) if part.area > 0]
    return tuple(shapely.Polygon(part.exterior) for part in shapely.get_parts(shapely.union_all(clouds)))
