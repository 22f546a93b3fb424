"""What the catalogue says of a scene, wherever its file lies: facts that the log can hold it to."""

from datetime import UTC
from typing import Any, Final

import shapely

from pithead.catalog.entry import Entry
from pithead.evidence import sha256_json

_TEXTS: Final = ("sha256", "identity", "crs", "sensor", "level", "source")
_NUMBERS: Final = (
    "km2",
    "off_nadir_deg",
    "incidence_deg",
    "sun_azimuth_deg",
    "sun_elevation_deg",
    "cloud_percent",
)


def facts_of(entry: Entry) -> dict[str, Any]:
    """What an entry says of its scene, as JSON has it, by the names of the entry's fields.

    Not part of it: the place, size and times of its file, when it was taken in, whether it is changed, and
    its sites, which follow from `sites.geojson`.
    """
    acquired, footprint, transform = entry.acquired, entry.footprint, entry.transform
    numbers = {name: getattr(entry, name) for name in _NUMBERS}
    return {
        **{name: getattr(entry, name) for name in _TEXTS},
        # Whole numbers too as floats: 13 and 13.0 are one number and two texts.
        **{name: None if value is None else float(value) for name, value in numbers.items()},
        "width": entry.width,
        "height": entry.height,
        "gsd_m": [float(value) for value in entry.gsd_m],
        "transform": None if transform is None else [float(value) for value in transform],
        "footprint": None if footprint is None else shapely.geometry.mapping(footprint),
        "acquired": None if acquired is None else acquired.astimezone(UTC).isoformat(),
    }


def facts_sha256(entry: Entry) -> str:
    """The sha256 (hexadecimal) of what an entry says of its scene; the same from its Item and the index."""
    return sha256_json(facts_of(entry))


def amendments(before: Entry, after: Entry) -> dict[str, tuple[Any, Any]]:
    """What two entries of one scene say otherwise: facts, and their sites, each as old and new."""
    old, new = ({**facts_of(entry), "sites": list(entry.sites)} for entry in (before, after))
    return {name: (old[name], new[name]) for name in sorted(old) if old[name] != new[name]}
