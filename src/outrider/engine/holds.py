"""The holds that operators have put, known by heart in every deliver process, half a second old at most.

The deliver loop asks before it starts an attempt: a lane in a hold is given back with a pause that names the hold
(`store.lanes.release`), a session in a hold is left alone. So a hold works within a second everywhere, though nobody is
told of it. Free lanes are paused by whoever puts the hold (`engine.control`).

Failure policy: while the database is away the last known holds stand. Lanes whose hold is gone (who resumed it died
half way) are woken here now and then.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.vocab import HoldScope
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.store import holds
from outrider.store.holds import Hold
from outrider.store.pool import Store

__all__ = ["Hold", "HoldBook"]  # With the record a reader meets.

_EVERY_S: Final = 0.5  # A hold takes effect within 1 s (issue 3); half of it leaves room for a slow query.
_MEND_EVERY_COUNT: Final = 20  # Ours: every 10 s; nobody dies half way often.


class HoldBook(Recurring):
    """All holds, as they were at the last look. Empty until the first: `load` once before you rely on it."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        super().__init__(self._round, _EVERY_S, clock=clock, outage=Outage(logger, "holds_delayed"))
        self._store: Final = store
        self._logger: Final = logger
        self._by_scope: Mapping[HoldScope, Mapping[str, Hold]] = _sorted([])
        self.is_known = False  # Read at least once: before that, "no hold" means nothing.
        self._look_count = 0

    def find(self, *, lane_id: int, provider: str, project_id: UUID) -> Hold | None:
        """Return a hold that this lane is in, None if it may work.

        Args:
            provider: the key by which the lane's limits are counted, "" if it is not known yet.

        Cost: three look-ups in memory.
        """
        book = self._by_scope
        if not any(book.values()):
            return None
        return (
            book[HoldScope.PROJECT].get(str(project_id))
            or book[HoldScope.PROVIDER].get(provider)
            or book[HoldScope.LANE].get(str(lane_id))
        )

    def find_session(self, message_id: UUID) -> Hold | None:
        """Return the hold on this session, None if its recipients may be tried."""
        sessions = self._by_scope[HoldScope.SESSION]
        return sessions.get(str(message_id)) if sessions else None

    async def load(self) -> None:
        """Read the holds anew. Raises StoreError; the last known ones stand then."""
        async with self._store.transaction() as tx:
            found = await holds.all(tx)
        self._by_scope = _sorted(found)
        self.is_known = True

    async def _round(self) -> None:
        await self.load()
        if self._look_count % _MEND_EVERY_COUNT == 0:
            await self._wake_orphans()
        self._look_count += 1

    async def _wake_orphans(self) -> None:
        async with self._store.transaction() as tx:
            orphans = await holds.orphan_ids(tx)
        for hold_id in orphans:
            async with self._store.transaction() as tx:
                count = await holds.wake(tx, hold_id)
            self._logger.warning("orphaned_lanes_woken", hold_id=str(hold_id), lane_count=count)


def _sorted(found: Sequence[Hold]) -> Mapping[HoldScope, Mapping[str, Hold]]:
    return {scope: {hold.subject: hold for hold in found if hold.scope is scope} for scope in HoldScope}
