"""Heaps, heads and rail loading cut out of tiles and pasted onto the free ground of others.

Only whole objects are taken, with the ground and the shadow next to them, and only free ground is covered.
Spans of perimeters are left alone: a piece of a fence is none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pithead.augment.fields import Plane, as_bytes, grey, step
from pithead.augment.shapes import Cutting, Shapes, shapes_of
from pithead.augment.turns import turn_points
from pithead.augment.view import Tile, View
from pithead.augment.weather import shadow_direction
from pithead.geometry import boxes_to_corners, corners_to_boxes, rotated_iou
from pithead.labels import Label, pieces_of
from pithead.recipe import Augmentation

Floats = npt.NDArray[np.float64]

SMALLEST_PX = 6.0
"""The short side of the smallest object that is worth pasting."""

TOUCHES = 0.02
"""An object that shares more than this with another one is not cut out."""

APART_PX = 4
"""What is pasted stays this far from everything that is there."""

TRIES = 12
"""Places that are looked at for each object."""

PLAIN = 4
"""Of so many places that are free, the one with the plainest ground is taken."""

PAINTED = 0.5
"""Ground is painted, not pictured, if more than this share of its pixels are like their neighbours."""

SAME_SUN = np.radians(60.0)
"""Shadows that fall within this of each other pass for those of one sun."""


@dataclass(frozen=True, slots=True)
class Donor:
    """An object cut out of a tile.

    pixels (H, W, 3); share (H, W), 0 to 1, of each pixel in what is pasted; its class and its box (5,) in px
    of the cut-out, a strip without pad; where its shadow falls, if that is known.
    """

    pixels: Tile
    share: Plane
    class_id: int
    box: Floats
    shadow: float | None

    def turned(self, quarters: int, *, mirror: bool) -> "Donor":
        """Turned by quarters counter-clockwise, then mirrored."""
        pixels, share = np.rot90(self.pixels, quarters), np.rot90(self.share, quarters)
        if mirror:
            pixels, share = pixels[:, ::-1], share[:, ::-1]
        size = self.share.shape[1], self.share.shape[0]
        corners = turn_points(boxes_to_corners(self.box), size, quarters, mirror=mirror)
        shadow = self.shadow
        if shadow is not None:
            shadow = turned_angle(shadow, quarters, mirror=mirror)
        return Donor(pixels, share, self.class_id, corners_to_boxes(corners)[0], shadow)


def turned_angle(angle: float, quarters: int, *, mirror: bool) -> float:
    """A direction after quarter turns counter-clockwise and a mirror."""
    angle -= quarters * np.pi / 2
    return np.pi - angle if mirror else angle


# --- cutting out ---------------------------------------------------------------------------------------


def donors_of(
    views: Iterable[View],
    geometries: tuple[str, ...],
    *,
    most: int = 200,
    largest_px: int = 256,
    seed: int = 0,
    strip_pad_px: float | None = None,
) -> tuple[Donor, ...]:
    """Donors from tiles, read one after the other: at most so many, as many of each class, of any tile.

    No cut-out is larger than `largest_px`: 200 of 256 px are 92 MB.
    """
    cutting = Cutting(geometries) if strip_pad_px is None else Cutting(geometries, strip_pad_px=strip_pad_px)
    rng = np.random.default_rng(seed)
    kept: dict[int, list[Donor]] = {i: [] for i, kind in enumerate(geometries) if kind != "line"}
    seen = dict.fromkeys(kept, 0)
    each = max(1, most // max(1, len(kept)))
    for view in views:
        shapes, shadow = shapes_of(view, cutting), shadow_direction(view.pixels)
        for class_id, box in _whole(view, shapes, largest_px):
            # Each of the first n objects of a class is kept with the same chance, whatever n will be.
            seen[class_id] += 1
            place = len(kept[class_id]) if len(kept[class_id]) < each else int(rng.integers(seen[class_id]))
            if place < each:
                kept[class_id][place : place + 1] = [_cut_out(view, shapes, class_id, box, shadow)]
    return tuple(donor for donors in kept.values() for donor in donors)


def _whole(view: View, shapes: Shapes, largest_px: int) -> list[tuple[int, Floats]]:
    """The objects that stand in a tile whole, and by themselves."""
    found = [*zip(shapes.classes.tolist(), shapes.boxes, strict=True), *shapes.strips]
    whole = []
    for class_id, box in found:
        corners, margin = boxes_to_corners(box)[0], _margin(box)
        inside = (corners > APART_PX).all() and (corners < view.side - APART_PX).all()
        fits = np.ptp(corners, axis=0).max() + 2 * margin <= largest_px
        if inside and fits and box[3] >= SMALLEST_PX and _shared(box, _others(shapes, box)) <= TOUCHES:
            whole.append((class_id, box))
    return whole


def _others(shapes: Shapes, box: Floats) -> Floats:
    """All boxes (N, 5) of a tile but this one; lines as narrow boxes along their parts."""
    rows = [shapes.boxes, *(strip[None] for _, strip in shapes.strips), shapes.ignored, shapes.lost]
    for _, course in shapes.lines:
        points = np.vstack([course.points, course.points[:1]]) if course.closed else course.points
        way = np.diff(points, axis=0)
        rows.append(
            np.column_stack(
                [
                    (points[:-1] + points[1:]) / 2,
                    np.hypot(*way.T),
                    np.full(len(way), 6.0),
                    np.arctan2(way[:, 1], way[:, 0]),
                ]
            )
        )
    every = np.vstack(rows)
    return every[~(np.abs(every - box) < 1e-9).all(axis=1)]


def _shared(box: Floats, others: Floats) -> float:
    """The largest share of a box (5,) that one of the others covers."""
    iou = rotated_iou(box[None], others)[0]
    areas = box[2] * box[3] + others[:, 2] * others[:, 3]
    return float((iou * areas / (1 + iou)).max(initial=0.0) / (box[2] * box[3]))


def _margin(box: Floats) -> float:
    """How much ground comes with an object: the shadow of a heap, the conveyor of a head."""
    return float(np.clip(0.15 * box[2], 6.0, 24.0))


def _cut_out(view: View, shapes: Shapes, class_id: int, box: Floats, shadow: float | None) -> Donor:
    margin, corners = _margin(box), boxes_to_corners(box)[0]
    left, top = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0) + margin), view.side).astype(int)
    pixels = view.pixels[top:bottom, left:right].copy()
    local = box - np.array([left, top, 0, 0, 0])
    share = step(_distance(local, pixels.shape[:2]), margin, 0.4 * margin)
    for other in _others(shapes, box):
        share *= step(_distance(other - np.array([left, top, 0, 0, 0]), pixels.shape[:2]), 1.0, 4.0)
    share = np.where(_distance(local, pixels.shape[:2]) == 0, np.float32(1), share)
    return Donor(pixels, share, class_id, local, shadow)


def _distance(box: Floats, shape: tuple[int, ...]) -> Plane:
    """How far in px the middle of each pixel (H, W) lies outside a box (5,)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    cos, sin = np.float32(np.cos(box[4])), np.float32(np.sin(box[4]))
    x, y = x - np.float32(box[0]), y - np.float32(box[1])
    along = np.abs(x * cos + y * sin) - np.float32(box[2] / 2)
    across = np.abs(y * cos - x * sin) - np.float32(box[3] / 2)
    return np.asarray(np.hypot(np.maximum(along, 0), np.maximum(across, 0)), np.float32)


# --- pasting -------------------------------------------------------------------------------------------


def pasted(
    view: View, donors: Sequence[Donor], plan: Augmentation, cutting: Cutting, rng: np.random.Generator
) -> View:
    """The tile with some objects more on its free ground, each class as often, in light like the ground's.

    Donors are turned by quarters and mirrored, so that their shadows fall as those of the tile where both are
    known. Strips are cut on the grid of the tile.
    """
    if not donors or rng.random() >= plan.copy_paste:
        return view
    pixels, taken, shadow = view.pixels.copy(), _taken(view), shadow_direction(view.pixels)
    classes, corners = [view.classes], [view.corners]
    kinds = sorted({donor.class_id for donor in donors})
    for _ in range(int(rng.integers(1, plan.copy_paste_most + 1))):
        kind = kinds[int(rng.integers(len(kinds)))]
        own = [donor for donor in donors if donor.class_id == kind]
        donor = _lit_alike(own[int(rng.integers(len(own)))], shadow, rng)
        place = _place(donor, pixels, taken, rng)
        if place is None:
            continue
        _blend(pixels, donor, place)
        rows = _rows(donor, place, cutting)
        corners.append(rows)
        classes.append(np.full(len(rows), kind))
        _take(taken, rows)
    return View(pixels, np.concatenate(classes), np.concatenate(corners), view.ignored)


def _lit_alike(donor: Donor, shadow: float | None, rng: np.random.Generator) -> Donor:
    """The donor in one of its eight positions, in which its shadow falls as it should."""
    ways = [(quarters, mirror) for quarters in range(4) for mirror in (False, True)]
    if shadow is not None and donor.shadow is not None:
        off = [turned_angle(donor.shadow, quarters, mirror=mirror) - shadow for quarters, mirror in ways]
        ways = [way for way, by in zip(ways, off, strict=True) if np.cos(by) >= np.cos(SAME_SUN)]
    quarters, mirror = ways[int(rng.integers(len(ways)))]
    return donor.turned(quarters, mirror=mirror)


def _taken(view: View) -> Tile:
    """Where (S, S) nothing may be pasted, 1 on objects, ignored areas, and a little round them."""
    taken: Tile = np.zeros(view.pixels.shape[:2], np.uint8)
    _take(taken, np.concatenate([view.corners, view.ignored]))
    return taken


def _take(taken: Tile, corners: Floats) -> None:
    for outline in corners:
        cv2.fillConvexPoly(taken, np.rint(outline).astype(np.int32), 1)
        cv2.polylines(
            taken, [np.rint(outline).astype(np.int32)], isClosed=True, color=1, thickness=2 * APART_PX
        )


def _place(donor: Donor, pixels: Tile, taken: Tile, rng: np.random.Generator) -> tuple[int, int] | None:
    """Where (x, y) the cut-out fits on free ground, the plainest of some places; None: nowhere."""
    height, width = donor.share.shape
    room_x, room_y = pixels.shape[1] - width, pixels.shape[0] - height
    if min(room_x, room_y) < 0:
        return None
    covered, free = donor.share > 0, []
    for x, y in zip(rng.integers(0, room_x + 1, TRIES), rng.integers(0, room_y + 1, TRIES), strict=True):
        window = np.s_[y : y + height, x : x + width]
        if not (taken[window].astype(bool) & covered).any() and not _painted(pixels[window]):
            free.append((float(grey(np.ascontiguousarray(pixels[window])).std()), int(x), int(y)))
        if len(free) == PLAIN:
            break
    return min(free)[1:] if free else None


def _painted(ground: Tile) -> bool:
    return bool((ground[:, 1:] == ground[:, :-1]).all(axis=-1).mean() > PAINTED)


def _blend(pixels: Tile, donor: Donor, place: tuple[int, int]) -> None:
    """Paste, the donor's light changed so that its ground has the mean colour of the ground beneath."""
    x, y = place
    window = np.s_[y : y + donor.share.shape[0], x : x + donor.share.shape[1]]
    ground, ring = pixels[window].astype(np.float32), (donor.share > 0) & (donor.share < 0.5)
    if ring.any():
        there, here = ground[ring].mean(axis=0), donor.pixels[ring].mean(axis=0)
        gain = np.clip((there + 8) / (here + 8), 0.6, 1.6).astype(np.float32)
    else:
        gain = np.ones(3, np.float32)
    object_ = np.minimum(donor.pixels * gain, 255)
    pixels[window] = as_bytes(ground + (object_ - ground) * donor.share[..., None])


def _rows(donor: Donor, place: tuple[int, int], cutting: Cutting) -> Floats:
    """What is taught of a pasted object: its box, or the pieces of its strip on the grid: (N, 4, 2)."""
    box = donor.box + np.array([*place, 0, 0, 0])
    corners = boxes_to_corners(box)
    if cutting.geometries[donor.class_id] != "strip":
        return corners
    label = Label(donor.class_id, "strip", corners[0], closed=True, weight="target", attributes={})
    pieces = pieces_of(label, lambda p: p, cell_px=cutting.cell_px, pad_px=cutting.strip_pad_px)
    return boxes_to_corners(pieces)
