"""Airbus' DIMAP: DIM_*.XML of version 2 (Pléiades, Pléiades Neo, SPOT 6 and 7), METADATA.DIM of version 1.

Airbus Defence and Space: Pléiades Imagery User Guide, appendix "DIMAP V2".
"""

from xml.etree.ElementTree import Element

from pithead.sidefiles.facts import Facts, agreed, number, time

_SOURCES = ("Strip_Source", "Scene_Source")


def read_dimap(root: Element) -> Facts | None:
    """The facts of a DIMAP file; None if it is another one's.

    Angles are those at the centre of the image. Of a mosaic it gives the earliest time, and whatever all of
    its sources agree on.

    Raises:
        ValueError: It holds a number or a time that is none.
    """
    if root.tag != "Dimap_Document":
        return None
    sources = [source for name in _SOURCES for source in root.iter(name)]
    centre = _centre(root, sources)
    viewing, incidence = _number(centre, "VIEWING_ANGLE"), _number(centre, "INCIDENCE_ANGLE")
    return Facts(
        acquired=min(
            (
                time(f"{date}T{_text(source, 'IMAGING_TIME') or '00:00:00'}", "IMAGING_DATE")
                for source in sources
                if (date := _text(source, "IMAGING_DATE"))
            ),
            default=None,
        ),
        sensor=agreed(
            f"{mission}{_text(source, 'MISSION_INDEX')}"
            for source in sources
            if (mission := _text(source, "MISSION"))
        ),
        gsd_m=_metres(root, "XDIM") or _metres(root, "RESAMPLING_SPACING") or _collected(centre),
        off_nadir_deg=None if viewing is None else abs(viewing),  # version 1 gives the side by its sign
        incidence_deg=None if incidence is None else abs(incidence),
        sun_azimuth_deg=_number(centre, "SUN_AZIMUTH"),
        sun_elevation_deg=_number(centre, "SUN_ELEVATION"),
        cloud_percent=_number(root, "CLOUD_COVERAGE"),
        level=_text(root, "PROCESSING_LEVEL") or None,
    )


def _centre(root: Element, sources: list[Element]) -> Element | None:
    """What holds the angles: the located values at the centre, or the one source of a version 1."""
    located = list(root.iter("Located_Geometric_Values"))
    middle = [values for values in located if _text(values, "LOCATION_TYPE").casefold() == "center"]
    if located:
        return (middle or located)[0]
    return sources[0] if len(sources) == 1 else None


def _text(element: Element | None, name: str) -> str:
    found = None if element is None else element.find(f".//{name}")
    return "" if found is None else (found.text or "").strip()


def _number(element: Element | None, name: str) -> float | None:
    text = _text(element, name)
    return number(text, name) if text else None


def _metres(root: Element, name: str) -> float | None:
    """A length, if it is one: XDIM is in degrees where the map is."""
    found = root.find(f".//{name}")
    return _number(root, name) if found is not None and found.get("unit", "").lower() == "m" else None


def _collected(centre: Element | None) -> float | None:
    across, along = _number(centre, "GSD_ACROSS_TRACK"), _number(centre, "GSD_ALONG_TRACK")
    return None if across is None or along is None else (across + along) / 2
