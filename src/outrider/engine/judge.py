"""Station 5 in the engine: from an attempt's last word to the recipient's next state and its next attempt.

What an answer means is `policy.classify`, what it makes us do at the gate `policy.shaping`, when to try again
`policy.retry`; here they meet what only the engine knows: how often our own code failed on this message. The third
unexpected exception parks it as `held` (STYLE.md "Errors"). Here is only judged: `engine.gates` reacts, `engine.settle`
writes.
"""

from collections import Counter
from datetime import datetime
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Fate, RecipientStatus
from outrider.obs.metrics import Metrics
from outrider.policy import classify, retry
from outrider.policy.classify import Classifier, Verdict
from outrider.policy.reason import Reason
from outrider.policy.settings import RetrySettings
from outrider.policy.shaping import Reaction, Shaping
from outrider.store.queue import Claim
from outrider.wire.answer import Answer

_INTERNAL_MAX_COUNT: Final = 3  # STYLE.md: the third unexpected exception parks the message.


class Judgement(msgspec.Struct, frozen=True):
    """What an answer means: for the recipient, and for the gate that its attempt went through."""

    verdict: Verdict
    reactions: tuple[Reaction, ...] = ()


class Judge:
    """Judges the attempts of one process."""

    def __init__(
        self,
        classifier: Classifier,
        shaping: Shaping,
        retries: RetrySettings,
        *,
        clock: Clock,
        random: Random,
        metrics: Metrics,
    ) -> None:
        self._classifier: Final = classifier
        self._shaping: Final = shaping
        self._retries: Final = retries
        self._clock: Final = clock
        self._random: Final = random
        self._metrics: Final = metrics
        self._internal_counts: Final[Counter[UUID]] = Counter()

    def failed(self, claim: Claim) -> None:
        """Note that our own code failed on this claim's message."""
        self._metrics.internal.labels(place="deliver").inc()
        self._internal_counts[claim.message_id] += 1

    def verdict(self, claim: Claim, answer: Answer, *, provider: str | None, accepted_at: datetime | None) -> Judgement:
        """Say what the answer means; milder than its words, where a reply rule says that they are temporary.

        Args:
            provider: of the gate, "" if it is none that we know; None: no gate was passed.
            accepted_at: None: the message could not be read.
        """
        age_s = (self._clock.now() - accepted_at).total_seconds() if accepted_at else 0.0
        verdict = self._classifier.judge(answer, attempt=claim.attempt, age_s=age_s)
        if provider is None or answer.reply is None or verdict.fate is Fate.DELIVERED:
            return Judgement(verdict)
        reactions = self._shaping.react(provider, classify.line_of(answer.reply), verdict.reason)
        mild = next((one for one in reactions if one.is_temporary), None)
        if mild is not None and verdict.fate is Fate.BOUNCED:
            verdict = Verdict(Fate.DEFERRED, verdict.reason, mild.rule, rules_version=verdict.rules_version)
        return Judgement(verdict, reactions)

    def next(self, claim: Claim, verdict: Verdict, now: datetime) -> tuple[RecipientStatus, datetime | None]:
        """Return the recipient's next state, and its next attempt if it stays queued."""
        status, retry_at = self._next(claim, verdict, now)
        if status is not RecipientStatus.QUEUED and verdict.reason != Reason.INTERNAL:
            self._internal_counts.pop(claim.message_id, None)
        return status, retry_at

    def _next(self, claim: Claim, verdict: Verdict, now: datetime) -> tuple[RecipientStatus, datetime | None]:
        match verdict.fate:
            case Fate.DELIVERED:
                return RecipientStatus.DELIVERED, None
            case Fate.BOUNCED:
                return RecipientStatus.BOUNCED, None
            case Fate.DEFERRED:
                if verdict.reason == Reason.INTERNAL and self._internal_counts[claim.message_id] >= _INTERNAL_MAX_COUNT:
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
