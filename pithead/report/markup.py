"""Paragraphs and outlines as HTML and SVG; tables are those of `pithead.changes.markup`."""

import re
from html import escape

import shapely
from shapely.geometry.base import BaseGeometry

from pithead.changes.markup import html
from pithead.report.pictures import Picture

COLOURS = {
    "mine_head": "#e6194b", "coal_heap": "#ffe119", "guard_perimeter": "#f58231", "rail_loading": "#42d4f4",
}  # fmt: skip
"""Of the classes, as labeling/classes.toml has them; what is of another class is white."""
OTHER, INK = "#ffffff", "#101010"
# Attributes and no classes: where a page shows a picture again, its style sheet does not reach inside.
VEIL = 'fill="url(#veil)" stroke="#fff" stroke-width="1"'
DASHED = 'fill="none" stroke="#fff" stroke-width="2" stroke-dasharray="7 5"'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph."""
    return f"<p{f' class={kind}' if kind else ''}>{html(text)}</p>"


def path_of(shape: BaseGeometry) -> str:
    """The `d` of an SVG path of a shape in its pixels, to a tenth; "" of what has no course."""
    pieces = []
    for part in shapely.get_parts(shape):
        rings = [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]
        for ring in rings:
            points = shapely.get_coordinates(ring)
            if len(points) > 1:
                course = " ".join(f"{x:.1f},{y:.1f}" for x, y in points.tolist())
                pieces.append(f"M{course}{'Z' if part.geom_type == 'Polygon' else ''}")
    return "".join(pieces)


def drawn(picture: Picture, label: str, key: str | None = None, only: str | None = None) -> str:
    """A picture with what is drawn over it.

    Args:
        picture: The picture.
        label: What it shows, for who does not see it.
        key: A name under which the page may show it again.
        only: A class that is drawn stronger than the others.
    """
    side = picture.side_px
    paths = []
    for one in picture.outlines:
        course = path_of(one.shape)
        if one.cls == "hidden":
            paths.append(f'<path d="{course}" {VEIL}><title>{escape(one.title)}</title></path>')
            continue
        if one.cls == "meant":
            paths.append(f'<path d="{course}" {DASHED}/>')
            continue
        wide = 4 if one.cls == only else 2
        name = re.sub(r"\W", "", one.cls)
        colour = COLOURS.get(one.cls, OTHER)
        paths.append(
            f'<path d="{course}" fill="none" stroke="{INK}" stroke-width="{wide + 2}"/><path d="{course}" '
            f'fill="none" class="{name}" stroke="{colour}" stroke-width="{wide}"/>'
        )
    group = f' id="{key}"' if key else ""
    return (
        f'<svg class="picture" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}"><g{group}>'
        f'<image href="{picture.url}" width="{side}" height="{side}" preserveAspectRatio="none"/>'
        f"{''.join(paths)}</g></svg>"
    )


def again(picture: Picture, label: str, key: str) -> str:
    """A picture that the page has shown before."""
    side = picture.side_px
    return (
        f'<svg class="picture" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}">'
        f'<use href="#{key}"/></svg>'
    )


def swatch(cls: str) -> str:
    """A small field in the colour of a class."""
    return f'<i class="swatch" style="background:{COLOURS.get(cls, OTHER)}"></i>'
