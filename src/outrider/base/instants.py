"""Instants that others give us: read, bounded, and written as a number. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

from outrider.base.errors import CallerError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROS_MAX: Final = 2**55  # Year 3111.
_MICROSECOND: Final = timedelta(microseconds=1)


def aware(at: datetime, field: str) -> datetime:
    """Return the same instant in UTC. Raises CallerError for `field`: it has no time zone, or no calendar has it."""
    if at.tzinfo is None:
        raise CallerError("An instant has a time zone: 2026-12-24T08:00:00Z.", field=field)
    try:
        return at.astimezone(UTC)
    except OverflowError as error:  # In UTC it is in the year 0 or 10000.
        raise CallerError("That instant is beyond all calendars.", field=field) from error


def micros(at: datetime) -> int:
    """Return the microseconds since 1970; 0 for what is older."""
    return max(0, (at - EPOCH) // _MICROSECOND)


def of_micros(since_epoch: int) -> datetime:
    """Return the instant so many microseconds after 1970; at most `MICROS_MAX`."""
    return EPOCH + since_epoch * _MICROSECOND
