"""What cannot be said of a site, and why: a code with its values, and the English sentence that they make.

Other languages have a sentence of their own for each code (`pithead/report/texts`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Final, Literal

from pithead.errors import CatalogError

Code = Literal[
    "nothing_scored", "nothing_told", "no_polygon", "nowhere", "no_date", "no_place", "not_scored",
    "unreadable", "not_looked_for", "no_errors", "errors_on", "loose", "not_looked_through", "no_card",
    "min_score", "not_calibrated", "other_results",
]  # fmt: skip
TEXTS: Final[Mapping[Code, str]] = {
    "nothing_scored": "No weights have scored a scene of this site: nothing was looked for.",
    "nothing_told": "No scene of the site can be told of.",
    "no_polygon": "The site has no polygon: all that its scenes show is taken for it.",
    "nowhere": "Nothing says where the site is: no polygon, no scene with one.",
    "no_date": "{scene}: nobody knows when it was taken, so it has no place in time: give it a date "
    "(rescore.py --add SCENE --date DATE, or send it again with acquired).",
    "no_place": "{scene}: has no georeference, so nothing in it has a place on the ground.",
    "not_scored": "{scene}: was not scored by these weights: run inference/rescore.py.",
    "unreadable": "{scene}: its pixels could not be read: {why}",
    "not_looked_for": "{cls}: these weights do not look for it.",
    "no_errors": "{cls}: the card of the weights has no measured errors, so its figures are raw, without "
    "intervals, and nothing is said to be absent; measure them with training/evaluate.py.",
    "errors_on": "{cls}: errors measured on {on}; elsewhere they may be larger.",
    "loose": "Where these lie is known to 5 m only, nothing in them matched: {scenes}.",
    "not_looked_through": "Not looked through for cloud, haze and snow, which may hide things there: "
    "{scenes}.",
    "no_card": "No file of the weights {weights} was found, and so no card with errors: name it with "
    "--weights.",
    "min_score": "Scored with --min-score, but the errors on the card are those at its own thresholds: not "
    "used.",
    "not_calibrated": "The weights {weights} are not calibrated: scores are no probabilities.",
    "other_results": "Told by {weights}, options {options}; {count} other results not used.",
}


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that cannot be said; `str` of it is the English sentence.

    Raises:
        CatalogError: The code is unknown, or its sentence needs other values.
    """

    code: Code
    values: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check that the sentence can be made."""
        if self.code not in TEXTS:
            raise CatalogError(f"expected the code of a note ({', '.join(TEXTS)}), got {self.code!r}")
        needed = {name for _, name, _, _ in Formatter().parse(TEXTS[self.code]) if name}
        if needed != set(self.values):
            raise CatalogError(f"expected values {sorted(needed)} of the note {self.code}, got {self.values}")

    @property
    def text(self) -> str:
        """The sentence in English."""
        return TEXTS[self.code].format(**self.values)

    def __str__(self) -> str:
        """The sentence in English."""
        return self.text
