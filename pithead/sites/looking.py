"""The scenes of a site looked at: what hides it in each, and how far any two are apart by their pixels."""

from collections.abc import Sequence
from dataclasses import replace

from pithead.catalog import Entry
from pithead.errors import PitheadError
from pithead.imagery import open_scene
from pithead.sites.frame import Frame
from pithead.sites.ground import solid
from pithead.sites.notes import Note
from pithead.sites.pixels import Picture, picture_of
from pithead.sites.register import Edges, edges_of, offset_of
from pithead.sites.shift import Offset
from pithead.sites.view import View
from pithead.sites.visibility import blocks_of, cells_of, hidden_in

NEIGHBOURS = 3
"""Scenes are laid on so many that come after them: all pairs of a hundred scenes would take minutes."""
Offsets = dict[tuple[int, int], Offset]


def look_at(
    views: Sequence[View], entries: Sequence[Entry], frame: Frame, bounds: tuple[float, float, float, float]
) -> tuple[tuple[View, ...], Offsets, tuple[Note, ...]]:
    """The views with what hides the ground in them, the offsets of pairs, and which could not be looked at.

    Args:
        views: In order of time.
        entries: The scene of each.
        frame: The frame of the site.
        bounds: What of it is looked at: west, south, east, north.
    """
    told: list[View] = []
    edges: list[Edges | None] = []
    notes: list[Note] = []
    for view, entry in zip(views, entries, strict=True):
        try:
            seen, strength = _looked(view, entry, frame, bounds)
        except PitheadError as error:
            notes.append(Note("unreadable", {"scene": view.scene, "why": str(error)}))
            seen, strength = view, None
        told.append(seen)
        edges.append(strength)
    found: Offsets = {}
    for i, first in enumerate(edges):
        for j in range(i + 1, min(i + 1 + NEIGHBOURS, len(edges))):
            second = edges[j]
            if first is None or second is None or first.valid.shape != second.valid.shape:
                continue
            offset = offset_of(first, second)
            if offset is not None:
                found[i, j] = offset
    return tuple(told), found, tuple(notes)


def _looked(
    view: View, entry: Entry, frame: Frame, bounds: tuple[float, float, float, float]
) -> tuple[View, Edges | None]:
    """A view with what hides it, and the edges of what is left; without them where the file was changed."""
    if entry.remote or entry.changed:
        return view, None
    with open_scene(entry.href) as scene:
        picture: Picture = picture_of(scene, frame, bounds)
        stretch = scene.stretch
    cloud = blocks_of(picture).cloud
    covers = hidden_in(picture, stretch)
    hidden = tuple((solid(shape.intersection(view.looked)), why) for shape, why in covers)
    seen = replace(view, hidden=(*view.hidden, *(one for one in hidden if not one[0].is_empty)), pixels=True)
    return seen, edges_of(picture, cells_of(cloud, picture))
