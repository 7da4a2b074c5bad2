"""How long a project's mail and its events are kept, and the keeper who deletes what is over.

    outrider project retention --days 30        a project's own word
    [retention] days                            of all others

Deleted are the mail (message, recipients, content, files, what readers did with it) and its events. Figures are kept
apart, and what a link to unsubscribe needs while it is good (`store.retention`). Mail that waits or is held stays until
it is done with. Any number of processes may run a keeper; each batch is a transaction of its own.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.store import retention, stats
from outrider.store.pool import Store

_ROUND_S: Final = 600.0  # Ours: what is over stays ten minutes longer.
_MAIL_COUNT: Final = 500  # Ours: messages a transaction, of up to 100 recipients each.
_EVENT_COUNT: Final = 5_000  # Ours: tens of milliseconds.
_CONTENT_COUNT: Final = 500  # Ours: some 2 MB of bodies.


class Retention(msgspec.Struct, frozen=True):
    """For how many days a project's mail is kept."""

    days: int
    is_own: bool  # The project's own word, not the installation's.


class Retentions:
    """What projects say of it."""

    def __init__(self, store: Store, *, days: int) -> None:
        """`days`: of projects that say nothing."""
        self._store: Final = store
        self._days: Final = days

    async def view(self, project_id: UUID) -> Retention:
        """Return what holds for the project. Raises StoreError."""
        async with self._store.transaction() as tx:
            own = await retention.days_of(tx, project_id)
        return Retention(self._days if own is None else own, is_own=own is not None)


class RetentionKeeper(Recurring):
    """Deletes what is over, every ten minutes."""

    def __init__(self, store: Store, *, days: int, clock: Clock, logger: Logger) -> None:
        super().__init__(self.keep, _ROUND_S, clock=clock, outage=Outage(logger, "retention_delayed"))
        self._store: Final = store
        self._days: Final = days
        self._contents_on: date | None = None  # When contents were last looked at: they go by days.

    async def keep(self) -> None:
        """Delete all that is over now. Raises StoreError: the rest is left for the next time."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            said = await retention.all_days(tx)
        kept = {project_id: self._days if own is None else own for project_id, own in said.items()}
        longest = max(kept.values(), default=self._days)
        async with self._store.transaction() as tx:
            await stats.stop_counting(tx)
            await retention.mark(tx, {one: _day_after(now - timedelta(days=days)) for one, days in kept.items()})
        for project_id, days in kept.items():
            before = now - timedelta(days=days)
            await self._forget_mail(project_id, before, now)
            if self._contents_on != now.date():
                await self._forget_contents(project_id, now)
            if days < longest:  # Else whole days go, which costs nothing.
                await self._forget_events(project_id, before)
        self._contents_on = now.date()
        async with self._store.transaction() as tx:
            over = await retention.days_before(tx, (now - timedelta(days=longest)).date())
        for day in over:
            async with self._store.transaction() as tx:
                await retention.drop_day(tx, day)

    async def _forget_mail(self, project_id: UUID, before: datetime, now: datetime) -> None:
        count = _MAIL_COUNT
        while count and not self._is_stopping:
            async with self._store.transaction() as tx:
                await stats.stop_counting(tx)
                count = await retention.forget_mail(tx, project_id, before, now=now, count_max=_MAIL_COUNT)

    async def _forget_contents(self, project_id: UUID, now: datetime) -> None:
        count = _CONTENT_COUNT
        while count and not self._is_stopping:
            async with self._store.transaction() as tx:
                count = await retention.forget_contents(tx, project_id, now=now, count_max=_CONTENT_COUNT)

    async def _forget_events(self, project_id: UUID, before: datetime) -> None:
        count = _EVENT_COUNT
        while count and not self._is_stopping:
            async with self._store.transaction() as tx:
                count = await retention.forget_events(tx, project_id, before, count_max=_EVENT_COUNT)


def _day_after(at: datetime) -> datetime:
    """Return the beginning of the first whole day (UTC) from then on."""
    return datetime.combine((at - timedelta(microseconds=1)).astimezone(UTC), time(), UTC) + timedelta(days=1)
