"""What a comparison comes to in numbers: for all, for each class, for each site and class.

What cannot be measured (no object, nobody has reviewed anything) is None, never 0 or 1.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pithead.changes.difference import SCORE_STEP, Comparison, rescored
from pithead.changes.pairs import SAME_COURSE
from pithead.changes.side import Scored

Row = dict[str, float | int | None]

FIGURES = {
    "old": "objects that the old weights give",
    "new": "objects that the new weights give",
    "kept": "given by both in the same place",
    "moved": "given by both, in another place or with another outline",
    "lost": "given by the old weights only",
    "gained": "given by the new weights only",
    "lost_covered": "of lost, those on whose ground the new weights give others: joined, split or doubled",
    "gained_covered": "of gained, those on whose ground the old weights gave others",
    "kept_share": "kept / old",
    "moved_share": "moved / old",
    "lost_share": "lost / old",
    "gained_share": "gained / new",
    "score_changed": f"kept or moved, with a score that differs by {SCORE_STEP} or more",
    "score_change_median": "median of the new score less the old one, of kept and moved",
    "score_change_mean_abs": "mean size of that difference",
    "old_m": "metres of perimeters that the old weights give",
    "new_m": "metres of perimeters that the new weights give",
    "kept_m": "of old_m, what runs along a new perimeter",
    "lost_m": "of old_m, what does not",
    "gained_m": "of new_m, what runs along no old perimeter",
    "kept_m_share": "kept_m / old_m",
    "gained_m_share": "gained_m / new_m",
    "accepted": "things that a person says are there",
    "accepted_lost": "of these, not given by the new weights; unknown where nothing was accepted",
    "recall_on_accepted": "share of accepted that the new weights give",
    "recall_on_accepted_old": "share of accepted that the old weights give",
    "rejected": "things that a person says are not there",
    "rejected_back": "of these, given by the new weights; unknown where nothing was rejected",
    "rejected_back_rate": "share of rejected that the new weights give",
    "rejected_back_rate_old": "share of rejected that the old weights give",
}
"""Every figure of a class or a site by its name, and what it is."""

OF_ALL = {
    "scenes": "scenes that both weights have scored",
    "km2": "km² of them that the new weights looked at",
    "km2_old": "km² of them that the old weights looked at",
    "scenes_only_old": "scenes that only the old weights have scored",
    "scenes_only_new": "scenes that only the new weights have scored",
    "left_out": "detections of classes that only one side looks for",
    "reviews_elsewhere": "things that people said of scenes that are not compared",
}
"""The same of all together."""
_EVER = ("scenes", "scenes_only_old", "scenes_only_new", "reviews_elsewhere")
"""What can be told even where no scene was scored by both."""


def figures(comparison: Comparison) -> dict[str, Any]:
    """All numbers: `all`, `classes` by name, and `sites` by name, each of them with `all` and `classes`."""
    objects, reviews = comparison.objects, comparison.reviews
    both = comparison.both
    old, new = comparison.old.scenes, comparison.new.scenes
    head: Row = {
        "scenes": len(both),
        "km2": _km2([new[sha] for sha in both]),
        "km2_old": _km2([old[sha] for sha in both]),
        "scenes_only_old": len(comparison.only_old),
        "scenes_only_new": len(comparison.only_new),
        "left_out": sum(comparison.left_out.values()),
        "reviews_elsewhere": comparison.unheard,
    }
    known = comparison.old.classes & comparison.new.classes
    return {
        "all": head | _row(objects, reviews),
        "classes": _classes(objects, reviews, sorted(known | set(reviews["class"])), known),
        "sites": _sites(comparison),
    }


def names(told: Mapping[str, Any]) -> dict[str, float | None]:
    """Every figure of `figures` by the name that a gate has for it: `lost`, of a class `lost.mine_head`.

    Where no scene was scored by both nothing is known: that nothing was lost is no reason to trust weights.
    """
    flat = dict(told["all"])
    for name, row in told["classes"].items():
        flat |= {f"{figure}.{name}": value for figure, value in row.items()}
    if not flat["scenes"]:
        flat = {name: value if name in _EVER else None for name, value in flat.items()}
    return flat


def _sites(comparison: Comparison) -> dict[str, Any]:
    """By site; what is at no site stands under ""."""
    objects, reviews = comparison.objects, comparison.reviews
    known = comparison.old.classes & comparison.new.classes
    scored: dict[str, list[Scored]] = {}
    for sha in comparison.both:
        one = comparison.new.scenes[sha]
        for site in one.sites or ("",):
            scored.setdefault(site, []).append(one)
    of_object, of_review = objects["site"].fillna(""), reviews["site"].fillna("")
    by_site = objects.groupby(of_object).indices
    told: dict[str, Any] = {}
    for site in sorted({*scored, *of_object, *of_review}):
        mine = objects.iloc[by_site.get(site, [])]
        heard = reviews[of_review == site]
        some = scored.get(site, [])
        told[site] = {
            "scenes": len(some),
            "km2": _km2(some),
            "all": _row(mine, heard),
            "classes": _classes(mine, heard, sorted({*mine["class"], *heard["class"]}), known),
        }
    return told


def _classes(
    objects: pd.DataFrame, reviews: pd.DataFrame, classes: list[str], known: frozenset[str]
) -> dict[str, Row]:
    """By class; of one that only one side looks for, what people said is told and nothing else."""
    rows: dict[str, Row] = {}
    for name in classes:
        heard = _heard(reviews[reviews["class"] == name])
        row = _row(objects[objects["class"] == name], reviews[reviews["class"] == name])
        rows[name] = row if name in known else {figure: heard.get(figure) for figure in row}
    return rows


def _row(objects: pd.DataFrame, reviews: pd.DataFrame) -> Row:
    kinds = objects["kind"].value_counts()
    kept, moved, lost, gained = (int(kinds.get(kind, 0)) for kind in ("kept", "moved", "lost", "gained"))
    old, new = kept + moved + lost, kept + moved + gained
    change = objects["score_change"].dropna()
    row: Row = {"old": old, "new": new, "kept": kept, "moved": moved, "lost": lost, "gained": gained}
    covered = objects["apart"] <= 1 - SAME_COURSE
    row |= {
        "lost_covered": int((covered & (objects["kind"] == "lost")).sum()),
        "gained_covered": int((covered & (objects["kind"] == "gained")).sum()),
        "kept_share": _share(kept, old),
        "moved_share": _share(moved, old),
        "lost_share": _share(lost, old),
        "gained_share": _share(gained, new),
        "score_changed": int(rescored(change).sum()),
        "score_change_median": _round(change.median()) if len(change) else None,
        "score_change_mean_abs": _round(change.abs().mean()) if len(change) else None,
    }
    return row | _metres(objects) | _heard(reviews)


def _metres(objects: pd.DataFrame) -> Row:
    old, lost, new, gained = (
        round(float(objects[name].sum()), 1) for name in ("old_m", "lost_m", "new_m", "gained_m")
    )
    return {
        "old_m": old,
        "new_m": new,
        "kept_m": round(old - lost, 1),
        "lost_m": lost,
        "gained_m": gained,
        "kept_m_share": _share(old - lost, old),
        "gained_m_share": _share(gained, new),
    }


def _heard(reviews: pd.DataFrame) -> Row:
    there = reviews["there"].astype(bool)
    accepted, rejected = reviews[there], reviews[~there]
    return {
        "accepted": len(accepted),
        "accepted_lost": int((~accepted["by_new"]).sum()) if len(accepted) else None,
        "recall_on_accepted": _share(int(accepted["by_new"].sum()), len(accepted)),
        "recall_on_accepted_old": _share(int(accepted["by_old"].sum()), len(accepted)),
        "rejected": len(rejected),
        "rejected_back": int(rejected["by_new"].sum()) if len(rejected) else None,
        "rejected_back_rate": _share(int(rejected["by_new"].sum()), len(rejected)),
        "rejected_back_rate_old": _share(int(rejected["by_old"].sum()), len(rejected)),
    }


def _km2(scenes: list[Scored]) -> float:
    return round(sum(one.km2 for one in scenes), 4)


def _share(part: float, whole: float) -> float | None:
    # Not rounded: a gate asks for 0.98, and 0.97996 is less.
    return part / whole if whole > 0 else None


def _round(value: float) -> float:
    return round(float(value), 4)
