"""Metadata as a GeoJSON feature: Planet's *_metadata.json, and STAC Items of any vendor.

Planet: Item types (docs.planet.com); STAC: view, eo and processing extensions.
"""

from collections.abc import Mapping
from typing import Any

from pithead.sidefiles.facts import Facts, number, time


def read_feature(document: object) -> Facts | None:
    """The facts of a feature; None if it says nothing that Planet or STAC would say.

    Raises:
        ValueError: A number or a time in it is none.
    """
    properties = document.get("properties") if isinstance(document, dict) else None
    if not isinstance(properties, dict):
        return None
    if "acquired" in properties:
        return planet_facts(properties)
    if isinstance(document, dict) and "stac_version" in document:
        return stac_facts(properties)
    return None


def planet_facts(properties: Mapping[str, Any]) -> Facts:
    """What Planet says of a scene; `view_angle` is off nadir, and its sign the side on older scenes."""
    angle, ratio = _number(properties, "view_angle"), _number(properties, "cloud_cover")
    percent = _number(properties, "cloud_percent")
    azimuth = _number(properties, "sun_azimuth")
    return Facts(
        acquired=_time(properties, "acquired"),
        sensor=properties.get("satellite_id"),
        gsd_m=_number(properties, "pixel_resolution") or _number(properties, "gsd"),
        off_nadir_deg=None if angle is None else abs(angle),
        sun_azimuth_deg=None if azimuth is None else azimuth % 360,
        sun_elevation_deg=_number(properties, "sun_elevation"),
        cloud_percent=percent if percent is not None or ratio is None else round(100 * ratio, 6),
    )


def stac_facts(properties: Mapping[str, Any]) -> Facts:
    """What a STAC Item says of a scene; a span of time counts from its start if it is within a day."""
    azimuth = _number(properties, "view:sun_azimuth")
    taken = _time(properties, "datetime")
    if taken is None:
        start, end = _time(properties, "start_datetime"), _time(properties, "end_datetime")
        taken = start if start is not None and end is not None and (end - start).days < 1 else None
    return Facts(
        acquired=taken,
        sensor=properties.get("platform"),
        gsd_m=_number(properties, "gsd"),
        off_nadir_deg=_number(properties, "view:off_nadir"),
        incidence_deg=_number(properties, "view:incidence_angle"),
        sun_azimuth_deg=None if azimuth is None else azimuth % 360,
        sun_elevation_deg=_number(properties, "view:sun_elevation"),
        cloud_percent=_number(properties, "eo:cloud_cover"),
        level=properties.get("processing:level"),
    )


def _number(properties: Mapping[str, Any], name: str) -> float | None:
    value = properties.get(name)
    return None if value is None else number(value, name)


def _time(properties: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    value = properties.get(name)
    return None if value is None else time(str(value), name)
