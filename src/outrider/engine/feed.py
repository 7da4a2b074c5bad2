"""Station 7: the event log, read by cursor. Each consumer has its own place in it.

    [event log] --after(cursor)--> handle(tx, events), cursor moved          ... killed in between: neither has happened

What a consumer writes and its cursor are one transaction, so that it sees every event exactly once, and of several
processes one at a time reads. One that fails stops moving; the others do not wait for it. `outrider events` keeps its
own place and calls `read`.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from outrider.base.clock import Clock
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.store import events, project_feed
from outrider.store.events import Cursor, Event
from outrider.store.pool import Store, Tx

__all__ = ["Cursor", "Event", "TurnFeed", "read"]  # With the records a reader meets.

_COUNT_MAX: Final = 500  # Ours: events per round; bounds memory and what is handled twice after a crash.
_POLL_S: Final = 0.25  # Ours: how late a consumer may be on an idle system.
_PASSED_OVER: Final = 5_000  # Ours: transactions, while nobody wants to hear; an idle system then writes nothing.
_BEHIND: Final = timedelta(days=30)  # Ours: what nobody has read for that long is not handed over any more.


class TurnFeed(Recurring):
    """Hands every event to one consumer exactly once, inside the transaction that moves its cursor.

    Any number of processes may run one. A consumer that has no cursor yet begins with what comes from now on. Dialogues
    are left out of the facts.
    """

    def __init__(
        self,
        store: Store,
        consumer: str,
        handle: Callable[[Tx, Sequence[Event]], Awaitable[None]],
        *,
        is_wanted: Callable[[Tx], Awaitable[bool]],
        clock: Clock,
        logger: Logger,
    ) -> None:
        """`is_wanted` says whether anybody would hear of an event; while nobody does, most are passed over unread."""
        outage = Outage(logger, "feed_delayed", consumer=consumer)
        super().__init__(self._is_more, _POLL_S, clock=clock, outage=outage)
        self._store: Final = store
        self._consumer: Final = consumer
        self._handle: Final = handle
        self._is_wanted: Final = is_wanted

    async def step(self) -> int:
        """Hand over what is there now, up to a bound; return how many events that were.

        Raises:
            StoreError: nothing was kept, and the cursor has not moved.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            if not await events.take_turn(tx, self._consumer):
                return 0  # Another process reads at this moment.
            cursor = await events.read_cursor(tx, self._consumer)
            # The end is asked for first: who wants to hear and came after that comes after all events up to it too.
            tail = await project_feed.tail(tx, now=now)
            if cursor == Cursor() or not await self._is_wanted(tx):
                if cursor == Cursor() or tail.cursor.xid - cursor.xid > _PASSED_OVER:
                    await events.move_cursor(tx, self._consumer, tail.cursor)
                return 0
            batch = await project_feed.after(tx, cursor, since=now - _BEHIND, count_max=_COUNT_MAX)
            if batch:
                await self._handle(tx, batch)
                await events.move_cursor(tx, self._consumer, batch[-1].cursor)
        return len(batch)

    async def _is_more(self) -> bool:
        return await self.step() == _COUNT_MAX


async def read(store: Store, cursor: Cursor, *, count_max: int) -> Sequence[Event]:
    """Return up to `count_max` events behind `cursor`, for a reader that keeps its own place."""
    async with store.transaction() as tx:
        return await events.after(tx, cursor, count_max=count_max)
