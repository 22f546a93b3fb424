"""A comparison in sentences: what was compared, how it was counted, what became of each object."""

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import pandas as pd

from pithead.changes import pairs
from pithead.changes.difference import Comparison
from pithead.changes.side import Side

Change = Mapping[str, Any] | pd.Series
"""A row of `Comparison.changed`."""

RULES = (
    (
        "Metres are those of an azimuthal equidistant projection (WGS 84) round the whole degree nearest to "
        "the scene; of a scene without georeference, its pixels times their size."
    ),
    (
        "Boxes of one class and scene are paired one to one: first those with an IoU of "
        f"{pairs.SAME_IOU} or more, then those with an IoU of {pairs.LEAST} or more or centres within "
        f"{pairs.NEAR_M:g} m. A pair has moved if its IoU is under {pairs.SAME_IOU} or its centre is more "
        f"than {pairs.SHIFT_M:g} m off, else it was kept."
    ),
    (
        "Perimeters are paired one to one by the share of both that runs within "
        f"{pairs.BUFFER_M:g} m of the other: a pair shares {pairs.LEAST} or more, and has moved under "
        f"{pairs.SAME_COURSE}. Metres are lost or gained where no line of the other side runs within that "
        "distance."
    ),
    (
        "A thing that a person accepted, relabelled or redrew is given by weights if it pairs with a "
        "detection of the class that the person named; a perimeter, if half of it or more runs along any. "
        "What was relabelled is also rejected as what it was."
    ),
    "Scores are compared as they are; they are probabilities where the weights are calibrated.",
)
"""How it is counted, whatever is compared."""


def sides(comparison: Comparison) -> str:
    """Which weights are the old ones and which the new ones, and which of them came first."""
    old, new = comparison.old, comparison.new
    told = f"Old: {old.told}{_since(old)}. New: {new.told}{_since(new)}."
    if old.weights_sha256 == new.weights_sha256:
        return f"{told} These are the same weights, run with other options."
    if old.turn is not None and new.turn is not None and new.turn < old.turn:
        return f"{told} The new ones came to the archive before the old ones."
    return told


def _since(side: Side) -> str:
    return "" if side.since is None else f", in the archive since {side.since[:19].replace('T', ' ')} UTC"


def about(numbers: Mapping[str, Any], queue: gpd.GeoDataFrame) -> str:
    """What was compared, what became of it, and what of that is to be looked at."""
    told = numbers["all"]
    lone = told["scenes_only_old"], told["scenes_only_new"]
    more = f" {lone[0]} scenes only of the old and {lone[1]} only of the new weights." if any(lone) else ""
    other = "" if told["km2"] == told["km2_old"] else f" (the old weights looked at {told['km2_old']:.2f})"
    return (
        f"{told['scenes']} scenes scored by both, {told['km2']:.2f} km²{other}: {told['kept']} objects kept, "
        f"{told['moved']} moved, {told['lost']} lost, {told['gained']} gained.{more} {_to_look_at(queue)}"
    )


def _to_look_at(queue: gpd.GeoDataFrame) -> str:
    """How much is in the queue, in parts that add up."""
    kept, scored = queue["kind"] == "kept", queue["effect"] == "other score"
    parts = {
        **{kind: int((queue["kind"] == kind).sum()) for kind in ("moved", "lost", "gained")},
        "kept but with another score": int((kept & scored).sum()),
        "kept against a review": int((kept & ~scored).sum()),
    }
    told = " + ".join(f"{count} {name}" for name, count in parts.items() if count)
    return f"To be looked at: {len(queue)}{f' = {told}' if told else ''}."


def words(change: Change) -> str:
    """What became of one object, in one sentence."""
    kind = change["kind"]
    if kind in ("lost", "gained"):
        score = change["old_score" if kind == "lost" else "new_score"]
        told = [f"{kind}, score {score:.2f}"]
    else:
        told = [f"{kind}, score {change['old_score']:.2f} → {change['new_score']:.2f}"]
    if kind in ("lost", "gained") and change["apart"] < 1:
        told += [f"others cover {1 - change['apart']:.0%} of it"]
    if kind == "moved":
        told += [f"IoU {change['overlap']:.2f}"] if not change["line"] else []
        told += [f"centre {change['shift_m']:.1f} m off"] if not change["line"] else []
    if change["line"]:
        told += [f"{change['lost_m']:.0f} m lost"] if change["lost_m"] else []
        told += [f"{change['gained_m']:.0f} m gained"] if change["gained_m"] else []
    return "; ".join(told + ([f"a person: {change['review']}"] if isinstance(change["review"], str) else []))


def size(change: Change, side: str = "") -> str:
    """How large one object is, or was on the side "old_"."""
    length, width = change[f"{side}length_m"], change[f"{side}width_m"]
    return f"{length:.0f} m" if change["line"] or pd.isna(width) else f"{length:.0f} × {width:.0f} m"


def rules(comparison: Comparison) -> list[str]:
    """How it was counted, in sentences."""
    old, new = comparison.old, comparison.new
    told = [
        *RULES,
        f"Options of the old runs: {_plain(old.options)}. Options of the new runs: {_plain(new.options)}.",
    ]
    if old.options_sha256 != new.options_sha256:
        told.append("The options differ: part of the changes may come of them and not of the weights.")
    for name in sorted(old.classes ^ new.classes):
        side = "old" if name in old.classes else "new"
        count = comparison.left_out.get(name, 0)
        told.append(f"Only the {side} weights look for {name} ({count} found): it is not compared.")
    if comparison.unheard:
        told.append(f"{comparison.unheard} things were said of scenes that are not compared.")
    return told


def _plain(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items()) if value) or "none"
