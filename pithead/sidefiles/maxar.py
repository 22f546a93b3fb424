"""Maxar's image metadata: the .IMD file of a product, and the same in its .XML.

Maxar: Imagery Support Data (ISD) Documentation, section "Image Metadata File (.IMD)".
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from xml.etree.ElementTree import Element

from pithead.sidefiles.facts import Facts, agreed, number, time

_END = re.compile(r"^\s*END\s*;", re.MULTILINE)
_UNKNOWN = -900.0  # Maxar writes -999 for what it does not know

Group = Mapping[str, str]


def read_imd(text: str) -> Facts:
    """The facts of an .IMD file.

    Raises:
        ValueError: It is none, it was cut off, or holds a number or a time that is none.
    """
    if "BEGIN_GROUP" not in text or not _END.search(text):
        raise ValueError("no BEGIN_GROUP with its END; (an .IMD file ends with END;)")
    groups: list[tuple[str, dict[str, str]]] = [("", {})]
    top = groups[0][1]
    inside = top
    for line in text.splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if name == "BEGIN_GROUP":
            inside = {}
            groups.append((value.rstrip(";").upper(), inside))
        elif name == "END_GROUP":
            inside = top
        elif equals:
            inside[name.upper()] = value.rstrip(";").strip().strip('"')
    images = [group for name, group in groups if re.fullmatch(r"IMAGE(_\d+)?", name)]
    products = [group for name, group in groups if name == "MAP_PROJECTED_PRODUCT"]
    return _facts(top, images, products)


def read_isd(root: Element) -> Facts | None:
    """The facts of Maxar's .XML; None if it is another one's.

    Raises:
        ValueError: It holds a number or a time that is none.
    """
    imd = root if root.tag == "IMD" else root.find("IMD")
    if imd is None:
        return None
    return _facts(
        _group(imd), [_group(image) for image in imd.iter("IMAGE")],
        [_group(product) for product in imd.iter("MAP_PROJECTED_PRODUCT")],
    )  # fmt: skip


def _group(element: Element) -> Group:
    return {child.tag.upper(): (child.text or "").strip() for child in element if len(child) == 0}


def _facts(top: Group, images: Sequence[Group], products: Sequence[Group]) -> Facts:
    """What the groups say; of a mosaic the earliest time, and whatever all of its images agree on."""
    cloud = _number(images, "CLOUDCOVER")
    return Facts(
        acquired=min(_times(images, products), default=None),
        sensor=agreed(image["SATID"] for image in images if image.get("SATID", "????") != "????"),
        gsd_m=_number(products, "PRODUCTGSD") or _number(images, "MEANPRODUCTGSD", "MEANCOLLECTEDGSD"),
        off_nadir_deg=_number(images, "MEANOFFNADIRVIEWANGLE", "OFFNADIRVIEWANGLE"),
        sun_azimuth_deg=_number(images, "MEANSUNAZ", "SUNAZ"),
        sun_elevation_deg=_number(images, "MEANSUNEL", "SUNEL"),
        cloud_percent=None if cloud is None else round(100 * cloud, 6),
        level=top.get("PRODUCTLEVEL") or None,
    )


def _times(images: Sequence[Group], products: Sequence[Group]) -> list[datetime]:
    """When the images begin; if they do not say so, when the earliest pixel of the product was taken."""
    for groups, name in ((images, "FIRSTLINETIME"), (images, "TLCTIME"), (products, "EARLIESTACQTIME")):
        times = [time(group[name], name) for group in groups if group.get(name)]
        if times:
            return times
    return []


def _number(groups: Sequence[Group], *names: str) -> float | None:
    for name in names:
        values = [number(group[name], name) for group in groups if name in group]
        if values:
            found = agreed(values)
            return None if found is None or found < _UNKNOWN else found
    return None
