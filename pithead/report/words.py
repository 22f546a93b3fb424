"""What a dossier says, in the words of a language; the tables are `texts/*.toml`."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pithead.errors import OptionError
from pithead.sites import UNITS, Note

LANGUAGES = ("en", "ko")
_WHOLE, _THREE = frozenset({"heaps", "wagons", "mine_heads"}), frozenset({"m²", "m³", "m"})
_NUMBERED = re.compile(r"(?P<cls>\w+)-(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Words:
    """The table of one language: `words("page.map")`, and with places `words("map.scale", metres=100)`."""

    language: str
    _table: Mapping[str, Any] = field(repr=False)

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its places filled.

        Raises:
            KeyError: The table has no such key, or a place is not filled.
        """
        return str(self._found(key)).format(**values)

    def many(self, key: str) -> tuple[str, ...]:
        """The texts of a key that has several."""
        return tuple(self._found(key))

    def has(self, key: str) -> bool:
        """Whether the table has a key."""
        section, _, name = key.partition(".")
        return name in self._table.get(section, {})

    def told(self, sentence: str) -> str | None:
        """An English sentence of other parts in this language; None where the table does not know it."""
        if self.language == "en":
            return sentence
        known: str | None = self._table["told"].get(sentence)
        return known

    def note(self, note: Note) -> str:
        """What cannot be said, in this language.

        Raises:
            KeyError: The table has no sentence for its code.
        """
        if self.language == "en":
            return note.text
        return self(
            f"note.{note.code}", **{key: self._word(key, value) for key, value in note.values.items()}
        )

    def thing(self, what: str) -> str:
        """A quantity, a class, or a track ("coal_heap-3") by its name in this language; else as it is."""
        numbered = _NUMBERED.fullmatch(what)
        if numbered is not None:
            return f"{self.thing(numbered['cls'])} {numbered['number']}"
        keys = (f"quantity.{what}", f"class.{what}")
        return next((self(key) for key in keys if self.has(key)), what)

    def _found(self, key: str) -> Any:  # noqa: ANN401 (TOML)
        section, _, name = key.partition(".")
        return self._table[section][name]

    def _word(self, key: str, value: str) -> str:
        return self.thing(value) if key == "cls" else value


@lru_cache
def words_of(language: str) -> Words:
    """The words of a language.

    Raises:
        OptionError: There is no table of it.
    """
    if language not in LANGUAGES:
        raise OptionError(f"expected one of the languages {', '.join(LANGUAGES)}, got {language!r}")
    text = files("pithead.report").joinpath("texts", f"{language}.toml").read_text("utf-8")
    return Words(language, tomllib.loads(text))


def amount(value: float, unit: str, *, signed: bool = False, bare: bool = False) -> str:
    """A number with its unit, or `bare`: m, m² and m³ to three digits, km to 10 m, km² to 1000 m².

    1234.5 m² is "1,230 m²"; counts are whole, so signed 0.4 wagons are "0".
    """
    if unit in _THREE:
        rounded = float(f"{value:.3g}")
        text = f"{abs(rounded):,.0f}" if abs(rounded) >= 100 else f"{abs(rounded):,.3g}"
    else:
        text = f"{abs(value):,.{ {'km': 2, 'km²': 3}.get(unit, 0) }f}"
    zero = not text.strip("0.,")
    sign = "" if zero else "−" if value < 0 else "+" if signed else ""
    return f"{sign}{text}" if bare or not unit else f"{sign}{text} {unit}"


def unit_of(what: str, cls: str | None) -> str:
    """The unit of a change: of its quantity; of a perimeter and its spans m, of other things m²."""
    return UNITS.get(what, "m" if cls in (None, "guard_perimeter") else "m²")


def day(when: datetime) -> str:
    """The date of a time (UTC), ISO 8601."""
    return when.date().isoformat()
