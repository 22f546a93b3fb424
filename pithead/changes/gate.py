"""Conditions for taking new weights into use: `recall_on_accepted >= 0.98`.

A condition is the name of a figure, one of < <= > >= == and a number; nothing of it is ever run as code.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pithead.changes.figures import FIGURES, OF_ALL
from pithead.errors import OptionError

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_FORM = re.compile(
    r"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(<=|>=|==|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
)
_EXAMPLE = '"recall_on_accepted >= 0.98"'


@dataclass(frozen=True, slots=True)
class Requirement:
    """That a figure stands in a relation to a number."""

    name: str
    """A figure, or of a class: `recall_on_accepted.mine_head`."""
    relation: str
    number: float

    @classmethod
    def read(cls, text: str) -> "Requirement":
        """Read one from a command line.

        Raises:
            OptionError: It has another form, or no such figure exists.
        """
        parts = _FORM.fullmatch(text)
        if parts is None or not math.isfinite(float(parts[3])):
            raise OptionError(
                f"expected a condition of the form {_EXAMPLE} (a figure, one of {' '.join(OPERATORS)}, a "
                f"number), got {text!r}"
            )
        figure, dot, name = parts[1].partition(".")
        if figure not in FIGURES and (dot or figure not in OF_ALL):
            known = ", ".join([*FIGURES, *OF_ALL])
            raise OptionError(
                f"expected one of these figures, each but the last {len(OF_ALL)} also of one class as "
                f"{figure if figure in FIGURES else 'recall_on_accepted'}.CLASS: {known}; got {parts[1]!r}"
            )
        return cls(figure + dot + name, parts[2], float(parts[3]))

    @property
    def told(self) -> str:
        """The condition in its plain form."""
        return f"{self.name} {self.relation} {self.number:g}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A condition, what the figure is, and whether it holds; a figure that nobody can tell never does."""

    requirement: Requirement
    value: float | None
    met: bool
    why: str = ""
    """Why it cannot be told, if so."""

    @property
    def told(self) -> str:
        """One line for a person."""
        if self.value is None:
            reason = "cannot be told: " + self.why
        else:
            reason = f"is {self.value:g}" if self.value == round(self.value, 4) else f"is {self.value:.6f}"
        return f"{'met' if self.met else 'NOT MET'}: {self.requirement.told} ({reason})"


def judge(requirements: Sequence[Requirement], values: Mapping[str, float | None]) -> tuple[Judged, ...]:
    """Hold figures against conditions, in their order.

    Args:
        requirements: Conditions.
        values: What `figures.names` gives.

    Raises:
        OptionError: A condition is about a class that neither side knows.
    """
    judged = []
    for one in requirements:
        if one.name not in values:
            classes = sorted({name.partition(".")[2] for name in values} - {""})
            raise OptionError(
                f"expected a class that both weights look for ({', '.join(classes) or 'there is none'}), got "
                f"{one.name!r}"
            )
        value = values[one.name]
        met = value is not None and OPERATORS[one.relation](value, one.number)
        judged.append(Judged(one, value, met, "" if value is not None else _missing(one.name, values)))
    return tuple(judged)


def _missing(name: str, values: Mapping[str, float | None]) -> str:
    figure, dot, of = name.partition(".")
    if not values["scenes"]:
        return "no scene was scored by both"
    if "accepted" in figure or "rejected" in figure:
        return "nobody has reviewed any such thing in the scenes that both have scored"
    if dot and values[f"lost.{of}"] is None:
        return f"only one side looks for {of}"
    return "there is no object that it could be measured on"
