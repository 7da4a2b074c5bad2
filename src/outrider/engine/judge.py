"""Station 5 in the engine: from an attempt's last word to the recipient's next state and its next attempt.

What an answer means is `policy.classify`, when to try again `policy.retry`; here they meet what only the engine knows:
how often our own code failed on this message. The third unexpected exception parks it as `held` (STYLE.md "Errors").
"""

from collections import Counter
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.vocab import Fate, RecipientStatus
from outrider.engine.settle import Outcome
from outrider.obs.metrics import Metrics
from outrider.policy import retry
from outrider.policy.classify import Classifier, Verdict
from outrider.policy.settings import RetrySettings
from outrider.store.queue import Claim
from outrider.wire.answer import Answer, Cause

_INTERNAL_MAX_COUNT: Final = 3  # STYLE.md: the third unexpected exception parks the message.
_INTERNAL: Final = "internal"


class Judge:
    """Judges the attempts of one process."""

    def __init__(
        self, classifier: Classifier, retries: RetrySettings, *, clock: Clock, random: Random, metrics: Metrics
    ) -> None:
        self._classifier: Final = classifier
        self._retries: Final = retries
        self._clock: Final = clock
        self._random: Final = random
        self._metrics: Final = metrics
        self._internal_counts: Final[Counter[UUID]] = Counter()

    def failed(self, claim: Claim) -> None:
        """Note that our own code failed on this claim's message."""
        self._metrics.internal.labels(place="deliver").inc()
        self._internal_counts[claim.message_id] += 1

    def verdict(self, claim: Claim, answer: Answer, *, accepted_at: datetime | None) -> Verdict:
        """Say what the answer means. `accepted_at` None: the message could not be read."""
        if answer.cause is Cause.INTERNAL:
            return Verdict(Fate.DEFERRED, _INTERNAL, "")
        age_s = (self._clock.now() - accepted_at).total_seconds() if accepted_at else 0.0
        return self._classifier.judge(answer, attempt=claim.attempt, age_s=age_s)

    def next(self, claim: Claim, verdict: Verdict, now: datetime) -> tuple[RecipientStatus, datetime | None]:
        """Return the recipient's next state, and its next attempt if it stays queued."""
        match verdict.fate:
            case Fate.DELIVERED:
                return RecipientStatus.DELIVERED, None
            case Fate.BOUNCED:
                return RecipientStatus.BOUNCED, None
            case Fate.DEFERRED:
                if verdict.reason == _INTERNAL and self._internal_counts[claim.message_id] >= _INTERNAL_MAX_COUNT:
                    return RecipientStatus.HELD, None
                retry_at = retry.next_due_at(
                    attempt=claim.attempt,
                    now=now,
                    jitter_ratio=self._random.random(),
                    reason=verdict.reason,
                    settings=self._retries,
                )
                if retry_at >= claim.expires_at:
                    return RecipientStatus.EXPIRED, None
                return RecipientStatus.QUEUED, retry_at

    def settled(self, outcome: Outcome, *, accepted_at: datetime | None) -> None:
        """Note an outcome that was stored."""
        if outcome.status is RecipientStatus.DELIVERED and accepted_at is not None:
            waited: timedelta = outcome.ended_at - accepted_at
            self._metrics.queue_time.observe(max(0.0, waited.total_seconds()))  # The clock may have stepped back.
        if outcome.status is not RecipientStatus.QUEUED and outcome.verdict.reason != _INTERNAL:
            self._internal_counts.pop(outcome.claim.message_id, None)
