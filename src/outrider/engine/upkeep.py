"""What must be done now and then: days of the event log to come; suppressions, lanes, keys and counts that are over.

Any number of processes may run it. Making a partition that is there changes nothing; they are made six days ahead, so
that days without this service harm nobody. What ran out counts for nobody already, nor do empty lanes: the sweeps
only give their room back, a batch a transaction. An idempotency key counts for a day, and until the hour's sweep.
"""

import asyncio
from datetime import timedelta
from typing import Final

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.engine.service import Outage
from outrider.obs.log import Logger
from outrider.policy import suppress
from outrider.store import events, idempotency, key_use, keys, lanes, nonces, quotas, suppressions
from outrider.store.pool import Store

_DAYS: Final = 8  # Ours: yesterday (an attempt that ended before midnight is written after it) to six days from now.
_EVERY_S: Final = 3600.0
_SWEEP_COUNT: Final = 5_000  # Ours: rows a transaction; tens of milliseconds.
_LANE_IDLE: Final = timedelta(seconds=limits.MESSAGE_LIFE_S_MAX)  # Then even mail that was held would have expired.
_KEY_LIFE: Final = timedelta(seconds=limits.IDEMPOTENCY_KEY_LIFE_S)
# By then its call is too old, whatever the clocks.
_NONCE_LIFE: Final = timedelta(seconds=2 * limits.SIGNED_CALL_S_MAX)
_USE_LIFE: Final = timedelta(minutes=10)  # Ours: a minute would do, were all clocks right.
_REVOKED_LIFE: Final = timedelta(days=100)  # Ours: so long a list says when a key was revoked and last used.
_QUOTA_USE_LIFE: Final = timedelta(days=100)  # Ours: a month would do; people ask how the last one was.
_AGAIN_S: Final = 5.0  # After a failure.


class Upkeep:
    """Keeps the partitions ahead of the clock, and suppressions and lanes swept, while `run` runs."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._outage: Final = Outage(logger, "upkeep_delayed")
        self._stop_asked: Final = asyncio.Event()

    async def run(self) -> None:
        """Look at once, then once an hour until `stop`."""
        while not self._stop_asked.is_set():
            with self._outage:
                await ensure_partitions(self._store, self._clock)
                for sweep_some in (sweep, sweep_lanes, sweep_use, sweep_idempotency, sweep_keys):
                    while await sweep_some(self._store, self._clock) and not self._stop_asked.is_set():
                        await self._clock.sleep(0)
            try:
                async with asyncio.timeout(_AGAIN_S if self._outage.is_on else _EVERY_S):
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


async def sweep(store: Store, clock: Clock) -> bool:
    """Delete a batch of suppressions that ran out and of evidence too old to count; return whether there may be more.

    Safe twice and concurrently. Raises StoreError.
    """
    now = clock.now()
    async with store.transaction() as tx:
        return await suppressions.sweep(
            tx, now=now, evidence_before=now - suppress.EVIDENCE_LIFE, count_max=_SWEEP_COUNT
        )


async def sweep_lanes(store: Store, clock: Clock) -> bool:
    """Delete a batch of lanes of campaigns that are over; return whether there may be more. Raises StoreError."""
    async with store.transaction() as tx:
        return await lanes.sweep(tx, idle_before=clock.now() - _LANE_IDLE, count_max=_SWEEP_COUNT)


async def sweep_idempotency(store: Store, clock: Clock) -> bool:
    """Forget a batch of answers whose keys count no more; return whether there may be more. Raises StoreError."""
    async with store.transaction() as tx:
        return await idempotency.sweep(tx, before=clock.now() - _KEY_LIFE, count_max=_SWEEP_COUNT)


async def sweep_keys(store: Store, clock: Clock) -> bool:
    """Delete a batch of API keys that were revoked long ago; return whether there may be more. Raises StoreError."""
    async with store.transaction() as tx:
        return await keys.forget_revoked(tx, before=clock.now() - _REVOKED_LIFE, count_max=_SWEEP_COUNT)


async def sweep_use(store: Store, clock: Clock) -> bool:
    """Delete a batch each of nonces, counts of keys and of quotas that are over; return whether there may be more.

    Safe twice and concurrently. Raises StoreError.
    """
    now = clock.now()
    async with store.transaction() as tx:
        more = await nonces.sweep(tx, before=now - _NONCE_LIFE, count_max=_SWEEP_COUNT)
        more |= await key_use.sweep(tx, before=now - _USE_LIFE, count_max=_SWEEP_COUNT)
        return more | await quotas.sweep(tx, before=(now - _QUOTA_USE_LIFE).date(), count_max=_SWEEP_COUNT)
