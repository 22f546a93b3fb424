"""How the scenes of an archive are scored: what changes the result, and is part of a result's name."""

from dataclasses import asdict, dataclass

from pithead.errors import OptionError
from pithead.imagery import StretchRule, parse_stretch
from pithead.scan import Way
from pithead.store import options_sha256

RULES = 1
"""Raised when scene, weights and options give another result than before: then all is scored again."""


@dataclass(frozen=True, slots=True)
class Options:
    """What of a scan changes what is found; workers, threads and batch do not, so they are not here."""

    overlap_px: int = 128
    skip_plain: bool = False
    stretch: str | None = None
    """As in `parse_stretch`; None for the rule of `open_scene`."""
    classes: tuple[str, ...] = ()
    """Only these; empty for all."""
    min_score: float | None = None
    """Instead of the card's threshold of each class."""
    rules: int = RULES

    def __post_init__(self) -> None:
        """Refuse what cannot be, and bring what means the same into one form.

        Raises:
            OptionError: A stretch that is none, or a score that is not within 0 and 1.
        """
        if self.stretch is not None:
            parse_stretch(self.stretch)
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise OptionError(f"expected a lowest score of 0 to 1, got {self.min_score}")
        object.__setattr__(self, "classes", tuple(sorted(set(self.classes))))

    @property
    def table(self) -> dict[str, object]:
        """The options as they stand in a record."""
        return {**asdict(self), "classes": list(self.classes)}

    @property
    def sha256(self) -> str:
        """The name of these options."""
        return options_sha256(self.table)

    @property
    def rule(self) -> StretchRule | None:
        """The stretch as `open_scene` takes it."""
        return None if self.stretch is None else parse_stretch(self.stretch)

    def way(self, batch: int) -> Way:
        """How to go through a scene with a detector of that batch."""
        return Way(overlap_px=self.overlap_px, batch=max(4, batch), skip_plain=self.skip_plain)
