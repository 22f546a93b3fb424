"""The workers of a run, wherever they are: tasks are given to them, outcomes taken from them."""

from collections.abc import Sequence
from typing import Protocol

from pithead.rescore.task import Outcome, Task


class Crew(Protocol):
    """Workers of this machine (`local.LocalCrew`) or of a cluster (`cluster.RayCrew`)."""

    @property
    def workers(self) -> int:
        """How many workers there are now, also those that are only starting."""

    @property
    def free(self) -> int:
        """How many tasks can be given now: nothing is ever queued at a worker."""

    def give(self, task: Task) -> None:
        """Give a task to a free worker."""

    def take(self, timeout_s: float) -> Sequence[tuple[Task, Outcome]]:
        """Every task that has ended, waiting at most so long for one; a dead worker's task is `lost`.

        Raises:
            PitheadError: No worker can be started.
        """

    def close(self) -> None:
        """End every worker; what they are doing is lost, and done again in the next run."""
