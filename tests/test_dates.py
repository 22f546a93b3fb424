"""Dates are read as people and vendors write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pithead.dates import date_of, parse_time
from pithead.errors import OptionError


@given(st.datetimes(min_value=datetime(1960, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_times_are_utc_unless_they_say_otherwise(moment: datetime) -> None:
    text = moment.isoformat()
    for written in (text, f"{text}Z", f"{text} UTC", f"{text}+00:00"):
        assert parse_time(written) == moment.replace(tzinfo=UTC)
    assert parse_time(f"{text}+09:00") == moment.replace(tzinfo=UTC) - timedelta(hours=9)


@pytest.mark.parametrize("text", ["", None, "today", "2019-13-01", "0001-01-01T00:00:00+05:00"])
def test_what_is_no_time(text: str | None) -> None:
    assert parse_time(text) is None


def test_a_date_that_a_user_gives() -> None:
    assert date_of("2019-03-12") == datetime(2019, 3, 12, tzinfo=UTC)
    assert date_of("2019-03-12T04:05:00+09:00") == datetime(2019, 3, 11, 19, 5, tzinfo=UTC)
    with pytest.raises(OptionError, match=r"expected a date such as 2019-03-12 .*12\.03\.2019"):
        date_of("12.03.2019")
