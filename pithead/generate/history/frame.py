"""The pixels of a picture of a history: how many, and where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine

from pithead.generate.canvas import Truth
from pithead.generate.history.forms import FLIP, Pile, Ring, Wagons
from pithead.generate.history.history import SCALE, History
from pithead.generate.history.shot import Shot
from pithead.generate.history.truth import Label, leaning
from pithead.generate.outlines import clip_line, clip_rectangle
from pithead.generate.parts import Points


@dataclass(frozen=True, slots=True, eq=False)
class PixelFrame:
    """The grid of a picture.

    Attributes:
        history: Of what.
        shot: The picture.
    """

    history: History
    shot: Shot

    @property
    def gsd_m(self) -> float:
        """Metres per pixel."""
        return self.shot.sensor.gsd_m

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        west, south, east, north = self.shot.footprint.bounds
        return round((east - west) / self.gsd_m), round((north - south) / self.gsd_m)

    @property
    def transform(self) -> Affine:
        """Pixels to EPSG:32652, wrong about where they are by the shift of the shot."""
        west, _, _, north = self.shot.footprint.bounds
        east_utm, north_utm = self.history.to_utm([west, north])
        step = self.gsd_m * SCALE
        return Affine(step, 0.0, float(east_utm), 0.0, -step, float(north_utm))

    def to_px(self, points_m: Points) -> Points:
        """Points (M, 2) of the frame of the picture in its pixels."""
        west, _, _, north = self.shot.footprint.bounds
        return np.asarray((points_m - [west, north]) * FLIP / self.gsd_m, np.float64)

    def labels(self) -> tuple[Truth, ...]:
        """What is in the picture, in pixels, as whoever labels it sees it: shifted, leaning, cut at its edge.

        What is under cloud is among it.
        """
        width, height = self.size_px
        found: list[Truth] = []
        for label in self.history.truth(self.shot).labels:
            move = leaning(label.form, self.shot) + self.shot.shift_m
            facts = {**_facts(label), "thing": label.thing, "visible": round(label.visible, 3)}
            if isinstance(label.form, Ring):
                points = self.to_px(label.form.points_m + move)
                pieces = clip_line(points, width, height, closed=label.form.closed)
                found += [Truth(label.cls, piece, closed, facts) for piece, closed in pieces]
                continue
            corners = clip_rectangle(self.to_px(label.box + move), width, height, smallest_px2=10.0)
            if corners is not None:
                found.append(Truth(label.cls, corners, attributes=facts))
        return tuple(found)


def _facts(label: Label) -> dict[str, str | float]:
    """What labels of single scenes say too."""
    if isinstance(label.form, Pile):
        return {"kind": "heap", "material": "coal", "fate": label.kind}
    if isinstance(label.form, Wagons):
        return {"kind": "wagons", "wagons": label.form.wagons}
    return {"kind": "prison_like" if isinstance(label.form, Ring) else label.kind}
