"""What became of a project's mail, in figures by hour or day; and the keeper who counts.

The figures come out of the event log a second or two after things happen (`store.stats`); accepting and delivering mail
costs no statement more for them. They are kept for 400 days.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import CallerError, StoreError
from outrider.base.vocab import Stream
from outrider.engine.service import Rounds
from outrider.obs.log import Logger
from outrider.store import events, stats
from outrider.store.pool import Store
from outrider.store.stats import Asked, Figure

__all__ = ["Figure", "StatKeeper", "Stats"]  # With the record a caller meets.

KEPT: Final = timedelta(days=400)  # Ours: a year, to compare with, and a month.
HOURLY_MAX: Final = timedelta(days=32)  # Ours: a month by the hour is 744 points.
FIGURES_COUNT_MAX: Final = 20_000  # Ours: of one answer, about 1 MB.
_ROUND_S: Final = 1.0
_BATCH_COUNT: Final = 5_000  # Ours: events a transaction; some 50 ms.
_BEHIND: Final = timedelta(days=30)  # Ours: what nobody has counted for that long is not counted.
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Stats:
    """Reads the figures of projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def read(
        self,
        project_id: UUID,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        unit: str = "day",
        group: str = "",
        stream: Stream | None = None,
        domain: str = "",
        tag: str = "",
    ) -> Sequence[Figure]:
        """Return the figures by time, name of the group and kind; 0 is left out. Hours and days are whole, in UTC.

        Args:
            since: None: 30 days ago; by the hour, one day.
            until: None: now.
            unit: "hour" or "day".
            group: "stream", "domain", "tag", or "" for all together.

        Raises:
            CallerError: an instant without a zone, too long a time, or too much to tell.
        """
        step = _HOUR if unit == "hour" else _DAY
        end = _aware(until, "until") or self._clock.now() + step
        begin = _aware(since, "since") or _begin(end, step)
        if begin >= end:
            raise CallerError("It must lie before `until`.", field="since")
        longest = HOURLY_MAX if unit == "hour" else KEPT + _DAY
        if end - begin > longest:
            raise CallerError(f"At most {longest.days} days at a time by the {unit}.", field="since")
        for field, text in (("domain", domain), ("tag", tag)):
            if "\x00" in text:
                raise CallerError("It has a NUL character.", field=field)
        asked = Asked(
            since=_floor(begin, step),
            until=end,
            unit=unit,
            group=group,
            stream=stream,
            domain=domain.lower(),
            tag=tag,
        )
        async with self._store.transaction() as tx:
            found = await stats.read(tx, project_id, asked, count_max=FIGURES_COUNT_MAX + 1)
        if len(found) > FIGURES_COUNT_MAX:
            raise CallerError("That are too many figures; ask for less time, or by the day.", field="since")
        return found


class StatKeeper:
    """Counts what happens, every second until `stop`. Any number of processes may run one."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._logger: Final = logger
        self._rounds: Final = Rounds(_ROUND_S, clock=clock)
        self._is_stopping = False
        self._forgotten_before: datetime | None = None

    async def count(self) -> bool:
        """Count some of what came since; return whether there may be more. Raises StoreError."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            if not await stats.take_turn(tx):
                return False  # Another process counts at this moment.
            cursor = await events.read_cursor(tx, stats.CONSUMER)
            end, counted = await stats.count(tx, cursor, since=now - _BEHIND, count_max=_BATCH_COUNT)
            if counted:
                await events.move_cursor(tx, stats.CONSUMER, end)
        return counted == _BATCH_COUNT

    async def run(self) -> None:
        """Count until `stop`."""
        async for _ in self._rounds:
            try:
                while await self.count() and not self._is_stopping:
                    await self._clock.sleep(0)
                await self._forget()
            except StoreError as error:
                self._logger.warning("stats_delayed", error=str(error))

    def stop(self) -> None:
        """Let `run` return."""
        self._is_stopping = True
        self._rounds.stop()

    async def _forget(self) -> None:
        """Delete old figures, once a day."""
        before = _floor(self._clock.now() - KEPT, _DAY)
        if self._forgotten_before != before:
            async with self._store.transaction() as tx:
                await stats.forget(tx, before)
            self._forgotten_before = before


def _begin(end: datetime, step: timedelta) -> datetime:
    """Return where figures begin if nobody says; 1970 where there was nothing before."""
    length = _DAY if step == _HOUR else 30 * _DAY
    return end - length if end - _EPOCH > length else _EPOCH


def _floor(at: datetime, step: timedelta) -> datetime:
    return _EPOCH + (at - _EPOCH) // step * step if at > _EPOCH else _EPOCH


def _aware(at: datetime | None, field: str) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise CallerError("An instant has a time zone: 2026-12-24T08:00:00Z.", field=field)
    try:
        return max(at.astimezone(UTC), _EPOCH)
    except OverflowError as error:
        raise CallerError("That instant is beyond all calendars.", field=field) from error
