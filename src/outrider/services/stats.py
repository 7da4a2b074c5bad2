"""What became of a project's mail, in figures by minute, hour or day; and the keeper who counts.

The figures come out of the event log a second or two after things happen (`store.stats`); accepting and delivering mail
costs no statement more for them. Minutes are kept for 2 days, hours for 62, days for 400. All is UTC.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import instants
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.service import Outage, Rounds
from outrider.obs.log import Logger
from outrider.policy import figures
from outrider.store import events, stats
from outrider.store.pool import Store
from outrider.store.stats import Asked, Figure

__all__ = ["Figure", "StatKeeper", "Stats"]  # With the record a caller meets.

# Ours: days for a year, to compare with, and a month; hours for two months; minutes for what is going on.
KEPT: Final[Mapping[str, timedelta]] = {
    "minute": timedelta(days=2),
    "hour": timedelta(days=62),
    "day": timedelta(days=400),
}
# Ours: how much is asked at once: 1,440 points of a day by the minute, 744 of a month by the hour.
LONGEST: Final[Mapping[str, timedelta]] = {
    "minute": timedelta(days=1),
    "hour": timedelta(days=32),
    "day": timedelta(days=401),
}
# Ours: of one answer, a row is a time and a name. Without a group no span has more than 1,441; each is some 200 bytes.
ROWS_COUNT_MAX: Final = 10_000
_USUAL: Final = {"minute": timedelta(hours=1), "hour": timedelta(days=1), "day": timedelta(days=30)}
_STEPS: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_DIMENSIONS: Final = ("template", "tag", "provider", "ip")
_COARSE: Final = ("template", "tag")  # Nobody watches them by the minute, and their rows would be most.
_ROUND_S: Final = 1.0
_BATCH_COUNT: Final = 5_000  # Ours: events a transaction.
_DAY: Final = timedelta(days=1)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which mail; "" and None do not restrict. At most one of the last four."""

    stream: Stream | None = None
    domain: str = ""
    campaign: str = ""
    template: str = ""  # Its id.
    tag: str = ""
    provider: str = ""
    ip: str = ""  # The source that it left from, by its name.


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Of when, and how finely."""

    since: datetime | None = None  # None: 30 days before; by the hour one day, by the minute one hour.
    until: datetime | None = None  # Not included. None: now.
    unit: str = "day"  # "minute", "hour" or "day".


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The two views of one minute, hour or day."""

    at: datetime
    delivery: figures.DeliveryFigures
    tracking: figures.TrackingFigures


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The two views of some mail, as a whole and by time; and how long it took."""

    delivery: figures.DeliveryFigures
    tracking: figures.TrackingFigures
    inbox: figures.Inbox | None  # None: not counted by campaign, template or tag.
    rows: Sequence[Row]


class Stats:
    """Reads the figures of projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def read(
        self, project_id: UUID, span: Span | None = None, filters: Filters | None = None, *, group: str = ""
    ) -> Sequence[Figure]:
        """Return the figures by time, name of the group and metric; 0 is left out. Minutes, hours, days are whole, UTC.

        Args:
            group: "stream", "domain", "campaign", "template", "tag", "provider", "ip", or "" for all together.

        Raises:
            CallerError: an instant without a zone, too long a time, too much to tell, or two filters that do not go
                together.
        """
        asked = self._asked(span or Span(), filters or Filters(), group)
        async with self._store.transaction() as tx:
            found = await stats.read(tx, project_id, asked, rows_count_max=ROWS_COUNT_MAX + 1)
        return _bounded(found)

    async def summary(self, project_id: UUID, span: Span | None = None, filters: Filters | None = None) -> Summary:
        """Return the two views, delivery and tracking, and the percentiles of the time to the inbox.

        Raises:
            CallerError: as `read`.
        """
        asked = self._asked(span or Span(), filters or Filters(), "")
        times: Mapping[str, int] | None = None
        async with self._store.transaction() as tx:
            found = await stats.read(tx, project_id, asked, rows_count_max=ROWS_COUNT_MAX + 1)
            if asked.dimension not in ("template", "tag") and not asked.campaign:
                times = await stats.read_inbox(tx, project_id, asked)
        by_time: dict[datetime, dict[str, int]] = {}
        for one in _bounded(found):
            by_time.setdefault(one.at, {})[one.metric] = one.count
        totals = _totals(found)
        return Summary(
            delivery=figures.delivery(totals, asked.dimension),
            tracking=figures.tracking(totals),
            inbox=None if times is None else figures.inbox(times),
            rows=[
                Row(at=at, delivery=figures.delivery(counts, asked.dimension), tracking=figures.tracking(counts))
                for at, counts in by_time.items()
            ],
        )

    def _asked(self, span: Span, filters: Filters, group: str) -> Asked:
        """Check what is asked."""
        unit, step = span.unit, _STEPS[span.unit]
        end = _aware(span.until, "until") or self._clock.now() + step
        begin = _aware(span.since, "since") or _begin(end, _USUAL[unit])
        if begin >= end:
            raise CallerError("It must lie before `until`.", field="since")
        if end - begin > LONGEST[unit]:
            raise CallerError(f"At most {LONGEST[unit].days} days at a time by the {unit}.", field="since")
        named = {name: getattr(filters, name) for name in _DIMENSIONS if getattr(filters, name)}
        for field, text in (("domain", filters.domain), ("campaign", filters.campaign), *named.items()):
            if "\x00" in text:
                raise CallerError("It has a NUL character.", field=field)
        parts = {*named, *([group] if group in _DIMENSIONS else [])}
        if len(parts) > 1:
            raise CallerError("Mail is counted by one of template, tag, provider, ip at a time.", field=max(parts))
        dimension = next(iter(parts), "")
        if unit == "minute" and dimension in _COARSE:
            raise CallerError("Mail is counted by template and tag by the hour and day.", field=dimension)
        return Asked(
            since=_floor(begin, step),
            until=end,
            unit=unit,
            group=group,
            dimension=dimension,
            name=named.get(dimension, ""),
            stream=filters.stream,
            domain=filters.domain.lower(),
            campaign=filters.campaign,
        )


class StatKeeper:
    """Counts what happens, every second until `stop`. Any number of processes may run one."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._outage: Final = Outage(logger, "stats_delayed")
        self._rounds: Final = Rounds(_ROUND_S, clock=clock)
        self._is_stopping = False
        self._forgotten_on: datetime | None = None

    async def count(self) -> bool:
        """Count some of what came since; return whether there may be more. Raises StoreError."""
        # However late: what a recount finds was counted.
        since = max(_floor(self._clock.now(), _DAY) - KEPT["day"], instants.EPOCH)
        async with self._store.transaction() as tx:
            if not await stats.take_turn(tx):
                return False  # Another process counts at this moment.
            cursor = await events.read_cursor(tx, stats.CONSUMER)
            end, counted = await stats.count(tx, cursor, since=since, count_max=_BATCH_COUNT)
            if counted:
                await events.move_cursor(tx, stats.CONSUMER, end)
        return counted == _BATCH_COUNT

    async def run(self) -> None:
        """Count until `stop`."""
        async for _ in self._rounds:
            with self._outage:
                while await self.count() and not self._is_stopping:
                    await self._clock.sleep(0)
                await self._forget()

    def stop(self) -> None:
        """Let `run` return."""
        self._is_stopping = True
        self._rounds.stop()

    async def _forget(self) -> None:
        """Delete old figures, once a day and whole days of them: a day's minutes are all there, or none is."""
        today = _floor(self._clock.now(), _DAY)
        if self._forgotten_on != today:
            for unit, kept in KEPT.items():
                async with self._store.transaction() as tx:
                    await stats.forget(tx, unit, max(today - kept, instants.EPOCH))
            self._forgotten_on = today


def _bounded(found: Sequence[Figure]) -> Sequence[Figure]:
    if len({(one.at, one.name) for one in found}) > ROWS_COUNT_MAX:
        raise CallerError("That are too many figures; ask for less time, or by the day.", field="since")
    return found


def _totals(found: Sequence[Figure]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for one in found:
        totals[one.metric] = totals.get(one.metric, 0) + one.count
    return totals


def _begin(end: datetime, length: timedelta) -> datetime:
    """Return where figures begin if nobody says; 1970 where there was nothing before."""
    return end - length if end - instants.EPOCH > length else instants.EPOCH


def _floor(at: datetime, step: timedelta) -> datetime:
    return instants.EPOCH + (at - instants.EPOCH) // step * step if at > instants.EPOCH else instants.EPOCH


def _aware(at: datetime | None, field: str) -> datetime | None:
    return None if at is None else max(instants.aware(at, field), instants.EPOCH)
