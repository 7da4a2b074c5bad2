"""Station 7: the event log, read by cursor. Each consumer has its own place in it and sees every event at least once.

    [event log] --after(cursor)--> handle(events) --> cursor moved        ... killed in between: handled again

A consumer that fails stops moving; the others do not wait for it. So far there is none: webhooks and automations will
be the first. `outrider events` keeps its own place and calls `read`; reports ask the store.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from outrider.base.clock import Clock
from outrider.base.errors import StoreError
from outrider.obs.log import Logger
from outrider.store import events
from outrider.store.events import Cursor, Event
from outrider.store.pool import Store

__all__ = ["Cursor", "Event", "Feed", "read"]  # With the records a reader meets.

_COUNT_MAX: Final = 500  # Ours: events per round; bounds memory and what is handled twice after a crash.
_POLL_S: Final = 0.25  # Ours: how late a consumer may be on an idle system.


class Feed:
    """Hands every event to one consumer, in the log's order, from where it left off."""

    def __init__(
        self,
        store: Store,
        consumer: str,
        handle: Callable[[Sequence[Event]], Awaitable[None]],
        *,
        clock: Clock,
        logger: Logger,
    ) -> None:
        self._store: Final = store
        self._consumer: Final = consumer
        self._handle: Final = handle
        self._clock: Final = clock
        self._logger: Final = logger
        self._stopping = False

    async def run(self) -> None:
        """Feed the consumer until `stop`. Raises what `handle` raises: the cursor stays before those events."""
        while not self._stopping:
            try:
                handled_count = await self.step()
            except StoreError as error:
                self._logger.warning("feed_delayed", consumer=self._consumer, error=str(error))
                handled_count = 0
            if handled_count < _COUNT_MAX:
                await self._clock.sleep(_POLL_S)

    async def step(self) -> int:
        """Hand over what is there now, up to a bound; return how many events that were."""
        async with self._store.transaction() as tx:
            cursor = await events.read_cursor(tx, self._consumer)
            batch = await events.after(tx, cursor, count_max=_COUNT_MAX)
        if not batch:
            return 0
        await self._handle(batch)
        async with self._store.transaction() as tx:
            await events.move_cursor(tx, self._consumer, batch[-1].cursor)
        return len(batch)

    def stop(self) -> None:
        """Let `run` return after the batch in hand."""
        self._stopping = True


async def read(store: Store, cursor: Cursor, *, count_max: int) -> Sequence[Event]:
    """Return up to `count_max` events behind `cursor`, for a reader that keeps its own place."""
    async with store.transaction() as tx:
        return await events.after(tx, cursor, count_max=count_max)
