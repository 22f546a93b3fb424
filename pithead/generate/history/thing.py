"""One thing at a site through time: what it looks like from which date on, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from shapely.geometry.base import BaseGeometry

from pithead.errors import DatasetError
from pithead.generate.history.forms import Form

CONFUSER = "confuser"
"""The kind of what is none of the classes and looks like one."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """What stands at a site, checked when made.

    Attributes:
        id: Its name within the history.
        cls: mine_head, coal_heap, guard_perimeter or rail_loading; of a confuser, what it is taken for.
        kind: Of a heap its fate, of the others their kind as labels have it; `confuser`.
        changes: From which time on it looks how, in order of time; None: it is not there.
        parents: Of which things it was made: the heap that was split, the heaps that were merged.
    """

    id: str
    cls: str
    kind: str
    changes: tuple[tuple[datetime, Form | None], ...]
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse changes that are out of order.

        Raises:
            DatasetError: There is none, or one does not come after the one before.
        """
        times = [time for time, _ in self.changes]
        if not times or any(later <= earlier for earlier, later in pairwise(times)):
            raise DatasetError(f"expected changes of {self.id} in order of time, got {times}")

    def form(self, when: datetime) -> Form | None:
        """What it looks like at a time; None where it is not there."""
        found: Form | None = None
        for time, form in self.changes:
            if time > when:
                break
            found = form
        return found

    def shape(self, when: datetime) -> BaseGeometry | None:
        """Its outline or line in metres of the site's frame at a time; None where it is not there."""
        form = self.form(when)
        return None if form is None else form.shape

    @property
    def first(self) -> datetime | None:
        """Since when it is there for the first time; None if it never is."""
        return next((time for time, form in self.changes if form is not None), None)

    @property
    def until(self) -> datetime | None:
        """Since when it is gone for good; None if it is there at the end."""
        gone: datetime | None = None
        for time, form in self.changes:
            gone = None if form is not None else gone or time
        return gone

    @property
    def real(self) -> bool:
        """Whether it is what it is taken for."""
        return self.kind != CONFUSER
