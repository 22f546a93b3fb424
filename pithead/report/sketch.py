"""The map of a site: where each thing was last seen, in metres, with a scale; no tiles and no coordinates."""

from html import escape

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pithead.report.dossier import Dossier
from pithead.report.markup import COLOURS, INK, OTHER, path_of
from pithead.report.words import Words
from pithead.sites import Track

SIDE_PX, EDGE_PX = 640, 24


def sketch(dossier: Dossier, words: Words) -> str:
    """The map as SVG; "" where nothing has a place."""
    told, chronicle = dossier.discretion, dossier.chronicle
    if chronicle.frame is None:
        return ""
    polygon = chronicle.site.polygon
    outline = None if polygon is None else told.drawn(chronicle.frame.in_metres(polygon))
    shapes = [told.drawn(track.shape) for track in chronicle.tracks]
    solid = [one for one in [*shapes, outline] if one is not None and not one.is_empty]
    if not solid:
        return ""
    west, south, east, north = (float(v) for v in shapely.total_bounds(np.array(solid, dtype=object)))
    scale = (SIDE_PX - 2 * EDGE_PX) / max(east - west, north - south, 100.0)
    height = (north - south) * scale + 2 * EDGE_PX + 30

    def placed(shape: BaseGeometry) -> BaseGeometry:
        to_page = [scale, 0, 0, -scale, EDGE_PX - west * scale, EDGE_PX + north * scale]
        moved: BaseGeometry = shapely.affinity.affine_transform(shape, to_page)
        return moved

    parts = [] if outline is None else [f'<path d="{path_of(placed(outline))}" class="site"/>']
    order = sorted(range(len(shapes)), key=lambda i: -shapes[i].area)
    parts += [_thing(chronicle.tracks[i], placed(shapes[i]), words) for i in order if not shapes[i].is_empty]
    parts += [_number(chronicle.tracks[i], placed(shapes[i])) for i in order if not shapes[i].is_empty]
    label = words("map.label", site=dossier.name)
    return (
        f'<svg class="map" viewBox="0 0 {SIDE_PX} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}{_scale(scale, height, words)}</svg>"
    )


def _thing(track: Track, shape: BaseGeometry, words: Words) -> str:
    """A thing: filled if it is present on the last date."""
    colour, line = COLOURS.get(track.cls, OTHER), shape.area == 0
    here = track.states[-1].kind == "present"
    fill = colour if here and not line else "none"
    dash = "" if here else ' stroke-dasharray="5 3"'
    state = words(f"track.{track.states[-1].kind}")
    course = path_of(shape)
    return (
        f'<g><title>{escape(words.thing(track.id))}: {escape(state)}</title><path d="{course}" fill="{fill}" '
        f'fill-opacity="0.75" stroke="{INK}" stroke-width="{5 if line else 3.4}"/><path d="{course}" '
        f'fill="none" stroke="{colour}" stroke-width="{3 if line else 1.6}"{dash}/></g>'
    )


def _number(track: Track, shape: BaseGeometry) -> str:
    spot = shape.interpolate(0.5, normalized=True) if shape.geom_type == "LineString" else shape.centroid
    number = track.id.rpartition("-")[2]
    return f'<text class="number" x="{spot.x + 7:.1f}" y="{spot.y - 5:.1f}">{escape(number)}</text>'


def _scale(px_per_m: float, height: float, words: Words) -> str:
    """A bar of a round length, and an arrow to the north."""
    metres = next(size for size in (5000, 2000, 1000, 500, 200, 100, 50, 20) if size * px_per_m < 200)
    y, end = height - 12, EDGE_PX + metres * px_per_m
    x = SIDE_PX - EDGE_PX
    return (
        f'<path d="M{EDGE_PX},{y - 5} v5 H{end:.1f} v-5" fill="none" stroke="{INK}" stroke-width="1.5"/>'
        f'<text x="{end + 8:.1f}" y="{y:.1f}">{escape(words("map.scale", metres=f"{metres:,}"))}</text>'
        f'<path d="M{x},{y} v-20 m-5,7 l5,-9 l5,9" fill="none" stroke="{INK}" stroke-width="1.5"/>'
        f'<text x="{x - 20}" y="{y}">N</text>'
    )
