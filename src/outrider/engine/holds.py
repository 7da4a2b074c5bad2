"""The holds that operators have put, known by heart in every deliver process, half a second old at most.

The deliver loop asks before it starts an attempt: a lane in a hold is given back with a pause that names the hold
(`store.lanes.release`), a session in a hold is left alone. So a hold works within a second everywhere, though nobody is
told of it. Free lanes are paused by whoever puts the hold (`engine.control`).

Failure policy: while the database is away the last known holds stand. What an operator's death left half done is ended
here: lanes whose hold is gone are woken now and then, and mail of a held session that deliver processes still meet in
the queue is moved out of it (`note_left`).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.vocab import EventKind, HoldScope, RecipientStatus
from outrider.engine import moves
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.store import events, holds, waiting
from outrider.store.holds import Hold
from outrider.store.pool import Store

__all__ = ["Hold", "HoldBook"]  # With the record a reader meets.

_EVERY_S: Final = 0.5  # A hold takes effect within 1 s (issue 3); half of it leaves room for a slow query.
_MEND_EVERY_COUNT: Final = 20  # Ours: every 10 s; nobody dies half way often.
_MOVING: Final = timedelta(seconds=5)  # Ours: who puts a hold on a session has emptied it, or does so with our help.
_MOVED_COUNT_MAX: Final = 1000  # Ours: recipients of a session in one look; tens of milliseconds.


class HoldBook(Recurring):
    """All holds, as they were at the last look. Empty until the first: `load` once before you rely on it."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        super().__init__(self._round, _EVERY_S, clock=clock, outage=Outage(logger, "holds_delayed"))
        self._store: Final = store
        self._logger: Final = logger
        self._by_scope: Mapping[HoldScope, Mapping[str, Hold]] = _sorted([])
        self.is_known = False  # Read at least once: before that, "no hold" means nothing.
        self._look_count = 0
        self._is_moving = False  # A session out of the queue, and there is more of it.
        self._left: Final[dict[UUID, UUID]] = {}  # Held sessions with mail in the queue, and whose they are.

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

    def note_left(self, project_id: UUID, message_id: UUID) -> None:
        """Mail of this session, which is in a hold, is in the queue yet."""
        self._left[message_id] = project_id

    async def load(self) -> None:
        """Read the holds anew. Raises StoreError; the last known ones stand then."""
        async with self._store.transaction() as tx:
            found = await holds.all(tx)
        self._by_scope = _sorted(found)
        self.is_known = True

    async def _round(self) -> bool:
        """Look once. Returns whether there is more to be mended at once."""
        await self.load()
        is_due = self._look_count % _MEND_EVERY_COUNT == 0
        if is_due:
            await self._wake_orphans()
        if is_due or self._is_moving:
            counts = [await self._empty(project_id, message_id) for message_id, project_id in list(self._left.items())]
            self._is_moving = _MOVED_COUNT_MAX in counts
        self._look_count += 1
        return self._is_moving

    async def _wake_orphans(self) -> None:
        async with self._store.transaction() as tx:
            orphans = await holds.orphan_ids(tx)
        for hold_id in orphans:
            async with self._store.transaction() as tx:
                count = await holds.wake(tx, hold_id)
            self._logger.warning("orphaned_lanes_woken", hold_id=str(hold_id), lane_count=count)

    async def _empty(self, project_id: UUID, message_id: UUID) -> int:
        """Move what is left of a held session out of the queue, so much at a time; return how many recipients.

        Patiently: what is in a leased lane may be under way, and stays until the lane is free.
        """
        hold, now = self.find_session(message_id), self._clock.now()
        if hold is None:
            self._left.pop(message_id, None)
            return 0
        if now - hold.created_at < _MOVING:
            return 0
        async with self._store.transaction() as tx:
            # Danger: without it what a resume has just put back would be held for ever (test_engine_holds.py).
            if not await holds.pin(tx, hold.hold_id):
                return 0
            taken = await waiting.take_session(
                tx, project_id, message_id, RecipientStatus.HELD, now=now, is_patient=True, count_max=_MOVED_COUNT_MAX
            )
            moved = [moves.event(EventKind.HELD, one, at=now, note=hold.note) for one in taken]
            await events.append(tx, moved)
            is_left = await waiting.is_session_queued(tx, project_id, message_id)
        if taken:
            self._logger.warning("held_session_emptied", session=str(message_id), recipient_count=len(taken))
        if not is_left:
            self._left.pop(message_id, None)
        return len(taken)


def _sorted(found: Sequence[Hold]) -> Mapping[HoldScope, Mapping[str, Hold]]:
    return {scope: {hold.subject: hold for hold in found if hold.scope is scope} for scope in HoldScope}
