"""Bodies of requests on their way: so many at once, and so many of one caller."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pithead.server.problems import Problem, unavailable


class UnderWay:
    """How many bodies are on their way; counted on the event loop alone."""

    def __init__(self, most: int, most_of_one: int) -> None:
        """Let at most so many through, and of one caller so many."""
        self._most, self._most_of_one = most, most_of_one
        self._of = Counter[str]()

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._of.total()

    @contextmanager
    def one_more(self, owner: str) -> Iterator[None]:
        """Let one of a caller through for the time of the block.

        Raises:
            Problem: 503 where there are enough, 429 where there are enough of this caller.
        """
        if self._of[owner] >= self._most_of_one:
            raise Problem(
                429,
                "",
                f"expected at most {self._most_of_one} bodies of yours on their way at once: wait for them",
                {"Retry-After": "30"},
            )
        if self._of.total() >= self._most:
            raise unavailable(
                "Busy", f"expected at most {self._most} bodies on their way at once", after_s=30
            )
        self._of[owner] += 1
        try:
            yield
        finally:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]
