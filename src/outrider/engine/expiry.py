"""Mail whose time is over in a lane that nobody works on ends here: `expired`, as it would by an attempt.

    leased lane    `deliver` ends what it claims and finds over, before it asks whether anything may go
    any other      this keeper: lanes that wait for a limit or an operator's word, or whose pool nobody serves

A lane that waits is leased by nobody, for hours or without end, so who reads a lane cannot be the one who ends its
mail: a code that is good for a minute would be `queued` for days. What is `held` waits for a word, not in a lane: it
expires when it is released.

Any number of processes may run it, beside deliver processes: row and lane are locked until the end is written, so of
all who want a recipient one ends it, and who leases the lane next finds it gone. A batch a transaction.
"""

from datetime import datetime
from typing import Final

from outrider.base.clock import Clock
from outrider.base.vocab import Fate, Phase, RecipientStatus
from outrider.engine import settle
from outrider.engine.service import Outage, Recurring
from outrider.engine.settle import Outcome
from outrider.net.pool import Attempt
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.classify import Verdict
from outrider.policy.reason import Reason
from outrider.store import queue
from outrider.store.pool import Store
from outrider.store.queue import Claim
from outrider.wire.answer import Answer, Cause

_EVERY_S: Final = 5.0  # Ours: so late at most is it said of mail that waits; a look that finds nothing takes 1 ms.
_BATCH_COUNT: Final = 500  # Ours: tens of milliseconds, for which their lanes cannot be leased.
_ANSWER: Final = Answer(Phase.ROUTE, None, Cause.EXPIRED)
_VERDICT: Final = Verdict(Fate.DEFERRED, Reason.EXPIRED)  # As `policy.classify` says of that answer.


class ExpiryKeeper(Recurring):
    """Ends what is over, every few seconds."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger, metrics: Metrics) -> None:
        super().__init__(self.end_some, _EVERY_S, clock=clock, outage=Outage(logger, "expiry_delayed"))
        self._store: Final = store
        self._metrics: Final = metrics

    async def end_some(self) -> bool:
        """End a batch; return whether there may be more. Safe twice and concurrently. Raises StoreError."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found = await queue.expired(tx, now=now, count_max=_BATCH_COUNT)
            outcomes = [_outcome(claim, now, is_taken_over=is_taken_over) for claim, is_taken_over in found]
            kept = await settle.write(tx, outcomes, writer="", now=now) if outcomes else ()  # Figures have none.
        settle.count_settled(self._metrics, kept)
        return len(found) == _BATCH_COUNT


def _outcome(claim: Claim, now: datetime, *, is_taken_over: bool) -> Outcome:
    return Outcome(
        claim=claim,
        project_id=claim.project_id,
        status=RecipientStatus.EXPIRED,
        verdict=_VERDICT,
        answer=_ANSWER,
        attempt=Attempt(answers={claim.address: _ANSWER}, duration_s=0.0),
        ended_at=now,
        is_taken_over=is_taken_over,
    )
