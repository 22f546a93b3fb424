"""Dates and times as people, vendors and files write them (ISO 8601), always with their zone."""

from datetime import UTC, datetime

from pithead.errors import OptionError


def parse_time(text: str | None) -> datetime | None:
    """A time, in UTC where no zone stands; None if it is no time, or in UTC outside of the calendar."""
    try:
        taken = datetime.fromisoformat((text or "").strip().replace(" UTC", "+00:00"))
        return taken.replace(tzinfo=UTC) if taken.tzinfo is None else taken.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def date_of(text: str) -> datetime:
    """A date or time that a user gives, in UTC.

    Raises:
        OptionError: It is none.
    """
    taken = parse_time(text)
    if taken is None:
        raise OptionError(f"expected a date such as 2019-03-12 or 2019-03-12T04:05:00Z, got {text!r}")
    return taken
