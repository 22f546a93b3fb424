"""Signs that are made of several things near each other: rules, and on which dates they hold.

A rule is a table of a TOML file which a person has written, signed and dated:

    [working_mine]
    subject = "mine_head"
    near = ["coal_heap"]
    within_m = 300
    means = "…"
    author = "…"
    date = "2026-11-25"
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pithead.errors import OptionError
from pithead.sites.tracks import Track
from pithead.sites.view import Reason, View

LIKELY = 0.5
"""A thing counts for a sign where it is seen and at least as likely there as not."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`subject` within `within_m` of each of `near`, as a person has written and signed it."""

    name: str
    subject: str
    """A class."""
    near: tuple[str, ...]
    """Classes."""
    within_m: float
    means: str
    """What it is held to be a sign of, in one sentence."""
    author: str
    date: str

    def __post_init__(self) -> None:
        """Check that it says what it must.

        Raises:
            OptionError: It does not.
        """
        words = (self.name, self.subject, self.means, self.author, self.date, *self.near)
        if not all(isinstance(word, str) and word for word in words) or not self.near:
            raise OptionError(
                f"expected a rule with subject, near, within_m, means, author and date, got {self}"
            )
        if not isinstance(self.within_m, int | float) or not 0 < self.within_m < 10_000:
            raise OptionError(f"rule {self.name}: expected within_m up to 10 km, got {self.within_m!r}")


@dataclass(frozen=True, slots=True)
class Sign:
    """Whether a rule holds on a date: True, False, or None where it cannot be said, with the reason."""

    rule: str
    view: int
    holds: bool | None
    reason: Reason | None
    parts: tuple[str, ...]
    """The ids of the tracks of which it is made."""
    checked: bool = False
    """Whether a person has confirmed all of its parts on that date."""


def read_rules(path: str | Path) -> tuple[Rule, ...]:
    """The rules of a TOML file, in its order.

    Raises:
        OptionError: There is no such file, or a rule lacks something, or says what no rule says.
    """
    try:
        tables = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"expected a TOML file of rules at {path}: {error}") from error
    return tuple(_rule(str(path), name, table) for name, table in tables.items())


def _rule(where: str, name: str, table: object) -> Rule:
    keys = {"subject", "near", "within_m", "means", "author", "date"}
    if not isinstance(table, Mapping) or set(table) != keys or not isinstance(table["near"], list):
        told = sorted(table) if isinstance(table, Mapping) else type(table).__name__
        raise OptionError(f"{where}, {name}: expected a rule of {sorted(keys)}, near a list; got {told}")
    day = table["date"]
    return Rule(
        name, table["subject"], tuple(table["near"]), table["within_m"], table["means"], table["author"],
        day.isoformat() if isinstance(day, date) else day,
    )  # fmt: skip


def signs_of(rules: Sequence[Rule], tracks: Sequence[Track], views: Sequence[View]) -> tuple[Sign, ...]:
    """Of each rule whether it holds in each view.

    It holds where a subject was seen with one of each of the others near enough on the same date. It does
    not hold only where nothing that could make it hold is not observable: no track of its classes is
    hidden, or may have been missed, near enough to the others, and a part of the site that can hold one is
    not hidden.
    """
    return tuple(_sign(rule, number, tracks, view) for rule in rules for number, view in enumerate(views))


def _sign(rule: Rule, number: int, tracks: Sequence[Track], view: View) -> Sign:
    seen = [t for t in tracks if _seen(t, number)]
    found = _parts(rule, seen)
    if found:
        return Sign(rule.name, number, True, None, tuple(t.id for t in found), _checked(found, number, view))  # noqa: FBT003
    doubtful = [t for t in tracks if t.states[number].kind != "absent"]
    might = _parts(rule, doubtful)
    if might:
        return Sign(rule.name, number, None, _why(might, number), tuple(t.id for t in might))
    if not any(view.of(rule.subject, *rule.near)) and view.looked.is_empty:
        return Sign(rule.name, number, None, "nothing", ())
    if view.hidden:
        largest = max(view.hidden, key=lambda one: one[0].area)
        if largest[0].intersection(view.looked).area > 0.1 * view.looked.area:
            return Sign(rule.name, number, None, largest[1], ())
    return Sign(rule.name, number, False, None, ())  # noqa: FBT003


def _why(might: Sequence[Track], number: int) -> Reason:
    """The reason of the first of the parts that is not observable."""
    reasons = [t.states[number].reason for t in might]
    return next((reason for reason in reasons if reason is not None), "may_be_missed")


def _seen(track: Track, number: int) -> bool:
    """Whether a track was seen in a view and is not more likely a false alarm."""
    state = track.states[number]
    return state.kind == "present" and (state.p is None or state.p >= LIKELY)


def _parts(rule: Rule, tracks: Sequence[Track]) -> list[Track]:
    """The first subject that has one of each class near it, with the nearest of these; else none."""
    for subject in (t for t in tracks if t.cls == rule.subject):
        found = [subject]
        for cls in rule.near:
            others = [
                (subject.shape.distance(t.shape), t.id, t)
                for t in tracks
                if t.cls == cls and t is not subject
            ]
            if others and min(others)[0] <= rule.within_m:
                found.append(min(others)[2])
        if len(found) == len(rule.near) + 1:
            return found
    return []


def _checked(found: Sequence[Track], number: int, view: View) -> bool:
    """Whether a person has confirmed every detection of the parts on that date."""
    said = {one.detection: one.checked for one in view.sightings}
    return all(said.get(name, False) for track in found for name in track.sightings[number])
