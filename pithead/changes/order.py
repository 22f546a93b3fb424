"""What of the changes a person should look at, and in which order: by effect.

1. it contradicts a review: first what was accepted and is lost, then what was rejected and is back;
2. lost, and the old score was at least 0.5;
3. gained, and the new score is at least 0.5;
4. moved;
5. drawn otherwise: lost or gained, but four fifths of its ground or more (of a perimeter, of its course) are
   covered by others of its class on the other side, as when two were joined or one was split;
6. lost with a lower score;
7. gained with a lower score;
8. another score (by 0.1 or more) in the same place.

Within 4 the least overlap comes first, within 8 the largest change, elsewhere the surest; then the larger.
Left out is what a person has spoken of already, if the new weights agree or the old ones too did not.
"""

import geopandas as gpd
import numpy as np
import pandas as pd

from pithead.changes.pairs import SAME_COURSE
from pithead.changes.tables import ACCEPTED, CONTRADICTIONS, REJECTED, REJECTED_BACK, STILL

SURE = 0.5
"""A calibrated score from here on says: rather so than not."""

EFFECTS = (
    "contradicts a review", "lost, sure", "gained, sure", "moved", "drawn otherwise", "lost, unsure",
    "gained, unsure", "other score",
)  # fmt: skip
"""The effects in their order."""


def queue_of(changed: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The changes to be looked at, in order, with the columns `rank` (from 1) and `effect` before the others.

    Args:
        changed: Of a `Comparison`.
    """
    effect = _effects(changed)
    sure = changed[["old_score", "new_score"]].max(axis=1).fillna(0.0)
    within = np.where(effect == EFFECTS.index("moved"), 1 - changed["overlap"].fillna(0.0), sure)
    within = np.where(
        effect == EFFECTS.index("other score"), changed["score_change"].abs().fillna(0.0), within
    )
    keys = pd.DataFrame(
        {
            "effect": effect,
            "back": (changed["review"] == REJECTED_BACK).to_numpy(),
            "within": -within.astype(np.float64),
            "size": -changed["length_m"].astype(np.float64).fillna(0.0).to_numpy(),
            "scene": changed["scene"].to_numpy(),
            "detection": changed["new_detection"].fillna(changed["old_detection"]).to_numpy(),
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable").index.to_numpy()
    order = order[_wanted(changed).to_numpy(np.bool_)[order]]
    queue = changed.iloc[order].reset_index(drop=True)
    queue.insert(0, "effect", [EFFECTS[i] for i in effect[order]])
    queue.insert(0, "rank", np.arange(1, len(queue) + 1))
    return queue


def _effects(changed: gpd.GeoDataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    kind = changed["kind"]
    covered = changed["apart"] <= 1 - SAME_COURSE
    cases = [
        changed["review"].isin(CONTRADICTIONS),
        (kind == "lost") & ~covered & (changed["old_score"] >= SURE),
        (kind == "gained") & ~covered & (changed["new_score"] >= SURE),
        kind == "moved",
        covered,
        kind == "lost",
        kind == "gained",
    ]
    last = len(EFFECTS) - 1
    return np.select([case.to_numpy(np.bool_) for case in cases], range(last), default=last).astype(np.int64)


def _wanted(changed: gpd.GeoDataFrame) -> pd.Series:
    """What nobody has spoken of yet, or against what somebody said."""
    kind, said = changed["kind"], changed["review"]
    settled = ((kind == "lost") & (said == REJECTED)) | ((kind == "gained") & (said == ACCEPTED))
    settled |= (said == STILL) | ((kind == "kept") & said.isin([ACCEPTED, REJECTED]))
    wanted: pd.Series = said.isin(CONTRADICTIONS) | ~settled
    return wanted
