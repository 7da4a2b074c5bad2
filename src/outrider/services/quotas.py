"""What a project may send a day and a month (`engine.accept.QuotaBook`): asked by accept, read and set by people.

What it may have is asked again after half a second, so a change counts everywhere within one. Counting is accept's.
"""

from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.policy.quota import NOTHING, Quota
from outrider.store import quotas
from outrider.store.pool import Store
from outrider.store.recent import Recent

_FRESH_S: Final = 0.5  # As keys and senders.


class QuotaView(msgspec.Struct, frozen=True):
    """What a project may have and has had, in recipients, by UTC. None: as much as it likes."""

    day: int | None
    day_used: int
    month: int | None
    month_used: int


class Quotas:
    """The quotas of all projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._known: Final = Recent[UUID, Quota | None](self._read, clock=clock, fresh_s=_FRESH_S)

    async def quota_for(self, project_id: UUID) -> Quota | None:
        """Return what the project may have, None if it may have anything."""
        return await self._known.get(project_id)

    async def view(self, project_id: UUID) -> QuotaView:
        """Return what it may have and what it has had. While it had no quota nothing was counted."""
        async with self._store.transaction() as tx:
            quota = await quotas.of_project(tx, project_id)
            used = await quotas.used(tx, [project_id], today=self._clock.now().date())
        had = used.get(project_id, NOTHING)
        return QuotaView(quota.day, had.day, quota.month, had.month)

    async def change(self, project_id: UUID, quota: Quota) -> QuotaView:
        """Let the project have so much from now on, everywhere within a second; return how it stands.

        Raises:
            CallerError: fields "day", "month": out of bounds.
        """
        for name, most in (("day", quota.day), ("month", quota.month)):
            if most is not None and not 0 <= most <= limits.QUOTA_COUNT_MAX:
                raise CallerError(f"A quota is 0 to {limits.QUOTA_COUNT_MAX} recipients, or none.", field=name)
        async with self._store.transaction() as tx:
            await quotas.set_quota(tx, project_id, quota)
        return await self.view(project_id)

    async def _read(self, project_id: UUID) -> Quota | None:
        async with self._store.transaction() as tx:
            quota = await quotas.of_project(tx, project_id)
        return None if quota == Quota() else quota
