"""What two weights give of the same scenes: kept, moved, gained, lost; and what people had said of it.

Only scenes that both have scored are compared, by the bytes of the scene, and only classes that both look
for, by their names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd

from pithead.changes.matching import Rows, match
from pithead.changes.said import Said
from pithead.changes.side import Portion, Side
from pithead.changes.tables import (
    CHANGED,
    CONTRADICTIONS,
    OBJECTS,
    REVIEWS,
    changes_of,
    joined,
    reviews_of,
)

SCORE_STEP = 0.1
"""A score that changes by less than this has not changed."""
_ROUNDING = 1e-9  # 0.9 - 0.8 is a little less than 0.1


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that two weights differ in."""

    old: Side
    new: Side
    objects: pd.DataFrame
    """Every object of either side, with the columns of `tables.OBJECTS`."""
    changed: gpd.GeoDataFrame
    """Those that changed, of `tables.CHANGED`: gained, lost, moved, another score, or against a review."""
    reviews: gpd.GeoDataFrame
    """What people said of these scenes, of `tables.REVIEWS`."""
    left_out: Mapping[str, int]
    """Detections of classes that only one side looks for, by the name of the class."""
    unheard: int
    """Things said of scenes that are not compared."""

    @property
    def both(self) -> tuple[str, ...]:
        """The scenes that both have scored, by sha256, in the order of their names."""
        return shared(self.old, self.new)

    @property
    def only_old(self) -> tuple[str, ...]:
        """Those that only the old weights have scored."""
        return _by_name(self.old, self.old.scenes.keys() - self.new.scenes.keys())

    @property
    def only_new(self) -> tuple[str, ...]:
        """Those that only the new weights have scored."""
        return _by_name(self.new, self.new.scenes.keys() - self.old.scenes.keys())


def shared(old: Side, new: Side) -> tuple[str, ...]:
    """The scenes that both have scored, by sha256, in the order of their names."""
    return _by_name(new, old.scenes.keys() & new.scenes.keys())


def _by_name(side: Side, scenes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(scenes, key=lambda sha: (side.scenes[sha].scene, sha)))


def compare(old: Side, new: Side, portions: Iterable[Portion], said: Sequence[Said] = ()) -> Comparison:
    """Compare two sides.

    Args:
        old: The weights in use.
        new: Those that may replace them.
        portions: Every scene that both have scored in exactly one of them; some at a time, so that an archive
            need not fit into memory.
        said: What people said, in the order in which they said it.
    """
    by_scene: dict[str, list[Said]] = {}
    for one in said:
        by_scene.setdefault(one.scene_sha256, []).append(one)
    known, left_out = old.classes & new.classes, dict[str, int]()
    objects, changed, reviews = [], [], []
    for portion in portions:
        for rows in (portion.old, portion.new):
            strange = rows.loc[~rows["class"].isin(known), "class"].value_counts()
            for name, count in strange.items():
                left_out[str(name)] = left_out.get(str(name), 0) + int(count)
        sides = Rows.of(portion.old, known), Rows.of(portion.new, known)
        found = [match(*sides, sha, new.scenes[sha], by_scene.pop(sha, [])) for sha in portion.scenes]
        heard = [one for scene in found for one in scene.heard]
        every = changes_of(*sides, [table for scene in found for table in scene.pairs], heard)
        objects.append(every[list(OBJECTS)])
        changed.append(every[_differs(every)])
        reviews.append(reviews_of(*sides, heard))
    return Comparison(
        old=old,
        new=new,
        objects=joined(objects, OBJECTS),
        changed=_placed(joined(changed, CHANGED, ("geometry", "old_geometry"))),
        reviews=_placed(joined(reviews, REVIEWS, ("geometry",))),
        left_out=dict(sorted(left_out.items())),
        unheard=sum(map(len, by_scene.values())),
    )


def _differs(every: pd.DataFrame) -> pd.Series:
    differs: pd.Series = (every["kind"] != "kept") | rescored(every["score_change"])
    return differs | every["review"].isin(CONTRADICTIONS)


def rescored(change: pd.Series) -> pd.Series:
    """Which changes of a score count as one."""
    other: pd.Series = change.abs() >= SCORE_STEP - _ROUNDING
    return other


def _placed(frame: pd.DataFrame) -> gpd.GeoDataFrame:
    """With its shapes as the store has them: in degrees, or in pixels of a scene without georeference."""
    return gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries(list(frame["geometry"])))
