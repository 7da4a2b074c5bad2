"""What must be done now and then so that the rest can go on: the event log's partitions for the days to come.

Any number of processes may run it; making a partition that is there changes nothing. Made six days ahead, so that days
without this service harm nobody.
"""

import asyncio
from datetime import timedelta
from typing import Final

from outrider.base.clock import Clock
from outrider.base.errors import StoreError
from outrider.obs.log import Logger
from outrider.store import events
from outrider.store.pool import Store

_DAYS: Final = 8  # Ours: yesterday (an attempt that ended before midnight is written after it) to six days from now.
_EVERY_S: Final = 3600.0
_AGAIN_S: Final = 5.0  # After a failure.


class Upkeep:
    """Keeps the partitions ahead of the clock while `run` runs."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._logger: Final = logger
        self._stop_asked: Final = asyncio.Event()

    async def run(self) -> None:
        """Look once an hour until `stop`."""
        while not self._stop_asked.is_set():
            pause_s = _EVERY_S
            try:
                await ensure_partitions(self._store, self._clock)
            except StoreError as error:
                self._logger.warning("upkeep_delayed", error=str(error))
                pause_s = _AGAIN_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._stop_asked.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Let `run` return."""
        self._stop_asked.set()


async def ensure_partitions(store: Store, clock: Clock) -> None:
    """Make the partitions that are missing. Safe twice and concurrently. Raises StoreError."""
    first = (clock.now() - timedelta(days=1)).date()
    async with store.transaction() as tx:
        await events.ensure_partitions(tx, first, _DAYS)
