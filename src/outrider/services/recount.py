"""Counts figures again from the event log and compares: what was counted beside the mail is what happened.

A day at a time, up to where the counter has read (its cursor), while the counter passes its turns: so it may run at any
time, and equal means equal. Minutes and hours are compared for the days of which they are kept. Only days whose log is
whole can be counted again: a project that has forgotten some of a day is passed over, whatever it keeps today.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import instants
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.store import events, stats
from outrider.store.events import Cursor
from outrider.store.pool import Store, Tx
from outrider.store.stats import Difference

__all__ = ["Difference", "Recount", "Recounter"]  # With the record a caller meets.

DIFFERENCES_COUNT_MAX: Final = 1_000  # Ours: of a day and table; who has so many repairs the day.
DAYS_MAX: Final = 400  # Ours: as long as days are kept.
_USUAL: Final = timedelta(days=2)
_DAY: Final = timedelta(days=1)
# As long as each is kept, less the day in which they are deleted (`services.stats`).
_KEPT: Final = {"minute": timedelta(days=1), "hour": timedelta(days=61), "day": timedelta(days=DAYS_MAX - 1)}


class Recount(msgspec.Struct, frozen=True, kw_only=True):
    """What a recount found."""

    since: datetime
    until: datetime  # Not included.
    days: int
    differences: Sequence[Difference]  # At most 1,000 a day and table.
    is_repaired: bool  # What differed was replaced.


class Recounter:
    """Counts again."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def recount(
        self, since: datetime | None = None, until: datetime | None = None, *, is_repairing: bool = False
    ) -> Recount:
        """Compare the figures of whole days (UTC) with the log, of all projects.

        Args:
            since: None: the day before yesterday.
            until: the last day is that before it; None: today is the last.
            is_repairing: what differs is replaced, day and project whole.

        Raises:
            CallerError: no time at all, or more than is kept.
        """
        now = self._clock.now()
        end = _ceiling(instants.aware(until, "until") if until else now)
        first = _floor(instants.aware(since, "since")) if since else end - _USUAL - _DAY
        if first >= end:
            raise CallerError("It must lie before `until`.", field="since")
        if first < _floor(now) - DAYS_MAX * _DAY:
            raise CallerError(f"Figures are kept for {DAYS_MAX} days.", field="since")
        found: list[Difference] = []
        days = (end - first) // _DAY
        for number in range(days):
            found += await self._day(first + number * _DAY, now, is_repairing=is_repairing)
        return Recount(since=first, until=end, days=days, differences=found, is_repaired=is_repairing and bool(found))

    async def _day(self, day: datetime, now: datetime, *, is_repairing: bool) -> list[Difference]:
        span = (day, day + _DAY)
        units = [unit for unit, kept in _KEPT.items() if day >= _floor(now) - kept]
        found: list[Difference] = []
        replaced: set[UUID] = set()
        async with self._store.transaction() as tx:
            await stats.wait_turn(tx)
            cursor = await events.read_cursor(tx, stats.CONSUMER)
            while True:
                new = [one for unit in units for one in await self._look(tx, cursor, unit, span)]
                found += new
                if not is_repairing or not (wrong := {one.project_id for one in new} - replaced):
                    return found
                await stats.replace(tx, cursor, sorted(wrong), span, units=units)
                replaced |= wrong  # Among many differences others may have hidden: look again.

    async def _look(self, tx: Tx, cursor: Cursor, unit: str, span: tuple[datetime, datetime]) -> Sequence[Difference]:
        return await stats.differences(tx, cursor, unit, span, count_max=DIFFERENCES_COUNT_MAX)


def _floor(at: datetime) -> datetime:
    return instants.EPOCH + (at - instants.EPOCH) // _DAY * _DAY


def _ceiling(at: datetime) -> datetime:
    return _floor(at - timedelta(microseconds=1)) + _DAY
