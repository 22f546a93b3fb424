"""What was matched, as tables: one row for each object of either side, and one for each thing said."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pithead.changes.matching import PAIRED, Heard, Rows
from pithead.changes.pairs import Ints

ACCEPTED_LOST, REJECTED_BACK = "accepted, and lost", "rejected, and back"
CONTRADICTIONS = (ACCEPTED_LOST, REJECTED_BACK)
"""Where the old weights agreed with a person and the new ones do not."""
ACCEPTED, REJECTED, STILL = "accepted", "rejected", "rejected, and still there"

OBJECTS = {
    "kind": "object", "class": "object", "site": "object", "line": "bool", "old_score": "float64",
    "new_score": "float64", "score_change": "float64", "apart": "float64", "old_m": "float64",
    "lost_m": "float64", "new_m": "float64", "gained_m": "float64",
}  # fmt: skip
"""What is kept of every object: its kind (kept, moved, lost, gained), scores, of a lost or gained one the
share outside of all objects of the other side (`apart`), and of lines the metres."""

CHANGED = {
    **OBJECTS, "scene": "object", "scene_sha256": "object", "frame": "object", "old_detection": "object",
    "new_detection": "object", "overlap": "float64", "shift_m": "float64", "length_m": "float64",
    "width_m": "float64", "area_m2": "float64", "old_length_m": "float64", "old_width_m": "float64",
    "old_area_m2": "float64", "review": "object",
}  # fmt: skip
"""What is kept of one that changed, beside `geometry` and `old_geometry`. Sizes and geometry are of now, or
of before if it is lost."""

REVIEWS = {
    "scene": "object", "scene_sha256": "object", "site": "object", "class": "object", "there": "bool",
    "decision": "object", "reviewer": "object", "note": "object", "detection": "object",
    "old_detection": "object", "new_detection": "object", "by_old": "bool", "by_new": "bool",
    "frame": "object",
}  # fmt: skip
"""What was said, and whether either side has found it; beside its `geometry`."""


def changes_of(
    old: Rows, new: Rows, pairs: Sequence[npt.NDArray[np.void]], heard: Sequence[Heard]
) -> pd.DataFrame:
    """All objects of some scenes with the columns of `CHANGED` and their shapes."""
    table = np.concatenate([np.zeros(0, PAIRED), *pairs])
    a, b = table["old"], table["new"]
    both = np.where(table["moved"], "moved", "kept")
    columns: dict[str, object] = {
        "kind": np.where((a >= 0) & (b >= 0), both, np.where(a >= 0, "lost", "gained")),
        **{name: table[name] for name in PAIRED.names or () if name in CHANGED},
        "review": _words(a, b, heard),
    }
    for name in ("score", "detection"):
        columns[f"old_{name}"], columns[f"new_{name}"] = _of(old, a, name), _of(new, b, name)
    for name in ("length_m", "width_m", "area_m2"):
        columns[f"old_{name}"] = _of(old, a, name)
    for name in ("class", "site", "scene", "scene_sha256", "frame", "length_m", "width_m", "area_m2"):
        columns[name] = np.where(b >= 0, _of(new, b, name), _of(old, a, name))
    columns["score_change"] = np.nan
    frame = pd.DataFrame({name: columns[name] for name in CHANGED}).astype(CHANGED)
    frame["score_change"] = (frame["new_score"] - frame["old_score"]).round(4)
    was, now = _of(old, a, "geometry"), _of(new, b, "geometry")
    frame["geometry"] = pd.Series(list(np.where(b >= 0, now, was)), dtype=object)
    frame["old_geometry"] = pd.Series(list(was), dtype=object)
    return frame


def reviews_of(old: Rows, new: Rows, heard: Sequence[Heard]) -> pd.DataFrame:
    """What was said of some scenes, with the columns of `REVIEWS` and its place."""
    rows = [
        (
            one.scored.scene, one.said.scene_sha256, _site(old, new, one), one.said.class_name,
            one.said.there, one.said.decision, one.said.reviewer, one.said.note, one.said.detection,
            _at(old, one.old, "detection"), _at(new, one.new, "detection"), one.old >= 0, one.new >= 0,
            one.said.frame, one.said.shape,
        )
        for one in heard
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*REVIEWS, "geometry"], dtype=object).astype(REVIEWS)


def _site(old: Rows, new: Rows, one: Heard) -> object:
    """Where what was spoken of is; of what neither side gives, the scene's site if it has only one."""
    if one.old < 0 and one.new < 0:
        return one.scored.sites[0] if len(one.scored.sites) == 1 else None
    return _at(new, one.new, "site") if one.new >= 0 else _at(old, one.old, "site")


def _at(rows: Rows, row: int, name: str) -> object:
    value = None if row < 0 else rows.frame[name].iloc[row]
    return None if pd.isna(value) else value


def joined(
    frames: Sequence[pd.DataFrame], columns: Mapping[str, str], shapes: Sequence[str] = ()
) -> pd.DataFrame:
    """Frames one under the other; without any, an empty one of these columns and shapes."""
    some = [frame for frame in frames if len(frame)]
    if some:
        return pd.concat(some, ignore_index=True).astype(dict(columns))
    empty = {**columns, **dict.fromkeys(shapes, "object")}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in empty.items()})


def _of(rows: Rows, at: Ints, name: str) -> npt.NDArray[np.object_]:
    """A column in the order of the rows asked for; nothing where -1 stands."""
    out = np.full(len(at), None, dtype=object)
    values = rows.shapes
    if name != "geometry":
        column = rows.frame[name].astype(object)
        values = column.where(column.notna(), None).to_numpy(object)
    out[at >= 0] = values[at[at >= 0]]
    return out


def _words(a: Ints, b: Ints, heard: Sequence[Heard]) -> npt.NDArray[np.object_]:
    """What was said of each object; a contradiction is told before anything else that was."""
    out = np.full(len(a), None, dtype=object)
    row_of = [{int(p): k for k, p in enumerate(side) if p >= 0} for side in (a, b)]
    told = [(_word(one), one) for one in heard]
    for word, one in sorted(told, key=lambda some: some[0] in CONTRADICTIONS):
        spoken_of = [row_of[k][p] for k, p in enumerate((one.old, one.new)) if p >= 0]
        out[spoken_of] = word
    return out


def _word(one: Heard) -> str:
    if one.said.there:
        return ACCEPTED_LOST if one.old >= 0 and one.new < 0 else ACCEPTED
    if one.new < 0:
        return REJECTED
    return REJECTED_BACK if one.old < 0 else STILL
