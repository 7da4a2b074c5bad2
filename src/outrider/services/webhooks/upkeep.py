"""What must be done now and then for webhooks: calls that nobody took in three days are given up, old logs forgotten.

Any number of processes may run it. A webhook that is called gives its calls up by itself; this is for those that are
paused or disabled, whose calls nobody tries.
"""

from datetime import timedelta
from typing import Final

from outrider.base.clock import Clock
from outrider.base.vocab import WebhookOutcome
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.policy import hook
from outrider.store import webhook_calls, webhook_log
from outrider.store.pool import Store
from outrider.store.webhook_log import NewDelivery

_ROUND_S: Final = 60.0  # Ours.
_SWEEP_COUNT: Final = 2_000  # Ours: rows a transaction; tens of milliseconds.


class WebhookKeeper(Recurring):
    """Gives up and forgets, once a minute."""

    def __init__(self, store: Store, *, log_kept_s: float, clock: Clock, logger: Logger) -> None:
        outage = Outage(logger, "webhook_upkeep_delayed")
        super().__init__(self._round, _ROUND_S, clock=clock, outage=outage)
        self._store: Final = store
        self._log_kept: Final = timedelta(seconds=log_kept_s)

    async def give_up(self) -> bool:
        """Give up some calls that are too old; return whether there may be more. Raises StoreError."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found = await webhook_calls.expired(tx, created_before=hook.expires_before(now), count_max=_SWEEP_COUNT)
            over = [
                NewDelivery(
                    webhook_id=one.webhook_id,
                    project_id=one.project_id,
                    name=one.event,
                    events=[one.event],
                    kind=one.kind,
                    attempt=one.attempt,
                    at=now,
                    outcome=WebhookOutcome.GIVEN_UP,
                    error="it waited for three days",
                )
                for one in found
            ]
            if over:
                await webhook_log.insert(tx, over)
                await webhook_calls.settle(tx, over=[one.call_id for one in found], put_off=())
        return len(found) == _SWEEP_COUNT

    async def _round(self) -> bool:
        has_more_calls = await self.give_up()
        return await self.forget() or has_more_calls

    async def forget(self) -> bool:
        """Forget some old rows of the log of deliveries; return whether there may be more. Raises StoreError."""
        before = self._clock.now() - self._log_kept
        async with self._store.transaction() as tx:
            return await webhook_log.sweep(tx, before=before, count_max=_SWEEP_COUNT)
