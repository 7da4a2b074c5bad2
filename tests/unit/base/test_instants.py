"""Instants that others give us."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import instants
from outrider.base.errors import CallerError


def test_another_zone_is_the_same_instant() -> None:
    there = datetime(2026, 12, 24, 9, tzinfo=timezone(timedelta(hours=1)))
    at = instants.aware(there, "since")
    assert (at, at.tzinfo) == (datetime(2026, 12, 24, 8, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 12, 24),  # noqa: DTZ001 - it is to be refused.
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_what_is_no_instant_is_refused_by_name(at: datetime) -> None:
    with pytest.raises(CallerError) as caught:
        instants.aware(at, "since")
    assert caught.value.field == "since"


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(3000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_number_and_back(at: datetime) -> None:
    assert instants.of_micros(instants.micros(at)) == at


def test_before_1970_is_1970() -> None:
    assert instants.micros(datetime(1900, 1, 1, tzinfo=UTC)) == 0
